/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/recorder.h"
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "store/query.h"

enum {
	AT_ONCE = 16384, /* records between two looks at the clock */
	WAIT_MS = 200,
	FLUSH_S = 1,
	RETRY_S = 1,
};

/* A reader of the ring that writes what it reads. */
struct capture {
	struct pipeline *pipeline;
	struct raw_reader *reader;
	struct store_writer *writer;
	struct store_query query; /* which records; unused without a filter */
	bool has_filter, begun;
	__u64 happened, max; /* records written that tell what happened, and how many there may be */
};

static void capture_close(struct capture *c)
{
	raw_reader_free(c->reader);
	store_writer_free(c->writer);
	query_close(&c->query);
}

static int capture_open(struct capture *c, struct pipeline *pipeline, const char *name,
			const struct store_writer_options *options)
{
	int r;

	c->pipeline = pipeline;
	c->max = c->max ? c->max : UINT64_MAX;
	if (!pipeline_raw(pipeline))
		return err_new(-ENOTSUP, "there is no raw ring to record from: set raw.ring in the configuration");
	r = raw_reader_open(pipeline_raw(pipeline), name, RAW_FROM_NOW, &c->reader);
	return r < 0 ? r : store_writer_open(options, &c->writer);
}

/* Is it to be written? Whatever the filter says, the context sees it. */
static bool wants(struct capture *c, const struct ev_head *rec)
{
	const struct event_kind *kind = event_kind_of(rec->id);

	if (!c->has_filter)
		return true;
	return kind && (query_test(&c->query, rec, kind) || EV_ID_SENSOR(rec->id) == EV_CONTEXT);
}

/* Copies at most `max` records, none from number `until` on. Returns how many it read. */
static size_t copy(struct capture *c, size_t max, __u64 until)
{
	const struct ev_head *rec;
	size_t n = 0;
	__u64 lost;

	while (n < max && c->happened < c->max && raw_reader_cursor(c->reader) < until &&
	       (rec = raw_reader_next(c->reader, &lost))) {
		__u64 number = raw_reader_cursor(c->reader) - 1;

		store_writer_lost(c->writer, lost);
		if (number >= until) {
			/* Overtaken, right across the end: this one is the next segment's. */
			(void)raw_reader_seek(c->reader, number);
			break;
		}
		n++;
		if (wants(c, rec) && store_writer_put(c->writer, rec) == 0)
			c->happened += EV_ID_SENSOR(rec->id) != EV_CONTEXT;
	}
	return n;
}

static int teach(struct capture *c, const struct store_origin *origin, const struct buf *known)
{
	size_t at = 0;
	int r = query_begin(&c->query, origin);

	while (r == 0 && at < known->len) {
		const struct ev_head *rec = (const struct ev_head *)(const void *)(known->data + at);

		query_learn(&c->query, rec);
		at += (rec->len + 7UL) & ~7UL;
	}
	return r;
}

/* Begins a segment at the place of the ring for which the agent says what it knows; what comes before goes to the old
 * one. */
static int begin(struct capture *c)
{
	auto_buf struct buf known = { .max = PIPELINE_KNOWN_MAX };
	struct store_origin origin;
	__u64 cursor;
	int r = pipeline_known(c->pipeline, &known, &cursor);

	if (r < 0)
		return r;
	if (c->begun)
		(void)copy(c, SIZE_MAX, cursor);
	else
		r = raw_reader_seek(c->reader, cursor);
	if (r < 0)
		return r;
	store_origin_here(&origin);
	origin.wall_minus_boot_ns = event_clock();
	if (c->has_filter && !c->begun)
		r = teach(c, &origin, &known);
	if (r == 0)
		r = store_writer_begin(c->writer, &origin, buf_text(&known), known.len);
	c->begun |= r == 0;
	return r;
}

/* ---- into a folder ----------------------------------------------------------------------------- */

struct recorder {
	struct capture capture;
	char *folder;
	pthread_t thread;
	bool running, full_told;
	_Atomic bool stop;
	pthread_mutex_t ask_lock; /* of settled; held while the reader is asked */
	bool settled;
	pthread_mutex_t stats_lock; /* of stats */
	struct store_writer_stats stats;
};

static void keep_stats(struct recorder *r)
{
	__u64 lost_before = r->stats.lost_full;

	(void)pthread_mutex_lock(&r->stats_lock);
	store_writer_stats(r->capture.writer, &r->stats);
	(void)pthread_mutex_unlock(&r->stats_lock);
	if (r->stats.lost_full == lost_before)
		return;
	log_warning("records could not be written to disk", "folder=%s records=%llu why=\"%s\"", r->folder,
		    r->stats.lost_full - lost_before, strerror(r->stats.last_error));
}

/* False: not now. */
static bool begin_if_wanted(struct recorder *r)
{
	bool good = true;

	(void)pthread_mutex_lock(&r->ask_lock);
	if (!r->settled && store_writer_wants_segment(r->capture.writer) && begin(&r->capture) < 0) {
		log_warning("no segment could be begun", "folder=%s why=\"%s\"", r->folder, err_trail());
		good = false;
	}
	(void)pthread_mutex_unlock(&r->ask_lock);
	return good;
}

