/* SPDX-License-Identifier: Apache-2.0 */
/* host_api_md - docs/reference/host-api.md: what scripts may ask the agent. */
#include "predicate/host.h"
#include "reference/reference.h"

static const char head[] =
	"# Host API v1\n"
	"\n"
	"<!-- Written by `make reference` from the table in src/predicate/host.c. Change that, not this. -->\n"
	"\n"
	"What a [script](../scripts.md) may ask the agent, whatever it is written in. In Lua the functions are members "
	"of\n"
	"`shrike`, in Wasm imports of the module `shrike`, in C those of [sdk/shrike.h](../../sdk/shrike.h) with "
	"`shrike_`\n"
	"before their names. Functions are added, never changed or taken away.\n"
	"\n"
	"| type | in Lua | in Wasm |\n"
	"|---|---|---|\n"
	"| bool | `true`, `false` | `i32` |\n"
	"| int | a number; beyond 2^53 it is rounded | `i64` |\n"
	"| float | a number | `f64` |\n"
	"| text | a string of bytes | `i32` where it lies, `i32` its bytes; as a result, where to and how much room, "
	"and the "
	"length |\n"
	"| field, pattern, blocks, list | a number; a field's name does for a field | `i32` |\n"
	"| absent (a type with ?) | `nil` | length -1, bool -1; a number's last argument says what it is then |\n"
	"\n"
	"A call with a handle that was not given, a type that is wrong or something beyond a limit ends the run: it "
	"has\n"
	"failed.\n";

static const struct {
	enum host_when when;
	const char *title, *text;
} sections[] = {
	{ HOST_NAMES, "Naming",
	  "While the script is loaded, these make handles, which a run then uses. In a run they give the handle of "
	  "what was named already, and fail with anything else." },
	{ HOST_LOOKS, "The event", "Only in a run." },
	{ HOST_ANYTIME, "Texts and the log", "At any time. These look at their arguments alone." },
};

static const char *const types[] = {
	[HOST_NONE] = "",           [HOST_BOOL] = "bool",     [HOST_INT] = "int",
	[HOST_FLOAT] = "float",     [HOST_TEXT] = "text",     [HOST_FIELD] = "field",
	[HOST_PATTERN] = "pattern", [HOST_BLOCKS] = "blocks", [HOST_LIST] = "list",
};

static void write_row(const struct host_function *f, struct buf *out)
{
	buf_printf(out, "| `%s(", f->name);
	for (size_t i = 0; i < HOST_ARGS_MAX && f->arg[i].type != HOST_NONE; i++) {
		const struct host_arg *a = &f->arg[i];

		/* "field field" says no more than "field". */
		buf_printf(out, "%s%s", i ? ", " : "", a->name);
		if (strcmp(a->name, types[a->type]) != 0)
			buf_printf(out, ": %s", types[a->type]);
	}
	buf_printf(out, ")` | %s%s | ", types[f->result], f->may_be_absent ? "?" : "");
	reference_md(out, f->doc);
	buf_str(out, " |\n");
}

static void write_limit(struct buf *out, const char *what, size_t n)
{
	buf_printf(out, "| %s | %zu |\n", what, n);
}

int reference_host_api_md(const char *root, struct buf *out)
{
	(void)root;
	buf_str(out, head);
	for (size_t i = 0; i < countof(sections); i++) {
		buf_printf(out, "\n## %s\n\n", sections[i].title);
		reference_wrap(out, "", 120, sections[i].text);
		buf_str(out, "\n| function | gives | |\n|---|---|---|\n");
		for (size_t k = 0; k < host_n_functions; k++)
			if (host_functions[k].when == sections[i].when)
				write_row(&host_functions[k], out);
	}
	buf_str(out, "\n## Limits\n\n| | at most |\n|---|---|\n");
	write_limit(out, "fields of a script", HOST_FIELDS_MAX);
	write_limit(out, "patterns", HOST_PATTERNS_MAX);
	write_limit(out, "bytes of a pattern", HOST_PATTERN_MAX);
	write_limit(out, "sets of blocks", HOST_BLOCKS_MAX);
	write_limit(out, "lists", HOST_LISTS_MAX);
	write_limit(out, "bytes of all items of a list", HOST_NAMED_MAX);
	write_limit(out, "bytes of a text", HOST_TEXT_MAX);
	write_limit(out, "characters of a part that is searched without regard to case", HOST_PART_MAX);
	write_limit(out, "bytes of a line of the log", HOST_LOG_MAX);
	buf_str(out, "\nA pattern that does not become a table of 65536 cells is refused as too complex: one byte of "
		     "text is "
		     "one step,\nwhatever the pattern.\n");
	return 0;
}
