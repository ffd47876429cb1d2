/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sqlite - alerts in a file of SQLite: see store/alerts.h for what is promised, and sqlite.md for the tables.
 *
 * Two connections. One writes: the store's thread, a batch in one transaction, and whoever sets a state, one after the
 * other. One reads, which the write-ahead log allows meanwhile. What is large, the text of an alert, stands in a table
 * of its own, so that a look for some alerts does not read the text of all.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/outbox.h"
#include "base/state_file.h"
#include "store/alerts.h"

enum {
	QUEUE_BYTES = 8 << 20,
	REMOVE_AT_ONCE = 500, /* alerts of one transaction, so that nobody waits long */
	BUSY_MS = 5000,
	APPLICATION_ID = 0x53686b41, /* tells the file(1) of others whose it is */
	ID_PREFIX_MIN = 8,
	SQL_MAX = 2048,
	ASIDE_MAX = 100,
};
static const uint64_t retry_ns = 5 * NS_PER_S, tidy_every_ns = 5 * NS_PER_S;

enum kind { PUT, FOLD };

struct fold {
	char id[ALERT_ID_SIZE];
	uint64_t more;
	int64_t last_ns;
};

enum statement { INSERT, INSERT_BODY, COUNT_FOLDED, SET_STATE, SET_REVISION, STATEMENTS };

struct alerts {
	char *path;
	struct outbox *outbox;
	pthread_t thread;
	bool has_thread;
	_Atomic uint64_t max_age_ns, max_count, max_bytes;

	/* Of who holds the lock: the connection that writes. NULL: it could not be opened yet. */
	pthread_mutex_t write_lock;
	sqlite3 *write;
	sqlite3_stmt *statement[STATEMENTS];
	uint64_t revision; /* the highest that was given */
	uint64_t tried_ns, tidied_ns;
	bool told; /* of trouble, since the last write that went well */

	pthread_mutex_t read_lock;
	sqlite3 *read;
	bool read_only;

	pthread_mutex_t stats_lock;
	struct alerts_stats stats;

	pthread_mutex_t watch_lock;
	struct alerts_watcher *watchers;
	size_t n_watchers;
};

/* ---- trouble --------------------------------------------------------------------------------------------- */

static void keep_error(struct alerts *s, const char *text)
{
	(void)pthread_mutex_lock(&s->stats_lock);
	(void)snprintf(s->stats.error, sizeof(s->stats.error), "%s", text);
	(void)pthread_mutex_unlock(&s->stats_lock);
}

/* Once until a write goes well again. */
static void tell_trouble(struct alerts *s, const char *text)
{
	keep_error(s, text);
	if (!s->told)
		log_error("alerts cannot be stored", "file=%s why=\"%s\"", s->path, text);
	s->told = true;
}

static int sql_error(sqlite3 *db, const char *doing)
{
	const int code = sqlite3_errcode(db) & 0xff;
	const int r = code == SQLITE_FULL ? -ENOSPC : code == SQLITE_NOMEM ? -ENOMEM : -EIO;

	return err_new(r, "%s: %s", doing, sqlite3_errmsg(db));
}

static bool is_damaged(sqlite3 *db)
{
	const int code = db ? sqlite3_errcode(db) & 0xff : SQLITE_OK;

	return code == SQLITE_CORRUPT || code == SQLITE_NOTADB;
}

static int run(sqlite3 *db, const char *sql)
{
	return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : sql_error(db, "work on the alerts");
}

static int number_of(sqlite3 *db, const char *sql, int64_t *ret_number)
{
	sqlite3_stmt *st = NULL;
	int r = 0;

	if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) != SQLITE_OK || sqlite3_step(st) != SQLITE_ROW)
		r = sql_error(db, "ask the alerts' file");
	else
		*ret_number = sqlite3_column_int64(st, 0);
	(void)sqlite3_finalize(st);
	return r;
}

/* ---- opening --------------------------------------------------------------------------------------------- */

/* From one version of the tables to the next; at index i what makes version i + 1. A file is brought up to the last. */
static const char *const migrations[] = {
	"CREATE TABLE alerts (seq INTEGER PRIMARY KEY, id TEXT NOT NULL, revision INTEGER NOT NULL,"
	" time INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, severity INTEGER NOT NULL,"
	" risk INTEGER NOT NULL, rule TEXT NOT NULL, rule_name TEXT NOT NULL, rule_version TEXT NOT NULL,"
	" process TEXT NOT NULL, user TEXT NOT NULL, container TEXT NOT NULL, folded INTEGER NOT NULL,"
	" before_id TEXT NOT NULL, before_folded INTEGER NOT NULL, state INTEGER NOT NULL DEFAULT 0,"
	" who TEXT NOT NULL DEFAULT '', comment TEXT NOT NULL DEFAULT '', changed INTEGER NOT NULL DEFAULT 0);"
	"CREATE UNIQUE INDEX alerts_id ON alerts (id);"
	"CREATE INDEX alerts_revision ON alerts (revision);"
	"CREATE INDEX alerts_time ON alerts (time);"
	"CREATE TABLE bodies (seq INTEGER PRIMARY KEY, body BLOB NOT NULL);"
	/* Numbers are never given again, though all alerts may be gone. */
	"CREATE TABLE numbers (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
	"INSERT INTO numbers VALUES ('revision', 0);",
};

