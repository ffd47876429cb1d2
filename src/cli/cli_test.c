/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line as people meet it. the files in tests/ are sessions: what a fake agent does ("@"),
 * what is typed ("$"), and then what comes of it: requests ("<"), stdout ("|"), stderr ("!")
 * and the exit code ("=>"). SHRIKE_WRITE_EXPECTED=1 writes the outcomes anew; read the diff.
 */
#include "cli/cli.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/test.h"
#include "cli/client.h"
#include "cli/fake_agent.h"
#include "cli/help.h"
#include "base/nearest.h"
#include "sensors/sensor.h"

enum { FILE_MAX = 4 << 20, WORDS_MAX = 32, PATIENCE_MS = 2000 };

#define TESTS SHRIKE_SOURCE_DIR "/src/cli/tests"

static bool read_file(const char *path, struct buf *out)
{
	auto_file FILE *f = fopen(path, "re");
	char block[4096];
	size_t n;

	while (f && (n = fread(block, 1, sizeof(block), f)) > 0)
		buf_add(out, block, n);
	return f;
}

/* ---- sessions ------------------------------------------------------------------------------------ */

/* Words with blanks between them; 'single quotes' hold one together. */
static void split(char *line, const char **words)
{
	size_t n = 0;

	for (char *p = line; *p && n + 1 < WORDS_MAX;) {
		char end = *p == '\'' ? '\'' : ' ';

		p += *p == '\'';
		words[n++] = p;
		p = strchrnul(p, end);
		if (*p)
			*p++ = 0;
		p += strspn(p, " ");
	}
	words[n] = NULL;
}

/* Text of a run, each line with its mark, and with paths by their names. */
static void outcome(const char *mark, const char *text, const char *socket, struct buf *out)
{
	const struct {
		const char *path, *name;
	} names[] = { { socket, "SOCKET" }, { TESTS, "CONFIGS" } };

	while (text && *text) {
		size_t n = strcspn(text, "\n");

		buf_str(out, mark);
		buf_str(out, n ? " " : "");
		for (size_t i = 0; i < n;) {
			size_t k = 0;

			while (k < countof(names) && strncmp(text + i, names[k].path, strlen(names[k].path)) != 0)
				k++;
			if (k < countof(names)) {
				buf_str(out, names[k].name);
				i += strlen(names[k].path);
			} else {
				buf_char(out, text[i++]);
			}
		}
		buf_char(out, '\n');
		text += n + (text[n] == '\n');
	}
}

static void run_case(const char *script, char *command, const char *dir, struct buf *out)
{
	struct cli cli = { .stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .patience_ms = PATIENCE_MS };
	const char *words[WORDS_MAX + 2];
	struct fake_agent *agent = NULL;
	auto_free char *requests = NULL;
	auto_ran struct ran ran = { 0 };
	char socket[128], configs[WORDS_MAX + 2][256];
	size_t n = 0;

	(void)snprintf(socket, sizeof(socket), "%s/shrike.sock", dir);
	split(command, words);
	if (*script && fake_agent_start(socket, script, cli.stop_fd, &agent) < 0)
		test_fail(T_HERE, "%s", err_trail());
	while (words[n]) {
		if (!strncmp(words[n], "CONFIGS/", 8)) {
			(void)snprintf(configs[n], sizeof(configs[n]), TESTS "%s", words[n] + 7);
			words[n] = configs[n];
		}
		n++;
	}
	if (agent) {
		words[n++] = "--socket";
		words[n++] = socket;
		words[n] = NULL;
	}
	ran = cli_ran(&cli, words);
	if (agent)
		requests = fake_agent_stop(agent);
	(void)unlink(socket);
	outcome("<", requests, socket, out);
	outcome("|", ran.out, socket, out);
	outcome("!", ran.err, socket, out);
	buf_printf(out, "=> %d\n", ran.code);
	(void)close(cli.stop_fd);
}

