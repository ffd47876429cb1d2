/* SPDX-License-Identifier: Apache-2.0 */
/* flood - a sensor that sends as many records as it is told: for tests and benchmarks of rings, budgets and books. */
#pragma once
#include "sensors/sensor.h"
#include "tests/sandbox/flood.event.h"

extern const struct sensor sensor_flood;

/* Runs the program of a loaded sensor_flood once, in the calling process. */
int flood_run(struct object *obj, __u32 critical, __u32 bulk);
