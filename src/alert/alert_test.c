/* SPDX-License-Identifier: Apache-2.0 */
/* What stands in an alert, which findings are none, and what its id depends on. */
#include "alert/alert.h"
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/test.h"
#include "context/context.h"
#include "context/test_world.h"
#include "event/fuzz_kinds.h"
#include "event/json_event.h"

enum { EVENTS = 4 };

static const char rule_text[] = "id: shell-writes-cron\n"
				"name: A shell writes a cron job\n"
				"version: 3\n"
				"description: What was seen.\n"
				"severity: high\n"
				"risk: 80\n"
				"author: Ann\n"
				"license: Apache-2.0\n"
				"attack:\n"
				"  - {tactic: TA0003, technique: T1053.003}\n"
				"  - {tactic: TA0003, technique: T1053.002}\n"
				"  - {tactic: TA0002}\n"
				"references: [\"https://example.org/a\", \"https://example.org/b\"]\n"
				"tags: [cron, persistence]\n"
				"false_positives: A package.\n"
				"next: Look at the job.\n"
				"eql: any where true\n"
				"throttle: {by: [user.name], for: 10m}\n"
				"exceptions:\n"
				"  - {name: apt, reason: \"installs\", where: 'process.name == \"apt\"'}\n"
				"  - {name: tmp, reason: \"tests\", where: 'file.path like \"/tmp/*\"'}\n";

/* A finding of up to EVENTS events, of which NULL is a missing one. */
struct rig {
	struct alert_maker *maker;
	struct book *book;
	struct json_event json[EVENTS];
	bool there[EVENTS];
	struct finding finding;
	struct alert alert;
	struct json_doc doc;
	struct buf text;
};

static bool json_at(const struct finding *f, size_t i, struct event *ret_event)
{
	const struct rig *g = f->events;

	*ret_event = json_event_as_event(&g->json[i]);
	return g->there[i];
}

static bool rig_open(struct rig *g, const struct alert_defaults *defaults)
{
	static const struct json_limits limits = { ALERT_JSON_MAX, 1 << 16, 32 };
	int r;

	*g = (struct rig) { .finding = { .rule = "r", .severity = 50 } };
	for (size_t i = 0; i < EVENTS; i++)
		json_event_init(&g->json[i], false);
	json_init(&g->doc, &limits);
	buf_init(&g->text, 2 * ALERT_JSON_MAX);
	r = alert_maker_open(defaults, "there", &g->maker);
	if (r == 0)
		r = book_read_text("r.yaml", rule_text, strlen(rule_text), NULL, &g->book);
	if (r == 0)
		r = book_must_be_whole(g->book);
	if (r < 0)
		test_fail(T_HERE, "%s", err_trail());
	return r == 0;
}

static void rig_close(struct rig *g)
{
	alert_maker_free(g->maker);
	if (g->book)
		book_free(g->book);
	for (size_t i = 0; i < EVENTS; i++)
		json_event_free(&g->json[i]);
	json_free(&g->doc);
	buf_free(&g->text);
}
#define auto_rig __attribute__((cleanup(rig_close)))

/* Lines of JSON, and NULL after the last; "" is a missing event. */
static int make(struct rig *g, const struct book_rule *rule, const char *const *lines)
{
	int r;

	g->finding.of = rule;
	g->finding.events = g;
	g->finding.event_at = json_at;
	for (g->finding.n_events = 0; *lines; lines++) {
		const size_t i = g->finding.n_events++;

		g->there[i] = **lines;
		if (**lines && json_event_parse(&g->json[i], *lines, strlen(*lines)) < 0)
			test_fail(T_HERE, "%s", err_trail());
	}
	r = alert_make(g->maker, &g->finding, &g->alert);
	buf_clear(&g->text);
	if (r == ALERT_MADE)
		alert_write(&g->alert, &g->text);
	return r;
}

