/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any expression over any event: the program comes to what the tree comes to, and a set finds exactly the
 * conditions that are true. The bytes choose the event's values first, then the nodes. Of every sixteenth input, as
 * that takes long, a module is made as well (where there is the library).
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "predicate/functions.h"
#include "predicate/module.h"
#include "predicate/set.h"
#include "predicate/tree.h"
#include "rule/build.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FIELDS = 6, ITEMS = 3, DEPTH = 5, KIDS = 4, CONDITIONS = 12 };

static const char *const names[FIELDS] = { "fuzz.a", "fuzz.b", "fuzz.c", "fuzz.d", "fuzz.o.x", "fuzz.o.y" };

static const char *const texts[] = { "",     "a",    "A",        "ab",        "abc",      "ABC",        "b*",
				     "*b*",  "a?c",  "\xc3\xa9", "\xc3\x89t", "10.1.2.3", "10.0.0.0/8", "::1",
				     "42",   "0x2a", "4.5",      "1.10.0",    "1.9",      "2024-05-06", "true",
				     "\xff", "a.c",  "[a-c]+",   "*",         "/tmp/x" };

struct bytes {
	const uint8_t *p, *end;
};

static unsigned pick(struct bytes *b, unsigned n)
{
	return b->p < b->end ? *b->p++ % n : 0;
}

struct subject {
	field_id ids[FIELDS];
	struct value values[FIELDS], items[FIELDS][ITEMS];
};

static bool subject_get(const void *subject, field_id id, struct value *ret_value)
{
	const struct subject *s = subject;

	for (int i = 0; i < FIELDS; i++)
		if (s->ids[i] == id) {
			*ret_value = s->values[i];
			return true;
		}
	return false;
}

static void subject_each(const void *subject, void (*fn)(void *ctx, field_id id, const struct value *v), void *ctx)
{
	const struct subject *s = subject;

	for (int i = 0; i < FIELDS; i++)
		fn(ctx, s->ids[i], &s->values[i]);
}

static const struct event_lens lens = { subject_get, subject_each };

static struct value scalar(struct bytes *b)
{
	static const int64_t whole[] = { 0, 1, -1, 42, INT64_MAX, INT64_MIN, 7 };
	static const double floats[] = { 0, 4.5, -1.5, 42, 1e300, 9.3e18 };
	const char *text;

	switch (pick(b, 7)) {
	case 0:
		return (struct value) { .type = VALUE_INT, .i = whole[pick(b, countof(whole))] };
	case 1:
		return (struct value) { .type = VALUE_FLOAT, .f = floats[pick(b, countof(floats))] };
	case 2:
		return (struct value) { .type = VALUE_BOOL, .b = pick(b, 2) };
	case 3:
		return (struct value) { .type = VALUE_NULL };
	case 4:
		return (struct value) { .type = VALUE_UINT, .u = UINT64_MAX - pick(b, 2) };
	case 5: {
		struct value v = { .type = VALUE_IP, .ip.bytes = { [10] = 0xff, 0xff, 10, 1, 2, 3 } };

		return v;
	}
	default:
		text = texts[pick(b, countof(texts))];
		return (struct value) { .type = VALUE_STR, .s = { text, strlen(text) } };
	}
}

static void make_subject(struct bytes *b, struct subject *s)
{
	for (int i = 0; i < FIELDS; i++) {
		s->ids[i] = field_intern(names[i], strlen(names[i]));
		s->values[i] = scalar(b);
		if (pick(b, 3))
			continue;
		for (int k = 0; k < ITEMS; k++)
			s->items[i][k] = scalar(b);
		s->values[i] = (struct value) { .type = VALUE_LIST, .list = { s->items[i], pick(b, ITEMS + 1) } };
	}
}

/* ---- nodes ------------------------------------------------------------------------------------------- */

struct making {
	struct query_builder b;
	struct bytes *bytes;
	unsigned vars;
};

static ir_ref node(struct making *m, unsigned depth);

static ir_ref text(struct making *m)
{
	const char *s = texts[pick(m->bytes, countof(texts))];

	return build_str(&m->b, s, strlen(s));
}

static ir_ref constant(struct making *m)
{
	struct value v = scalar(m->bytes);

	switch (v.type) {
	case VALUE_INT:
		return build_int(&m->b, v.i);
	case VALUE_FLOAT:
		return build_float(&m->b, v.f);
	case VALUE_BOOL:
		return build_bool(&m->b, v.b);
	case VALUE_STR:
		return build_str(&m->b, v.s.p, v.s.n);
	default:
		return build_null(&m->b);
	}
}

static ir_ref field(struct making *m)
{
	unsigned which = pick(m->bytes, FIELDS + 1);
	const char *name = names[which < FIELDS ? which : 0];

	if (which == FIELDS)
		return build_node(&m->b, IR_VALUES, 0, NULL, 0);
	return build_field(&m->b, name, strlen(name), RULE_UNKNOWN, 0);
}

static unsigned flags(struct making *m, unsigned of)
{
	unsigned f = pick(m->bytes, 8);

	return (f & 1 ? IR_TRUTH : 0) | (f & 2 ? IR_ANY : 0) | (f & 4 ? of : 0);
}

