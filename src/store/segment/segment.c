/* SPDX-License-Identifier: Apache-2.0 */
#include "store/segment/segment.h"
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include "base/crc.h"
#include "base/err.h"

/* ---- the head of a file ------------------------------------------------------------------------ */

static __u32 table_sum(const struct event_kind *kind)
{
	__u32 sum = 0;

	for (size_t i = 0; i < kind->n_fields; i++) {
		const struct field *f = &kind->fields[i];
		__u32 part[5] = { sum, crc32c(f->name, strlen(f->name)), f->type, f->off, f->size };

		sum = crc32c(part, sizeof(part));
	}
	return sum;
}

static __u32 sum_of(const struct segment_head *head, const void *bytes)
{
	static const size_t from = offsetof(struct segment_head, size);

	return crc32c((const char *)bytes + from, head->size - from);
}

int segment_head_make(const struct store_origin *o, __u64 began_ns, struct buf *out)
{
	struct segment_head head = {
		.version = SEGMENT_VERSION,
		.size = sizeof(head),
		.wall_minus_boot_ns = o->wall_minus_boot_ns,
		.began_ns = began_ns,
	};
	const struct event_kind *kind;
	size_t at = out->len;

	memcpy(head.magic, SEGMENT_MAGIC, sizeof(head.magic));
	(void)snprintf(head.boot_id, sizeof(head.boot_id), "%s", o->boot_id);
	(void)snprintf(head.kernel, sizeof(head.kernel), "%s", o->kernel);
	(void)snprintf(head.host, sizeof(head.host), "%s", o->host);
	(void)snprintf(head.agent, sizeof(head.agent), "%s", o->agent);
	buf_add(out, &head, sizeof(head));
	for (; head.n_kinds < SEGMENT_KINDS_MAX && (kind = event_kind_at(head.n_kinds)); head.n_kinds++) {
		const struct segment_kind row = { kind->id, (__u16)kind->size, table_sum(kind) };

		buf_add(out, &row, sizeof(row));
		head.size += sizeof(row);
	}
	if (out->failed)
		return err_new(-ENOMEM, "no memory for the head of a segment");
	memcpy(out->data + at, &head, sizeof(head));
	head.sum = sum_of(&head, out->data + at);
	memcpy(out->data + at, &head, sizeof(head));
	return 0;
}

/* ---- reading ------------------------------------------------------------------------------------- */

static bool read_at(int fd, void *to, size_t n, __u64 at)
{
	size_t done = 0;

	while (done < n) {
		ssize_t r = pread(fd, (char *)to + done, n - done, (off_t)(at + done));

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return false;
		done += (size_t)r;
	}
	return true;
}

static void take_text(char *to, size_t size, const char *from, size_t n)
{
	(void)snprintf(to, size, "%.*s", (int)strnlen(from, n), from);
}

static int read_head(struct segment *s, const char *path)
{
	struct segment_head *h = &s->head;
	char *kinds;

	if (!read_at(s->fd, h, sizeof(*h), 0) || memcmp(h->magic, SEGMENT_MAGIC, sizeof(h->magic)) != 0)
		return err_new(-EBADMSG, "%s is no recording: it does not begin as one", path);
	if (h->version != SEGMENT_VERSION)
		return err_new(-EBADMSG, "%s has the format %u, and this shrike reads %d", path, h->version,
			       SEGMENT_VERSION);
	if (h->n_kinds > SEGMENT_KINDS_MAX || h->size != sizeof(*h) + h->n_kinds * sizeof(struct segment_kind) ||
	    !buf_reserve(&s->bytes_of, h->size))
		return err_new(-EBADMSG, "%s: its head is damaged", path);
	if (!read_at(s->fd, s->bytes_of.data, h->size, 0) || sum_of(h, s->bytes_of.data) != h->sum)
		return err_new(-EBADMSG, "%s: its head is damaged", path);
	kinds = s->bytes_of.data + sizeof(*h);
	for (size_t i = 0; i < h->n_kinds; i++) {
		struct segment_kind k;
		const struct event_kind *kind;

		memcpy(&k, kinds + i * sizeof(k), sizeof(k));
		kind = event_kind_of(k.id);
		s->other_kinds |= !kind || table_sum(kind) != k.table_sum;
	}
	s->origin.wall_minus_boot_ns = h->wall_minus_boot_ns;
	take_text(s->origin.boot_id, sizeof(s->origin.boot_id), h->boot_id, sizeof(h->boot_id));
	take_text(s->origin.kernel, sizeof(s->origin.kernel), h->kernel, sizeof(h->kernel));
	take_text(s->origin.host, sizeof(s->origin.host), h->host, sizeof(h->host));
	take_text(s->origin.agent, sizeof(s->origin.agent), h->agent, sizeof(h->agent));
	return 0;
}

