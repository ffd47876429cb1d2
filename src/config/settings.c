/* SPDX-License-Identifier: Apache-2.0 */
#include "config/settings.h"
#include <string.h>
#include <unistd.h>

static const char *const stack_words[] = { "kernel", "user", NULL };
/* At the index of enum log_level. */
static const char *const log_levels[] = { "error", "warning", "notice", "info", "debug", NULL };

/* An option whose struct member tells its unit, which the file does not repeat. */
#define OPTION_AS(s, n, m, t, d, sentence, ...)                                                                        \
	{ .name = (n), .type = (t), .off = offsetof(struct s, m), .def = (d), .doc = (sentence), ##__VA_ARGS__ }

static const struct option top[] = {
	OPTION(settings, scope, OPT_STR, "host",
	       "what is watched: the whole host, a cgroup and all below it (cgroup:/PATH), or a network namespace "
	       "(netns:NAME or netns:/PATH); outside of it nothing is recorded"),
	OPTION(settings, syscall_hooks, OPT_BOOL, "true",
	       "where the kernel allows nothing better, observe at system calls, which makes every system call of the "
	       "host "
	       "some 80 ns slower; false: such observations are off, and `shrike status` names them"),
	OPTION(settings, stacks, OPT_MAP, "",
	       "events that carry stacks, and which ones: an event's name and a list of kernel and user",
	       .names = stack_words, .unit = "event", .live = true),
};

static const struct option agent[] = {
	OPTION(settings_agent, socket, OPT_PATH, "/run/shrike/shrike.sock",
	       "where the running agent answers the command line"),
	OPTION(settings_agent, socket_group, OPT_STR, "",
	       "group whose members may read status and events over the socket; empty: only root and the agent's user"),
	OPTION(settings_agent, log_level, OPT_ENUM, "info", "the least important messages that are written",
	       .names = log_levels, .live = true),
};

#define RING(m, d, sentence) OPTION(settings_rings, m, OPT_BYTES, d, sentence, .min = 64 << 10, .max = 1 << 30)

static const struct option rings[] = {
	RING(critical, "4MiB",
	     "memory for events that are rare and telling, such as the start of a process; sizes are rounded up to a "
	     "power of two"),
	RING(bulk, "8MiB", "memory for all other events"),
	RING(packet, "4MiB", "memory for the bytes of packets"),
};

static const struct option budgets[] = {
	OPTION(settings_budgets, normal, OPT_U32, "20000",
	       "most normal events that one cgroup may send; what is above is counted, not recorded; 0: no bound",
	       .unit = "events/s"),
	OPTION(settings_budgets, bulk, OPT_U32, "50000", "the same for bulk events", .unit = "events/s"),
};

static const struct option bus[] = {
	OPTION(settings_bus, shards, OPT_U32, "1",
	       "threads that judge and deliver events; each process belongs to one of them", .min = 1, .max = 64),
	OPTION(settings_bus, queue, OPT_BYTES, "8MiB", "memory for the events that wait for one shard",
	       .min = 256 << 10, .max = 1 << 30),
	OPTION_AS(settings_bus, "wait", wait_ns, OPT_DURATION, "10ms",
		  "longest that an event waits for room in a full queue before it is counted as lost",
		  .max = 1000000000),
};

static const struct option health[] = {
	OPTION_AS(settings_health, "canary", canary_ns, OPT_DURATION, "30s",
		  "how often each hook is made to fire, so that silence can be told from deafness; 0: never",
		  .max = 86400000000000, .live = true),
};

static const struct option raw[] = {
	OPTION(settings_raw, ring, OPT_BYTES, "16MiB",
	       "memory for the newest events as the kernel wrote them, for recordings and the export API; rounded up "
	       "to "
	       "a power of two; 0: none, and neither of those",
	       .max = 64ULL << 30),
};

static const struct option record[] = {
	OPTION(settings_record, folder, OPT_PATH, "/var/lib/shrike/record", "where the segments are written"),
	OPTION(settings_record, size, OPT_BYTES, "1GiB", "most that the folder may hold: the oldest segments go",
	       .min = 16 << 20),
	OPTION_AS(settings_record, "age", age_ns, OPT_DURATION, "0s", "segments older than this go; 0: no bound"),
	OPTION(settings_record, segment, OPT_BYTES, "64MiB", "size of one segment; at most an eighth of the folder's",
	       .min = 1 << 20, .max = 4ULL << 30),
};

#define SECTION(p, rows_, s, text)                                                                                     \
	{ .path = (p), .summary = (text), .rows = (rows_), .n_rows = countof(rows_), .size = sizeof(struct s) }

const struct config_section settings_sections[] = {
	SECTION("", top, settings, "what is watched"),
	SECTION("agent", agent, settings_agent, "the agent itself"),
	SECTION("rings", rings, settings_rings, "memory in which the kernel hands over events"),
	SECTION("budgets", budgets, settings_budgets, "how much one cgroup may say before the rest is only counted"),
	SECTION("bus", bus, settings_bus, "the way of events inside the agent"),
	SECTION("raw", raw, settings_raw, "the newest events, as the kernel wrote them"),
	{ .path = "record",
	  .summary = "all events, written to disk as they come; see docs/recording.md",
	  .rows = record,
	  .n_rows = countof(record),
	  .size = sizeof(struct settings_record),
	  .can_disable = true,
	  .off_by_default = true },
	SECTION("health", health, settings_health, "how the agent watches itself"),
};
const size_t settings_n_sections = countof(settings_sections);

static bool starts_with(const char *text, const char *start)
{
	return !strncmp(text, start, strlen(start));
}

/* The words alone: whether the cgroup is there is found out when the agent starts. */
static void check_scope(const struct config *config, struct config_report *report)
{
	const char *scope = ((const struct settings *)config_section(config, ""))->scope;

	if (starts_with(scope, "cgroup:")) {
		if (scope[strlen("cgroup:")] != '/')
			config_problem(
				config, report, false, "", "scope",
				"\"%s\": a cgroup is named by its path below the cgroup mount: cgroup:/system.slice",
				scope);
	} else if (starts_with(scope, "netns:")) {
		const char *name = scope + strlen("netns:");

		if (!*name || (*name != '/' && strchr(name, '/')))
			config_problem(config, report, false, "", "scope",
				       "\"%s\": a network namespace is named as by ip-netns, or by an absolute path",
				       scope);
	} else if (strcmp(scope, "host") != 0) {
		config_problem(config, report, false, "", "scope",
			       "\"%s\" is no scope: write host, cgroup:/PATH or netns:NAME", scope);
	}
}

uint64_t settings_ring_bytes(uint64_t bytes, uint64_t least)
{
	uint64_t up = least;

	while (up < bytes)
		up *= 2;
	return up;
}

static void check_ring(const struct config *config, struct config_report *report, const char *section,
		       const struct option *row, uint64_t bytes, uint64_t least)
{
	auto_buf struct buf said = { .max = 64 };
	uint64_t up = settings_ring_bytes(bytes, least);

	if (up == bytes)
		return;
	option_print_number(row, up, &said);
	config_problem(config, report, true, section, row->name, "not a power of two: %s is taken", buf_text(&said));
}

void settings_check(const struct config *config, struct config_report *report)
{
	const struct settings_rings *r = config_section(config, "rings");
	const struct settings_raw *newest = config_section(config, "raw");
	const uint64_t bytes[] = { r->critical, r->bulk, r->packet };

	check_scope(config, report);
	for (size_t i = 0; i < countof(bytes); i++)
		check_ring(config, report, "rings", &rings[i], bytes[i], (uint64_t)sysconf(_SC_PAGESIZE));
	if (newest->ring)
		check_ring(config, report, "raw", &raw[0], newest->ring, SETTINGS_RAW_RING_MIN);
	else if (config_is_enabled(config, "record"))
		config_problem(config, report, false, "raw", "ring",
			       "a recording is read from this ring: switch one of both off");
}
