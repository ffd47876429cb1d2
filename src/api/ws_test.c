/* SPDX-License-Identifier: Apache-2.0 */
#include "api/ws.h"
#include <string.h>
#include "base/mem.h"
#include "base/test.h"

#define MASK "\0\0\0\0"

TEST(frames_are_read_or_refused_with_a_code)
{
	static const struct {
		const char *name, *bytes;
		size_t n;
		enum ws_event want;
		unsigned code;
	} rows[] = {
#define ROW(label, b, e, c) { label, b, sizeof(b) - 1, e, c }
		ROW("text", "\x81\x82" MASK "hi", WS_TEXT, 0),
		ROW("binary", "\x82\x82" MASK "\xff\xfe", WS_BINARY, 0),
		ROW("nothing in it", "\x81\x80" MASK, WS_TEXT, 0),
		ROW("two parts", "\x01\x81" MASK "h\x80\x81" MASK "i", WS_TEXT, 0),
		ROW("a ping", "\x89\x80" MASK, WS_PING, 0),
		ROW("a close", "\x88\x82" MASK "\x03\xe8", WS_CLOSE, 0),
		ROW("a close that says nothing", "\x88\x80" MASK, WS_CLOSE, 0),
		ROW("not whole", "\x81\x82" MASK "h", WS_MORE, 0),
		ROW("not masked", "\x81\x02hi", WS_WRONG, 1002),
		ROW("reserved bit", "\xc1\x82" MASK "hi", WS_WRONG, 1002),
		ROW("unknown opcode", "\x83\x80" MASK, WS_WRONG, 1002),
		ROW("unknown control", "\x8b\x80" MASK, WS_WRONG, 1002),
		ROW("a ping in parts", "\x09\x80" MASK, WS_WRONG, 1002),
		ROW("a long ping", "\x89\xfe\x00\x7e" MASK, WS_WRONG, 1002),
		ROW("goes on with nothing", "\x80\x81" MASK "h", WS_WRONG, 1002),
		ROW("a new one within", "\x01\x81" MASK "h\x81\x81" MASK "i", WS_WRONG, 1002),
		ROW("a length that is too long a number", "\x81\xfe\x00\x02" MASK "hi", WS_WRONG, 1002),
		ROW("64 bits for a short one", "\x81\xff\0\0\0\0\0\0\0\x02" MASK "hi", WS_WRONG, 1002),
		ROW("a negative length", "\x81\xff\x80\0\0\0\0\0\0\0" MASK, WS_WRONG, 1002),
		ROW("too long", "\x81\xff\0\0\0\0\0\x01\0\x01" MASK, WS_WRONG, 1009),
		ROW("no UTF-8", "\x81\x82" MASK "\xc3\x28", WS_WRONG, 1007),
		ROW("half a character at the end", "\x81\x81" MASK "\xc3", WS_WRONG, 1007),
		ROW("half a code", "\x88\x81" MASK "\x03", WS_WRONG, 1002),
		ROW("a code that is not for the wire", "\x88\x82" MASK "\x03\xed", WS_WRONG, 1002),
		ROW("a reason that is no UTF-8", "\x88\x83" MASK "\x03\xe8\xff", WS_WRONG, 1007),
#undef ROW
	};

	for_each_row (r, rows) {
		for (size_t step = 1; step <= r->n; step++) {
			struct ws_reader reader;
			enum ws_event e = WS_MORE;
			size_t at = 0;

			ws_reader_init(&reader);
			while (at < r->n && e == WS_MORE) {
				size_t part = r->n - at < step ? r->n - at : step, used = part;

				e = ws_read(&reader, r->bytes + at, part, &used);
				at += e == WS_WRONG ? 0 : used;
			}
			check_int(e, r->want);
			if (e == WS_WRONG)
				check_int(reader.code, r->code);
			ws_reader_free(&reader);
		}
	}
}

TEST(a_ping_may_stand_between_the_parts_of_a_message)
{
	static const char bytes[] = "\x01\x81\x01\x02\x03\x04iX\x89\x81" MASK "p\x80\x82\x01\x01\x01\x01ij";
	struct ws_reader r;
	size_t at = 0, used = 0, n = 7;

	ws_reader_init(&r);
	check_int(ws_read(&r, bytes, n, &used), WS_MORE);
	at = 8; /* over the X, which only keeps the hex escapes apart */
	check_int(ws_read(&r, bytes + at, sizeof(bytes) - 1 - at, &used), WS_PING);
	check(r.n_control == 1 && r.control[0] == 'p');
	at += used;
	check_int(ws_read(&r, bytes + at, sizeof(bytes) - 1 - at, &used), WS_TEXT);
	check_str(buf_text(&r.message), "hhk");
	ws_reader_free(&r);
}
