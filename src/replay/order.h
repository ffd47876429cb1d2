/* SPDX-License-Identifier: Apache-2.0 */
/*
 * order - lines that several threads make, handed out in one order.
 *
 * A line has a key: when, which place in the input, and how many the same event made before it.
 * Each thread puts its own lines as they come; one thread takes all that are older than a time
 * before which, as it knows, nobody will put another line. Lines of equal keys, which timers
 * make, are ordered by their text: the order never depends on who made a line.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/mem.h"

struct order_key {
	int64_t time_ns;
	uint64_t place;
	uint32_t nth;
};

struct order;
int order_open(unsigned threads, struct order **ret_order);
void order_free(struct order *o);
DEFINE_AUTO(order)
/* Any of the threads, each with its own number. The bytes are copied. -ENOMEM. */
int order_put(struct order *o, unsigned thread, const struct order_key *key, int what, const char *line, size_t n);
/* Bytes that wait to be taken; any thread. */
size_t order_waiting(struct order *o);
/*
 * The taking thread: hands out what is older than before_ns. 0; 1 when `fn` returned false, which drops
 * the line it refused and leaves the others; -ENOMEM.
 */
int order_take(struct order *o, int64_t before_ns,
	       bool (*fn)(void *arg, const struct order_key *key, int what, const char *line, size_t n), void *arg);
