/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lower - each written form becomes the one op that means it.
 *
 * An expression stands in one of two places. Where a condition is wanted (the root, and below and, or, not)
 * elastic's leaves get IR_TRUTH; where a value is wanted, they stay three-valued. What is known to be null by its
 * text alone (elastic: an optional field that no event can have) becomes the constant, which IR_TRUTH never touches:
 * `not ?unknown == "a"` is null, and matches nothing.
 */
#include "rule/lower.h"
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/ip.h"
#include "base/json.h"
#include "base/nearest.h"
#include "rule/build.h"
#include "rule/function.h"

enum { PIPE_DEFAULT = 50 }; /* head and tail without a number, in endgame */

struct lowering {
	struct query_builder b;
	const struct query_options *options;
	const struct ast_query *ast;
	const char *text;
	size_t n;
	struct diag *diag;
	bool elastic;  /* its null rules, lists and letters */
	bool is_value; /* no condition is wanted at the root */
	bool in_pipe;
	bool counted;   /* behind count: events have other fields */
	bool tallied;   /* behind unique_count: they have more */
	uint32_t stage; /* the term whose condition is lowered */
	struct str vars[RULE_VARIABLES_MAX];
	unsigned n_vars;
	struct query *subs[RULE_SUBQUERIES_MAX];
	uint32_t n_subs;
};

#define fail_at(lo, where_at, where_len, ...)                                                                          \
	diag_at((lo)->diag, (lo)->text, (lo)->n, (where_at), (where_len), __VA_ARGS__)
#define fail_on(lo, a, ...) fail_at(lo, (a)->at, (a)->len, __VA_ARGS__)

static int value(struct lowering *lo, const struct ast *a, ir_ref *ret_ref);
static int condition(struct lowering *lo, const struct ast *a, ir_ref *ret_ref);

/* What a builder refused, as a message with a place. */
static int refused(struct lowering *lo, const struct ast *a)
{
	if (lo->b.no_name)
		return diag_fail(lo->diag, -E2BIG, lo->text, lo->n, a->at, a->len,
				 "this field's name is too long or too deep, or there are too many names");
	if (lo->b.too_many)
		return diag_fail(lo->diag, -E2BIG, lo->text, lo->n, a->at, a->len, "a rule of more than %d parts",
				 RULE_NODES_MAX);
	return diag_fail(lo->diag, -ENOMEM, lo->text, lo->n, a->at, 0, "no memory left for the rule");
}

static int made(struct lowering *lo, const struct ast *a, ir_ref ref, ir_ref *ret_ref)
{
	*ret_ref = ref;
	return ref ? 0 : refused(lo, a);
}

static struct ir_node *node(struct lowering *lo, ir_ref ref)
{
	return build_at(&lo->b, ref);
}

static bool is_null(struct lowering *lo, ir_ref ref)
{
	return node(lo, ref)->op == IR_NULL;
}

/* Nodes of the leaves: what decides by itself. */
static unsigned leaf_flags(const struct lowering *lo)
{
	return lo->elastic ? IR_ANY : 0;
}

/* ---- fields ----------------------------------------------------------------------------- */

static void hint(struct lowering *lo, const char *best)
{
	if (lo->diag && best)
		(void)snprintf(lo->diag->hint, sizeof(lo->diag->hint), "%s", best);
}

static void offer(struct nearest *near, const char *name)
{
	if (name)
		nearest_offer(near, name);
}

static int unknown_field(struct lowering *lo, const struct ast *a, struct str name)
{
	const struct rule_schema *schema = lo->options->schema;
	char word[FIELD_NAME_MAX + 1];
	struct nearest near = { .word = word };
	int r;

	(void)snprintf(word, sizeof(word), "%.*s", (int)name.n, name.p);
	r = fail_on(lo, a, "unknown field \"%s\"", word);
	if (lo->counted || lo->tallied)
		offer(&near, "count"), offer(&near, "percent"), offer(&near, "key");
	for (size_t i = 0; schema && schema->name && schema->name(schema->subject, i); i++)
		nearest_offer(&near, schema->name(schema->subject, i));
	hint(lo, near.best);
	return r;
}

static bool str_is(struct str s, const char *word)
{
	return s.n == strlen(word) && !memcmp(s.p, word, s.n);
}

/* Fields that a pipe added. */
static bool is_pipe_field(const struct lowering *lo, struct str name, enum rule_type *ret_type)
{
	if (!lo->in_pipe || (!lo->counted && !lo->tallied))
		return false;
	*ret_type = RULE_NUMBER;
	if (str_is(name, "count") || str_is(name, "percent") || str_is(name, "total_hosts"))
		return true;
	*ret_type = RULE_UNKNOWN;
	return str_is(name, "key") || str_is(name, "hosts");
}

static bool field_type(const struct lowering *lo, struct str name, enum rule_type *ret_type)
{
	const struct rule_schema *schema = lo->options->schema;
	const char *timestamp = lo->options->timestamp_field ? lo->options->timestamp_field : "@timestamp";

	*ret_type = RULE_UNKNOWN;
	if (is_pipe_field(lo, name, ret_type))
		return true;
	/* What a pipe counted has nothing of the events that it counted. */
	if (lo->in_pipe && lo->counted && schema && schema->field)
		return false;
	if (schema && schema->field && !schema->field(schema->subject, name.p, name.n, ret_type))
		return false;
	if (*ret_type == RULE_UNKNOWN && lo->elastic && str_is(name, timestamp))
		*ret_type = RULE_DATE;
	return true;
}

static int load(struct lowering *lo, const struct ast *a, struct str name, int event, ir_ref *ret_ref)
{
	enum rule_type type;
	int r;

	if (!field_type(lo, name, &type)) {
		if (lo->elastic && a->optional)
			return made(lo, a, build_null(&lo->b), ret_ref);
		return unknown_field(lo, a, name);
	}
	r = made(lo, a, build_field(&lo->b, name.p, name.n, type, a->optional ? IR_OPTIONAL : 0), ret_ref);
	if (r >= 0)
		node(lo, *ret_ref)->field.event = (int16_t)event;
	return r;
}

static int member(struct lowering *lo, const struct ast *a, ir_ref kid, struct str name, ir_ref *ret_ref)
{
	ir_ref field = build_field(&lo->b, name.p, name.n, RULE_UNKNOWN, 0), ref;
	struct ir_field f;

	if (!field)
		return refused(lo, a);
	f = node(lo, field)->field;
	ref = build_node(&lo->b, IR_MEMBER, 0, &kid, 1);
	if (ref)
		node(lo, ref)->field = f;
	return made(lo, a, ref, ret_ref);
}