/* The member with a dotted name, as JSON that was read; NULL: none. */
static const struct json_node *member(struct rig *g, const char *path)
{
	const struct json_node *v;
	char name[64];

	if (json_parse(&g->doc, g->text.data, g->text.len, &v) < 0) {
		test_fail(T_HERE, "%s: %s", err_trail(), buf_text(&g->text));
		return NULL;
	}
	while (v && *path) {
		const size_t n = strcspn(path, ".");

		(void)snprintf(name, sizeof(name), "%.*s", (int)n, path);
		v = json_get(v, name);
		path += n + (path[n] == '.');
	}
	return v;
}

/* Of a text, or of a list of texts with commas between them. */
static const char *text_of(struct rig *g, const char *path)
{
	static char text[512];
	const struct json_node *v = member(g, path), *none;

	if (!v)
		return "(none)";
	if (v->type == JSON_STRING)
		return v->s;
	text[0] = 0;
	for (const struct json_node *item = v->type == JSON_ARRAY ? json_first(v, &none) : NULL; item;
	     item = json_next(v, item, &none)) {
		const size_t n = strlen(text);

		(void)snprintf(text + n, sizeof(text) - n, "%s%s", n ? "," : "",
			       item->type == JSON_STRING ? item->s
			       : item->type == JSON_NULL ? "null"
							 : "{}");
	}
	return text;
}

static const char opened[] =
	"{\"@timestamp\":\"2024-05-06T12:00:01Z\",\"event\":{\"category\":[\"file\"],\"action\":\"open\",\"dataset\":"
	"\"file.open\"},"
	"\"file\":{\"path\":\"/etc/cron.d/"
	"x\"},\"process\":{\"pid\":7,\"entity_id\":\"b-7\",\"name\":\"sh\",\"parent\":{\"name\":\"sshd\"}},"
	"\"user\":{\"id\":1000,\"name\":\"ann\"},\"source\":{\"ip\":\"192.0.2.1\"}}";
static const char written[] =
	"{\"@timestamp\":\"2024-05-06T12:00:03.5Z\",\"event\":{\"category\":[\"file\"],\"action\":\"write\","
	"\"dataset\":\"file.write\"},"
	"\"container\":{\"id\":\"c1\",\"runtime\":\"docker\"},"
	"\"file\":{\"path\":\"/etc/cron.d/"
	"x\"},\"process\":{\"pid\":7,\"entity_id\":\"b-7\",\"name\":\"sh\"},\"user\":{\"id\":1000,\"name\":\"ann\"}}";
static const char by_apt[] = "{\"@timestamp\":\"2024-05-06T12:00:02Z\",\"process\":{\"name\":\"apt\"}}";
static const char in_tmp[] = "{\"@timestamp\":\"2024-05-06T12:00:02Z\",\"file\":{\"path\":\"/tmp/x\"}}";

