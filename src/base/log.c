/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include "base/clock.h"
#include "base/mem.h"
#include "base/utf8.h"

static _Atomic int level_now = LOG_LEVEL_INFO;
static FILE *_Atomic file_now; /* NULL: stderr */

static const char *const level_names[] = { "error", "warning", "notice", "info", "debug" };

void log_set_level(enum log_level level)
{
	atomic_store(&level_now, (int)level);
}

bool log_wants(enum log_level level)
{
	return (int)level <= atomic_load_explicit(&level_now, memory_order_relaxed);
}

bool log_level_parse(const char *name, enum log_level *ret_level)
{
	for (size_t i = 0; i < countof(level_names); i++)
		if (!strcmp(name, level_names[i])) {
			*ret_level = (enum log_level)i;
			return true;
		}
	return false;
}

void log_set_file(FILE *file)
{
	atomic_store(&file_now, file);
}

/* A line costs a second; the place may be LOG_BURST seconds ahead of the clock. */
static bool may_write(struct log_site *site)
{
	uint64_t now = clock_boot_ns(), full = atomic_load(&site->full_at_ns), next;

	do {
		next = (full > now ? full : now) + NS_PER_S;
		if (next > now + LOG_BURST * NS_PER_S)
			return false;
	} while (!atomic_compare_exchange_weak(&site->full_at_ns, &full, next));
	return true;
}

struct line {
	char text[LOG_LINE_MAX];
	size_t n;
};

static void put(struct line *l, const char *p, size_t n)
{
	/* One byte stays free for the newline. */
	if (n > sizeof(l->text) - 1 - l->n)
		n = sizeof(l->text) - 1 - l->n;
	memcpy(l->text + l->n, p, n);
	l->n += n;
}

static void put_safe(struct line *l, const char *p, size_t n)
{
	while (n) {
		size_t bad = 1, good = utf8_char(p, n, &bad);
		char hex[5];

		if (good > 1 || (good && (unsigned char)*p >= 0x20 && *p != 0x7f)) {
			put(l, p, good);
		} else {
			good = 1;
			(void)snprintf(hex, sizeof(hex), "\\x%02x", (unsigned char)*p);
			put(l, hex, 4);
		}
		p += good;
		n -= good;
	}
}

void log_write(struct log_site *site, enum log_level level, const char *event, const char *facts, ...)
{
	FILE *file = atomic_load(&file_now);
	char date[CLOCK_TEXT], text[LOG_LINE_MAX];
	uint64_t kept_back;
	struct line l = { .n = 0 };
	va_list ap;
	int n;

	if (!may_write(site)) {
		atomic_fetch_add(&site->kept_back, 1);
		return;
	}
	kept_back = atomic_exchange(&site->kept_back, 0);
	clock_format(clock_wall_ns(), date);
	put(&l, date, 23);
	put(&l, "Z ", 2);
	put(&l, level_names[level], strlen(level_names[level]));
	put(&l, " ", 1);
	put_safe(&l, event, strlen(event));
	va_start(ap, facts);
	n = vsnprintf(text, sizeof(text), facts, ap);
	va_end(ap);
	if (n > 0) {
		put(&l, " ", 1);
		put_safe(&l, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
	}
	if (kept_back) {
		n = snprintf(text, sizeof(text), " kept_back=%llu", (unsigned long long)kept_back);
		put(&l, text, (size_t)n);
	}
	l.text[l.n++] = '\n';
	file = file ? file : stderr;
	(void)fwrite(l.text, 1, l.n, file);
	(void)fflush(file);
}
