/* SPDX-License-Identifier: Apache-2.0 */
/* Events as people see them: sample records of every kind that any sensor has, through JSON, as the agent sends them.
 */
#include "cli/view.h"
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/err.h"
#include "base/mem.h"
#include "base/test.h"
#include "cli/client.h"
#include "context/context.h"

enum { TEXT_MAX = 1 << 20 };

static void line_of(const char *json, bool color, struct buf *out)
{
	struct view view = { .color = color };
	const struct json_node *root;
	auto_json struct json_doc doc = { 0 };

	json_init(&doc, &client_json_limits);
	require_ok(json_parse(&doc, json, strlen(json), &root));
	view_event(&view, root, out);
}

/* Without the line of the date. */
static const char *body(const struct buf *out)
{
	const char *nl = strchr(buf_text(out), '\n');

	return !strncmp(buf_text(out), "-- ", 3) && nl ? nl + 1 : buf_text(out);
}

#define AT  "\"@timestamp\":\"2024-02-29T12:34:56.123456789Z\""
#define WHO "\"process\":{\"pid\":42,\"name\":\"bash\"},\"user\":{\"id\":0,\"name\":\"root\"}"

TEST(an_event_reads_as_a_sentence)
{
	static const struct {
		const char *name, *json, *want;
	} rows[] = {
		{ "exec",
		  "{" AT ",\"event\":{\"dataset\":\"process.exec\"},\"user\":{\"id\":1000},\"process\":{\"pid\":7,"
		  "\"name\":\"ls\","
		  "\"executable\":\"/usr/bin/ls\",\"args\":[\"ls\",\"-l\",\"a b\"]}}",
		  "12:34:56.123  process.exec        ls[7]                   1000      /usr/bin/ls -l 'a b'\n" },
		{ "exec without arguments",
		  "{" AT ",\"event\":{\"dataset\":\"process.exec\"},\"user\":{\"id\":0},\"process\":{\"pid\":7,"
		  "\"name\":\"ls\","
		  "\"executable\":\"/usr/bin/ls\",\"args\":[\"ls\"]}}",
		  "12:34:56.123  process.exec        ls[7]                   0         /usr/bin/ls\n" },
		{ "exit",
		  "{" AT
		  ",\"event\":{\"dataset\":\"process.exit\",\"duration\":1500000000},\"user\":{\"name\":\"root\"},"
		  "\"process\":{\"pid\":7,\"name\":\"ls\",\"exit_code\":3}}",
		  "12:34:56.123  process.exit        ls[7]                   root      code 3, ran for 1.5s\n" },
		{ "killed",
		  "{" AT ",\"event\":{\"dataset\":\"process.exit\"},\"user\":{\"name\":\"root\"},"
		  "\"process\":{\"pid\":7,\"name\":\"ls\",\"exit_code\":0,\"exit_signal\":9}}",
		  "12:34:56.123  process.exit        ls[7]                   root      code 0, killed by SIGKILL\n" },
		{ "container",
		  "{" AT ",\"event\":{\"dataset\":\"process.fork\"}," WHO
		  ",\"container\":{\"id\":\"0123456789abcdef0123\"},\"process.child\":{\"pid\":43}}",
		  "12:34:56.123  process.fork        bash[42]                root      0123456789ab  made process "
		  "43\n" },
		{ "a name that writes to the terminal",
		  "{" AT ",\"event\":{\"dataset\":\"process.fork\"},\"user\":{\"name\":\"r\\u001b[2J\"},"
		  "\"container\":{\"name\":\"\\u009b1m\"},\"process\":{\"pid\":1,\"name\":\"\\u001b[31m\",\"child\":{"
		  "\"pid\":2}}}",
		  "12:34:56.123  process.fork        \\x1b[31m[1]             r\\x1b[2J  \\x9b1m  made process 2\n" },
		{ "a kind that nobody knows",
		  "{" AT ",\"event\":{\"dataset\":\"x.y\"},\"user\":{\"id\":1},\"process\":{\"pid\":1,\"name\":\"a\"},"
		  "\"x\":{\"n\":5,\"list\":[\"a\",\"b c\"],\"e\":[\"ENOENT\",2]}}",
		  "12:34:56.123  x.y                 a[1]                    1         pid=1 name=a n=5 list=a 'b c' "
		  "e=ENOENT\n" },
		{ "cut",
		  "{" AT ",\"event\":{\"dataset\":\"process.fork\"}," WHO ",\"shrike\":{\"flags\":[\"truncated\"]}}",
		  "12:34:56.123  process.fork        bash[42]                root      made process  (truncated)\n" },
		{ "nothing", "{}", "--:--:--.---\n" },
		{ "everything of another type",
		  "{\"@timestamp\":5,\"event\":[],\"user\":\"u\",\"process\":{\"pid\":\"p\",\"name\":{}},\"container\":"
		  "7}",
		  NULL },
	};
	auto_buf struct buf out = { 0 };

	(void)setenv("TZ", "UTC", 1);
	tzset();
	buf_init(&out, TEXT_MAX);
	for_each_row (r, rows) {
		buf_clear(&out);
		line_of(r->json, false, &out);
		if (r->want)
			check_str(body(&out), r->want);
	}
}

