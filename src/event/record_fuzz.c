/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a record from a disk: event_check() decides, and what it takes can be printed and read back. */
#include <stdlib.h>
#include "event/fuzz_kinds.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct event_scratch scratch;
	static _Alignas(8) unsigned char bytes[EV_LEN_MAX];
	const struct event_kind *kind;
	const struct field *const *fields;
	struct ev_head *head = (struct ev_head *)bytes;
	struct value v;
	size_t n;

	if (!event_kind_at(0))
		fuzz_kinds_register();
	if (size < sizeof(*head) || size > sizeof(bytes))
		return 0;
	memcpy(bytes, data, size);
	/* The fuzzer should not have to guess the length. */
	if (head->len != size)
		(void)event_check(bytes, size);
	head->len = (__u16)size;
	kind = event_check(bytes, size);
	if (!kind)
		return 0;
	n = event_kind_fields(kind, &fields);
	for (size_t i = 0; i < n; i++)
		(void)event_field_value(head, fields[i], &scratch, &v);
	fuzz_round_trip(head, kind);
	return 0;
}
