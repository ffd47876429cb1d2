/* SPDX-License-Identifier: Apache-2.0 */
/*
 * set - an index over a program: which of its conditions could be true of an event at all?
 *
 * An atom is a literal that a field's text must be, begin with, end with or have in it. A clause is a list
 * of atoms of which one must be there for a condition to be true. Each condition is filed under the atoms of
 * its cheapest clause: few atoms, that few other conditions ask for, of which a text tells quickly whether it
 * has them. Where a second clause rules much out too, one atom of each must be there. Atoms are looked for without
 * case, so they may say yes too often, never too rarely.
 *
 * The few fields that nearly all conditions ask for (gate.h) are no part of that: they say first which conditions
 * are possible at all.
 */
#include <string.h>
#include "base/bytes.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/map.h"
#include "match/fold.h"
#include "match/multi.h"
#include "predicate/functions.h"
#include "predicate/module.h"
#include "predicate/set.h"
#include "predicate/vm/gate.h"

enum {
	ATOMS_MAX = 1 << 20,
	CLAUSE_MAX = 4096,   /* atoms */
	FOLDED_MAX = 512,    /* bytes of a text that is folded to be found among whole ones */
	LITERAL_BYTES = 200, /* of a literal that is not the whole text, before it is folded */
	INDEX_ARENA_MAX = 64 << 20,
};

#define COST_NONE UINT64_MAX
#define COST_SURE 1000000ULL /* it is there in all events */

/* Beside the places of a literal: the field is there, whatever it holds. */
enum { PRESENT = MULTI_WHOLE + 1 };

struct atom {
	uint32_t slot;
	unsigned where;  /* enum multi_where, or PRESENT, which has no text */
	struct str text; /* folded */
	uint64_t hash;
	uint32_t uses;    /* conditions that have it somewhere */
	uint32_t last;    /* condition that was counted last, plus 1 */
	uint32_t n_posts; /* conditions that are filed here */
	struct post *posts;
	uint32_t index; /* among those of its field */
};

/*
 * Most leaves that atoms are of say no more than the atom does: where it is found they need not be run.
 * 0: not so; else (leaf + 1) << 1 | SURE_PLAIN: only of texts without capital letters.
 */
typedef uint32_t sure_leaf;
enum { SURE_PLAIN = 1, SURE_TEXT = 2 };

struct post {
	uint32_t clause; /* condition << 1 | which of its clauses */
	sure_leaf sure;
};

struct clause {
	struct atom **atoms;
	sure_leaf *sure;
	uint32_t n;
	uint64_t cost; /* COST_NONE: there is no clause */
};

/* What is looked at of an atom, in one piece. */
struct filed {
	uint32_t n_text, n_posts, where;
	struct post posts[]; /* then the text */
};

/* What is looked up of one field. */
struct index_field {
	uint32_t slot;
	uint32_t n;
	struct exact {
		uint32_t tag;   /* of the hash */
		uint32_t index; /* + 1 */
	} *exact;               /* hash table of whole texts */
	uint32_t mask;
	struct filed **filed; /* of each atom */
	uint32_t *other;      /* whole texts that a number, an address, or true and false may be equal to */
	uint32_t n_other;
	struct filed *present;
	size_t longest;       /* whole text */
	struct multi *multi;  /* the others; NULL: none */
	struct filed **parts; /* of multi's literals */
};

#define SLOT_OF_ALL (1U << 31)

struct predicate_set {
	struct program *program;
	struct arena arena;
	struct index_field *fields;
	uint32_t *slots; /* of each field; with SLOT_OF_ALL, where it is the values of all fields */
	uint32_t n_fields, n_atoms, n_always;
	uint32_t *always;
	uint8_t *needs;  /* of each: bits of the clauses that must be hit */
	uint64_t *asked; /* of each field: the conditions that have atoms there */
	struct gate gate;
	struct gate_set gated;
	struct module *module; /* NULL: the program runs all conditions itself */
	size_t bytes;
};

struct predicate_set_builder {
	struct program_builder *b;
	enum predicate_backend backend;
};

int predicate_set_builder_new(struct predicate_set_builder **ret_builder)
{
	AUTO(predicate_set_builder) b = calloc(1, sizeof(*b));
	int r;

	if (!b)
		return err_new(-ENOMEM, "no memory for a set of conditions");
	r = program_builder_new(&b->b);
	if (r < 0)
		return r;
	*ret_builder = take(b);
	return 0;
}

void predicate_set_builder_free(struct predicate_set_builder *b)
{
	if (!b)
		return;
	program_builder_free(b->b);
	free(b);
}

void predicate_set_builder_backend(struct predicate_set_builder *b, enum predicate_backend backend)
{
	b->backend = backend;
}

int predicate_set_builder_add(struct predicate_set_builder *b, const struct query *q, ir_ref condition,
			      const char *category, uint32_t *ret_index)
{
	return program_add(b->b, q, condition, category, ret_index);
}

void predicate_set_free(struct predicate_set *set)
{
	if (!set)
		return;
	for (uint32_t i = 0; i < set->n_fields; i++)
		multi_free(set->fields[i].multi);
	module_free(set->module);
	program_free(set->program);
	arena_free(&set->arena);
	free(set);
}

uint32_t predicate_set_count(const struct predicate_set *set)
{
	return program_count(set->program);
}

const struct program *predicate_set_program(const struct predicate_set *set)
{
	return set->program;
}

struct module *predicate_set_module(const struct predicate_set *set)
{
	return set->module;
}

/* ---- clauses ------------------------------------------------------------------------------------------ */

