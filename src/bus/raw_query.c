/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/raw_query.h"
#include <inttypes.h>
#include <string.h>
#include "base/err.h"
#include "store/query.h"

struct raw_query {
	struct store_query q;
	struct raw_reader *reader;
	const char *known;
	size_t known_left;
	__u64 after; /* number of the first record that may be in the answer */
	__u64 end;   /* number of the first one that came too late */
	__u64 last;  /* number of the record after the last answer */
};

static struct raw_query *of(struct store_query *q)
{
	return container_of(q, struct raw_query, q);
}

/* The next of what was known; NULL at the end. */
static const struct ev_head *next_known(struct raw_query *r)
{
	const struct ev_head *rec = (const struct ev_head *)(const void *)r->known;
	size_t size;

	if (r->known_left < sizeof(*rec))
		return NULL;
	size = (rec->len + 7UL) & ~7UL;
	if (rec->len < sizeof(*rec) || size > r->known_left)
		return NULL;
	r->known += size;
	r->known_left -= size;
	return rec;
}

static int raw_query_next(struct store_query *q, const struct ev_head **ret_rec)
{
	struct raw_query *r = of(q);
	const struct ev_head *rec;
	__u64 lost, lost_sum = 0;

	while ((rec = next_known(r))) {
		query_learn(q, rec);
		q->event = (struct event) { .rec = rec, .kind = event_kind_of(rec->id) };
		*ret_rec = rec;
		q->is_known = q->with_known && q->event.kind;
		if (q->is_known)
			return 1;
	}
	while (raw_reader_cursor(r->reader) < r->end && (rec = raw_reader_next(r->reader, &lost))) {
		__u64 number = raw_reader_cursor(r->reader) - 1;
		bool wanted = number >= r->after && query_wants_head(q, rec);
		const struct event_kind *kind = event_kind_of(rec->id);

		lost_sum += lost;
		if (number >= r->end)
			break;
		if (!kind || (!wanted && !(q->context && query_teaches(rec->id))))
			continue;
		if (!query_test(q, rec, kind) || !wanted)
			continue;
		q->lost = lost_sum;
		q->stats.lost += lost_sum;
		r->last = number + 1;
		*ret_rec = rec;
		return 1;
	}
	return 0;
}

static void raw_query_cursor(const struct store_query *q, char ret_cursor[STORE_CURSOR_MAX])
{
	(void)snprintf(ret_cursor, STORE_CURSOR_MAX, "r%" PRIx64, (uint64_t)container_of(q, struct raw_query, q)->last);
}

static void raw_query_free(struct store_query *q)
{
	struct raw_query *r = of(q);

	raw_reader_free(r->reader);
	query_close(q);
	free(r);
}

static int go_to_cursor(struct raw_query *r, const char *text)
{
	uint64_t number;
	int used = 0;

	if (sscanf(text, "r%" SCNx64 "%n", &number, &used) != 1 || text[used])
		return err_new(-EINVAL, "\"%.*s\" is no cursor that a query of the ring gave", STORE_CURSOR_MAX, text);
	r->after = r->last = number;
	/* A context must see from the beginning what it learns from. */
	if (r->q.context && number >= raw_reader_cursor(r->reader))
		return 0;
	return raw_reader_seek(r->reader, number);
}

int raw_query_open(struct raw_ring *ring, const struct store_origin *origin, const void *known, size_t known_len,
		   const struct store_query_spec *spec, struct store_query **ret_query)
{
	static const struct store_query_ops ops = { raw_query_next, raw_query_cursor, raw_query_free };
	struct raw_query *r = calloc(1, sizeof(*r));
	struct raw_ring_metrics metrics;
	int error;

	if (!r)
		return err_new(-ENOMEM, "no memory for a query");
	r->known = known;
	r->known_left = known_len;
	error = query_init(&r->q, &ops, spec);
	if (error == 0)
		error = query_begin(&r->q, origin);
	if (error == 0)
		error = raw_reader_open(ring, "query", RAW_FROM_OLDEST, &r->reader);
	if (error == 0) {
		r->last = raw_reader_cursor(r->reader);
		raw_ring_metrics(ring, &metrics);
		r->end = metrics.puts;
	}
	if (error == 0 && spec->cursor && spec->cursor[0])
		error = go_to_cursor(r, spec->cursor);
	if (error < 0) {
		raw_query_free(&r->q);
		return error;
	}
	*ret_query = &r->q;
	return 0;
}
