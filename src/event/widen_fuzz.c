/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a record of an older agent: what event_widen() takes is a sound record of today. */
#include <stdlib.h>
#include "event/fuzz_kinds.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first two bytes are the size that the kind is said to have had. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static _Alignas(8) unsigned char bytes[EV_LEN_MAX], wide[EV_LEN_MAX];
	struct ev_head *head = (struct ev_head *)bytes;
	const struct event_kind *kind;
	uint16_t fixed;

	if (!event_kind_at(0))
		fuzz_kinds_register();
	if (size < sizeof(fixed) + sizeof(*head) || size - sizeof(fixed) > sizeof(bytes))
		return 0;
	memcpy(&fixed, data, sizeof(fixed));
	size -= sizeof(fixed);
	memcpy(bytes, data + sizeof(fixed), size);
	/* The fuzzer should not have to guess the length. */
	head->len = (__u16)size;
	kind = event_widen(bytes, size, fixed, wide);
	if (!kind)
		return 0;
	if (event_check(wide, ((struct ev_head *)wide)->len) != kind)
		abort();
	fuzz_round_trip((struct ev_head *)wide, kind);
	return 0;
}
