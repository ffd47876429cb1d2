/* SPDX-License-Identifier: Apache-2.0 */
/* Alerts of a replay: in the order of event time, and the same from a recording and from its lines. */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/test.h"
#include "cli/fake_agent.h"
#include "cli/test_place.h"

enum { PROGRAMS = 40, RUNS = 3 };

/* One program after the other, a millisecond apart: all of them are found out about when the next time is told. */
static void write_lines(const struct place *p)
{
	auto_file FILE *f = fopen(place_at(p, "written"), "we");

	require(f);
	(void)fputs("{\"shrike\":{\"recording\":{\"boot_id\":\"11111111-2222-3333-4444-555555555555\","
		    "\"wall_minus_boot_ns\":1767225600000000000,\"kernel\":\"\",\"host\":\"\",\"agent\":\"\"}}}\n",
		    f);
	for (int i = 1; i <= PROGRAMS; i++)
		(void)fprintf(
			f,
			"{\"@timestamp\":\"2026-01-01T00:00:01.%03d000000Z\",\"event\":{\"action\":\"exec\","
			"\"category\":"
			"[\"process\"],\"dataset\":\"process.exec\",\"kind\":\"event\",\"module\":\"process\",\"type\":"
			"[\"start\"]},\"process\":{\"args\":[\"id\",\"%d\"],\"executable\":\"/usr/bin/id\",\"name\":"
			"\"id\",\"pid\":%d},\"shrike\":{\"boot_ns\":1%03d000000}}\n",
			i, i, i, i);
}

static void write_rule(const struct place *p, const char *throttle)
{
	auto_file FILE *f = fopen(place_at(p, "rule.yml"), "we");

	require(f);
	(void)fprintf(f,
		      "id: several\nname: Several of one name\nseverity: low\nthrottle: {by: [process.name], for: %s}\n"
		      "eql: |\n  sequence by process.name with maxspan=1m\n"
		      "    [process where event.dataset == \"process.exec\"] with runs=%d\n",
		      throttle, RUNS);
}

static struct ran shrike(const char *const *words)
{
	struct cli cli = { .stop_fd = -1 };

	return cli_ran(&cli, words);
}
#define SHRIKE(...) shrike((const char *const[]) { "shrike", __VA_ARGS__, NULL })

static bool place_open(struct place *p)
{
	auto_ran struct ran there = { 0 }, back = { 0 };

	if (!place_make(p))
		return false;
	write_lines(p);
	there = SHRIKE("convert", place_at(p, "written"), "-o", place_at(p, "recording"));
	back = SHRIKE("convert", "--context", place_at(p, "recording"), "-o", place_at(p, "lines"));
	check_str(there.err, "");
	check_str(back.err, "");
	return there.code == EXIT_OK && back.code == EXIT_OK;
}

TEST(alerts_of_sequences_come_in_the_order_of_event_time)
{
	auto_place struct place p = { 0 };
	auto_ran struct ran ran = { 0 };
	char last[40] = "";
	int n = 0;

	require(place_open(&p));
	write_rule(&p, "1ns");
	ran = SHRIKE("replay", "--shards", "2", "--rules", place_at(&p, "rule.yml"), place_at(&p, "recording"));
	for (const char *line = ran.out; *line; line = strchr(line, '\n') + 1) {
		char now[40];

		(void)snprintf(now, sizeof(now), "%.30s", line + strlen("{\"@timestamp\":\""));
		check(strcmp(last, now) < 0);
		memcpy(last, now, sizeof(last));
		n++;
	}
	check_int(n, PROGRAMS - RUNS + 1);
}

/* The first of those that are folded into one is told, as the agent does. */
TEST(a_throttle_tells_the_first_of_several_sequences)
{
	auto_place struct place p = { 0 };
	auto_ran struct ran ran = { 0 };
	char want[64];

	require(place_open(&p));
	write_rule(&p, "10m");
	ran = SHRIKE("replay", "--shards", "2", "--rules", place_at(&p, "rule.yml"), place_at(&p, "recording"));
	(void)snprintf(want, sizeof(want), "{\"@timestamp\":\"2026-01-01T00:00:01.%03d000000Z\"", RUNS);
	check_has(ran.out, want);
	check_str(strchr(ran.out, '\n'), "\n");
}

/* What a rule keeps of a line until the others have come is the record as well. */
TEST(alerts_of_sequences_have_the_same_ids_from_a_recording_and_from_its_lines)
{
	static const char mark[] = "\"shrike\":{\"alert\":{\"id\":\"";
	auto_place struct place p = { 0 };
	auto_ran struct ran recording = { 0 }, lines = { 0 };
	const char *a, *b;
	int n = 0;

	require(place_open(&p));
	write_rule(&p, "1ns");
	recording = SHRIKE("replay", "--rules", place_at(&p, "rule.yml"), place_at(&p, "recording"));
	lines = SHRIKE("replay", "--rules", place_at(&p, "rule.yml"), place_at(&p, "lines"));
	a = recording.out;
	b = lines.out;
	while ((a = strstr(a, mark)) && (b = strstr(b, mark))) {
		check(!memcmp(a, b, sizeof(mark) - 1 + 32));
		a++;
		b++;
		n++;
	}
	check_int(n, PROGRAMS - RUNS + 1);
}
