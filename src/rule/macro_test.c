/* SPDX-License-Identifier: Apache-2.0 */
#include "rule/macro.h"
#include <stdio.h>
#include "base/err.h"
#include "base/test.h"

enum { OUT_MAX = 1 << 20, MACROS = 10 };

/* "name(a, b) = expression", as short as a table needs it; "!name" replaces another. */
static void split(const char *line, struct macro *m, char *room, const char *parameter[MACRO_PARAMETERS_MAX + 1])
{
	char *open, *close, *p = room;

	(void)snprintf(room, 512, "%s", line);
	m->replaces = *p == '!';
	p += m->replaces;
	open = strchr(p, '(');
	close = strchr(open, ')');
	m->name = p;
	m->text = line + (close + 4 - room);
	m->n = strlen(m->text);
	*open = *close = 0;
	m->parameter = parameter;
	for (p = strtok(open + 1, ", "); p; p = strtok(NULL, ", "))
		parameter[m->n_parameters++] = p;
	m->file = "m.yaml";
	m->text_column = (unsigned)(m->text - line) + 1;
	m->indent = 4;
	m->column = 1;
}

static void tell(void *ctx, const struct macro *macro, unsigned line, unsigned column, const char *message)
{
	buf_printf(ctx, "%s:%u:%u: %s: %s\n", macro->file, line, column, macro->name, message);
}

/* Each in its own line of a file. */
static struct macros *macros_of(const char *const *lines, struct buf *wrong)
{
	struct macros *ms = NULL;

	check_int(macros_new(&ms), 0);
	for (unsigned i = 0; lines[i]; i++) {
		const char *parameter[MACRO_PARAMETERS_MAX + 2];
		struct macro m = { .line = i + 1, .text_line = i + 1 };
		char room[512];

		split(lines[i], &m, room, parameter);
		check_int(macros_add(ms, &m, tell, wrong), 0);
	}
	check_int(macros_finish(ms, tell, wrong), 0);
	return ms;
}

static void print(const char *text, const struct query_options *options, struct buf *out)
{
	AUTO(query) q = NULL;
	struct diag d;

	buf_clear(out);
	if (condition_compile(text, strlen(text), options, &d, &q) < 0) {
		buf_printf(out, "%u:%u+%zu: ", d.line, d.column, d.len);
		diag_say(&d, out);
	} else {
		ir_print(q, q->stage->condition, out);
	}
	err_clear();
}

/* The text with all written out compiles to the same, by a compiler that knows no macros. */
static void check_written_out(const char *text, const struct query_options *options, const char *ir)
{
	const struct query_options without = { .dialect = options->dialect };
	auto_buf struct buf out = { .max = OUT_MAX };
	auto_buf struct buf again = { .max = OUT_MAX };
	struct diag d;

	require(macros_write_out(text, strlen(text), true, options, &d, &out) >= 0);
	print(buf_text(&out), &without, &again);
	check_str(buf_text(&again), ir);
}

