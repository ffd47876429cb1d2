/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/test.h"
#include "senders/sender.h"

extern const struct sender sender_log;

enum { POLL_US = 5000, POLLS = 4000 };

struct rig {
	char folder[64], path[96];
	void *options, *state;
};

static void set(struct rig *g, const char *name, const char *value)
{
	for (size_t i = 0; i < sender_log.n_options; i++)
		if (!strcmp(sender_log.options[i].name, name)) {
			if (option_set(&sender_log.options[i], value, g->options) < 0)
				test_fail(T_HERE, "%s=%s: %s", name, value, err_trail());
			return;
		}
	test_fail(T_HERE, "no option %s", name);
}

static bool rig_make(struct rig *g)
{
	*g = (struct rig) { .options = calloc(1, sender_log.options_size) };
	(void)snprintf(g->folder, sizeof(g->folder), "/tmp/shrike-log-XXXXXX");
	if (!g->options || !mkdtemp(g->folder) ||
	    option_defaults(sender_log.options, sender_log.n_options, g->options) < 0) {
		test_fail(T_HERE, "no folder");
		return false;
	}
	(void)snprintf(g->path, sizeof(g->path), "%s/alerts.jsonl", g->folder);
	set(g, "path", g->path);
	return true;
}

static bool rig_open(struct rig *g)
{
	if (sender_log.open(&g->state, g->options) == 0)
		return true;
	test_fail(T_HERE, "%s", err_trail());
	return false;
}

static void rig_shut(struct rig *g)
{
	if (g->state)
		sender_log.close(take(g->state));
}

static void rig_close(struct rig *g)
{
	auto_dir DIR *dir = opendir(g->folder);

	rig_shut(g);
	options_clear(sender_log.options, sender_log.n_options, g->options);
	free(g->options);
	for (struct dirent *d; dir && (d = readdir(dir));)
		if (d->d_name[0] != '.')
			(void)unlinkat(dirfd(dir), d->d_name, 0);
	(void)rmdir(g->folder);
}
#define auto_rig __attribute__((cleanup(rig_close)))

static bool put(struct rig *g, unsigned n)
{
	char body[64];
	struct alert a = {
		.rule = "r",
		.rule_name = "R",
		.rule_version = "1",
		.process = "",
		.user = "",
		.container = "",
		.who = "",
		.comment = "",
		.body = body,
	};

	a.body_n = (size_t)snprintf(body, sizeof(body), "{\"shrike\":{\"alert\":{\"id\":\"%u\"", n);
	return sender_log.put(g->state, &a);
}

static long long figure(struct rig *g, const char *name)
{
	static const struct json_limits limits = { 65536, 1024, 8 };
	auto_buf struct buf out = { .max = 65536 };
	auto_json struct json_doc doc;
	const struct json_node *root, *v;

	json_init(&doc, &limits);
	buf_str(&out, "{\"name\":\"log\"");
	sender_log.status(g->state, &out);
	buf_char(&out, '}');
	if (json_parse(&doc, out.data, out.len, &root) < 0 || !(v = json_get(root, name)) || v->type != JSON_INT) {
		test_fail(T_HERE, "no figure %s in %s", name, buf_text(&out));
		return -1;
	}
	return v->i;
}

static bool reaches(struct rig *g, const char *name, long long want)
{
	for (int i = 0; i < POLLS; i++) {
		if (figure(g, name) == want)
			return true;
		(void)usleep(POLL_US);
	}
	return false;
}

/* The ids of a file's lines: "0 1 2 ". */
static const char *ids_in(const char *path)
{
	static char ids[4096];
	static char text[1 << 16];
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (n < 0)
		return "(none)";
	text[n] = 0;
	ids[0] = 0;
	for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
		const char *id = strstr(line, "\"id\":\"");
		size_t at = strlen(ids);

		if (!id || id > end || end[-1] != '}')
			return "(no alert)";
		(void)snprintf(ids + at, sizeof(ids) - at, "%d ", atoi(id + 6));
	}
	return ids;
}

TEST(each_alert_is_a_line)
{
	auto_rig struct rig g;
	struct stat st;

	require(rig_make(&g) && rig_open(&g));
	check(put(&g, 0) && put(&g, 1) && put(&g, 2));
	check(reaches(&g, "sent", 3));
	check_str(ids_in(g.path), "0 1 2 ");
	check(!stat(g.path, &st) && (st.st_mode & 07777) == 0600);
	/* Another run goes on at the end. */
	rig_shut(&g);
	require(rig_open(&g));
	check(put(&g, 3));
	rig_shut(&g);
	check_str(ids_in(g.path), "0 1 2 3 ");
}

TEST(a_file_that_is_long_enough_is_rotated_and_the_oldest_go)
{
	auto_rig struct rig g;
	char path[128];

	require(rig_make(&g));
	set(&g, "size", "200B");
	set(&g, "keep", "2");
	require(rig_open(&g));
	for (unsigned i = 0; i < 11; i++)
		check(put(&g, i));
	check(reaches(&g, "sent", 11));
	/* Two lines have fewer than 200 bytes, three have more. */
	check_str(ids_in(g.path), "10 ");
	(void)snprintf(path, sizeof(path), "%s.1", g.path);
	check_str(ids_in(path), "8 9 ");
	(void)snprintf(path, sizeof(path), "%s.2", g.path);
	check_str(ids_in(path), "6 7 ");
	(void)snprintf(path, sizeof(path), "%s.3", g.path);
	check_str(ids_in(path), "(none)");
	check_int(figure(&g, "rotated"), 5);
}

