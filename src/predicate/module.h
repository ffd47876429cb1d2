/* SPDX-License-Identifier: Apache-2.0 */
/*
 * module - the conditions of a program as machine code, made through Wasm.
 *
 * One module has the code of all conditions: the jumps between their leaves, and those leaves that compare a text with
 * short constants, its beginning or its end, or a number with a number. All others are asked of the program, as it
 * would ask them itself: what a leaf comes to is the same either way. What leaves that several conditions share came to
 * stands in the memory of the module, where both look.
 *
 * A module reads of each field the type, the length, the first and the last bytes, and the same without the case of
 * letters, where they are ASCII: they are written when the module first asks for the field. A constant that is longer
 * than what is kept is compared by the program, once all that is kept is equal.
 *
 * The code of a module is shared by all threads. Each scratch has an instance, made at the first event. The code jumps
 * forward only, but for loops over the conditions that are asked for. Where it fails, the caller asks the program:
 * nothing is lost by that.
 */
#pragma once
#include "predicate/predicate.h"

enum {
	MODULE_BINARY_MAX = 32 << 20, /* bytes of one module, before it is compiled */
	MODULE_MEMORY_MAX = 8 << 20,  /* of one instance */
	MODULE_FAILURES_MAX = 3,      /* runs that fail, before a module is not asked any more */
	MODULE_WHY_MAX = 256,         /* as PREDICATE_WHY_MAX */
};

struct module;
struct module_instance; /* belongs to a scratch */
struct vm_instr;

/*
 * Of all conditions of the program, or of what is left of each: `code`, where number i begins at begins[i] (NULL: as in
 * the program). What it is made of must live as long as the module. -ENOTSUP: there is no library, or this process may
 * not make code; -E2BIG.
 */
int module_new(const struct program *p, const struct vm_instr *code, const uint32_t *begins,
	       struct module **ret_module);
void module_free(struct module *m);
DEFINE_AUTO(module)

/*
 * After program_begin(), before anything is asked. False: it cannot be run (no memory, or it has failed too often), and
 * the program is to be asked.
 */
bool module_begin(struct module *m, struct predicate_scratch *s);
/*
 * Those of n conditions that are true, in their order, to ret_true, which has room for n. False: it failed, and the
 * program is to be asked. At most as many as the program has conditions.
 */
bool module_run(struct module *m, struct predicate_scratch *s, const uint32_t *list, uint32_t n, uint32_t *ret_true,
		uint32_t *ret_n);
/* What one condition comes to. */
bool module_test(struct module *m, struct predicate_scratch *s, uint32_t index, enum truth *ret_truth);

/* For tests: the next n runs trap. */
void module_spoil(struct module *m, unsigned n);

void module_instance_free(struct module_instance *i);

struct module_stats {
	uint64_t failures;        /* runs that did not come to their end */
	size_t code_bytes;        /* of the machine code, which all threads share */
	size_t memory;            /* of each instance */
	uint32_t leaves, inlined; /* of those that conditions use: how many the module answers itself */
	bool is_disabled;
	char why[MODULE_WHY_MAX]; /* of the last failure; "" */
};
void module_stats(struct module *m, struct module_stats *ret_stats);