TEST(an_alert_says_all_that_its_rule_and_its_events_say)
{
	static const struct {
		const char *name, *want;
	} rows[] = {
		{ "@timestamp", "2024-05-06T12:00:03.500000000Z" },
		{ "event.kind", "alert" },
		{ "event.dataset", "shrike.alert" },
		{ "event.action", "write" },
		{ "event.category", "file" },
		{ "message", "A shell writes a cron job" },
		{ "rule.id", "shell-writes-cron" },
		{ "rule.name", "A shell writes a cron job" },
		{ "rule.version", "3" },
		{ "rule.author", "Ann" },
		{ "rule.license", "Apache-2.0" },
		{ "rule.description", "What was seen." },
		{ "rule.reference", "https://example.org/a,https://example.org/b" },
		{ "tags", "cron,persistence" },
		{ "threat.framework", "MITRE ATT&CK" },
		{ "threat.tactic.id", "TA0003,TA0002" },
		{ "threat.tactic.name", "Persistence,Execution" },
		{ "threat.technique.id", "T1053" },
		{ "threat.technique.subtechnique.id", "T1053.003,T1053.002" },
		{ "threat.technique.subtechnique.name", "Cron,At" },
		{ "host.name", "there" },
		{ "process.entity_id", "b-7" },
		{ "file.path", "/etc/cron.d/x" },
		{ "container.id", "c1" },
		{ "user.name", "ann" },
		{ "source", "(none)" }, /* of the last event, which has none */
		{ "related.user", "ann" },
		{ "related.ip", "192.0.2.1" },
		{ "shrike.alert.severity", "high" },
		{ "shrike.alert.first", "2024-05-06T12:00:01.000000000Z" },
		{ "shrike.alert.last", "2024-05-06T12:00:03.500000000Z" },
		{ "shrike.alert.state", "open" },
		{ "shrike.alert.false_positives", "A package." },
		{ "shrike.alert.next", "Look at the job." },
		{ "shrike.alert.keys", "b-7" },
		{ "shrike.alert.events", "{},null,{}" },
		{ "shrike.alert.entities", "{},{},{},{},{}" },
	};
	static const struct value key = { .type = VALUE_STR, .s = { "b-7", 3 } };
	const char *const lines[] = { opened, "", written, NULL };
	auto_rig struct rig g;
	const struct json_node *v;

	require(rig_open(&g, &(struct alert_defaults) { 0 }));
	g.finding.keys = &key;
	g.finding.n_keys = 1;
	/* 2024-05-06T12:00:03.5Z, where the clock began with the boot. */
	g.finding.time_ns = 1714996803500000000;
	event_clock_set(0);
	require(make(&g, &g.book->rule[0], lines) == ALERT_MADE);
	for_each_row (r, rows)
		check_str(text_of(&g, r->name), r->want);
	v = member(&g, "event.severity");
	check(v && v->i == 73);
	v = member(&g, "event.risk_score");
	check(v && v->i == 80);
	check_str(text_of(&g, "shrike.alert.id"), g.alert.id);
	check_has(buf_text(&g.text), "{\"type\":\"process\",\"id\":\"b-7\",\"name\":\"sh\"},{\"type\":\"user\",\"id\":"
				     "1000,\"name\":\"ann\"}");
	check_has(buf_text(&g.text), "{\"type\":\"container\",\"id\":\"c1\",\"name\":\"docker\"}");
	check_str(g.alert.process, "sh");
	check_str(g.alert.user, "ann");
	check_str(g.alert.container, "c1");
	check_int(g.alert.severity, BOOK_HIGH);
}

TEST(an_exception_that_holds_for_any_event_makes_it_no_alert)
{
	static const struct {
		const char *name, *lines[4];
		int want;
	} rows[] = {
		{ "none", { opened, written, NULL }, ALERT_MADE },
		{ "the first", { by_apt, opened, NULL }, ALERT_EXCEPTED },
		{ "the last", { opened, by_apt, NULL }, ALERT_EXCEPTED },
		{ "another exception", { opened, in_tmp, NULL }, ALERT_EXCEPTED },
		{ "behind a missing one", { "", by_apt, NULL }, ALERT_EXCEPTED },
		{ "a missing one", { "", opened, NULL }, ALERT_MADE },
	};
	auto_rig struct rig g;

	require(rig_open(&g, &(struct alert_defaults) { 0 }));
	for_each_row (r, rows)
		check_int(make(&g, &g.book->rule[0], r->lines), r->want);
	/* Another rule has no exceptions. */
	check_int(make(&g, NULL, (const char *const[]) { by_apt, NULL }), ALERT_MADE);
}

TEST(an_id_is_of_the_rule_and_the_events)
{
	static const struct {
		const char *name, *lines[4];
		bool same;
	} rows[] = {
		{ "the same", { opened, written, NULL }, true },
		{ "another order", { written, opened, NULL }, false },
		{ "one fewer", { opened, NULL }, false },
		{ "a missing one", { opened, "", written, NULL }, false },
		{ "another event", { opened, by_apt, NULL }, false },
	};
	auto_rig struct rig g;
	char id[ALERT_ID_SIZE];
	struct book_rule newer;

	require(rig_open(&g, &(struct alert_defaults) { 0 }));
	newer = g.book->rule[0];
	newer.n_exceptions = 0;
	newer.version = "4";
	require(make(&g, &g.book->rule[0], rows[0].lines) == ALERT_MADE);
	memcpy(id, g.alert.id, sizeof(id));
	check_int(strlen(id), 32);
	/* Nor does it depend on the clock, or on when it was decided. */
	event_clock_set(12345);
	g.finding.time_ns = 99;
	newer.version = "3";
	for_each_row (r, rows) {
		require(make(&g, &newer, r->lines) == ALERT_MADE);
		check_int(!strcmp(id, g.alert.id), r->same);
	}
	event_clock_set(0);
	newer.version = "4";
	check(make(&g, &newer, rows[0].lines) == ALERT_MADE && strcmp(id, g.alert.id) != 0);
	check(make(&g, NULL, rows[0].lines) == ALERT_MADE && strcmp(id, g.alert.id) != 0);
}

