/* SPDX-License-Identifier: Apache-2.0 */
/* alerts_proto - what a client of alerts says and is told: one table a message, as in api/export_proto.h. */
#pragma once
#include "api/proto.h"
#include "store/alerts_ask.h"

struct alert_filter {
	int32_t severity; /* enum book_severity */
	struct proto_list states;
	const char *rule, *process, *user, *container, *text;
	uint64_t since, until;
};

struct alerts_stream_request {
	const struct alert_filter *filter;
	int32_t start; /* enum export_start */
	uint64_t cursor;
};

struct alerts_list_request {
	const struct alert_filter *filter;
	uint32_t limit;
	uint64_t cursor;
};

struct alert_get_request {
	const char *id;
};

struct alert_state_request {
	const char *id, *comment;
};

/* The alert as a message: struct alert, and its JSON. */
struct alert_message {
	const char *id, *rule, *rule_name, *rule_version, *process, *user, *container, *who, *comment, *before_id,
		*json;
	int64_t time, first, last, changed;
	int32_t severity, state;
	uint32_t risk;
	uint64_t folded, before_folded, seq, revision, lost;
};

enum { ALERTS_ANSWER_ALERTS = 1, ALERTS_ANSWER_MORE = 2, ALERTS_ANSWER_CURSOR = 3 };

extern const struct proto_message alert_filter_message, alerts_stream_request_message, alerts_list_request_message,
	alert_get_request_message, alert_ack_request_message, alert_close_request_message, alert_comment_message,
	alert_message_message, alerts_answer_message;
extern const struct proto_file alerts_proto_file; /* proto/shrike/v1/alerts.proto */

/* The filter in the words of the store. -EINVAL with a trail. */
int alerts_proto_ask(const struct alert_filter *filter, struct alerts_ask *ret_ask);
/* Appends the alert as a message; its JSON goes through `json`. */
void alerts_proto_write(const struct alert *alert, struct buf *json, struct buf *out);
