/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_schema - a schema with an option of every type, for the tests and the fuzz target.
 *
 * It does not change when a sensor does, so that the expected messages stay the same.
 */
#pragma once
#include "config/config.h"

struct sample {
	bool flag;
	uint32_t count;
	uint64_t total, size, pause;
	char *text, *path;
	uint32_t mode, words;
	struct option_list names, paths;
	struct option_map map;
};

static const char *const sample_modes[] = { "off", "fast", "careful", NULL };
static const char *const sample_words[] = { "read", "write", "open", NULL };

static const struct option sample_rows[] = {
	OPTION(sample, flag, OPT_BOOL, "false", "a switch", .live = true),
	OPTION(sample, count, OPT_U32, "10", "a number with bounds", .min = 5, .max = 500, .unit = "things"),
	OPTION(sample, total, OPT_U64, "0", "a number without"),
	OPTION(sample, size, OPT_BYTES, "64KiB", "a size", .min = 4096, .max = 1 << 20, .live = true),
	OPTION(sample, pause, OPT_DURATION, "10s", "a time", .min = 1000000, .max = 3600000000000),
	OPTION(sample, text, OPT_STR, "", "a text"),
	OPTION(sample, path, OPT_PATH, "/etc/passwd", "a path"),
	OPTION(sample, mode, OPT_ENUM, "fast", "one of a few", .names = sample_modes, .live = true),
	OPTION(sample, words, OPT_WORDS, "read, open", "some of a few", .names = sample_words),
	OPTION(sample, names, OPT_STRS, "", "a list", .max = 3, .live = true),
	OPTION(sample, paths, OPT_PATHS, "/etc, /usr", "a list of paths", .min = 1),
	OPTION(sample, map, OPT_MAP, "", "a mapping", .names = sample_words, .max = 2, .unit = "file"),
};

struct sample_top {
	char *scope;
};
static const struct option sample_top_rows[] = {
	OPTION(sample_top, scope, OPT_STR, "host", "what is watched"),
};

/* Holds whole configurations to a rule that no row has: text and mode together. */
static void sample_check(const struct config *config, struct config_report *report)
{
	const struct sample *s = config_section(config, "sensors.sample");

	if (s->mode == 0 && *s->text)
		config_problem(config, report, false, "sensors.sample", "text", "\"%s\" while mode is off", s->text);
	for (size_t i = 0; i < s->map.n; i++)
		if (!strcmp(s->map.items[i].key, "nowhere"))
			config_problem_in(config, report, false, "sensors.sample", "map", "nowhere", "is not here");
	for (size_t i = 0; i < s->names.n; i++)
		if (!strcmp(s->names.items[i], "odd"))
			config_problem_in(config, report, true, "sensors.sample", "names", "odd", "an odd name");
}

static const struct config_section sample_sections[] = {
	{ "", "the top", sample_top_rows, countof(sample_top_rows), sizeof(struct sample_top) },
	{ "plain", "a section that is always there", sample_rows, countof(sample_rows), sizeof(struct sample) },
	{ "sensors", "all sensors" },
	{ "sensors.sample", "a leaf", sample_rows, countof(sample_rows), sizeof(struct sample), .can_disable = true },
	{ "sensors.quiet", "a leaf without options, off", .can_disable = true, .off_by_default = true },
};
static config_check_fn *const sample_checks[] = { sample_check, NULL };
static const struct config_schema sample_schema = { sample_sections, countof(sample_sections), sample_checks };