static bool same_key(const unsigned char a[16], const unsigned char b[16])
{
	return !memcmp(a, b, 16);
}

TEST(what_alerts_are_folded_by_is_the_rule_s_or_the_usual)
{
	struct alert_defaults usual = { .fold_ns = 5 * NS_PER_S, .n_fold_by = 1 };
	auto_rig struct rig g;
	struct book_rule rule;
	unsigned char key[16];

	usual.fold_by[0] = field_intern("process.entity_id", 17);
	require(rig_open(&g, &usual));
	rule = g.book->rule[0];
	rule.n_exceptions = 0;
	check(make(&g, &rule, (const char *const[]) { opened, NULL }) == ALERT_MADE);
	check_int(g.alert.fold_ns, 600 * NS_PER_S);
	memcpy(key, g.alert.fold_key, sizeof(key));
	check(make(&g, &rule, (const char *const[]) { by_apt, written, NULL }) == ALERT_MADE);
	check(same_key(key, g.alert.fold_key));
	/* Without the field: that is a value of its own. */
	check(make(&g, &rule, (const char *const[]) { by_apt, NULL }) == ALERT_MADE);
	check(!same_key(key, g.alert.fold_key) && g.alert.fold_ns);
	/* A rule that says nothing: the usual. */
	rule.throttle = (struct book_throttle) { 0 };
	check(make(&g, &rule, (const char *const[]) { opened, NULL }) == ALERT_MADE);
	check_int(g.alert.fold_ns, 5 * NS_PER_S);
	check(!same_key(key, g.alert.fold_key));
	memcpy(key, g.alert.fold_key, sizeof(key));
	check(make(&g, NULL, (const char *const[]) { opened, NULL }) == ALERT_MADE);
	check(!same_key(key, g.alert.fold_key));
	/* And an alert without the field is folded by nothing. */
	check(make(&g, &rule, (const char *const[]) { by_apt, NULL }) == ALERT_MADE);
	check_int(g.alert.fold_ns, 0);
}

TEST(trouble_without_events_is_told)
{
	auto_rig struct rig g;
	char id[ALERT_ID_SIZE];

	require(rig_open(&g, &(struct alert_defaults) { .fold_ns = NS_PER_S }));
	event_clock_set(0);
	g.finding = (struct finding) {
		.rule = "shrike-trouble", .severity = 99, .message = "a \"script\" ends", .time_ns = 1714996803500000000
	};
	require(alert_make(g.maker, &g.finding, &g.alert) == ALERT_MADE);
	alert_write(&g.alert, &g.text);
	check_str(text_of(&g, "message"), "a \"script\" ends");
	check_str(text_of(&g, "rule.id"), "shrike-trouble");
	check_str(text_of(&g, "shrike.alert.severity"), "critical");
	check_str(text_of(&g, "shrike.alert.events"), "");
	check_str(text_of(&g, "@timestamp"), "2024-05-06T12:00:03.500000000Z");
	memcpy(id, g.alert.id, sizeof(id));
	g.finding.message = "another ends";
	require(alert_make(g.maker, &g.finding, &g.alert) == ALERT_MADE);
	check(strcmp(id, g.alert.id) != 0);
	/* Of one event two things may be said. */
	for (int i = 0; i < 2; i++) {
		g.finding.message = i ? "one" : "two";
		require(make(&g, NULL, (const char *const[]) { opened, NULL }) == ALERT_MADE);
		check(strcmp(id, g.alert.id) != 0);
		memcpy(id, g.alert.id, sizeof(id));
	}
}