/* What is thought of while a set is made. */
struct analysis {
	struct predicate_set *set;
	struct clause (
		*clauses)[2]; /* of each condition; the first has COST_NONE: always run; the second: one is enough */
	struct atom ***filed; /* of each field of the index: its atoms */
	struct map atoms;     /* all that any condition has */
	uint32_t condition;
	bool counting;  /* the first pass: how often is each atom asked for? */
	uint32_t *uses; /* of each slot: the sum of its atoms' */
	struct arena arena;
	struct arena work; /* of one condition: what of it is kept is copied */
	bool no_memory;
};

static bool atom_is(const void *item, const void *key)
{
	const struct atom *a = item, *k = key;

	return a->slot == k->slot && a->where == k->where && a->text.n == k->text.n &&
	       !memcmp(a->text.p, k->text.p, a->text.n);
}

static struct atom *atom_of(struct analysis *an, uint32_t slot, unsigned where, struct str text)
{
	struct arena *arena = &an->arena;
	struct atom key = { .slot = slot, .where = where }, *a;
	char *folded = arena_alloc(&an->work, FOLD_ROOM(text.n));
	uint64_t hash;

	if (!folded)
		goto no_memory;
	key.text = (struct str) { folded, fold_text(text.p, text.n, folded) };
	key.hash = hash_bytes(folded, key.text.n, 0);
	hash = hash_2u64(key.hash, slot << 3 | where, 0);
	a = map_get(&an->atoms, hash, &key);
	if (!a) {
		a = arena_new(arena, struct atom);
		key.text.p = arena_str(arena, folded, key.text.n);
		if (!a || !key.text.p)
			goto no_memory;
		*a = key;
		if (map_put(&an->atoms, hash, a) < 0)
			goto no_memory;
	}
	if (an->counting && a->last != an->condition + 1) {
		a->last = an->condition + 1;
		a->uses++;
		an->uses[slot]++;
	}
	return a;

no_memory:
	an->no_memory = true;
	return NULL;
}

/*
 * How often it is there, as far as the rules tell: what they ask of a field most often is also what events have
 * most often (event.action is "exec"), and a field of which they ask few different things has few different values.
 * In parts of a million.
 */
static uint64_t cost_of(const struct analysis *an, const struct atom *a)
{
	uint64_t cost = COST_SURE * a->uses / (an->uses[a->slot] + 1), looking = 200;

	/* Rules tell nothing of that: it is better than nothing. */
	if (a->where == PRESENT)
		return COST_SURE * 9 / 10;
	/* What so many ask for is there in most events. */
	if (a->uses > an->set->program->n_entries / 4)
		cost = COST_SURE;
	if (a->where == MULTI_BEGIN) {
		looking = 400;
		cost += a->text.n > 1 ? 0 : a->text.p[0] == '/' ? COST_SURE : COST_SURE / 20;
	} else if (a->where != MULTI_WHOLE) {
		looking = 1000;
		cost += a->text.n < 2   ? COST_SURE * 3 / 4
			: a->text.n < 3 ? COST_SURE / 2
			: a->text.n < 5 ? COST_SURE / 50
					: 0;
	}
	return cost + looking;
}

static struct clause no_clause(void)
{
	return (struct clause) { .cost = COST_NONE };
}

static struct clause clause_new(struct analysis *an, uint32_t n)
{
	struct clause c = {
		.atoms = arena_alloc(&an->work, (n ? n : 1) * sizeof(struct atom *)),
		.sure = arena_alloc(&an->work, (n ? n : 1) * sizeof(sure_leaf)),
	};

	if (c.atoms && c.sure)
		return c;
	an->no_memory = true;
	return no_clause();
}

/* As in fold_text(). */
static inline bool is_plain_word(uint64_t w)
{
	return !((w | ((w + 0x3f3f3f3f3f3f3f3fULL) & ~(w + 0x2525252525252525ULL))) & 0x8080808080808080ULL);
}

/* Has it no letters that fold to others? */
static inline bool is_plain(struct str s)
{
	const char *p = s.p, *end = s.p + s.n;
	uint64_t w = 0;
	uint32_t half;

	for (; end - p >= 8; p += 8) {
		memcpy(&w, p, 8);
		if (!is_plain_word(w))
			return false;
	}
	/* The rest, with bytes before it that are good already. */
	if (s.n >= 8) {
		memcpy(&w, end - 8, 8);
	} else if (s.n >= 4) {
		memcpy(&half, end - 4, 4);
		memcpy(&w, s.p, 4);
		w |= (uint64_t)half << 32;
	} else if (s.n) {
		w = (uint64_t)(unsigned char)s.p[0] << 16 | (uint64_t)(unsigned char)s.p[s.n / 2] << 8 |
		    (unsigned char)s.p[s.n - 1];
	}
	return is_plain_word(w);
}

/* The leaf of the condition that stands for a node. */
static sure_leaf sure_of(const struct analysis *an, const struct query *q, ir_ref ref, struct str literal)
{
	struct program *p = an->set->program;

	/* Found as bytes, it might begin within a character. */
	if (!utf8_is_valid(literal.p, literal.n))
		return 0;
	for (const struct vm_instr *i = p->code + p->entries[an->condition].code; i->op != VM_RETURN; i++) {
		struct vm_leaf *leaf = &p->leaves[i->arg];

		if (i->op != VM_LEAF || !leaf->ref || !leaf->any || !ir_same(leaf->q, leaf->ref, q, ref))
			continue;
		if (!leaf->fold && !is_plain(literal))
			return 0;
		leaf->shared = true;
		return (i->arg + 1) << 1 | (leaf->fold ? 0 : SURE_PLAIN);
	}
	return 0;
}

static void clause_add(const struct analysis *an, struct clause *c, struct atom *a, sure_leaf sure)
{
	if (!a) {
		c->cost = COST_NONE;
		return;
	}
	c->sure[c->n] = sure;
	c->atoms[c->n++] = a;
	c->cost += cost_of(an, a);
}