/* The name's first segment. */
static struct str head_of(struct str name)
{
	const char *dot = memchr(name.p, '.', name.n);
	size_t n = dot ? (size_t)(dot - name.p) : name.n;

	/* "$.x" is one segment: a variable. */
	if (n == 1 && name.p[0] == '$' && dot) {
		const char *next = memchr(dot + 1, '.', name.n - 2);

		n = next ? (size_t)(next - name.p) : name.n;
	}
	return (struct str) { name.p, n };
}

static bool str_same(struct str a, struct str b)
{
	return a.n == b.n && !memcmp(a.p, b.p, a.n);
}

static int variable(struct lowering *lo, const struct ast *a, unsigned var, struct str rest, ir_ref *ret_ref)
{
	ir_ref ref = build_node(&lo->b, IR_VAR, 0, NULL, 0);

	if (!ref)
		return refused(lo, a);
	node(lo, ref)->i = var;
	if (rest.n)
		return member(lo, a, ref, rest, ret_ref);
	*ret_ref = ref;
	return 0;
}

/* e0.field: of what an earlier term matched. *ret_stage -1: the name begins with no alias. */
static int alias_of(struct lowering *lo, const struct ast *a, struct str head, int *ret_stage)
{
	uint32_t i = 0;

	*ret_stage = -1;
	for (const struct ast_term *t = lo->ast->first; t; t = t->next, i++) {
		if (!t->alias.p || !str_same(t->alias, head))
			continue;
		if (i >= lo->stage || t->missing)
			return fail_on(lo, a, "\"%.*s\" names a term that %s", (int)head.n, head.p,
				       t->missing ? "matches no event" : "is not before this one");
		*ret_stage = (int)i;
		return 0;
	}
	return 0;
}

static int field(struct lowering *lo, const struct ast *a, ir_ref *ret_ref)
{
	struct str head = head_of(a->str), rest = { 0 };
	int stage, r;

	if (head.n < a->str.n)
		rest = (struct str) { a->str.p + head.n + 1, a->str.n - head.n - 1 };
	for (unsigned i = lo->n_vars; i-- > 0;)
		if (str_same(lo->vars[i], head))
			return variable(lo, a, i, rest, ret_ref);
	if (head.p[0] == '$')
		return fail_on(lo, a, "unknown variable \"$%.*s\": arraySearch() and arrayCount() name theirs",
			       (int)head.n - 2, head.p + 2);
	if (rest.n && lo->ast->kind == QUERY_SEQUENCE && !lo->in_pipe) {
		r = alias_of(lo, a, head, &stage);
		if (r < 0)
			return r;
		if (stage >= 0)
			return load(lo, a, rest, stage, ret_ref);
	}
	return load(lo, a, a->str, -1, ret_ref);
}

/* events[1].field in a pipe: of the second event. */
static bool is_event_item(const struct lowering *lo, const struct ast *a)
{
	return lo->in_pipe && a->op == AST_ITEM && a->kid->op == AST_FIELD && str_is(a->kid->str, "events");
}

static int item_member(struct lowering *lo, const struct ast *a, ir_ref *ret_ref)
{
	ir_ref kid;
	int r;

	if (is_event_item(lo, a->kid)) {
		if (a->kid->i >= lo->ast->n_terms)
			return fail_on(lo, a->kid, "there are %u events, from events[0] on", lo->ast->n_terms);
		return load(lo, a, a->str, (int)a->kid->i, ret_ref);
	}
	r = value(lo, a->kid, &kid);
	return r < 0 ? r : member(lo, a, kid, a->str, ret_ref);
}

static int item(struct lowering *lo, const struct ast *a, ir_ref *ret_ref)
{
	ir_ref kid, ref;
	int r;

	r = value(lo, a->kid, &kid);
	if (r < 0)
		return r;
	ref = build_node(&lo->b, IR_ITEM, 0, &kid, 1);
	if (ref)
		node(lo, ref)->i = a->i;
	return made(lo, a, ref, ret_ref);
}

/* ---- types ------------------------------------------------------------------------------ */

enum family { FAMILY_ANY, FAMILY_BOOLEAN, FAMILY_NUMBER, FAMILY_TEXT };

static enum family family_of(enum rule_type type)
{
	switch (type) {
	case RULE_BOOLEAN:
		return FAMILY_BOOLEAN;
	case RULE_NUMBER:
		return FAMILY_NUMBER;
	case RULE_KEYWORD:
	case RULE_TEXT:
	case RULE_DATE:
	case RULE_IP:
	case RULE_VERSION:
		return FAMILY_TEXT;
	default:
		return FAMILY_ANY;
	}
}

/* "text", "a number", for messages. */
static const char *type_words(enum rule_type type)
{
	switch (type) {
	case RULE_BOOLEAN:
		return "true or false";
	case RULE_NUMBER:
		return "a number";
	case RULE_DATE:
		return "a date";
	case RULE_IP:
		return "an address";
	case RULE_VERSION:
		return "a version";
	case RULE_OBJECT:
		return "an object";
	case RULE_NULL:
		return "null";
	default:
		return "text";
	}
}

static int mismatch(struct lowering *lo, const struct ast *a, enum rule_type got, enum rule_type want)
{
	return fail_on(lo, a, "this is %s, and is compared with %s", type_words(got), type_words(want));
}

static int to_number(struct lowering *lo, const struct ast *a, struct ir_node *n)
{
	char copy[64], *end;
	long long i;
	double f;

	if (n->str.n && n->str.n < sizeof(copy) && !memchr(n->str.p, 0, n->str.n)) {
		memcpy(copy, n->str.p, n->str.n + 1);
		errno = 0;
		i = strtoll(copy, &end, 10);
		if (!errno && !*end) {
			n->op = IR_INT;
			n->i = i;
			n->type = RULE_NUMBER;
			return 0;
		}
		f = strtod(copy, &end);
		if (!*end && isfinite(f)) {
			n->op = IR_FLOAT;
			n->f = f;
			n->type = RULE_NUMBER;
			return 0;
		}
	}
	return fail_on(lo, a, "the field holds numbers, and this text is none");
}

