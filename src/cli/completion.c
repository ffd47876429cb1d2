/* SPDX-License-Identifier: Apache-2.0 */
/*
 * completion - scripts that teach a shell our verbs, options, sensors and kinds of events.
 *
 * The words are written into the script, so completing runs no program of ours. A place
 * (an option's value, an argument) offers words or files; each shell has its writer.
 */
#include <ctype.h>
#include <string.h>
#include "cli/help.h"
#include "base/nearest.h"
#include "cli/view.h"
#include "sensors/sensor.h"

const char *const completion_shells[] = { "bash", "zsh", "fish", NULL };

/* The words that a place offers, with a blank between them; none for files. */
static void place_words(enum complete complete, const char *const *words, struct buf *out)
{
	size_t begin = out->len;

	for (; words && *words; words++)
		buf_printf(out, "%s%s", out->len > begin ? " " : "", *words);
	if (complete == COMPLETE_VERB)
		for (const struct verb *const *v = verb_table; *v; v++)
			buf_printf(out, "%s%s", out->len > begin ? " " : "", (*v)->name);
	for (const struct sensor *const *s = sensor_table; complete == COMPLETE_SENSOR && *s; s++)
		buf_printf(out, "%s%s", out->len > begin ? " " : "", (*s)->name);
	for (size_t i = 0; complete == COMPLETE_KIND && view_kind_at(i); i++)
		buf_printf(out, "%s%s", out->len > begin ? " " : "", view_kind_at(i)->name);
}

static void option_words(const struct verb_option *row, struct buf *out)
{
	place_words(row->complete, row->value.type == OPT_ENUM ? row->value.names : NULL, out);
}

static void sensor_keys(const struct sensor *sensor, struct buf *out)
{
	for (size_t i = 0; i < sensor->n_options; i++)
		buf_printf(out, "%s%s=", i ? " " : "", sensor->options[i].name);
}

/* ---- bash ---------------------------------------------------------------------------- */

static void bash_options(const struct verb *verb, struct buf *out)
{
	buf_str(out, "\t\twords='--help");
	for (size_t i = 0; i < verb->n_options; i++)
		if (!verb->options[i].hidden)
			buf_printf(out, " --%s", verb->options[i].value.name);
	buf_str(out, "'\n\t\tcase $before in\n");
	for (size_t i = 0; i < verb->n_options; i++) {
		const struct verb_option *row = &verb->options[i];

		if (!option_takes_word(row) || row->hidden)
			continue;
		buf_printf(out, "\t\t--%s", row->value.name);
		if (row->letter)
			buf_printf(out, "|-%c", row->letter);
		buf_printf(out, ") words='");
		option_words(row, out);
		buf_printf(out, "'; value=1%s ;;\n", row->complete == COMPLETE_FILE ? "; files=1" : "");
	}
	buf_str(out, "\t\tesac\n");
}

static void bash_arguments(const struct verb *verb, struct buf *out)
{
	for (size_t i = 0; i < VERB_ARGUMENTS_MAX; i++) {
		const struct verb_argument *a = &verb->arguments[i];

		if (!a->complete && !a->words)
			continue;
		buf_printf(out, "\t\tif [[ -z $value && $cur != -* && $n -eq %zu ]]; then\n", i);
		if (a->complete == COMPLETE_SENSOR_KEY) {
			buf_str(out, "\t\t\tnospace=1\n\t\t\tcase $last in\n");
			for (const struct sensor *const *s = sensor_table; *s; s++) {
				buf_printf(out, "\t\t\t%s) words='", (*s)->name);
				sensor_keys(*s, out);
				buf_str(out, "' ;;\n");
			}
			buf_str(out, "\t\t\tesac\n");
		} else {
			buf_str(out, "\t\t\twords='");
			place_words(a->complete, a->words, out);
			buf_printf(out, "'%s\n", a->complete == COMPLETE_FILE ? "; files=1" : "");
		}
		buf_str(out, "\t\tfi\n");
	}
}

static void bash(struct buf *out)
{
	buf_str(out, "# bash completion for shrike, written by `shrike completion bash`.\n"
		     "_shrike()\n"
		     "{\n"
		     "\tlocal cur=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
		     "\tlocal verb=${COMP_WORDS[1]} words='' files='' value='' nospace='' last='' n=0 i\n"
		     "\tCOMPREPLY=()\n"
		     "\t# --name=value comes as three words.\n"
		     "\tif [[ $cur == = ]]; then\n"
		     "\t\tcur=''\n"
		     "\telif [[ $before == = ]]; then\n"
		     "\t\tbefore=${COMP_WORDS[COMP_CWORD-2]}\n"
		     "\tfi\n"
		     "\tif [[ $COMP_CWORD -eq 1 ]]; then\n"
		     "\t\tmapfile -t COMPREPLY < <(compgen -W '");
	place_words(COMPLETE_VERB, NULL, out);
	buf_str(out, "' -- \"$cur\")\n"
		     "\t\treturn\n"
		     "\tfi\n"
		     "\tfor ((i = 2; i < COMP_CWORD; i++)); do\n"
		     "\t\tif [[ ${COMP_WORDS[i]} != -* ]]; then\n"
		     "\t\t\tlast=${COMP_WORDS[i]}\n"
		     "\t\t\t((n++))\n"
		     "\t\tfi\n"
		     "\tdone\n"
		     "\tcase $verb in\n");
	for (const struct verb *const *v = verb_table; *v; v++) {
		buf_printf(out, "\t%s)\n", (*v)->name);
		bash_options(*v, out);
		bash_arguments(*v, out);
		buf_str(out, "\t\t;;\n");
	}
	buf_str(out, "\tesac\n"
		     "\tif [[ -n $files ]]; then\n"
		     "\t\tmapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
		     "\t\tcompopt -o filenames 2>/dev/null\n"
		     "\telse\n"
		     "\t\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
		     "\tfi\n"
		     "\t[[ -n $nospace ]] && compopt -o nospace 2>/dev/null\n"
		     "\treturn 0\n"
		     "}\n"
		     "complete -F _shrike shrike\n");
}