static bool slot_of(const struct program *p, const struct ir_node *n, uint32_t *ret_slot)
{
	field_id id = n->op == IR_VALUES ? FIELD_NONE : n->field.id;

	if (n->op != IR_VALUES && (n->op != IR_FIELD || n->field.event >= 0))
		return false;
	for (uint32_t i = 0; i < p->n_slots; i++)
		if (p->slots[i].id == id && p->slots[i].event < 0) {
			*ret_slot = i;
			return true;
		}
	return false;
}

/* The gate answers for its own fields. */
static bool slot_to_look_at(const struct analysis *an, const struct ir_node *n, uint32_t *ret_slot)
{
	return slot_of(an->set->program, n, ret_slot) && !gate_has(&an->set->gate, *ret_slot);
}

/* Whole characters of a part of a text, from its start or up to its end. */
static struct str shorten(struct str s, bool keep_end)
{
	size_t n = LITERAL_BYTES;

	if (s.n <= n)
		return s;
	if (keep_end) {
		while (n && ((unsigned char)s.p[s.n - n] & 0xc0) == 0x80)
			n--;
		return (struct str) { s.p + s.n - n, n };
	}
	while (n && ((unsigned char)s.p[n] & 0xc0) == 0x80)
		n--;
	return (struct str) { s.p, n };
}

/*
 * The best literal of a wildcard: the longest; of equal ones the first, which most often stands at the beginning.
 * *ret_all: there is nothing else in it.
 */
static struct atom *atom_of_wildcard(struct analysis *an, uint32_t slot, struct str s, unsigned flags, bool *ret_all)
{
	enum multi_where where = MULTI_WHOLE;
	struct str best = { 0 };
	char text[1024];
	size_t n = 0, best_n = 0, literals = 0;
	bool first = true;

	*ret_all = false;
	if (s.n >= sizeof(text))
		return NULL;
	for (size_t i = 0; i <= s.n; i++) {
		bool end = i == s.n;
		bool wild = !end && (s.p[i] == '*' || (s.p[i] == '?' && !(flags & IR_STAR)));

		if (!end && !wild) {
			if (flags & IR_ESCAPE && s.p[i] == '\\' && i + 1 < s.n && s.p[i + 1] &&
			    strchr("*?\\", s.p[i + 1]))
				i++;
			text[n++] = s.p[i];
			continue;
		}
		literals += n || (first && end) || (!end && s.p[i] == '?');
		if (n > best_n || (first && end)) {
			enum multi_where at = (first ? MULTI_BEGIN : 0) | (end ? MULTI_END : 0);

			best = (struct str) { arena_str(&an->work, text, n), n };
			best_n = n;
			where = at;
		}
		n = 0;
		first = false;
	}
	if (!best.p || (!best.n && where != MULTI_WHOLE))
		return NULL;
	if (where != MULTI_WHOLE)
		best = shorten(best, where == MULTI_END);
	*ret_all = literals == 1 && best.n == best_n;
	return best.n || where == MULTI_WHOLE ? atom_of(an, slot, where, best) : NULL;
}

/* Behind a class, a group or a text in quotes, of which one byte was read; the end of the pattern: it never ends. */
static size_t skip_to(struct str s, size_t i, char open, char close)
{
	for (size_t depth = 1; i < s.n; i++) {
		if (s.p[i] == '\\')
			i++;
		else if (s.p[i] == close && --depth == 0)
			return i + 1;
		else if (s.p[i] == open)
			depth++;
		else if (s.p[i] == '[' && open == '(')
			i = skip_to(s, i + 1, 0, ']') - 1;
	}
	return s.n;
}

/* Of runs that are equally long: one of signs that few texts have. */
static unsigned rarity(const char *p, size_t n)
{
	unsigned rare = 0;

	for (size_t i = 0; i < n; i++)
		rare += !memchr("/-. ", p[i], 4) && !(p[i] >= '0' && p[i] <= '9') &&
			!((p[i] | 0x20) >= 'a' && (p[i] | 0x20) <= 'z');
	return rare;
}

/*
 * The longest run of letters that every text must have which fits a regular expression: only what stands in no
 * group and no class, where nothing is said but one thing after the other. Of what is not plainly so: none.
 */
static struct atom *atom_of_regex(struct analysis *an, uint32_t slot, struct str s, unsigned flags)
{
	enum multi_where where = MULTI_ANYWHERE;
	size_t n = 0, best_n = 0, i = 0;
	char text[256], best[256];
	bool first = true;

	if (s.n >= sizeof(text))
		return NULL;
	while (i <= s.n) {
		char c = i < s.n ? s.p[i] : '.', more;
		bool is_letter = c == '/' || c == '-' || c == '_' || c == ' ' || c == ':' || c == '=' || c == ',' ||
				 (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

		if (c == '\\' && i + 1 < s.n && memchr("./-+*?()[]{}|", s.p[i + 1], 13)) {
			c = s.p[++i];
			is_letter = true;
		}
		i++;
		more = i < s.n ? s.p[i] : 0;
		/* What may be missing, or be there often: a run ends before it. */
		if (is_letter && (!more || !memchr("?*+{", more, 4))) {
			text[n++] = c;
			continue;
		}
		if (!is_letter && !memchr(".([?*+{}", c, 8) && c != '\\')
			return NULL;
		if (n > best_n || (n && n == best_n && rarity(text, n) > rarity(best, n))) {
			memcpy(best, text, n);
			best_n = n;
			where = first && !(flags & IR_SEARCH) ? MULTI_BEGIN : MULTI_ANYWHERE;
		}
		first = false;
		n = 0;
		if (c == '\\' && !is_letter)
			i++;
		else if (!is_letter && (c == '(' || c == '['))
			i = skip_to(s, i, c == '(' ? c : 0, c == '(' ? ')' : ']');
		else if (!is_letter && c == '{')
			i = skip_to(s, i, 0, '}');
	}
	if (!best_n)
		return NULL;
	return atom_of(an, slot, where, shorten((struct str) { best, best_n }, false));
}

static struct atom *atom_of_kid(struct analysis *an, const struct ir_node *n, uint32_t slot, struct str s,
				bool *ret_all)
{
	*ret_all = n->op != IR_REGEX;
	if (n->op == IR_REGEX)
		return n->flags & IR_PERL ? NULL : atom_of_regex(an, slot, s, n->flags);
	return n->op == IR_LIKE ? atom_of_wildcard(an, slot, s, n->flags, ret_all) : atom_of(an, slot, MULTI_WHOLE, s);
}

static struct clause clause_of_kids(struct analysis *an, const struct query *q, ir_ref ref, uint32_t slot)
{
	const struct ir_node *n = ir_at(q, ref);
	struct clause c;

