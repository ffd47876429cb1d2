/* SPDX-License-Identifier: Apache-2.0 */
/* recording - a recording (a segment, or a folder of them) as an input of JSON lines. */
#pragma once
#include "hunt/lines.h"

/* Is it one, by its first bytes, or a folder? */
bool recording_is(const char *path);
/*
 * Writes its records as the agent would have sent them, with what was known then of processes, users and containers,
 * into a file without a name. *ret_lost: records that are missing in it, as the recording itself says.
 */
int recording_open(const char *path, struct lines **ret_lines, uint64_t *ret_lost);
