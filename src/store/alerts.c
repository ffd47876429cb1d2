/* SPDX-License-Identifier: Apache-2.0 */
#include "store/alerts.h"
#include <inttypes.h>
#include <string.h>
#include "base/clock.h"
#include "base/json.h"

const char *const alert_state_names[] = {
	[ALERT_OPEN] = "open",
	[ALERT_ACKNOWLEDGED] = "acknowledged",
	[ALERT_CLOSED] = "closed",
	NULL,
};

/* ---- JSON ----------------------------------------------------------------------------------------------- */

static void put_text(struct buf *out, const char *name, const char *text)
{
	buf_printf(out, ",\"%s\":", name);
	(void)json_write_str(out, text, strlen(text));
}

static void put_date(struct buf *out, const char *name, int64_t ns)
{
	char date[CLOCK_TEXT];

	clock_format(ns, date);
	buf_printf(out, ",\"%s\":\"%.*s\"", name, CLOCK_TEXT, date);
}

void alert_write(const struct alert *a, struct buf *out)
{
	buf_add(out, a->body, a->body_n);
	put_text(out, "state", alert_state_names[a->state]);
	buf_printf(out, ",\"folded\":%" PRIu64, a->folded);
	put_date(out, "last", a->last_ns);
	if (a->before_id[0])
		buf_printf(out, ",\"before\":{\"id\":\"%s\",\"folded\":%" PRIu64 "}", a->before_id, a->before_folded);
	if (a->changed_ns) {
		put_date(out, "changed", a->changed_ns);
		put_text(out, "who", a->who);
		put_text(out, "comment", a->comment);
	}
	buf_str(out, "}}}");
}

/* ---- for queues ----------------------------------------------------------------------------------------- */

enum { TEXTS = 8 };

/* Without gaps, so that equal alerts are equal bytes. */
struct packed {
	int64_t time_ns, first_ns, last_ns, changed_ns;
	uint64_t fold_ns, folded, before_folded, seq, revision, body_n;
	unsigned char fold_key[16];
	char id[ALERT_ID_SIZE], before_id[ALERT_ID_SIZE];
	uint8_t severity, risk, state, zeros[3];
	uint32_t text_n[TEXTS];
};
_Static_assert(sizeof(struct packed) == 10 * 8 + 16 + 2 * ALERT_ID_SIZE + 6 + TEXTS * 4, "packed");
_Static_assert(sizeof(struct packed) % 8 == 0, "packed");

void alert_pack(const struct alert *a, struct buf *out)
{
	const char *const texts[TEXTS] = { a->rule, a->rule_name, a->rule_version, a->process,
					   a->user, a->container, a->who,          a->comment };
	struct packed p = {
		.time_ns = a->time_ns,
		.first_ns = a->first_ns,
		.last_ns = a->last_ns,
		.changed_ns = a->changed_ns,
		.fold_ns = a->fold_ns,
		.folded = a->folded,
		.before_folded = a->before_folded,
		.seq = a->seq,
		.revision = a->revision,
		.body_n = a->body_n,
		.severity = a->severity,
		.risk = a->risk,
		.state = (uint8_t)a->state,
	};

	memcpy(p.fold_key, a->fold_key, sizeof(p.fold_key));
	(void)snprintf(p.id, sizeof(p.id), "%s", a->id);
	(void)snprintf(p.before_id, sizeof(p.before_id), "%s", a->before_id);
	for (size_t i = 0; i < TEXTS; i++)
		p.text_n[i] = (uint32_t)strlen(texts[i]) + 1;
	buf_add(out, &p, sizeof(p));
	for (size_t i = 0; i < TEXTS; i++)
		buf_add(out, texts[i], p.text_n[i]);
	buf_add(out, a->body, a->body_n);
}

size_t alert_packed_size(const struct alert *a)
{
	return sizeof(struct packed) + strlen(a->rule) + strlen(a->rule_name) + strlen(a->rule_version) +
	       strlen(a->process) + strlen(a->user) + strlen(a->container) + strlen(a->who) + strlen(a->comment) +
	       TEXTS + a->body_n;
}

bool alert_unpack(const void *bytes, size_t n, struct alert *ret_alert)
{
	const char *at = (const char *)bytes + sizeof(struct packed), *end = (const char *)bytes + n;
	const char *texts[TEXTS];
	struct packed p;

	if (n < sizeof(p))
		return false;
	memcpy(&p, bytes, sizeof(p));
	if (p.id[ALERT_ID_SIZE - 1] || p.before_id[ALERT_ID_SIZE - 1] || p.state > ALERT_CLOSED)
		return false;
	for (size_t i = 0; i < TEXTS; i++) {
		if (!p.text_n[i] || p.text_n[i] > (size_t)(end - at) || at[p.text_n[i] - 1])
			return false;
		texts[i] = at;
		at += p.text_n[i];
	}
	if (p.body_n != (size_t)(end - at))
		return false;
	*ret_alert = (struct alert) {
		.time_ns = p.time_ns,
		.first_ns = p.first_ns,
		.last_ns = p.last_ns,
		.changed_ns = p.changed_ns,
		.fold_ns = p.fold_ns,
		.folded = p.folded,
		.before_folded = p.before_folded,
		.seq = p.seq,
		.revision = p.revision,
		.severity = p.severity,
		.risk = p.risk,
		.state = p.state,
		.rule = texts[0],
		.rule_name = texts[1],
		.rule_version = texts[2],
		.process = texts[3],
		.user = texts[4],
		.container = texts[5],
		.who = texts[6],
		.comment = texts[7],
		.body = at,
		.body_n = p.body_n,
	};
	memcpy(ret_alert->fold_key, p.fold_key, sizeof(p.fold_key));
	memcpy(ret_alert->id, p.id, sizeof(p.id));
	memcpy(ret_alert->before_id, p.before_id, sizeof(p.before_id));
	return true;
}
