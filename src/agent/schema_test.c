/* SPDX-License-Identifier: Apache-2.0 */
/* What only the leaves know of their options is told where it stands in the file. */
#include "agent/schema.h"
#include "base/test.h"
#include "config/config.h"

TEST(what_a_sensor_does_not_take_is_told_with_line_and_column)
{
	static const struct {
		const char *name, *text, *want;
	} rows[] = {
		{ "a signal", "sensors:\n  process:\n    signals: [TERM, TREM]\n",
		  "x.yaml:3:21: sensors.process.signals: \"TREM\" is neither a signal's name" },
		{ "an operation", "sensors:\n  kernel:\n    io_uring_operations:\n      - openat\n      - opnat\n",
		  "x.yaml:5:9: sensors.kernel.io_uring_operations: \"opnat\" is no io_uring operation" },
		{ "a pattern", "sensors:\n  file: { sensitive: [/etc/*shadow] }\n",
		  "x.yaml:2:23: sensors.file.sensitive: \"/etc/*shadow\": a * stands at the end" },
		{ "patterns that do not fit together",
		  "sensors:\n  file:\n    pseudo: true\n    exclude: [/home/*/a, /home/x/*/b]\n",
		  "x.yaml:4:14: sensors.file.exclude: " },
		{ "an unknown event", "stacks: { process.exce: [kernel] }\n", "x.yaml:1:" },
		{ "a sensor that is off is let be",
		  "sensors:\n  file: { enabled: false, exclude: [/home/*/a, /home/x/*/b] }\n", "" },
	};
	auto_buf struct buf said = { .max = 1 << 16 };

	for_each_row (r, rows) {
		auto_report struct config_report report = { 0 };
		AUTO(config) config = NULL;

		(void)config_load_text("x.yaml", r->text, strlen(r->text), agent_schema(), &config, &report);
		buf_clear(&said);
		config_report_write(&report, false, &said);
		check_has(buf_text(&said), r->want);
		check((said.len == 0) == (r->want[0] == 0));
	}
}
