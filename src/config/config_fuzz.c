/* SPDX-License-Identifier: Apache-2.0 */
/* config_fuzz - any bytes as a configuration; what is taken must print as a text that reads back the same. */
#include <stdlib.h>
#include "config/test_schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* libfyaml 0.7.12 leaks 512 bytes where a quoted text has many escapes; what we leak ourselves is not below it. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libfyaml.so\n";
}

static void count_change(void *ctx, const struct config_change *change)
{
	(void)ctx;
	(void)change;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_report struct config_report report = { 0 }, again = { 0 };
	AUTO(config) config = NULL;
	AUTO(config) copy = NULL;
	auto_buf struct buf text = { .max = 8 << 20 };
	int r = config_load_text("fuzz", (const char *)data, size, &sample_schema, &config, &report);

	config_report_write(&report, true, &text);
	buf_clear(&text);
	if (r < 0)
		return 0;
	config_print(config, &text);
	/* Printing says long lists on one line: only a text within bounds can be asked to come back. */
	if (text.failed || text.len >= (1 << 20))
		return 0;
	r = config_load_text("printed", buf_text(&text), text.len, &sample_schema, &copy, &again);
	if (r < 0 || config_diff(config, copy, count_change, NULL) != 0)
		abort();
	return 0;
}
