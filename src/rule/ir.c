/* SPDX-License-Identifier: Apache-2.0 */
/* ir - what can be asked of a compiled query without running it: are two nodes the same, and how does it read? */
#include "rule/ir.h"
#include <stdlib.h>
#include <string.h>
#include "base/hash.h"
#include "base/json.h"

/* The hash is kept in files by nobody, but two processes that compile the same rule should name it the same. */
enum { IR_HASH_SEED = 0x5472 };

static const char *const type_names[] = {
	[RULE_UNKNOWN] = "unknown", [RULE_NULL] = "null",     [RULE_BOOLEAN] = "boolean", [RULE_NUMBER] = "number",
	[RULE_KEYWORD] = "keyword", [RULE_TEXT] = "text",     [RULE_DATE] = "date",       [RULE_IP] = "ip",
	[RULE_VERSION] = "version", [RULE_OBJECT] = "object",
};

const char *rule_type_name(enum rule_type type)
{
	return (size_t)type < countof(type_names) ? type_names[type] : "unknown";
}

static const char *const fn_names[IR_FN_N] = {
	[IR_FN_NONE] = "",
	[IR_BETWEEN] = "between",
	[IR_CIDR_MATCH] = "cidrMatch",
	[IR_CONCAT] = "concat",
	[IR_ENDS_WITH] = "endsWith",
	[IR_INDEX_OF] = "indexOf",
	[IR_LENGTH] = "length",
	[IR_NUMBER_OF] = "number",
	[IR_STARTS_WITH] = "startsWith",
	[IR_STRING_OF] = "string",
	[IR_STRING_CONTAINS] = "stringContains",
	[IR_SUBSTRING] = "substring",
	[IR_ARRAY_CONTAINS] = "arrayContains",
	[IR_ARRAY_SEARCH] = "arraySearch",
	[IR_ARRAY_COUNT] = "arrayCount",
};

const char *ir_fn_name(enum ir_fn fn)
{
	return (size_t)fn < countof(fn_names) ? fn_names[fn] : "";
}

static const char *const op_names[] = {
	[IR_NULL] = "null",       [IR_BOOL] = "bool",
	[IR_INT] = "int",         [IR_FLOAT] = "float",
	[IR_STR] = "str",         [IR_FIELD] = "field",
	[IR_ITEM] = "item",       [IR_MEMBER] = ".",
	[IR_VAR] = "var",         [IR_VALUES] = "values",
	[IR_AND] = "and",         [IR_OR] = "or",
	[IR_NOT] = "not",         [IR_IS_NULL] = "is-null",
	[IR_NEG] = "neg",         [IR_EQ] = "==",
	[IR_NE] = "!=",           [IR_LT] = "<",
	[IR_LE] = "<=",           [IR_GT] = ">",
	[IR_GE] = ">=",           [IR_ADD] = "+",
	[IR_SUB] = "-",           [IR_MUL] = "*",
	[IR_DIV] = "/",           [IR_MOD] = "%",
	[IR_IN] = "in",           [IR_LIKE] = "like",
	[IR_REGEX] = "regex",     [IR_CALL] = "call",
	[IR_LINEAGE] = "lineage",
};

/* Who wrote ?field means the same field. */
static uint16_t meaning(const struct ir_node *n)
{
	return n->flags & (uint16_t)~IR_OPTIONAL;
}

/* ---- the same --------------------------------------------------------------------------- */

static bool str_same(struct str a, struct str b)
{
	return a.n == b.n && !memcmp(a.p, b.p, a.n);
}

static bool key_same(const struct query *qa, const struct query_key *a, const struct query *qb,
		     const struct query_key *b)
{
	return a->optional == b->optional && ir_same(qa, a->expr, qb, b->expr);
}