/* Copies what is input and runs it; outcomes of before are left out. */
static void run_file(const struct buf *in, const char *dir, struct buf *out)
{
	auto_buf struct buf script = { 0 };

	buf_init(&script, FILE_MAX);
	for (const char *p = buf_text(in); *p;) {
		size_t n = strcspn(p, "\n");

		if (!n || strchr("#@$", *p)) {
			buf_add(out, p, n);
			buf_char(out, '\n');
		}
		if (*p == '@' && n > 2) {
			buf_add(&script, p + 2, n - 2);
			buf_char(&script, '\n');
		} else if (*p == '$' && n > 2) {
			auto_free char *command = strndup(p + 2, n - 2);

			run_case(buf_text(&script), command, dir, out);
			buf_clear(&script);
		}
		p += n + (p[n] == '\n');
	}
}

static void first_difference(const char *name, const char *got, const char *want)
{
	unsigned line = 1;

	while (*got && *want) {
		size_t g = strcspn(got, "\n"), w = strcspn(want, "\n");

		if (g != w || memcmp(got, want, g) != 0)
			break;
		got += g + (got[g] == '\n');
		want += w + (want[w] == '\n');
		line++;
	}
	test_fail(T_HERE, "%s:%u\n      got  %.*s\n      want %.*s", name, line, (int)strcspn(got, "\n"), got,
		  (int)strcspn(want, "\n"), want);
}

static void check_file(const char *name, const char *dir)
{
	auto_buf struct buf want = { 0 }, got = { 0 };
	char path[512];

	buf_init(&want, FILE_MAX);
	buf_init(&got, FILE_MAX);
	(void)snprintf(path, sizeof(path), TESTS "/%s", name);
	require(read_file(path, &want));
	run_file(&want, dir, &got);
	if (!strcmp(buf_text(&got), buf_text(&want)))
		return;
	if (getenv("SHRIKE_WRITE_EXPECTED")) {
		auto_file FILE *f = fopen(path, "we");

		require(f && fwrite(got.data, 1, got.len, f) == got.len);
	} else {
		first_difference(path, buf_text(&got), buf_text(&want));
	}
}

TEST(sessions_come_out_as_written_down)
{
	char dir[] = "/tmp/shrike-cli-XXXXXX";
	auto_dir DIR *d = opendir(TESTS);
	unsigned files = 0;

	require(d && mkdtemp(dir));
	(void)setenv("TZ", "UTC", 1);
	/* How long ago something was is written down, too. */
	clock_mock(NS_PER_S, 1709251200 * (int64_t)NS_PER_S);
	for (struct dirent *e; (e = readdir(d));) {
		size_t n = strlen(e->d_name);

		if (n < 5 || strcmp(e->d_name + n - 4, ".txt") != 0)
			continue;
		test_row = e->d_name;
		check_file(e->d_name, dir);
		files++;
	}
	clock_mock_end();
	test_row = NULL;
	check(files >= 6);
	check(rmdir(dir) == 0);
}

/* ---- the parser ------------------------------------------------------------------------------------ */

struct sample_options {
	bool all, loud;
	uint32_t number, word;
	uint64_t time_ns;
	char *text;
	struct option_list list;
};

static const char *const sample_words[] = { "red", "green", NULL };

static const struct verb_option sample_rows[] = {
	VERB_FLAG(sample_options, all, "all", 'a', "all"),
	VERB_FLAG(sample_options, loud, "loud", 'l', "loud"),
	VERB_OPTION(sample_options, number, "number", 'n', "N", OPT_U32, "7", "number", .min = 1, .max = 99),
	VERB_OPTION(sample_options, time_ns, "for", 0, "TIME", OPT_DURATION, "0", "time"),
	VERB_OPTION(sample_options, text, "text", 't', "TEXT", OPT_STR, "", "text"),
	VERB_OPTION(sample_options, word, "word", 0, "WORD", OPT_ENUM, "red", "word", .names = sample_words),
	VERB_OPTION(sample_options, list, "item", 'i', "ITEM", OPT_STRS, "", "items", .max = ARGS_LIST_MAX),
};