	if (n->n > CLAUSE_MAX)
		return no_clause();
	c = clause_new(an, n->n);
	for (uint32_t i = 1; i < n->n && c.cost != COST_NONE; i++) {
		const struct ir_node *k = ir_at(q, n->kid[i]);
		struct atom *a;
		bool all;

		if (k->op != IR_STR)
			return no_clause();
		a = atom_of_kid(an, n, slot, k->str, &all);
		clause_add(an, &c, a, all ? sure_of(an, q, ref, k->str) : 0);
	}
	return c;
}

static struct clause clause_of_call(struct analysis *an, const struct query *q, ir_ref ref, uint32_t slot)
{
	const struct ir_node *n = ir_at(q, ref);
	enum multi_where where = n->fn == IR_STARTS_WITH ? MULTI_BEGIN
				 : n->fn == IR_ENDS_WITH ? MULTI_END
							 : MULTI_ANYWHERE;
	const struct ir_node *part = n->n == 2 ? ir_at(q, n->kid[1]) : NULL;
	struct str literal;
	struct clause c;

	if ((n->fn != IR_STARTS_WITH && n->fn != IR_ENDS_WITH && n->fn != IR_STRING_CONTAINS) || !part ||
	    part->op != IR_STR || !part->str.n)
		return no_clause();
	literal = shorten(part->str, where == MULTI_END);
	c = clause_new(an, 1);
	if (c.cost != COST_NONE)
		clause_add(an, &c, atom_of(an, slot, where, literal),
			   literal.n == part->str.n ? sure_of(an, q, ref, literal) : 0);
	return c;
}

static struct clause clause_of(struct analysis *an, const struct query *q, ir_ref ref);

/* All of them must be true: the cheapest one's. */
static struct clause clause_of_and(struct analysis *an, const struct query *q, const struct ir_node *n)
{
	struct clause best = no_clause();

	for (uint32_t i = 0; i < n->n; i++) {
		struct clause c = clause_of(an, q, n->kid[i]);

		if (c.cost < best.cost)
			best = c;
	}
	return best;
}

/* One of them must be: those of all together. */
static struct clause clause_of_or(struct analysis *an, const struct query *q, const struct ir_node *n)
{
	auto_free struct clause *kids = calloc(n->n, sizeof(*kids));
	struct clause all;
	size_t atoms = 0;
	bool none = false;

	if (!kids) {
		an->no_memory = true;
		return no_clause();
	}
	/* All kids are looked at, so that their atoms are counted. */
	for (uint32_t i = 0; i < n->n; i++) {
		kids[i] = clause_of(an, q, n->kid[i]);
		none |= kids[i].cost == COST_NONE;
		atoms += kids[i].n;
	}
	if (none || atoms > CLAUSE_MAX)
		return no_clause();
	all = clause_new(an, (uint32_t)atoms);
	for (uint32_t i = 0; i < n->n && all.cost != COST_NONE; i++) {
		memcpy(all.atoms + all.n, kids[i].atoms, kids[i].n * sizeof(struct atom *));
		memcpy(all.sure + all.n, kids[i].sure, kids[i].n * sizeof(sure_leaf));
		all.n += kids[i].n;
		all.cost += kids[i].cost;
	}
	return all;
}

/* What is true of no event without the field: a comparison of it with constants, or that it is not null. */
static struct clause clause_of_presence(struct analysis *an, const struct query *q, ir_ref ref)
{
	const struct ir_node *n = ir_at(q, ref);
	struct clause c;
	uint32_t slot;

	if (n->op == IR_NOT) {
		n = ir_at(q, n->kid[0]);
		if (n->op != IR_IS_NULL)
			return no_clause();
	} else if (!(n->op >= IR_EQ && n->op <= IR_GE) && n->op != IR_IN && n->op != IR_LIKE && n->op != IR_REGEX &&
		   !(n->op == IR_CALL && n->fn == IR_CIDR_MATCH)) {
		return no_clause();
	}
	if (ir_at(q, n->kid[0])->op != IR_FIELD || !slot_to_look_at(an, ir_at(q, n->kid[0]), &slot))
		return no_clause();
	for (uint32_t i = 1; i < n->n; i++)
		if (!ir_is_const(ir_at(q, n->kid[i])))
			return no_clause();
	c = clause_new(an, 1);
	if (c.cost != COST_NONE)
		clause_add(an, &c, atom_of(an, slot, PRESENT, (struct str) { "", 0 }), 0);
	return c;
}

static struct clause clause_of_literals(struct analysis *an, const struct query *q, ir_ref ref)
{
	const struct ir_node *n = ir_at(q, ref);
	uint32_t slot;

	switch (n->op) {
	case IR_AND:
		return clause_of_and(an, q, n);
	case IR_OR:
		return clause_of_or(an, q, n);
	case IR_EQ:
	case IR_IN:
	case IR_LIKE:
	case IR_REGEX:
		if (n->as != RULE_UNKNOWN || !slot_to_look_at(an, ir_at(q, n->kid[0]), &slot))
			return no_clause();
		return clause_of_kids(an, q, ref, slot);
	case IR_CALL:
		if (!n->n || !slot_to_look_at(an, ir_at(q, n->kid[0]), &slot))
			return no_clause();
		return clause_of_call(an, q, ref, slot);
	default:
		return no_clause();
	}
}

static struct clause clause_of(struct analysis *an, const struct query *q, ir_ref ref)
{
	struct clause c = clause_of_literals(an, q, ref);

