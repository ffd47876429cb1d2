/* SPDX-License-Identifier: Apache-2.0 */
/* sdk_h - sdk/shrike.h: Host API v1 for scripts that are written in C and compiled to Wasm. */
#include "predicate/host.h"
#include "reference/reference.h"

static const char head[] =
	"/* SPDX-License-Identifier: Apache-2.0 */\n"
	"/* clang-format off */\n"
	"/*\n"
	" * shrike - what a script in C may ask of the agent: Host API v1. Written by `make reference` from its "
	"table.\n"
	" *\n"
	" *\t#include \"shrike.h\"\n"
	" *\tstatic uint32_t name;\n"
	" *\tSHRIKE_LOAD { name = shrike_field(SHRIKE_TEXT(\"process.name\")); }\n"
	" *\tSHRIKE_MATCH { return shrike_field_is(name, SHRIKE_TEXT(\"nc\")); }\n"
	" *\n"
	" *\tclang --target=wasm32 -O2 -nostdlib -Wl,--no-entry -I sdk rule.c -o rule.wasm\n"
	" *\n"
	" * Texts are not terminated: each has its size in bytes beside it. A text that is given back is written where "
	"`to`\n"
	" * points, as much of it as there is room for, and its whole size is returned; -1: there is none. Handles "
	"(uint32_t)\n"
	" * are made in SHRIKE_LOAD. A call with what is not allowed ends the run.\n"
	" *\n"
	" * A match that stores nothing is some fifty times faster than one that does: texts that the host writes into "
	"a\n"
	" * buffer, on the stack or static, do not count. Whatever it stores is forgotten after each event in any "
	"case.\n"
	" */\n"
	"#pragma once\n"
	"#include <stdint.h>\n"
	"\n"
	"#define SHRIKE_LOAD  __attribute__((export_name(\"load\"))) void shrike_load(void)\n"
	"#define SHRIKE_MATCH __attribute__((export_name(\"match\"))) int32_t shrike_match(void)\n"
	"/* A literal, with its size. */\n"
	"#define SHRIKE_TEXT(literal) (literal), (uint32_t)(sizeof(literal) - 1)\n"
	"#define SHRIKE_IMPORT(name) __attribute__((import_module(\"shrike\"), import_name(name))) extern\n";

static const char *const types[] = {
	[HOST_NONE] = "void",        [HOST_BOOL] = "int32_t",    [HOST_INT] = "int64_t",
	[HOST_FLOAT] = "double",     [HOST_TEXT] = "int32_t",    [HOST_FIELD] = "uint32_t",
	[HOST_PATTERN] = "uint32_t", [HOST_BLOCKS] = "uint32_t", [HOST_LIST] = "uint32_t",
};

static void write_function(const struct host_function *f, struct buf *out)
{
	const char *comma = "";

	buf_str(out, "\n/* ");
	reference_sentence(out, f->doc);
	buf_printf(out, " */\nSHRIKE_IMPORT(\"%s\") %s shrike_%s(", f->name, types[f->result], f->name);
	for (size_t i = 0; i < HOST_ARGS_MAX && f->arg[i].type != HOST_NONE; i++) {
		const struct host_arg *a = &f->arg[i];

		if (a->type == HOST_TEXT)
			buf_printf(out, "%sconst char *%s, uint32_t %s_size", comma, a->name, a->name);
		else
			buf_printf(out, "%s%s %s", comma, types[a->type], a->name);
		comma = ", ";
	}
	if (f->result == HOST_TEXT) {
		buf_printf(out, "%schar *to, uint32_t room", comma);
		comma = ", ";
	}
	if (f->may_be_absent && (f->result == HOST_INT || f->result == HOST_FLOAT)) {
		buf_printf(out, "%s%s absent", comma, types[f->result]);
		comma = ", ";
	}
	buf_str(out, comma[0] ? ");\n" : "void);\n");
}

int reference_sdk_h(const char *root, struct buf *out)
{
	(void)root;
	buf_str(out, head);
	for (size_t i = 0; i < host_n_functions; i++)
		write_function(&host_functions[i], out);
	return 0;
}