static void *record(void *arg)
{
	struct recorder *r = arg;
	__u64 flushed_ns = clock_boot_ns(), retry_ns = 0;

	for (;;) {
		bool stop = r->stop;
		__u64 now = clock_boot_ns();

		if (now >= retry_ns && !begin_if_wanted(r))
			retry_ns = now + RETRY_S * NS_PER_S;
		if (r->capture.begun && copy(&r->capture, AT_ONCE, UINT64_MAX) == 0 && stop)
			break;
		if (stop && !r->capture.begun)
			break;
		if (now - flushed_ns >= FLUSH_S * NS_PER_S) {
			store_writer_flush(r->capture.writer);
			keep_stats(r);
			flushed_ns = now;
		}
		if (!stop)
			(void)raw_reader_wait(r->capture.reader, WAIT_MS * NS_PER_MS);
	}
	return NULL;
}

int recorder_open(struct pipeline *pipeline, const struct settings_record *s, struct recorder **ret_recorder)
{
	const struct store_writer_options options = {
		.path = s->folder,
		.segment_bytes = s->segment,
		.max_bytes = s->size,
		.max_age_ns = s->age_ns,
	};
	AUTO(recorder) r = calloc(1, sizeof(*r));
	int error;

	if (!r)
		return err_new(-ENOMEM, "no memory for a recorder");
	(void)pthread_mutex_init(&r->ask_lock, NULL);
	(void)pthread_mutex_init(&r->stats_lock, NULL);
	r->folder = strdup(s->folder);
	if (!r->folder)
		return err_new(-ENOMEM, "no memory for a recorder");
	error = capture_open(&r->capture, pipeline, "record", &options);
	/* Here, so that a folder which cannot be written to is told at the start. */
	if (error == 0)
		error = begin(&r->capture);
	if (error < 0)
		return err_wrap(error, "record into %s", s->folder);
	error = pthread_create(&r->thread, NULL, record, r);
	if (error)
		return err_sys(error, "start the recorder");
	r->running = true;
	*ret_recorder = take(r);
	return 0;
}

void recorder_settle(struct recorder *r)
{
	if (!r)
		return;
	(void)pthread_mutex_lock(&r->ask_lock);
	r->settled = true;
	(void)pthread_mutex_unlock(&r->ask_lock);
}

void recorder_free(struct recorder *r)
{
	if (!r)
		return;
	r->stop = true;
	if (r->running)
		(void)pthread_join(r->thread, NULL);
	capture_close(&r->capture);
	free(r->folder);
	(void)pthread_mutex_destroy(&r->ask_lock);
	(void)pthread_mutex_destroy(&r->stats_lock);
	free(r);
}

void recorder_status(struct recorder *r, struct buf *out)
{
	struct store_writer_stats s;

	if (!r) {
		buf_str(out, "null");
		return;
	}
	(void)pthread_mutex_lock(&r->stats_lock);
	s = r->stats;
	(void)pthread_mutex_unlock(&r->stats_lock);
	buf_str(out, "{\"folder\":");
	(void)json_write_str(out, r->folder, strlen(r->folder));
	buf_printf(out,
		   ",\"records\":%llu,\"record_bytes\":%llu,\"written_bytes\":%llu,\"segments\":%llu,\"removed\":%llu,"
		   "\"lost_ring\":%llu,\"lost_disk\":%llu,\"error\":",
		   s.records, s.record_bytes, s.written_bytes, s.segments, s.removed, s.lost_before, s.lost_full);
	if (s.last_error)
		(void)json_write_str(out, strerror(s.last_error), strlen(strerror(s.last_error)));
	else
		buf_str(out, "null");
	buf_char(out, '}');
}

/* ---- for a client --------------------------------------------------------------------------------- */

int recorder_capture(struct pipeline *pipeline, const struct capture_spec *spec, int fd)
{
	const struct store_writer_options options = { .path = "the client", .stream = true, .fd = fd };
	const struct store_query_spec query = { .filter = spec->filter };
	__attribute__((cleanup(capture_close))) struct capture c = { .max = spec->max_records };
	__u64 began_ns, flushed_ns, now;
	struct store_writer_stats stats;
	int r;

	c.has_filter = spec->filter.n_kinds || spec->filter.pid || spec->filter.comm || spec->filter.container ||
		       spec->filter.path || spec->filter.address || spec->filter.expr;
	r = query_init(&c.query, NULL, &query);
	if (r == 0)
		r = capture_open(&c, pipeline, "capture", &options);
	if (r == 0)
		r = begin(&c);
	if (r < 0)
		return r;
	began_ns = flushed_ns = clock_boot_ns();
	for (;;) {
		(void)raw_reader_wait(c.reader, WAIT_MS * NS_PER_MS);
		(void)copy(&c, AT_ONCE, UINT64_MAX);
		now = clock_boot_ns();
		if (now - flushed_ns >= FLUSH_S * NS_PER_S) {
			store_writer_flush(c.writer);
			flushed_ns = now;
		}
		store_writer_stats(c.writer, &stats);
		if (stats.last_error)
			return err_sys(stats.last_error, "send a recording");
		if ((spec->max_ns && now - began_ns >= spec->max_ns) || c.happened >= c.max || spec->is_over(spec->arg))
			return 0;
	}
}