	return c.cost == COST_NONE && !an->no_memory ? clause_of_presence(an, q, ref) : c;
}

static void keep_best(struct clause best[2], struct clause c)
{
	if (c.cost < best[0].cost) {
		best[1] = best[0];
		best[0] = c;
	} else if (c.cost < best[1].cost) {
		best[1] = c;
	}
}

/* The two best clauses of what must all be true. */
static void best_of(struct analysis *an, const struct query *q, ir_ref ref, struct clause best[2])
{
	const struct ir_node *n = ir_at(q, ref);

	if (n->op != IR_AND) {
		keep_best(best, clause_of(an, q, ref));
		return;
	}
	for (uint32_t i = 0; i < n->n; i++)
		best_of(an, q, n->kid[i], best);
}

/* The category is one more thing that must be true. */
static void clauses_of_entry(struct analysis *an, const struct vm_entry *e, struct clause best[2])
{
	struct ir_node field = { .op = IR_FIELD, .field = { .id = e->q->category_field, .event = -1 } };
	struct clause of_category;
	uint32_t slot;

	best[0] = best[1] = no_clause();
	best_of(an, e->q, e->ref, best);
	if (e->category && slot_to_look_at(an, &field, &slot)) {
		of_category = clause_new(an, 1);
		if (of_category.cost != COST_NONE)
			clause_add(an, &of_category,
				   atom_of(an, slot, MULTI_WHOLE, (struct str) { e->category, strlen(e->category) }),
				   0);
		keep_best(best, of_category);
	}
	/* A second one that is nearly always hit is not worth the looking. */
	if (best[1].cost > COST_SURE / 2 || best[0].cost < COST_SURE / 100)
		best[1] = no_clause();
}

/* ---- the index -------------------------------------------------------------------------------------------- */

static int out_of_memory(void)
{
	return err_new(-ENOMEM, "no memory for the index of a set of conditions");
}

static struct index_field *field_of(struct predicate_set *set, uint32_t slot)
{
	for (uint32_t i = 0; i < set->n_fields; i++)
		if (set->fields[i].slot == slot)
			return &set->fields[i];
	set->fields[set->n_fields].slot = slot;
	set->slots[set->n_fields] = slot | (set->program->slots[slot].id == FIELD_NONE ? SLOT_OF_ALL : 0);
	return &set->fields[set->n_fields++];
}

/* Counts first, then fills: lists have their sizes when they are made. */
static int file_conditions(struct analysis *an)
{
	struct predicate_set *set = an->set;
	const struct program *p = set->program;

	for (uint32_t i = 0; i < p->n_entries; i++) {
		if (an->clauses[i][0].cost == COST_NONE)
			set->always[set->n_always++] = i;
		set->needs[i] = an->clauses[i][1].cost == COST_NONE ? 1 : 3;
		for (uint32_t c = 0; c < 2; c++)
			for (uint32_t k = 0; k < an->clauses[i][c].n; k++) {
				struct atom *a = an->clauses[i][c].atoms[k];

				if (a->n_posts++)
					continue;
				a->index = field_of(set, a->slot)->n++;
				set->n_atoms++;
			}
	}
	an->filed = arena_zeroed(&an->arena, set->n_fields + 1, sizeof(*an->filed));
	for (uint32_t f = 0; an->filed && f < set->n_fields; f++)
		an->filed[f] = arena_zeroed(&an->arena, set->fields[f].n, sizeof(struct atom *));
	for (uint32_t i = 0; !an->arena.failed && i < 2 * p->n_entries; i++) {
		const struct clause *c = &an->clauses[i / 2][i % 2];

		for (uint32_t k = 0; k < c->n; k++) {
			struct atom *a = c->atoms[k];

			if (!a->posts) {
				a->posts = arena_zeroed(&an->arena, a->n_posts, sizeof(*a->posts));
				if (!a->posts)
					break;
				a->n_posts = 0;
				an->filed[field_of(set, a->slot) - set->fields][a->index] = a;
			}
			a->posts[a->n_posts++] = (struct post) { i, c->sure[k] };
		}
	}
	return an->arena.failed ? out_of_memory() : 0;
}

/* Texts are compared with numbers as numbers, with addresses as those. */
static bool may_be_other(struct str s)
{
	struct value v = { .type = VALUE_STR, .s = s };
	uint8_t address[16];

	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] >= '0' && s.p[i] <= '9')
			return true;
	return value_address(&v, address) || (s.n == 4 && !memcmp(s.p, "true", 4)) ||
	       (s.n == 5 && !memcmp(s.p, "false", 5));
}

static struct filed *file(struct arena *arena, const struct atom *a)
{
	size_t posts = a->n_posts * sizeof(*a->posts);
	struct filed *f = arena_alloc(arena, sizeof(*f) + posts + a->text.n);

	if (!f)
		return NULL;
	*f = (struct filed) { (uint32_t)a->text.n, a->n_posts, a->where };
	memcpy(f->posts, a->posts, posts);
	memcpy((char *)(f->posts + a->n_posts), a->text.p, a->text.n);
	return f;
}

static struct str text_of(const struct filed *f)
{
	return (struct str) { (const char *)(f->posts + f->n_posts), f->n_text };
}

static uint32_t tag_of(uint64_t hash)
{
	return (uint32_t)(hash >> 32);
}

