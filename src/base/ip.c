/* SPDX-License-Identifier: Apache-2.0 */
#include "base/ip.h"
#include <arpa/inet.h>
#include <string.h>

static char *put_decimal(char *to, unsigned v)
{
	if (v >= 100)
		*to++ = (char)('0' + v / 100);
	if (v >= 10)
		*to++ = (char)('0' + v / 10 % 10);
	*to++ = (char)('0' + v % 10);
	return to;
}

static char *put_hex(char *to, unsigned v)
{
	for (int shift = v > 0xfff ? 12 : v > 0xff ? 8 : v > 0xf ? 4 : 0; shift >= 0; shift -= 4)
		*to++ = "0123456789abcdef"[v >> shift & 15];
	return to;
}

static unsigned group(const uint8_t *bytes, int i)
{
	return (unsigned)bytes[2 * i] << 8 | bytes[2 * i + 1];
}

/* The first of the longest runs of two zero groups or more; {-1, 0} when there is none. */
static void longest_zeros(const uint8_t *bytes, int *ret_at, int *ret_n)
{
	*ret_at = -1;
	*ret_n = 1;
	for (int i = 0, n = 0; i < 8; i++) {
		n = group(bytes, i) ? 0 : n + 1;
		if (n > *ret_n) {
			*ret_n = n;
			*ret_at = i - n + 1;
		}
	}
}

size_t ip_format(const uint8_t bytes[16], char to[IP_TEXT])
{
	int zeros_at, zeros_n;
	char *p = to;

	if (ip_is_v4(bytes)) {
		for (int i = 12; i < 16; i++) {
			if (i > 12)
				*p++ = '.';
			p = put_decimal(p, bytes[i]);
		}
		*p = 0;
		return (size_t)(p - to);
	}
	longest_zeros(bytes, &zeros_at, &zeros_n);
	for (int i = 0; i < 8; i++) {
		if (i == zeros_at) {
			*p++ = ':';
			*p++ = ':';
			i += zeros_n - 1;
			continue;
		}
		if (i && p[-1] != ':')
			*p++ = ':';
		p = put_hex(p, group(bytes, i));
	}
	*p = 0;
	return (size_t)(p - to);
}

bool ip_parse(const char *p, size_t n, uint8_t ret_bytes[16])
{
	char text[INET6_ADDRSTRLEN + 1];

	if (!n || n >= sizeof(text) || memchr(p, 0, n))
		return false;
	memcpy(text, p, n);
	text[n] = 0;
	if (strchr(text, ':'))
		return inet_pton(AF_INET6, text, ret_bytes) == 1;
	memset(ret_bytes, 0, 10);
	ret_bytes[10] = ret_bytes[11] = 0xff;
	return inet_pton(AF_INET, text, ret_bytes + 12) == 1;
}