static const struct verb sample_verb = {
	.name = "sample",
	.options = sample_rows,
	.n_options = countof(sample_rows),
	.options_size = sizeof(struct sample_options),
};

/* What was read, in one line. */
static void parsed(const char *line, char *text, size_t size)
{
	auto_free char *copy = strdup(line);
	const char *words[WORDS_MAX];
	struct sample_options o = { 0 };
	auto_buf struct buf problem = { 0 };
	enum args_result result;
	size_t n = 0, used;
	char **rest;

	buf_init(&problem, 4096);
	split(copy, words);
	result = args_parse(&sample_verb, (char **)(uintptr_t)words, &o, &rest, &n, &problem);
	if (result == ARGS_WRONG)
		(void)snprintf(text, size, "wrong: %s", buf_text(&problem));
	else if (result == ARGS_HELP)
		(void)snprintf(text, size, "help");
	else
		(void)snprintf(text, size, "%s%s%u %s %s %llu items=%zu", o.all ? "all " : "", o.loud ? "loud " : "",
			       o.number, o.text[0] ? o.text : "-", sample_words[o.word], (unsigned long long)o.time_ns,
			       o.list.n);
	for (size_t i = 0; result == ARGS_OK && i < o.list.n; i++) {
		used = strlen(text);
		(void)snprintf(text + used, size - used, " %s", o.list.items[i]);
	}
	for (size_t i = 0; result == ARGS_OK && i < n; i++) {
		used = strlen(text);
		(void)snprintf(text + used, size - used, " [%s]", rest[i]);
	}
	for (size_t i = 0; i < countof(sample_rows); i++)
		options_clear(&sample_rows[i].value, 1, &o);
}

TEST(options_are_read_as_getopt_long_reads_them)
{
	static const struct {
		const char *name, *line, *want;
	} rows[] = {
		{ "nothing", "", "7 - red 0 items=0" },
		{ "value in the next word", "--number 8 --text x", "8 x red 0 items=0" },
		{ "value after =", "--number=8 --text=", "8 - red 0 items=0" },
		{ "value with = in it", "--text=a=b", "7 a=b red 0 items=0" },
		{ "letters", "-n 9 -t x", "9 x red 0 items=0" },
		{ "value at the letter", "-n9 -tx", "9 x red 0 items=0" },
		{ "letters in one word", "-aln5", "all loud 5 - red 0 items=0" },
		{ "a value like an option", "--text --all", "7 --all red 0 items=0" },
		{ "words between", "one -a two --loud three", "all loud 7 - red 0 items=0 [one] [two] [three]" },
		{ "after --", "-a -- --loud -n", "all 7 - red 0 items=0 [--loud] [-n]" },
		{ "a lone dash", "- -a", "all 7 - red 0 items=0 [-]" },
		{ "repeated", "-i a --item=b -ic", "7 - red 0 items=3 a b c" },
		{ "the last one wins", "-n 8 -n 9", "9 - red 0 items=0" },
		{ "time", "--for 1s --word green", "7 - green 1000000000 items=0" },
		{ "help", "--help", "help" },
		{ "help after a mistake", "--number=x -h", "wrong: --number: \"x\" is not a whole number" },
		{ "a mistake after help", "-h --number=x", "help" },
		{ "unknown", "--xyzzy", "wrong: there is no option --xyzzy" },
		{ "nearly known", "--nubmer=3", "wrong: there is no option --nubmer; did you mean --number?" },
		{ "the beginning of a name", "--num 3", "wrong: there is no option --num; did you mean --number?" },
		{ "unknown letter", "-ax", "wrong: there is no option -x" },
		{ "a flag with a value", "--all=yes", "wrong: --all takes no value" },
		{ "no value", "--number", "wrong: --number needs a value: --number N" },
		{ "no value for a letter", "-n", "wrong: -n needs a value: --number N" },
		{ "out of range", "-n 100", "wrong: --number: 100 is out of range: 1 to 99" },
		{ "no time", "--for 10x",
		  "wrong: --for: \"10x\" is not a time: write a number with ns, us, ms, s, m, h or d" },
		{ "none of the words", "--word blue", "wrong: --word: \"blue\" is none of: red, green" },
		{ "three dashes", "---all", "wrong: there is no option ---all; did you mean --all?" },
	};
	char text[1024];

	for_each_row (r, rows) {
		parsed(r->line, text, sizeof(text));
		check_str(text, r->want);
	}
}

