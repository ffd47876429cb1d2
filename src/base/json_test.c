/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include "base/err.h"
#include "base/mem.h"
#include "base/test.h"

static const struct json_limits limits = { .len_max = 1 << 20, .nodes_max = 1 << 16, .depth_max = 64 };

/* The document as one line in a notation of its own: types can be told apart, the dead are not shown. */
static void show(struct buf *b, const struct json_node *v)
{
	const struct json_node *name, *item;

	switch (v->type) {
	case JSON_NULL:
		buf_str(b, "null");
		break;
	case JSON_BOOL:
		buf_str(b, v->b ? "true" : "false");
		break;
	case JSON_INT:
		buf_printf(b, "i%lld", (long long)v->i);
		break;
	case JSON_UINT:
		buf_printf(b, "u%llu", (unsigned long long)v->u);
		break;
	case JSON_DOUBLE:
		buf_char(b, 'd');
		json_write_double(b, v->d);
		break;
	case JSON_STRING:
		buf_printf(b, "%u'", v->len);
		buf_add(b, v->s, v->len);
		buf_char(b, '\'');
		break;
	default:
		buf_char(b, v->type == JSON_OBJECT ? '{' : '[');
		for (item = json_first(v, &name); item; item = json_next(v, item, &name)) {
			if (name)
				buf_printf(b, "%s:", name->s);
			show(b, item);
			buf_char(b, ' ');
		}
		buf_char(b, v->type == JSON_OBJECT ? '}' : ']');
	}
}

