/* SPDX-License-Identifier: Apache-2.0 */
/*
 * field - the registry of field names.
 *
 * Tables of fixed size whose entries are written once and published with release order, so
 * readers need no lock and never see half a name. Their pages cost nothing until used.
 */
#include <pthread.h>
#include <stdlib.h>
#include "base/hash.h"
#include "base/mem.h"
#include "event/event.h"
#include "event/internal.h"

enum { SLOTS = 2 * FIELD_MAX };

static struct {
	const struct field_path *_Atomic paths[FIELD_MAX];
	_Atomic field_id slots[SLOTS]; /* open addressing; FIELD_NONE: free */
	_Atomic field_id n;            /* ids given out, FIELD_NONE among them */
	pthread_mutex_t writing;
} names = { .n = 1, .writing = PTHREAD_MUTEX_INITIALIZER };

static size_t slot_of(const char *name, size_t n)
{
	return hash_bytes(name, n, hash_seed()) % SLOTS;
}

static bool path_is(const struct field_path *path, const char *name, size_t n)
{
	return path->len == n && !memcmp(path->name, name, n);
}

/* The id, or the slot where the name belongs. There is always a free slot: half of them stay so. */
static field_id find(const char *name, size_t n, size_t *ret_slot)
{
	size_t i = slot_of(name, n);
	field_id id;

	for (; (id = atomic_load_explicit(&names.slots[i], memory_order_acquire)); i = (i + 1) % SLOTS)
		if (path_is(field_path(id), name, n))
			return id;
	if (ret_slot)
		*ret_slot = i;
	return FIELD_NONE;
}

field_id field_find(const char *name, size_t n)
{
	return n && n <= FIELD_NAME_MAX ? find(name, n, NULL) : FIELD_NONE;
}

static bool is_name(const char *name, size_t n)
{
	size_t segments = 1;

	if (!n || n > FIELD_NAME_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!name[i])
			return false;
		segments += name[i] == '.';
	}
	return segments <= FIELD_DEPTH_MAX && utf8_is_valid(name, n);
}

static void nest(struct field_path *path, struct buf *text)
{
	const char *p = path->name, *end = p + path->len;

	for (;;) {
		const char *dot = memchr(p, '.', (size_t)(end - p)), *stop = dot ? dot : end;

		path->at[path->depth++] = (__u16)text->len;
		json_write_str(text, p, (size_t)(stop - p));
		buf_str(text, dot ? ":{" : ":");
		if (!dot)
			break;
		p = dot + 1;
	}
	path->text_len = (__u16)text->len;
}

/* One allocation a name, kept for good: the struct, the name and its nested text. */
static struct field_path *path_new(const char *name, size_t n)
{
	struct field_path measure = { .name = name, .len = (__u16)n }, *path;
	auto_buf struct buf text;

	buf_init(&text, 8 * FIELD_NAME_MAX);
	nest(&measure, &text);
	if (text.failed)
		return NULL;
	path = malloc(sizeof(*path) + n + 1 + text.len + 1);
	if (!path)
		return NULL;
	*path = measure;
	path->name = memcpy(path + 1, name, n);
	((char *)(path + 1))[n] = 0;
	path->text = memcpy((char *)(path + 1) + n + 1, text.data, text.len + 1);
	return path;
}

static field_id add(const char *name, size_t n, field_id max)
{
	struct field_path *path;
	field_id id;
	size_t slot;

	id = find(name, n, &slot);
	if (id)
		return id;
	id = atomic_load_explicit(&names.n, memory_order_relaxed);
	if (id >= max || !(path = path_new(name, n)))
		return FIELD_NONE;
	atomic_store_explicit(&names.paths[id], path, memory_order_release);
	atomic_store_explicit(&names.slots[slot], id, memory_order_release);
	atomic_store_explicit(&names.n, id + 1, memory_order_release);
	return id;
}

static field_id intern(const char *name, size_t n, field_id max)
{
	field_id id = field_find(name, n);

	if (id || !is_name(name, n))
		return id;
	(void)pthread_mutex_lock(&names.writing);
	id = add(name, n, max);
	(void)pthread_mutex_unlock(&names.writing);
	return id;
}

field_id field_intern(const char *name, size_t n)
{
	return intern(name, n, FIELD_MAX);
}

field_id field_intern_foreign(const char *name, size_t n)
{
	return intern(name, n, FIELD_FOREIGN_MAX);
}

size_t field_count(void)
{
	return atomic_load_explicit(&names.n, memory_order_acquire);
}

const struct field_path *field_path(field_id id)
{
	return id < FIELD_MAX ? atomic_load_explicit(&names.paths[id], memory_order_acquire) : NULL;
}

const char *field_name(field_id id)
{
	const struct field_path *path = field_path(id);

	return path ? path->name : NULL;
}

/* Where two paths part, in segments. */
unsigned field_path_common(const struct field_path *a, const struct field_path *b)
{
	size_t n = a->len < b->len ? a->len : b->len;
	unsigned whole = 0;

	for (size_t i = 0; i < n; i++) {
		if (a->name[i] != b->name[i])
			return whole;
		whole += a->name[i] == '.';
	}
	/* One has ended: its last segment is common when the other's ends here too. */
	return whole + ((a->len == n || a->name[n] == '.') && (b->len == n || b->name[n] == '.'));
}

static bool is_ours(const struct field_path *path)
{
	return !memcmp(path->name, "shrike", 6) && (path->len == 6 || path->name[6] == '.');
}

int field_path_compare(const struct field_path *a, const struct field_path *b)
{
	size_t n = a->len < b->len ? a->len : b->len;
	bool ours_a = a->len >= 6 && is_ours(a), ours_b = b->len >= 6 && is_ours(b);

	if (ours_a != ours_b)
		return ours_a - ours_b;
	for (size_t i = 0; i < n; i++) {
		unsigned char x = (unsigned char)a->name[i], y = (unsigned char)b->name[i];

		if (x != y)
			return x == '.' ? -1 : y == '.' ? 1 : x < y ? -1 : 1;
	}
	return (a->len > b->len) - (a->len < b->len);
}
