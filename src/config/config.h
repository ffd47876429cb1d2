/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config - the configuration of the agent: one YAML file and what lies in conf.d beside it,
 * read whole or not at all.
 *
 * What may be written is a schema: a list of sections, each a table of option rows and the
 * size of the struct that they fill. The caller brings it; nothing here knows a leaf.
 *
 * Files are taken in turn: the main one, then conf.d/<name>.yaml in the order of their
 * names. A later file wins key by key; a list replaces the earlier one. Every file is judged
 * by itself, so that a mistake is found where it stands even when a later file covers it.
 * All problems are collected in a report, with file, line and column.
 *
 * A configuration never changes once it is read. Holders keep it alive with config_ref().
 */
#pragma once
#include "base/mem.h"
#include "config/option.h"
#include "config/report.h"

#define CONFIG_PATH "/etc/shrike/shrike.yaml"

enum { CONFIG_FILES_MAX = 256, CONFIG_SECTIONS_MAX = 256 };

struct config;

struct config_section {
	const char *path; /* "rings", "sensors.process"; "": the keys at the top of the file */
	const char *summary;
	const struct option *rows;
	size_t n_rows, size;
	/* Takes `enabled: true|false`: a leaf. Its changes never need a restart of the agent. */
	bool can_disable, off_by_default;
};

/* Looks at a whole configuration for what no single row can tell; adds to the report. */
typedef void config_check_fn(const struct config *config, struct config_report *report);

struct config_schema {
	const struct config_section *sections;
	size_t n_sections;
	config_check_fn *const *checks; /* ends with NULL; may be NULL */
};

/*
 * Reads a configuration. `path` NULL means CONFIG_PATH, which may be missing: then all
 * options have their defaults. A path that was named must exist. -EINVAL when anything is
 * wrong, with all of it in `report` (zeroed by the caller; it may hold warnings on success too).
 * The schema must outlive the configuration.
 */
int config_load(const char *path, const struct config_schema *schema, struct config **ret_config,
		struct config_report *report);
/*
 * The same with `sets` on top, each "sections.key=value" as one would write the value in YAML:
 * what a command line or an operator changes for one run.
 */
int config_load_with(const char *path, const char *const *sets, size_t n_sets, const struct config_schema *schema,
		     struct config **ret_config, struct config_report *report);
/* The same from a text; `name` is what problems call it. */
int config_load_text(const char *name, const char *text, size_t len, const struct config_schema *schema,
		     struct config **ret_config, struct config_report *report);
/* All defaults. */
int config_load_defaults(const struct config_schema *schema, struct config **ret_config);

struct config *config_ref(struct config *config);
void config_free(struct config *config); /* one reference */
DEFINE_AUTO(config)

/* The options of a section, or NULL where the schema has none of that path. */
const void *config_section(const struct config *config, const char *path);
/* Is a leaf switched on? Sections without such a switch are. */
bool config_is_enabled(const struct config *config, const char *path);
const struct config_schema *config_schema_of(const struct config *config);

/* Where an option was set, as "FILE:LINE"; NULL where it has its default. `key` may be "enabled". */
const char *config_origin(const struct config *config, const char *path, const char *key, char *buf, size_t size);

/* For checks: a problem at the place where the option was set (or with its default, at the main file). */
void config_problem(const struct config *config, struct config_report *report, bool warning, const char *path,
		    const char *key, const char *fmt, ...) __attribute__((format(printf, 6, 7)));
/* The same for one key or item of it. */
void config_problem_in(const struct config *config, struct config_report *report, bool warning, const char *path,
		       const char *key, const char *inner, const char *fmt, ...) __attribute__((format(printf, 7, 8)));

/* ---- what a reload changes ----------------------------------------------------------- */

enum config_effect {
	CONFIG_SAME,
	CONFIG_LIVE,    /* hand the leaf its new options */
	CONFIG_SWITCH,  /* the leaf is started or stopped */
	CONFIG_REOPEN,  /* the leaf is closed and opened again */
	CONFIG_RESTART, /* takes effect when the agent is started again */
};

struct config_change {
	const struct config_section *section;
	const struct option *row; /* NULL: `enabled` */
	enum config_effect effect;
	const void *before, *after; /* options of the section, for option_print() */
};

/* Calls fn for each option that differs, in the order of the schema, which both must share. Returns how many. */
size_t config_diff(const struct config *before, const struct config *after,
		   void (*fn)(void *ctx, const struct config_change *change), void *ctx);
/* What it takes to bring one section from `before` to `after`: the most costly of its changes. */
enum config_effect config_section_effect(const struct config *before, const struct config *after, const char *path);

/* Writes all options with their values as YAML; those not at their default say where they were set. */
void config_print(const struct config *config, struct buf *out);
