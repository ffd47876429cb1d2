/* SPDX-License-Identifier: Apache-2.0 */
/* Recordings become JSON lines and recordings again, and nothing is lost on the way. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include "base/err.h"
#include "base/test.h"
#include "cli/fake_agent.h"
#include "cli/test_place.h"
#include "cli/view.h"
#include "context/context.event.h"
#include "sensors/process/process.event.h"
#include "store/store.h"

static bool place_open(struct place *p)
{
	const struct event_kind *kind;

	for (size_t i = 0; (kind = view_kind_at(i)); i++)
		check_int(event_kind_register(kind), 0);
	return place_make(p);
}

/* A process that is known, one that it forks, and after a loss the end of it, with bytes that are no text. */
static bool write_recording(const char *path)
{
	const struct store_writer_options options = { .path = path, .single_file = true };
	const struct store_origin origin = { .boot_id = "11111111-2222-3333-4444-555555555555",
					     .wall_minus_boot_ns = 1700000000123456789,
					     .kernel = "6.1.0-test",
					     .host = "a \"host\"",
					     .agent = "0.1.0" };
	struct {
		struct ev_known rec;
		char exe[8];
	} known = { .rec = { .head = { .time_ns = 5000000000,
				       .id = EV_KNOWN,
				       .len = sizeof(known),
				       .pid = 10,
				       .tid = 10,
				       .start_ns = 1000,
				       .class = EV_NORMAL,
				       .comm = "sh\xff" } },
		    .exe = "/bin/sh" };
	struct ev_head end = {
		.time_ns = 6000000001, .id = 0, .pid = 10, .tid = 10, .start_ns = 1000, .comm = "sh\xff"
	};
	const struct event_kind *kind = event_kind_of(EV_EXIT);
	_Alignas(8) unsigned char rec[4096] = { 0 };
	AUTO(store_writer) w = NULL;

	known.rec.exe = (struct ev_str) { sizeof(known.rec), 7 };
	end.id = EV_EXIT;
	end.len = (__u16)kind->size;
	end.class = (__u8)kind->class;
	memcpy(rec, &end, sizeof(end));
	if (store_writer_open(&options, &w) < 0 || store_writer_begin(w, &origin, &known, sizeof(known)) < 0)
		return false;
	for (int i = 0; i < 3; i++) {
		if (i == 2)
			store_writer_lost(w, 7);
		((struct ev_head *)(void *)rec)->time_ns += 1000;
		if (store_writer_put(w, (const struct ev_head *)(const void *)rec) < 0)
			return false;
	}
	return true;
}

static bool same_bytes(const char *a, const char *b)
{
	static char x[1 << 16], y[1 << 16];
	auto_close int fa = open(a, O_RDONLY | O_CLOEXEC);
	auto_close int fb = open(b, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fa, x, sizeof(x)), m = read(fb, y, sizeof(y));

	return n > 0 && n == m && !memcmp(x, y, (size_t)n);
}

static struct ran convert(const char *in, const char *option, const char *out)
{
	struct cli cli = { .stop_fd = -1, .patience_ms = 1000 };
	const char *argv[] = { "shrike", "convert", in, out ? "-o" : NULL, out, option, NULL };

	return cli_ran(&cli, argv);
}

TEST(a_recording_becomes_lines_and_a_recording_again)
{
	auto_place struct place p = { 0 };

	require(place_open(&p));
	require(write_recording(place_at(&p, "a.shrike")));
	{
		auto_ran struct ran r = convert(place_at(&p, "a.shrike"), NULL, place_at(&p, "a.json"));

		check_int(r.code, EXIT_OK);
		check_str(r.err, "");
	}
	{
		auto_ran struct ran r = convert(place_at(&p, "a.json"), NULL, place_at(&p, "b.shrike"));

		check_int(r.code, EXIT_OK);
		check_str(r.err, "");
	}
	{
		auto_ran struct ran r = convert(place_at(&p, "b.shrike"), NULL, place_at(&p, "b.json"));

		check_int(r.code, EXIT_OK);
		check_has(r.err, "");
	}
	check(same_bytes(place_at(&p, "a.json"), place_at(&p, "b.json")));
	{
		auto_ran struct ran r = convert(place_at(&p, "b.shrike"), NULL, NULL);

		check_has(r.out, "{\"shrike\":{\"recording\":{\"boot_id\":\"11111111-2222-3333-4444-555555555555\","
				 "\"wall_minus_boot_ns\":1700000000123456789,\"kernel\":\"6.1.0-test\",\"host\":\"a "
				 "\\\"host\\\"\",\"agent\":\"0.1.0\"}}}\n");
		check_has(r.out, "{\"shrike\":{\"recording\":{\"known\":1}}}\n");
		check_has(r.out, "{\"shrike\":{\"recording\":{\"lost\":7}}}\n");
		check_has(r.out, "\"@timestamp\":\"2023-11-14T22:13:26.");
	}
	{
		auto_ran struct ran r = convert(place_at(&p, "b.shrike"), "--context", NULL);

		check_has(r.out, "\"executable\":\"/bin/sh\"");
	}
}

TEST(what_cannot_be_converted_is_said_and_leaves_nothing_behind)
{
	static const struct {
		const char *name, *text, *says;
	} rows[] = {
		{ "no JSON", "hello\n", "line 1" },
		{ "an event of somebody else", "{\"@timestamp\":\"2024-01-01T00:00:00Z\",\"a\":1}\n",
		  "no shrike.boot_ns" },
		{ "an unknown kind",
		  "{\"@timestamp\":\"2024-01-01T00:00:00Z\",\"shrike\":{\"boot_ns\":1},\"event\":{\"dataset\":\"x.y\"}}"
		  "\n",
		  "line 1" },
		{ "two hosts", "{\"shrike\":{\"recording\":{\"boot_id\":\"a\",\"wall_minus_boot_ns\":1}}}\nx\n",
		  "line 2" },
	};
	auto_place struct place p = { 0 };

	require(place_open(&p));
	for_each_row (row, rows) {
		auto_close int fd = open(place_at(&p, "in"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

		require(write(fd, row->text, strlen(row->text)) == (ssize_t)strlen(row->text));
		auto_ran struct ran r = convert(place_at(&p, "in"), NULL, place_at(&p, "out"));

		check_int(r.code, EXIT_NO);
		check_has(r.err, row->says);
		check(access(place_at(&p, "out"), F_OK) != 0);
	}
	{
		auto_ran struct ran r = convert(place_at(&p, "in"), NULL, NULL);

		check_int(r.code, EXIT_USAGE);
		check_has(r.err, "name the recording to make");
	}
	{
		auto_ran struct ran r = convert(place_at(&p, "not-there"), NULL, NULL);

		check_int(r.code, EXIT_NO);
	}
	{
		auto_ran struct ran r = convert(place_at(&p, "in"), NULL, place_at(&p, "in"));

		check_int(r.code, EXIT_NO);
		check_has(r.err, "is there already");
		check(access(place_at(&p, "in"), F_OK) == 0);
	}
}
