/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm - the form that programs have. Private to its folder, and to what makes modules of it (predicate/wasm/gen.h).
 *
 * A condition is code: leaves, and jumps between them. A leaf asks one field about constants, directly, or
 * else is an expression on a stack. Leaves, fields and constants belong to the program: each different one is
 * there once, whatever the number of expressions that have it.
 */
#pragma once
#include "base/arena.h"
#include "match/cidr.h"
#include "match/regex.h"
#include "match/wildcard.h"
#include "predicate/predicate.h"

enum {
	VM_SLOTS_MAX = 1 << 16,
	VM_DEPTH_MAX = 250,       /* and and or within each other */
	VM_STACK_MAX = 1 << 14,   /* values of one expression */
	VM_CHOICES_MAX = 16,      /* lists that one expression is about */
	VM_ARENA_MAX = 256 << 20, /* of one program, without its patterns */
	VM_CODE_MAX = 1 << 24,
	VM_ALL_MIN = 8,        /* fields of a program: from here on those of a lens are read all at once */
	VM_HASHED_MIN = 6,     /* texts of a list: from here on they are hashed */
	VM_SLOT_OF_MAX = 4096, /* numbers of fields that need not be hashed */
};

/* A field, loaded once an event. */
struct vm_slot {
	field_id id; /* FIELD_NONE: IR_VALUES */
	int32_t event;
};

enum vm_op {
	VM_LEAF,  /* acc = leaf arg */
	VM_CONST, /* acc = arg */
	VM_NOT,
	VM_BEGIN, /* reg = arg */
	VM_AND,   /* false: jump; null: reg is null */
	VM_OR,    /* true: jump; null: reg is null */
	VM_END,   /* acc = reg; jumps lead behind it */
	VM_MUST,  /* returns unless true */
	VM_RETURN,
};

struct vm_instr {
	uint8_t op, reg;
	uint32_t arg, target;
};

/* Texts of a list. */
struct vm_texts {
	uint32_t n, mask; /* mask 0: compared one by one */
	uint32_t *slots;  /* index + 1 */
	struct str *texts;
	size_t longest; /* in bytes; folded ones may be up to three times as long */
	/* What rules most texts out. By vm_ends(); where case does not count, by the first letter, if that is ASCII. */
	uint64_t ends, first[2];
};

enum vm_leaf_kind {
	VM_IS_TEXT, /* equal to .text */
	VM_IN_TEXTS,
	VM_COMPARE, /* with .value, op */
	VM_IN,      /* .values */
	VM_PATTERN,
	VM_LIKE,
	VM_IS_NULL,
	VM_CIDR,
	VM_EXPR, /* .from, .to */
};

struct vm_leaf {
	uint8_t kind, op, as;
	bool any, truth, fold, shared, has_null;
	uint32_t slot;
	union {
		struct str text;
		struct value value;
		struct vm_texts *in_texts;
		struct regex *pattern;
		struct wildcards *like;
		struct cidr_set *blocks;
		struct {
			const struct value *items;
			uint32_t n;
		} values;
		struct {
			uint32_t from, to;
		};
	};
	/* What it was made of. */
	const struct query *q;
	ir_ref ref;
};

enum vm_x {
	X_CONST,   /* constants[arg] */
	X_LOAD,    /* slot arg */
	X_ITEM,    /* arg of the list on top */
	X_ITEM_OF, /* the item that variable arg is at, of the list on top */
	X_VAR,
	X_AND, /* of the n on top */
	X_OR,
	X_NOT,
	X_IS_NULL,
	X_NEG,
	X_COMPARE,
	X_RECKON,
	X_IN,
	X_PATTERN,
	X_LIKE,
	X_CALL,
	X_LINEAGE,
	X_TRUTH,
	X_ANY,    /* the next `skip` ops are run for each choice of items of slots any[arg] .. any[arg + n - 1] */
	X_SEARCH, /* the same for each item of the list on top; any[slots] .. are its members, if it is one of objects
		   */
};

struct vm_expr_op {
	uint8_t op;
	uint32_t n, arg, skip, slots;
	const struct ir_node *node;
	const struct query *q;
	union {
		const struct regex *pattern;
		const struct wildcards *like;
	};
};

struct program {
	struct arena arena;
	uint32_t n_entries, n_slots, n_leaves, n_code, n_expr, n_kinds, stack;
	/* An expression begins in the code, or (values) among the ops of expressions. */
	struct vm_entry {
		uint32_t code;
		uint32_t from, to; /* to 0: not made yet */
		const struct query *q;
		ir_ref ref;
		const char *category;
	} *entries;
	struct vm_slot *slots;
	uint32_t *slot_ids; /* hash table of slots with event -1, by field: slot + 1 */
	uint32_t slot_mask;
	uint16_t *slot_of; /* the same of the fields below n_slot_of, by their number */
	uint32_t n_slot_of;
	struct vm_leaf *leaves;
	struct vm_instr *code;
	struct vm_expr_op *expr;
	uint32_t *any;
	const struct event_kind **kinds;
	const struct field **by_kind; /* n_slots for each kind */
	struct value *constants;
	uint32_t n_constants, n_any;
	struct regex **patterns;
	uint32_t n_patterns;
	struct wildcards **likes;
	uint32_t n_likes;
	struct cidr_set **blocks;
	uint32_t n_blocks;
	size_t bytes; /* of patterns */
};

struct predicate_scratch {
	uint32_t epoch;
	uint32_t n_slots, n_leaves, n_stack;
	struct {
		uint32_t epoch;
		struct value v;
	} *slots;
	/* epoch << 2 | truth; of the event that is looked at: own_leaves, or the same in the memory of a module. */
	uint32_t *leaves, *own_leaves;
	struct value *stack;
	const struct program *program;
	const struct predicate_input *in;
	bool has_all;                   /* all that the lens has was read */
	const struct field *const *row; /* of the event's kind; NULL: none */
	struct value vars[RULE_VARIABLES_MAX];
	size_t var_at[RULE_VARIABLES_MAX];
	struct arena arena;
	struct event_scratch room;
	struct gate_cache *gates;
	struct module_instance *module;
	uint32_t n_wraps; /* how often epochs began anew */
	/* Of sets: predicates to be run, and those that are true; for each, epoch << 2 | clauses that were hit. */
	uint32_t *list, *chosen;
	uint32_t n_list, n_chosen;
};

static inline uint64_t vm_ends(struct str s)
{
	return s.n ? 1ULL << ((5U * (unsigned char)s.p[0] + 11U * (unsigned char)s.p[s.n - 1] + s.n) % 64) : 1;
}

static inline uint32_t vm_slot_hash(field_id id)
{
	return id * 0x9e3779b1U >> 16;
}

/* Runs code that begins at `at`, of the program or made of parts of it; only after program_begin(). */
enum truth vm_run_code(const struct program *p, const struct vm_instr *code, uint32_t at, struct predicate_scratch *s);

struct gate_cache;
void gate_cache_free(struct gate_cache *c);

/* A leaf, as code asks it. */
enum truth vm_leaf_test(const struct program *p, uint32_t leaf, struct predicate_scratch *s);
const struct value *vm_load_slow(const struct program *p, struct predicate_scratch *s, uint32_t slot);
/* The value of a slot, for as long as the event is looked at. */
static inline const struct value *vm_load(const struct program *p, struct predicate_scratch *s, uint32_t slot)
{
	return s->slots[slot].epoch == s->epoch ? &s->slots[slot].v : vm_load_slow(p, s, slot);
}
