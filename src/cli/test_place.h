/* SPDX-License-Identifier: Apache-2.0 */
/* test_place - a folder of a test's own, which goes with all that is in it. */
#pragma once
#include <stdbool.h>

struct place {
	char dir[64];
};

bool place_make(struct place *p);
void place_close(struct place *p);
#define auto_place __attribute__((cleanup(place_close)))

/* The path of a file there. Good for the next few calls. */
const char *place_at(const struct place *p, const char *name);