static int to_text(struct lowering *lo, const struct ast *a, ir_ref ref)
{
	auto_buf struct buf text = { .max = 64 };
	struct ir_node *n = node(lo, ref);
	const char *copy;

	if (n->op == IR_INT)
		buf_i64(&text, n->i);
	else if (n->op == IR_FLOAT)
		json_write_double(&text, n->f);
	else
		buf_str(&text, n->b ? "true" : "false");
	copy = arena_str(&lo->b.q->arena, buf_text(&text), text.len);
	if (!copy)
		return refused(lo, a);
	n->op = IR_STR;
	n->type = RULE_KEYWORD;
	n->str = (struct str) { copy, text.len };
	return 0;
}

static int to_date(struct lowering *lo, const struct ast *a, struct ir_node *n)
{
	char full[CLOCK_TEXT + 8];
	int64_t ns;

	if (n->op == IR_INT) {
		if (__builtin_mul_overflow(n->i, (int64_t)NS_PER_MS, &ns))
			return fail_on(lo, a, "this date is out of range (it counts ms since 1970)");
	} else if (n->op == IR_STR && n->str.n < CLOCK_TEXT + 6) {
		/* 2024-05-06 is its midnight, and without a zone it is UTC. */
		(void)snprintf(full, sizeof(full), "%s%s", n->str.p, n->str.n == 10 ? "T00:00:00Z" : "Z");
		if (!clock_parse(n->str.p, n->str.n, &ns) && !clock_parse(full, strlen(full), &ns))
			return fail_on(lo, a, "this is no date: write \"2024-05-06T07:08:09Z\"");
	} else {
		return fail_on(lo, a, "this is no date: write \"2024-05-06T07:08:09Z\", or ms since 1970");
	}
	n->op = IR_INT;
	n->type = RULE_DATE;
	n->i = ns;
	return 0;
}

static bool is_network(struct str s)
{
	const char *slash = memchr(s.p, '/', s.n);
	size_t address = slash ? (size_t)(slash - s.p) : s.n, bits = 0;
	uint8_t bytes[16];

	if (!ip_parse(s.p, address, bytes))
		return false;
	if (!slash)
		return true;
	if (s.n - address < 2 || s.n - address > 4)
		return false;
	for (size_t i = address + 1; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		bits = bits * 10 + (size_t)(s.p[i] - '0');
	}
	return bits <= (memchr(s.p, ':', address) ? 128 : 32);
}

/*
 * A constant beside a field whose type is declared becomes a constant of that type: user.id == 0 finds "0" where ids
 * are keywords. What cannot is an error. In endgame types are never bent.
 */
static int coerce(struct lowering *lo, const struct ast *a, ir_ref ref, enum rule_type want)
{
	struct ir_node *n = node(lo, ref);

	if (n->op == IR_NULL || want == RULE_UNKNOWN || want == RULE_NULL || want == RULE_OBJECT)
		return 0;
	if (want == RULE_DATE)
		return to_date(lo, a, n);
	if (want == RULE_IP) {
		if (n->op != IR_STR || !is_network(n->str))
			return fail_on(lo, a,
				       "this is no address: write \"10.1.2.3\", \"2001:db8::1\" or \"10.0.0.0/8\"");
		return 0;
	}
	if (family_of(n->type) == family_of(want))
		return 0;
	if (!lo->elastic)
		return mismatch(lo, a, n->type, want);
	if (want == RULE_NUMBER && n->op == IR_STR)
		return to_number(lo, a, n);
	if (want == RULE_BOOLEAN && n->op == IR_STR && (str_is(n->str, "true") || str_is(n->str, "false"))) {
		bool b = str_is(n->str, "true");

		n->op = IR_BOOL;
		n->type = RULE_BOOLEAN;
		n->b = b;
		return 0;
	}
	if (family_of(want) == FAMILY_TEXT)
		return to_text(lo, a, ref);
	return mismatch(lo, a, n->type, want);
}

static bool is_special(enum rule_type type)
{
	return type == RULE_DATE || type == RULE_IP || type == RULE_VERSION;
}

/*
 * Brings the two sides of a comparison together; *ret_as is how they are read. Constants are bent to fields alone:
 * length(x) == "3" is a mistake.
 */
static int agree(struct lowering *lo, const struct ast *aa, ir_ref a, const struct ast *bb, ir_ref b, uint8_t *ret_as)
{
	enum rule_type ta = node(lo, a)->type, tb = node(lo, b)->type;
	bool fixed_a = node(lo, a)->op <= IR_STR, fixed_b = node(lo, b)->op <= IR_STR;
	int r = 0;

	*ret_as = RULE_UNKNOWN;
	if (is_special(ta) || is_special(tb))
		*ret_as = (uint8_t)(is_special(ta) ? ta : tb);
	if (fixed_b && node(lo, a)->op == IR_FIELD)
		r = coerce(lo, bb, b, ta);
	else if (fixed_a && node(lo, b)->op == IR_FIELD)
		r = coerce(lo, aa, a, tb);
	else if (family_of(ta) && family_of(tb) && family_of(ta) != family_of(tb))
		r = mismatch(lo, bb, tb, ta);
	return r;
}

/* ---- comparisons ------------------------------------------------------------------------ */

static void truth(struct lowering *lo, ir_ref ref)
{
	struct ir_node *n = node(lo, ref);

	/* What is never null, or decides by its kids, or is null for good, has no use for it. */
	if (lo->elastic && n->op > IR_STR && n->op != IR_AND && n->op != IR_OR && n->op != IR_NOT &&
	    n->op != IR_IS_NULL && n->op != IR_LINEAGE)
		n->flags |= IR_TRUTH;
}

static int typed(struct lowering *lo, const struct ast *a, ir_ref ref, enum rule_type type, ir_ref *ret_ref)
{
	if (ref)
		node(lo, ref)->type = (uint8_t)type;
	return made(lo, a, ref, ret_ref);
}

static int negate(struct lowering *lo, const struct ast *a, ir_ref kid, ir_ref *ret_ref)
{
	return typed(lo, a, build_node(&lo->b, IR_NOT, 0, &kid, 1), RULE_BOOLEAN, ret_ref);
}

/* x == null, x != null: is there an x? */
static int existence(struct lowering *lo, const struct ast *a, ir_ref kid, bool is_there, ir_ref *ret_ref)
{
	int r;

	if (is_null(lo, kid))
		return made(lo, a, build_bool(&lo->b, !is_there), ret_ref);
	r = typed(lo, a, build_node(&lo->b, IR_IS_NULL, 0, &kid, 1), RULE_BOOLEAN, ret_ref);
	return r < 0 || !is_there ? r : negate(lo, a, *ret_ref, ret_ref);
}

static bool is_fixed(const struct ast *a)
{
	return a->op <= AST_STR;
}