static int migrate(sqlite3 *db)
{
	int64_t version = 0;
	int r = number_of(db, "PRAGMA user_version", &version);

	if (r < 0)
		return r;
	if (version > (int64_t)countof(migrations))
		return err_new(-ENOTSUP, "the file is of a newer shrike: its tables are version %" PRId64 ", ours %zu",
			       version, countof(migrations));
	for (; r == 0 && version < (int64_t)countof(migrations); version++) {
		char set[64];

		(void)snprintf(set, sizeof(set), "PRAGMA user_version = %" PRId64, version + 1);
		r = run(db, "BEGIN IMMEDIATE");
		if (r == 0)
			r = run(db, migrations[version]);
		if (r == 0)
			r = run(db, set);
		if (r == 0)
			r = run(db, "COMMIT");
		if (r < 0)
			(void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	}
	return r;
}

static int open_connection(const char *path, int flags, sqlite3 **ret_db)
{
	sqlite3 *db = NULL;
	int r = 0;

	/* The lock around each connection is ours. */
	if (sqlite3_open_v2(path, &db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, NULL) != SQLITE_OK)
		r = db ? sql_error(db, "open the alerts' file") : err_new(-ENOMEM, "no memory for the alerts' file");
	*ret_db = db;
	if (r == 0 && sqlite3_busy_timeout(db, BUSY_MS) != SQLITE_OK)
		r = sql_error(db, "open the alerts' file");
	return r;
}

static int prepare_all(struct alerts *s)
{
	static const char *const sql[STATEMENTS] = {
		[INSERT] = "INSERT OR IGNORE INTO alerts (seq, revision, id, time, first, last, severity, risk, rule,"
			   " rule_name, rule_version, process, user, container, folded, before_id, before_folded)"
			   " VALUES (?1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
		[INSERT_BODY] = "INSERT OR REPLACE INTO bodies (seq, body) VALUES (?1, ?2)",
		[COUNT_FOLDED] = "UPDATE alerts SET folded = folded + ?2, last = max(last, ?3), revision = ?4"
				 " WHERE id = ?1",
		[SET_STATE] = "UPDATE alerts SET state = ?2, who = ?3, comment = ?4, changed = ?5, revision = ?6"
			      " WHERE id = ?1",
		[SET_REVISION] = "UPDATE numbers SET value = ?1 WHERE name = 'revision'",
	};

	for (size_t i = 0; i < STATEMENTS; i++)
		if (sqlite3_prepare_v3(s->write, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &s->statement[i], NULL) !=
		    SQLITE_OK)
			return sql_error(s->write, "prepare to write alerts");
	return 0;
}

static void close_write(struct alerts *s)
{
	for (size_t i = 0; i < STATEMENTS; i++) {
		(void)sqlite3_finalize(s->statement[i]);
		s->statement[i] = NULL;
	}
	(void)sqlite3_close(take(s->write));
}

static void close_read(struct alerts *s)
{
	(void)pthread_mutex_lock(&s->read_lock);
	(void)sqlite3_close(take(s->read));
	(void)pthread_mutex_unlock(&s->read_lock);
}

static int count_kept(struct alerts *s)
{
	int64_t kept = 0;
	int r = number_of(s->write, "SELECT count(*) FROM alerts", &kept);

	(void)pthread_mutex_lock(&s->stats_lock);
	s->stats.kept = (uint64_t)kept;
	(void)pthread_mutex_unlock(&s->stats_lock);
	return r;
}

static int open_write(struct alerts *s)
{
	char set[64];
	int64_t revision = 0;
	auto_close int fd = state_file_open(s->path, O_RDWR);
	int r = fd < 0 ? fd : open_connection(s->path, SQLITE_OPEN_READWRITE, &s->write);

	(void)snprintf(set, sizeof(set), "PRAGMA application_id = %d", APPLICATION_ID);
	/*
	 * The end of the process loses nothing that was committed; that of the machine, the last moments. Pages hold
	 * some alerts each, and the log of writes is taken into the file in small parts: twice as fast as the usual.
	 */
	if (r == 0)
		r = run(s->write, "PRAGMA page_size = 16384; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
				  "PRAGMA cache_size = -8192; PRAGMA wal_autocheckpoint = 500;"
				  "PRAGMA journal_size_limit = 16777216; PRAGMA trusted_schema = OFF");
	if (r == 0)
		r = run(s->write, set);
	if (r == 0)
		r = migrate(s->write);
	if (r == 0)
		r = prepare_all(s);
	if (r == 0)
		r = number_of(s->write, "SELECT value FROM numbers WHERE name = 'revision'", &revision);
	if (r == 0)
		r = count_kept(s);
	if (r == 0)
		s->revision = (uint64_t)revision;
	return r;
}

/* Out of the way, so that what comes can be stored. Somebody may still make something of it. */
static void put_aside(struct alerts *s)
{
	static const char *const parts[] = { "", "-wal", "-shm" };
	char from[4096 + 32], to[4096 + 32];
	unsigned n = 0;

	do
		(void)snprintf(to, sizeof(to), "%s.damaged.%u", s->path, ++n);
	while (access(to, F_OK) == 0 && n < ASIDE_MAX);
	for (size_t i = 0; i < countof(parts); i++) {
		(void)snprintf(from, sizeof(from), "%s%s", s->path, parts[i]);
		(void)snprintf(to, sizeof(to), "%s.damaged.%u%s", s->path, n, parts[i]);
		(void)rename(from, to);
	}
	log_error("the file of alerts is damaged: it was put aside, a new one begins", "file=%s aside=%s.damaged.%u",
		  s->path, s->path, n);
}

/* With the lock held. True: there is a connection that writes. */
static bool is_open(struct alerts *s)
{
	const uint64_t now = clock_mono_ns();

	if (s->write)
		return true;
	if (s->read_only)
		return false;
	if (s->tried_ns && now - s->tried_ns < retry_ns)
		return false;
	s->tried_ns = now;
	for (unsigned tries = 0; tries < 2; tries++) {
		bool damaged;

		if (open_write(s) == 0)
			return true;
		tell_trouble(s, err_trail());
		damaged = is_damaged(s->write);
		close_write(s);
		if (!damaged)
			break;
		close_read(s);
		put_aside(s);
	}
	return false;
}

/* ---- telling who watches ---------------------------------------------------------------------------------- */

int alerts_watch(struct alerts *s, struct alerts_watcher *w)
{
	int r = 0;

	(void)pthread_mutex_lock(&s->watch_lock);
	if (s->n_watchers == ALERTS_WATCHERS_MAX) {
		r = err_new(-E2BIG, "%d watch the alerts already", ALERTS_WATCHERS_MAX);
	} else {
		w->next = s->watchers;
		s->watchers = w;
		s->n_watchers++;
	}
	(void)pthread_mutex_unlock(&s->watch_lock);
	return r;
}

void alerts_unwatch(struct alerts *s, struct alerts_watcher *w)
{
	(void)pthread_mutex_lock(&s->watch_lock);
	for (struct alerts_watcher **link = &s->watchers; *link; link = &(*link)->next)
		if (*link == w) {
			*link = w->next;
			s->n_watchers--;
			break;
		}
	(void)pthread_mutex_unlock(&s->watch_lock);
}

static void tell_watchers(struct alerts *s, uint64_t revision)
{
	(void)pthread_mutex_lock(&s->watch_lock);
	for (const struct alerts_watcher *w = s->watchers; w; w = w->next)
		w->changed(w->arg, revision);
	(void)pthread_mutex_unlock(&s->watch_lock);
}

/* ---- writing ------------------------------------------------------------------------------------------------ */

static void bind_text(sqlite3_stmt *st, int at, const char *text)
{
	(void)sqlite3_bind_text(st, at, text, -1, SQLITE_STATIC);
}

static int step(struct alerts *s, enum statement which)
{
	const int code = sqlite3_step(s->statement[which]);

	(void)sqlite3_reset(s->statement[which]);
	return code == SQLITE_DONE ? 0 : sql_error(s->write, "write an alert");
}

/* 1: it is there; 0: one with this id was there before. */
static int insert(struct alerts *s, const struct alert *a)
{
	sqlite3_stmt *st = s->statement[INSERT];
	int r;

	(void)sqlite3_bind_int64(st, 1, (int64_t)s->revision + 1);
	bind_text(st, 2, a->id);
	(void)sqlite3_bind_int64(st, 3, a->time_ns);
	(void)sqlite3_bind_int64(st, 4, a->first_ns);
	(void)sqlite3_bind_int64(st, 5, a->last_ns);
	(void)sqlite3_bind_int(st, 6, a->severity);
	(void)sqlite3_bind_int(st, 7, a->risk);
	bind_text(st, 8, a->rule);
	bind_text(st, 9, a->rule_name);
	bind_text(st, 10, a->rule_version);
	bind_text(st, 11, a->process);
	bind_text(st, 12, a->user);
	bind_text(st, 13, a->container);
	(void)sqlite3_bind_int64(st, 14, (int64_t)a->folded);
	bind_text(st, 15, a->before_id);
	(void)sqlite3_bind_int64(st, 16, (int64_t)a->before_folded);
	r = step(s, INSERT);
	if (r < 0 || !sqlite3_changes(s->write))
		return r;
	s->revision++;
	st = s->statement[INSERT_BODY];
	(void)sqlite3_bind_int64(st, 1, (int64_t)s->revision);
	(void)sqlite3_bind_blob64(st, 2, a->body, a->body_n, SQLITE_STATIC);
	r = step(s, INSERT_BODY);
	return r < 0 ? r : 1;
}

static int count_folded(struct alerts *s, const struct fold *f)
{
	sqlite3_stmt *st = s->statement[COUNT_FOLDED];
	int r;

	bind_text(st, 1, f->id);
	(void)sqlite3_bind_int64(st, 2, (int64_t)f->more);
	(void)sqlite3_bind_int64(st, 3, f->last_ns);
	(void)sqlite3_bind_int64(st, 4, (int64_t)s->revision + 1);
	r = step(s, COUNT_FOLDED);
	/* One that is gone by now, or was lost, is counted nowhere. */
	if (r == 0 && sqlite3_changes(s->write))
		s->revision++;
	return r;
}

static int keep_revision(struct alerts *s)
{
	(void)sqlite3_bind_int64(s->statement[SET_REVISION], 1, (int64_t)s->revision);
	return step(s, SET_REVISION);
}

struct batch {
	uint64_t puts, stored;
	bool is_damaged; /* the file, as the write that failed has found it */
};

static int write_messages(struct alerts *s, struct batch *b)
{
	struct outbox_message m;
	int r = run(s->write, "BEGIN IMMEDIATE");

	for (size_t at = 0; r >= 0 && outbox_next(s->outbox, &at, &m);) {
		struct alert a;

		if (m.kind == FOLD) {
			r = count_folded(s, m.bytes);
		} else if (alert_unpack(m.bytes, m.n, &a)) {
			r = insert(s, &a);
			b->stored += r == 1;
		}
	}
	if (r >= 0)
		r = keep_revision(s);
	if (r == 0)
		r = run(s->write, "COMMIT");
	if (r < 0) {
		b->is_damaged = is_damaged(s->write);
		(void)sqlite3_exec(s->write, "ROLLBACK", NULL, NULL, NULL);
	}
	return r;
}

/* All or none of what was taken. Returns what became of it. */
static int write_batch(struct alerts *s, struct batch *b)
{
	const uint64_t before = s->revision;
	int r;

	if (!is_open(s))
		return -ENOENT;
	r = write_messages(s, b);
	if (r == 0) {
		s->told = false;
		return 0;
	}
	s->revision = before;
	tell_trouble(s, err_trail());
	if (b->is_damaged) {
		close_write(s);
		close_read(s);
		put_aside(s);
		s->tried_ns = 0;
	}
	return r;
}

static void write_taken(struct alerts *s)
{
	struct batch b = { 0 };
	struct outbox_message m;
	uint64_t revision;
	int r;

	for (size_t at = 0; outbox_next(s->outbox, &at, &m);)
		b.puts += m.kind == PUT;
	(void)pthread_mutex_lock(&s->write_lock);
	r = write_batch(s, &b);
	/* A file that was found damaged is a new one now. */
	if (r < 0 && r != -ENOENT && !s->write) {
		b = (struct batch) { .puts = b.puts };
		r = write_batch(s, &b);
	}
	revision = s->revision;
	(void)pthread_mutex_unlock(&s->write_lock);
	(void)pthread_mutex_lock(&s->stats_lock);
	if (r == 0) {
		s->stats.stored += b.stored;
		s->stats.kept += b.stored;
		s->stats.duplicates += b.puts - b.stored;
		s->stats.error[0] = 0;
	} else if (r == -ENOENT) {
		s->stats.lost_closed += b.puts;
	} else {
		s->stats.lost_disk += b.puts;
	}
	s->stats.waiting -= b.puts;
	(void)pthread_mutex_unlock(&s->stats_lock);
	if (r == 0)
		tell_watchers(s, revision);
}

/* ---- what goes ------------------------------------------------------------------------------------------------ */

/* Deletes the alerts that `where` chooses, the oldest first, some hundred at most. Returns how many. */
static int remove_some(struct alerts *s, const char *where, int64_t value, unsigned most)
{
	static const char *const tables[] = { "bodies", "alerts" };
	char sql[SQL_MAX];
	int r = run(s->write, "BEGIN IMMEDIATE"), n = 0;

	for (size_t i = 0; r == 0 && i < countof(tables); i++) {
		sqlite3_stmt *st = NULL;

		(void)snprintf(sql, sizeof(sql),
			       "DELETE FROM %s WHERE seq IN (SELECT seq FROM alerts %s ORDER BY seq LIMIT %u)",
			       tables[i], where, most);
		if (sqlite3_prepare_v2(s->write, sql, -1, &st, NULL) != SQLITE_OK)
			r = sql_error(s->write, "remove old alerts");
		if (r == 0 && *where)
			(void)sqlite3_bind_int64(st, 1, value);
		if (r == 0 && sqlite3_step(st) != SQLITE_DONE)
			r = sql_error(s->write, "remove old alerts");
		(void)sqlite3_finalize(st);
		n = sqlite3_changes(s->write);
	}
	if (r == 0)
		r = run(s->write, "COMMIT");
	if (r < 0) {
		(void)sqlite3_exec(s->write, "ROLLBACK", NULL, NULL, NULL);
		tell_trouble(s, err_trail());
		return r;
	}
	(void)pthread_mutex_lock(&s->stats_lock);
	s->stats.removed += (uint64_t)n;
	s->stats.kept -= (uint64_t)n;
	(void)pthread_mutex_unlock(&s->stats_lock);
	return n;
}

/* What the alerts take in the file; pages that are free are used again. */
static uint64_t bytes_used(struct alerts *s)
{
	int64_t pages = 0, unused = 0, size = 0;

	if (number_of(s->write, "PRAGMA page_count", &pages) < 0 ||
	    number_of(s->write, "PRAGMA freelist_count", &unused) < 0 ||
	    number_of(s->write, "PRAGMA page_size", &size) < 0)
		return 0;
	(void)pthread_mutex_lock(&s->stats_lock);
	s->stats.bytes = (uint64_t)(pages * size);
	(void)pthread_mutex_unlock(&s->stats_lock);
	return (uint64_t)((pages - unused) * size);
}

static uint64_t kept(struct alerts *s)
{
	uint64_t n;

	(void)pthread_mutex_lock(&s->stats_lock);
	n = s->stats.kept;
	(void)pthread_mutex_unlock(&s->stats_lock);
	return n;
}

/* Removes a few that are too many. True: there may be more of them. */
static bool remove_too_many(struct alerts *s)
{
	const uint64_t age = s->max_age_ns, count = s->max_count, bytes = s->max_bytes, n = kept(s);

	if (age && age < INT64_MAX &&
	    remove_some(s, "WHERE time < ?1", clock_wall_ns() - (int64_t)age, REMOVE_AT_ONCE) > 0)
		return true;
	if (count && n > count)
		return remove_some(s, "", 0, n - count < REMOVE_AT_ONCE ? (unsigned)(n - count) : REMOVE_AT_ONCE) > 0;
	if (bytes_used(s) > bytes && bytes && n)
		return remove_some(s, "", 0, REMOVE_AT_ONCE) > 0;
	return false;
}

/* A little more than allowed is left for the next time: each removal is a transaction. */
static bool is_far_too_much(struct alerts *s)
{
	const uint64_t count = s->max_count, bytes = s->max_bytes;

	return (count && kept(s) > count + count / 16) || (bytes && s->write && bytes_used(s) > bytes + bytes / 16);
}

static void tidy(struct alerts *s)
{
	const uint64_t now = clock_mono_ns();
	bool more;

	(void)pthread_mutex_lock(&s->write_lock);
	more = !s->tidied_ns || now - s->tidied_ns >= tidy_every_ns || is_far_too_much(s);
	if (more)
		s->tidied_ns = now;
	while (more) {
		more = is_open(s) && remove_too_many(s);
		/* Whoever sets a state need not wait for all of it. */
		(void)pthread_mutex_unlock(&s->write_lock);
		(void)pthread_mutex_lock(&s->write_lock);
	}
	(void)pthread_mutex_unlock(&s->write_lock);
}

static void *work(void *arg)
{
	struct alerts *s = arg;

	while (outbox_take(s->outbox, NS_PER_S)) {
		struct outbox_message m;
		size_t at = 0;

		if (outbox_next(s->outbox, &at, &m))
			write_taken(s);
		tidy(s);
	}
	return NULL;
}

/* ---- life ------------------------------------------------------------------------------------------------------ */

void alerts_limits(struct alerts *s, const struct alerts_options *o)
{
	s->max_age_ns = o->max_age_ns;
	s->max_count = o->max_count;
	s->max_bytes = o->max_bytes;
}

int alerts_open(const struct alerts_options *o, struct alerts **ret_alerts)
{
	AUTO(alerts) s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_new(-ENOMEM, "no memory for the alerts");
	(void)pthread_mutex_init(&s->write_lock, NULL);
	(void)pthread_mutex_init(&s->read_lock, NULL);
	(void)pthread_mutex_init(&s->stats_lock, NULL);
	(void)pthread_mutex_init(&s->watch_lock, NULL);
	alerts_limits(s, o);
	s->path = strdup(o->path);
	if (!s->path)
		return err_new(-ENOMEM, "no memory for the alerts");
	r = outbox_open(o->queue_bytes ? o->queue_bytes : QUEUE_BYTES, &s->outbox);
	if (r < 0)
		return r;
	s->read_only = o->read_only;
	if (s->read_only) {
		*ret_alerts = take(s);
		return 0;
	}
	(void)pthread_mutex_lock(&s->write_lock);
	(void)is_open(s);
	(void)pthread_mutex_unlock(&s->write_lock);
	r = pthread_create(&s->thread, NULL, work, s);
	if (r)
		return err_sys(r, "start the thread of the alerts' store");
	s->has_thread = true;
	*ret_alerts = take(s);
	return 0;
}

void alerts_free(struct alerts *s)
{
	if (!s)
		return;
	if (s->outbox)
		outbox_close(s->outbox);
	if (s->has_thread)
		(void)pthread_join(s->thread, NULL);
	/* The last connection to be closed takes the log of writes into the file. */
	close_read(s);
	close_write(s);
	outbox_free(s->outbox);
	free(s->path);
	(void)pthread_mutex_destroy(&s->write_lock);
	(void)pthread_mutex_destroy(&s->read_lock);
	(void)pthread_mutex_destroy(&s->stats_lock);
	(void)pthread_mutex_destroy(&s->watch_lock);
	free(s);
}

bool alerts_put(struct alerts *s, const struct alert *a)
{
	struct buf *b;

	/* Counted before it can be worked off. */
	(void)pthread_mutex_lock(&s->stats_lock);
	s->stats.put++;
	s->stats.waiting++;
	(void)pthread_mutex_unlock(&s->stats_lock);
	b = outbox_begin(s->outbox, PUT, alert_packed_size(a));
	if (b) {
		alert_pack(a, b);
		outbox_end(s->outbox);
		return true;
	}
	(void)pthread_mutex_lock(&s->stats_lock);
	s->stats.lost_full++;
	s->stats.waiting--;
	(void)pthread_mutex_unlock(&s->stats_lock);
	return false;
}

bool alerts_fold(struct alerts *s, const char *id, uint64_t more, int64_t last_ns)
{
	struct fold f = { .more = more, .last_ns = last_ns };
	struct buf *b = outbox_begin(s->outbox, FOLD, sizeof(f));

	if (!b)
		return false;
	(void)snprintf(f.id, sizeof(f.id), "%s", id);
	buf_add(b, &f, sizeof(f));
	outbox_end(s->outbox);
	return true;
}

void alerts_flush(struct alerts *s)
{
	outbox_settle(s->outbox);
}

void alerts_stats(struct alerts *s, struct alerts_stats *ret_stats)
{
	(void)pthread_mutex_lock(&s->stats_lock);
	*ret_stats = s->stats;
	(void)pthread_mutex_unlock(&s->stats_lock);
}

/* ---- asking ---------------------------------------------------------------------------------------------------- */

/*
 * Where no log of writes lies beside the file nobody has it open, and SQLite may take it as it is. Else it makes a log
 * and an index for it, in the folder of somebody else, and leaves them there; or fails, where it cannot.
 */
static int open_as_it_is(const char *path, sqlite3 **ret_db)
{
	auto_buf struct buf name = { .max = 4 * PATH_MAX };

	buf_printf(&name, "%s-wal", path);
	if (access(buf_text(&name), F_OK) == 0)
		return open_connection(path, SQLITE_OPEN_READONLY, ret_db);
	buf_clear(&name);
	buf_str(&name, "file:");
	for (const char *p = path; *p; p++)
		buf_printf(&name, strchr("%?#", *p) ? "%%%02X" : "%c", (unsigned char)*p);
	buf_str(&name, "?immutable=1");
	return open_connection(buf_text(&name), SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, ret_db);
}

/* With the lock held. */
static int open_read(struct alerts *s)
{
	int r;

	if (s->read)
		return 0;
	r = s->read_only ? open_as_it_is(s->path, &s->read) : open_connection(s->path, SQLITE_OPEN_READONLY, &s->read);
	if (r < 0)
		(void)sqlite3_close(take(s->read));
	return r;
}

/* A condition of a query and the value that it is about. */
struct where {
	char sql[SQL_MAX];
	size_t n;
	int64_t number[16];
	const char *text[16]; /* NULL: it is the number */
	int n_values;
};

static void also(struct where *w, const char *condition, int64_t number, const char *text)
{
	w->n += (size_t)snprintf(w->sql + w->n, sizeof(w->sql) - w->n, " %s %s ?%d", w->n_values ? "AND" : "WHERE",
				 condition, w->n_values + 1);
	w->number[w->n_values] = number;
	w->text[w->n_values++] = text;
}

static void where_of(const struct alerts_filter *f, bool with_cursor, struct where *w)
{
	if (f->from_ns)
		also(w, "time >=", f->from_ns, NULL);
	if (f->to_ns)
		also(w, "time <", f->to_ns, NULL);
	if (f->severity_min)
		also(w, "severity >=", f->severity_min, NULL);
	if (f->states)
		also(w, "0 < (1 << state) &", f->states, NULL);
	if (f->rule)
		also(w, "rule =", 0, f->rule);
	if (f->process)
		also(w, "process =", 0, f->process);
	if (f->user)
		also(w, "user =", 0, f->user);
	if (f->container)
		also(w, "container =", 0, f->container);
	if (!with_cursor || !f->cursor)
		return;
	also(w,
	     f->order == ALERTS_NEWEST   ? "alerts.seq <"
	     : f->order == ALERTS_OLDEST ? "alerts.seq >"
					 : "revision >",
	     f->cursor < INT64_MAX ? (int64_t)f->cursor : INT64_MAX, NULL);
}

static void bind_all(sqlite3_stmt *st, const struct where *w)
{
	for (int i = 0; i < w->n_values; i++)
		if (w->text[i])
			bind_text(st, i + 1, w->text[i]);
		else
			(void)sqlite3_bind_int64(st, i + 1, w->number[i]);
}

#define COLUMNS                                                                                                        \
	"SELECT alerts.seq, revision, id, time, first, last, severity, risk, rule, rule_name, rule_version, process, " \
	"user, container, folded, before_id, before_folded, state, who, comment, changed, body "                       \
	"FROM alerts JOIN bodies ON bodies.seq = alerts.seq"

static const char *text_at(sqlite3_stmt *st, int at)
{
	const char *text = (const char *)sqlite3_column_text(st, at);

	return text ? text : "";
}

static void alert_of(sqlite3_stmt *st, struct alert *a)
{
	const int state = sqlite3_column_int(st, 17);

	*a = (struct alert) {
		.seq = (uint64_t)sqlite3_column_int64(st, 0),
		.revision = (uint64_t)sqlite3_column_int64(st, 1),
		.time_ns = sqlite3_column_int64(st, 3),
		.first_ns = sqlite3_column_int64(st, 4),
		.last_ns = sqlite3_column_int64(st, 5),
		.severity = (uint8_t)sqlite3_column_int(st, 6),
		.risk = (uint8_t)sqlite3_column_int(st, 7),
		.rule = text_at(st, 8),
		.rule_name = text_at(st, 9),
		.rule_version = text_at(st, 10),
		.process = text_at(st, 11),
		.user = text_at(st, 12),
		.container = text_at(st, 13),
		.folded = (uint64_t)sqlite3_column_int64(st, 14),
		.before_folded = (uint64_t)sqlite3_column_int64(st, 16),
		.state = state >= ALERT_OPEN && state <= ALERT_CLOSED ? (enum alert_state)state : ALERT_OPEN,
		.who = text_at(st, 18),
		.comment = text_at(st, 19),
		.changed_ns = sqlite3_column_int64(st, 20),
		.body = sqlite3_column_blob(st, 21),
		.body_n = (size_t)sqlite3_column_bytes(st, 21),
	};
	(void)snprintf(a->id, sizeof(a->id), "%s", text_at(st, 2));
	(void)snprintf(a->before_id, sizeof(a->before_id), "%s", text_at(st, 15));
}

/* Runs a query for alerts, at most `limit` of them. Returns how many fn was called for. */
static int walk(struct alerts *s, const char *sql, const struct where *w, size_t limit,
		bool (*fn)(void *arg, const struct alert *alert), void *arg)
{
	sqlite3_stmt *st = NULL;
	int r, code = SQLITE_ROW, n = 0;

	(void)pthread_mutex_lock(&s->read_lock);
	r = open_read(s);
	if (r == 0 && sqlite3_prepare_v2(s->read, sql, -1, &st, NULL) != SQLITE_OK)
		r = sql_error(s->read, "look for alerts");
	if (r == 0)
		bind_all(st, w);
	while (r == 0 && (size_t)n < limit && (code = sqlite3_step(st)) == SQLITE_ROW) {
		struct alert a;

		alert_of(st, &a);
		n++;
		if (!fn(arg, &a))
			break;
	}
	if (r == 0 && code != SQLITE_ROW && code != SQLITE_DONE)
		r = sql_error(s->read, "look for alerts");
	(void)sqlite3_finalize(st);
	(void)pthread_mutex_unlock(&s->read_lock);
	return r < 0 ? r : n;
}

int alerts_list(struct alerts *s, const struct alerts_filter *f, bool (*fn)(void *arg, const struct alert *alert),
		void *arg)
{
	static const char *const by[] = {
		[ALERTS_NEWEST] = "alerts.seq DESC",
		[ALERTS_OLDEST] = "alerts.seq",
		[ALERTS_REVISIONS] = "revision",
	};
	const size_t limit = f->limit && f->limit < ALERTS_LIST_MAX ? f->limit : ALERTS_LIST_MAX;
	struct where w = { .n_values = 0 };
	char sql[2 * SQL_MAX];

	where_of(f, true, &w);
	(void)snprintf(sql, sizeof(sql), COLUMNS "%s ORDER BY %s LIMIT %zu", w.sql, by[f->order], limit);
	return walk(s, sql, &w, limit, fn, arg);
}

int alerts_count(struct alerts *s, const struct alerts_filter *f, uint64_t *ret_count)
{
	struct where w = { .n_values = 0 };
	sqlite3_stmt *st = NULL;
	char sql[2 * SQL_MAX];
	int r;

	where_of(f, false, &w);
	(void)snprintf(sql, sizeof(sql), "SELECT count(*) FROM alerts%s", w.sql);
	(void)pthread_mutex_lock(&s->read_lock);
	r = open_read(s);
	if (r == 0 && sqlite3_prepare_v2(s->read, sql, -1, &st, NULL) != SQLITE_OK)
		r = sql_error(s->read, "count alerts");
	if (r == 0) {
		bind_all(st, &w);
		if (sqlite3_step(st) == SQLITE_ROW)
			*ret_count = (uint64_t)sqlite3_column_int64(st, 0);
		else
			r = sql_error(s->read, "count alerts");
	}
	(void)sqlite3_finalize(st);
	(void)pthread_mutex_unlock(&s->read_lock);
	return r;
}

struct one {
	bool (*fn)(void *arg, const struct alert *alert);
	void *arg;
	bool several;
	char id[ALERT_ID_SIZE];
};

static bool remember(void *arg, const struct alert *a)
{
	struct one *one = arg;

	one->several = one->id[0] != 0;
	memcpy(one->id, a->id, sizeof(one->id));
	return true;
}

static bool is_id(const char *id, size_t least)
{
	const size_t n = strlen(id);

	return n >= least && n < ALERT_ID_SIZE && strspn(id, "0123456789abcdef") == n;
}

int alerts_get(struct alerts *s, const char *id, bool (*fn)(void *arg, const struct alert *alert), void *arg)
{
	struct one one = { .fn = fn, .arg = arg };
	struct where w = { .n_values = 0 };
	char past[ALERT_ID_SIZE + 1];
	int r;

	if (!is_id(id, ID_PREFIX_MIN))
		return err_new(-ENOENT, "\"%.*s\" is no alert's id: %d to %d hex digits", ALERT_ID_SIZE, id,
			       ID_PREFIX_MIN, ALERT_ID_SIZE - 1);
	(void)snprintf(past, sizeof(past), "%sg", id);
	also(&w, "id >=", 0, id);
	also(&w, "id <", 0, past);
	r = walk(s, COLUMNS " WHERE id >= ?1 AND id < ?2", &w, 2, remember, &one);
	if (r < 0)
		return r;
	if (!one.id[0])
		return err_new(-ENOENT, "there is no alert %s", id);
	if (one.several)
		return err_new(-EEXIST, "several alerts' ids begin with %s", id);
	w = (struct where) { .text = { one.id }, .n_values = 1 };
	r = walk(s, COLUMNS " WHERE id = ?1", &w, 1, fn, arg);
	return r < 0 ? r : r ? 0 : err_new(-ENOENT, "there is no alert %s", id);
}

int alerts_totals(struct alerts *s, struct alerts_totals *ret_totals)
{
	sqlite3_stmt *st = NULL;
	int64_t revision = 0;
	int r, code = SQLITE_DONE;

	*ret_totals = (struct alerts_totals) { 0 };
	(void)pthread_mutex_lock(&s->read_lock);
	r = open_read(s);
	if (r == 0)
		r = number_of(s->read, "SELECT value FROM numbers WHERE name = 'revision'", &revision);
	ret_totals->revision = (uint64_t)revision;
	if (r == 0 &&
	    sqlite3_prepare_v2(s->read, "SELECT state, severity, count(*) FROM alerts GROUP BY state, severity", -1,
			       &st, NULL) != SQLITE_OK)
		r = sql_error(s->read, "count alerts");
	while (r == 0 && (code = sqlite3_step(st)) == SQLITE_ROW) {
		const unsigned state = (unsigned)sqlite3_column_int(st, 0);
		const unsigned severity = (unsigned)sqlite3_column_int(st, 1);

		if (state < countof(ret_totals->by) && severity < countof(ret_totals->by[0]))
			ret_totals->by[state][severity] = (uint64_t)sqlite3_column_int64(st, 2);
	}
	if (r == 0 && code != SQLITE_DONE)
		r = sql_error(s->read, "count alerts");
	(void)sqlite3_finalize(st);
	(void)pthread_mutex_unlock(&s->read_lock);
	return r;
}

/* ---- what people make of them ---------------------------------------------------------------------------------- */

static int set_state(struct alerts *s, const char *id, enum alert_state state, const char *who, const char *comment)
{
	sqlite3_stmt *st = s->statement[SET_STATE];
	bool changed;
	int r = run(s->write, "BEGIN IMMEDIATE");

	if (r < 0)
		return r;
	bind_text(st, 1, id);
	(void)sqlite3_bind_int(st, 2, (int)state);
	bind_text(st, 3, who);
	bind_text(st, 4, comment);
	(void)sqlite3_bind_int64(st, 5, clock_wall_ns());
	(void)sqlite3_bind_int64(st, 6, (int64_t)s->revision + 1);
	r = step(s, SET_STATE);
	changed = r == 0 && sqlite3_changes(s->write);
	s->revision += changed;
	if (r == 0)
		r = keep_revision(s);
	if (r == 0)
		r = run(s->write, "COMMIT");
	if (r < 0) {
		s->revision -= changed;
		(void)sqlite3_exec(s->write, "ROLLBACK", NULL, NULL, NULL);
		return r;
	}
	return changed ? 0 : err_new(-ENOENT, "there is no alert %s", id);
}

int alerts_set_state(struct alerts *s, const char *id, enum alert_state state, const char *who, const char *comment)
{
	uint64_t revision;
	int r;

	if (!is_id(id, ALERT_ID_SIZE - 1))
		return err_new(-ENOENT, "there is no alert \"%.*s\"", ALERT_ID_SIZE, id);
	if (strlen(who) > ALERT_WHO_MAX || strlen(comment) > ALERT_COMMENT_MAX)
		return err_new(-EINVAL, "too long: a name has %d bytes at most, a comment %d", ALERT_WHO_MAX,
			       ALERT_COMMENT_MAX);
	(void)pthread_mutex_lock(&s->write_lock);
	r = is_open(s) ? set_state(s, id, state, who, comment)
		       : err_new(-EIO, "the alerts' file %s cannot be opened", s->path);
	revision = s->revision;
	(void)pthread_mutex_unlock(&s->write_lock);
	if (r == 0)
		tell_watchers(s, revision);
	return r;
}
