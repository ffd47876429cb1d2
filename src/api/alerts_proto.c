/* SPDX-License-Identifier: Apache-2.0 */
#include "api/alerts_proto.h"
#include "api/export_proto.h"
#include "base/err.h"
#include "base/mem.h"

static const struct proto_enum_value severity_values[] = {
	{ 0, "SEVERITY_INFORMATIONAL" }, { 1, "SEVERITY_LOW" },      { 2, "SEVERITY_MEDIUM" },
	{ 3, "SEVERITY_HIGH" },          { 4, "SEVERITY_CRITICAL" },
};
static const struct proto_enum severity_enum = { "Severity", "how bad it is, if it is what it looks like",
						 severity_values, countof(severity_values) };

static const struct proto_enum_value state_values[] = {
	{ ALERT_OPEN, "STATE_OPEN" },
	{ ALERT_ACKNOWLEDGED, "STATE_ACKNOWLEDGED" },
	{ ALERT_CLOSED, "STATE_CLOSED" },
};
static const struct proto_enum state_enum = { "State", "what people made of it", state_values, countof(state_values) };

static const struct proto_enum_value start_values[] = {
	{ START_NOW, "START_NOW" },
	{ START_OLDEST, "START_OLDEST" },
};
static const struct proto_enum start_enum = { "Start", "where a stream begins", start_values, countof(start_values) };

/* ---- the alert --------------------------------------------------------------------------------------------- */

static const struct proto_field message_fields[] = {
	PROTO(alert_message, id, 1, PROTO_STRING,
	      "32 hex digits, made of the rule and of what happened: the same wherever it is looked at"),
	PROTO(alert_message, time, 2, PROTO_I64, "when it was decided, in nanoseconds since 1970"),
	PROTO(alert_message, first, 3, PROTO_I64, "the time of its first event"),
	PROTO(alert_message, last, 4, PROTO_I64, "the time of the last one that was folded into it, or its own"),
	PROTO(alert_message, severity, 5, PROTO_ENUM, "as the rule says", .values = &severity_enum),
	PROTO(alert_message, risk, 6, PROTO_U32, "1 to 100, as the rule says"),
	PROTO(alert_message, rule, 7, PROTO_STRING, "the rule's id"),
	PROTO(alert_message, rule_name, 8, PROTO_STRING, "its name"),
	PROTO(alert_message, rule_version, 9, PROTO_STRING, "its version"),
	PROTO(alert_message, process, 10, PROTO_STRING, "the name of the process of the last event"),
	PROTO(alert_message, user, 11, PROTO_STRING, "its user"),
	PROTO(alert_message, container, 12, PROTO_STRING, "its container"),
	PROTO(alert_message, folded, 13, PROTO_U64, "later ones of the same kind that this one stands for"),
	PROTO(alert_message, state, 14, PROTO_ENUM, "open, acknowledged or closed", .values = &state_enum),
	PROTO(alert_message, who, 15, PROTO_STRING, "who set the state"),
	PROTO(alert_message, comment, 16, PROTO_STRING, "and what they said"),
	PROTO(alert_message, changed, 17, PROTO_I64, "and when"),
	PROTO(alert_message, before_id, 18, PROTO_STRING,
	      "the alert of the same kind whose time of folding ended before"),
	PROTO(alert_message, before_folded, 19, PROTO_U64, "and what that one stood for in the end"),
	PROTO(alert_message, seq, 20, PROTO_U64, "only grows: when it came"),
	PROTO(alert_message, revision, 21, PROTO_U64,
	      "only grows: when it came, or last changed; the cursor of a stream that has read so far"),
	PROTO(alert_message, json, 22, PROTO_STRING,
	      "the whole of it, as ECS JSON: the rule, its techniques, the events, the process and its ancestors"),
	PROTO(alert_message, lost, 23, PROTO_U64,
	      "of a stream: alerts that the agent could not keep since the last message. A message with nothing but "
	      "this "
	      "is no alert"),
};
static const struct proto_enum *const message_enums[] = { &severity_enum, &state_enum };
const struct proto_message alert_message_message = {
	.name = "Alert",
	.doc = "What a rule found, and what people made of it.",
	.fields = message_fields,
	.n_fields = countof(message_fields),
	.enums = message_enums,
	.n_enums = countof(message_enums),
	.size = sizeof(struct alert_message),
};