static unsigned endgame_fold(const struct lowering *lo)
{
	return lo->elastic || lo->options->case_sensitive ? 0 : IR_FOLD;
}

/* endgame: == and != with a * in a literal are wildcards. */
static bool is_star(const struct lowering *lo, const struct ast *a)
{
	return !lo->elastic && a->op == AST_STR && memchr(a->str.p, '*', a->str.n);
}

static int star(struct lowering *lo, const struct ast *a, const struct ast *text, const struct ast *pattern,
		ir_ref *ret_ref)
{
	ir_ref kids[2];
	int r;

	r = value(lo, text, &kids[0]);
	r = r < 0 ? r : value(lo, pattern, &kids[1]);
	if (r < 0)
		return r;
	if (family_of(node(lo, kids[0])->type) > FAMILY_ANY && family_of(node(lo, kids[0])->type) != FAMILY_TEXT)
		return mismatch(lo, pattern, RULE_KEYWORD, node(lo, kids[0])->type);
	r = typed(lo, a, build_node(&lo->b, IR_LIKE, IR_STAR | endgame_fold(lo), kids, 2), RULE_BOOLEAN, ret_ref);
	return r < 0 || a->op == AST_EQ ? r : negate(lo, a, *ret_ref, ret_ref);
}

static enum ir_op swapped(enum ir_op op)
{
	switch (op) {
	case IR_LT:
		return IR_GT;
	case IR_LE:
		return IR_GE;
	case IR_GT:
		return IR_LT;
	case IR_GE:
		return IR_LE;
	default:
		return op;
	}
}

static int compare(struct lowering *lo, const struct ast *a, bool wants_condition, ir_ref *ret_ref)
{
	static const uint8_t ops[] = {
		[AST_EQ] = IR_EQ, [AST_NE] = IR_NE, [AST_LT] = IR_LT,
		[AST_LE] = IR_LE, [AST_GT] = IR_GT, [AST_GE] = IR_GE,
	};
	const struct ast *left = a->kid, *right = a->kid->next;
	enum ir_op op = ops[a->op];
	bool equality = op == IR_EQ || op == IR_NE, not_equal = false;
	ir_ref kids[2];
	uint8_t as;
	int r;

	if (equality && is_star(lo, right))
		return star(lo, a, left, right, ret_ref);
	if (equality && is_star(lo, left))
		return star(lo, a, right, left, ret_ref);
	/* Constants stand on the right. */
	if (is_fixed(left) && !is_fixed(right)) {
		const struct ast *t = left;

		left = right;
		right = t;
		op = swapped(op);
	}
	r = value(lo, left, &kids[0]);
	r = r < 0 ? r : value(lo, right, &kids[1]);
	if (r < 0)
		return r;
	if (equality && is_null(lo, kids[1]))
		return existence(lo, a, kids[0], op == IR_NE, ret_ref);
	if (equality && is_null(lo, kids[0]))
		return existence(lo, a, kids[1], op == IR_NE, ret_ref);
	if (is_null(lo, kids[0]) || is_null(lo, kids[1]))
		return made(lo, a, build_null(&lo->b), ret_ref);
	r = agree(lo, left, kids[0], right, kids[1], &as);
	if (r < 0)
		return r;
	if (!equality && (node(lo, kids[0])->type == RULE_BOOLEAN || node(lo, kids[1])->type == RULE_BOOLEAN))
		return fail_on(lo, a, "true and false have no order");
	/* elastic: field != "x" asks whether no value of it is "x", which is true where there is none. */
	if (lo->elastic && wants_condition && op == IR_NE && node(lo, kids[0])->op == IR_FIELD &&
	    ir_is_const(node(lo, kids[1]))) {
		op = IR_EQ;
		not_equal = true;
	}
	r = typed(lo, a, build_node(&lo->b, op, leaf_flags(lo) | endgame_fold(lo), kids, 2), RULE_BOOLEAN, ret_ref);
	if (r < 0)
		return r;
	node(lo, *ret_ref)->as = as;
	if (!not_equal)
		return 0;
	truth(lo, *ret_ref);
	return negate(lo, a, *ret_ref, ret_ref);
}

/* ---- in, :, like, regex ------------------------------------------------------------------ */

static bool has_wildcard(struct str s)
{
	return memchr(s.p, '*', s.n) || memchr(s.p, '?', s.n);
}

/* Room for a list's values, of the scratch of one rule. */
static ir_ref *kids_new(struct lowering *lo, const struct ast *a, size_t n, int *ret_r)
{
	ir_ref *kids = arena_zeroed(&lo->b.q->arena, n, sizeof(*kids));

	*ret_r = kids ? 0 : refused(lo, a);
	return kids;
}

static int in_list(struct lowering *lo, const struct ast *a, ir_ref *kids, size_t n, bool folds, ir_ref *ret_ref)
{
	const struct ast *v = a->kid->next;
	uint8_t as = RULE_UNKNOWN, each;
	int r;

	for (size_t i = 1; i < n; i++) {
		if (!is_null(lo, kids[i]) && !is_null(lo, kids[0])) {
			r = agree(lo, a->kid, kids[0], v, kids[i], &each);
			if (r < 0)
				return r;
			as = each ? each : as;
		}
		v = v->next;
	}
	if (is_null(lo, kids[0]))
		return made(lo, a, build_null(&lo->b), ret_ref);
	r = typed(lo, a, build_node(&lo->b, IR_IN, leaf_flags(lo) | endgame_fold(lo) | (folds ? IR_FOLD : 0), kids, n),
		  RULE_BOOLEAN, ret_ref);
	if (r >= 0)
		node(lo, *ret_ref)->as = as;
	return r;
}

static int set_in(struct lowering *lo, const struct ast *a, ir_ref *ret_ref)
{
	ir_ref *kids;
	size_t i = 0;
	int r;

	kids = kids_new(lo, a, a->n, &r);
	for (const struct ast *k = a->kid; r >= 0 && k; k = k->next)
		r = value(lo, k, &kids[i++]);
	return r < 0 ? r : in_list(lo, a, kids, i, a->tilde, ret_ref);
}

/* Checks what patterns are held against. */
static int check_text(struct lowering *lo, const struct ast *a, ir_ref ref)
{
	enum rule_type type = node(lo, ref)->type;

	if (family_of(type) == FAMILY_BOOLEAN || family_of(type) == FAMILY_NUMBER)
		return fail_on(lo, a, "a pattern needs text, and this is %s", type_words(type));
	return 0;
}

