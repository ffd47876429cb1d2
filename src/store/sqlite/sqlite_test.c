/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/test.h"
#include "store/alerts.h"
#include "store/test_alerts.h"

struct folder {
	char path[64], file[96];
};

static bool folder_make(struct folder *f)
{
	(void)snprintf(f->path, sizeof(f->path), "/tmp/shrike-alerts-XXXXXX");
	if (!mkdtemp(f->path)) {
		test_fail(T_HERE, "mkdtemp");
		return false;
	}
	(void)snprintf(f->file, sizeof(f->file), "%s/alerts.db", f->path);
	return true;
}

static void folder_remove(struct folder *f)
{
	auto_dir DIR *dir = opendir(f->path);

	for (struct dirent *d; dir && (d = readdir(dir));)
		if (d->d_name[0] != '.')
			(void)unlinkat(dirfd(dir), d->d_name, 0);
	(void)rmdir(f->path);
}
#define auto_folder __attribute__((cleanup(folder_remove)))

/* Their numbers in a text: "4 3 2 " */
struct listed {
	char text[512];
	uint64_t seq, revision;
	struct alert last;
	char json[1024];
};

static bool list_one(void *arg, const struct alert *a)
{
	auto_buf struct buf json = { .max = 4096 };
	struct listed *l = arg;
	size_t n = strlen(l->text);

	(void)snprintf(l->text + n, sizeof(l->text) - n, "%lu ",
		       strtoul((char[9]) { a->id[0], a->id[1], a->id[2], a->id[3], a->id[4], a->id[5], a->id[6],
					   a->id[7] },
			       NULL, 16));
	l->seq = a->seq;
	l->revision = a->revision;
	l->last = *a;
	alert_write(a, &json);
	(void)snprintf(l->json, sizeof(l->json), "%s", buf_text(&json));
	return true;
}

static const char *list(struct alerts *s, const struct alerts_filter *f, struct listed *l)
{
	int n;

	*l = (struct listed) { .text = "" };
	n = alerts_list(s, f, list_one, l);
	if (n < 0)
		test_fail(T_HERE, "%s", err_trail());
	return l->text;
}

TEST(what_is_put_is_there_and_is_listed_in_pages)
{
	auto_folder struct folder f;
	AUTO(alerts) s = NULL;
	struct alerts_filter page = { .limit = 3 };
	struct listed l;
	uint64_t n = 0;

	require(folder_make(&f));
	require_ok(alerts_open(&(struct alerts_options) { .path = f.file }, &s));
	check_str(list(s, &page, &l), "");
	check(test_alerts_put(s, 0, 8));
	check_str(list(s, &page, &l), "7 6 5 ");
	page.cursor = l.seq;
	check_str(list(s, &page, &l), "4 3 2 ");
	page.cursor = l.seq;
	check_str(list(s, &page, &l), "1 0 ");
	page = (struct alerts_filter) { .limit = 3, .order = ALERTS_OLDEST };
	check_str(list(s, &page, &l), "0 1 2 ");
	page.cursor = l.seq;
	check_str(list(s, &page, &l), "3 4 5 ");
	check_int(alerts_count(s, &page, &n), 0);
	check_int(n, 8);
}

TEST(a_filter_chooses_by_all_that_it_names)
{
	static const int64_t t0 = 1715000000000000000;
	static const struct {
		const char *name;
		struct alerts_filter filter;
		const char *want;
	} rows[] = {
		{ "all", { 0 }, "9 8 7 6 5 4 3 2 1 0 " },
		{ "from", { .from_ns = t0 + 7 * (int64_t)NS_PER_S }, "9 8 7 " },
		{ "to", { .to_ns = t0 + 2 * (int64_t)NS_PER_S }, "1 0 " },
		{ "severity", { .severity_min = 3 }, "9 8 4 3 " },
		{ "rule", { .rule = "odd" }, "9 7 5 3 1 " },
		{ "rule and severity", { .rule = "odd", .severity_min = 4 }, "9 " },
		{ "process", { .process = "sh", .limit = 1 }, "9 " },
		{ "another process", { .process = "s' OR 1=1 --" }, "" },
		{ "user", { .user = "ann", .limit = 2 }, "9 8 " },
		{ "container", { .container = "c" }, "" },
		{ "open", { .states = 1 << ALERT_OPEN }, "9 8 7 6 5 4 3 1 0 " },
		{ "closed", { .states = 1 << ALERT_CLOSED }, "2 " },
		{ "open or closed", { .states = 1 << ALERT_OPEN | 1 << ALERT_CLOSED, .limit = 1 }, "9 " },
	};
	auto_folder struct folder f;
	AUTO(alerts) s = NULL;
	struct listed l;

	require(folder_make(&f));
	require_ok(alerts_open(&(struct alerts_options) { .path = f.file }, &s));
	check(test_alerts_put(s, 0, 10));
	require_ok(alerts_set_state(s, test_alert(2).id, ALERT_CLOSED, "ann", "a test"));
	for_each_row (r, rows)
		check_str(list(s, &r->filter, &l), r->want);
}