void alerts_proto_write(const struct alert *a, struct buf *json, struct buf *out)
{
	struct alert_message m = {
		.id = a->id,
		.rule = a->rule,
		.rule_name = a->rule_name,
		.rule_version = a->rule_version,
		.process = a->process,
		.user = a->user,
		.container = a->container,
		.who = a->who,
		.comment = a->comment,
		.before_id = a->before_id,
		.time = a->time_ns,
		.first = a->first_ns,
		.last = a->last_ns,
		.changed = a->changed_ns,
		.severity = a->severity,
		.state = (int32_t)a->state,
		.risk = a->risk,
		.folded = a->folded,
		.before_folded = a->before_folded,
		.seq = a->seq,
		.revision = a->revision,
	};

	buf_clear(json);
	alert_write(a, json);
	m.json = buf_text(json);
	proto_write(&alert_message_message, &m, out);
	out->failed |= json->failed;
}

/* ---- questions ----------------------------------------------------------------------------------------------- */

static const struct proto_field filter_fields[] = {
	PROTO(alert_filter, severity, 1, PROTO_ENUM, "those that are as severe, or more", .values = &severity_enum),
	PROTO(alert_filter, states, 2, PROTO_STRING, "those in one of these: open, acknowledged, closed; none: all",
	      .repeated = true),
	PROTO(alert_filter, rule, 3, PROTO_STRING, "those of the rule with this id"),
	PROTO(alert_filter, process, 4, PROTO_STRING, "those whose last event is of a process of this name"),
	PROTO(alert_filter, user, 5, PROTO_STRING, "those whose last event is of this user"),
	PROTO(alert_filter, container, 6, PROTO_STRING, "those whose last event is of this container"),
	PROTO(alert_filter, text, 7, PROTO_STRING, "those with this text anywhere in them, in whatever letters"),
	PROTO(alert_filter, since, 8, PROTO_U64, "those from this time on, in nanoseconds since 1970"),
	PROTO(alert_filter, until, 9, PROTO_U64, "those before this time; 0: no end"),
};
static const struct proto_enum *const filter_enums[] = { &severity_enum };
const struct proto_message alert_filter_message = {
	.name = "AlertFilter",
	.doc = "Which alerts are wanted: those to which all of this applies. What is not set applies to all.",
	.fields = filter_fields,
	.n_fields = countof(filter_fields),
	.enums = filter_enums,
	.n_enums = countof(filter_enums),
	.size = sizeof(struct alert_filter),
};

static const struct proto_field stream_fields[] = {
	PROTO(alerts_stream_request, filter, 1, PROTO_MESSAGE, "which alerts are wanted; none: all",
	      .message = &alert_filter_message),
	PROTO(alerts_stream_request, start, 2, PROTO_ENUM, "what is kept already, or what comes from here on",
	      .values = &start_enum),
	PROTO(alerts_stream_request, cursor, 3, PROTO_U64,
	      "goes on behind the alert that had this revision; what changed meanwhile comes as it is now"),
};
static const struct proto_enum *const stream_enums[] = { &start_enum };
const struct proto_message alerts_stream_request_message = {
	.name = "StreamAlertsRequest",
	.doc = "What to stream, and from where on.",
	.fields = stream_fields,
	.n_fields = countof(stream_fields),
	.enums = stream_enums,
	.n_enums = countof(stream_enums),
	.size = sizeof(struct alerts_stream_request),
};

static const struct proto_field list_fields[] = {
	PROTO(alerts_list_request, filter, 1, PROTO_MESSAGE, "which alerts are wanted; none: all",
	      .message = &alert_filter_message),
	PROTO(alerts_list_request, limit, 2, PROTO_U32, "how many in one answer at most; 0: 100, 1000 at most"),
	PROTO(alerts_list_request, cursor, 3, PROTO_U64, "of the answer before: goes on behind it"),
};
const struct proto_message alerts_list_request_message = {
	.name = "ListAlertsRequest",
	.doc = "Which alerts to list, the newest first.",
	.fields = list_fields,
	.n_fields = countof(list_fields),
	.size = sizeof(struct alerts_list_request),
};

/* Written by hand: it holds alerts that are made one by one. */
static const struct proto_field answer_fields[] = {
	{ .name = "alerts",
	  .doc = "the newest first",
	  .number = ALERTS_ANSWER_ALERTS,
	  .type = PROTO_MESSAGE,
	  .repeated = true,
	  .message = &alert_message_message },
	{ .name = "more",
	  .doc = "there may be more: ask again with the cursor",
	  .number = ALERTS_ANSWER_MORE,
	  .type = PROTO_BOOL },
	{ .name = "cursor", .doc = "where this answer ends", .number = ALERTS_ANSWER_CURSOR, .type = PROTO_U64 },
};
const struct proto_message alerts_answer_message = {
	.name = "ListAlertsResponse",
	.doc = "What was found.",
	.fields = answer_fields,
	.n_fields = countof(answer_fields),
};

