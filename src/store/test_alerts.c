/* SPDX-License-Identifier: Apache-2.0 */
#include "store/test_alerts.h"
#include <stdio.h>
#include "base/clock.h"

static const int64_t begin_ns = 1715000000000000000;

struct alert test_alert(unsigned n)
{
	static const char body[] = "{\"event\":{\"kind\":\"alert\"},\"host\":{\"name\":\"web-1\"},"
				   "\"shrike\":{\"alert\":{\"id\":\"x\"";
	const int64_t at_ns = begin_ns + n * (int64_t)NS_PER_S;
	struct alert a = {
		.time_ns = at_ns,
		.first_ns = at_ns,
		.last_ns = at_ns,
		.severity = (uint8_t)(n % 5),
		.risk = 50,
		.rule = n % 2 ? "odd" : "even",
		.rule_name = "A rule",
		.rule_version = "1",
		.process = "sh",
		.user = "ann",
		.container = "",
		.who = "",
		.comment = "",
		.body = body,
		.body_n = sizeof(body) - 1,
	};

	(void)snprintf(a.id, sizeof(a.id), "%08x%024x", n, 0);
	return a;
}

bool test_alerts_put(struct alerts *store, unsigned from, unsigned to)
{
	bool all = true;

	for (unsigned n = from; n < to; n++) {
		const struct alert a = test_alert(n);

		all &= alerts_put(store, &a);
	}
	alerts_flush(store);
	return all;
}
