/* SPDX-License-Identifier: Apache-2.0 */
/*
 * alerts_stream - alerts as they come and change, for one client each.
 *
 * A stream has a buffer that goes to and fro: the thread that asks the store fills it while it is HUNGRY, its request
 * sends it while it is FULL, and hands it back empty. So neither waits for the other, and the store is only asked for
 * those who can take something. Two hold a stream: its request, and the list of the thread, which drops what is dead.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "api/alerts_feed.h"
#include "api/export_proto.h"
#include "api/grpc.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"

enum {
	REQUEST_MEMORY = 1 << 16,
	LOT = 64,              /* alerts of one round */
	LOT_BYTES = 256 << 10, /* a round ends behind the alert that reaches this */
	STREAM_MAX = LOT_BYTES + 2 * ALERT_JSON_MAX,
	SILENCE_S = 15, /* server-sent events: so that proxies do not take it for dead */
	LOOK_MS = 1000, /* how often losses of the store are looked for */
	PACE_MS = 100,  /* how long those wait who have had as much as they may */
	WHY_MAX = 512,
};

enum form { FORM_SSE, FORM_LINES, FORM_GRPC };
enum state { HUNGRY, FULL };

struct alerts_stream {
	struct alerts_api *x;
	struct http_request *req; /* the request's thread alone */
	struct consumer *consumer;
	struct http_waker *waker;
	struct alerts_stream *next;
	enum form form;
	_Atomic unsigned refs;
	_Atomic bool dead;
	_Atomic int state; /* enum state */

	/* The feeding thread's while HUNGRY, the request's while FULL. */
	struct alerts_ask ask; /* its cursor moves on */
	struct buf out, json;
	uint64_t records, lost, lost_seen;
	bool paced;
	int error;
	char why[WHY_MAX];

	/* The request's. */
	size_t sent;
	uint64_t deadline_ns, said_ns;
	bool said_why;
};

static void stream_unref(struct alerts_stream *s)
{
	if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
		return;
	http_waker_free(s->waker);
	consumer_free(s->consumer);
	buf_free(&s->out);
	buf_free(&s->json);
	free(s);
}

static void wake_feed(struct alerts_api *x)
{
	(void)pthread_mutex_lock(&x->lock);
	x->pending = true;
	(void)pthread_cond_signal(&x->more);
	(void)pthread_mutex_unlock(&x->lock);
}

/* ---- filling ------------------------------------------------------------------------------------------------- */

/* `put` writes what comes behind the head of a message of gRPC. */
static void put_message(struct alerts_stream *s, const struct alert *a, uint64_t lost)
{
	size_t at = s->out.len;
	char head[GRPC_HEAD] = { 0 };

	buf_add(&s->out, head, sizeof(head));
	if (a)
		alerts_proto_write(a, &s->json, &s->out);
	else
		proto_write(&alert_message_message, &(struct alert_message) { .lost = lost }, &s->out);
	if (!s->out.failed)
		grpc_head(s->out.data + at, false, s->out.len - at - GRPC_HEAD);
}

/* False: no more in this round. */
static bool put_alert(void *arg, const struct alert *a)
{
	struct alerts_stream *s = arg;

	if (s->out.len >= LOT_BYTES)
		return false;
	if (!consumer_grant(s->consumer, 1, clock_boot_ns())) {
		s->paced = true;
		return false;
	}
	if (s->form == FORM_GRPC) {
		put_message(s, a, 0);
	} else {
		if (s->form == FORM_SSE)
			buf_printf(&s->out, "id: %llu\ndata: ", (unsigned long long)a->revision);
		alert_write(a, &s->out);
		buf_str(&s->out, s->form == FORM_SSE ? "\n\n" : "\n");
	}
	s->records++;
	return true;
}

static void put_lost(struct alerts_stream *s, uint64_t lost)
{
	if (s->form == FORM_GRPC)
		put_message(s, NULL, lost);
	else
		buf_printf(&s->out,
			   s->form == FORM_SSE ? "event: lost\ndata: {\"lost\":%llu}\n\n" : "{\"lost\":%llu}\n",
			   (unsigned long long)lost);
}