TEST(one_is_found_by_the_beginning_of_its_id)
{
	auto_folder struct folder f;
	AUTO(alerts) s = NULL;
	struct alert a = test_alert(7), b = test_alert(7);
	struct listed l = { .text = "" };

	require(folder_make(&f));
	require_ok(alerts_open(&(struct alerts_options) { .path = f.file }, &s));
	b.id[31] = '1';
	check(alerts_put(s, &a) && alerts_put(s, &b) && test_alerts_put(s, 1, 3));
	check_int(alerts_get(s, test_alert(2).id, list_one, &l), 0);
	check_str(l.text, "2 ");
	check_int(alerts_get(s, "00000001", list_one, &l), 0);
	check_str(l.text, "2 1 ");
	check_int(alerts_get(s, "00000007", list_one, &l), -EEXIST);
	check_int(alerts_get(s, b.id, list_one, &l), 0);
	check_int(alerts_get(s, "00000009", list_one, &l), -ENOENT);
	check_int(alerts_get(s, "0000000", list_one, &l), -ENOENT);
	check_int(alerts_get(s, "0000000%", list_one, &l), -ENOENT);
	check_str(l.text, "2 1 7 ");
}

TEST(a_state_is_set_with_who_and_why)
{
	static char longer[ALERT_COMMENT_MAX + 2];
	auto_folder struct folder f;
	AUTO(alerts) s = NULL;
	struct listed l;

	require(folder_make(&f));
	require_ok(alerts_open(&(struct alerts_options) { .path = f.file }, &s));
	check(test_alerts_put(s, 0, 2));
	check_has(list(s, &(struct alerts_filter) { .limit = 1 }, &l), "1 ");
	check_has(l.json, "\"shrike\":{\"alert\":{\"id\":\"x\",\"state\":\"open\",\"folded\":0,"
			  "\"last\":\"2024-05-06T12:53:21.000000000Z\"}}}");
	clock_mock(0, 1715000000000000000);
	check_int(alerts_set_state(s, test_alert(1).id, ALERT_ACKNOWLEDGED, "ann", "I look \"at\" it"), 0);
	clock_mock_end();
	(void)list(s, &(struct alerts_filter) { .limit = 1 }, &l);
	check_has(l.json, "\"state\":\"acknowledged\"");
	check_has(l.json, "\"changed\":\"2024-05-06T12:53:20.000000000Z\",\"who\":\"ann\",\"comment\":\"I look "
			  "\\\"at\\\" it\"}}}");
	check_int(alerts_set_state(s, test_alert(3).id, ALERT_CLOSED, "", ""), -ENOENT);
	check_int(alerts_set_state(s, "00000001", ALERT_CLOSED, "", ""), -ENOENT);
	memset(longer, 'a', sizeof(longer) - 1);
	check_int(alerts_set_state(s, test_alert(1).id, ALERT_CLOSED, "", longer), -EINVAL);
	check_int(alerts_set_state(s, test_alert(1).id, ALERT_CLOSED, longer, ""), -EINVAL);
	longer[ALERT_COMMENT_MAX] = 0;
	check_int(alerts_set_state(s, test_alert(1).id, ALERT_CLOSED, "", longer), 0);
}

