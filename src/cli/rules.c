/* SPDX-License-Identifier: Apache-2.0 */
/* rules - rule files: are they right, do they do what their tests promise, what is in them? */
#include "cli/rules.h"
#include <stdarg.h>
#include <string.h>
#include "base/json.h"
#include "cli/text.h"

enum { OUT_MAX = 64 << 20, OUT_FULL = 1 << 16, LINE_BYTES = 1 << 16 };

static const struct verb_option options[] = {
	OPTION_OUTPUT(rules_options, "as text, or as JSON, an object a line"),
	VERB_OPTION_FULL(rules_options, into, "into", 0, "FOLDER", OPT_STR, "",
			 "import: copy the files whose rules are all good into this folder", COMPLETE_FILE),
};

void rules_flush(struct rules_run *r, size_t at)
{
	if (r->out.len < at)
		return;
	(void)cli_write(r->cli, &r->out);
	buf_clear(&r->out);
}

void rules_member(struct rules_run *r, const char *name, const char *text)
{
	if (!text)
		return;
	buf_printf(&r->out, ",\"%s\":", name);
	(void)json_write_str(&r->out, text, strlen(text));
}

void rules_line(struct rules_run *r, const char *fmt, ...)
{
	auto_buf struct buf line = { .max = LINE_BYTES };
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&line, fmt, ap);
	va_end(ap);
	text_safe(&r->out, buf_text(&line), line.len);
	buf_char(&r->out, '\n');
	rules_flush(r, OUT_FULL);
}

void rules_problem(struct rules_run *r, const struct book_problem *p)
{
	auto_buf struct buf line = { .max = LINE_BYTES };

	if (r->o->output == OUTPUT_TABLE) {
		book_problem_write(p, &line);
		rules_line(r, "%s", buf_text(&line));
		return;
	}
	buf_printf(&r->out, "{\"result\":\"%s\"", p->is_warning ? "warning" : "problem");
	rules_member(r, "rule", p->rule);
	rules_member(r, "why", p->message);
	rules_member(r, "feature", p->feature);
	rules_member(r, "file", p->file);
	if (p->line)
		buf_printf(&r->out, ",\"line\":%u,\"column\":%u", p->line, p->column);
	buf_str(&r->out, "}\n");
	rules_flush(r, OUT_FULL);
}

static const struct action {
	const char *name;
	size_t n_args;
	enum exit_code (*run)(struct rules_run *r);
} actions[] = {
	{ "test", 1, rules_test }, { "import", 1, rules_import },   { "list", 1, rules_list },
	{ "show", 2, rules_show }, { "explain", 2, rules_explain },
};

static enum exit_code run(struct cli *cli, const void *opts, char **args, size_t n_args)
{
	const struct book_options book = { .keep_tests = true };
	struct rules_run r = { .cli = cli, .o = opts };
	const struct action *action = NULL;
	enum exit_code code;

	for (size_t i = 0; n_args && i < countof(actions); i++)
		if (!strcmp(actions[i].name, args[0]))
			action = &actions[i];
	if (!action || n_args != action->n_args + 1)
		return cli_misused(cli, &verb_rules,
				   "say what to do: test, import or list PATH; show or explain PATH ID");
	if (r.o->into[0] && action->run != rules_import)
		return cli_misused(cli, &verb_rules, "--into belongs to import");
	r.path = args[1];
	r.id = n_args > 2 ? args[2] : NULL;
	if (book_read(args[1], &book, &r.book) < 0)
		return cli_failed(cli);
	buf_init(&r.out, OUT_MAX);
	code = action->run(&r);
	rules_flush(&r, 0);
	buf_free(&r.out);
	book_free(r.book);
	return code;
}

static const struct verb_example examples[] = {
	{ "shrike rules test rules/", "do all rules of a folder do what their tests promise?" },
	{ "shrike rules import detection-rules/rules/linux --into /etc/shrike/rules",
	  "take what can be run of what others have published" },
	{ "shrike rules list /etc/shrike/rules", "what rules are there?" },
	{ "shrike rules explain /etc/shrike/rules shell-writes-cron", "what one of them is looked for by" },
};

static const struct exit_row exits[] = {
	{ EXIT_OK, "All is well." },
	{ EXIT_NO,
	  "A rule or a file is wrong, or a test failed, and it was said which; import: nothing could be loaded." },
	{ EXIT_USAGE, "Called wrongly." },
};

static const char *const words[] = { "test", "import", "list", "show", "explain", NULL };

const struct verb verb_rules = {
	.name = "rules",
	.summary = "test rules, import those of others, look at them",
	.usage = "test | import | list PATH, or: show | explain PATH ID",
	.about =
		"PATH is a file of rules, or a folder with all that is below it.\n\n"
		"`test` runs each rule over the events of its own tests, one stream a test, and says for each rule "
		"whether it matched as often as they promise.\n\n"
		"`import` says of each rule of a checkout of Sigma's or Elastic's rules, or of a folder of "
		"our own, whether it can be run, and if not why, and counts the reasons. With --into, files whose "
		"rules "
		"are all good are copied as they are; a file that is there already is never overwritten.\n\n"
		"`list` names all rules, `show` tells all that one says of itself, `explain` how it was understood and "
		"by what it is found among many.",
	.options = options,
	.n_options = countof(options),
	.options_size = sizeof(struct rules_options),
	.examples = examples,
	.n_examples = countof(examples),
	.arguments = { { .words = words }, { .complete = COMPLETE_FILE } },
	.exits = exits,
	.n_exits = countof(exits),
	.run = run,
};
