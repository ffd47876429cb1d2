/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { TRAIL_FRAMES = 16, FRAME_MAX = 1024 };

static _Thread_local struct {
	size_t count;
	char text[TRAIL_FRAMES][FRAME_MAX];
	const char *where[TRAIL_FRAMES];
	char line[FRAME_MAX * 2];
} trail;

static void add(const char *where, const char *fmt, va_list ap)
{
	/* The innermost frames say most, so the outer ones are dropped when there is no room. */
	if (trail.count == TRAIL_FRAMES)
		return;
	(void)vsnprintf(trail.text[trail.count], FRAME_MAX, fmt, ap);
	trail.where[trail.count++] = where;
}

void err_start(const char *where, const char *fmt, ...)
{
	va_list ap;

	err_clear();
	va_start(ap, fmt);
	add(where, fmt, ap);
	va_end(ap);
}

void err_add(const char *where, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(where, fmt, ap);
	va_end(ap);
}

const char *err_trail(void)
{
	size_t used = 0;

	trail.line[0] = 0;
	for (size_t i = trail.count; i-- > 0;) {
		int n = snprintf(trail.line + used, sizeof(trail.line) - used, "%s%s", trail.text[i], i ? ": " : "");

		if (n < 0 || used + (size_t)n >= sizeof(trail.line))
			break;
		used += (size_t)n;
	}
	return trail.line;
}

void err_print(FILE *out)
{
	(void)fprintf(out, "shrike: %s\n", err_trail());
	if (getenv("SHRIKE_TRACE"))
		for (size_t i = trail.count; i-- > 0;)
			(void)fprintf(out, "    at %s: %s\n", trail.where[i], trail.text[i]);
}

void err_clear(void)
{
	trail.count = 0;
}