int segment_open(const char *path, struct segment *s)
{
	struct stat st;
	int r;

	memset(s, 0, sizeof(*s));
	buf_init(&s->bytes_of, (size_t)2 * BLOCK_PART_MAX + (1 << 20));
	s->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (s->fd < 0)
		return err_sys(errno, "open %s", path);
	if (fstat(s->fd, &st) || !S_ISREG(st.st_mode))
		r = err_new(-EBADMSG, "%s is no recording: it is no file", path);
	else
		r = read_head(s, path);
	if (r < 0) {
		segment_close(s);
		return r;
	}
	s->bytes = (__u64)st.st_size;
	s->at = s->head.size;
	return 0;
}

void segment_close(struct segment *s)
{
	fd_closep(&s->fd);
	buf_free(&s->bytes_of);
}

int segment_next(struct segment *s)
{
	struct block_head *h = &s->block;
	__u64 left = s->bytes - s->at;

	if (s->torn_bytes || !left)
		return 0;
	if (left < sizeof(*h) || !read_at(s->fd, h, sizeof(*h), s->at) || !block_head_is_sound(h) ||
	    (__u64)h->heads_size + h->bodies_size > left - sizeof(*h)) {
		s->torn_bytes = left;
		return 0;
	}
	s->block_at = s->at;
	s->at += sizeof(*h) + h->heads_size + h->bodies_size;
	return 1;
}

/* The part of the block at an offset behind its head. */
static int read_part(struct segment *s, __u64 off, size_t n)
{
	if (!buf_reserve(&s->bytes_of, n))
		return err_new(-ENOMEM, "no memory for a block");
	if (!read_at(s->fd, s->bytes_of.data, n, s->block_at + sizeof(s->block) + off))
		return err_new(-EBADMSG, "a block cannot be read");
	return 0;
}

int segment_read_heads(struct segment *s, struct block *b)
{
	int r = read_part(s, 0, s->block.heads_size);

	return r < 0 ? r : block_read_heads(b, &s->block, s->bytes_of.data);
}

int segment_read_bodies(struct segment *s, struct block *b)
{
	int r = read_part(s, s->block.heads_size, s->block.bodies_size);

	return r < 0 ? r : block_read_bodies(b, s->bytes_of.data);
}

/* ---- folders ---------------------------------------------------------------------------------------- */

enum { NUMBER_DIGITS = 20 };

bool segment_number(const char *name, __u64 *ret_number)
{
	__u64 v = 0;

	for (int i = 0; i < NUMBER_DIGITS; i++) {
		if (name[i] < '0' || name[i] > '9' || v > UINT64_MAX / 10 - 1)
			return false;
		v = v * 10 + (__u64)(name[i] - '0');
	}
	if (strcmp(name + NUMBER_DIGITS, SEGMENT_SUFFIX) != 0)
		return false;
	*ret_number = v;
	return true;
}

void segment_name(__u64 number, char ret_name[SEGMENT_NAME_MAX])
{
	(void)snprintf(ret_name, SEGMENT_NAME_MAX, "%020" PRIu64 SEGMENT_SUFFIX, (uint64_t)number);
}

static int by_number(const void *a, const void *b)
{
	__u64 x = *(const __u64 *)a, y = *(const __u64 *)b;

	return x < y ? -1 : x > y;
}

int segment_list(int fd, __u64 **ret_numbers, size_t *ret_n)
{
	auto_free __u64 *numbers = malloc(STORE_SEGMENTS_MAX * sizeof(*numbers));
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_dir DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *e;
	size_t n = 0;

	if (!dir && copy >= 0)
		(void)close(copy);
	if (!dir)
		return err_sys(errno, "read the folder of a recording");
	if (!numbers)
		return err_new(-ENOMEM, "no memory for the segments of a folder");
	while ((e = readdir(dir))) {
		__u64 number;

		if (!segment_number(e->d_name, &number))
			continue;
		if (n == STORE_SEGMENTS_MAX)
			return err_new(-E2BIG, "more than %d segments in one folder", STORE_SEGMENTS_MAX);
		numbers[n++] = number;
	}
	qsort(numbers, n, sizeof(*numbers), by_number);
	*ret_numbers = take(numbers);
	*ret_n = n;
	return 0;
}
