/* SPDX-License-Identifier: Apache-2.0 */
/*
 * args - reads options as getopt_long does: "--name value", "--name=value", "-n value",
 * "-nvalue", "-abc" for flags, options and words in any order, "--" ends the options.
 *
 * Not getopt itself: its `struct option` is not ours, it keeps its place in globals, and it
 * takes any beginning of a name, which breaks scripts on the day a second option begins so.
 */
#include "cli/args.h"
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "base/nearest.h"

/* The values of a repeatable option are gathered, and set when all have been seen. */
struct gathered {
	const char *items[ARGS_LIST_MAX];
	size_t n;
};

struct parse {
	const struct verb *verb;
	void *options;
	struct gathered *lists; /* one a row */
	struct buf *problem;
	bool wants_help;
};

static bool is_list(const struct verb_option *row)
{
	return row->value.type == OPT_STRS || row->value.type == OPT_PATHS;
}

void args_show(const struct verb_option *row, struct buf *out)
{
	if (row->letter)
		buf_printf(out, "-%c, ", row->letter);
	buf_printf(out, "--%s", row->value.name);
	if (row->arg)
		buf_printf(out, row->implied ? "[=%s]" : " %s", row->arg);
}

static bool set_value(struct parse *p, const struct verb_option *row, const char *text)
{
	struct gathered *list = &p->lists[row - p->verb->options];

	if (is_list(row)) {
		if (list->n == ARGS_LIST_MAX) {
			buf_printf(p->problem, "--%s: given more than %d times", row->value.name, ARGS_LIST_MAX);
			return false;
		}
		list->items[list->n++] = text;
		return true;
	}
	if (option_set(&row->value, text, p->options) < 0) {
		buf_printf(p->problem, "--%s: %s", row->value.name, err_trail());
		return false;
	}
	return true;
}

static bool unknown_name(struct parse *p, const char *name, size_t n)
{
	char typed[64];
	struct nearest near = { .word = typed };

	(void)snprintf(typed, sizeof(typed), "%.*s", (int)(n < sizeof(typed) ? n : sizeof(typed) - 1), name);
	for (size_t i = 0; i < p->verb->n_options; i++)
		if (!p->verb->options[i].hidden)
			nearest_offer(&near, p->verb->options[i].value.name);
	nearest_offer(&near, "help");
	buf_printf(p->problem, "there is no option --%s", typed);
	if (near.best)
		buf_printf(p->problem, "; did you mean --%s?", near.best);
	return false;
}

/* "--name" or "--name=value"; *at moves on when the value is the next word. */
static bool take_name(struct parse *p, char ***at)
{
	const char *name = **at + 2, *value = strchr(name, '=');
	size_t n = value ? (size_t)(value - name) : strlen(name);
	const struct verb_option *row = p->verb->options, *end = row + p->verb->n_options;

	if (n == 4 && !strncmp(name, "help", n)) {
		p->wants_help = true;
		return true;
	}
	while (row < end && (strlen(row->value.name) != n || strncmp(row->value.name, name, n) != 0))
		row++;
	if (row == end)
		return unknown_name(p, name, n);
	if (!row->arg) {
		if (value)
			buf_printf(p->problem, "--%s takes no value", row->value.name);
		return !value && set_value(p, row, "true");
	}
	if (!value && row->implied)
		return set_value(p, row, row->implied);
	if (!value && !(*at)[1]) {
		buf_printf(p->problem, "--%s needs a value: --%s %s", row->value.name, row->value.name, row->arg);
		return false;
	}
	return set_value(p, row, value ? value + 1 : *++*at);
}

/* "-abc", "-n5" or "-n 5" */
static bool take_letters(struct parse *p, char ***at)
{
	for (const char *letter = **at + 1; *letter; letter++) {
		const struct verb_option *row = p->verb->options, *end = row + p->verb->n_options;

		if (*letter == 'h') {
			p->wants_help = true;
			continue;
		}
		while (row < end && row->letter != *letter)
			row++;
		if (row == end) {
			buf_printf(p->problem, "there is no option -%c", *letter);
			return false;
		}
		if (!row->arg) {
			if (!set_value(p, row, "true"))
				return false;
			continue;
		}
		if (!letter[1] && !(*at)[1]) {
			buf_printf(p->problem, "-%c needs a value: --%s %s", *letter, row->value.name, row->arg);
			return false;
		}
		return set_value(p, row, letter[1] ? letter + 1 : *++*at);
	}
	return true;
}

static bool take_all(struct parse *p, char **argv, size_t *ret_n)
{
	size_t n = 0;

	for (char **at = argv; *at; at++) {
		if (!strcmp(*at, "--")) {
			while (*++at)
				argv[n++] = *at;
			break;
		}
		if ((*at)[0] != '-' || !(*at)[1])
			argv[n++] = *at;
		else if (!((*at)[1] == '-' ? take_name(p, &at) : take_letters(p, &at)))
			return false;
	}
	*ret_n = n;
	return true;
}

static bool set_lists(struct parse *p)
{
	for (size_t i = 0; i < p->verb->n_options; i++) {
		const struct verb_option *row = &p->verb->options[i];
		const struct gathered *list = &p->lists[i];

		if (list->n && option_set_list(&row->value, list->items, list->n, p->options) < 0) {
			buf_printf(p->problem, "--%s: %s", row->value.name, err_trail());
			return false;
		}
	}
	return true;
}

enum args_result args_parse(const struct verb *verb, char **argv, void *options, char ***ret_rest, size_t *ret_n,
			    struct buf *problem)
{
	auto_free struct gathered *lists = calloc(verb->n_options + 1, sizeof(*lists));
	struct parse p = { verb, options, lists, problem };

	*ret_rest = argv;
	*ret_n = 0;
	if (!lists) {
		buf_str(problem, "out of memory");
		return ARGS_WRONG;
	}
	for (size_t i = 0; i < verb->n_options; i++) {
		if (is_list(&verb->options[i]) && !verb->options[i].value.def[0])
			continue; /* zeroed memory is the empty list */
		if (option_set(&verb->options[i].value, verb->options[i].value.def, options) < 0) {
			buf_printf(problem, "default of --%s: %s", verb->options[i].value.name, err_trail());
			return ARGS_WRONG;
		}
	}
	/* Who has asked for help gets it, whatever is wrong behind it. */
	if (!take_all(&p, argv, ret_n) || !set_lists(&p))
		return p.wants_help ? ARGS_HELP : ARGS_WRONG;
	return p.wants_help ? ARGS_HELP : ARGS_OK;
}