/* ---- zsh ----------------------------------------------------------------------------- */

/* A sentence in 'quotes', where _arguments reads brackets and colons. */
static void zsh_text(const char *text, struct buf *out)
{
	for (; *text; text++) {
		if (*text == '\'')
			buf_str(out, "'\\''");
		else if (strchr("[]:\\", *text))
			buf_printf(out, "\\%c", *text);
		else
			buf_char(out, *text);
	}
}

static void zsh_option(const struct verb_option *row, struct buf *out)
{
	bool list = row->value.type == OPT_STRS || row->value.type == OPT_PATHS;

	for (int form = row->letter ? 0 : 1; form < 2; form++) {
		buf_printf(out, "\t\t\t'%s", list ? "*" : "");
		if (form == 0)
			buf_printf(out, "-%c%s", row->letter, option_takes_word(row) ? "+" : "");
		else
			buf_printf(out, "--%s%s", row->value.name, option_takes_word(row) ? "=" : "");
		buf_char(out, '[');
		zsh_text(row->value.doc, out);
		buf_char(out, ']');
		if (option_takes_word(row)) {
			buf_printf(out, ":%s:", row->arg);
			if (row->complete == COMPLETE_FILE) {
				buf_str(out, "_files");
			} else {
				buf_char(out, '(');
				option_words(row, out);
				buf_char(out, ')');
			}
		}
		buf_str(out, "' \\\n");
	}
}

static void zsh_argument(const struct verb *verb, size_t i, struct buf *out)
{
	const struct verb_argument *a = &verb->arguments[i];

	if (!a->complete && !a->words)
		return;
	buf_printf(out, "\t\t\t'%zu:argument:", i + 1);
	if (a->complete == COMPLETE_FILE) {
		buf_str(out, "_files");
	} else if (a->complete == COMPLETE_SENSOR_KEY) {
		buf_str(out, "_shrike_keys");
	} else {
		buf_char(out, '(');
		place_words(a->complete, a->words, out);
		buf_char(out, ')');
	}
	buf_str(out, "' \\\n");
}

static void zsh(struct buf *out)
{
	buf_str(out, "#compdef shrike\n# zsh completion for shrike, written by `shrike completion zsh`.\n"
		     "_shrike_keys()\n{\n\tlocal -a keys\n\tcase ${words[CURRENT-1]} in\n");
	for (const struct sensor *const *s = sensor_table; *s; s++) {
		buf_printf(out, "\t%s) keys=(", (*s)->name);
		sensor_keys(*s, out);
		buf_str(out, ") ;;\n");
	}
	buf_str(out, "\tesac\n\tcompadd -S '' -- $keys\n}\n"
		     "_shrike()\n{\n\tlocal -a verbs\n\tverbs=(\n");
	for (const struct verb *const *v = verb_table; *v; v++) {
		buf_printf(out, "\t\t'%s:", (*v)->name);
		zsh_text((*v)->summary, out);
		buf_str(out, "'\n");
	}
	buf_str(out, "\t)\n\tif ((CURRENT == 2)); then\n\t\t_describe -t verbs verb verbs\n\t\treturn\n\tfi\n"
		     "\tlocal verb=$words[2]\n\tshift words\n\t((CURRENT--))\n\tcase $verb in\n");
	for (const struct verb *const *v = verb_table; *v; v++) {
		buf_printf(out, "\t%s)\n\t\t_arguments -s -S \\\n", (*v)->name);
		for (size_t i = 0; i < (*v)->n_options; i++)
			if (!(*v)->options[i].hidden)
				zsh_option(&(*v)->options[i], out);
		for (size_t i = 0; i < VERB_ARGUMENTS_MAX; i++)
			zsh_argument(*v, i, out);
		buf_str(out, "\t\t\t'(-h --help)'{-h,--help}'[tell how the verb is called]'\n\t\t;;\n");
	}
	/* As a file in fpath it is the function's body; sourced, it must announce itself. */
	buf_str(out, "\tesac\n}\n"
		     "if [[ $funcstack[1] == _shrike ]]; then\n\t_shrike \"$@\"\nelse\n\tcompdef _shrike shrike\nfi\n");
}

