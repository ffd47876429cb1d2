/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/json.h"
#include "base/json_scan.h"
#include "base/utf8.h"

static char *put_escape(char *to, unsigned char c)
{
	static const char shorts[] = {
		['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r', ['"'] = '"', ['\\'] = '\\'
	};
	static const char hex[] = "0123456789abcdef";

	*to++ = '\\';
	if (c < sizeof(shorts) && shorts[c]) {
		*to++ = shorts[c];
		return to;
	}
	memcpy(to, "u00", 3);
	to[3] = hex[c >> 4];
	to[4] = hex[c & 15];
	return to + 5;
}

bool json_write_str(struct buf *b, const char *p, size_t n)
{
	const char *end = p + n;
	bool clean = true;
	char *to;

	/* The worst that a byte can become is six; words are stored whole, past the end of the text. */
	if (!buf_reserve(b, 6 * n + 2 + sizeof(uint64_t)))
		return true;
	to = b->data + b->len;
	*to++ = '"';
	while (p < end) {
		unsigned char c;
		size_t len, bad;

		p = json_copy_plain(p, end, &to);
		if (p == end)
			break;
		c = (unsigned char)*p;
		if (c < 0x80) {
			to = put_escape(to, c);
			p++;
			continue;
		}
		len = utf8_char(p, (size_t)(end - p), &bad);
		if (!len) {
			clean = false;
			memcpy(to, UTF8_REPLACEMENT, 3);
			to += 3;
			p += bad;
			continue;
		}
		memcpy(to, p, len);
		to += len;
		p += len;
	}
	*to++ = '"';
	*to = 0;
	b->len = (size_t)(to - b->data);
	return clean;
}

void json_write_double(struct buf *b, double v)
{
	char text[40];

	if (!isfinite(v)) {
		buf_str(b, "null");
		return;
	}
	for (int digits = 15; digits <= 17; digits++) {
		(void)snprintf(text, sizeof(text), "%.*g", digits, v);
		if (strtod(text, NULL) == v)
			break;
	}
	/* A program that set a locale may write a comma. */
	for (char *c = text; *c; c++)
		if (*c == ',')
			*c = '.';
	buf_str(b, text);
	if (!strpbrk(text, ".e"))
		buf_str(b, ".0");
}
