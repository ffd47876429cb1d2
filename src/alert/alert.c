/* SPDX-License-Identifier: Apache-2.0 */
/* alert - makes the alert of a finding. docs/alerts.md has all that is written here. */
#include "alert/alert.h"
#include <errno.h>
#include <string.h>
#include "alert/internal.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "context/context.h"
#include "predicate/predicate.h"

enum {
	EVENTS_BYTES_MAX = 2 << 20, /* of all events; those for which there is no room are null */
	KEEP_BYTES = 256 << 10,     /* buffers that one large alert has made larger are given back */
};

struct alert_maker {
	struct alert_defaults defaults;
	char host[ALERT_TEXT_MAX];
	struct predicate_scratch *exceptions;
	struct buf body, events;
	struct entities entities;
	struct event_scratch scratch;
	struct {
		field_id timestamp, process, executable, user, user_id, container;
	} field;
	char process[ALERT_TEXT_MAX], user[ALERT_TEXT_MAX], container[ALERT_TEXT_MAX];
};

static field_id id_of(const char *name)
{
	return field_intern(name, strlen(name));
}

int alert_maker_open(const struct alert_defaults *defaults, const char *host, struct alert_maker **ret_maker)
{
	struct alert_maker *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return err_new(-ENOMEM, "no memory for alerts");
	m->defaults = *defaults;
	(void)snprintf(m->host, sizeof(m->host), "%s", host ? host : "");
	buf_init(&m->body, ALERT_JSON_MAX);
	/* A string takes room for what it could become when all of it must be escaped. */
	buf_init(&m->events, EVENTS_BYTES_MAX + 6 * EVENT_JSON_MAX);
	entities_init(&m->entities);
	m->field.timestamp = id_of("@timestamp");
	m->field.process = id_of("process.name");
	m->field.executable = id_of("process.executable");
	m->field.user = id_of("user.name");
	m->field.user_id = id_of("user.id");
	m->field.container = id_of("container.id");
	r = predicate_scratch_new(&m->exceptions);
	if (r < 0) {
		alert_maker_free(m);
		return r;
	}
	*ret_maker = m;
	return 0;
}

void alert_maker_free(struct alert_maker *m)
{
	if (!m)
		return;
	entities_free(&m->entities);
	buf_free(&m->events);
	buf_free(&m->body);
	predicate_scratch_free(m->exceptions);
	free(m);
}

void alert_maker_set(struct alert_maker *m, const struct alert_defaults *defaults)
{
	m->defaults = *defaults;
}

/* ---- the events of a finding -------------------------------------------------------------------------------- */

static size_t count_events(const struct finding *f)
{
	return f->n_events ? f->n_events : f->event != NULL;
}

static bool event_at(const struct finding *f, size_t i, struct event *ret_event)
{
	if (f->n_events)
		return f->event_at(f, i, ret_event);
	*ret_event = *f->event;
	return true;
}

/* Wall time of an event; false: it does not say. */
static bool time_of(const struct alert_maker *m, const struct event *ev, int64_t *ret_ns)
{
	struct value v;

	if (ev->rec) {
		*ret_ns = (int64_t)ev->rec->time_ns + event_clock();
		return true;
	}
	if (!event_get(ev, m->field.timestamp, NULL, &v))
		return false;
	if (v.type == VALUE_STR)
		return clock_parse(v.s.p, v.s.n, ret_ns);
	/* Milliseconds, as Elasticsearch counts them. */
	return v.type == VALUE_INT && !__builtin_mul_overflow(v.i, (int64_t)NS_PER_MS, ret_ns);
}

static int64_t time_of_finding(const struct alert_maker *m, const struct finding *f)
{
	int64_t ns;

	if (f->time_ns && (int64_t)f->time_ns != INT64_MIN)
		return (int64_t)(f->time_ns + (uint64_t)event_clock());
	return f->event && time_of(m, f->event, &ns) ? ns : 0;
}

/* ---- exceptions ------------------------------------------------------------------------------------------------ */

static bool holds(struct alert_maker *m, const struct book_exception *e, const struct event *ev)
{
	const struct predicate_input in = { .ev = ev };

	return predicate_run(e->program, &in, m->exceptions) == TRUTH_TRUE;
}

static bool is_excepted(struct alert_maker *m, const struct finding *f)
{
	const struct book_rule *rule = f->of;

	for (size_t i = 0; rule && rule->n_exceptions && i < count_events(f); i++) {
		struct event ev;

		if (!event_at(f, i, &ev))
			continue;
		for (size_t k = 0; k < rule->n_exceptions; k++)
			if (holds(m, &rule->exception[k], &ev))
				return true;
	}
	return false;
}

/* ---- its events, and what is said of them all -------------------------------------------------------------------- */