TEST(the_date_stands_once_a_day)
{
	static const char *const events[] = {
		"{\"@timestamp\":\"2024-02-29T23:59:59.5Z\"}",
		"{\"@timestamp\":\"2024-02-29T23:59:59.75Z\"}",
		"{\"@timestamp\":\"2024-03-01T00:00:00Z\"}",
	};
	struct view view = { 0 };
	auto_buf struct buf out = { 0 };
	auto_json struct json_doc doc = { 0 };

	(void)setenv("TZ", "UTC", 1);
	buf_init(&out, TEXT_MAX);
	json_init(&doc, &client_json_limits);
	for (size_t i = 0; i < countof(events); i++) {
		const struct json_node *root;

		require_ok(json_parse(&doc, events[i], strlen(events[i]), &root));
		view_event(&view, root, &out);
	}
	check_str(buf_text(&out), "-- 2024-02-29 --\n23:59:59.500\n23:59:59.750\n-- 2024-03-01 --\n00:00:00.000\n");
}

TEST(colours_are_there_only_when_asked_for)
{
	static const char json[] = "{" AT ",\"event\":{\"dataset\":\"process.fork\",\"outcome\":\"failure\"}," WHO "}";
	auto_buf struct buf plain = { 0 }, painted = { 0 };

	buf_init(&plain, TEXT_MAX);
	buf_init(&painted, TEXT_MAX);
	line_of(json, false, &plain);
	line_of(json, true, &painted);
	check(!strchr(buf_text(&plain), '\033'));
	check_has(buf_text(&painted), "\033[31mprocess.fork");
}

TEST(fields_are_found_however_their_names_are_nested)
{
	static const char json[] = "{\"a\":{\"b\":{\"c\":1},\"b.d\":2,\"x\":null},\"a.b.e\":3,\"f\":4}";
	static const struct {
		const char *name;
		long want;
	} rows[] = { { "a.b.c", 1 }, { "a.b.d", 2 },    { "a.b.e", 3 }, { "f", 4 },   { "a.x", -1 },
		     { "f.g", -1 },  { "a.b.c.d", -1 }, { "", -1 },     { "...", -1 } };
	const struct json_node *root, *v;
	auto_json struct json_doc doc = { 0 };

	json_init(&doc, &client_json_limits);
	require_ok(json_parse(&doc, json, strlen(json), &root));
	for_each_row (r, rows) {
		v = view_field(root, r->name);
		check_int(v ? v->i : -1, r->want);
	}
}

/* ---- every kind ------------------------------------------------------------------------------------- */