TEST(a_file_that_is_old_enough_is_rotated)
{
	auto_rig struct rig g;
	char path[128];

	require(rig_make(&g));
	set(&g, "age", "1h");
	clock_mock(NS_PER_S, 1715000000000000000);
	if (rig_open(&g)) {
		check(put(&g, 0) && reaches(&g, "sent", 1));
		clock_mock_move(59 * 60 * NS_PER_S);
		check(put(&g, 1) && reaches(&g, "sent", 2));
		clock_mock_move(2 * 60 * NS_PER_S);
		/* Though nothing comes. */
		check(reaches(&g, "rotated", 1));
		check(put(&g, 2) && reaches(&g, "sent", 3));
	}
	clock_mock_end();
	check_str(ids_in(g.path), "2 ");
	(void)snprintf(path, sizeof(path), "%s.1", g.path);
	check_str(ids_in(path), "0 1 ");
}

TEST(a_file_that_was_moved_away_is_made_anew_when_asked)
{
	auto_rig struct rig g;
	char path[128];

	require(rig_make(&g) && rig_open(&g));
	check(put(&g, 0) && reaches(&g, "sent", 1));
	(void)snprintf(path, sizeof(path), "%s/moved", g.folder);
	check(!rename(g.path, path));
	check(put(&g, 1) && reaches(&g, "sent", 2));
	require_ok(sender_log.reload(g.state, g.options));
	check(put(&g, 2) && reaches(&g, "sent", 3));
	check_str(ids_in(path), "0 1 ");
	check_str(ids_in(g.path), "2 ");
	/* Another path, and one that cannot be. */
	(void)snprintf(path, sizeof(path), "%s/other", g.folder);
	set(&g, "path", path);
	require_ok(sender_log.reload(g.state, g.options));
	check(put(&g, 3) && reaches(&g, "sent", 4));
	check_str(ids_in(path), "3 ");
	set(&g, "path", "/dev/null");
	check(sender_log.reload(g.state, g.options) < 0);
	check(put(&g, 4) && reaches(&g, "sent", 5));
	check_str(ids_in(path), "3 4 ");
}

TEST(a_log_that_cannot_be_opened_counts_what_it_loses)
{
	auto_rig struct rig g;
	auto_buf struct buf out = { .max = 65536 };

	require(rig_make(&g));
	require(!mkdir(g.path, 0700));
	require(rig_open(&g));
	check(put(&g, 0) && put(&g, 1));
	check(reaches(&g, "lost_closed", 2));
	check_int(figure(&g, "waiting"), 0);
	sender_log.status(g.state, &out);
	check_has(buf_text(&out), "\"error\":\"open ");
	check(!rmdir(g.path));
}

TEST(a_log_without_a_path_is_refused)
{
	auto_rig struct rig g;

	require(rig_make(&g));
	check(option_set(&sender_log.options[0], "", g.options) < 0);
	check_has(err_trail(), "enabled: false");
}

TEST(a_line_that_the_disk_does_not_take_is_taken_back)
{
	auto_rig struct rig g;
	struct rlimit before, small;

	require(rig_make(&g) && rig_open(&g));
	check(put(&g, 0) && reaches(&g, "sent", 1));
	/* As full as a disk: the file may have half a line more. SIGXFSZ would end us. */
	require(!getrlimit(RLIMIT_FSIZE, &before));
	small = before;
	small.rlim_cur = (rlim_t)figure(&g, "bytes") * 3 / 2;
	(void)signal(SIGXFSZ, SIG_IGN);
	require(!setrlimit(RLIMIT_FSIZE, &small));
	check(put(&g, 1) && reaches(&g, "lost_disk", 1));
	require(!setrlimit(RLIMIT_FSIZE, &before));
	(void)signal(SIGXFSZ, SIG_DFL);
	check(put(&g, 2) && reaches(&g, "sent", 2));
	check_str(ids_in(g.path), "0 2 ");
}

struct many {
	struct rig *g;
	unsigned refused;
};

static void *put_many(void *arg)
{
	struct many *m = arg;

	for (unsigned i = 0; i < 2000; i++)
		m->refused += !put(m->g, i);
	return NULL;
}

TEST(threads_put_while_it_is_opened_again_and_all_is_counted)
{
	auto_rig struct rig g;
	struct many m[3];
	pthread_t t[3];
	long long put_n, sent;

	require(rig_make(&g));
	set(&g, "queue", "64KiB");
	set(&g, "size", "100KiB");
	require(rig_open(&g));
	for (size_t i = 0; i < countof(t); i++) {
		m[i] = (struct many) { &g, 0 };
		require(!pthread_create(&t[i], NULL, put_many, &m[i]));
	}
	for (int i = 0; i < 20; i++)
		check_int(sender_log.reload(g.state, g.options), 0);
	for (size_t i = 0; i < countof(t); i++)
		(void)pthread_join(t[i], NULL);
	check(reaches(&g, "waiting", 0));
	put_n = figure(&g, "put");
	sent = figure(&g, "sent");
	check_int(put_n, 6000);
	check_int(figure(&g, "lost_full"), m[0].refused + m[1].refused + m[2].refused);
	check_int(sent + figure(&g, "lost_full"), put_n);
}
