/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/metrics.h"
#include <string.h>
#include "base/test.h"

TEST(a_status_becomes_metrics_that_stand_together)
{
	static const char status[] =
		"{\"ok\":true,\"agent\":{\"version\":\"1\",\"pid\":7},\"sensors\":[{\"name\":\"file\",\"state\":"
		"\"running\","
		"\"kinds\":[{\"name\":\"file.open\",\"sent\":1},{\"name\":\"file.close\",\"sent\":2}]},"
		"{\"name\":\"a\\\"b\",\"state\":\"off\",\"kinds\":[{\"name\":\"x\",\"sent\":18446744073709551615}]}],"
		"\"bus\":{\"put\":3,\"lost\":{\"bulk\":4}},\"raw\":{\"readers\":[{\"name\":\"r\",\"lag\":5}]},"
		"\"streams\":[{\"name\":\"s\",\"sent\":1}],\"api\":{\"requests\":1}}";
	static const char want[] = "# TYPE shrike_agent_pid untyped\nshrike_agent_pid 7\n"
				   "# TYPE shrike_bus_lost_bulk untyped\nshrike_bus_lost_bulk 4\n"
				   "# TYPE shrike_bus_put untyped\nshrike_bus_put 3\n"
				   "# TYPE shrike_kind_sent untyped\n"
				   "shrike_kind_sent{sensor=\"file\",kind=\"file.open\"} 1\n"
				   "shrike_kind_sent{sensor=\"file\",kind=\"file.close\"} 2\n"
				   "shrike_kind_sent{sensor=\"a\\\"b\",kind=\"x\"} 18446744073709551615\n"
				   "# TYPE shrike_ok untyped\nshrike_ok 1\n"
				   "# TYPE shrike_raw_reader_lag untyped\nshrike_raw_reader_lag{raw_reader=\"r\"} 5\n"
				   "# TYPE shrike_sensor_state untyped\n"
				   "shrike_sensor_state{sensor=\"file\",state=\"running\"} 1\n"
				   "shrike_sensor_state{sensor=\"a\\\"b\",state=\"off\"} 1\n";
	auto_buf struct buf out = { .max = 1 << 20 };

	metrics_of_status(status, sizeof(status) - 1, &out);
	check_str(buf_text(&out), want);
	buf_clear(&out);
	metrics_of_status("nonsense", 8, &out);
	check_str(buf_text(&out), "");
}