static int set_pattern(struct lowering *lo, const struct ast *a, enum ir_op op, bool folds, unsigned flags,
		       ir_ref *ret_ref)
{
	ir_ref *kids;
	size_t i = 0;
	int r;

	kids = kids_new(lo, a, a->n, &r);
	for (const struct ast *k = a->kid; r >= 0 && k; k = k->next) {
		if (i && k->op != AST_STR)
			return fail_on(lo, k, "a pattern is a string: \"...\"");
		r = value(lo, k, &kids[i++]);
	}
	r = r < 0 ? r : check_text(lo, a->kid, kids[0]);
	if (r < 0)
		return r;
	if (is_null(lo, kids[0]))
		return made(lo, a, build_null(&lo->b), ret_ref);
	flags |= leaf_flags(lo) | (folds ? IR_FOLD : 0);
	return typed(lo, a, build_node(&lo->b, op, flags, kids, i), RULE_BOOLEAN, ret_ref);
}

/* `:` is like~ for strings and == for all else; a list may have both. */
static int set_colon(struct lowering *lo, const struct ast *a, ir_ref *ret_ref)
{
	ir_ref *like, *in, both[2], subject;
	enum rule_type type;
	size_t n_like = 1, n_in = 1;
	struct ast equals = *a;
	int r;

	r = value(lo, a->kid, &subject);
	if (r < 0)
		return r;
	type = node(lo, subject)->type;
	like = kids_new(lo, a, a->n, &r);
	in = r < 0 ? NULL : kids_new(lo, a, a->n, &r);
	if (r < 0)
		return r;
	like[0] = in[0] = subject;
	/* in_list() walks the values beside their places in the text: the same list, without the patterns. */
	struct ast *places = arena_zeroed(&lo->b.q->arena, a->n, sizeof(*places));

	if (!places)
		return refused(lo, a);
	places[0] = *a->kid;
	places[0].next = NULL;
	for (const struct ast *k = a->kid->next; k; k = k->next) {
		bool pattern = k->op == AST_STR && (type == RULE_UNKNOWN || type == RULE_KEYWORD || type == RULE_TEXT ||
						    has_wildcard(k->str) || type == RULE_NULL || type == RULE_OBJECT);

		if (!is_fixed(k))
			return fail_on(lo, k, "expected a constant behind \":\"");
		r = value(lo, k, pattern ? &like[n_like++] : &in[n_in]);
		if (r < 0)
			return r;
		if (pattern)
			continue;
		places[n_in] = *k;
		places[n_in].next = NULL;
		places[n_in - 1].next = &places[n_in];
		n_in++;
	}
	if (is_null(lo, subject))
		return made(lo, a, build_null(&lo->b), ret_ref);
	if (n_like > 1) {
		r = check_text(lo, a->kid, subject);
		r = r < 0 ? r
			  : typed(lo, a, build_node(&lo->b, IR_LIKE, leaf_flags(lo) | IR_FOLD, like, n_like),
				  RULE_BOOLEAN, &both[0]);
		if (r < 0)
			return r;
	}
	if (n_in > 1) {
		equals.kid = &places[0];
		r = in_list(lo, &equals, in, n_in, true, &both[1]);
		if (r < 0)
			return r;
	}
	if (n_like > 1 && n_in > 1)
		return typed(lo, a, build_node(&lo->b, IR_OR, 0, both, 2), RULE_BOOLEAN, ret_ref);
	*ret_ref = both[n_like <= 1];
	return 0;
}

static int set(struct lowering *lo, const struct ast *a, ir_ref *ret_ref)
{
	switch (a->op) {
	case AST_IN:
		return set_in(lo, a, ret_ref);
	case AST_COLON:
		return set_colon(lo, a, ret_ref);
	case AST_LIKE:
		return set_pattern(lo, a, IR_LIKE, a->tilde, 0, ret_ref);
	default:
		return set_pattern(lo, a, IR_REGEX, a->tilde, 0, ret_ref);
	}
}

/* ---- calls ------------------------------------------------------------------------------ */

static int unknown_function(struct lowering *lo, const struct ast *a)
{
	char word[64];
	struct nearest near = { .word = word };
	const struct rule_function *f;
	int r;

	(void)snprintf(word, sizeof(word), "%.*s", (int)a->str.n, a->str.p);
	r = fail_at(lo, a->at, a->str.n, "unknown function \"%s\"", word);
	for (size_t i = 0; (f = rule_function_at(i)); i++)
		if (!lo->elastic || !f->endgame_only)
			nearest_offer(&near, f->name);
	/* Only the case is wrong: nothing is nearer. */
	f = rule_function_find(a->str.p, a->str.n, false);
	hint(lo, f ? f->name : near.best);
	return r;
}

static int check_argument(struct lowering *lo, const struct rule_function *f, const struct ast *a, ir_ref ref,
			  char want)
{
	const struct ir_node *n = node(lo, ref);
	enum family family = family_of(n->type);

	switch (want) {
	case 's':
	case 'l':
	case 'A':
		if (family == FAMILY_NUMBER || family == FAMILY_BOOLEAN)
			return fail_on(lo, a, "%s() wants text here, and this is %s", f->name, type_words(n->type));
		return 0;
	case 'n':
		if (family == FAMILY_TEXT || family == FAMILY_BOOLEAN)
			return fail_on(lo, a, "%s() wants a number here, and this is %s", f->name, type_words(n->type));
		return 0;
	case 'b':
		if (family == FAMILY_TEXT || family == FAMILY_NUMBER)
			return fail_on(lo, a, "%s() wants true or false here, and this is %s", f->name,
				       type_words(n->type));
		return 0;
	case 'P':
		return n->op == IR_STR ? 0 : fail_on(lo, a, "%s() wants a pattern here: a string", f->name);
	case 'C':
		if (n->op != IR_STR || !is_network(n->str) ||
		    (!lo->elastic && lo->options->strict_endgame && !memchr(n->str.p, '/', n->str.n)))
			return fail_on(lo, a, "%s() wants a network here: \"10.0.0.0/8\", \"fe80::/10\"", f->name);
		return 0;
	default:
		return 0;
	}
}

