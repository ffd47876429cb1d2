/* SPDX-License-Identifier: Apache-2.0 */
#include "event/json_event.h"
#include <stdlib.h>
#include "base/err.h"
#include "event/internal.h"

enum { LEAVES_FIRST = 64, INSERTION_MAX = 48 };

/* A value that was found, before values of one name have been brought together. */
struct json_leaf {
	struct value value;
	bool in_array;
	bool is_item; /* false: says only that there is an array */
};

/* Where the walk through a document is. */
struct walk {
	struct json_event *je;
	size_t len; /* of the path */
	bool too_long;
	char path[FIELD_NAME_MAX];
};

void json_event_init(struct json_event *je, bool known_only)
{
	const struct json_limits limits = { EVENT_JSON_MAX, JSON_EVENT_NODES_MAX, JSON_EVENT_DEPTH_MAX };

	*je = (struct json_event) { .known_only = known_only };
	json_init(&je->doc, &limits);
}

void json_event_free(struct json_event *je)
{
	json_free(&je->doc);
	free(je->fields);
	free(je->keys);
	free(je->keys_room);
	free(je->leaves);
	free(je->items);
	free(je->hints);
	json_event_init(je, je->known_only);
}

static bool grow(void **array, size_t n, size_t size)
{
	void *p = realloc(*array, n * size);

	if (p)
		*array = p;
	return p != NULL;
}

/* There are never more leaves than nodes, so the limit of the document bounds them too. */
static int make_room(struct json_event *je)
{
	size_t cap = je->cap ? je->cap : LEAVES_FIRST;

	while (cap < je->doc.n)
		cap *= 2;
	if (cap == je->cap)
		return 0;
	if (!grow((void **)&je->fields, cap, sizeof(*je->fields)) ||
	    !grow((void **)&je->keys, cap, sizeof(*je->keys)) ||
	    !grow((void **)&je->keys_room, cap, sizeof(*je->keys_room)) ||
	    !grow((void **)&je->leaves, cap, sizeof(*je->leaves)) ||
	    !grow((void **)&je->items, cap, sizeof(*je->items)) || !grow((void **)&je->hints, cap, sizeof(*je->hints)))
		return err_new(-ENOMEM, "out of memory");
	memset(je->hints + je->cap, 0, (cap - je->cap) * sizeof(*je->hints));
	je->cap = cap;
	return 0;
}

/* ---- finding the values ------------------------------------------------------------------ */

static struct value value_of(const struct json_node *v)
{
	switch (v->type) {
	case JSON_BOOL:
		return (struct value) { .type = VALUE_BOOL, .b = v->b };
	case JSON_INT:
		return (struct value) { .type = VALUE_INT, .i = v->i };
	case JSON_UINT:
		return (struct value) { .type = VALUE_UINT, .u = v->u };
	case JSON_DOUBLE:
		return (struct value) { .type = VALUE_FLOAT, .f = v->d };
	case JSON_STRING:
		return (struct value) { .type = VALUE_STR, .s = { v->s, v->len } };
	default:
		return (struct value) { .type = VALUE_NULL };
	}
}

static field_id id_of_path(const struct walk *w)
{
	struct json_event *je = w->je;
	field_id *hint = &je->hints[je->n_lookups++];
	const struct field_path *path = field_path(*hint);

	if (w->too_long)
		return FIELD_NONE;
	if (!path || path->len != w->len || memcmp(path->name, w->path, w->len) != 0)
		*hint = je->known_only ? field_find(w->path, w->len) : field_intern_foreign(w->path, w->len);
	return *hint;
}

static void add_leaf(struct json_event *je, field_id id, const struct json_node *v, bool in_array)
{
	if (!id) {
		je->unnamed++;
		return;
	}
	je->leaves[je->n_leaves] = (struct json_leaf) {
		.value = value_of(v),
		.in_array = in_array,
		.is_item = !in_array || !(v->type == JSON_NULL || json_is_container(v)),
	};
	/* The order in which they were found breaks ties, so lists keep theirs. */
	je->keys[je->n_leaves] = (uint64_t)id << 32 | je->n_leaves;
	je->n_leaves++;
}

static void walk_object(struct walk *w, const struct json_node *object, bool in_array, bool is_root);

/* The path is looked up when the first value needs it: arrays of objects have none of their own. */
static void walk_array(struct walk *w, const struct json_node *array, field_id *id)
{
	const struct json_node *item, *name;

	if (!array->len) {
		*id = *id ? *id : id_of_path(w);
		add_leaf(w->je, *id, array, true);
	}
	for (item = json_first(array, &name); item; item = json_next(array, item, &name)) {
		if (item->type == JSON_OBJECT) {
			walk_object(w, item, true, false);
		} else if (item->type == JSON_ARRAY) {
			walk_array(w, item, id);
		} else {
			*id = *id ? *id : id_of_path(w);
			add_leaf(w->je, *id, item, true);
		}
	}
}

