/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of queries, with the schemas that stand in them, and dates. */
#include <stdlib.h>
#include "base/err.h"
#include "hunt/batch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const struct batch_defaults defaults = { .options = { .limit = UINT64_MAX } };
	auto_batch struct batch batch = { 0 };
	AUTO(hunt) h = NULL;
	int64_t ns;

	if (hunt_new(&h) < 0)
		return 0;
	(void)time_of_text((const char *)data, n, TIME_AUTO, &ns);
	(void)batch_line((const char *)data, n, 1, &defaults, h, &batch);
	if (hunt_prepare(h) < 0)
		err_clear();
	return 0;
}
