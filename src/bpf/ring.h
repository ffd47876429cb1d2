/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ring - the consumer's end of the kernel rings.
 *
 * Ours, not libbpf's, for four things: looking at the next record without taking it (to
 * merge rings in time order), stopping after a number of records, handing space back once a
 * batch instead of once a record, and mapping the data once.
 *
 * The kernel offers the data twice in a row, so that no record wraps; each page would count
 * twice as resident memory. The one record a lap that does wrap is copied instead.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "event/abi.h"

struct ring {
	int fd;
	size_t size, mask;
	volatile unsigned long *consumer_pos;
	const volatile unsigned long *producer_pos;
	const unsigned char *data;
	unsigned char *wrapped; /* the record that begins at the end of the data and ends at its start */
	unsigned long at;       /* next record to take; consumer_pos follows */
	unsigned long visible;  /* producer position last seen */
};

enum { RING_RECORD_MAX = 64 << 10 }; /* longer ones are cut where they wrap; see EV_LEN_MAX */

int ring_open(int map_fd, size_t size, struct ring *ret_ring);
void ring_close(struct ring *r);
/* The next record, or NULL when there is none yet. Valid until ring_release(). */
const void *ring_peek(struct ring *r, size_t *ret_len);
/* Steps over what ring_peek() returned. */
void ring_next(struct ring *r);
/* Hands the space of all that was stepped over back to the kernel. */
void ring_release(struct ring *r);
/* Bytes waiting. */
size_t ring_used(const struct ring *r);
/* Any thread: bytes that the kernel cannot write to yet. */
size_t ring_taken(const struct ring *r);