TEST(what_strangers_wrote_stays_text)
{
	static const char line[] = "{\"@timestamp\":\"2024-05-06T12:00:01Z\",\"event\":{\"action\":\"a\\\"}],{\","
				   "\"category\":{\"x\":[\"}\"]}},"
				   "\"process\":{\"name\":\"\\\\\\\"{[,:]}\\u0000x\",\"args\":[\"a,b\",\"]\",{\"c\":\"}"
				   "\"}]},\"user\":{\"name\":\"\"}}";
	auto_rig struct rig g;

	require(rig_open(&g, &(struct alert_defaults) { 0 }));
	require(make(&g, NULL, (const char *const[]) { line, NULL }) == ALERT_MADE);
	check_str(text_of(&g, "event.action"), "a\"}],{");
	check_str(text_of(&g, "process.args"), "a,b,]");
	check_str(text_of(&g, "shrike.alert.state"), "open");
	check_str(g.alert.process, "\\\"{[,:]}");
}

/* An event of nearly the size that lines may have. */
static char *large_event(size_t n)
{
	char *line = malloc(n + 128);
	int at = line ? snprintf(line, 128, "{\"@timestamp\":\"2024-05-06T12:00:01Z\",\"x\":\"") : 0;

	if (line) {
		memset(line + at, 'a', n);
		memcpy(line + at + n, "\"}", 3);
	}
	return line;
}

TEST(events_for_which_there_is_no_room_are_left_out_and_counted)
{
	auto_free char *large = large_event(EVENT_JSON_MAX - 256);
	auto_rig struct rig g;
	const struct json_node *v;

	require(large && rig_open(&g, &(struct alert_defaults) { 0 }));
	require(make(&g, NULL, (const char *const[]) { large, large, large, large, NULL }) == ALERT_MADE);
	v = member(&g, "shrike.alert.events_left_out");
	check(v && v->i == 2);
	check(g.text.len < ALERT_JSON_MAX);
	/* And the next is as small as ever. */
	require(make(&g, NULL, (const char *const[]) { opened, NULL }) == ALERT_MADE);
	check(!member(&g, "shrike.alert.events_left_out"));
	check(g.text.len < 4096);
}

/* ---- of records, with a context --------------------------------------------------------------------------------- */

static void learn(void *arg, const struct ev_head *rec)
{
	(void)context_apply(arg, rec);
}

TEST(the_ancestry_is_that_of_the_last_event)
{
	const struct context_options o = {
		.limits = { .processes = 4096, .cgroups = 256, .memory = 64 << 20, .late_per_s = 1 },
		.offline = true,
		.boot_id = "8f3c2a1b-9d4e-4f00-aaaa-bbbbccccdddd"
	};
	AUTO(context) ctx = NULL;
	auto_rig struct rig g;
	static struct world w;
	size_t with = 0;

	fuzz_kinds_register();
	for (size_t i = 0; i < context_n_kinds; i++)
		require(event_kind_register(&context_kinds[i]) == 0);
	require(rig_open(&g, &(struct alert_defaults) { 0 }));
	require_ok(context_open(&o, &ctx));
	world_begin(&w, 5, learn, ctx);
	for (unsigned i = 0; i < 2000; i++) {
		const struct ev_head *rec = world_step(&w);
		const struct event_kind *kind = event_kind_of(rec->id);
		const struct process *p = context_apply(ctx, rec);
		struct context_view view;
		struct event ev;
		const struct json_node *v;
		size_t depth = 0;

		if (!kind || rec->id != EV_EXEC)
			continue;
		ev = context_event_of(ctx, p, rec, kind, &view);
		g.finding = (struct finding) { .rule = "r", .severity = 50, .event = &ev };
		require(alert_make(g.maker, &g.finding, &g.alert) == ALERT_MADE);
		buf_clear(&g.text);
		alert_write(&g.alert, &g.text);
		for (const struct process *up = p ? p->parent : NULL; up && depth < ALERT_ANCESTORS_MAX;
		     up = up->parent)
			depth++;
		v = member(&g, "shrike.alert.ancestry");
		check_int(v ? v->len : 0, depth);
		check(!depth || strstr(buf_text(&g.text), "\"ancestry\":[{\"entity_id\":\"8f3c2a1b9d4e4f00-"));
		with += depth > 0;
	}
	check(with > 500);
}
