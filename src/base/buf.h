/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buf - a growing byte buffer that is born with its limit.
 *
 * Appending past the limit, or when memory has run out, sets `failed` and drops the
 * rest: a writer may append without looking and ask once at the end. The bytes are
 * always NUL-terminated, so they can be printed.
 */
#pragma once
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct buf {
	char *data;
	size_t len, cap, max;
	bool failed;
};

void buf_init(struct buf *b, size_t max);
void buf_free(struct buf *b);
/* Makes room for n more bytes (and the NUL); false sets `failed`. */
bool buf_reserve_slow(struct buf *b, size_t n);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
void buf_u64(struct buf *b, unsigned long long v);
void buf_i64(struct buf *b, long long v);

static inline bool buf_reserve(struct buf *b, size_t n)
{
	return (n < b->cap - b->len && !b->failed) || buf_reserve_slow(b, n);
}

static inline void buf_add(struct buf *b, const void *p, size_t n)
{
	if (!buf_reserve(b, n))
		return;
	memcpy(b->data + b->len, p, n);
	b->len += n;
	b->data[b->len] = 0;
}

static inline void buf_str(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

static inline void buf_char(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

static inline void buf_clear(struct buf *b)
{
	b->len = 0;
	b->failed = false;
	if (b->data)
		b->data[0] = 0;
}

/* What was written so far, never NULL. */
static inline const char *buf_text(const struct buf *b)
{
	return b->data ? b->data : "";
}
#define auto_buf __attribute__((cleanup(buf_free)))