static ir_ref many(struct making *m, enum ir_op op, unsigned depth)
{
	ir_ref kids[KIDS];
	unsigned n = 2 + pick(m->bytes, KIDS - 1);

	for (unsigned i = 0; i < n; i++)
		kids[i] = node(m, depth);
	return build_node(&m->b, op, 0, kids, n);
}

static ir_ref patterns(struct making *m, enum ir_op op, unsigned depth)
{
	ir_ref kids[KIDS] = { pick(m->bytes, 3) ? field(m) : node(m, depth) };
	unsigned n = 2 + pick(m->bytes, KIDS - 1), f = flags(m, IR_FOLD);

	for (unsigned i = 1; i < n; i++)
		kids[i] = op == IR_IN ? constant(m) : text(m);
	if (op == IR_LIKE)
		f |= (pick(m->bytes, 2) ? IR_STAR : 0) | (pick(m->bytes, 2) ? IR_ESCAPE : 0);
	if (op == IR_REGEX)
		f |= pick(m->bytes, 2) ? IR_PREFIX | IR_PERL : 0;
	return build_node(&m->b, op, f, kids, n);
}

static ir_ref compare(struct making *m, unsigned depth)
{
	static const uint8_t as[] = { RULE_UNKNOWN, RULE_UNKNOWN, RULE_UNKNOWN, RULE_DATE, RULE_IP, RULE_VERSION };
	enum ir_op op = IR_EQ + pick(m->bytes, 6);
	ir_ref kids[2], ref;

	kids[0] = pick(m->bytes, 3) ? field(m) : node(m, depth);
	kids[1] = pick(m->bytes, 3) ? constant(m) : node(m, depth);
	ref = build_node(&m->b, op, flags(m, IR_FOLD), kids, 2);
	if (ref)
		build_at(&m->b, ref)->as = as[pick(m->bytes, countof(as))];
	return ref;
}

static ir_ref call(struct making *m, unsigned depth)
{
	static const struct {
		enum ir_fn fn;
		unsigned least, more;
	} rows[] = {
		{ IR_BETWEEN, 3, 1 },         { IR_CONCAT, 1, 2 },         { IR_ENDS_WITH, 2, 0 },
		{ IR_INDEX_OF, 2, 1 },        { IR_LENGTH, 1, 0 },         { IR_NUMBER_OF, 1, 1 },
		{ IR_STARTS_WITH, 2, 0 },     { IR_STRING_OF, 1, 0 },      { IR_SUBSTRING, 2, 1 },
		{ IR_STRING_CONTAINS, 2, 0 }, { IR_ARRAY_CONTAINS, 2, 1 },
	};
	unsigned row = pick(m->bytes, countof(rows)), n = rows[row].least + pick(m->bytes, rows[row].more + 1);
	ir_ref kids[KIDS];

	for (unsigned i = 0; i < n; i++)
		kids[i] = node(m, depth);
	return build_call(&m->b, rows[row].fn, flags(m, IR_FOLD), kids, n);
}

static ir_ref cidr(struct making *m)
{
	ir_ref kids[3] = { field(m), build_str(&m->b, "10.0.0.0/8", 10), build_str(&m->b, "::/64", 5) };

	return build_call(&m->b, IR_CIDR_MATCH, flags(m, 0), kids, 3);
}

/* arraySearch(list, v, ...), also of a list of objects of which there are only the members. */
static ir_ref search(struct making *m, unsigned depth)
{
	static const char object[] = "fuzz.o";
	unsigned var = m->vars;
	ir_ref kids[2], ref;

	kids[0] = pick(m->bytes, 2) ? field(m) : build_field(&m->b, object, 6, RULE_UNKNOWN, 0);
	m->vars++;
	kids[1] = node(m, depth);
	m->vars--;
	ref = build_call(&m->b, pick(m->bytes, 2) ? IR_ARRAY_SEARCH : IR_ARRAY_COUNT, 0, kids, 2);
	if (ref)
		build_at(&m->b, ref)->var = var;
	return ref;
}

static ir_ref variable(struct making *m)
{
	ir_ref ref, kid, of;

	if (!m->vars)
		return field(m);
	kid = build_node(&m->b, IR_VAR, 0, NULL, 0);
	if (kid)
		build_at(&m->b, kid)->i = pick(m->bytes, m->vars);
	if (pick(m->bytes, 2))
		return kid;
	of = build_field(&m->b, pick(m->bytes, 2) ? "x" : "y", 1, RULE_UNKNOWN, 0);
	ref = build_node(&m->b, IR_MEMBER, 0, &kid, 1);
	if (ref && of)
		build_at(&m->b, ref)->field = build_at(&m->b, of)->field;
	return ref;
}

static ir_ref single(struct making *m, enum ir_op op, unsigned depth)
{
	ir_ref kid = node(m, depth), ref = build_node(&m->b, op, op == IR_NEG ? flags(m, 0) : 0, &kid, 1);

	if (ref && op == IR_ITEM)
		build_at(&m->b, ref)->i = pick(m->bytes, 4);
	return ref;
}

