/* SPDX-License-Identifier: Apache-2.0 */
#include "api/http1.h"
#include <string.h>
#include "base/buf.h"
#include "base/test.h"

/* The status with which a head is refused, 0: it is taken, 1: it is not there yet. */
static unsigned judge(const char *text, struct http1_head *head, char *copy, size_t size)
{
	const char *why = NULL;
	size_t scanned = 0, n = strlen(text);
	ssize_t end = http1_find_end(text, n, &scanned);

	if (end <= 0)
		return end ? (unsigned)-end : 1;
	if ((size_t)end >= size)
		return 999;
	memcpy(copy, text, (size_t)end);
	return http1_parse(copy, (size_t)end, head, &why);
}

TEST(what_two_parsers_could_read_in_two_ways_is_refused)
{
#define H "GET / HTTP/1.1\r\nHost: a\r\n"
	static const struct {
		const char *name, *text;
		unsigned want;
	} rows[] = {
		{ "plain", H "\r\n", 0 },
		{ "not whole", H, 1 },
		{ "length", H "Content-Length: 5\r\n\r\n", 0 },
		{ "chunked", H "Transfer-Encoding: chunked\r\n\r\n", 0 },
		{ "chunked in capitals", H "TRANSFER-ENCODING: Chunked\r\n\r\n", 0 },
		{ "both", H "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
		{ "both, the other way round", H "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 400 },
		{ "two lengths", H "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400 },
		{ "the same length twice", H "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400 },
		{ "a list of lengths", H "Content-Length: 5, 5\r\n\r\n", 400 },
		{ "a length with a sign", H "Content-Length: +5\r\n\r\n", 400 },
		{ "a negative length", H "Content-Length: -5\r\n\r\n", 400 },
		{ "a length in hex", H "Content-Length: 0x5\r\n\r\n", 400 },
		{ "an empty length", H "Content-Length: \r\n\r\n", 400 },
		{ "a length beyond 64 bits", H "Content-Length: 99999999999999999999\r\n\r\n", 400 },
		{ "two codings", H "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n", 400 },
		{ "a list of codings", H "Transfer-Encoding: gzip, chunked\r\n\r\n", 501 },
		{ "a coding in disguise", H "Transfer-Encoding: xchunked\r\n\r\n", 501 },
		{ "a coding with a tab", H "Transfer-Encoding:\tchunked\r\n\r\n", 0 },
		{ "a coding with a vertical tab", H "Transfer-Encoding: \vchunked\r\n\r\n", 400 },
		{ "a blank before the colon", H "Transfer-Encoding : chunked\r\n\r\n", 400 },
		{ "a line that goes on", H "X: a\r\n b\r\n\r\n", 400 },
		{ "a first header that goes on", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400 },
		{ "a bare LF", "GET / HTTP/1.1\nHost: a\n\n", 400 },
		{ "a bare LF at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n", 400 },
		{ "a bare CR in a value", H "X: a\rb\r\n\r\n", 400 },
		{ "a bare CR in the first line", "GET / HTTP/1.1\rX: y\r\n\r\n", 400 },
		{ "a name of nothing", H ": a\r\n\r\n", 400 },
		{ "no colon", H "abc\r\n\r\n", 400 },
		{ "a control in a value", H "X: a\x01\r\n\r\n", 400 },
		{ "a high byte in a name", H "X\xc3\xa4: a\r\n\r\n", 400 },
		{ "no Host", "GET / HTTP/1.1\r\n\r\n", 400 },
		{ "two Hosts", H "Host: b\r\n\r\n", 400 },
		{ "a Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400 },
		{ "a Host with an @", "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400 },
		{ "an old version without Host", "GET / HTTP/1.0\r\n\r\n", 0 },
		{ "an old version with chunks", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
		{ "a version of tomorrow", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505 },
		{ "HTTP/2 in the clothes of HTTP/1", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505 },
		{ "a version in small letters", "GET / http/1.1\r\nHost: a\r\n\r\n", 400 },
		{ "no version", "GET /\r\nHost: a\r\n\r\n", 400 },
		{ "two blanks", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
		{ "a blank at the end", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400 },
		{ "a tab between", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
		{ "a blank at the start", " GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
		{ "an empty line first", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
		{ "a high byte in the target", "GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
		{ "a method with a colon", "GE:T / HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	};
#undef H

	for_each_row (r, rows) {
		struct http1_head head;
		char copy[512];

		check_int(judge(r->text, &head, copy, sizeof(copy)), r->want);
	}
}

TEST(a_head_is_read_as_it_stands)
{
	struct http1_head head;
	char copy[512];

	check_int(judge("POST /a?b=c HTTP/1.1\r\nHOST: x:1\r\nX-Y:  z z \t\r\nContent-Length: 12\r\n"
			"Connection: Close\r\nExpect: 100-continue\r\n\r\nrest",
			&head, copy, sizeof(copy)),
		  0);
	check_str(head.method, "POST");
	check_str(head.target, "/a?b=c");
	check_str(head.host, "x:1");
	check_int(head.n_headers, 5);
	check_str(head.headers[1].name, "x-y");
	check_str(head.headers[1].value, "z z");
	check_int(head.length, 12);
	check(!head.keep_alive && head.expects_continue && !head.chunked);
}

TEST(chunks_are_read_in_any_portions)
{
	static const struct {
		const char *name, *text, *want; /* NULL: wrong */
	} rows[] = {
		{ "two", "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", "abcde" },
		{ "none", "0\r\n\r\n", "" },
		{ "hex", "A\r\n0123456789\r\n0\r\n\r\n", "0123456789" },
		{ "leading zeros", "00000001\r\nx\r\n0\r\n\r\n", "x" },
		{ "too many digits", "000000001\r\nx\r\n0\r\n\r\n", NULL },
		{ "no digits", "\r\nx\r\n", NULL },
		{ "an extension", "1;a=b\r\nx\r\n0\r\n\r\n", NULL },
		{ "a trailer", "1\r\nx\r\n0\r\nA: b\r\n\r\n", NULL },
		{ "a bare LF", "1\nx\r\n0\r\n\r\n", NULL },
		{ "data that is longer", "1\r\nxy\r\n0\r\n\r\n", NULL },
		{ "a blank", "1 \r\nx\r\n0\r\n\r\n", NULL },
		{ "a sign", "+1\r\nx\r\n0\r\n\r\n", NULL },
	};

	for_each_row (r, rows) {
		for (size_t step = 1; step <= 7; step++) {
			struct http1_chunks c = { 0 };
			enum http1_chunk e = HTTP1_CHUNK_MORE;
			auto_buf struct buf got = { .max = 64 };
			size_t n = strlen(r->text), at = 0;

			while (at < n && e != HTTP1_CHUNK_WRONG && e != HTTP1_CHUNK_END) {
				size_t part = n - at < step ? n - at : step, used = 0, n_data;
				const char *data;

				e = http1_chunk(&c, r->text + at, part, &used, &data, &n_data);
				if (e == HTTP1_CHUNK_DATA)
					buf_add(&got, data, n_data);
				at += used;
			}
			check_int(e, r->want ? HTTP1_CHUNK_END : HTTP1_CHUNK_WRONG);
			if (r->want)
				check_str(buf_text(&got), r->want);
		}
	}
}
