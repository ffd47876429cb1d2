/* SPDX-License-Identifier: Apache-2.0 */
/* help - the texts that are made from the verb rows. */
#pragma once
#include "cli/cli.h"

enum { HELP_MAX = 1 << 20 };

/* What `shrike help` prints; the verb is not looked at. */
void help_overview(const struct verb *verb, struct buf *out);
/* What `shrike VERB --help` prints. */
void help_verb(const struct verb *verb, struct buf *out);

/* The page shrike(1), or with a verb shrike-VERB(1), as roff. */
void man_page(const struct verb *verb, struct buf *out);
/* Writes all pages into a folder. */
int man_write_all(const char *folder);

extern const char *const completion_shells[]; /* NULL-terminated */
/* The script for one of completion_shells. */
void completion_script(const char *shell, struct buf *out);
