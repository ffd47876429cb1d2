/* SPDX-License-Identifier: Apache-2.0 */
#include "base/crc.h"
#include <string.h>
#include "base/test.h"

TEST(sums_are_those_of_the_standard)
{
	static const struct {
		const char *name, *bytes;
		uint32_t sum;
	} rows[] = {
		{ "nothing", "", 0 },
		{ "one byte", "a", 0xc1d04330 },
		{ "the check of all catalogues", "123456789", 0xe3069283 },
	};
	static const unsigned char zeros[32];

	for_each_row (r, rows)
		check_int(crc32c(r->bytes, strlen(r->bytes)), r->sum);
	/* RFC 3720, B.4 */
	check_int(crc32c(zeros, sizeof(zeros)), 0x8a9136aa);
}
