/* SPDX-License-Identifier: Apache-2.0 */
#include "predicate/vm/gate.h"
#include <stdatomic.h>
#include <string.h>
#include "base/bytes.h"
#include "base/err.h"
#include "base/hash.h"
#include "match/fold.h"

/*
 * A text of the event is one of the literals byte by byte, or but for the case of letters, or none. Each has a code,
 * so that all leaves come to the same for texts with the same code.
 */
enum { CODE_NONE, CODE_NULL, CODE_LIST, CODE_FIRST, CODE_UNKNOWN = UINT16_MAX };
enum { TEXT_MAX = 512, GATE_TRIES = 4 }; /* bytes of a text that is looked for among the literals */

struct gate_text {
	uint64_t hash;
	struct str text;
	uint16_t code; /* 0: a free place */
};

struct gate_field {
	uint32_t slot, mask;
	struct gate_text *exact, *folded;
	size_t longest; /* of the literals, folded */
};

/* What is remembered, in the scratch. */
struct gate_cache {
	uint64_t serial;
	uint32_t n, turn;
	unsigned char *known; /* n + 1 of the gate's stride: the last is for what cannot be remembered */
	uint32_t *hashes;     /* of each combination; 0: free */
};

void gate_cache_free(struct gate_cache *c)
{
	if (!c)
		return;
	free(c->known);
	free(c->hashes);
	free(c);
}

bool gate_has(const struct gate *g, uint32_t slot)
{
	for (uint32_t i = 0; i < g->n_fields; i++)
		if (g->fields[i].slot == slot)
			return true;
	return false;
}

/* ---- the parts of a condition ---------------------------------------------------------------------------- */

/* Parts that must all be true: ranges of the program's code. */
struct parts {
	struct part {
		uint32_t from, to;
	} *part;
	uint32_t n, cap;
};

static int no_memory(void)
{
	return err_new(-ENOMEM, "no memory for the gate of a set of conditions");
}

static int add_part(struct parts *parts, uint32_t from, uint32_t to)
{
	if (parts->n == parts->cap) {
		uint32_t cap = parts->cap ? 2 * parts->cap : 16;
		struct part *p = reallocarray(parts->part, cap, sizeof(*p));

		if (!p)
			return no_memory();
		parts->part = p;
		parts->cap = cap;
	}
	parts->part[parts->n++] = (struct part) { from, to };
	return 0;
}

/* What comes after a part that begins at `at`: a part that is itself made of several ends with its VM_END. */
static uint32_t end_of(const struct program *p, uint32_t at, uint32_t reg)
{
	const struct vm_instr *i = &p->code[at];

	if (i->op != VM_BEGIN || i->reg != reg)
		return UINT32_MAX;
	while (!(i->op == VM_END && i->reg == reg))
		i++;
	return (uint32_t)(i - p->code);
}

/* Conditions begin with the category, if they have one; then there is one part, or an `and` of several. */
static int find_parts(const struct program *p, const struct vm_entry *e, struct parts *parts)
{
	uint32_t at = e->code, end, from;
	int r = 0;

	parts->n = 0;
	if (e->category) {
		r = add_part(parts, at, at + 1);
		at += 2;
	}
	end = end_of(p, at, 1);
	if (end != UINT32_MAX && p->code[end + 1].op == VM_RETURN && p->code[at].arg == TRUTH_TRUE) {
		from = at + 1;
		for (uint32_t i = from; r == 0 && i < end; i++)
			if (p->code[i].op == VM_AND && p->code[i].reg == 1) {
				r = add_part(parts, from, i);
				from = i + 1;
			}
		return r;
	}
	for (from = at; p->code[at].op != VM_RETURN; at++)
		;
	return r < 0 ? r : add_part(parts, from, at);
}

/* Is it all about texts, or about null, of fields that `fits` takes? */
static bool is_plain(const struct program *p, const struct part *part, bool (*fits)(const void *ctx, uint32_t slot),
		     const void *ctx)
{
	for (uint32_t i = part->from; i < part->to; i++) {
		const struct vm_leaf *leaf = &p->leaves[p->code[i].op == VM_LEAF ? p->code[i].arg : 0];

		if (p->code[i].op != VM_LEAF)
			continue;
		if (leaf->kind != VM_IS_TEXT && leaf->kind != VM_IN_TEXTS && leaf->kind != VM_IS_NULL)
			return false;
		if (p->slots[leaf->slot].event >= 0 || !fits(ctx, leaf->slot))
			return false;
	}
	return true;
}

/* ---- which fields ------------------------------------------------------------------------------------------ */