/* ---- fish ---------------------------------------------------------------------------- */

static void fish_text(const char *text, struct buf *out)
{
	buf_char(out, '\'');
	for (; *text; text++) {
		if (*text == '\'' || *text == '\\')
			buf_char(out, '\\');
		buf_char(out, *text);
	}
	buf_char(out, '\'');
}

static void fish_option(const struct verb *verb, const struct verb_option *row, struct buf *out)
{
	buf_printf(out, "complete -c shrike -n '__fish_seen_subcommand_from %s' -l %s", verb->name, row->value.name);
	if (row->letter)
		buf_printf(out, " -s %c", row->letter);
	if (option_takes_word(row) && row->complete == COMPLETE_FILE) {
		buf_str(out, " -r -F");
	} else if (option_takes_word(row)) {
		buf_str(out, " -x -a '");
		option_words(row, out);
		buf_char(out, '\'');
	}
	buf_str(out, " -d ");
	fish_text(row->value.doc, out);
	buf_char(out, '\n');
}

static void fish_arguments(const struct verb *verb, struct buf *out)
{
	for (size_t i = 0; i < VERB_ARGUMENTS_MAX; i++) {
		const struct verb_argument *a = &verb->arguments[i];

		if (!a->complete && !a->words)
			continue;
		for (const struct sensor *const *s = sensor_table; a->complete == COMPLETE_SENSOR_KEY && *s; s++) {
			buf_printf(out, "complete -c shrike -n '__shrike_at %s %zu %s' -f -a '", verb->name, i,
				   (*s)->name);
			sensor_keys(*s, out);
			buf_str(out, "'\n");
		}
		if (a->complete == COMPLETE_SENSOR_KEY)
			continue;
		buf_printf(out, "complete -c shrike -n '__shrike_at %s %zu' ", verb->name, i);
		if (a->complete == COMPLETE_FILE) {
			buf_str(out, "-F\n");
			continue;
		}
		buf_str(out, "-f -a '");
		place_words(a->complete, a->words, out);
		buf_str(out, "'\n");
	}
}

static void fish(struct buf *out)
{
	buf_str(out, "# fish completion for shrike, written by `shrike completion fish`.\n"
		     "# __shrike_at VERB N [LAST]: is the cursor at argument N of the verb, after the word LAST?\n"
		     "function __shrike_at\n"
		     "\tset -l words (commandline -opc)\n"
		     "\ttest (count $words) -ge 2; and test $words[2] = $argv[1]; or return 1\n"
		     "\tset -l rest (string match -v -- '-*' $words[3..-1])\n"
		     "\ttest (count $rest) -eq $argv[2]; or return 1\n"
		     "\ttest (count $argv) -lt 3; or test $rest[-1] = $argv[3]\n"
		     "end\n"
		     "complete -c shrike -f\n"
		     "complete -c shrike -s h -l help -d 'tell how it is called'\n");
	for (const struct verb *const *v = verb_table; *v; v++) {
		buf_printf(out, "complete -c shrike -n __fish_use_subcommand -f -a %s -d ", (*v)->name);
		fish_text((*v)->summary, out);
		buf_char(out, '\n');
		for (size_t i = 0; i < (*v)->n_options; i++)
			if (!(*v)->options[i].hidden)
				fish_option(*v, &(*v)->options[i], out);
		fish_arguments(*v, out);
	}
}

/* ---- the verb ------------------------------------------------------------------------ */

void completion_script(const char *shell, struct buf *out)
{
	if (!strcmp(shell, "bash"))
		bash(out);
	else if (!strcmp(shell, "zsh"))
		zsh(out);
	else
		fish(out);
}

static enum exit_code run(struct cli *cli, const void *opts, char **args, size_t n_args)
{
	struct nearest near = { .word = n_args ? args[0] : "" };
	auto_buf struct buf out = { 0 };

	(void)opts;
	buf_init(&out, HELP_MAX);
	if (n_args != 1)
		return cli_misused(cli, &verb_completion, "name one shell: bash, zsh or fish");
	for (size_t i = 0; completion_shells[i]; i++) {
		nearest_offer(&near, completion_shells[i]);
		if (strcmp(completion_shells[i], args[0]) != 0)
			continue;
		completion_script(args[0], &out);
		(void)cli_write(cli, &out);
		return EXIT_OK;
	}
	return cli_misused(cli, &verb_completion, "no script for the shell \"%s\": there are bash, zsh and fish",
			   args[0]);
}

const struct verb verb_completion = {
	.name = "completion",
	.summary = "the script that lets a shell complete verbs, options and names",
	.usage = "bash|zsh|fish",
	.about = "Put it where the shell looks for such scripts, for instance:\n\n"
		 "  shrike completion bash > /usr/share/bash-completion/completions/shrike\n"
		 "  shrike completion zsh > /usr/share/zsh/site-functions/_shrike\n"
		 "  shrike completion fish > /usr/share/fish/vendor_completions.d/shrike.fish",
	.arguments = { { .words = completion_shells } },
	.run = run,
};