/* Where the last event stands in `events`. */
struct seen {
	size_t at, n;
	bool any;
	size_t left_out; /* events for which there was no room */
};

static void put_event(struct alert_maker *m, const struct event *ev, struct seen *seen)
{
	const size_t at = m->events.len;

	event_to_json(ev, &m->events);
	if (m->events.failed || m->events.len > EVENTS_BYTES_MAX) {
		m->events.len = at;
		m->events.failed = false;
		buf_str(&m->events, "null");
		seen->left_out++;
		return;
	}
	m->events.len--; /* the newline */
	*seen = (struct seen) { at, m->events.len - at, true, seen->left_out };
}

/* Writes the events; what they are, and what is said of them, is the id. Of no event: when. False: no memory. */
static bool go_through(struct alert_maker *m, const struct finding *f, struct alert *a, struct seen *seen)
{
	const size_t n = count_events(f);
	bool any = false, whole = true;
	struct sha256 id;

	sha256_init(&id);
	digest_text(&id, "alert", 5);
	digest_text(&id, a->rule, strlen(a->rule));
	digest_text(&id, a->rule_version, strlen(a->rule_version));
	buf_char(&m->events, '[');
	for (size_t i = 0; i < n; i++) {
		struct event ev;
		int64_t ns;

		if (i)
			buf_char(&m->events, ',');
		if (!event_at(f, i, &ev)) {
			buf_str(&m->events, "null");
			digest_text(&id, "missing", 7);
			continue;
		}
		put_event(m, &ev, seen);
		whole &= digest_event(&id, &ev);
		entities_add(&m->entities, &ev, &m->scratch);
		if (!any && time_of(m, &ev, &ns))
			a->first_ns = ns;
		any = true;
	}
	buf_char(&m->events, ']');
	if (!any)
		digest_text(&id, (const char *)&f->time_ns, sizeof(f->time_ns));
	if (f->message)
		digest_text(&id, f->message, strlen(f->message));
	digest_id(&id, a->id);
	return whole;
}

/* ---- what it may be folded by ------------------------------------------------------------------- */

static void set_fold(struct alert_maker *m, const struct finding *f, const struct event *last, struct alert *a)
{
	const bool own = f->of && f->of->throttle.for_ns;
	const field_id *by = own ? f->of->throttle.by : m->defaults.fold_by;
	const size_t n = own ? f->of->throttle.n_by : m->defaults.n_fold_by;
	unsigned char digest[SHA256_SIZE];
	struct sha256 key;

	a->fold_ns = own ? f->of->throttle.for_ns : m->defaults.fold_ns;
	if (!a->fold_ns)
		return;
	sha256_init(&key);
	digest_text(&key, a->rule, strlen(a->rule));
	if (f->message)
		digest_text(&key, f->message, strlen(f->message));
	for (size_t i = 0; i < n; i++) {
		struct value v = { .type = VALUE_NULL };

		if ((!last || !event_get(last, by[i], &m->scratch, &v) || v.type == VALUE_NULL) && !own) {
			a->fold_ns = 0;
			return;
		}
		buf_clear(&m->body);
		value_write(&v, &m->body);
		digest_text(&key, buf_text(&m->body), m->body.len);
	}
	/* Nothing is known by which it could be told from others: each is one of its own. */
	if (!last && !own)
		digest_text(&key, a->id, strlen(a->id));
	sha256_end(&key, digest);
	memcpy(a->fold_key, digest, sizeof(a->fold_key));
}

/* ---- JSON --------------------------------------------------------------------------------------- */

static void put_text(struct buf *out, const char *name, const char *text)
{
	if (!text || !*text)
		return;
	buf_printf(out, ",\"%s\":", name);
	(void)json_write_str(out, text, strlen(text));
}

static void put_date(struct buf *out, const char *name, int64_t ns)
{
	char date[CLOCK_TEXT];

	clock_format(ns, date);
	buf_printf(out, "\"%s\":\"%.*s\"", name, CLOCK_TEXT, date);
}

static void put_texts(struct buf *out, const char *name, const char *const *texts, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_char(out, ',');
		else
			buf_printf(out, ",\"%s\":[", name);
		(void)json_write_str(out, texts[i], strlen(texts[i]));
	}
	if (n)
		buf_char(out, ']');
}

static void put_rule(struct buf *out, const struct finding *f, const struct alert *a)
{
	const struct book_rule *rule = f->of;

	buf_str(out, ",\"rule\":{\"id\":");
	(void)json_write_str(out, a->rule, strlen(a->rule));
	put_text(out, "name", a->rule_name);
	put_text(out, "version", a->rule_version);
	if (rule) {
		put_texts(out, "author", &rule->author, rule->author && *rule->author);
		put_text(out, "license", rule->license);
		put_text(out, "description", rule->description);
		put_texts(out, "reference", rule->references, rule->n_references);
	}
	buf_char(out, '}');
	if (rule)
		put_texts(out, "tags", rule->tags, rule->n_tags);
}

