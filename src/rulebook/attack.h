/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attack - what the ids of MITRE ATT&CK are called: all tactics, and the techniques that concern Linux.
 *
 * An id that is not in the table is none the worse for it: it has no name.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>

/* "TA0003"; NULL: we do not know it. */
const char *attack_tactic_name(const char *id);
/* "T1053", "T1053.003" (the name of the latter alone: "Cron"). */
const char *attack_technique_name(const char *id);
/* By the short name that is written in tags, as in "privilege-escalation" or "privilege_escalation". */
const char *attack_tactic_id(const char *name, size_t n);
/* Is it written as such an id is? */
bool attack_is_tactic(const char *id);
bool attack_is_technique(const char *id);