TEST(an_option_is_not_repeated_without_end)
{
	const char *words[ARGS_LIST_MAX + 2];
	struct sample_options o = { 0 };
	auto_buf struct buf problem = { 0 };
	char **rest;
	size_t n;

	buf_init(&problem, 4096);
	for (size_t i = 0; i <= ARGS_LIST_MAX; i++)
		words[i] = "-ix";
	words[ARGS_LIST_MAX + 1] = NULL;
	check_int(args_parse(&sample_verb, (char **)(uintptr_t)words, &o, &rest, &n, &problem), ARGS_WRONG);
	check_str(buf_text(&problem), "--item: given more than 256 times");
	for (size_t i = 0; i < countof(sample_rows); i++)
		options_clear(&sample_rows[i].value, 1, &o);
}

TEST(the_nearest_word_is_found)
{
	static const struct {
		const char *name, *want;
	} rows[] = {
		{ "event", "events" },
		{ "evnets", "events" },
		{ "statsu", "status" },
		{ "stat", "status" },
		{ "verison", "version" },
		{ "tpo", "top" },
		{ "x", NULL },
		{ "", NULL },
		{ "completions", "completion" },
		{ "entirely-else", NULL },
	};

	for_each_row (r, rows) {
		struct nearest n = { .word = r->name };

		for (const struct verb *const *v = verb_table; *v; v++)
			nearest_offer(&n, (*v)->name);
		if (r->want)
			check_str(n.best, r->want);
		else
			check(!n.best);
	}
}

TEST(a_good_configuration_is_said_to_be_good)
{
	static const char *const argv[] = { "shrike", "check", "-c", TESTS "/config_good.yaml", NULL };
	struct cli cli = { .stop_fd = -1 };
	auto_ran struct ran ran = cli_ran(&cli, argv);

	check_int(ran.code, EXIT_OK);
	check(!strncmp(ran.out, "ok: ", 4));
	check_has(ran.out, "process");
	check_str(ran.err, "");
}

/* ---- what the rows promise ---------------------------------------------------------------------------- */

TEST(every_verb_is_described_whole)
{
	for (const struct verb *const *v = verb_table; *v; v++) {
		struct {
			char bytes[4096];
		} room = { 0 };

		test_row = (*v)->name;
		check((*v)->run && (*v)->summary && (*v)->summary[0]);
		check((*v)->options_size <= sizeof(room));
		for (size_t i = 0; i < (*v)->n_options; i++) {
			const struct verb_option *row = &(*v)->options[i];
			bool list = row->value.type == OPT_STRS || row->value.type == OPT_PATHS;

			check(row->value.doc && row->value.doc[0] && row->value.def);
			check(!row->arg == (row->value.type == OPT_BOOL));
			check(row->letter != 'h' && strcmp(row->value.name, "help") != 0);
			if (!list)
				require_ok(option_set(&row->value, row->value.def, &room));
			options_clear(&row->value, 1, &room);
			for (size_t j = 0; j < i; j++) {
				check(strcmp((*v)->options[j].value.name, row->value.name) != 0);
				check(!row->letter || (*v)->options[j].letter != row->letter);
			}
		}
	}
	test_row = NULL;
}

/* ---- manual pages --------------------------------------------------------------------------------------- */

