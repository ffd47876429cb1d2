/* SPDX-License-Identifier: Apache-2.0 */
/* ip - addresses as text. Bytes are in network order; IPv4 is kept mapped into IPv6 (::ffff:a.b.c.d) and written as
 * a.b.c.d. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { IP_TEXT = 40 };

static inline bool ip_is_v4(const uint8_t bytes[16])
{
	static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };

	return !__builtin_memcmp(bytes, prefix, sizeof(prefix));
}

/* Writes it as RFC 5952 does and returns the length; a NUL follows. */
size_t ip_format(const uint8_t bytes[16], char to[IP_TEXT]);
/* Reads either family. False: it is no address. */
bool ip_parse(const char *p, size_t n, uint8_t ret_bytes[16]);
