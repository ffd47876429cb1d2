/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock - reading the clocks, and dates as RFC 3339 writes them, in UTC and to the nanosecond.
 *
 * What depends on the time reads it here, so that a test can say what time it is.
 *
 * Wall time is nanoseconds since 1970 in 64 bits: the years 1677 to 2262.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NS_PER_US 1000ULL
#define NS_PER_MS 1000000ULL
#define NS_PER_S  1000000000ULL

uint64_t clock_boot_ns(void);
int64_t clock_wall_ns(void);
/* CLOCK_MONOTONIC: for how long things take. */
uint64_t clock_mono_ns(void);
/* What turns boot time into wall time, now. */
int64_t clock_wall_minus_boot_ns(void);
void clock_sleep_ns(uint64_t ns);

/*
 * For tests. From clock_mock() on all that is above tells these times to the whole process, and
 * they stand still until they are moved; clock_sleep_ns() moves them and does not sleep.
 */
void clock_mock(uint64_t boot_ns, int64_t wall_ns);
void clock_mock_move(uint64_t ns);
void clock_mock_end(void);

enum { CLOCK_TEXT = 30 }; /* "2024-02-29T12:34:56.123456789Z" */
/* Writes CLOCK_TEXT bytes, without a NUL. */
void clock_format(int64_t wall_ns, char to[CLOCK_TEXT]);
/* Reads a date of RFC 3339, with any offset and up to nine digits of a second. False: it is none, or out of range. */
bool clock_parse(const char *p, size_t n, int64_t *ret_wall_ns);