/* arraySearch(list, x, body): x names an item in the body, and nowhere else. */
static int items(struct lowering *lo, const struct rule_function *f, const struct ast *a, ir_ref *ret_ref)
{
	const struct ast *list = a->kid, *name = list->next, *body = name->next;
	unsigned var = lo->n_vars;
	ir_ref kids[2], ref;
	int r;

	if (name->op != AST_FIELD || head_of(name->str).n != name->str.n || name->optional)
		return fail_on(lo, name, "%s() wants a name for the item here", f->name);
	if (var >= RULE_VARIABLES_MAX)
		return diag_fail(lo->diag, -E2BIG, lo->text, lo->n, a->at, a->len,
				 "more than %d of arraySearch() and arrayCount() within each other",
				 RULE_VARIABLES_MAX);
	r = value(lo, list, &kids[0]);
	r = r < 0 ? r : check_argument(lo, f, list, kids[0], 'l');
	if (r < 0)
		return r;
	lo->vars[lo->n_vars++] = name->str;
	r = condition(lo, body, &kids[1]);
	lo->n_vars--;
	if (r < 0)
		return r;
	ref = build_call(&lo->b, f->fn, endgame_fold(lo), kids, 2);
	if (ref)
		node(lo, ref)->var = var;
	return typed(lo, a, ref, f->type, ret_ref);
}

static int check_arity(struct lowering *lo, const struct rule_function *f, const struct ast *a)
{
	if (a->n >= f->min && a->n <= f->max)
		return 0;
	if (f->min == f->max)
		return fail_on(lo, a, "%s() wants %u argument%s, and has %u", f->name, f->min, f->min == 1 ? "" : "s",
			       a->n);
	if (a->n < f->min)
		return fail_on(lo, a, "%s() wants at least %u argument%s, and has %u", f->name, f->min,
			       f->min == 1 ? "" : "s", a->n);
	return fail_on(lo, a, "%s() wants at most %u arguments, and has %u", f->name, f->max, a->n);
}

static int call_flags(struct lowering *lo, const struct rule_function *f, const struct ast *a, unsigned *ret_flags)
{
	*ret_flags = f->flags;
	if (a->tilde && (!f->folds || (!lo->elastic && lo->options->strict_endgame)))
		return fail_at(lo, a->at, a->str.n + 1, "%s() has no form with ~", f->name);
	if (a->tilde)
		*ret_flags |= IR_FOLD;
	if (f->folds || f->form == FORM_PATTERN || f->fn == IR_ARRAY_CONTAINS)
		*ret_flags |= endgame_fold(lo);
	if (f->type == RULE_BOOLEAN)
		*ret_flags |= leaf_flags(lo);
	return 0;
}

static int call(struct lowering *lo, const struct ast *a, ir_ref *ret_ref)
{
	const struct rule_function *f = rule_function_find(a->str.p, a->str.n, !lo->elastic);
	unsigned flags, i = 0;
	ir_ref *kids, ref;
	bool null = false;
	int r;

	/* The endpoint has arraySearch() too, for lists of objects; the other old ones have operators now. */
	if (f && f->endgame_only && lo->elastic && f->form != FORM_ITEMS) {
		r = fail_at(lo, a->at, a->str.n, "%s() is of the dialect endgame", f->name);
		hint(lo, f->op == IR_LIKE ? "like" : f->op == IR_REGEX ? "regex" : NULL);
		return r;
	}
	if (!f || (lo->elastic && f->form == FORM_ITEMS && lo->options->dialect != RULE_ENDPOINT))
		return unknown_function(lo, a);
	r = check_arity(lo, f, a);
	r = r < 0 ? r : call_flags(lo, f, a, &flags);
	if (r < 0)
		return r;
	if (f->form == FORM_ITEMS)
		return items(lo, f, a, ret_ref);
	if (f->form == FORM_SELF)
		return value(lo, a->kid, ret_ref);
	kids = kids_new(lo, a, a->n, &r);
	for (const struct ast *k = a->kid; r >= 0 && k; k = k->next, i++) {
		size_t args = strlen(f->args);

		r = value(lo, k, &kids[i]);
		r = r < 0 ? r : check_argument(lo, f, k, kids[i], f->args[i < args ? i : args - 1]);
		/* Arguments that may be left out may be null; the others make the whole null. */
		null |= r >= 0 && is_null(lo, kids[i]) && (i < f->min || f->fn == IR_CONCAT);
	}
	if (r < 0)
		return r;
	if (null && f->fn != IR_ARRAY_CONTAINS)
		return made(lo, a, build_null(&lo->b), ret_ref);
	ref = f->form == FORM_CALL ? build_call(&lo->b, f->fn, flags, kids, i)
				   : build_node(&lo->b, f->op, flags, kids, i);
	return typed(lo, a, ref, f->type, ret_ref);
}

/* ---- arithmetic ------------------------------------------------------------------------- */

static int arithmetic(struct lowering *lo, const struct ast *a, ir_ref *ret_ref)
{
	static const uint8_t ops[] = {
		[AST_NEG] = IR_NEG, [AST_ADD] = IR_ADD, [AST_SUB] = IR_SUB,
		[AST_MUL] = IR_MUL, [AST_DIV] = IR_DIV, [AST_MOD] = IR_MOD,
	};
	ir_ref kids[2] = { 0 };
	bool null = false;
	size_t i = 0;
	int r;

	for (const struct ast *k = a->kid; k; k = k->next, i++) {
		enum family family;

		r = value(lo, k, &kids[i]);
		if (r < 0)
			return r;
		family = family_of(node(lo, kids[i])->type);
		if (family == FAMILY_TEXT || family == FAMILY_BOOLEAN)
			return fail_on(lo, k, "only numbers can be reckoned with, and this is %s",
				       type_words(node(lo, kids[i])->type));
		null |= is_null(lo, kids[i]);
	}
	if (null)
		return made(lo, a, build_null(&lo->b), ret_ref);
	return typed(lo, a, build_node(&lo->b, ops[a->op], 0, kids, i), RULE_NUMBER, ret_ref);
}

/* ---- and, or, not ------------------------------------------------------------------------ */

static int boolean(struct lowering *lo, const struct ast *a, bool wants_condition, ir_ref *ret_ref)
{
	static const uint8_t ops[] = { [AST_AND] = IR_AND, [AST_OR] = IR_OR, [AST_NOT] = IR_NOT };
	ir_ref *kids;
	size_t i = 0;
	int r;

	kids = kids_new(lo, a, a->n, &r);
	for (const struct ast *k = a->kid; r >= 0 && k; k = k->next, i++)
		r = wants_condition ? condition(lo, k, &kids[i]) : value(lo, k, &kids[i]);
	if (r < 0)
		return r;
	return typed(lo, a, build_node(&lo->b, ops[a->op], 0, kids, i), RULE_BOOLEAN, ret_ref);
}

