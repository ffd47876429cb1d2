/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reference - pages that are written from the tables: the commented default configuration,
 * its JSON Schema, and the reference of options, events and hooks.
 *
 * What is written depends on the tables, and on nothing else: not on the host, the time or
 * the order of files. The pages are checked in; a test fails where one is stale, and
 * `make reference` writes them again. None of this is in the product's binary.
 */
#pragma once
#include <stdbool.h>
#include "base/buf.h"
#include "config/config.h"

enum { REFERENCE_PAGE_MAX = 4 << 20 };

struct reference_page {
	const char *path; /* in the repository */
	/* `root` is the repository, for a page that reads files beside it. */
	int (*write)(const char *root, struct buf *out);
};

/* The schema of the agent's configuration, and what it is when nothing is said. */
int reference_config(const struct config_schema **ret_schema, struct config **ret_config);

extern const struct reference_page reference_pages[];
extern const size_t reference_n_pages;

int reference_config_yaml(const char *root, struct buf *out);
int reference_config_md(const char *root, struct buf *out);
int reference_schema_json(const char *root, struct buf *out);
int reference_events_md(const char *root, struct buf *out);
int reference_hooks_md(const char *root, struct buf *out);
int reference_host_api_md(const char *root, struct buf *out);
int reference_rules_md(const char *root, struct buf *out);
int reference_openapi_json(const char *root, struct buf *out);
int reference_alerts_proto(const char *root, struct buf *out);
int reference_export_proto(const char *root, struct buf *out);
int reference_rule_schema(const char *root, struct buf *out);
int reference_macros_schema(const char *root, struct buf *out);
int reference_sdk_h(const char *root, struct buf *out);
int reference_proto_numbers(const char *root, struct buf *out);
/* A file of messages as protoc reads it. */
struct proto_file;
int reference_proto_write(const struct proto_file *file, struct buf *out);

/* ---- for the pages ------------------------------------------------------------------- */

/* Text broken between words into lines of at most `width`, each behind `prefix`. */
void reference_wrap(struct buf *out, const char *prefix, size_t width, const char *text);
/* Text as a cell of a Markdown table, or as prose: what Markdown would take for its own is escaped. */
void reference_md(struct buf *out, const char *text);
/* "A sentence." of "a sentence": with a capital and a full stop. */
void reference_sentence(struct buf *out, const char *text);
/* What an option takes: "a whole number, 64 to 8192 bytes". */
void reference_takes(const struct option *row, struct buf *out);
/* What a change of it needs: "applies at once". */
const char *reference_change(const struct config_section *section, const struct option *row);