TEST(a_macro_means_what_it_says_written_out)
{
	static const char *const lines[] = {
		"shell(path) = path in (\"/bin/sh\", \"/bin/bash\")",
		"odd(p) = shell(p.executable) or ?p.name : \"x*\"",
		"either(a, b) = a or b",
		"twice(n) = n * 2",
		"always() = true",
		"under(path, folder) = path like folder",
		"inside(ip, net) = cidrMatch(ip, net)",
		"old(x) = not shell(x) and x != null",
		"of_shell(p) = descendant of [process where shell(p.executable)]",
		NULL,
	};
	static const struct {
		const char *name, *written; /* "": a macro's call, and what it is by hand */
	} rows[] = {
		{ "shell(process.executable)", "process.executable in (\"/bin/sh\", \"/bin/bash\")" },
		{ "not shell(a)", "not a in (\"/bin/sh\", \"/bin/bash\")" },
		{ "a == 1 and either(b == 1, c == 1)", "a == 1 and (b == 1 or c == 1)" },
		{ "either(a == 1 and b == 1, c == 1) and d == 1", "((a == 1 and b == 1) or c == 1) and d == 1" },
		{ "twice(a + 1) == 4", "(a + 1) * 2 == 4" },
		{ "a - twice(3) > 1", "a - (3 * 2) > 1" },
		{ "odd(process.parent)", "process.parent.executable in (\"/bin/sh\", \"/bin/bash\") or "
					 "?process.parent.name : \"x*\"" },
		{ "odd(?process)", "?process.executable in (\"/bin/sh\", \"/bin/bash\") or ?process.name : \"x*\"" },
		{ "always()", "true" },
		{ "always() and a == 1", "true and a == 1" },
		{ "under(file.path, \"/tmp/*\")", "file.path like \"/tmp/*\"" },
		{ "inside(destination.ip, \"10.0.0.0/8\")", "cidrMatch(destination.ip, \"10.0.0.0/8\")" },
		{ "old(x)", "not x in (\"/bin/sh\", \"/bin/bash\") and x != null" },
		{ "not old(x) or y == 1", "not (not x in (\"/bin/sh\", \"/bin/bash\") and x != null) or y == 1" },
		{ "either(either(a == 1, b == 1), either(c == 1, shell(d)))",
		  "a == 1 or b == 1 or c == 1 or d in (\"/bin/sh\", \"/bin/bash\")" },
		{ "of_shell(process)",
		  "descendant of [process where process.executable in (\"/bin/sh\", \"/bin/bash\")]" },
		{ "descendant of [process where shell(a.b)]",
		  "descendant of [process where a.b in (\"/bin/sh\", \"/bin/bash\")]" },
		{ "shell(substring(a, twice(1)))", "substring(a, 1 * 2) in (\"/bin/sh\", \"/bin/bash\")" },
	};
	auto_buf struct buf wrong = { .max = OUT_MAX };
	auto_buf struct buf got = { .max = OUT_MAX };
	auto_buf struct buf want = { .max = OUT_MAX };
	AUTO(macros) ms = macros_of(lines, &wrong);
	const struct query_options options = { .dialect = RULE_ENDPOINT, .macros = ms },
				   without = { .dialect = RULE_ENDPOINT };

	check_str(buf_text(&wrong), "");
	for_each_row (r, rows) {
		print(r->name, &options, &got);
		print(r->written, &without, &want);
		check_str(buf_text(&got), buf_text(&want));
		check_written_out(r->name, &options, buf_text(&want));
	}
}

TEST(names_in_a_macro_mean_nothing_of_the_rule_around_it)
{
	static const char *const lines[] = {
		"any_arg(list, v) = arraySearch(list, x, x == v)",
		"first(y) = e0.name == y",
		NULL,
	};
	static const char sequence[] = "sequence [any where true] as e0 [any where first(e0.name)]";
	auto_buf struct buf wrong = { .max = OUT_MAX };
	auto_buf struct buf got = { .max = OUT_MAX };
	AUTO(macros) ms = macros_of(lines, &wrong);
	const struct query_options options = { .dialect = RULE_ENDPOINT, .macros = ms };
	const struct ir_node *n;
	AUTO(query) q = NULL;

	check_str(buf_text(&wrong), "");
	/* The rule's x is not the macro's, neither way round. */
	print("any_arg(process.args, x)", &options, &got);
	check_str(buf_text(&got), "(arraySearch! $0 process.args (==@! $0 x))");
	print("arraySearch(a, x, any_arg(b, x))", &options, &got);
	check_str(buf_text(&got), "(arraySearch! $0 a (arraySearch! $1 b (==@! $1 $0)))");
	/* e0 of the body is a field; e0 of the argument is the first term's event. */
	require_ok(query_compile(sequence, sizeof(sequence) - 1, &options, NULL, &q));
	n = ir_at(q, q->stage[1].condition);
	require(n->n == 2);
	check_int(ir_at(q, n->kid[0])->field.event, -1);
	check_str(ir_at(q, n->kid[0])->field.name, "e0.name");
	check_int(ir_at(q, n->kid[1])->field.event, 0);
	check_str(ir_at(q, n->kid[1])->field.name, "name");
}

