/* SPDX-License-Identifier: Apache-2.0 */
/* rule - how long a rule takes from its text to the form that engines read, and what it keeps. */
#include <stdio.h>
#include "base/clock.h"
#include "base/err.h"
#include "rule/rule.h"

/* About as long, and as mixed, as rules that people write. */
static const char *const rules[] = {
	"process where event.type == \"start\" and event.action in (\"exec\", \"fork\") and process.name : (\"nc\", "
	"\"ncat\", "
	"\"socat*\") and process.args : (\"-e\", \"-c\", \"exec:*\") and not process.parent.executable in "
	"(\"/usr/lib/one\", \"/usr/lib/two\", \"/opt/three/bin/four\") and not user.id == \"0\"",
	"sequence by host.id, process.entity_id with maxspan=90s\n"
	"  [file where event.type != \"deletion\" and file.path like~ (\"/tmp/*\", \"/var/tmp/*\", \"/dev/shm/*\") and "
	"file.extension in~ (\"sh\", \"py\", \"pl\", \"so\")] by file.path\n"
	"  [process where event.action == \"exec\" and process.args_count <= 3] by process.executable\n"
	"until [process where event.type == \"end\"] by process.executable",
	"network where ?destination.ip != null and not cidrMatch(destination.ip, \"10.0.0.0/8\", \"172.16.0.0/12\", "
	"\"192.168.0.0/16\", \"127.0.0.0/8\", \"::1\", \"fe80::/10\") and process.executable regex~ "
	"\"\"\"/(home|tmp)/[a-z0-9.]+/.*\"\"\" and length(process.command_line) > 20 + 2 * process.args_count",
};

int main(void)
{
	enum { ROUNDS = 20, TIMES = 300 };
	double best = 0;
	size_t kept = 0;

	for (int round = 0; round < ROUNDS; round++) {
		uint64_t began = clock_boot_ns();
		double each;

		kept = 0;
		for (int i = 0; i < TIMES; i++) {
			for (size_t k = 0; k < countof(rules); k++) {
				AUTO(query) q = NULL;

				if (query_compile(rules[k], strlen(rules[k]), NULL, NULL, &q)) {
					err_print(stderr);
					return 1;
				}
				kept += q->arena.taken;
			}
		}
		each = (double)(clock_boot_ns() - began) / 1e3 / (TIMES * countof(rules));
		best = !best || each < best ? each : best;
	}
	printf("{\"name\":\"rule.compile\",\"value\":%.1f,\"unit\":\"us\"}\n", best);
	printf("{\"name\":\"rule.memory\",\"value\":%zu,\"unit\":\"bytes\"}\n", kept / (TIMES * countof(rules)));
	return 0;
}