static int index_field(struct predicate_set *set, struct index_field *f, struct atom *const *atoms)
{
	auto_free struct multi_literal *literals = calloc(f->n, sizeof(*literals));
	uint32_t n_exact = 0, n_parts = 0, size = 16;
	int r;

	for (uint32_t i = 0; i < f->n; i++)
		*(atoms[i]->where == MULTI_WHOLE ? &n_exact : &n_parts) += atoms[i]->where != PRESENT;
	while (size < 2 * n_exact)
		size *= 2;
	f->exact = n_exact ? arena_zeroed(&set->arena, size, sizeof(*f->exact)) : NULL;
	f->mask = size - 1;
	f->other = arena_zeroed(&set->arena, n_exact + 1, sizeof(*f->other));
	f->filed = arena_zeroed(&set->arena, f->n, sizeof(struct filed *));
	f->parts = arena_zeroed(&set->arena, n_parts, sizeof(struct filed *));
	if (!literals || (n_exact && !f->exact) || !f->other || !f->filed || !f->parts)
		return out_of_memory();
	n_parts = 0;
	for (uint32_t i = 0; i < f->n; i++) {
		const struct atom *a = atoms[i];
		uint32_t at = (uint32_t)a->hash & f->mask;

		f->filed[i] = file(&set->arena, a);
		if (!f->filed[i])
			return out_of_memory();
		if (a->where == PRESENT) {
			f->present = f->filed[i];
			continue;
		}
		if (a->where != MULTI_WHOLE) {
			f->parts[n_parts] = f->filed[i];
			literals[n_parts++] = (struct multi_literal) { text_of(f->filed[i]), a->where };
			continue;
		}
		while (f->exact[at].index)
			at = (at + 1) & f->mask;
		f->exact[at] = (struct exact) { tag_of(a->hash), i + 1 };
		if (may_be_other(a->text))
			f->other[f->n_other++] = i;
		f->longest = a->text.n > f->longest ? a->text.n : f->longest;
	}
	if (!n_parts)
		return 0;
	r = multi_build(literals, n_parts, &f->multi);
	if (r == 0)
		set->bytes += multi_size(f->multi);
	return r;
}

static int open_gate(struct predicate_set *set)
{
	uint32_t words = set->gate.words;

	if (!set->gate.n_fields)
		return 0;
	set->asked = arena_zeroed(&set->arena, (size_t)2 * set->n_fields * words + 1, sizeof(*set->asked));
	if (!set->asked)
		return out_of_memory();
	for (uint32_t f = 0; f < set->n_fields; f++)
		for (uint32_t i = 0; i < set->fields[f].n; i++) {
			const struct filed *filed = set->fields[f].filed[i];
			uint64_t *asked = set->asked + (size_t)(2 * f + (filed->where < MULTI_WHOLE)) * words;

			for (uint32_t k = 0; k < filed->n_posts; k++)
				asked[filed->posts[k].clause / 128] |= 1ULL << (filed->posts[k].clause / 2 % 64);
		}
	set->gated = (struct gate_set) {
		.program = set->program,
		.gate = &set->gate,
		.always = set->always,
		.n_always = set->n_always,
		.asked = set->asked,
		.n_index = set->n_fields,
	};
	gate_measure(&set->gate, &set->gated);
	return 0;
}

/* Of all clauses that were thought of two are kept. */
static void keep_clause(struct analysis *an, struct clause *c)
{
	struct atom **atoms = arena_zeroed(&an->arena, c->n + 1, sizeof(struct atom *));
	sure_leaf *sure = arena_zeroed(&an->arena, c->n + 1, sizeof(*sure));

	if (!atoms || !sure) {
		an->no_memory = true;
		*c = no_clause();
		return;
	}
	if (c->n) {
		memcpy(atoms, c->atoms, c->n * sizeof(struct atom *));
		memcpy(sure, c->sure, c->n * sizeof(*sure));
	}
	c->atoms = atoms;
	c->sure = sure;
}

static void analysis_close(struct analysis *an)
{
	map_free(&an->atoms);
	arena_free(&an->work);
	arena_free(&an->arena);
}

static int make_index(struct predicate_set *set)
{
	__attribute__((cleanup(analysis_close))) struct analysis an = { .set = set };
	struct program *p = set->program;
	int r;

	map_init(&an.atoms, ATOMS_MAX, atom_is);
	arena_init(&an.arena, INDEX_ARENA_MAX);
	arena_init(&an.work, INDEX_ARENA_MAX);
	set->needs = arena_zeroed(&set->arena, p->n_entries + 1, 1);
	set->always = arena_zeroed(&set->arena, p->n_entries + 1, sizeof(*set->always));
	set->fields = arena_zeroed(&set->arena, p->n_slots + 1, sizeof(*set->fields));
	set->slots = arena_zeroed(&set->arena, p->n_slots + 1, sizeof(*set->slots));
	an.clauses = arena_zeroed(&an.arena, p->n_entries + 1, sizeof(*an.clauses));
	an.uses = arena_zeroed(&an.arena, p->n_slots + 1, sizeof(*an.uses));
	if (set->arena.failed || an.arena.failed)
		return out_of_memory();
	for (int pass = 0; pass < 2; pass++) {
		an.counting = pass == 0;
		for (an.condition = 0; an.condition < p->n_entries; an.condition++) {
			struct clause *best = an.clauses[an.condition];

			clauses_of_entry(&an, &p->entries[an.condition], best);
			for (int i = 0; pass == 1 && i < 2; i++)
				keep_clause(&an, &best[i]);
			arena_reset(&an.work);
		}
	}
	/* Without room for the index all conditions could be run always, but then nobody would see how slow that is. */
	if (an.no_memory)
		return err_new(-E2BIG, "the index of a set of conditions takes more than %d MB", INDEX_ARENA_MAX >> 20);
	r = file_conditions(&an);
	for (uint32_t i = 0; r == 0 && i < set->n_fields; i++)
		r = index_field(set, &set->fields[i], an.filed[i]);
	return r < 0 ? r : open_gate(set);
}