TEST(a_call_that_cannot_be_is_refused_at_its_place)
{
	static const char *const lines[] = {
		"is_shell(path) = path in (\"/bin/sh\")",
		"long(x) = length(x) > 100",
		"named(p) = long(p.name)",
		"listed(p, list) = p like list",
		NULL,
	};
	static const struct condition_row {
		const char *name, *want;
	} rows[] = {
		{ "is_shel(a)", "1:1+7: unknown function \"is_shel\"; did you mean \"is_shell\"?" },
		{ "a == 1 and is_shell()",
		  "1:12+10: is_shell() wants 1 argument, and has 0: it is the macro of m.yaml:1" },
		{ "is_shell(a, b)", "1:1+14: is_shell() wants 1 argument, and has 2: it is the macro of m.yaml:1" },
		{ "is_shell~(a)", "1:1+12: is_shell() has no form with ~: it is the macro of m.yaml:1" },
		{ "a == 1 and not is_shell", "1:16+8: \"is_shell\" is a macro: it is called as is_shell(...)" },
		{ "long(5)", "1:6+1: length() wants text here, and this is a number; in the macro \"long\", "
			     "m.yaml:2:11" },
		{ "named(5)", "1:7+1: named() wants a field here" },
		{ "named(length(a))", "1:7+9: named() wants a field here" },
		{ "listed(a, b)", "1:11+1: a pattern is a string: \"...\"; in the macro \"listed\", m.yaml:4:19" },
		{ "Is_Shell(a)", "1:1+8: unknown function \"Is_Shell\"; did you mean \"is_shell\"?" },
	};
	auto_buf struct buf wrong = { .max = OUT_MAX };
	auto_buf struct buf got = { .max = OUT_MAX };
	AUTO(macros) ms = macros_of(lines, &wrong);
	const struct query_options options = { .dialect = RULE_ENDPOINT, .macros = ms };

	check_str(buf_text(&wrong), "");
	for_each_row (r, rows) {
		print(r->name, &options, &got);
		check_str(buf_text(&got), r->want);
	}
}

TEST(a_definition_that_is_wrong_is_told_at_its_place)
{
	static const struct {
		const char *name, *want;
		const char *lines[MACROS];
	} rows[] = {
		{ "no expression", "m.yaml:1:12: f: expected a value, found the end\n", { "f(a) = a ==" } },
		{ "an unknown function",
		  "m.yaml:1:8: f: unknown function \"lenght\"; did you mean \"length\"?\n",
		  { "f(a) = lenght(a) > 1" } },
		{ "types that do not fit",
		  "m.yaml:1:21: f: this is text, and is compared with a number\n",
		  { "f(a) = length(a) == \"3\"" } },
		{ "a word of the language",
		  "m.yaml:1:1: and: the name of a macro is made of letters, digits and _, begins with no digit, has at "
		  "most 64 bytes, and is no word of the language\n",
		  { "and(a) = a == 1" } },
		{ "a function's name",
		  "m.yaml:1:1: LENGTH: there is a function of this name: another name for the macro\n",
		  { "LENGTH(a) = a == 1" } },
		{ "a parameter twice", "m.yaml:1:1: f: two parameters are called \"a\"\n", { "f(a, a) = a == 1" } },
		{ "a parameter that is none",
		  "m.yaml:1:1: f: \"a.b\" is no name for a parameter: letters, digits and _, at most 64, and no word "
		  "of "
		  "the language\n",
		  { "f(a.b) = true" } },
		{ "too many parameters",
		  "m.yaml:1:1: f: more than 8 parameters\n",
		  { "f(a, b, c, d, e, f, g, h, i) = true" } },
		{ "an item called like a parameter",
		  "m.yaml:1:1: f: \"a\" is a parameter: the item of arraySearch() needs another name\n",
		  { "f(a) = arraySearch(list, a, a == 1)" } },
		{ "itself", "m.yaml:1:1: f: macros that call each other in a circle: f -> f\n", { "f(a) = f(a)" } },
		{ "a circle",
		  "m.yaml:1:1: f: macros that call each other in a circle: f -> g -> h -> f\n",
		  { "f(a) = g(a)", "g(a) = a == 1 or h(a)", "h(a) = not f(a)" } },
		{ "a circle somewhere below",
		  "m.yaml:2:1: g: macros that call each other in a circle: g -> h -> g\n",
		  { "f(a) = g(a)", "g(a) = h(a)", "h(a) = g(a)" } },
		{ "a call with too few",
		  "m.yaml:2:8: g: f() wants 1 argument, and has 0: it is the macro of m.yaml:1\n",
		  { "f(a) = a == 1", "g(a) = f()" } },
		{ "wrong in the one that it calls",
		  "m.yaml:2:10: g: length() wants text here, and this is a number; in the macro \"f\", m.yaml:1:8\n",
		  { "f(a) = length(a) > 1", "g(a) = f(5)" } },
		{ "twice",
		  "m.yaml:2:1: f: there is a macro \"f\" already, in m.yaml:1: to stand in its place, this one says "
		  "\"replaces: true\"\n",
		  { "f(a) = a == 1", "f(a) = a == 2" } },
		{ "replaced twice",
		  "m.yaml:3:1: f: there is one that replaces the macro \"f\" already, in m.yaml:2\n",
		  { "f(a) = a == 1", "!f(a) = a == 2", "!f(a) = a == 3" } },
		{ "nothing to replace",
		  "m.yaml:1:1: f: there is no macro \"f\" that it could replace\n",
		  { "!f(a) = a == 1" } },
		{ "of other parameters",
		  "m.yaml:2:1: f: it has 2 parameters, and the one that it replaces has 1, in m.yaml:1\n",
		  { "f(a) = a == 1", "!f(a, b) = a == b" } },
		{ "one message for all who call what does not compile",
		  "m.yaml:1:8: f: unknown function \"lenght\"; did you mean \"length\"?\n",
		  { "f(a) = lenght(a) > 1", "g(a) = f(a)", "h(a) = g(a)" } },
		{ "one message for all who call it",
		  "m.yaml:1:12: f: expected a value, found the end\n",
		  { "f(a) = a ==", "g(a) = f(a)", "h(a) = g(a)" } },
	};

	for_each_row (r, rows) {
		auto_buf struct buf wrong = { .max = OUT_MAX };
		AUTO(macros) ms = macros_of(r->lines, &wrong);

		check_str(buf_text(&wrong), r->want);
	}
}