/* False: the path with this name is longer than any field's. */
static bool path_enter(struct walk *w, const struct json_node *name, bool is_first)
{
	size_t need = name->len + !is_first;

	if (w->too_long || need > sizeof(w->path) - w->len)
		return false;
	if (!is_first)
		w->path[w->len++] = '.';
	memcpy(w->path + w->len, name->s, name->len);
	w->len += name->len;
	return true;
}

static void walk_object(struct walk *w, const struct json_node *object, bool in_array, bool is_root)
{
	const struct json_node *v, *name;

	for (v = json_first(object, &name); v; v = json_next(object, v, &name)) {
		size_t len = w->len;
		bool was_too_long = w->too_long;
		field_id id = FIELD_NONE;

		w->too_long |= !path_enter(w, name, is_root);
		if (v->type == JSON_OBJECT)
			walk_object(w, v, in_array, false);
		else if (v->type == JSON_ARRAY)
			walk_array(w, v, &id);
		else
			add_leaf(w->je, id_of_path(w), v, in_array);
		w->len = len;
		w->too_long = was_too_long;
	}
}

/* ---- bringing them in order ---------------------------------------------------------------- */

static void sort_by_insertion(uint64_t *keys, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		uint64_t key = keys[i];
		size_t at = i;

		for (; at && keys[at - 1] > key; at--)
			keys[at] = keys[at - 1];
		keys[at] = key;
	}
}

/* Merging, because its time has a bound whatever a stranger's order is. Returns where the result stands. */
static uint64_t *sort_by_merging(uint64_t *from, uint64_t *to, size_t n)
{
	for (size_t at = 0; at < n; at += INSERTION_MAX)
		sort_by_insertion(from + at, n - at < INSERTION_MAX ? n - at : INSERTION_MAX);
	for (size_t run = INSERTION_MAX; run < n; run *= 2) {
		uint64_t *swap = from;

		for (size_t at = 0; at < n; at += 2 * run) {
			size_t a = at, a_end = at + run < n ? at + run : n;
			size_t b = a_end, b_end = a_end + run < n ? a_end + run : n;

			for (size_t k = at; k < b_end; k++)
				to[k] = a == a_end || (b < b_end && from[b] < from[a]) ? from[b++] : from[a++];
		}
		from = to;
		to = swap;
	}
	return from;
}

static void group(struct json_event *je, const uint64_t *keys)
{
	size_t n_items = 0;

	for (size_t i = 0; i < je->n_leaves;) {
		struct json_field *f = &je->fields[je->n_fields++];
		size_t first = n_items;
		bool is_list = false;

		f->id = (field_id)(keys[i] >> 32);
		for (; i < je->n_leaves && keys[i] >> 32 == f->id; i++) {
			const struct json_leaf *leaf = &je->leaves[(uint32_t)keys[i]];

			is_list |= leaf->in_array;
			if (leaf->is_item)
				je->items[n_items++] = leaf->value;
		}
		if (is_list || n_items - first > 1)
			f->value =
				(struct value) { .type = VALUE_LIST, .list = { je->items + first, n_items - first } };
		else
			f->value = je->items[first];
	}
}

int json_event_parse(struct json_event *je, const char *line, size_t n)
{
	struct walk w = { .je = je };
	const struct json_node *root;
	int r;

	je->n_fields = je->n_leaves = je->n_lookups = je->unnamed = 0;
	r = json_parse(&je->doc, line, n, &root);
	if (r < 0)
		return r;
	if (root->type != JSON_OBJECT)
		return err_new(-EINVAL, "an event is a JSON object, and this is another value");
	r = make_room(je);
	if (r < 0)
		return r;
	walk_object(&w, root, false, true);
	group(je, sort_by_merging(je->keys, je->keys_room, je->n_leaves));
	return 0;
}

/* ---- answering -------------------------------------------------------------------------------- */

const struct value *json_event_find(const struct json_event *je, field_id id)
{
	size_t low = 0, high = je->n_fields;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (je->fields[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < je->n_fields && je->fields[low].id == id ? &je->fields[low].value : NULL;
}

static bool lens_get(const void *subject, field_id id, struct value *ret_value)
{
	const struct value *v = json_event_find(subject, id);

	if (v)
		*ret_value = *v;
	return v != NULL;
}

static void lens_each(const void *subject, void (*fn)(void *ctx, field_id id, const struct value *v), void *ctx)
{
	const struct json_event *je = subject;

	for (size_t i = 0; i < je->n_fields; i++)
		fn(ctx, je->fields[i].id, &je->fields[i].value);
}

const struct event_lens json_event_lens = { .get = lens_get, .each = lens_each };