struct only {
	uint32_t *slot; /* UINT32_MAX: none yet */
};

static bool is_the_only(const void *ctx, uint32_t slot)
{
	const struct only *only = ctx;

	if (*only->slot == UINT32_MAX)
		*only->slot = slot;
	return *only->slot == slot;
}

static bool is_chosen(const void *ctx, uint32_t slot)
{
	return gate_has(ctx, slot);
}

static uint32_t texts_of(const struct vm_leaf *leaf, const struct str **ret_texts)
{
	if (leaf->kind == VM_IS_TEXT) {
		*ret_texts = &leaf->text;
		return 1;
	}
	*ret_texts = leaf->kind == VM_IN_TEXTS ? leaf->in_texts->texts : NULL;
	return leaf->kind == VM_IN_TEXTS ? leaf->in_texts->n : 0;
}

/* How many of the conditions have a part that is about this field alone. */
static int count_uses(const struct program *p, uint32_t *uses)
{
	struct parts parts = { 0 };
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < p->n_entries; i++) {
		r = find_parts(p, &p->entries[i], &parts);
		for (uint32_t k = 0; r == 0 && k < parts.n; k++) {
			uint32_t slot = UINT32_MAX;
			struct only only = { &slot };

			if (is_plain(p, &parts.part[k], is_the_only, &only) && slot != UINT32_MAX)
				uses[slot]++;
		}
	}
	free(parts.part);
	return r;
}

static bool put(struct gate_text *table, uint32_t mask, struct str text, uint16_t code)
{
	uint64_t hash = hash_bytes(text.p, text.n, 0);
	uint32_t at = (uint32_t)hash & mask;

	for (; table[at].code; at = (at + 1) & mask)
		if (table[at].hash == hash && table[at].text.n == text.n &&
		    bytes_same(table[at].text.p, text.p, text.n))
			return false;
	table[at] = (struct gate_text) { hash, text, code };
	return true;
}

static inline uint16_t get(const struct gate_text *table, uint32_t mask, struct str text, uint64_t hash)
{
	for (uint32_t at = (uint32_t)hash & mask; table[at].code; at = (at + 1) & mask)
		if (table[at].hash == hash && table[at].text.n == text.n &&
		    bytes_same(table[at].text.p, text.p, text.n))
			return table[at].code;
	return CODE_NONE;
}

/* 1: taken; 0: it has too many literals. */
static int take_field(const struct program *p, struct arena *arena, uint32_t slot, struct gate_field *f)
{
	const struct str *texts;
	uint32_t n = 0, size = 16;
	uint16_t code = CODE_FIRST;

	for (uint32_t i = 0; i < p->n_leaves; i++)
		n += p->leaves[i].slot == slot ? texts_of(&p->leaves[i], &texts) : 0;
	while (size < 2 * (n < GATE_TEXTS ? n : GATE_TEXTS) + 2)
		size *= 2;
	n = 0;
	*f = (struct gate_field) {
		.slot = slot,
		.mask = size - 1,
		.exact = arena_zeroed(arena, size, sizeof(struct gate_text)),
		.folded = arena_zeroed(arena, size, sizeof(struct gate_text)),
	};
	if (!f->exact || !f->folded)
		return no_memory();
	for (uint32_t i = 0; i < p->n_leaves; i++) {
		const struct vm_leaf *leaf = &p->leaves[i];
		uint32_t n_texts;

		if (leaf->slot != slot)
			continue;
		n_texts = texts_of(leaf, &texts);
		for (uint32_t k = 0; k < n_texts; k++) {
			struct str folded = { .p = arena_alloc(arena, FOLD_ROOM(texts[k].n)) };

			if (!folded.p)
				return no_memory();
			folded.n = fold_text(texts[k].p, texts[k].n, (char *)folded.p);
			f->longest = folded.n > f->longest ? folded.n : f->longest;
			if (!put(f->exact, f->mask, texts[k], code))
				continue;
			code++;
			code += put(f->folded, f->mask, folded, code);
			if (++n > GATE_TEXTS)
				return 0;
		}
	}
	return 1;
}

static int choose_fields(const struct program *p, struct arena *arena, struct gate *g)
{
	auto_free uint32_t *uses = calloc(p->n_slots + 1, sizeof(*uses));
	int r;

	g->fields = arena_zeroed(arena, GATE_FIELDS, sizeof(*g->fields));
	if (!uses || !g->fields)
		return no_memory();
	r = count_uses(p, uses);
	if (r < 0)
		return r;
	while (g->n_fields < GATE_FIELDS) {
		uint32_t best = 0;

		for (uint32_t i = 1; i < p->n_slots; i++)
			best = uses[i] > uses[best] ? i : best;
		if (!p->n_slots || uses[best] < p->n_entries / 3)
			return 0;
		uses[best] = 0;
		r = take_field(p, arena, best, &g->fields[g->n_fields]);
		if (r < 0)
			return r;
		g->n_fields += (uint32_t)r;
	}
	return 0;
}