/* A record with something in every field: numbers small and not 0, strings that a shell would quote. */
static void fill(const struct event_kind *kind, struct buf *rec)
{
	struct ev_head head = { .time_ns = 1, .id = kind->id, .class = (__u8)kind->class, .pid = 42, .comm = "sample" };

	buf_clear(rec);
	for (size_t i = 0; i < kind->size; i++)
		buf_char(rec, 0);
	memcpy(rec->data, &head, sizeof(head));
	for (size_t i = 0; i < kind->n_fields; i++) {
		const struct field *f = &kind->fields[i];
		char *at = rec->data + f->off;

		if (f->type == FT_STR || f->type == FT_STRS || f->type == FT_BYTES || f->type == FT_STACK) {
			static const char text[8] = "/a\033b\0c d"; /* and a list of two, where it is one */
			struct ev_str s = { .off = (__u16)rec->len,
					    .len = f->type == FT_STRS    ? 8
						   : f->type == FT_STACK ? 8
									 : 4 };

			memcpy(at, &s, sizeof(s));
			buf_add(rec, text, sizeof(text));
			for (int pad = 0; pad < 8; pad++)
				buf_char(rec, 0);
		} else if (f->type == FT_ADDR) {
			memcpy(at, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\1", 16);
		} else if (f->type == FT_CHARS) {
			memcpy(at, "x", 1);
		} else {
			*at = 1;
		}
	}
	((struct ev_head *)(void *)rec->data)->len = (__u16)rec->len;
}

static void check_kind(const struct event_kind *kind)
{
	auto_buf struct buf rec = { 0 }, json = { 0 }, line = { 0 };
	struct event ev;

	buf_init(&rec, EV_LEN_MAX);
	buf_init(&json, EVENT_JSON_MAX);
	buf_init(&line, TEXT_MAX);
	require_ok(event_kind_register(kind));
	fill(kind, &rec);
	require(!rec.failed && event_check(rec.data, rec.len) == kind);
	ev = (struct event) { .rec = (const void *)rec.data, .kind = kind };
	event_to_json(&ev, &json);
	line_of(buf_text(&json), false, &line);
	check(!strchr(buf_text(&line), '\033'));
	check_has(buf_text(&line), "sample[42]");
	check_has(buf_text(&line), kind->name);
	check(strlen(body(&line)) >
	      strlen("00:00:00.000  kind                process                 user")); /* and what matters */
	if (getenv("SHRIKE_SHOW_LINES"))
		printf("%s", body(&line));
}

/* A line with bytes changed at random: whatever still is JSON must be shown, and must not write to the terminal. */
static void check_damaged(const struct event_kind *kind, unsigned *seed)
{
	auto_buf struct buf rec = { 0 }, json = { 0 }, line = { 0 };
	struct view view = { 0 };
	auto_json struct json_doc doc = { 0 };
	struct event ev;

	json_init(&doc, &client_json_limits);
	buf_init(&rec, EV_LEN_MAX);
	buf_init(&json, EVENT_JSON_MAX);
	buf_init(&line, TEXT_MAX);
	fill(kind, &rec);
	ev = (struct event) { .rec = (const void *)rec.data, .kind = kind };
	for (int round = 0; round < 200; round++) {
		const struct json_node *root;

		buf_clear(&json);
		buf_clear(&line);
		event_to_json(&ev, &json);
		for (int i = rand_r(seed) % 4; i >= 0; i--)
			json.data[(size_t)rand_r(seed) % json.len] = "\"{}[],:0-n\\ x"[rand_r(seed) % 14];
		if (json_parse(&doc, json.data, json.len, &root) < 0)
			continue;
		view_event(&view, root, &line);
		for (size_t i = 0; i < line.len; i++)
			check((unsigned char)line.data[i] >= 0x20 || line.data[i] == '\n');
	}
}

TEST(damaged_events_are_shown_as_far_as_they_go)
{
	const struct event_kind *kind;
	unsigned seed = 20240229;

	for (size_t i = 0; (kind = view_kind_at(i)); i++) {
		test_row = kind->name;
		require_ok(event_kind_register(kind));
		check_damaged(kind, &seed);
	}
	test_row = NULL;
}

TEST(every_kind_has_a_line)
{
	const struct event_kind *kind;

	for (size_t i = 0; (kind = view_kind_at(i)); i++) {
		test_row = kind->name;
		check_kind(kind);
	}
	test_row = NULL;
}

static bool kind_has_field(const struct event_kind *kind, const char *name)
{
	size_t n = strlen(name);

	/* "source:end" names the parent of source.ip */
	for (size_t i = 0; i < kind->n_fields; i++)
		if (!strncmp(kind->fields[i].name, name, n) &&
		    (!kind->fields[i].name[n] || kind->fields[i].name[n] == '.'))
			return true;
	return false;
}

/* A template that fits several kinds may name what only one of them has. */
static bool has_field(const char *glob, const char *name)
{
	const struct event_kind *kind;

	for (size_t i = 0; (kind = view_kind_at(i)); i++)
		if (fnmatch(glob, kind->name, 0) == 0 && kind_has_field(kind, name))
			return true;
	return false;
}

TEST(templates_name_kinds_and_fields_that_there_are)
{
	for (size_t t = 0; view_template_at(t); t++) {
		const struct view_template *row = view_template_at(t);
		char text[1024], *save = NULL;

		test_row = row->kinds;
		(void)snprintf(text, sizeof(text), "%s", row->text);
		for (char *p = strchr(text, '{'); p; p = strchr(p, '{')) {
			char *end = strchr(p, '}'), *names = p + 1;

			require(end);
			*end = 0;
			for (char *name = strtok_r(names, "|", &save); name; name = strtok_r(NULL, "|", &save)) {
				char *how = strchr(name, ':');

				if (how)
					*how = 0;
				if (!has_field(row->kinds, name))
					test_fail(T_HERE, "no field of %s is called %s", row->kinds, name);
			}
			p = end + 1;
		}
	}
	test_row = NULL;
}
