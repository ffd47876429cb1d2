/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http1 - reads requests of HTTP/1.0 and 1.1 (RFC 9112), strictly.
 *
 * Whatever two parsers could read in two ways is refused, since that is what request smuggling is made of: a line that
 * ends with a bare LF, blanks before a colon or at the start of a line, several Content-Length or Host, a length
 * beside Transfer-Encoding, any coding but "chunked", chunk extensions, trailers.
 *
 * Nothing is copied: names and values are ended with NULs where they stand in the caller's bytes.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "api/http.h"

struct http1_head {
	char *method, *target; /* the target as sent: "/path?query", "http://host/path", "*" */
	char *host;            /* NULL where there is none (HTTP/1.0) */
	enum http_version version;
	struct http_header headers[HTTP_HEADERS_MAX]; /* names in lower case, Host too */
	size_t n_headers;
	uint64_t length; /* of the body */
	bool chunked, keep_alive, expects_continue;
};

enum { HTTP1_MORE = 0 };

/*
 * Where the head of a request ends: bytes up to and with the empty line; HTTP1_MORE when it is not there yet; a
 * negative HTTP status when it never will be. *scanned (0 at first) remembers how far it has looked.
 */
ssize_t http1_find_end(const char *bytes, size_t n, size_t *scanned);
/* Reads a head of n bytes, as found; changes them. 0, or the HTTP status to refuse with, and why. */
unsigned http1_parse(char *bytes, size_t n, struct http1_head *ret_head, const char **ret_why);

/* The chunks of a body. */
struct http1_chunks {
	uint64_t left; /* bytes of the chunk that are still to come */
	uint64_t size; /* being read */
	uint8_t state, digits;
};

enum http1_chunk {
	HTTP1_CHUNK_MORE,  /* all bytes are used up */
	HTTP1_CHUNK_DATA,  /* *ret_data of *ret_n bytes were found */
	HTTP1_CHUNK_END,   /* the last one */
	HTTP1_CHUNK_WRONG, /* malformed */
};

/* Reads on; *ret_used is how many bytes were used. Call again until it wants more. */
enum http1_chunk http1_chunk(struct http1_chunks *c, const char *bytes, size_t n, size_t *ret_used,
			     const char **ret_data, size_t *ret_n);
/* Lower-case list item, as in "Connection: keep-alive, Upgrade". */
bool http1_has_token(const char *list, const char *token);
