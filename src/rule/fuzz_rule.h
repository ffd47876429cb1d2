/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_rule - what the three fuzz targets share: the first byte chooses dialect and options, the rest is the text. */
#pragma once
#include <stdlib.h>
#include "rule/rule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define must(e)                                                                                                        \
	do {                                                                                                           \
		if (!(e))                                                                                              \
			abort();                                                                                       \
	} while (0)

static inline struct query_options fuzz_options(uint8_t byte)
{
	return (struct query_options) {
		.dialect = (enum rule_dialect)(byte % 3),
		.strict_endgame = byte & 0x10,
		.case_sensitive = byte & 0x20,
		.implied_any = byte & 0x40,
	};
}

/* A refusal is told with a place in the text. */
static inline void fuzz_check_diag(const struct diag *d, size_t n)
{
	must(d->message[0] && d->line && d->column && d->at <= n && d->len <= n - d->at);
}