static int lineage(struct lowering *lo, const struct ast *a, ir_ref *ret_ref)
{
	struct query *sub = NULL;
	ir_ref ref;
	int r;

	if (lo->in_pipe)
		return fail_on(lo, a, "a pipe knows nothing of processes: lineage stands in the query");
	if (lo->n_subs >= RULE_SUBQUERIES_MAX)
		return diag_fail(lo->diag, -E2BIG, lo->text, lo->n, a->at, a->len, "more than %d queries of lineage",
				 RULE_SUBQUERIES_MAX);
	r = rule_lower(a->sub, lo->text, lo->n, lo->options, false, lo->diag, &sub);
	if (r < 0)
		return r;
	ref = build_node(&lo->b, IR_LINEAGE, 0, NULL, 0);
	if (!ref) {
		query_free(sub);
		return refused(lo, a);
	}
	node(lo, ref)->sub = lo->n_subs;
	node(lo, ref)->lineage = a->lineage;
	lo->subs[lo->n_subs++] = sub;
	return typed(lo, a, ref, RULE_BOOLEAN, ret_ref);
}

/* ---- both places -------------------------------------------------------------------------- */

static int constant(struct lowering *lo, const struct ast *a, ir_ref *ret_ref)
{
	switch (a->op) {
	case AST_BOOL:
		return made(lo, a, build_bool(&lo->b, a->b), ret_ref);
	case AST_INT:
		return made(lo, a, build_int(&lo->b, a->i), ret_ref);
	case AST_FLOAT:
		return made(lo, a, build_float(&lo->b, a->f), ret_ref);
	case AST_STR:
		return made(lo, a, build_str(&lo->b, a->str.p, a->str.n), ret_ref);
	default:
		return made(lo, a, build_null(&lo->b), ret_ref);
	}
}

static int lower(struct lowering *lo, const struct ast *a, bool wants_condition, ir_ref *ret_ref)
{
	int r;

	lo->b.at = (uint32_t)a->at;
	switch (a->op) {
	case AST_FIELD:
		return field(lo, a, ret_ref);
	case AST_ITEM:
		return item(lo, a, ret_ref);
	case AST_MEMBER:
		return item_member(lo, a, ret_ref);
	case AST_AND:
	case AST_OR:
	case AST_NOT:
		return boolean(lo, a, wants_condition, ret_ref);
	case AST_EQ:
	case AST_NE:
	case AST_LT:
	case AST_LE:
	case AST_GT:
	case AST_GE:
		return compare(lo, a, wants_condition, ret_ref);
	case AST_NEG:
	case AST_ADD:
	case AST_SUB:
	case AST_MUL:
	case AST_DIV:
	case AST_MOD:
		return arithmetic(lo, a, ret_ref);
	case AST_IN:
	case AST_COLON:
	case AST_LIKE:
	case AST_REGEX:
		r = set(lo, a, ret_ref);
		if (r < 0 || !a->negated)
			return r;
		if (wants_condition)
			truth(lo, *ret_ref);
		return negate(lo, a, *ret_ref, ret_ref);
	case AST_CALL:
		return call(lo, a, ret_ref);
	case AST_LINEAGE:
		return lineage(lo, a, ret_ref);
	default:
		return constant(lo, a, ret_ref);
	}
}

static int value(struct lowering *lo, const struct ast *a, ir_ref *ret_ref)
{
	return lower(lo, a, false, ret_ref);
}

static int condition(struct lowering *lo, const struct ast *a, ir_ref *ret_ref)
{
	int r;

	r = lower(lo, a, true, ret_ref);
	if (r < 0)
		return r;
	/* A field by itself: any item of a list will do, as in other leaves. */
	if (lo->elastic && node(lo, *ret_ref)->op == IR_FIELD)
		node(lo, *ret_ref)->flags |= IR_ANY;
	/* `:` of a mixed list is an or of two leaves. */
	if (node(lo, *ret_ref)->op == IR_OR && a->op == AST_COLON && !a->negated)
		for (uint32_t i = 0; i < 2; i++)
			truth(lo, node(lo, *ret_ref)->kid[i]);
	truth(lo, *ret_ref);
	return 0;
}

/* ---- queries ---------------------------------------------------------------------------- */

static int category(struct lowering *lo, const struct ast_term *t, struct query_stage *stage)
{
	const struct rule_schema *schema = lo->options->schema;

	if (!t->category.p) {
		stage->category = NULL;
		return 0;
	}
	if (schema && schema->category && !schema->category(schema->subject, t->category.p, t->category.n))
		return fail_at(lo, t->category_at, t->category_len, "unknown event category \"%.*s\"",
			       (int)t->category.n, t->category.p);
	if (memchr(t->category.p, 0, t->category.n))
		return fail_at(lo, t->category_at, t->category_len, "an event category has no NUL in it");
	stage->category = arena_str(&lo->b.q->arena, t->category.p, t->category.n);
	return stage->category ? 0 : refused(lo, t->condition);
}

static int join_key(struct lowering *lo, const struct ast *a, struct query_key *key)
{
	int r;

	if (lo->elastic && a->op != AST_FIELD)
		return fail_on(lo, a, "sequences and samples are joined by fields");
	if (a->op <= AST_STR)
		return fail_on(lo, a, "a constant joins nothing");
	r = value(lo, a, &key->expr);
	/* The older reference joins null with null. */
	key->optional = a->optional || !lo->elastic;
	return r;
}

static int implicit_key(struct lowering *lo, const struct ast_term *t, struct query_key *key)
{
	const char *name = lo->options->implicit_key;
	struct ast a = { .op = AST_FIELD, .at = t->at, .len = t->len, .str = { name, strlen(name) } };

	return join_key(lo, &a, key);
}

static int stage(struct lowering *lo, const struct ast_term *t, struct query_stage *to)
{
	struct query *q = lo->b.q;
	uint32_t n = 0;
	int r;

	to->missing = t->missing;
	to->fork = t->fork;
	to->runs = t->runs;
	r = category(lo, t, to);
	if (r < 0)
		return r;
	r = lo->is_value ? value(lo, t->condition, &to->condition) : condition(lo, t->condition, &to->condition);
	if (r < 0)
		return r;
	if (t->alias.p && !(to->alias = arena_str(&q->arena, t->alias.p, t->alias.n)))
		return refused(lo, t->condition);
	if (!q->n_keys)
		return 0;
	to->key = arena_zeroed(&q->arena, q->n_keys, sizeof(*to->key));
	if (!to->key)
		return refused(lo, t->condition);
	if (lo->options->implicit_key)
		r = implicit_key(lo, t, &to->key[n++]);
	for (const struct ast *k = lo->ast->keys.first; r >= 0 && k; k = k->next)
		r = join_key(lo, k, &to->key[n++]);
	for (const struct ast *k = t->keys.first; r >= 0 && k; k = k->next)
		r = join_key(lo, k, &to->key[n++]);
	return r;
}