enum attack_part { TACTIC, TECHNIQUE, SUB };

static const char *attack_text(const struct book_attack *a, enum attack_part part, bool name)
{
	switch (part) {
	case TACTIC:
		return name ? a->tactic : a->tactic_id;
	case TECHNIQUE:
		return name ? a->technique : a->technique_id;
	default:
		return name ? a->sub : a->sub_id;
	}
}

/* Each once, the names in the order of the ids. */
static void put_attack(struct buf *out, const struct book_rule *rule, enum attack_part part, bool names)
{
	bool any = false;

	for (size_t i = 0; i < rule->n_attack; i++) {
		const char *id = attack_text(&rule->attack[i], part, false);
		const char *text = attack_text(&rule->attack[i], part, names);
		bool again = !id;

		for (size_t k = 0; k < i && !again; k++) {
			const char *other = attack_text(&rule->attack[k], part, false);

			again = other && !strcmp(other, id);
		}
		if (again)
			continue;
		buf_str(out, any ? "," : names ? ",\"name\":[" : "\"id\":[");
		any = true;
		text = text ? text : id;
		(void)json_write_str(out, text, strlen(text));
	}
	if (any)
		buf_char(out, ']');
}

static bool has_attack(const struct book_rule *rule, enum attack_part part)
{
	for (size_t i = 0; i < rule->n_attack; i++)
		if (attack_text(&rule->attack[i], part, false))
			return true;
	return false;
}

static void put_threat(struct buf *out, const struct book_rule *rule)
{
	if (!rule || !rule->n_attack)
		return;
	buf_str(out, ",\"threat\":{\"framework\":\"MITRE ATT&CK\"");
	if (has_attack(rule, TACTIC)) {
		buf_str(out, ",\"tactic\":{");
		put_attack(out, rule, TACTIC, false);
		put_attack(out, rule, TACTIC, true);
		buf_char(out, '}');
	}
	if (has_attack(rule, TECHNIQUE)) {
		buf_str(out, ",\"technique\":{");
		put_attack(out, rule, TECHNIQUE, false);
		put_attack(out, rule, TECHNIQUE, true);
		if (has_attack(rule, SUB)) {
			buf_str(out, ",\"subtechnique\":{");
			put_attack(out, rule, SUB, false);
			put_attack(out, rule, SUB, true);
			buf_char(out, '}');
		}
		buf_char(out, '}');
	}
	buf_char(out, '}');
}

static bool is_one_of(const struct json_part *part, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (part->name_n == strlen(names[i]) && !memcmp(part->name, names[i], part->name_n))
			return true;
	return false;
}

/* Those members of an object that have these names. */
static void copy_members(struct buf *out, const char *object, size_t n, const char *const *names, size_t n_names)
{
	struct json_part part;

	for (size_t at = 0; json_next_part(object, n, &at, &part);) {
		if (!is_one_of(&part, names, n_names))
			continue;
		buf_char(out, ',');
		buf_add(out, part.name - 1, (size_t)(part.value + part.value_n - part.name) + 1);
	}
}

static void put_kind(struct buf *out, const struct alert_maker *m, const struct alert *a, const struct seen *seen)
{
	static const char *const of_event[] = { "action", "category", "outcome", "type" };
	static const char *const event[] = { "event" };
	const char *last = m->events.data + seen->at;
	struct json_part part;

	buf_printf(out,
		   ",\"event\":{\"kind\":\"alert\",\"module\":\"shrike\",\"dataset\":\"shrike.alert\",\"id\":\"%s\","
		   "\"severity\":%u,\"risk_score\":%u",
		   a->id, book_risk_of((enum book_severity)a->severity), a->risk);
	for (size_t at = 0; seen->any && json_next_part(last, seen->n, &at, &part);)
		if (is_one_of(&part, event, 1) && *part.value == '{')
			copy_members(out, part.value, part.value_n, of_event, countof(of_event));
	buf_char(out, '}');
}

static void put_host(struct buf *out, const struct alert_maker *m)
{
	if (!m->host[0])
		return;
	buf_str(out, ",\"host\":{\"name\":");
	(void)json_write_str(out, m->host, strlen(m->host));
	buf_char(out, '}');
}

static void put_keys(struct buf *out, const struct finding *f)
{
	for (size_t i = 0; i < f->n_keys; i++) {
		buf_str(out, i ? "," : ",\"keys\":[");
		value_write(&f->keys[i], out);
	}
	if (f->n_keys)
		buf_char(out, ']');
}

/* Who and where: as in the last event, at the same names. */
static const char *const of_last[] = { "container",  "destination",  "dns",     "file",   "group",
				       "kubernetes", "orchestrator", "process", "source", "user" };