TEST(a_macro_that_is_wrong_is_not_called)
{
	static const char *const lines[] = { "f(a) = a ==", "g(a) = f(a)", NULL };
	auto_buf struct buf out = { .max = OUT_MAX };
	AUTO(macros) ms = macros_of(lines, &out);
	const struct query_options options = { .dialect = RULE_ENDPOINT, .macros = ms };

	print("g(a)", &options, &out);
	check_str(buf_text(&out),
		  "1:1+4: the macro \"g\" cannot be used, for it calls \"f\", which is wrong: m.yaml:1:1");
}

TEST(a_macro_replaces_another_and_may_call_it)
{
	static const char *const lines[] = {
		"apt(p) = p == \"apt\"",          "pm(p) = apt(p) or p == \"rpm\"", "quiet(p) = not pm(p)",
		"!pm(p) = pm(p) or p == \"pkg\"", "!apt(p) = p == \"apt2\"",        NULL,
	};
	auto_buf struct buf out = { .max = OUT_MAX };
	AUTO(macros) ms = macros_of(lines, &out);
	const struct query_options options = { .dialect = RULE_ENDPOINT, .macros = ms };

	check_str(buf_text(&out), "");
	print("quiet(x)", &options, &out);
	check_str(buf_text(&out), "(not (or (==@! x \"apt2\") (==@! x \"rpm\") (==@! x \"pkg\")))");
}

TEST(macros_are_bounded_in_depth_and_size)
{
	const char *lines[2][MACRO_DEPTH_MAX + 2] = { { NULL } };
	char room[2][MACRO_DEPTH_MAX + 1][64];
	auto_buf struct buf wrong = { .max = OUT_MAX };
	auto_buf struct buf got = { .max = OUT_MAX };

	/* ma calls mb, and so on: one more than may be; and the same where each doubles what the next one comes to. */
	for (unsigned i = 0; i <= MACRO_DEPTH_MAX; i++) {
		const char me = (char)('a' + i), next = (char)('b' + i);

		(void)snprintf(room[0][i], sizeof(room[0][i]), "m%c(a) = not m%c(a)", me, next);
		(void)snprintf(room[1][i], sizeof(room[1][i]), "m%c(a) = m%c(a) or m%c(a)", me, next, next);
		for (unsigned k = 0; k < 2; k++) {
			if (i == MACRO_DEPTH_MAX)
				(void)snprintf(room[k][i], sizeof(room[k][i]), "m%c(a) = a == 1", me);
			lines[k][i] = room[k][i];
		}
	}
	{
		AUTO(macros) ms = macros_of(lines[0], &wrong);

		check_str(buf_text(&wrong), "m.yaml:1:1: ma: macros within each other deeper than 16\n");
	}
	buf_clear(&wrong);
	{
		AUTO(macros) ms = macros_of(lines[0] + 1, &wrong);

		check_str(buf_text(&wrong), "");
	}
	{
		AUTO(macros) ms = macros_of(lines[1] + 1, &wrong);
		const struct query_options options = { .dialect = RULE_ENDPOINT, .macros = ms };

		/* Deep enough, but too large: that is told of the first that is, and calls are refused. */
		check_str(buf_text(&wrong), "m.yaml:2:9: mc: macros come to more than 65536 parts here\n");
		print("mb(x)", &options, &got);
		check_has(buf_text(&got), "the macro \"mb\" cannot be used");
		print("mk(x)", &options, &got);
		check_has(buf_text(&got), "(or (==@! x 1)");
	}
	{
		static const char *const deep[] = { "neg(a) = -(-(-(-(-(-(-(-a)))))))", NULL };
		AUTO(macros) ms = macros_of(deep, &wrong);
		const struct query_options options = { .dialect = RULE_ENDPOINT, .macros = ms };
		auto_buf struct buf text = { .max = OUT_MAX };

		for (int i = 0; i < 20; i++)
			buf_str(&text, "neg(");
		buf_str(&text, "a");
		for (int i = 0; i < 20; i++)
			buf_str(&text, ")");
		buf_str(&text, " == 1");
		print(buf_text(&text), &options, &got);
		check_has(buf_text(&got), "nested deeper than 128");
	}
}