/* ---- splitting ----------------------------------------------------------------------------------------------- */

static uint32_t copy_part(const struct program *p, const struct part *part, struct vm_instr *code, uint32_t at)
{
	for (uint32_t i = part->from; i < part->to; i++) {
		code[at] = p->code[i];
		if (code[at].op == VM_AND || code[at].op == VM_OR)
			code[at].target = at + (code[at].target - i);
		at++;
	}
	code[at++] = (struct vm_instr) { .op = VM_MUST };
	return at;
}

static int split(const struct program *p, struct arena *arena, struct gate *g)
{
	struct parts parts = { 0 };
	uint32_t at = 0;
	int r = 0;

	/* A condition's parts become no longer; each half has a constant and an end more. */
	g->code = arena_zeroed(arena, (size_t)p->n_code + 6 * (size_t)p->n_entries, sizeof(*g->code));
	g->splits = arena_zeroed(arena, p->n_entries + 1, sizeof(*g->splits));
	if (!g->code || !g->splits)
		return no_memory();
	for (uint32_t i = 0; i < p->n_entries; i++) {
		r = find_parts(p, &p->entries[i], &parts);
		if (r < 0)
			break;
		for (int rest = 0; rest < 2; rest++) {
			*(rest ? &g->splits[i].rest : &g->splits[i].gate) = at;
			g->code[at++] = (struct vm_instr) { .op = VM_CONST, .arg = TRUTH_TRUE };
			for (uint32_t k = 0; k < parts.n; k++) {
				bool plain = is_plain(p, &parts.part[k], is_chosen, g);

				if (plain == rest)
					continue;
				at = copy_part(p, &parts.part[k], g->code, at);
				g->splits[i].has_gate |= plain;
			}
			g->code[at++] = (struct vm_instr) { .op = VM_RETURN };
		}
	}
	free(parts.part);
	return r;
}

int gate_build(const struct program *p, struct arena *arena, struct gate *ret_gate)
{
	static atomic_uint_fast64_t serials;
	int r;

	*ret_gate = (struct gate) { .serial = atomic_fetch_add(&serials, 1) + 1 };
	if (p->n_entries < GATE_MIN)
		return 0;
	r = choose_fields(p, arena, ret_gate);
	if (r < 0 || !ret_gate->n_fields)
		return r;
	ret_gate->words = (p->n_entries + 63) / 64;
	return split(p, arena, ret_gate);
}

void gate_measure(struct gate *g, const struct gate_set *set)
{
	size_t stride = sizeof(struct gate_known) + g->words * sizeof(uint64_t) +
			((size_t)set->n_always + set->n_index) * sizeof(uint32_t);

	g->stride = (stride + 63) & ~(size_t)63;
	g->n_cached = GATE_CACHED;
	while (g->n_cached > 1 && g->n_cached * g->stride > GATE_CACHE_MAX)
		g->n_cached /= 2;
}

/* ---- looking ----------------------------------------------------------------------------------------------------- */

/* By itself: most texts are there as they are, and need no room on the stack. */
static uint16_t __attribute__((noinline)) folded_code_of(const struct gate_field *f, struct str s)
{
	char folded[FOLD_ROOM(TEXT_MAX)];

	s = (struct str) { folded, fold_text(s.p, s.n, folded) };
	return get(f->folded, f->mask, s, hash_bytes(s.p, s.n, 0));
}

static inline uint16_t code_of(const struct gate_field *f, const struct value *v)
{
	uint16_t code;

	if (v->type == VALUE_NULL)
		return CODE_NULL;
	/* A letter may fold to a third of its bytes. */
	if (v->s.n > 3 * f->longest)
		return CODE_NONE;
	if (v->s.n > TEXT_MAX)
		return CODE_UNKNOWN;
	code = get(f->exact, f->mask, v->s, hash_bytes(v->s.p, v->s.n, 0));
	return code ? code : folded_code_of(f, v->s);
}

static bool add_code(struct gate_known *k, uint16_t code)
{
	if (k->n_codes == GATE_CODES || code == CODE_UNKNOWN)
		return false;
	k->codes[k->n_codes++] = code;
	return true;
}