/* Of what the gate leaves over, where there is one. */
static int make_module(struct predicate_set *set)
{
	const struct program *p = set->program;
	auto_free uint32_t *begins = NULL;

	if (!set->gate.n_fields)
		return module_new(p, NULL, NULL, &set->module);
	begins = calloc(p->n_entries + 1, sizeof(*begins));
	if (!begins)
		return out_of_memory();
	for (uint32_t i = 0; i < p->n_entries; i++)
		begins[i] = set->gate.splits[i].rest;
	return module_new(p, set->gate.code, begins, &set->module);
}

int predicate_set_build(struct predicate_set_builder *b, struct predicate_set **ret_set)
{
	AUTO(predicate_set) set = calloc(1, sizeof(*set));
	int r;

	if (!set)
		return out_of_memory();
	arena_init(&set->arena, INDEX_ARENA_MAX);
	r = program_build(b->b, &set->program);
	if (r == 0)
		r = gate_build(set->program, &set->arena, &set->gate);
	if (r == 0)
		r = make_index(set);
	if (r == 0 && b->backend == PREDICATE_WASM)
		r = make_module(set);
	if (r < 0)
		return r;
	*ret_set = take(set);
	return 0;
}

/* ---- looking up ---------------------------------------------------------------------------------------------- */

struct choosing {
	const struct predicate_set *set;
	struct predicate_scratch *s;
	const struct index_field *field;
	const struct gate_known *known; /* NULL: all are possible */
	unsigned what;                  /* of its literals: GATE_WHOLE, GATE_PARTS */
	unsigned sure;                  /* what the text that is looked at allows: SURE_TEXT, SURE_PLAIN */
	uint32_t n;
};

/* An atom of a clause was hit. With the last clause that was missing the condition is put on the list. */
static void choose(struct choosing *c, struct post post)
{
	struct predicate_scratch *s = c->s;
	uint32_t condition = post.clause >> 1, was, now;

	if (c->known && !gate_possible(c->known, condition))
		return;
	if (post.sure && (c->sure & (SURE_TEXT | SURE_PLAIN)) >= (SURE_TEXT | (post.sure & SURE_PLAIN)))
		s->leaves[(post.sure >> 1) - 1] = s->epoch << 2 | TRUTH_TRUE;
	was = s->chosen[condition];
	if (was >> 2 != s->epoch)
		was = s->epoch << 2;
	now = was | 1U << (post.clause & 1);
	s->chosen[condition] = now;
	if (now != was && (now & 3) == c->set->needs[condition])
		s->list[c->n++] = condition;
}

static void choose_all_of(struct choosing *c, const struct filed *f)
{
	for (uint32_t i = 0; i < f->n_posts; i++)
		choose(c, f->posts[i]);
}

static void hit(void *ctx, uint32_t literal)
{
	struct choosing *c = ctx;

	choose_all_of(c, c->field->parts[literal]);
}

static void look_up_whole(struct choosing *c, struct str s)
{
	const struct index_field *f = c->field;
	uint64_t hash = hash_bytes(s.p, s.n, 0);

	for (uint32_t at = (uint32_t)hash & f->mask; f->exact[at].index; at = (at + 1) & f->mask) {
		const struct filed *filed;
		struct str text;

		if (f->exact[at].tag != tag_of(hash))
			continue;
		filed = f->filed[f->exact[at].index - 1];
		text = text_of(filed);
		if (text.n == s.n && bytes_same(text.p, s.p, s.n)) {
			choose_all_of(c, filed);
			return;
		}
	}
}

/* By itself: most texts need no room on the stack. */
static void __attribute__((noinline)) look_up_folded(struct choosing *c, struct str s)
{
	const struct index_field *f = c->field;
	char folded[FOLD_ROOM(FOLDED_MAX)];

	if (s.n <= FOLDED_MAX) {
		look_up_whole(c, (struct str) { folded, fold_text(s.p, s.n, folded) });
		return;
	}
	for (uint32_t i = 0; i < f->n; i++) {
		struct str text = text_of(f->filed[i]);

		if (f->filed[i]->where == MULTI_WHOLE && fold_equal(text.p, text.n, s.p, s.n))
			choose_all_of(c, f->filed[i]);
	}
}

static void look_up_text(struct choosing *c, struct str s)
{
	const struct index_field *f = c->field;

	c->sure = SURE_TEXT | (is_plain(s) ? SURE_PLAIN : 0);
	/* A letter may fold to a third of its bytes. */
	if (c->what & GATE_WHOLE && f->exact && s.n <= 3 * f->longest) {
		if (c->sure & SURE_PLAIN)
			look_up_whole(c, s);
		else
			look_up_folded(c, s);
	}
	if (c->what & GATE_PARTS && f->multi) {
		if (c->sure & SURE_PLAIN)
			multi_scan_folded(f->multi, s.p, s.n, hit, c);
		else
			multi_scan(f->multi, s.p, s.n, hit, c);
	}
	c->sure = 0;
}

/* A number may be written in many ways, all of which compare as equal; patterns look at one of them. */
static void look_up_other(struct choosing *c, const struct value *v)
{
	const struct index_field *f = c->field;
	struct str text;

	for (uint32_t i = 0; i < f->n_other; i++) {
		const struct filed *filed = f->filed[f->other[i]];
		struct value literal = { .type = VALUE_STR, .s = text_of(filed) };

		if (value_compare(IR_EQ, v, &literal, RULE_UNKNOWN, true) == TRUTH_TRUE)
			choose_all_of(c, filed);
	}
	if (f->multi && value_text(v, true, &c->s->arena, &text))
		multi_scan(f->multi, text.p, text.n, hit, c);
}

