/* SPDX-License-Identifier: Apache-2.0 */
#include "rulebook/toml.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/test.h"

enum { TEXT = 1 << 16, MEMORY = 1 << 20 };

/* As JSON, with dates as texts. */
static void write_node(const struct toml_node *n, struct buf *out)
{
	switch (n->type) {
	case TOML_STRING:
	case TOML_DATE:
		(void)json_write_str(out, n->text, n->len);
		break;
	case TOML_INTEGER:
		buf_i64(out, n->i);
		break;
	case TOML_FLOAT:
		json_write_double(out, n->f);
		break;
	case TOML_BOOLEAN:
		buf_str(out, n->b ? "true" : "false");
		break;
	case TOML_TABLE:
	case TOML_ARRAY:
		buf_char(out, n->type == TOML_TABLE ? '{' : '[');
		for (const struct toml_node *c = n->first; c; c = c->next) {
			buf_str(out, c == n->first ? "" : ",");
			if (n->type == TOML_TABLE)
				buf_printf(out, "%s:", c->key);
			write_node(c, out);
		}
		buf_char(out, n->type == TOML_TABLE ? '}' : ']');
	}
}

TEST(what_toml_says_is_what_is_read)
{
	static const struct {
		const char *name, *text, *want;
	} rows[] = {
		{ "nothing", "", "{}" },
		{ "comments and blanks", "# a\n\n \t# b\r\n", "{}" },
		{ "a byte order mark",
		  "\xef\xbb\xbf"
		  "a = 1",
		  "{a:1}" },
		{ "kinds of keys", "a-_1 = 1\n\"b c\" = 2\n'd.e' = 3\n3 = 4", "{a-_1:1,b c:2,d.e:3,3:4}" },
		{ "dotted keys", "a.b.c = 1\na . \"d\" = 2\na.b.e = 3", "{a:{b:{c:1,e:3},d:2}}" },
		{ "integers", "a = [+1, -0, 1_000, 0xDead_beef, 0o17, 0b101, -9223372036854775808]",
		  "{a:[1,0,1000,3735928559,15,5,-9223372036854775808]}" },
		{ "floats", "a = [1.5, -2e3, 1_0.2_5E-1, 6.0]", "{a:[1.5,-2000.0,1.025,6.0]}" },
		{ "floats that are no numbers", "a = [inf, -inf, nan]", "{a:[null,null,null]}" },
		{ "truth", "a = true\nb = false", "{a:true,b:false}" },
		{ "dates",
		  "a = [1979-05-27T07:32:00Z, 1979-05-27 07:32:00.5-07:00, 1979-05-27, 07:32:00, 1979-05-27T07:32:00]",
		  "{a:[\"1979-05-27T07:32:00Z\",\"1979-05-27 07:32:00.5-07:00\",\"1979-05-27\",\"07:32:00\",\"1979-05-"
		  "27T07:32:00\"]}" },
		{ "escapes", "a = \"\\b\\t\\n\\f\\r\\\"\\\\\\u00e9\\U0001F600\"",
		  "{a:\"\\b\\t\\n\\f\\r\\\"\\\\\xc3\xa9\xf0\x9f\x98\x80\"}" },
		{ "a raw text", "a = 'C:\\x \"q\"'", "{a:\"C:\\\\x \\\"q\\\"\"}" },
		{ "many lines", "a = \"\"\"\nx\r\n  y\\\n\n   z\"\"\"", "{a:\"x\\n  yz\"}" },
		{ "many raw lines", "a = '''\nx\\\n'y'''", "{a:\"x\\\\\\n'y\"}" },
		{ "quotes before the end", "a = \"\"\"x\"\"\"\"\"\nb = '''''y'''", "{a:\"x\\\"\\\"\",b:\"''y\"}" },
		{ "empty texts", "a = \"\"\nb = ''\nc = \"\"\"\"\"\"\nd = ''''''", "{a:\"\",b:\"\",c:\"\",d:\"\"}" },
		{ "lists over lines", "a = [ # c\n 1,\n [2, 'x'],\n]", "{a:[1,[2,\"x\"]]}" },
		{ "inline tables", "a = { b = 1, c.d = { } }", "{a:{b:1,c:{d:{}}}}" },
		{ "tables", "x = 1\n[a]\nb = 1\n[a.c]\nd = 2\n[ e . f ]\n", "{x:1,a:{b:1,c:{d:2}},e:{f:{}}}" },
		{ "a table after its child", "[a.b]\nc = 1\n[a]\nd = 2", "{a:{b:{c:1},d:2}}" },
		{ "lists of tables", "[[a]]\nb = 1\n[[a.c]]\nd = 1\n[[a.c]]\n[[a]]\n[a.e]\nf = 1",
		  "{a:[{b:1,c:[{d:1},{}]},{e:{f:1}}]}" },
		{ "a child of what dots made", "[a]\nb.c = 1\n[a.b.d]\ne = 1", "{a:{b:{c:1,d:{e:1}}}}" },
	};

	for_each_row (r, rows) {
		auto_buf struct buf got = { .max = TEXT };
		struct toml_error error = { 0 };
		struct toml_node *root = NULL;
		auto_arena struct arena arena;

		arena_init(&arena, MEMORY);
		if (toml_read(r->text, strlen(r->text), &arena, &error, &root) < 0)
			buf_printf(&got, "%u:%u: %s", error.line, error.column, error.message);
		else
			write_node(root, &got);
		check_str(buf_text(&got), r->want);
	}
}