static ir_ref node(struct making *m, unsigned depth)
{
	if (depth >= DEPTH)
		return pick(m->bytes, 2) ? field(m) : constant(m);
	depth++;
	switch (pick(m->bytes, 18)) {
	case 0:
	case 1:
		return many(m, IR_AND, depth);
	case 2:
		return many(m, IR_OR, depth);
	case 3:
		return single(m, IR_NOT, depth);
	case 4:
		return single(m, IR_IS_NULL, depth);
	case 5:
		return single(m, IR_NEG, depth);
	case 6:
		return single(m, IR_ITEM, depth);
	case 7:
	case 8:
		return compare(m, depth);
	case 9: {
		ir_ref kids[2] = { node(m, depth), node(m, depth) };

		return build_node(&m->b, IR_ADD + pick(m->bytes, 5), 0, kids, 2);
	}
	case 10:
		return patterns(m, IR_IN, depth);
	case 11:
	case 12:
		return patterns(m, IR_LIKE, depth);
	case 13:
		return patterns(m, IR_REGEX, depth);
	case 14:
		return call(m, depth);
	case 15:
		return cidr(m);
	case 16:
		return m->vars < 2 ? search(m, depth) : variable(m);
	default:
		return pick(m->bytes, 2) ? variable(m) : constant(m);
	}
}

/* ---- holding them against each other --------------------------------------------------------------------- */

static bool same(const struct value *a, const struct value *b)
{
	if (a->type != b->type)
		return false;
	switch (a->type) {
	case VALUE_NULL:
		return true;
	case VALUE_BOOL:
		return a->b == b->b;
	case VALUE_STR:
		return a->s.n == b->s.n && (!a->s.n || !memcmp(a->s.p, b->s.p, a->s.n));
	case VALUE_IP:
		return !memcmp(&a->ip, &b->ip, sizeof(a->ip));
	case VALUE_LIST:
		if (a->list.n != b->list.n)
			return false;
		for (size_t i = 0; i < a->list.n; i++)
			if (!same(&a->list.items[i], &b->list.items[i]))
				return false;
		return true;
	default:
		return a->u == b->u;
	}
}

static bool listed(const uint32_t *list, size_t n, uint32_t index)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == index)
			return true;
	return false;
}

/* In a scratch of its own: what the program has worked out for the other is not to be seen. */
static void hold_module(const struct program *p, const struct predicate_input *in, struct predicate_scratch *s)
{
	static struct predicate_scratch *own;
	AUTO(module) m = NULL;

	if ((!own && predicate_scratch_new(&own) < 0) || module_new(p, NULL, NULL, &m) < 0)
		return;
	if (!program_begin(p, in, own) || !module_begin(m, own))
		abort();
	for (uint32_t i = 0; i < program_count(p); i++) {
		enum truth t;

		if (!module_test(m, own, i, &t) || t != program_test(p, i, s))
			abort();
	}
}

static void hold(const struct query *q, const ir_ref *refs, const struct predicate_input *in,
		 struct predicate_scratch *s, struct arena *arena, bool module_too)
{
	AUTO(predicate_set_builder) b = NULL;
	AUTO(predicate_set) set = NULL;
	uint32_t index[CONDITIONS];
	const uint32_t *list;
	size_t n;

	if (predicate_set_builder_new(&b) < 0)
		return;
	for (int i = 0; i < CONDITIONS; i++)
		if (predicate_set_builder_add(b, q, refs[i], NULL, &index[i]) < 0)
			return;
	if (predicate_set_build(b, &set) < 0)
		return;
	n = predicate_set_run(set, in, s, &list);
	for (int i = 0; i < CONDITIONS; i++) {
		struct value slow, fast;
		enum truth t;

		tree_value(q, refs[i], in, arena, &slow);
		t = program_test(predicate_set_program(set), index[i], s);
		program_value(predicate_set_program(set), index[i], s, &fast);
		if (t != value_truth(&slow) || !same(&slow, &fast) || listed(list, n, index[i]) != (t == TRUTH_TRUE))
			abort();
	}
	if (module_too)
		hold_module(predicate_set_program(set), in, s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct predicate_scratch *s;
	static struct arena arena;
	static struct subject subject;
	struct bytes bytes = { data, data + size };
	struct event ev = { .lens = &lens, .subject = &subject };
	struct predicate_input in = { .ev = &ev };
	struct making m = { .bytes = &bytes };
	AUTO(query) q = NULL;
	ir_ref refs[CONDITIONS];

	if (!s) {
		arena_init(&arena, 64 << 20);
		if (predicate_scratch_new(&s) < 0)
			return 0;
	}
	make_subject(&bytes, &subject);
	if (query_builder_init(&m.b, pick(&bytes, 2) ? RULE_ENDGAME : RULE_ELASTIC) < 0)
		return 0;
	for (int i = 0; i < CONDITIONS; i++)
		refs[i] = node(&m, 0);
	if (query_build(&m.b, &q) < 0)
		return 0;
	arena_reset(&arena);
	hold(q, refs, &in, s, &arena, size % 16 == 0);
	return 0;
}