static void look_up_item(struct choosing *c, const struct value *v)
{
	switch (v->type) {
	case VALUE_NULL:
		break;
	case VALUE_STR:
		look_up_text(c, v->s);
		break;
	case VALUE_LIST:
		for (size_t i = 0; i < v->list.n; i++)
			look_up_item(c, &v->list.items[i]);
		break;
	default:
		look_up_other(c, v);
		break;
	}
}

static void look_up(struct choosing *c, const struct value *v)
{
	if (c->field->present && v->type != VALUE_NULL)
		choose_all_of(c, c->field->present);
	if (v->type == VALUE_STR)
		look_up_text(c, v->s);
	else
		look_up_item(c, v);
}

/* `fields` as the gate knows them; NULL: the first n of them. */
static void look_up_fields(struct choosing *c, const uint32_t *fields, uint32_t n)
{
	const struct predicate_scratch *s = c->s;
	const struct field *const *row = s->in->ev && s->in->ev->lens ? NULL : s->row;
	const uint32_t epoch = s->epoch, *slots = c->set->slots;
	const bool has_all = s->has_all;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t at = fields ? fields[i] >> 2 : i, slot = slots[at] & ~SLOT_OF_ALL;

		/* Most fields that are asked for are not there. */
		if (s->slots[slot].epoch != epoch && (has_all || (row && !row[slot])) && slot == slots[at])
			continue;
		c->field = &c->set->fields[at];
		c->what = fields ? fields[i] & (GATE_WHOLE | GATE_PARTS) : GATE_WHOLE | GATE_PARTS;
		look_up(c, vm_load(c->set->program, c->s, slot));
	}
}

static int by_number(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void sort(uint32_t *list, size_t n)
{
	if (n > 16) {
		qsort(list, n, sizeof(*list), by_number);
		return;
	}
	for (size_t i = 1; i < n; i++) {
		uint32_t v = list[i];
		size_t at = i;

		for (; at && list[at - 1] > v; at--)
			list[at] = list[at - 1];
		list[at] = v;
	}
}

/* The conditions on the list, or of each what the gate has left over. */
static uint32_t run_chosen(const struct predicate_set *set, struct predicate_scratch *s, bool gated, uint32_t n_list,
			   uint32_t *hits)
{
	const struct gate *g = &set->gate;
	uint32_t n = 0;

	for (uint32_t i = 0; i < n_list; i++) {
		uint32_t k = s->list[i];

		if ((gated ? vm_run_code(set->program, g->code, g->splits[k].rest, s)
			   : program_test(set->program, k, s)) == TRUTH_TRUE)
			hits[n++] = k;
	}
	return n;
}

size_t predicate_set_run(const struct predicate_set *set, const struct predicate_input *in, struct predicate_scratch *s,
			 const uint32_t **ret_true)
{
	struct choosing c = { .set = set, .s = s };
	const struct gate *g = &set->gate;
	const uint32_t *always = set->always, *fields = NULL;
	uint32_t n_always = set->n_always, n_fields = set->n_fields, *hits;
	bool by_module;
	uint32_t n = 0;

	*ret_true = NULL;
	if (!program_begin(set->program, in, s))
		return 0;
	by_module = set->module && module_begin(set->module, s);
	if (g->n_fields) {
		c.known = gate_look(&set->gated, s);
		if (!c.known)
			return 0;
		always = gate_always(g, c.known);
		n_always = c.known->n_always;
		fields = gate_index(g, c.known);
		n_fields = c.known->n_index;
	}
	look_up_fields(&c, fields, n_fields);
	for (uint32_t i = 0; i < n_always; i++)
		s->list[c.n++] = always[i];
	hits = s->list + program_count(set->program);
	if (!by_module || !module_run(set->module, s, s->list, c.n, hits, &n))
		n = run_chosen(set, s, fields != NULL, c.n, hits);
	sort(hits, n);
	*ret_true = hits;
	return n;
}

void predicate_set_stats(const struct predicate_set *set, struct predicate_set_stats *ret_stats)
{
	*ret_stats = (struct predicate_set_stats) {
		.predicates = program_count(set->program),
		.always = set->n_always,
		.literals = set->n_atoms,
		.fields = set->n_fields,
		.bytes = set->bytes + set->arena.taken + program_size(set->program),
		.backend = PREDICATE_VM,
	};
	if (set->module) {
		struct module_stats m;

		module_stats(set->module, &m);
		ret_stats->backend = PREDICATE_WASM;
		ret_stats->bytes += m.code_bytes;
		ret_stats->module_failures = m.failures;
		ret_stats->module_is_disabled = m.is_disabled;
		memcpy(ret_stats->module_why, m.why, sizeof(ret_stats->module_why));
	}
}

/* Does a condition have it in one of its clauses? */
static bool is_filed(const struct filed *f, uint32_t clause)
{
	for (uint32_t i = 0; i < f->n_posts; i++)
		if (f->posts[i].clause == clause)
			return true;
	return false;
}

void predicate_set_explain(const struct predicate_set *set, uint32_t index, struct buf *out)
{
	static const char *const words[] = { "contains", "starts with", "ends with", "is", "is there" };
	uint32_t n[2] = { 0 };

	if (index >= program_count(set->program))
		return;
	for (uint32_t k = 0; k < 2; k++)
		for (uint32_t f = 0; f < set->n_fields; f++) {
			const struct index_field *field = &set->fields[f];
			field_id id = set->program->slots[field->slot].id;

			for (uint32_t i = 0; i < field->n; i++) {
				struct str text = text_of(field->filed[i]);

				if (!is_filed(field->filed[i], index << 1 | k))
					continue;
				buf_printf(out, "%s%s %s",
					   n[k]++ ? " or "
					   : k    ? "; and "
						  : "",
					   id ? field_name(id) : "any field", words[field->filed[i]->where]);
				if (field->filed[i]->where != PRESENT)
					buf_printf(out, " \"%.*s\"", (int)text.n, text.p);
			}
		}
}