TEST(who_follows_revisions_sees_what_is_new_and_what_changes)
{
	auto_folder struct folder f;
	AUTO(alerts) s = NULL;
	struct alerts_filter after = { .order = ALERTS_REVISIONS };
	struct alerts_totals totals;
	struct listed l;

	require(folder_make(&f));
	require_ok(alerts_open(&(struct alerts_options) { .path = f.file }, &s));
	check(test_alerts_put(s, 0, 3));
	check_str(list(s, &after, &l), "0 1 2 ");
	check_int(alerts_totals(s, &totals), 0);
	check_int(totals.revision, l.revision);
	after.cursor = l.revision;
	check_str(list(s, &after, &l), "");
	check(alerts_fold(s, test_alert(1).id, 4, 1715000000000000000 + 9 * (int64_t)NS_PER_S));
	check(alerts_fold(s, test_alert(7).id, 4, 0));
	check(test_alerts_put(s, 3, 4));
	check_int(alerts_set_state(s, test_alert(0).id, ALERT_CLOSED, "", ""), 0);
	check_str(list(s, &after, &l), "1 3 0 ");
	check_int(alerts_totals(s, &totals), 0);
	check_int(totals.by[ALERT_CLOSED][0], 1);
	check_int(totals.by[ALERT_OPEN][3], 1);
	(void)alerts_get(s, test_alert(1).id, list_one, &l);
	check_has(l.json, "\"folded\":4,\"last\":\"2024-05-06T12:53:29.000000000Z\"");
}

static void note(void *arg, uint64_t revision)
{
	atomic_store((_Atomic uint64_t *)arg, revision);
}

TEST(watchers_are_told_of_what_came_and_changed)
{
	auto_folder struct folder f;
	AUTO(alerts) s = NULL;
	_Atomic uint64_t told = 0;
	struct alerts_watcher w = { .changed = note, .arg = &told };

	require(folder_make(&f));
	require_ok(alerts_open(&(struct alerts_options) { .path = f.file }, &s));
	require_ok(alerts_watch(s, &w));
	check(test_alerts_put(s, 0, 3));
	check_int(told, 3);
	check_int(alerts_set_state(s, test_alert(0).id, ALERT_CLOSED, "", ""), 0);
	check_int(told, 4);
	alerts_unwatch(s, &w);
	check(test_alerts_put(s, 3, 4));
	check_int(told, 4);
}

TEST(the_same_alert_twice_is_one)
{
	auto_folder struct folder f;
	AUTO(alerts) s = NULL;
	struct alerts_stats stats;
	struct listed l;

	require(folder_make(&f));
	require_ok(alerts_open(&(struct alerts_options) { .path = f.file }, &s));
	check(test_alerts_put(s, 0, 3) && test_alerts_put(s, 1, 4));
	check_str(list(s, &(struct alerts_filter) { 0 }, &l), "3 2 1 0 ");
	alerts_stats(s, &stats);
	check_int(stats.put, 6);
	check_int(stats.stored, 4);
	check_int(stats.duplicates, 2);
	check_int(stats.kept, 4);
	check_int(stats.waiting, 0);
}

TEST(a_file_that_is_opened_again_goes_on_and_gives_no_number_twice)
{
	auto_folder struct folder f;
	struct alerts_options o = { .path = NULL };
	struct alerts *s = NULL;
	struct listed l;
	struct stat st;

	require(folder_make(&f));
	o.path = f.file;
	require_ok(alerts_open(&o, &s));
	check(test_alerts_put(s, 0, 3));
	check_int(alerts_set_state(s, test_alert(1).id, ALERT_CLOSED, "ann", ""), 0);
	alerts_free(take(s));
	check(!stat(f.file, &st) && (st.st_mode & 07777) == 0600);
	/* All of them are too old. */
	o.max_age_ns = 1;
	require_ok(alerts_open(&o, &s));
	for (int i = 0; i < 1000 && *list(s, &(struct alerts_filter) { 0 }, &l); i++)
		(void)usleep(10000);
	check_str(l.text, "");
	alerts_free(take(s));
	o.max_age_ns = 0;
	require_ok(alerts_open(&o, &s));
	check(test_alerts_put(s, 3, 4));
	check_str(list(s, &(struct alerts_filter) { 0 }, &l), "3 ");
	check_int(l.seq, 5);
	alerts_free(s);
}

TEST(the_oldest_go_where_there_are_too_many)
{
	auto_folder struct folder f;
	AUTO(alerts) s = NULL;
	struct alerts_options o = { .max_count = 100 };
	struct alerts_stats stats = { 0 };
	struct listed l;

	require(folder_make(&f));
	o.path = f.file;
	require_ok(alerts_open(&o, &s));
	check(test_alerts_put(s, 0, 1250));
	for (int i = 0; i < 1000; i++) {
		alerts_stats(s, &stats);
		if (stats.kept <= 100)
			break;
		(void)usleep(10000);
	}
	check_int(stats.kept, 100);
	check_int(stats.removed, 1150);
	check_str(list(s, &(struct alerts_filter) { .order = ALERTS_OLDEST, .limit = 1 }, &l), "1150 ");
}