TEST(a_query_says_which_macros_made_it)
{
	static const char *const one[] = { "f(a) = a == 1", "g(a) = a == 1", NULL };
	static const char *const other[] = { "f(a) = a == 2", "g(a) = a == 1", NULL };
	static const char *const texts[] = { "any where f(x)", "any where g(x)", "any where x == 1" };
	auto_buf struct buf out = { .max = OUT_MAX };
	AUTO(macros) ma = macros_of(one, &out);
	AUTO(macros) mb = macros_of(other, &out);
	const struct query_options oa = { .macros = ma }, ob = { .macros = mb };

	for (size_t i = 0; i < countof(texts); i++) {
		AUTO(query) qa = NULL;
		AUTO(query) qb = NULL;

		require_ok(query_compile(texts[i], strlen(texts[i]), &oa, NULL, &qa));
		require_ok(query_compile(texts[i], strlen(texts[i]), &ob, NULL, &qb));
		check((qa->macros == qb->macros) == (i > 0));
		check((qa->macros == 0) == (i == 2));
		check_str(qa->text, texts[i]);
	}
}

TEST(queries_are_written_out_as_they_were_meant)
{
	static const char *const lines[] = { "f(a) = a == 1 or a like \"x\\\"*\"", NULL };
	static const struct {
		const char *name, *want;
	} rows[] = {
		{ "process where f(a) and b == -5", "process where (a == 1 or a like \"x\\\"*\")\n  and b == -5" },
		{ "any where not f(`odd name`.x) and (`in`.b : (\"x\", null) or c in~ (1.0, 2))",
		  "any where not (`odd name.x` == 1 or `odd name.x` like \"x\\\"*\")\n  and (`in.b` : (\"x\", null) or "
		  "c "
		  "in~ (1.0, 2))" },
		{ "sequence by a, b with maxspan=5m [\"odd one\" where f(a) and b == 1] by c as e0 ![any where e0.c == "
		  "1] by d [any where true] by e with runs=3 until [any where f(b)] by x | head 3",
		  "sequence by a, b with maxspan=5m\n  [\"odd one\" where (a == 1 or a like \"x\\\"*\")\n    and "
		  "b "
		  "== 1] by c as e0\n  ![any where e0.c == 1] by d\n  [any where true] by e with runs=3\nuntil [any "
		  "where b == 1 or b like \"x\\\"*\"] by x\n| head 3" },
	};
	auto_buf struct buf out = { .max = OUT_MAX };
	AUTO(macros) ms = macros_of(lines, &out);
	const struct query_options options = { .dialect = RULE_ENDPOINT, .macros = ms }, none = { RULE_ENDPOINT };

	for_each_row (r, rows) {
		auto_buf struct buf one = { .max = OUT_MAX };
		auto_buf struct buf two = { .max = OUT_MAX };
		AUTO(query) q = NULL;
		AUTO(query) again = NULL;
		struct diag d;

		buf_clear(&out);
		require(macros_write_out(r->name, strlen(r->name), false, &options, &d, &out) >= 0);
		check_str(buf_text(&out), r->want);
		require_ok(query_compile(r->name, strlen(r->name), &options, &d, &q));
		require_ok(query_compile(buf_text(&out), out.len, &none, &d, &again));
		query_print(q, &one);
		query_print(again, &two);
		check_str(buf_text(&two), buf_text(&one));
	}
}
