/* SPDX-License-Identifier: Apache-2.0 */
#include "api/metrics.h"
#include "api/internal.h"
#include "base/clock.h"

void metric(struct buf *out, const char *name, enum metric_type type, const char *help)
{
	buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type == METRIC_COUNTER ? "counter" : "gauge");
}

static void put_label_value(struct buf *out, const char *value)
{
	for (; *value; value++) {
		if (*value == '\\' || *value == '"')
			buf_char(out, '\\');
		if (*value == '\n')
			buf_str(out, "\\n");
		else
			buf_char(out, *value);
	}
}

void sample(struct buf *out, const char *name, uint64_t value, ...)
{
	const char *label;
	unsigned n = 0;
	va_list ap;

	buf_str(out, name);
	va_start(ap, value);
	while ((label = va_arg(ap, const char *))) {
		buf_printf(out, "%c%s=\"", n++ ? ',' : '{', label);
		put_label_value(out, va_arg(ap, const char *));
		buf_char(out, '"');
	}
	va_end(ap);
	buf_printf(out, "%s ", n ? "}" : "");
	buf_u64(out, value);
	buf_char(out, '\n');
}

static void single(struct buf *out, const char *name, enum metric_type type, const char *help, uint64_t value)
{
	metric(out, name, type, help);
	sample(out, name, value, NULL);
}

static void put_refusals(const struct api_counters *c, struct buf *out)
{
	static const char name[] = "shrike_api_refused_total";
	char status[8];

	metric(out, name, METRIC_COUNTER, "requests that were refused, by status");
	for (unsigned i = 400; i < countof(c->refused); i++) {
		if (!c->refused[i])
			continue;
		(void)snprintf(status, sizeof(status), "%u", i);
		sample(out, name, c->refused[i], "status", status, NULL);
	}
}

/* What one metric has for each consumer. */
struct column {
	struct buf *out;
	const char *name;
	size_t off;
};

static void put_consumer(void *ctx, const struct consumer_usage *usage)
{
	const struct column *column = ctx;
	const _Atomic uint64_t *value = (const void *)((const char *)usage + column->off);

	sample(column->out, column->name, *value, "consumer", usage->name, NULL);
}

static void put_consumers(struct api *api, struct buf *out)
{
	static const struct {
		const char *name, *help;
		size_t off;
	} rows[] = {
		{ "shrike_api_consumer_requests_total", "requests of each consumer",
		  offsetof(struct consumer_usage, requests) },
		{ "shrike_api_consumer_records_total", "records that were sent to each consumer",
		  offsetof(struct consumer_usage, records) },
		{ "shrike_api_consumer_lost_total", "records that each consumer was too slow for, or may not have",
		  offsetof(struct consumer_usage, lost) },
		{ "shrike_api_consumer_limited_total", "requests and streams beyond a consumer's bounds",
		  offsetof(struct consumer_usage, rate_limited) },
	};

	for (size_t i = 0; i < countof(rows); i++) {
		struct column column = { out, rows[i].name, rows[i].off };

		metric(out, rows[i].name, METRIC_COUNTER, rows[i].help);
		access_each_usage(api->access, put_consumer, &column);
	}
}

void api_metrics(struct api *api, struct buf *out)
{
	const struct api_counters *c = &api->counters;
	const struct access_counters *ac = access_counters(api->access);
	static const char requests[] = "shrike_api_requests_total", bad[] = "shrike_api_malformed_total",
			  late[] = "shrike_api_timeouts_total";
	uint64_t written, failed;

	single(out, "shrike_api_connections", METRIC_GAUGE, "connections that are open", c->connections_open);
	single(out, "shrike_api_connections_total", METRIC_COUNTER, "connections that were accepted", c->connections);
	single(out, "shrike_api_connections_refused_total", METRIC_COUNTER, "connections beyond api.connections",
	       c->connections_refused);
	metric(out, requests, METRIC_COUNTER, "requests by protocol");
	sample(out, requests, c->requests[HTTP_1_0], "protocol", "http/1.0", NULL);
	sample(out, requests, c->requests[HTTP_1_1], "protocol", "http/1.1", NULL);
	sample(out, requests, c->requests[HTTP_2], "protocol", "http/2", NULL);
	single(out, "shrike_api_websockets_total", METRIC_COUNTER, "WebSockets that were opened", c->websockets);
	single(out, "shrike_api_streams", METRIC_GAUGE, "streams that are open", c->streams_open);
	single(out, "shrike_api_streams_total", METRIC_COUNTER, "streams that were opened", c->streams);
	put_refusals(c, out);
	metric(out, bad, METRIC_COUNTER, "what could not be understood, by protocol");
	sample(out, bad, c->bad_http1, "protocol", "http/1.1", NULL);
	sample(out, bad, c->bad_http2, "protocol", "http/2", NULL);
	sample(out, bad, c->bad_websocket, "protocol", "websocket", NULL);
	sample(out, bad, c->tls_failed, "protocol", "tls", NULL);
	sample(out, bad, ac->bad_tokens, "protocol", "token", NULL);
	metric(out, late, METRIC_COUNTER, "what took too long");
	sample(out, late, c->head_timeouts, "of", "head", NULL);
	sample(out, late, c->body_timeouts, "of", "body", NULL);
	sample(out, late, c->idle_timeouts, "of", "idle", NULL);
	sample(out, late, c->stall_timeouts, "of", "stall", NULL);
	single(out, "shrike_api_received_bytes_total", METRIC_COUNTER, "bytes of requests", c->bytes_in);
	single(out, "shrike_api_sent_bytes_total", METRIC_COUNTER, "bytes of answers", c->bytes_out);
	single(out, "shrike_api_records_total", METRIC_COUNTER, "records that were sent", c->records);
	single(out, "shrike_api_records_lost_total", METRIC_COUNTER, "records that consumers were too slow for",
	       c->records_lost);
	audit_sums(api->audit, &written, &failed);
	single(out, "shrike_api_audit_lines_total", METRIC_COUNTER, "lines of the audit log", written);
	single(out, "shrike_api_audit_failed_total", METRIC_COUNTER, "lines that could not be written", failed);
	put_consumers(api, out);
}