TEST(a_file_too_large_loses_its_oldest)
{
	auto_folder struct folder f;
	AUTO(alerts) s = NULL;
	struct alerts_options o = { .max_bytes = 1 << 20 };
	static char body[8192];
	struct alerts_stats stats = { 0 };

	require(folder_make(&f));
	o.path = f.file;
	memset(body, ' ', sizeof(body));
	require_ok(alerts_open(&o, &s));
	for (unsigned i = 0; i < 2000; i++) {
		struct alert a = test_alert(i);

		a.body = body;
		a.body_n = sizeof(body);
		while (!alerts_put(s, &a))
			alerts_flush(s);
	}
	alerts_flush(s);
	for (int i = 0; i < 2000; i++) {
		alerts_stats(s, &stats);
		if (stats.kept < 128)
			break;
		(void)usleep(10000);
	}
	check(stats.kept < 128);
	check_int(stats.kept + stats.removed, 2000);
}

TEST(what_finds_no_room_in_the_queue_is_counted)
{
	auto_folder struct folder f;
	AUTO(alerts) s = NULL;
	struct alerts_stats stats;
	bool refused = false;

	require(folder_make(&f));
	require_ok(alerts_open(&(struct alerts_options) { .path = f.file, .queue_bytes = 2000 }, &s));
	for (unsigned i = 0; i < 100000 && !refused; i++) {
		const struct alert a = test_alert(i);

		refused = !alerts_put(s, &a);
	}
	check(refused);
	alerts_flush(s);
	alerts_stats(s, &stats);
	check_int(stats.lost_full, 1);
	check_int(stats.put, stats.stored + stats.lost_full);
	check_int(stats.waiting, 0);
}

TEST(a_file_that_cannot_be_opened_loses_and_counts)
{
	auto_folder struct folder f;
	AUTO(alerts) s = NULL;
	struct alerts_stats stats;

	require(folder_make(&f));
	require(!mkdir(f.file, 0700));
	require_ok(alerts_open(&(struct alerts_options) { .path = f.file }, &s));
	check(test_alerts_put(s, 0, 3));
	alerts_stats(s, &stats);
	check_int(stats.lost_closed, 3);
	check_has(stats.error, "alerts.db");
	check(alerts_set_state(s, test_alert(0).id, ALERT_CLOSED, "", "") < 0);
	check(alerts_list(s, &(struct alerts_filter) { 0 }, list_one, NULL) < 0);
	check(!rmdir(f.file));
}