/* Takes what is new for it. */
static void feed(struct alerts_stream *s)
{
	/* Before the store is asked: what comes in between is looked at again. */
	uint64_t revision = atomic_load(&s->x->revision), lost = alerts_ask_lost(s->x->store);
	struct alerts_page page;
	int r;

	s->paced = false;
	if (lost > s->lost_seen) {
		put_lost(s, lost - s->lost_seen);
		s->lost += lost - s->lost_seen;
		s->lost_seen = lost;
	}
	if (s->ask.cursor < revision) {
		r = alerts_ask_list(s->x->store, &s->ask, put_alert, s, &page);
		if (r == 0 && s->out.failed)
			r = err_new(-ENOMEM, "no memory for a stream");
		if (r < 0) {
			s->error = r;
			(void)snprintf(s->why, sizeof(s->why), "%s", err_trail());
			err_clear();
		} else {
			s->ask.cursor = page.more || page.cursor > revision ? page.cursor : revision;
		}
	}
	if (!s->out.len && !s->error)
		return;
	atomic_store(&s->state, FULL);
	http_wake(s->waker);
}

/* One look at all streams. Returns how long the next one may wait at most, in ms; 0: there is more at once. */
static unsigned round_of_all(struct alerts_api *x)
{
	struct alerts_stream **link = &x->streams, *s, *dead = NULL, *next;
	unsigned wait_ms = LOOK_MS;

	/* Only this thread takes out of the list; others put in at its head, under the lock. */
	(void)pthread_mutex_lock(&x->lock);
	while ((s = *link)) {
		if (!atomic_load(&s->dead)) {
			link = &s->next;
			continue;
		}
		*link = s->next;
		s->next = dead;
		dead = s;
		x->n_streams--;
	}
	s = x->streams;
	(void)pthread_mutex_unlock(&x->lock);
	for (; dead; dead = next) {
		next = dead->next;
		stream_unref(dead);
	}
	for (; s; s = s->next) {
		if (atomic_load(&s->state) != HUNGRY || atomic_load(&s->dead))
			continue;
		feed(s);
		if (atomic_load(&s->state) != HUNGRY)
			continue;
		if (s->paced && wait_ms > PACE_MS)
			wait_ms = PACE_MS;
		/* All that was looked at did not fit: there may be more behind it. */
		else if (!s->paced && s->ask.cursor < atomic_load(&x->revision))
			wait_ms = 0;
	}
	return wait_ms;
}

static void *feed_thread(void *arg)
{
	struct alerts_api *x = arg;
	unsigned wait_ms = 0;

	(void)pthread_mutex_lock(&x->lock);
	while (!x->stop) {
		if (!x->pending && !x->streams) {
			(void)pthread_cond_wait(&x->more, &x->lock);
		} else if (!x->pending && wait_ms) {
			struct timespec until;

			(void)clock_gettime(CLOCK_MONOTONIC, &until);
			until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
			until.tv_sec += wait_ms / 1000 + until.tv_nsec / (long)NS_PER_S;
			until.tv_nsec %= (long)NS_PER_S;
			(void)pthread_cond_timedwait(&x->more, &x->lock, &until);
		}
		if (x->stop)
			break;
		x->pending = false;
		(void)pthread_mutex_unlock(&x->lock);
		wait_ms = round_of_all(x);
		(void)pthread_mutex_lock(&x->lock);
	}
	(void)pthread_mutex_unlock(&x->lock);
	return NULL;
}

static void changed(void *arg, uint64_t revision)
{
	struct alerts_api *x = arg;
	uint64_t old = atomic_load(&x->revision);

	while (old < revision && !atomic_compare_exchange_weak(&x->revision, &old, revision))
		;
	wake_feed(x);
}

int alerts_feed_start(struct alerts_api *x)
{
	struct alerts_totals totals;
	pthread_condattr_t attr;
	int r;

	(void)pthread_mutex_init(&x->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&x->more, &attr);
	(void)pthread_condattr_destroy(&attr);
	if (!x->store)
		return 0;
	x->watcher = (struct alerts_watcher) { .changed = changed, .arg = x };
	r = alerts_watch(x->store, &x->watcher);
	if (r < 0)
		return r;
	x->watches = true;
	/* A store that cannot be read yet tells its revision with the first change. */
	if (alerts_totals(x->store, &totals) == 0)
		changed(x, totals.revision);
	else
		err_clear();
	r = pthread_create(&x->thread, NULL, feed_thread, x);
	if (r)
		return err_sys(r, "start a thread");
	x->started = true;
	(void)pthread_setname_np(x->thread, "api-alerts");
	return 0;
}