static void man_path(const struct verb *verb, char *path, size_t size)
{
	(void)snprintf(path, size, SHRIKE_SOURCE_DIR "/docs/man/shrike%s%s.1", verb ? "-" : "", verb ? verb->name : "");
}

static void check_page(const struct verb *verb)
{
	auto_buf struct buf kept = { 0 }, made = { 0 };
	char path[512];

	buf_init(&kept, FILE_MAX);
	buf_init(&made, FILE_MAX);
	man_path(verb, path, sizeof(path));
	man_page(verb, &made);
	if (!read_file(path, &kept) || strcmp(buf_text(&kept), buf_text(&made)) != 0)
		test_fail(T_HERE, "%s is stale: write it with `shrike help --man docs/man`", path);
}

TEST(the_manual_pages_are_what_the_rows_say)
{
	check_page(NULL);
	for (const struct verb *const *v = verb_table; *v; v++)
		check_page(*v);
}

/* The exit code of a program, with its output thrown away; -1: it could not be run. */
static int program(const char *const *argv)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		(void)dup2(null, STDIN_FILENO);
		(void)dup2(null, STDOUT_FILENO);
		(void)execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

static bool has_program(const char *name)
{
	const char *const argv[] = { name, "--version", NULL };
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC), err = dup(STDERR_FILENO), code;

	(void)dup2(null, STDERR_FILENO);
	code = program(argv);
	(void)dup2(err, STDERR_FILENO);
	(void)close(err);
	(void)close(null);
	return code >= 0 && code != 127;
}

static void check_pages_with(const char *const *checker, size_t n)
{
	const char *argv[8];
	char path[512];
	const struct verb *const *v = verb_table, *verb = NULL;

	memcpy(argv, checker, n * sizeof(*argv));
	argv[n] = path;
	argv[n + 1] = NULL;
	do {
		man_path(verb, path, sizeof(path));
		if (program(argv) != 0)
			test_fail(T_HERE, "%s: %s finds fault with it", path, checker[0]);
		verb = *v;
	} while (*v++);
}

TEST(the_manual_pages_are_good_roff)
{
	static const char *const mandoc[] = { "mandoc", "-Tlint", "-Wwarning" };
	static const char *const groff[] = { "groff", "-man", "-Tutf8", "-ww", "-z" };

	if (!has_program("mandoc") && !has_program("groff"))
		skip("needs-roff");
	if (has_program("mandoc"))
		check_pages_with(mandoc, countof(mandoc));
	if (has_program("groff"))
		check_pages_with(groff, countof(groff));
}

/* ---- completion ----------------------------------------------------------------------------------------- */

/* Runs a shell on a script; its output in `out`. */
static int shell(const char *const *argv, const char *script, struct buf *out)
{
	char path[] = "/tmp/shrike-complete-XXXXXX", line[1024], block[4096];
	int fd = mkstemp(path), code;
	FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
	size_t used = 0, n;

	if (!f)
		return -1;
	(void)fputs(script, f);
	(void)fclose(f);
	for (; *argv; argv++)
		used += (size_t)snprintf(line + used, sizeof(line) - used, "%s ", *argv);
	(void)snprintf(line + used, sizeof(line) - used, "%s", path);
	f = popen(line, "re");
	while (f && (n = fread(block, 1, sizeof(block), f)) > 0)
		buf_add(out, block, n);
	code = f ? pclose(f) : -1;
	(void)unlink(path);
	return code;
}

TEST(shells_take_the_completion_scripts)
{
	static const struct {
		const char *name, *check;
	} rows[] = { { "bash", "-n" }, { "zsh", "-n" }, { "fish", "--no-execute" } };

	for_each_row (r, rows) {
		const char *const argv[] = { r->name, r->check, NULL };
		auto_buf struct buf script = { 0 }, out = { 0 };

		buf_init(&script, FILE_MAX);
		buf_init(&out, FILE_MAX);
		completion_script(r->name, &script);
		check(script.len > 1000 && !script.failed);
		if (has_program(r->name))
			check_int(shell(argv, buf_text(&script), &out), 0);
	}
}