TEST(a_file_that_others_can_read_is_refused)
{
	auto_folder struct folder f;
	AUTO(alerts) s = NULL;
	struct alerts_stats stats;
	auto_close int fd = -1;

	require(folder_make(&f));
	fd = open(f.file, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	require(fd >= 0 && !fchmod(fd, 0644));
	require_ok(alerts_open(&(struct alerts_options) { .path = f.file }, &s));
	alerts_stats(s, &stats);
	check_has(stats.error, "chmod 600");
}

TEST(a_damaged_file_is_put_aside)
{
	static const char *const damage[] = { "this is no database, but something else that is long enough to look at",
					      NULL };
	auto_folder struct folder f;
	AUTO(alerts) s = NULL;
	char aside[128];
	auto_close int fd = -1;
	struct listed l;

	require(folder_make(&f));
	fd = open(f.file, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	for (int i = 0; i < 100; i++)
		require(write(fd, damage[0], strlen(damage[0])) == (ssize_t)strlen(damage[0]));
	require_ok(alerts_open(&(struct alerts_options) { .path = f.file }, &s));
	check(test_alerts_put(s, 0, 2));
	check_str(list(s, &(struct alerts_filter) { 0 }, &l), "1 0 ");
	(void)snprintf(aside, sizeof(aside), "%s.damaged.1", f.file);
	check(access(aside, F_OK) == 0);
}

/* All of a file but its beginning. */
static bool scribble(const char *path, off_t from)
{
	static char junk[4096];
	auto_close int fd = open(path, O_RDWR | O_CLOEXEC);
	struct stat st;

	memset(junk, 'x', sizeof(junk));
	if (fd < 0 || fstat(fd, &st) || st.st_size <= from)
		return false;
	for (off_t at = from; at < st.st_size; at += (off_t)sizeof(junk))
		if (pwrite(fd, junk, sizeof(junk), at) != (ssize_t)sizeof(junk))
			return false;
	return true;
}

static size_t files_in(const char *folder)
{
	auto_dir DIR *dir = opendir(folder);
	const struct dirent *e;
	size_t n = 0;

	while (dir && (e = readdir(dir)))
		n += e->d_name[0] != '.';
	return n;
}

static bool take_none(void *arg, const struct alert *a)
{
	(void)arg;
	(void)a;
	return true;
}

/* It may be another agent's, or a copy: who only asks leaves it, and its folder, as they are. */
TEST(who_only_asks_changes_nothing)
{
	auto_folder struct folder f;
	struct listed l;
	struct stat before, after;

	require(folder_make(&f));
	{
		AUTO(alerts) s = NULL;

		require_ok(alerts_open(&(struct alerts_options) { .path = f.file }, &s));
		check(test_alerts_put(s, 0, 3));
		alerts_flush(s);
	}
	require(stat(f.file, &before) == 0);
	{
		AUTO(alerts) s = NULL;
		struct alerts_stats stats;

		/* Modes are the business of who writes. */
		require(chmod(f.file, 0444) == 0);
		require_ok(alerts_open(&(struct alerts_options) { .path = f.file, .read_only = true }, &s));
		check_str(list(s, &(struct alerts_filter) { 0 }, &l), "2 1 0 ");
		check_int(files_in(f.path), 1);
		alerts_stats(s, &stats);
		check_str(stats.error, "");
	}
	require(stat(f.file, &after) == 0);
	check(before.st_size == after.st_size && before.st_mtim.tv_sec == after.st_mtim.tv_sec &&
	      before.st_mtim.tv_nsec == after.st_mtim.tv_nsec);
	{
		AUTO(alerts) s = NULL;
		require(scribble(f.file, 0));
		require_ok(alerts_open(&(struct alerts_options) { .path = f.file, .read_only = true }, &s));
		check(alerts_list(s, &(struct alerts_filter) { 0 }, take_none, NULL) < 0);
		err_clear();
		check_int(files_in(f.path), 1);
	}
}

/* The agent goes on beside it. */
TEST(who_only_asks_sees_what_an_agent_has_just_stored)
{
	auto_folder struct folder f;
	AUTO(alerts) agent = NULL;
	struct listed l;

	require(folder_make(&f));
	require_ok(alerts_open(&(struct alerts_options) { .path = f.file }, &agent));
	for (unsigned i = 0; i < 3; i++) {
		AUTO(alerts) s = NULL;

		check(test_alerts_put(agent, i, i + 1));
		alerts_flush(agent);
		require_ok(alerts_open(&(struct alerts_options) { .path = f.file, .read_only = true }, &s));
		check_str(list(s, &(struct alerts_filter) { 0 }, &l), i == 0 ? "0 " : i == 1 ? "1 0 " : "2 1 0 ");
	}
}

TEST(a_file_whose_pages_are_damaged_is_put_aside)
{
	auto_folder struct folder f;
	struct alerts *s = NULL;
	struct alerts_stats stats;
	struct listed l;
	char path[128];

	require(folder_make(&f));
	require_ok(alerts_open(&(struct alerts_options) { .path = f.file }, &s));
	check(test_alerts_put(s, 0, 2000));
	alerts_free(take(s));
	/* It is a database still, as far as its first page tells. */
	require(scribble(f.file, 16384));
	require_ok(alerts_open(&(struct alerts_options) { .path = f.file }, &s));
	check(test_alerts_put(s, 0, 2));
	check_str(list(s, &(struct alerts_filter) { 0 }, &l), "1 0 ");
	alerts_stats(s, &stats);
	check_int(stats.stored, 2);
	(void)snprintf(path, sizeof(path), "%s.damaged.1", f.file);
	check(access(path, F_OK) == 0);
	alerts_free(s);
}

TEST(a_file_of_a_newer_version_is_left_alone)
{
	auto_folder struct folder f;
	struct alerts *s = NULL;
	struct alerts_stats stats;
	sqlite3 *db = NULL;

	require(folder_make(&f));
	require_ok(alerts_open(&(struct alerts_options) { .path = f.file }, &s));
	check(test_alerts_put(s, 0, 2));
	alerts_free(take(s));
	require(sqlite3_open(f.file, &db) == SQLITE_OK);
	check(sqlite3_exec(db, "PRAGMA user_version = 1000", NULL, NULL, NULL) == SQLITE_OK);
	(void)sqlite3_close(db);
	require_ok(alerts_open(&(struct alerts_options) { .path = f.file }, &s));
	alerts_stats(s, &stats);
	check_has(stats.error, "newer shrike");
	alerts_free(s);
}

/* Puts until it is killed. */
static void put_for_ever(const char *file, int tell)
{
	struct alerts *s = NULL;

	if (alerts_open(&(struct alerts_options) { .path = file }, &s) < 0)
		_exit(1);
	for (unsigned i = 0;; i += 10) {
		const unsigned stored = i + 10;

		(void)test_alerts_put(s, i, i + 10);
		if (write(tell, &stored, sizeof(stored)) != sizeof(stored))
			_exit(1);
	}
}

TEST(what_was_written_survives_a_kill)
{
	auto_folder struct folder f;

	require(folder_make(&f));
	for (int round = 0; round < 5; round++) {
		unsigned stored = 0, more;
		uint64_t n = 0;
		struct alerts *s = NULL;
		int fds[2], status;
		pid_t pid;

		require(!pipe2(fds, O_CLOEXEC));
		(void)fflush(NULL);
		pid = fork();
		if (pid == 0)
			put_for_ever(f.file, fds[1]);
		(void)close(fds[1]);
		while (stored < 50u * (unsigned)(round + 1) && read(fds[0], &more, sizeof(more)) == sizeof(more))
			stored = more;
		(void)kill(pid, SIGKILL);
		check(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
		while (read(fds[0], &more, sizeof(more)) == sizeof(more))
			stored = more;
		(void)close(fds[0]);
		require_ok(alerts_open(&(struct alerts_options) { .path = f.file }, &s));
		check_int(alerts_count(s, &(struct alerts_filter) { 0 }, &n), 0);
		check(n >= stored && stored > 0);
		alerts_free(s);
	}
}

struct busy {
	struct alerts *s;
	unsigned number;
	_Atomic bool *stop;
	uint64_t listed, wrong;
};

static bool look(void *arg, const struct alert *a)
{
	struct busy *b = arg;

	b->listed++;
	b->wrong += strlen(a->id) != 32 || a->body_n < 10;
	return true;
}

static void *ask(void *arg)
{
	struct busy *b = arg;

	do
		b->wrong += alerts_list(b->s, &(struct alerts_filter) { .limit = 100 }, look, b) < 0;
	while (!atomic_load(b->stop));
	return NULL;
}

static void *put_some(void *arg)
{
	const struct busy *b = arg;

	for (unsigned i = 0; i < 500; i++) {
		const struct alert a = test_alert(b->number * 10000 + i);

		(void)alerts_put(b->s, &a);
		if (i % 50 == 0)
			(void)alerts_set_state(b->s, test_alert(b->number * 10000).id, ALERT_CLOSED, "x", "y");
	}
	return NULL;
}

TEST(several_threads_put_ask_and_change_at_once)
{
	auto_folder struct folder f;
	AUTO(alerts) s = NULL;
	_Atomic bool stop = false;
	struct busy b[4];
	pthread_t t[4];
	uint64_t n = 0;

	require(folder_make(&f));
	require_ok(alerts_open(&(struct alerts_options) { .path = f.file }, &s));
	for (unsigned i = 0; i < 4; i++) {
		b[i] = (struct busy) { .s = s, .number = i + 1, .stop = &stop };
		require(!pthread_create(&t[i], NULL, i < 2 ? put_some : ask, &b[i]));
	}
	(void)pthread_join(t[0], NULL);
	(void)pthread_join(t[1], NULL);
	atomic_store(&stop, true);
	(void)pthread_join(t[2], NULL);
	(void)pthread_join(t[3], NULL);
	alerts_flush(s);
	check_int(alerts_count(s, &(struct alerts_filter) { 0 }, &n), 0);
	check_int(n, 1000);
	check_int(b[2].wrong + b[3].wrong, 0);
}

TEST(an_alert_comes_out_of_its_bytes_as_it_went_in)
{
	auto_buf struct buf bytes = { .max = 4096 }, again = { .max = 4096 };
	struct alert a = test_alert(3), b;

	a.comment = "said";
	a.fold_key[3] = 7;
	a.before_folded = 9;
	alert_pack(&a, &bytes);
	check_int(bytes.len, alert_packed_size(&a));
	require(alert_unpack(bytes.data, bytes.len, &b));
	alert_pack(&b, &again);
	check(bytes.len == again.len && !memcmp(bytes.data, again.data, bytes.len));
	check_str(b.comment, "said");
	for (size_t n = 0; n < bytes.len; n++)
		check(!alert_unpack(bytes.data, n, &b));
}
