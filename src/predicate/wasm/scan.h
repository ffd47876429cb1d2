/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scan - what a module is made of, read off its bytes before anything compiles them.
 *
 * It keeps modules within our limits, names what a module asks for and will not get, and answers one question that no
 * runtime does: can a run of `match` leave anything behind? If no function that it reaches writes memory, tables or
 * globals, its instance is as good as new after each run, and stays. One global may be written, since compilers move
 * the pointer of their stack there: it is exported, so that it can be put back. Whatever is not understood counts as a
 * write; what is no valid module may pass here, and is refused by the compiler.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"

enum {
	WASM_MODULE_MAX = 1 << 20,  /* bytes of a module, or of its text */
	WASM_FUNCTIONS_MAX = 10000, /* of a module, imports included */
	WASM_BODY_MAX = 1 << 17,    /* bytes of one function */
	WASM_TABLE_MAX = 10000,     /* elements */
	WASM_PAGE = 1 << 16,
};

struct wasm_shape {
	uint32_t imports, functions; /* functions; all of them, imports included */
	bool has_memory;
	uint64_t pages_min, pages_max; /* of its memory; UINT64_MAX: not said */
	bool has_match;
	uint32_t match;
	bool leaves_traces; /* a run may, in other places than this one global: */
	bool sets_global;
	uint32_t global;
	size_t exports, exports_end; /* where the section of exports stands; 0: there is none */
};

/* Is such a function of the module "shrike" there? */
typedef bool (*wasm_known)(const char *name, size_t n);

/* False: *ret_why says in a sentence what is wrong (or "", where it is no module at all). */
enum { WASM_WHY_MAX = 256 };
bool wasm_scan(const void *bytes, size_t n, wasm_known known, struct wasm_shape *ret_shape, char ret_why[WASM_WHY_MAX]);

/* What wasm_with_global() exports the global as. */
#define WASM_GLOBAL_NAME "shrike global"
/* The module once more, with its one global exported. False: no memory. */
bool wasm_with_global(const void *bytes, size_t n, const struct wasm_shape *shape, struct buf *out);