TEST(what_is_no_toml_is_refused_at_its_place)
{
	static const struct {
		const char *name, *text, *want;
	} rows[] = {
		{ "no value", "a = \n", "1:5: expected a value" },
		{ "no key", "= 1", "1:1: expected a key" },
		{ "no sign", "a 1", "1:3: expected \"=\" behind the key" },
		{ "two on one line", "a = 1 b = 2", "1:7: expected the end of the line" },
		{ "a word", "a = word", "1:5: \"word\" is no value: texts want quotes" },
		{ "a key twice", "a = 1\n\xc3\xa9 = 2", "2:1: expected a key" },
		{ "twice", "a = 1\na = 2", "2:1: a: a key twice, first on line 1" },
		{ "a table twice", "[a]\n[a]", "2:2: a: there is a table of this name already, on line 1" },
		{ "a table over a value", "a = 1\n[a.b]", "2:2: a: there is a number of this name already, on line 1" },
		{ "a table over a list", "a = []\n[[a]]", "2:3: a: there is a list of this name already, on line 1" },
		{ "an inline table opened", "a = {}\n[a.b]",
		  "2:2: a: there is a table of this name already, on line 1" },
		{ "an inline table by dots", "a = {}\na.b = 1",
		  "2:1: a: there is a table of this name already, on line 1" },
		{ "a header by dots", "[a.b]\n[x]\n[a]\nb.c = 1",
		  "4:1: b: there is a table of this name already, on line 1" },
		{ "dots by a header", "a.b = 1\n[a]", "2:2: a: there is a table of this name already, on line 1" },
		{ "a text without an end", "a = \"x\nb = 1", "1:5: a text without an end" },
		{ "lines without an end", "a = '''\nx\n", "3:1: a text without an end" },
		{ "a key over lines", "\"\"\"a\"\"\" = 1", "1:1: a key is on one line" },
		{ "no such escape", "a = \"\xc3\xa9\\q\"", "1:7: no such escape" },
		{ "half a character", "a = \"\\ud800\"", "1:8: U+D800 is no character" },
		{ "a control character", "a = 1\n# \x01", "2:3: a control character" },
		{ "a lonely return", "a = 1\rb = 2", "1:6: a control character" },
		{ "no UTF-8", "a = \"\xff\"", "1:6: not UTF-8" },
		{ "leading zeros", "a = 01", "1:5: \"01\" is no value: texts want quotes" },
		{ "a number too large", "a = 9223372036854775808",
		  "1:5: \"9223372036854775808\" is no value: texts want quotes" },
		{ "an underscore at the end", "a = 1_", "1:5: an underscore stands between digits" },
		{ "a point and nothing", "a = 1.", "1:5: \"1.\" is no value: texts want quotes" },
		{ "a list without an end", "a = [1", "1:7: expected \",\" or \"]\"" },
		{ "a comma in an inline table", "a = { b = 1, }", "1:14: expected a key" },
		{ "a header without an end", "[a", "1:3: expected \"]\"" },
	};

	for_each_row (r, rows) {
		struct toml_error error = { 0 };
		struct toml_node *root = NULL;
		auto_arena struct arena arena;
		char got[192];

		arena_init(&arena, MEMORY);
		check_int(toml_read(r->text, strlen(r->text), &arena, &error, &root), -EINVAL);
		(void)snprintf(got, sizeof(got), "%u:%u: %s", error.line, error.column, error.message);
		check_str(got, r->want);
	}
}

/* Reads `n` copies of a text between two others. */
static int read_many(const char *before, const char *text, size_t n, const char *after, struct toml_error *ret_error)
{
	auto_buf struct buf all = { .max = 2 * TOML_BYTES_MAX };
	struct toml_node *root = NULL;
	auto_arena struct arena arena;

	arena_init(&arena, TOML_MEMORY_MAX);
	*ret_error = (struct toml_error) { 0 };
	buf_str(&all, before);
	for (size_t i = 0; i < n; i++)
		buf_str(&all, text);
	buf_str(&all, after);
	return toml_read(buf_text(&all), all.len, &arena, ret_error, &root);
}

TEST(a_stranger_cannot_make_toml_grow_without_bound)
{
	struct toml_error error;

	check_int(read_many("a = ", "[", TOML_DEPTH_MAX - 1, "", &error), -EINVAL);
	check_has(error.message, "expected");
	check_int(read_many("a = ", "[", TOML_DEPTH_MAX + 1, "", &error), -EINVAL);
	check_has(error.message, "nested deeper than 32");
	check_int(read_many("a", ".a", TOML_DEPTH_MAX + 1, " = 1", &error), -EINVAL);
	check_has(error.message, "nested deeper than 32");
	check_int(read_many("a = [", "1,", TOML_NODES_MAX, "]", &error), -EINVAL);
	check_has(error.message, "more than 65536 values");
	check_int(read_many("", "a", TOML_KEY_MAX, " = 1", &error), 0);
	check_int(read_many("", "a", TOML_KEY_MAX + 1, " = 1", &error), -EINVAL);
	check_has(error.message, "a key of more than 256 bytes");
	check_int(read_many("", "\n", TOML_BYTES_MAX, "", &error), 0);
	check_int(read_many("", "\n", TOML_BYTES_MAX + 1, "", &error), -EINVAL);
}
