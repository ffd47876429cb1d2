/* SPDX-License-Identifier: Apache-2.0 */
/* tally - how many events there were of each kind, the most first. */
#pragma once
#include "base/map.h"
#include "cli/cli.h"

struct tally {
	struct map kinds;
};

void tally_init(struct tally *t);
void tally_free(struct tally *t);
void tally_add(struct tally *t, const char *kind, uint64_t n);
/* A table, or with OUTPUT_JSON one object. */
void tally_show(struct cli *cli, const struct tally *t, uint32_t output);
