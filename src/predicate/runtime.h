/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime - what a leaf of scripts (lua/, wasm/) gives to script.c, which keeps limits, books and strikes for all.
 *
 * A leaf ends with one exported symbol, `script_runtime_NAME`; `runtimes` of meson.build lists the names.
 */
#pragma once
#include "predicate/host.h"
#include "predicate/script.h"

struct script_source {
	const char *name; /* what people know the script by */
	const char *text; /* or bytes */
	size_t n;
	const struct script_limits *limits; /* none is 0 */
	/* Empty. compile() loads the script once, so that it is filled; script.c seals it then. */
	struct host_code *host;
};

struct script_runtime {
	const char *name; /* "lua", "wasm" */
	enum script_kind kind;
	/*
	 * Checks the code, loads it once in an instance that is thrown away, and makes what instances share. As
	 * script_compile() does it reports what is wrong: -EINVAL with *reterr_diag, -ENOTSUP with a trail, -ENOMEM.
	 * The source's name, limits and host live as long as the code; its text does not.
	 */
	int (*compile)(const struct script_source *source, struct diag *reterr_diag, void **ret_code);
	void (*code_free)(void *code); /* NULL is fine. After all instances */
	/* An instance of one thread, with limits of its own; loading it is bounded by them too. */
	int (*open)(void *code, void **ret_instance);
	void (*close)(void *instance); /* NULL is fine */
	/*
	 * One event. SCRIPT_NO .. SCRIPT_FAILED; of what is neither yes nor no *ret_error says why, valid until the
	 * next run. After a run that was stopped the instance is as good as a new one.
	 */
	enum script_verdict (*run)(void *instance, const struct event *ev, const char **ret_error);
	/* Bytes that code takes, instances left out. */
	size_t (*size)(const void *code);
};

extern const struct script_runtime *const script_runtime_table[]; /* ends with NULL */

enum { SCRIPT_ERROR_MAX = 256 };
/* Fills a diag by hand: line and column from 1, 0 where they are not known. Returns -EINVAL, with a trail. */
int script_diag(struct diag *reterr_diag, const char *name, unsigned line, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