static const struct proto_field get_fields[] = {
	PROTO(alert_get_request, id, 1, PROTO_STRING, "its id, or the first eight digits of it or more"),
};
const struct proto_message alert_get_request_message = {
	.name = "GetAlertRequest",
	.doc = "One alert.",
	.fields = get_fields,
	.n_fields = countof(get_fields),
	.size = sizeof(struct alert_get_request),
};

static const struct proto_field state_fields[] = {
	PROTO(alert_state_request, id, 1, PROTO_STRING, "its id, or the first eight digits of it or more"),
	PROTO(alert_state_request, comment, 2, PROTO_STRING, "what is to be said about it"),
};
const struct proto_message alert_ack_request_message = {
	.name = "AckAlertRequest",
	.doc = "Somebody looks at it.",
	.fields = state_fields,
	.n_fields = countof(state_fields),
	.size = sizeof(struct alert_state_request),
};
const struct proto_message alert_close_request_message = {
	.name = "CloseAlertRequest",
	.doc = "Nothing more is to be done about it.",
	.fields = state_fields,
	.n_fields = countof(state_fields),
	.size = sizeof(struct alert_state_request),
};
/* Of REST, where the id stands in the path. */
static const struct proto_field comment_fields[] = {
	PROTO(alert_state_request, comment, 2, PROTO_STRING, "what is to be said about it"),
};
const struct proto_message alert_comment_message = {
	.name = "AlertComment",
	.doc = "What is said where a state is set; may be left out.",
	.fields = comment_fields,
	.n_fields = countof(comment_fields),
	.size = sizeof(struct alert_state_request),
};

int alerts_proto_ask(const struct alert_filter *f, struct alerts_ask *ret_ask)
{
	const char *const *states = f->states.items;
	const struct {
		const char *word, *value;
	} texts[] = {
		{ "rule", f->rule },           { "process", f->process }, { "user", f->user },
		{ "container", f->container }, { "text", f->text },
	};
	int r = 0;

	if (f->severity < 0 || (size_t)f->severity >= countof(severity_values))
		return err_new(-EINVAL, "severity: there is no such one");
	if (f->since > INT64_MAX || f->until > INT64_MAX)
		return err_new(-EINVAL, "since and until: wanted nanoseconds since 1970");
	ret_ask->severity_min = (uint8_t)f->severity;
	ret_ask->from_ns = (int64_t)f->since;
	ret_ask->to_ns = (int64_t)f->until;
	for (size_t i = 0; i < f->states.n && !r; i++)
		r = alerts_ask_set(ret_ask, "state", states[i]);
	for (size_t i = 0; i < countof(texts) && !r; i++)
		r = alerts_ask_set(ret_ask, texts[i].word, texts[i].value);
	return r;
}

/* ---- the file ------------------------------------------------------------------------------------------------ */

static const struct proto_method methods[] = {
	{ "StreamAlerts", "Alerts as they come and as they change, until the caller ends it.",
	  &alerts_stream_request_message, &alert_message_message, false, true },
	{ "ListAlerts", "Alerts that were kept, the newest first, in pages.", &alerts_list_request_message,
	  &alerts_answer_message, false, false },
	{ "GetAlert", "One alert.", &alert_get_request_message, &alert_message_message, false, false },
	{ "AckAlert", "Says that somebody looks at it, and gives it back as it is then. For operators.",
	  &alert_ack_request_message, &alert_message_message, false, false },
	{ "CloseAlert", "Says that nothing more is to be done, and gives it back as it is then. For operators.",
	  &alert_close_request_message, &alert_message_message, false, false },
};
static const struct proto_service service = { "Alerts",
					      "What the rules found. An alert that changes (others are folded into it, "
					      "somebody sets its state) comes again.",
					      methods, countof(methods) };
static const struct proto_message *const messages[] = {
	&alert_message_message,       &alert_filter_message,        &alerts_stream_request_message,
	&alerts_list_request_message, &alerts_answer_message,       &alert_get_request_message,
	&alert_ack_request_message,   &alert_close_request_message,
};
const struct proto_file alerts_proto_file = {
	"shrike/v1/alerts.proto", "shrike.v1", messages, countof(messages), &service,
};