void alerts_feed_stop(struct alerts_api *x)
{
	struct alerts_stream *next;

	if (x->watches)
		alerts_unwatch(x->store, &x->watcher);
	(void)pthread_mutex_lock(&x->lock);
	x->stop = true;
	(void)pthread_cond_signal(&x->more);
	(void)pthread_mutex_unlock(&x->lock);
	if (x->started)
		(void)pthread_join(x->thread, NULL);
	for (struct alerts_stream *s = x->streams; s; s = next) {
		next = s->next;
		stream_unref(s);
	}
	(void)pthread_cond_destroy(&x->more);
	(void)pthread_mutex_destroy(&x->lock);
}

/* ---- sending --------------------------------------------------------------------------------------------------- */

static ssize_t idle(struct alerts_stream *s, char *to)
{
	uint64_t now = clock_boot_ns(), silent = now - s->said_ns, wait = 0;

	if (s->deadline_ns)
		wait = s->deadline_ns > now ? s->deadline_ns - now : 1;
	if (s->form == FORM_SSE) {
		if (silent >= SILENCE_S * NS_PER_S) {
			s->said_ns = now;
			memcpy(to, ":\n\n", 3);
			return 3;
		}
		wait = SILENCE_S * NS_PER_S - silent;
	}
	if (wait)
		http_wake_in(s->req, wait);
	return HTTP_IDLE;
}

/* The store could not be asked: the end of the stream says why. */
static ssize_t end_with_error(struct alerts_stream *s, char *to, size_t room)
{
	auto_buf struct buf text = { .max = 4 * WHY_MAX + 256 };

	if (s->form == FORM_GRPC) {
		grpc_end(s->req, grpc_status_of(s->error), s->why);
		return HTTP_END;
	}
	if (s->said_why)
		return HTTP_END;
	s->said_why = true;
	buf_printf(&text, "%s{\"error\":{\"status\":%u,\"message\":", s->form == FORM_SSE ? "event: error\ndata: " : "",
		   http_status_of(s->error));
	(void)json_write_str(&text, s->why, strlen(s->why));
	buf_str(&text, s->form == FORM_SSE ? "}}\n\n" : "}}\n");
	if (text.failed || text.len > room)
		return HTTP_END;
	memcpy(to, buf_text(&text), text.len);
	return (ssize_t)text.len;
}

static ssize_t produce(void *ctx, char *to, size_t room)
{
	struct alerts_stream *s = ctx;
	size_t n;

	if (s->deadline_ns && clock_boot_ns() >= s->deadline_ns && !s->sent) {
		grpc_end(s->req, GRPC_DEADLINE_EXCEEDED, "the time that the call had is over");
		return HTTP_END;
	}
	if (atomic_load(&s->state) != FULL)
		return idle(s, to);
	n = s->out.len - s->sent;
	if (!n)
		return end_with_error(s, to, room);
	n = n < room ? n : room;
	memcpy(to, s->out.data + s->sent, n);
	s->sent += n;
	s->said_ns = clock_boot_ns();
	if (s->sent < s->out.len || s->error)
		return (ssize_t)n;
	http_audit_records(s->req, s->records, s->lost);
	s->records = s->lost = 0;
	buf_clear(&s->out);
	s->sent = 0;
	atomic_store(&s->state, HUNGRY);
	wake_feed(s->x);
	return (ssize_t)n;
}

static void closed(void *ctx, bool complete)
{
	struct alerts_stream *s = ctx;

	(void)complete;
	atomic_store(&s->dead, true);
	wake_feed(s->x);
	stream_unref(s);
}

/* ---- beginning ------------------------------------------------------------------------------------------------- */

static int join(struct alerts_api *x, struct alerts_stream *s)
{
	int r = 0;

	(void)pthread_mutex_lock(&x->lock);
	if (x->n_streams == ALERTS_STREAMS_MAX) {
		r = err_new(-EBUSY, "%d streams of alerts are open already", ALERTS_STREAMS_MAX);
	} else {
		x->n_streams++;
		s->next = x->streams;
		x->streams = s;
		x->pending = true;
		(void)pthread_cond_signal(&x->more);
	}
	(void)pthread_mutex_unlock(&x->lock);
	return r;
}

