/* SPDX-License-Identifier: Apache-2.0 */
/* The shipped rules: what they say, what their own tests promise, and whether they find what is done in a sandbox. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "base/err.h"
#include "base/test.h"
#include "rulebook/book.h"
#include "tests/e2e/e2e.h"

#define RULES   SHRIKE_SOURCE_DIR "/rules"
#define PERFORM SHRIKE_SOURCE_DIR "/tests/rules/perform"

enum { RULES_MIN = 80, TOLD_S = 20, LINES_MAX = 64 << 20 };

static bool read_rules(struct book **ret_book)
{
	const struct book_options options = { .keep_tests = true };
	int r;

	if (access(RULES, R_OK)) {
		test_skip("no-sources");
		return false;
	}
	r = book_read(RULES, &options, ret_book);
	if (r == 0)
		r = book_must_be_whole(*ret_book);
	if (r < 0)
		test_fail(T_HERE, "%s", err_trail());
	return r == 0;
}

TEST(the_shipped_rules_say_what_a_person_needs)
{
	AUTO(book) book = NULL;
	size_t n_sequences = 0;

	if (!read_rules(&book))
		return;
	for (size_t i = 0; i < book->n_rules; i++) {
		const struct book_rule *r = &book->rule[i];
		bool hits = false, misses = false;

		test_row = r->id;
		check(r->name && r->description && r->false_positives && r->next && r->author && r->license);
		check(r->n_attack > 0);
		for (size_t t = 0; t < r->n_tests; t++) {
			hits |= r->test[t].matches > 0;
			misses |= r->test[t].matches == 0;
		}
		check(hits);
		check(misses);
		n_sequences += r->query->kind == QUERY_SEQUENCE;
	}
	test_row = NULL;
	check(book->n_rules >= RULES_MIN);
	check(4 * n_sequences >= book->n_rules);
}

TEST(the_shipped_rules_do_what_their_tests_promise)
{
	const char *const args[] = { "rules", "test", RULES, NULL };
	auto_buf struct buf out = { .max = 1 << 20 };
	struct e2e none = { 0 };

	if (access(RULES, R_OK))
		skip("no-sources");
	check_int(e2e_shrike(&none, &out, args), 0);
	check_has(buf_text(&out), " 0 failed, 0 without tests; ");
}

/* What cannot be performed, from the one place that says why. */
static bool read_output(const char *command, struct buf *out)
{
	char bytes[4096];
	FILE *pipe = popen(command, "re");
	size_t n;

	while (pipe && (n = fread(bytes, 1, sizeof(bytes), pipe)) > 0)
		buf_add(out, bytes, n);
	return pipe && pclose(pipe) == 0;
}

static bool is_among(const struct buf *lines, const char *before, const char *id, const char *after)
{
	char part[BOOK_ID_MAX + 64];

	(void)snprintf(part, sizeof(part), "%s%s%s", before, id, after);
	return strstr(buf_text(lines), part) != NULL;
}

static int perform_all(const struct sandbox *sb, void *arg)
{
	(void)arg;
	/* Bounded, whatever the shell does. */
	(void)alarm(300);
	(void)execl("/bin/bash", "bash", PERFORM, sb->cgroup, NULL);
	return 127;
}

/* How many of the rules that can be performed are not among the alerts; `say` names them. */
static size_t untold(const struct book *book, const struct buf *cannot, const struct buf *alerts, bool say)
{
	size_t n = 0;

	for (size_t i = 0; i < book->n_rules; i++) {
		const char *id = book->rule[i].id;

		if (is_among(cannot, "\n", id, " ") || is_among(alerts, "\"rule\":{\"id\":\"", id, "\""))
			continue;
		if (say)
			test_fail(T_HERE, "%s was performed and not found", id);
		n++;
	}
	return n;
}

static void read_alerts(const struct sandbox *sb, struct buf *out)
{
	char path[sizeof(sb->dir) + 32], bytes[65536];
	auto_file FILE *f = NULL;
	size_t n;

	(void)snprintf(path, sizeof(path), "%s/alerts.jsonl", sb->dir);
	buf_clear(out);
	f = fopen(path, "re");
	while (f && (n = fread(bytes, 1, sizeof(bytes), f)) > 0)
		buf_add(out, bytes, n);
}

TEST(what_the_shipped_rules_look_for_is_found_when_it_is_done)
{
	static const char *const extra[] = { "--set", "engines.detect.rules=" RULES, NULL };
	auto_buf struct buf cannot = { .max = 1 << 16 }, alerts = { .max = LINES_MAX };
	AUTO(book) book = NULL;
	auto_sandbox struct sandbox sb = { 0 };
	auto_agent struct e2e a = { 0 };
	time_t until;

	if (!read_rules(&book))
		return;
	/* Guests have busybox alone, and its programs are all one. */
	if (access("/usr/bin/python3", X_OK) || access("/usr/bin/setpriv", X_OK))
		skip("needs-debian");
	buf_char(&cannot, '\n');
	require(read_output("bash " PERFORM " --cannot", &cannot));
	if (!sandbox_open(&sb, SANDBOX_NET) || !e2e_start(&a, &sb, extra))
		return;
	check_int(sandbox_run(&sb, perform_all, NULL), 0);
	until = time(NULL) + TOLD_S;
	do {
		(void)usleep(100000);
		read_alerts(&sb, &alerts);
	} while (untold(book, &cannot, &alerts, false) && time(NULL) < until);
	check_int(e2e_stop(&a, SIGTERM), 0);
	read_alerts(&sb, &alerts);
	check_int(untold(book, &cannot, &alerts, true), 0);
	/* A rule of that list which was found can be performed after all. */
	for (size_t i = 0; i < book->n_rules; i++)
		if (is_among(&cannot, "\n", book->rule[i].id, " "))
			check(!is_among(&alerts, "\"rule\":{\"id\":\"", book->rule[i].id, "\""));
}