/* False: what the event has there cannot be said in codes. */
static bool combine(const struct gate_set *set, struct predicate_scratch *s, struct gate_known *k)
{
	k->n_codes = 0;
	for (uint32_t i = 0; i < set->gate->n_fields; i++) {
		const struct gate_field *f = &set->gate->fields[i];
		const struct value *v = vm_load(set->program, s, f->slot);

		if (v->type != VALUE_LIST) {
			if ((v->type != VALUE_STR && v->type != VALUE_NULL) || !add_code(k, code_of(f, v)))
				return false;
			continue;
		}
		if (v->list.n > GATE_CODES || !add_code(k, CODE_LIST) || !add_code(k, (uint16_t)v->list.n))
			return false;
		for (size_t n = 0; n < v->list.n; n++) {
			const struct value *item = &v->list.items[n];

			if ((item->type != VALUE_STR && item->type != VALUE_NULL) || !add_code(k, code_of(f, item)))
				return false;
		}
	}
	return true;
}

/* Asks all conditions. */
static void learn(const struct gate_set *set, struct predicate_scratch *s, struct gate_known *k)
{
	const struct gate *g = set->gate;
	uint32_t *numbers = (uint32_t *)(k->possible + g->words);

	memset(k->possible, 0, g->words * sizeof(*k->possible));
	for (uint32_t i = 0; i < set->program->n_entries; i++)
		if (!g->splits[i].has_gate || vm_run_code(set->program, g->code, g->splits[i].gate, s) == TRUTH_TRUE)
			k->possible[i / 64] |= 1ULL << (i % 64);
	k->n_always = k->n_index = 0;
	for (uint32_t i = 0; i < set->n_always; i++)
		if (gate_possible(k, set->always[i]))
			numbers[k->n_always++] = set->always[i];
	numbers += k->n_always;
	for (uint32_t i = 0; i < set->n_index; i++) {
		const uint64_t *whole = set->asked + (size_t)2 * i * g->words, *parts = whole + g->words;
		uint64_t any_whole = 0, any_parts = 0;

		for (uint32_t w = 0; w < g->words; w++) {
			any_whole |= whole[w] & k->possible[w];
			any_parts |= parts[w] & k->possible[w];
		}
		if (any_whole | any_parts)
			numbers[k->n_index++] = i << 2 | (any_whole ? GATE_WHOLE : 0) | (any_parts ? GATE_PARTS : 0);
	}
}

static bool fit(const struct gate *g, struct predicate_scratch *s)
{
	struct gate_cache *c = calloc(1, sizeof(*c));

	gate_cache_free(s->gates);
	s->gates = c;
	if (!c)
		return false;
	c->n = g->n_cached;
	c->serial = g->serial;
	c->known = calloc(c->n + 1, g->stride);
	c->hashes = calloc(c->n, sizeof(*c->hashes));
	if (c->known && c->hashes)
		return true;
	gate_cache_free(c);
	s->gates = NULL;
	return false;
}

static struct gate_known *known_at(const struct gate *g, const struct gate_cache *c, uint32_t at)
{
	return (struct gate_known *)(c->known + at * g->stride);
}

const struct gate_known *gate_look(const struct gate_set *set, struct predicate_scratch *s)
{
	const struct gate *g = set->gate;
	struct gate_known *known, *last;
	uint32_t hash, at;

	if ((!s->gates || s->gates->serial != g->serial) && !fit(g, s))
		return NULL;
	last = known_at(g, s->gates, s->gates->n);
	if (!combine(set, s, last)) {
		learn(set, s, last);
		return last;
	}
	hash = (uint32_t)hash_bytes(last->codes, last->n_codes * sizeof(*last->codes), last->n_codes) | 1;
	at = (hash >> 1) % s->gates->n;
	for (uint32_t i = 0; i < GATE_TRIES; i++, at = (at + 1) % s->gates->n) {
		known = known_at(g, s->gates, at);
		if (!s->gates->hashes[at])
			break;
		if (s->gates->hashes[at] == hash && known->n_codes == last->n_codes &&
		    !memcmp(known->codes, last->codes, last->n_codes * sizeof(*last->codes)))
			return known;
	}
	if (s->gates->hashes[at]) {
		at = ((hash >> 1) + s->gates->turn++ % GATE_TRIES) % s->gates->n;
		known = known_at(g, s->gates, at);
	}
	learn(set, s, known);
	known->n_codes = last->n_codes;
	memcpy(known->codes, last->codes, sizeof(known->codes));
	s->gates->hashes[at] = hash;
	return known;
}