TEST(json_reads_what_the_standard_allows)
{
	static const struct {
		const char *name, *text, *want;
	} rows[] = {
		{ "null", "null", "null" },
		{ "blanks around", " \t\r\n true \n", "true" },
		{ "zero", "0", "i0" },
		{ "minus zero is a double", "-0", "d-0.0" },
		{ "greatest int64", "9223372036854775807", "i9223372036854775807" },
		{ "one more is uint64", "9223372036854775808", "u9223372036854775808" },
		{ "greatest uint64", "18446744073709551615", "u18446744073709551615" },
		{ "one more is a double", "18446744073709551616", "d1.8446744073709552e+19" },
		{ "least int64", "-9223372036854775808", "i-9223372036854775808" },
		{ "one less is a double", "-9223372036854775809", "d-9.223372036854776e+18" },
		{ "point", "1.5", "d1.5" },
		{ "whole double", "1.0", "d1.0" },
		{ "exponent", "1e3", "d1000.0" },
		{ "exponent with signs", "-12.5E-1", "d-1.25" },
		{ "tiny", "4.9e-324", "d4.94065645841247e-324" },
		{ "too small is zero", "1e-999999999", "d0.0" },
		{ "many digits", "0.1000000000000000055511151231257827", "d0.1" },
		{ "empty string", "\"\"", "0''" },
		{ "escapes", "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "8'\"\\/\b\f\n\r\t'" },
		{ "code", "\"\\u00e9\\u20AC\"", "5'\xc3\xa9\xe2\x82\xac'" },
		{ "surrogate pair", "\"\\ud83d\\ude00\"", "4'\xf0\x9f\x98\x80'" },
		{ "lone high surrogate is kept", "\"\\ud83dx\"", "4'\xed\xa0\xbdx'" },
		{ "lone low surrogate is kept", "\"\\ude00\"", "3'\xed\xb8\x80'" },
		{ "two high surrogates", "\"\\ud83d\\ud83d\\ude00\"", "7'\xed\xa0\xbd\xf0\x9f\x98\x80'" },
		{ "text as it is", "\"\xc3\xa9 \x7f \xf0\x9f\x98\x80\"", "9'\xc3\xa9 \x7f \xf0\x9f\x98\x80'" },
		{ "escape after text beyond ASCII", "\"\xc3\xa9\\n\xc3\xa9x\"", "6'\xc3\xa9\n\xc3\xa9x'" },
		{ "long string", "\"0123456789abcdef0123456789abcdef\\n\"", "33'0123456789abcdef0123456789abcdef\n'" },
		{ "empty containers", "[[],{}]", "[[] {} ]" },
		{ "nested", "{\"a\":[1,{\"b\":null}],\"c\":\"d\"}", "{a:[i1 {b:null } ] c:1'd' }" },
		{ "blanks inside", "{ \"a\" : [ 1 , 2 ] }", "{a:[i1 i2 ] }" },
		{ "last of a name wins", "{\"a\":1,\"b\":2,\"a\":3}", "{b:i2 a:i3 }" },
		{ "whole objects replace each other", "{\"a\":{\"b\":1},\"a\":{\"c\":2}}", "{a:{c:i2 } }" },
		{ "names are compared unescaped", "{\"\\u0061\":1,\"a\":2}", "{a:i2 }" },
		{ "long names", "{\"abcdefghij\":1,\"abcdefghik\":2,\"abcdefghij\":3}",
		  "{abcdefghik:i2 abcdefghij:i3 }" },
	};

	for_each_row (r, rows) {
		auto_json struct json_doc doc;
		auto_buf struct buf b;
		const struct json_node *root;

		json_init(&doc, &limits);
		buf_init(&b, 4096);
		require_ok(json_parse(&doc, r->text, strlen(r->text), &root));
		show(&b, root);
		check_str(buf_text(&b), r->want);
	}
}

TEST(json_refuses_the_rest_and_says_where)
{
	static const struct {
		const char *name, *text;
		size_t n; /* 0: up to the NUL */
		const char *want;
	} rows[] = {
		{ "nothing", "", 0, "offset 0: the text ends" },
		{ "only blanks", "  ", 0, "offset 2: the text ends" },
		{ "two values", "1 2", 0, "offset 2: something after" },
		{ "NUL after the value", "1\0", 2, "offset 1: something after" },
		{ "word", "nul", 0, "offset 0: no value" },
		{ "upper case", "True", 0, "offset 0: no value" },
		{ "NaN", "NaN", 0, "offset 0: no value" },
		{ "leading zero", "01", 0, "offset 0: a number with a leading zero" },
		{ "plus", "+1", 0, "offset 0: no value" },
		{ "only a minus", "-x", 0, "offset 1: a minus" },
		{ "point at the end", "1.", 0, "offset 2: the text ends" },
		{ "point without digits", "[1.]", 0, "offset 3: a point" },
		{ "point first", ".5", 0, "no value" },
		{ "exponent without digits", "[1e+]", 0, "offset 4: an exponent" },
		{ "too large", "1e999", 0, "a number too large" },
		{ "hexadecimal", "0x10", 0, "offset 1: something after" },
		{ "open string", "\"abc", 0, "offset 4: the text ends" },
		{ "open escape", "\"abc\\", 0, "the text ends" },
		{ "bad escape", "\"\\x41\"", 0, "offset 2: no such escape" },
		{ "bad code", "\"\\u12g4\"", 0, "offset 3: \\u without four" },
		{ "newline in a string", "\"a\nb\"", 0, "offset 2: a control character" },
		{ "NUL in a string", "\"a\0b\"", 5, "offset 2: a control character" },
		{ "no UTF-8", "\"a\xff\"", 0, "offset 2: bytes that are no UTF-8" },
		{ "overlong", "\"\xc0\x80\"", 0, "offset 1: bytes that are no UTF-8" },
		{ "surrogate as bytes", "\"\xed\xa0\x80\"", 0, "offset 1: bytes that are no UTF-8" },
		{ "beyond Unicode", "\"\xf4\x90\x80\x80\"", 0, "offset 1: bytes that are no UTF-8" },
		{ "cut in a character", "\"\xc3", 0, "no UTF-8" },
		{ "comma at the end", "[1,]", 0, "offset 3: no value" },
		{ "comma first", "[,1]", 0, "offset 1: no value" },
		{ "no comma", "[1 2]", 0, "offset 3: wanted a comma" },
		{ "comma before the brace", "{\"a\":1,}", 0, "offset 7: wanted the name" },
		{ "name without quotes", "{a:1}", 0, "offset 1: wanted the name" },
		{ "no colon", "{\"a\" 1}", 0, "offset 5: wanted a colon" },
		{ "wrong end", "[1}", 0, "offset 2: wanted a comma" },
		{ "open array", "[1", 0, "offset 2: the text ends" },
		{ "byte order mark", "\xef\xbb\xbf{}", 0, "offset 0: no value" },
		{ "comment", "/**/1", 0, "offset 0: no value" },
	};

	for_each_row (r, rows) {
		auto_json struct json_doc doc;
		const struct json_node *root;

		json_init(&doc, &limits);
		check_int(json_parse(&doc, r->text, r->n ? r->n : strlen(r->text), &root), -EINVAL);
		check_has(err_trail(), r->want);
	}
}

TEST(json_keeps_within_its_limits)
{
	static const struct json_limits small = { .len_max = 100, .nodes_max = 10, .depth_max = 3 };
	static const struct {
		const char *name, *text;
		int want;
	} rows[] = {
		{ "as deep as allowed", "[[[1]]]", 0 },
		{ "deeper", "[[[[1]]]]", -E2BIG },
		{ "as many as allowed", "[1,2,3,4,5,6,7,8,9]", 0 },
		{ "one more", "[1,2,3,4,5,6,7,8,9,0]", -E2BIG },
		{ "too long",
		  "                                                                                                    "
		  "1",
		  -E2BIG },
	};

	for_each_row (r, rows) {
		auto_json struct json_doc doc;
		const struct json_node *root;

		json_init(&doc, &small);
		check_int(json_parse(&doc, r->text, strlen(r->text), &root), r->want);
		/* A refusal spoils nothing: the document can be used again. */
		check_int(json_parse(&doc, "[1]", 3, &root), 0);
		check_int(root->len, 1);
	}
}

TEST(json_finds_doubles_among_many_names)
{
	auto_json struct json_doc doc;
	auto_buf struct buf b;
	const struct json_node *root, *v, *name;
	size_t n = 0;

	json_init(&doc, &limits);
	buf_init(&b, 1 << 20);
	for (int i = 0; i < 3000; i++)
		buf_printf(&b, "%s\"name%d\":%d", i ? "," : "{", i % 1000, i);
	buf_char(&b, '}');
	require_ok(json_parse(&doc, b.data, b.len, &root));
	for (v = json_first(root, &name); v; v = json_next(root, v, &name)) {
		check(v->i >= 2000);
		n++;
	}
	check_int(n, 1000);
	v = json_get(root, "name7");
	require(v != NULL);
	check_int(v->i, 2007);
	check(json_get(root, "name") == NULL);
	check(json_get(v, "name") == NULL);
}

TEST(json_survives_every_cut)
{
	static const char text[] =
		"{\"a\":[1,-2.5e3,true,false,null,\"\\u00e9\\n\xc3\xa9\"],\"b\":{\"c\":\"0123456789\"},\"a\":0}";
	auto_json struct json_doc doc;
	const struct json_node *root;

	json_init(&doc, &limits);
	for (size_t n = 0; n < sizeof(text) - 1; n++)
		check_int(json_parse(&doc, text, n, &root), -EINVAL);
	check_int(json_parse(&doc, text, sizeof(text) - 1, &root), 0);
}

TEST(json_strings_are_written_so_that_they_read_back)
{
	static const struct {
		const char *name, *text;
		size_t n;
		const char *want;
		bool clean;
	} rows[] = {
		{ "plain", "abc", 3, "\"abc\"", true },
		{ "empty", "", 0, "\"\"", true },
		{ "long", "0123456789abcdef\"0123456789", 27, "\"0123456789abcdef\\\"0123456789\"", true },
		{ "controls", "\x01\n\t\x1f\0", 5, "\"\\u0001\\n\\t\\u001f\\u0000\"", true },
		{ "delete stays", "\x7f", 1, "\"\x7f\"", true },
		{ "UTF-8 stays", "\xc3\xa9\xf0\x9f\x98\x80", 6, "\"\xc3\xa9\xf0\x9f\x98\x80\"", true },
		{ "no UTF-8", "a\xff\xfe", 3, "\"a\xef\xbf\xbd\xef\xbf\xbd\"", false },
		{ "one mark for a cut character", "\xf0\x9f\x98x", 4, "\"\xef\xbf\xbdx\"", false },
		{ "surrogate bytes", "\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"", false },
	};

	for_each_row (r, rows) {
		auto_json struct json_doc doc;
		auto_buf struct buf b;
		const struct json_node *root;

		buf_init(&b, 4096);
		json_init(&doc, &limits);
		check(json_write_str(&b, r->text, r->n) == r->clean);
		check_str(buf_text(&b), r->want);
		require_ok(json_parse(&doc, b.data, b.len, &root));
		check(!r->clean || (root->len == r->n && !memcmp(root->s, r->text, r->n)));
	}
}

TEST(doubles_read_back_equal)
{
	static const struct {
		const char *name;
		double v;
	} rows[] = {
		{ "tenth", 0.1 },          { "third", 1.0 / 3 },
		{ "whole", 42 },           { "great", 1.7976931348623157e308 },
		{ "tiny", 4.9e-324 },      { "minus zero", -0.0 },
		{ "sum", 0.1 + 0.2 },      { "2^53 + 2", 9007199254740994.0 },
		{ "1e22", 1e22 },          { "1e23", 1e23 },
		{ "halfway", 5e-324 * 3 },
	};

	for_each_row (r, rows) {
		auto_json struct json_doc doc;
		auto_buf struct buf b;
		const struct json_node *root;

		buf_init(&b, 64);
		json_init(&doc, &limits);
		json_write_double(&b, r->v);
		require_ok(json_parse(&doc, b.data, b.len, &root));
		check_int(root->type, JSON_DOUBLE);
		check(root->d == r->v && signbit(root->d) == signbit(r->v));
	}
}
