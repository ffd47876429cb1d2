/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as what a client asks of alerts: as a query string, whose words are taken or refused with a reason, and as
 * the messages of gRPC. What is taken chooses alerts.
 */
#include <stdlib.h>
#include <string.h>
#include "api/alerts_api.h"
#include "api/alerts_proto.h"
#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 8 << 10, MEMORY = 1 << 16 };

static const char body[] = "{\"host\":{\"name\":\"web-1\"},\"shrike\":{\"alert\":{\"id\":\"x\"";
static const struct alert sample = {
	.time_ns = 1715000000000000000,
	.severity = 3,
	.rule = "r",
	.rule_name = "A rule",
	.rule_version = "1",
	.process = "sh",
	.user = "ann",
	.container = "web",
	.who = "",
	.comment = "",
	.body = body,
	.body_n = sizeof(body) - 1,
};

static int take_word(void *arg, const char *name, const char *value)
{
	int r = alerts_ask_set(arg, name, value);

	/* Those of a stream alone. */
	return r < 0 && (!strcmp(name, "start") || !strcmp(name, "format")) ? 0 : r;
}

static void choose(const struct alerts_ask *ask)
{
	if (ask->severity_min > 4 || ask->states >= 8 || ask->limit > ALERTS_PAGE_MAX)
		abort();
	(void)alerts_ask_fits(ask, &sample);
}

static void as_query(const char *text)
{
	const struct route_table table = alerts_api_routes(NULL);

	for (size_t i = 0; i < table.n; i++) {
		struct http_request req = { .route = &table.routes[i], .query = text, .path = text };
		struct alerts_ask ask = { 0 };
		char id[ALERT_ID_SIZE];

		if (http_params(&req, take_word, &ask) == 0)
			choose(&ask);
		else if (!*err_trail())
			abort();
		err_clear();
		(void)http_path_value(&req, "id", id, sizeof(id));
	}
}

static void as_message(const uint8_t *data, size_t size)
{
	auto_arena struct arena arena = { .max = MEMORY };
	struct alerts_stream_request stream;
	struct alerts_list_request list;
	struct alert_state_request state;
	struct alerts_ask ask = { 0 };

	if (proto_read(&alerts_stream_request_message, data, size, &arena, &stream) == 0 && stream.filter &&
	    alerts_proto_ask(stream.filter, &ask) == 0)
		choose(&ask);
	if (proto_read(&alerts_list_request_message, data, size, &arena, &list) == 0 && list.filter) {
		ask = (struct alerts_ask) { 0 };
		if (alerts_proto_ask(list.filter, &ask) == 0)
			choose(&ask);
	}
	(void)proto_read(&alert_ack_request_message, data, size, &arena, &state);
	err_clear();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = NULL;

	if (size > INPUT_MAX)
		return 0;
	text = strndup((const char *)data, size);
	if (!text)
		return 0;
	as_query(text);
	as_message(data, size);
	return 0;
}
