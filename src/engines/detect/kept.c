/* SPDX-License-Identifier: Apache-2.0 */
#include "engines/detect/kept.h"
#include <errno.h>
#include <string.h>
#include "base/err.h"
#include "base/hash.h"

struct kept_cell {
	uint32_t refs, len;
	uint32_t rec_len; /* of a line that is one of our records: that stands before the line's text */
	cell bytes;
	bool is_record;
	const struct process *process;
	const struct context *ctx;
};
_Static_assert(sizeof(struct kept_cell) <= CELL_SIZE, "kept_cell");

int kept_open(struct kept *k, uint64_t bytes)
{
	buf_init(&k->text, EVENT_JSON_MAX + EV_LEN_MAX);
	return cells_open(&k->cells, bytes);
}

void kept_close(struct kept *k)
{
	cells_close(&k->cells);
	buf_free(&k->text);
}

static bool put_bytes(struct kept *k, struct kept_cell *c, const void *bytes, size_t n)
{
	if (cells_room(&k->cells) < chain_cells(n))
		return false;
	c->bytes = chain_write(&k->cells, bytes, n);
	c->len = (uint32_t)n;
	return true;
}

uint64_t kept_put(struct kept *k, const struct event *ev)
{
	const struct context_view *view = context_view_of(ev);
	cell at = cells_take(&k->cells);
	struct kept_cell *c;
	bool ok;

	if (!at)
		return 0;
	c = cell_at(&k->cells, at);
	*c = (struct kept_cell) { .refs = 1 };
	if (view) {
		c->is_record = true;
		c->ctx = view->ctx;
		ok = put_bytes(k, c, ev->rec, ev->rec->len);
		if (ok)
			c->process = process_ref(view->process);
	} else {
		buf_clear(&k->text);
		if (ev->rec) {
			c->rec_len = ev->rec->len;
			buf_add(&k->text, ev->rec, ev->rec->len);
		}
		event_to_json(ev, &k->text);
		ok = !k->text.failed && put_bytes(k, c, k->text.data, k->text.len);
	}
	if (ok)
		return at;
	cells_give(&k->cells, at);
	return 0;
}

void kept_share(struct kept *k, uint64_t handle)
{
	((struct kept_cell *)cell_at(&k->cells, (cell)handle))->refs++;
}

void kept_drop(struct kept *k, uint64_t handle)
{
	struct kept_cell *c = cell_at(&k->cells, (cell)handle);

	if (--c->refs)
		return;
	process_unref(c->process);
	chain_give(&k->cells, c->bytes);
	cells_give(&k->cells, (cell)handle);
}

uint64_t kept_hash(const struct kept *k, uint64_t handle, uint64_t seed)
{
	const struct kept_cell *c = cell_at(&k->cells, (cell)handle);
	unsigned char part[1024];
	uint64_t h = seed;
	uint32_t left = c->len;

	/* Whole cells at a time, so that the parts are the same whatever the length. */
	for (cell at = c->bytes; left;) {
		uint32_t n = 0;

		for (; at && left && n + CHAIN_BYTES <= sizeof(part); at = chain_next(&k->cells, at)) {
			uint32_t take_n = left < CHAIN_BYTES ? left : CHAIN_BYTES;

			chain_read(&k->cells, at, part + n, take_n);
			n += take_n;
			left -= take_n;
		}
		h = hash_bytes(part, n, h);
	}
	return h;
}

int kept_room_new(struct kept_room **ret_room)
{
	struct kept_room *room = calloc(1, sizeof(*room));

	if (!room)
		return err_new(-ENOMEM, "no memory for an event");
	buf_init(&room->text, EVENT_JSON_MAX + EV_LEN_MAX);
	json_event_init(&room->json, false);
	*ret_room = room;
	return 0;
}

void kept_room_free(struct kept_room *room)
{
	if (!room)
		return;
	buf_free(&room->text);
	json_event_free(&room->json);
	free(room);
}

bool kept_get(const struct kept *k, uint64_t handle, struct kept_room *room, struct event *ret_event)
{
	const struct kept_cell *c = cell_at(&k->cells, (cell)handle);
	const struct ev_head *rec = (const struct ev_head *)room->rec;

	if (c->is_record) {
		chain_read(&k->cells, c->bytes, room->rec, c->len);
		*ret_event = context_event_of(c->ctx, c->process, rec, event_kind_of(rec->id), &room->view);
		return true;
	}
	buf_clear(&room->text);
	if (!buf_reserve(&room->text, c->len))
		return false;
	chain_read(&k->cells, c->bytes, room->text.data, c->len);
	if (json_event_parse(&room->json, room->text.data + c->rec_len, c->len - c->rec_len) < 0)
		return false;
	*ret_event = json_event_as_event(&room->json);
	if (c->rec_len) {
		/* What it is known by: without it an alert's id would be another than that of the same events recorded.
		 */
		memcpy(room->rec, room->text.data, c->rec_len);
		ret_event->rec = rec;
		ret_event->kind = event_kind_of(rec->id);
	}
	return true;
}