TEST(bash_completes_verbs_options_values_and_names)
{
	static const char *const bash[] = { "bash", NULL };
	static const struct {
		const char *name, *words, *has, *has_not;
	} rows[] = {
		{ "verbs", "shrike ''", "events", "--kind" },
		{ "a verb begun", "shrike ev", "events", "status" },
		{ "options", "shrike events --", "--no-follow", "--brief" },
		{ "kinds", "shrike events --kind ''", "process.exec", "--kind" },
		{ "kinds by letter", "shrike events -k ''", "process.exec", "--kind" },
		{ "kinds after =", "shrike events --kind = proc", "process.exec", "net." },
		{ "formats", "shrike status -o ''", "json", "--brief" },
		{ "actions", "shrike sensor ''", "list", "process" },
		{ "sensors", "shrike sensor off ''", "process", "list" },
		{ "options of a sensor", "shrike sensor set process ''", "args_max=", "list" },
		{ "shells", "shrike completion ''", "fish", "events" },
		{ "hidden", "shrike help --", "--help", "--man" },
	};

	for_each_row (r, rows) {
		auto_buf struct buf script = { 0 }, out = { 0 };
		const char *last = strrchr(r->words, ' ') + 1;

		buf_init(&script, FILE_MAX);
		buf_init(&out, FILE_MAX);
		completion_script("bash", &script);
		buf_printf(&script, "COMP_WORDS=(%s)\nCOMP_CWORD=$((${#COMP_WORDS[@]}-1))\n_shrike\n", r->words);
		buf_str(&script, "printf '%s\\n' \"${COMPREPLY[@]}\"\n");
		check_int(shell(bash, buf_text(&script), &out), 0);
		check_has(buf_text(&out), r->has);
		check(!strstr(buf_text(&out), r->has_not));
		check(last[0] == '\'' || strstr(buf_text(&out), last));
	}
}

/* ---- ends ------------------------------------------------------------------------------------------------- */

TEST(a_reader_that_went_away_is_no_error)
{
	static const char script[] = "<\n> {\"ok\":true}\n> {\"event\":{\"dataset\":\"process.exec\"}}\nsleep 50\n"
				     "> {\"event\":{\"dataset\":\"process.exec\"}}\n";
	void (*before)(int) = signal(SIGPIPE, SIG_IGN);
	char dir[] = "/tmp/shrike-cli-XXXXXX", path[128];
	struct cli cli = { .stop_fd = -1, .patience_ms = PATIENCE_MS };
	struct fake_agent *agent;
	auto_ran struct ran ran = { 0 };
	int fds[2];

	require(mkdtemp(dir) && pipe2(fds, O_CLOEXEC) == 0);
	(void)snprintf(path, sizeof(path), "%s/sock", dir);
	const char *const argv[] = { "shrike", "events", "--socket", path, NULL };

	require_ok(fake_agent_start(path, script, -1, &agent));
	(void)close(fds[0]);
	cli.stop_fd = eventfd(0, EFD_CLOEXEC);
	cli.out = fdopen(fds[1], "w");
	ran = cli_ran(&cli, argv);
	check_int(ran.code, EXIT_OK);
	check_str(ran.err, "");
	(void)fclose(cli.out);
	free(fake_agent_stop(agent));
	(void)close(cli.stop_fd);
	(void)unlink(path);
	(void)rmdir(dir);
	(void)signal(SIGPIPE, before);
}

TEST(output_that_cannot_be_written_is_told)
{
	static const char *const argv[] = { "shrike", "help", NULL };
	struct cli cli = { .stop_fd = -1, .out = fopen("/dev/full", "we") };
	auto_ran struct ran ran = { 0 };

	require(cli.out);
	ran = cli_ran(&cli, argv);
	check_int(ran.code, EXIT_NO);
	check_str(ran.err, "shrike: cannot write the output: No space left on device\n");
	(void)fclose(cli.out);
}