static bool text_same(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

/* Of queries of lineage: one stage. */
static bool event_query_same(const struct query *a, const struct query *b)
{
	return a->kind == b->kind && a->category_field == b->category_field && a->fold == b->fold && a->n_stages == 1 &&
	       b->n_stages == 1 && text_same(a->stage->category, b->stage->category) && a->n_keys == b->n_keys &&
	       (!a->n_keys || key_same(a, a->stage->key, b, b->stage->key)) &&
	       ir_same(a, a->stage->condition, b, b->stage->condition);
}

static bool leaf_same(const struct query *qa, const struct ir_node *a, const struct query *qb, const struct ir_node *b)
{
	switch (a->op) {
	case IR_BOOL:
		return a->b == b->b;
	case IR_INT:
	case IR_ITEM:
	case IR_VAR:
		return a->i == b->i;
	case IR_FLOAT:
		return !memcmp(&a->f, &b->f, sizeof(a->f));
	case IR_STR:
		return str_same(a->str, b->str);
	case IR_FIELD:
	case IR_MEMBER:
		return a->field.id == b->field.id && a->field.event == b->field.event;
	case IR_CALL:
		return a->var == b->var;
	case IR_LINEAGE:
		return a->lineage == b->lineage && event_query_same(qa->subqueries[a->sub], qb->subqueries[b->sub]);
	default:
		return true;
	}
}

bool ir_same(const struct query *qa, ir_ref ra, const struct query *qb, ir_ref rb)
{
	const struct ir_node *a = ir_at(qa, ra), *b = ir_at(qb, rb);

	if (qa == qb && ra == rb)
		return true;
	if (a->op != b->op || a->type != b->type || a->as != b->as || a->fn != b->fn || meaning(a) != meaning(b) ||
	    a->n != b->n || !leaf_same(qa, a, qb, b))
		return false;
	for (uint32_t i = 0; i < a->n; i++)
		if (!ir_same(qa, a->kid[i], qb, b->kid[i]))
			return false;
	return true;
}

static uint64_t mix(uint64_t h, uint64_t v)
{
	return hash_u64(v, h);
}

static uint64_t leaf_hash(const struct query *q, const struct ir_node *n, uint64_t h)
{
	uint64_t bits;

	switch (n->op) {
	case IR_BOOL:
		return mix(h, n->b);
	case IR_INT:
	case IR_ITEM:
	case IR_VAR:
		return mix(h, (uint64_t)n->i);
	case IR_FLOAT:
		memcpy(&bits, &n->f, sizeof(bits));
		return mix(h, bits);
	case IR_STR:
		return hash_bytes(n->str.p, n->str.n, h);
	case IR_FIELD:
	case IR_MEMBER:
		/* The name, not the id: ids differ from process to process. */
		return mix(hash_bytes(n->field.name, n->field.len, h), (uint64_t)(int64_t)n->field.event);
	case IR_CALL:
		return mix(h, n->var);
	case IR_LINEAGE:
		return mix(mix(h, n->lineage), ir_hash(q->subqueries[n->sub], q->subqueries[n->sub]->stage->condition));
	default:
		return h;
	}
}

uint64_t ir_hash(const struct query *q, ir_ref ref)
{
	const struct ir_node *n = ir_at(q, ref);
	uint64_t h = mix(IR_HASH_SEED, (uint64_t)n->op | (uint64_t)n->type << 8 | (uint64_t)n->as << 16 |
					       (uint64_t)n->fn << 24 | (uint64_t)meaning(n) << 32);

	h = leaf_hash(q, n, mix(h, n->n));
	for (uint32_t i = 0; i < n->n; i++)
		h = mix(h, ir_hash(q, n->kid[i]));
	return h;
}

/* ---- as text ----------------------------------------------------------------------------- */

static void print_flags(const struct ir_node *n, struct buf *out)
{
	static const struct {
		uint16_t flag;
		const char *mark;
	} marks[] = {
		{ IR_FOLD, "~" },         { IR_STAR, "/star" }, { IR_ESCAPE, "/escape" }, { IR_PREFIX, "/prefix" },
		{ IR_SEARCH, "/search" }, { IR_PERL, "/perl" }, { IR_ANY, "@" },          { IR_TRUTH, "!" },
	};

	for (size_t i = 0; i < countof(marks); i++)
		if (n->flags & marks[i].flag)
			buf_str(out, marks[i].mark);
	if (n->as)
		buf_printf(out, "/%s", rule_type_name(n->as));
}

static void print_constant(const struct ir_node *n, struct buf *out)
{
	switch (n->op) {
	case IR_BOOL:
		buf_str(out, n->b ? "true" : "false");
		break;
	case IR_INT:
		buf_i64(out, n->i);
		break;
	case IR_FLOAT:
		json_write_double(out, n->f);
		break;
	case IR_STR:
		(void)json_write_str(out, n->str.p, n->str.n);
		break;
	default:
		buf_str(out, "null");
	}
}

static void print_event(const struct query *q, const struct ir_node *n, struct buf *out)
{
	if (n->field.event < 0)
		return;
	if ((uint32_t)n->field.event < q->n_stages && q->stage[n->field.event].alias)
		buf_printf(out, "%s.", q->stage[n->field.event].alias);
	else
		buf_printf(out, "events[%d].", n->field.event);
}

static const char *lineage_name(uint32_t lineage)
{
	return lineage == IR_CHILD ? "child-of" : lineage == IR_DESCENDANT ? "descendant-of" : "event-of";
}

static void print_node(const struct query *q, const struct ir_node *n, struct buf *out)
{
	if (n->op == IR_FIELD) {
		buf_str(out, n->flags & IR_OPTIONAL ? "?" : "");
		print_event(q, n, out);
		buf_add(out, n->field.name, n->field.len);
		print_flags(n, out);
		return;
	}
	if (n->op == IR_VAR) {
		buf_printf(out, "$%u", n->var);
		return;
	}
	if (n->op == IR_VALUES) {
		buf_str(out, "*");
		return;
	}
	buf_char(out, '(');
	if (n->op == IR_CALL)
		buf_str(out, ir_fn_name(n->fn));
	else if (n->op == IR_LINEAGE)
		buf_str(out, lineage_name(n->lineage));
	else
		buf_str(out, op_names[n->op]);
	print_flags(n, out);
	if (n->op == IR_ITEM)
		buf_printf(out, " %lld", (long long)n->i);
	else if (n->op == IR_MEMBER)
		buf_printf(out, " %.*s", n->field.len, n->field.name);
	else if (n->op == IR_LINEAGE)
		buf_printf(out, " #%u", n->sub);
	else if (n->op == IR_CALL && (n->fn == IR_ARRAY_SEARCH || n->fn == IR_ARRAY_COUNT))
		buf_printf(out, " $%u", n->var);
	for (uint32_t i = 0; i < n->n; i++) {
		buf_char(out, ' ');
		ir_print(q, n->kid[i], out);
	}
	buf_char(out, ')');
}

void ir_print(const struct query *q, ir_ref ref, struct buf *out)
{
	const struct ir_node *n = ir_at(q, ref);

	if (out->failed)
		return;
	if (ir_is_const(n))
		print_constant(n, out);
	else
		print_node(q, n, out);
}

static void print_keys(const struct query *q, const struct query_stage *s, struct buf *out)
{
	for (uint32_t i = 0; i < q->n_keys; i++) {
		buf_str(out, i ? ", " : " by ");
		ir_print(q, s->key[i].expr, out);
		if (s->key[i].optional && !(ir_at(q, s->key[i].expr)->flags & IR_OPTIONAL))
			buf_str(out, " or null");
	}
}

static void print_stage(const struct query *q, const struct query_stage *s, struct buf *out)
{
	buf_str(out, s->missing ? "missing " : "");
	if (s->category)
		(void)json_write_str(out, s->category, strlen(s->category));
	else
		buf_str(out, "any");
	buf_str(out, " where ");
	ir_print(q, s->condition, out);
	print_keys(q, s, out);
	if (s->runs > 1)
		buf_printf(out, " runs %u", s->runs);
	if (s->fork)
		buf_str(out, " fork");
	if (s->alias)
		buf_printf(out, " as %s", s->alias);
	buf_char(out, '\n');
}

static void print_pipe(const struct query *q, const struct query_pipe *p, struct buf *out)
{
	static const char *const names[] = {
		[PIPE_HEAD] = "head",   [PIPE_TAIL] = "tail",     [PIPE_FILTER] = "filter",
		[PIPE_COUNT] = "count", [PIPE_UNIQUE] = "unique", [PIPE_UNIQUE_COUNT] = "unique_count",
		[PIPE_SORT] = "sort",
	};

	buf_printf(out, "| %s", names[p->kind]);
	if (p->kind == PIPE_HEAD || p->kind == PIPE_TAIL)
		buf_printf(out, " %llu", (unsigned long long)p->count);
	for (uint32_t i = 0; i < p->n_args; i++) {
		buf_str(out, i ? ", " : " ");
		ir_print(q, p->arg[i], out);
	}
	buf_char(out, '\n');
}

void query_print(const struct query *q, struct buf *out)
{
	static const char *const kinds[] = {
		[QUERY_CONDITION] = "condition", [QUERY_EVENT] = "event", [QUERY_SEQUENCE] = "sequence",
		[QUERY_SAMPLE] = "sample",       [QUERY_JOIN] = "join",
	};

	buf_str(out, kinds[q->kind]);
	if (q->maxspan_ns)
		buf_printf(out, " maxspan %llu ns", (unsigned long long)q->maxspan_ns);
	buf_char(out, '\n');
	for (uint32_t i = 0; i < q->n_stages; i++) {
		buf_printf(out, "  %u: ", i);
		print_stage(q, &q->stage[i], out);
	}
	if (q->until) {
		buf_str(out, "  until: ");
		print_stage(q, q->until, out);
	}
	for (uint32_t i = 0; i < q->n_pipes; i++) {
		buf_str(out, "  ");
		print_pipe(q, &q->pipe[i], out);
	}
	for (uint32_t i = 0; i < q->n_subqueries; i++) {
		buf_printf(out, "  #%u: ", i);
		print_stage(q->subqueries[i], q->subqueries[i]->stage, out);
	}
}

void query_free(struct query *q)
{
	if (!q)
		return;
	for (uint32_t i = 0; i < q->n_subqueries; i++)
		query_free((struct query *)q->subqueries[i]);
	arena_free(&q->arena);
	free(q);
}