static int check_alias(struct lowering *lo, const struct ast_term *t)
{
	for (const struct ast_term *e = lo->ast->first; e != t; e = e->next)
		if (t->alias.p && e->alias.p && str_same(e->alias, t->alias))
			return fail_at(lo, t->at, t->len, "two terms are called \"%.*s\"", (int)t->alias.n, t->alias.p);
	return 0;
}

static int stages(struct lowering *lo)
{
	const struct ast_query *ast = lo->ast;
	struct query *q = lo->b.q;
	uint32_t i = 0;
	int r = 0;

	q->n_stages = ast->n_terms;
	q->maxspan_ns = ast->maxspan_ns;
	q->n_keys = ast->keys.n + ast->first->keys.n;
	if (lo->options->implicit_key && ast->kind != QUERY_EVENT && ast->kind != QUERY_CONDITION)
		q->n_keys++;
	q->stage = arena_zeroed(&q->arena, q->n_stages, sizeof(*q->stage));
	if (!q->stage)
		return refused(lo, ast->first->condition);
	for (const struct ast_term *t = ast->first; r >= 0 && t; t = t->next, i++) {
		lo->stage = i;
		r = check_alias(lo, t);
		r = r < 0 ? r : stage(lo, t, &q->stage[i]);
	}
	if (r < 0 || !ast->until)
		return r;
	q->until = arena_new(&q->arena, struct query_stage);
	if (!q->until)
		return refused(lo, ast->until->condition);
	lo->stage = 0; /* it belongs to no place in the sequence, so it sees no other's event */
	return stage(lo, ast->until, q->until);
}

static int pipe_count(struct lowering *lo, const struct ast_pipe *p, struct query_pipe *to)
{
	to->count = PIPE_DEFAULT;
	if (!p->n)
		return 0;
	if (p->first->op != AST_INT || p->first->i < 0)
		return fail_on(lo, p->first, "expected a whole number from 0 on");
	to->count = (uint64_t)p->first->i;
	return 0;
}

static int pipe_arguments(struct lowering *lo, const struct ast_pipe *p, struct query_pipe *to)
{
	uint32_t i = 0;
	int r = 0;

	to->arg = arena_zeroed(&lo->b.q->arena, p->n + 1, sizeof(*to->arg));
	if (!to->arg)
		return refused(lo, p->first);
	to->n_args = p->n;
	for (const struct ast *a = p->first; r >= 0 && a; a = a->next) {
		if (p->kind == PIPE_FILTER) {
			r = condition(lo, a, &to->arg[i++]);
			continue;
		}
		if (is_fixed(a))
			return fail_on(lo, a, "a constant is the same of every event");
		r = value(lo, a, &to->arg[i++]);
	}
	return r;
}

static int pipes(struct lowering *lo)
{
	struct query *q = lo->b.q;
	struct query_pipe *to;
	int r = 0;

	if (!lo->ast->n_pipes)
		return 0;
	q->pipe = to = arena_zeroed(&q->arena, lo->ast->n_pipes, sizeof(*to));
	if (!to)
		return refused(lo, lo->ast->first->condition);
	q->n_pipes = lo->ast->n_pipes;
	lo->in_pipe = true;
	for (const struct ast_pipe *p = lo->ast->pipes; r >= 0 && p; p = p->next, to++) {
		to->kind = p->kind;
		if (p->kind == PIPE_HEAD || p->kind == PIPE_TAIL)
			r = pipe_count(lo, p, to);
		else
			r = pipe_arguments(lo, p, to);
		lo->counted |= p->kind == PIPE_COUNT;
		lo->tallied |= p->kind == PIPE_UNIQUE_COUNT;
	}
	return r;
}

static int names(struct lowering *lo)
{
	const char *name = lo->options->category_field;

	if (!name)
		name = lo->elastic ? "event.category" : "event_type";
	lo->b.q->category_field = field_intern(name, strlen(name));
	if (lo->b.q->category_field == FIELD_NONE)
		return diag_fail(lo->diag, -E2BIG, lo->text, lo->n, 0, 0,
				 "\"%.100s\" cannot be the name of the category's field", name);
	return 0;
}

static int subqueries(struct lowering *lo)
{
	struct query *q = lo->b.q;
	struct query **list = arena_zeroed(&q->arena, lo->n_subs + 1, sizeof(struct query *));

	if (!list)
		return refused(lo, lo->ast->first->condition);
	memcpy(list, lo->subs, lo->n_subs * sizeof(struct query *));
	q->subqueries = list;
	q->n_subqueries = lo->n_subs;
	lo->n_subs = 0; /* the query owns them now */
	return 0;
}

static int text_of(struct lowering *lo)
{
	lo->b.q->text = arena_str(&lo->b.q->arena, lo->ast->text.p, lo->ast->text.n);
	lo->b.q->text_len = lo->ast->text.n;
	return lo->b.q->text ? 0 : refused(lo, lo->ast->first->condition);
}

static int lower_query(struct lowering *lo)
{
	struct query *q = lo->b.q;
	int r;

	q->kind = lo->ast->kind;
	q->fold = !lo->elastic && !lo->options->case_sensitive;
	r = names(lo);
	r = r < 0 ? r : stages(lo);
	r = r < 0 ? r : pipes(lo);
	r = r < 0 ? r : subqueries(lo);
	return r < 0 ? r : text_of(lo);
}

int rule_lower(const struct ast_query *ast, const char *text, size_t n, const struct query_options *options,
	       bool is_value, struct diag *diag, struct query **ret_query)
{
	struct lowering lo = {
		.options = options,
		.ast = ast,
		.text = text,
		.n = n,
		.diag = diag,
		.elastic = options->dialect != RULE_ENDGAME,
		.is_value = is_value,
	};
	int r;

	r = query_builder_init(&lo.b, options->dialect);
	if (r < 0)
		return diag_fail(diag, r, text, n, 0, 0, "no memory left for the rule");
	r = lower_query(&lo);
	if (r >= 0) {
		r = query_build(&lo.b, ret_query);
		if (r < 0)
			r = diag_fail(diag, r, text, n, ast->at, ast->len, "a rule of more than %d parts",
				      RULE_NODES_MAX);
	}
	for (uint32_t i = 0; i < lo.n_subs; i++)
		query_free(lo.subs[i]);
	query_builder_free(&lo.b);
	return r;
}