static void write_body(struct alert_maker *m, const struct finding *f, const struct alert *a, const struct event *last,
		       const struct seen *seen)
{
	struct buf *out = &m->body;

	buf_clear(out);
	buf_char(out, '{');
	put_date(out, "@timestamp", a->time_ns);
	put_kind(out, m, a, seen);
	put_text(out, "message", f->message ? f->message : a->rule_name);
	put_rule(out, f, a);
	put_threat(out, f->of);
	put_host(out, m);
	if (seen->any)
		copy_members(out, m->events.data + seen->at, seen->n, of_last, countof(of_last));
	entities_write_related(&m->entities, out);
	buf_printf(out, ",\"shrike\":{\"alert\":{\"id\":\"%s\",\"severity\":\"%s\",", a->id,
		   book_severity_names[a->severity]);
	put_date(out, "first", a->first_ns);
	if (f->of) {
		put_text(out, "false_positives", f->of->false_positives);
		put_text(out, "next", f->of->next);
	}
	put_keys(out, f);
	entities_write(&m->entities, out);
	if (last)
		ancestry_write(last, &m->scratch, out);
	buf_str(out, ",\"events\":");
	buf_add(out, m->events.data, m->events.len);
	if (seen->left_out)
		buf_printf(out, ",\"events_left_out\":%zu", seen->left_out);
}

/* ---- all of it ---------------------------------------------------------------------------------- */

/* The value of a field as text that ends with a NUL, and is cut there and at a maximum. */
static bool copy_text(struct alert_maker *m, const struct event *ev, field_id id, char to[ALERT_TEXT_MAX])
{
	auto_buf struct buf number = { .max = ALERT_TEXT_MAX };
	struct value v;

	to[0] = 0;
	if (!ev || !event_get(ev, id, &m->scratch, &v) || v.type == VALUE_NULL || v.type == VALUE_LIST)
		return false;
	if (v.type == VALUE_STR) {
		(void)snprintf(to, ALERT_TEXT_MAX, "%.*s", (int)(v.s.n < ALERT_TEXT_MAX ? v.s.n : ALERT_TEXT_MAX - 1),
			       v.s.p);
		return to[0] != 0;
	}
	value_write(&v, &number);
	(void)snprintf(to, ALERT_TEXT_MAX, "%s", buf_text(&number));
	return true;
}

static void describe(struct alert_maker *m, const struct finding *f, const struct event *last, struct alert *a)
{
	const struct book_rule *rule = f->of;

	a->rule = rule ? rule->id : f->rule;
	a->rule_name = rule && rule->name ? rule->name : a->rule;
	a->rule_version = rule && rule->version ? rule->version : "1";
	a->severity = rule ? (uint8_t)rule->severity : (uint8_t)book_severity_of(f->severity);
	a->risk = rule ? rule->risk : f->severity;
	a->time_ns = a->first_ns = a->last_ns = time_of_finding(m, f);
	if (!copy_text(m, last, m->field.process, m->process))
		(void)copy_text(m, last, m->field.executable, m->process);
	if (!copy_text(m, last, m->field.user, m->user))
		(void)copy_text(m, last, m->field.user_id, m->user);
	(void)copy_text(m, last, m->field.container, m->container);
	a->process = m->process;
	a->user = m->user;
	a->container = m->container;
	a->who = a->comment = "";
}

static void begin(struct alert_maker *m)
{
	if (m->body.cap > KEEP_BYTES)
		buf_free(&m->body);
	if (m->events.cap > KEEP_BYTES)
		buf_free(&m->events);
	buf_clear(&m->body);
	buf_clear(&m->events);
	entities_clear(&m->entities);
}

int alert_make(struct alert_maker *m, const struct finding *f, struct alert *ret_alert)
{
	struct seen seen = { 0 };
	struct event found;
	const struct event *last = f->event;

	if (is_excepted(m, f))
		return ALERT_EXCEPTED;
	begin(m);
	*ret_alert = (struct alert) { 0 };
	/* An event that is asked for lives until the next is; so the last is asked for again. */
	for (size_t i = count_events(f); !last && i--;)
		if (event_at(f, i, &found))
			last = &found;
	describe(m, f, last, ret_alert);
	if (!go_through(m, f, ret_alert, &seen))
		return -ENOMEM;
	if (!f->event)
		for (size_t i = count_events(f); i-- && !event_at(f, i, &found);)
			;
	set_fold(m, f, last, ret_alert);
	write_body(m, f, ret_alert, last, &seen);
	if (m->body.failed || m->events.failed)
		return m->body.len + m->events.len > EVENTS_BYTES_MAX ? -E2BIG : -ENOMEM;
	ret_alert->body = m->body.data;
	ret_alert->body_n = m->body.len;
	return ALERT_MADE;
}