/* `ask` says where it begins: a cursor, or 0 for all that is kept. */
static int start(struct http_request *req, const struct alerts_ask *ask, bool from_now, enum form form)
{
	static const struct http_stream stream = { .produce = produce, .closed = closed };
	struct alerts_api *x = req->ctx;
	uint64_t revision = atomic_load(&x->revision);
	struct alerts_stream *s;
	int r;

	if (ask->cursor > revision)
		return err_new(-ERANGE, "cursor: the newest alert has %llu; this one is of another store",
			       (unsigned long long)revision);
	s = calloc(1, sizeof(*s));
	if (!s)
		return err_new(-ENOMEM, "no memory for a stream");
	s->x = x;
	s->req = req;
	s->form = form;
	s->ask = *ask;
	s->ask.order = ALERTS_REVISIONS;
	s->ask.limit = LOT;
	s->ask.cursor = ask->cursor ? ask->cursor : from_now ? revision : 0;
	s->lost_seen = alerts_ask_lost(x->store);
	s->said_ns = clock_boot_ns();
	s->deadline_ns = form == FORM_GRPC ? grpc_deadline(req) : 0;
	s->consumer = consumer_ref(req->consumer);
	s->waker = http_waker(req);
	atomic_store(&s->refs, 2);
	buf_init(&s->out, STREAM_MAX);
	buf_init(&s->json, ALERT_JSON_MAX + (64 << 10));
	r = s->waker ? join(x, s) : err_new(-ENOMEM, "no memory for a stream");
	if (r < 0) {
		atomic_store(&s->refs, 1);
		stream_unref(s);
		return r;
	}
	(void)http_stream(req, 200,
			  form == FORM_GRPC  ? "application/grpc"
			  : form == FORM_SSE ? "text/event-stream"
					     : "application/x-ndjson",
			  &stream, s);
	return 0;
}

struct asked {
	struct alerts_ask ask;
	bool oldest;
	enum form form;
};

static int read_param(void *arg, const char *name, const char *value)
{
	struct asked *a = arg;

	if (!strcmp(name, "start")) {
		a->oldest = !strcmp(value, "oldest");
		return a->oldest || !strcmp(value, "now") ? 0 : err_new(-EINVAL, "start: wanted now or oldest");
	}
	if (!strcmp(name, "format")) {
		a->form = !strcmp(value, "lines") ? FORM_LINES : FORM_SSE;
		return a->form == FORM_LINES || !strcmp(value, "sse") ? 0
								      : err_new(-EINVAL, "format: wanted sse or lines");
	}
	return alerts_api_param(&a->ask, name, value);
}

void alerts_http_stream(struct http_request *req)
{
	const char *accept = http_header(req, "accept"), *id = http_header(req, "last-event-id");
	struct asked asked = { .form = FORM_SSE };
	int r = alerts_api_may(req);

	if (accept && strstr(accept, "application/x-ndjson"))
		asked.form = FORM_LINES;
	if (r == 0 && id && *id)
		r = alerts_ask_set(&asked.ask, "cursor", id);
	r = r < 0 ? r : http_params(req, read_param, &asked);
	if (r == 0) {
		http_audit_filter(req, req->query, strlen(req->query));
		(void)http_answer_header(req, "cache-control", "no-store");
		r = start(req, &asked.ask, !asked.oldest, asked.form);
	}
	if (r == 0)
		return;
	http_refuse(req, http_status_of(r), "%s", err_trail());
	err_clear();
}

void alerts_grpc_stream(struct http_request *req)
{
	auto_arena struct arena arena = { .max = REQUEST_MEMORY };
	auto_buf struct buf room = { .max = GRPC_MESSAGE_MAX }, text = { .max = REQUEST_MEMORY };
	struct alerts_stream_request asked;
	struct alerts_ask ask = { 0 };
	struct str message;
	int r;

	if (!grpc_accept(req) || !grpc_message(req, &room, &message))
		return;
	r = proto_read(&alerts_stream_request_message, message.p, message.n, &arena, &asked);
	r = r < 0 ? r : alerts_api_may(req);
	if (r == 0 && asked.filter)
		r = alerts_proto_ask(asked.filter, &ask);
	if (r == 0 && asked.start != START_NOW && asked.start != START_OLDEST)
		r = err_new(-EINVAL, "start: there is no such place");
	if (r == 0) {
		proto_write_json(&alerts_stream_request_message, &asked, &text);
		http_audit_filter(req, buf_text(&text), text.len);
		ask.cursor = asked.cursor;
		r = start(req, &ask, asked.start == START_NOW, FORM_GRPC);
	}
	if (r == 0)
		return;
	grpc_fail(req, grpc_status_of(r), "%s", err_trail());
	err_clear();
}
