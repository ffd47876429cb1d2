/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status - how a running agent is: what it watches, what it cannot watch and why, and what
 * was lost on the way.
 *
 * Says the sum of the books in so many words, so that anybody can check it.
 */
#include <inttypes.h>
#include <string.h>
#include "agent/control.h"
#include "cli/client.h"
#include "cli/health.h"
#include "cli/text.h"

enum { WHY_SHOWN = 300, NOTES_MAX = 64 };

struct status_options {
	bool brief, verbose;
	uint32_t output;
	char *socket;
};

static const struct verb_option options[] = {
	VERB_FLAG(status_options, brief, "brief", 'b', "one line"),
	VERB_FLAG(status_options, verbose, "verbose", 'v',
		  "also each kind of event, why better hooks were not taken, and the agent's own counters"),
	OPTION_OUTPUT(status_options, "for people, or the answer of the agent as it is"),
	OPTION_SOCKET(status_options),
};

/* ---- painting: the words stay the same without it ---------------------------------------------- */

struct page {
	struct buf *out;
	bool color, verbose;
	/* What hooks cannot promise: many say the same, so each text stands once, at the end. */
	struct notes {
		const char *texts[NOTES_MAX];
		size_t n;
	} *notes;
};

/* The number of a text, from 1; 0 when there are too many. */
static size_t note_of(const struct page *p, const char *text)
{
	struct notes *notes = p->notes;

	for (size_t i = 0; i < notes->n; i++)
		if (!strcmp(notes->texts[i], text))
			return i + 1;
	if (notes->n == NOTES_MAX)
		return 0;
	notes->texts[notes->n++] = text;
	return notes->n;
}

static void painted(const struct page *p, const char *code, const char *text)
{
	if (p->color)
		buf_printf(p->out, "\033[%sm", code);
	text_safe(p->out, text, strlen(text));
	if (p->color)
		buf_str(p->out, "\033[0m");
}

static const char *state_color(const char *state)
{
	return !strcmp(state, "running")    ? "32"
	       : !strcmp(state, "off")      ? "2"
	       : !strcmp(state, "degraded") ? "33"
					    : "31";
}

/* Wrapped text that an agent sent; long ones (a verifier's log) are cut unless all was asked for. */
static void told(const struct page *p, const char *label, const char *text, size_t indent)
{
	auto_buf struct buf safe = { 0 };
	size_t n = strlen(text);

	if (!n)
		return;
	buf_init(&safe, CONTROL_ANSWER_MAX);
	buf_str(&safe, label);
	text_safe(&safe, text, p->verbose || n <= WHY_SHOWN ? n : WHY_SHOWN);
	if (!p->verbose && n > WHY_SHOWN)
		buf_str(&safe, "... (all of it with --verbose)");
	text_wrap(p->out, buf_text(&safe), 0, indent);
}

/* ---- the agent ----------------------------------------------------------------------------------- */

static void agent_line(const struct page *p, const struct json_node *agent)
{
	uint64_t uptime_s = node_u64(agent, "uptime_s"), cpu_ms = node_u64(agent, "cpu_ms");
	uint64_t reloads = node_u64(agent, "reloads");
	auto_buf struct buf line = { 0 };

	buf_init(&line, CONTROL_ANSWER_MAX);
	buf_printf(&line, "shrike %s watches %s, pid %" PRIu64 ", for ", node_text(agent, "version"),
		   strcmp(node_text(agent, "scope"), "host") != 0 ? node_text(agent, "scope") : "the whole host",
		   node_u64(agent, "pid"));
	text_duration(&line, uptime_s * 1000000000);
	buf_printf(&line, ", on Linux %s", node_text(agent, "kernel"));
	text_safe(p->out, buf_text(&line), line.len);
	buf_clear(&line);
	buf_str(&line, "memory ");
	text_bytes(&line, node_u64(agent, "rss_bytes"));
	if (uptime_s)
		buf_printf(&line, ", CPU %.1f%% of one since the start", (double)cpu_ms / 10 / (double)uptime_s);
	buf_printf(&line, ", configuration %s", node_text(agent, "config"));
	if (reloads)
		buf_printf(&line, " (read again %" PRIu64 " time%s)", reloads, reloads == 1 ? "" : "s");
	buf_str(p->out, "\n");
	text_safe(p->out, buf_text(&line), line.len);
	buf_str(p->out, "\n\n");
}

/* ---- sensors --------------------------------------------------------------------------------------- */

static void hook_state(const struct json_node *hook, bool works, struct buf *out)
{
	const char *state = node_text(hook, "state"), *via = node_text(hook, "via");
	const struct json_node *testable = json_get(hook, "testable");
	uint64_t silent = node_u64(hook, "silent");

	if (strcmp(state, "attached") != 0) {
		/* Of a sensor that does not run, no hook is there, whatever kept it from running. */
		buf_str(out, !strcmp(state, "failed") || !works ? "not attached" : state);
		return;
	}
	buf_str(out, node_bool(hook, "firing") ? "attached and seen firing" : "attached, not seen firing yet");
	if (silent)
		buf_printf(out, ", silent in the last %" PRIu64 " test%s", silent, silent == 1 ? "" : "s");
	else if (!node_bool(hook, "firing") && testable && testable->type == JSON_BOOL && !testable->b)
		buf_str(out, " (it cannot be tested)");
	if (via[0])
		buf_printf(out, ", by %s", via);
}

static void hook_line(const struct page *p, const struct json_node *hook, bool works, size_t width)
{
	const char *state = node_text(hook, "state"), *name = node_text(hook, "name"), *code = "2",
		   *cannot = node_text(hook, "cannot");
	size_t note = 0;
	auto_buf struct buf text = { 0 };

	buf_init(&text, CONTROL_ANSWER_MAX);
	hook_state(hook, works, &text);
	if (cannot[0])
		note = note_of(p, cannot);
	if (note)
		buf_printf(&text, " [%zu]", note);
	if (!strcmp(state, "failed"))
		code = "31";
	else if (node_u64(hook, "silent"))
		code = "33";
	else if (!strcmp(state, "attached"))
		code = "0";
	buf_str(p->out, "  ");
	text_safe(p->out, name, strlen(name));
	buf_printf(p->out, "%*s", (int)(width + 2 - strlen(name)), "");
	painted(p, code, buf_text(&text));
	buf_char(p->out, '\n');
	if (!note)
		told(p, "cannot promise: ", cannot, 6);
	if (p->verbose || strcmp(state, "attached") != 0)
		told(p, strcmp(state, "attached") != 0 ? "why: " : "a better way was not had: ", node_text(hook, "why"),
		     6);
}

static void sensor_lines(const struct page *p, const struct json_node *sensor)
{
	const char *name = node_text(sensor, "name"), *state = node_text(sensor, "state"),
		   *summary = node_text(sensor, "summary");
	bool fails = !strcmp(state, "failed") || !strcmp(state, "fallback");
	size_t width = 0;

	painted(p, "1", name);
	buf_str(p->out, ": ");
	painted(p, state_color(state), state);
	buf_str(p->out, " - ");
	text_safe(p->out, summary, strlen(summary));
	buf_char(p->out, '\n');
	told(p, "why: ", node_text(sensor, "why"), 4);
	told(p, "what would help: ", node_text(sensor, "help"), 4);
	if (!strcmp(state, "off"))
		return;
	for_each_item (hook, sensor, "hooks") {
		size_t n = strlen(node_text(hook, "name"));

		width = n > width ? n : width;
	}
	for_each_item (hook, sensor, "hooks")
		hook_line(p, hook, !fails, width < 40 ? width : 40);
}

/* ---- books -------------------------------------------------------------------------------------------- */

static void books_cells(struct table *t, const struct books *b)
{
	table_cell(t, "%" PRIu64, b->seen);
	table_cell(t, "%" PRIu64, b->sent);
	table_cell(t, "%" PRIu64, b->filtered);
	table_cell(t, "%" PRIu64, b->lost_ring);
	table_cell(t, "%" PRIu64, b->lost_budget);
	table_cell(t, "%" PRIu64, b->error);
}

static void by_sensor(const struct page *p, const struct json_node *status)
{
	static const char *const titles[] = { "sensor",       ">seen",          ">sent",  ">filtered",
					      ">lost (ring)", ">lost (budget)", ">error", NULL };
	auto_table struct table t = { 0 };

	table_init(&t, titles);
	for_each_item (sensor, status, "sensors") {
		struct books b = { 0 };

		health_books(sensor, &b);
		if (!b.seen && !strcmp(node_text(sensor, "state"), "off"))
			continue;
		table_cell(&t, "%s", node_text(sensor, "name"));
		books_cells(&t, &b);
		if (!p->verbose)
			continue;
		for_each_item (kind, sensor, "kinds") {
			table_cell(&t, "  %s", node_text(kind, "name"));
			table_cell(&t, "%" PRIu64, node_u64(kind, "seen"));
			table_cell(&t, "%" PRIu64, node_u64(kind, "sent"));
			table_cell(&t, "%" PRIu64, node_u64(kind, "filtered"));
			table_cell(&t, "%" PRIu64, node_u64(kind, "lost_ring"));
			table_cell(&t, "%" PRIu64, node_u64(kind, "lost_budget"));
			table_cell(&t, "%" PRIu64, node_u64(kind, "error"));
		}
	}
	table_print(&t, 2, p->out);
}

static void by_class(const struct page *p, const struct health *h)
{
	static const char *const titles[] = { "class",          ">seen",  ">sent",       ">filtered", ">lost (ring)",
					      ">lost (budget)", ">error", ">lost (bus)", NULL };
	auto_table struct table t = { 0 };

	table_init(&t, titles);
	for (size_t c = 0; c < EV_CLASS_COUNT; c++) {
		if (!h->by_class[c].seen && !h->bus_lost[c])
			continue;
		table_cell(&t, "%s", health_classes[c]);
		books_cells(&t, &h->by_class[c]);
		table_cell(&t, "%" PRIu64, h->bus_lost[c]);
	}
	if (!t.cells)
		return;
	buf_char(p->out, '\n');
	table_print(&t, 2, p->out);
}

/* The sum, in words. */
static void sum_line(const struct page *p, const struct health *h)
{
	const struct books *b = &h->all;
	int64_t missing = books_missing(b);

	buf_printf(p->out,
		   "\n  seen %" PRIu64 " = sent %" PRIu64 " + filtered %" PRIu64 " + lost(ring) %" PRIu64
		   " + lost(budget) %" PRIu64 " + error %" PRIu64 "\n",
		   b->seen, b->sent, b->filtered, b->lost_ring, b->lost_budget, b->error);
	if (missing > 0)
		buf_printf(p->out,
			   "  This does not add up: %" PRId64
			   " of those seen are missing on the right. A few may be under\n"
			   "  way while we count; a number that stays is a fault of ours: please report it.\n",
			   missing);
	else if (missing < 0)
		buf_printf(p->out,
			   "  This does not add up: %" PRId64
			   " more on the right than were seen. A few may be under way\n"
			   "  while we count; a number that stays is a fault of ours: please report it.\n",
			   -missing);
	if (h->bus_lost_all)
		buf_printf(p->out, "  Of those sent, %" PRIu64 " found no room in the agent's queues (lost (bus)).\n",
			   h->bus_lost_all);
}

static void rings(const struct page *p, const struct json_node *status)
{
	static const char *const titles[] = { "ring", ">size", ">filled", ">records", NULL };
	auto_table struct table t = { 0 };

	table_init(&t, titles);
	for_each_item (ring, status, "rings") {
		uint64_t bytes = node_u64(ring, "bytes");
		auto_buf struct buf size = { 0 };

		buf_init(&size, 64);
		text_bytes(&size, bytes);
		table_cell(&t, "%s", node_text(ring, "name"));
		table_cell(&t, "%s", buf_text(&size));
		table_cell(&t, "%.0f%%", bytes ? 100.0 * (double)node_u64(ring, "used") / (double)bytes : 0.0);
		table_cell(&t, "%" PRIu64, node_u64(ring, "records"));
	}
	if (!t.cells)
		return;
	buf_char(p->out, '\n');
	table_print(&t, 2, p->out);
}

/* What keeps records, and who may have them: the raw ring, the recording on disk, the API. */
static void raw_path(const struct page *p, const struct json_node *status)
{
	const struct json_node *raw = json_get(status, "raw"), *record = json_get(status, "record");
	auto_buf struct buf size = { .max = 64 };

	if (raw && raw->type == JSON_OBJECT) {
		text_bytes(&size, node_u64(raw, "capacity"));
		buf_printf(p->out, "\n  raw ring of %s: %" PRIu64 " of %" PRIu64 " records are held\n", buf_text(&size),
			   node_u64(raw, "puts") - node_u64(raw, "overwritten"), node_u64(raw, "puts"));
	}
	if (record && record->type == JSON_OBJECT) {
		const char *folder = node_text(record, "folder"), *error = node_text(record, "error");
		uint64_t lost = node_u64(record, "lost_ring") + node_u64(record, "lost_disk");

		buf_str(p->out, "  recorded in ");
		text_safe(p->out, folder, strlen(folder));
		buf_printf(p->out, ": %" PRIu64 " records, %" PRIu64 " lost", node_u64(record, "records"), lost);
		if (error[0])
			buf_str(p->out, "; ");
		text_safe(p->out, error, strlen(error));
		buf_char(p->out, '\n');
	}
}

static void engines(const struct page *p, const struct json_node *status)
{
	for_each_item (engine, status, "engines") {
		const char *name = node_text(engine, "name"), *refused = node_text(engine, "rules_refused"),
			   *disabled = node_text(engine, "disabled"), *given_up = node_text(engine, "module_given_up");
		uint64_t evicted = node_u64(engine, "evicted_memory") + node_u64(engine, "evicted_rule") +
				   node_u64(engine, "evicted_entity");

		if (refused[0]) {
			buf_str(p->out, "  rules have changed, but those of before run on: ");
			text_safe(p->out, refused, strlen(refused));
			buf_char(p->out, '\n');
		}
		if (disabled[0]) {
			buf_str(p->out, "  scripts were disabled, for they failed or went beyond their limits: ");
			text_safe(p->out, disabled, strlen(disabled));
			buf_str(p->out, " (`shrike reload` tries them again)");
			buf_char(p->out, '\n');
		}
		if (given_up[0]) {
			buf_str(p->out, "  rules run by the interpreter, for their module failed: ");
			text_safe(p->out, given_up, strlen(given_up));
			buf_char(p->out, '\n');
		}
		if (!node_u64(engine, "events") && !node_u64(engine, "rules"))
			continue; /* it has no rules */
		buf_str(p->out, "  engine ");
		text_safe(p->out, name, strlen(name));
		buf_printf(p->out, ": %" PRIu64 " rules, %" PRIu64 " findings, %" PRIu64 " sequences under way",
			   node_u64(engine, "rules"), node_u64(engine, "findings"), node_u64(engine, "pending"));
		if (strcmp(node_text(engine, "backend"), "wasm") == 0)
			buf_str(p->out, ", run as Wasm");
		if (evicted)
			buf_printf(p->out, ", %" PRIu64 " let go for want of room", evicted);
		buf_char(p->out, '\n');
	}
}

static uint64_t lost_at(const struct json_node *place)
{
	return node_u64(place, "lost_full") + node_u64(place, "lost_closed") + node_u64(place, "lost_disk");
}

static void alert_place(const struct page *p, const struct json_node *place, const char *how, const char *count)
{
	const char *path = node_text(place, "path"), *error = node_text(place, "error");
	uint64_t lost = lost_at(place);

	buf_printf(p->out, "  alerts %s ", how);
	text_safe(p->out, path, strlen(path));
	buf_printf(p->out, ": %" PRIu64 ", %" PRIu64 " lost", node_u64(place, count), lost);
	if (error[0])
		buf_str(p->out, "; ");
	text_safe(p->out, error, strlen(error));
	buf_char(p->out, '\n');
}

static void alerts(const struct page *p, const struct json_node *status)
{
	const struct json_node *alerts = json_get(status, "alerts");
	const struct json_node *store = alerts ? json_get(alerts, "store") : NULL;
	bool any = alerts && node_u64(alerts, "found");

	if (!alerts)
		return;
	if (any)
		buf_printf(p->out,
			   "  %" PRIu64 " found: %" PRIu64 " alerts, %" PRIu64 " folded into others, %" PRIu64
			   " excepted\n",
			   node_u64(alerts, "found"), node_u64(alerts, "told"), node_u64(alerts, "folded"),
			   node_u64(alerts, "excepted"));
	/* Who finds nothing is told of trouble all the same, before there is something to lose. */
	if (store && store->type == JSON_OBJECT && (any || node_text(store, "error")[0]))
		alert_place(p, store, "kept in", "kept");
	for_each_item (sender, alerts, "senders")
		if (any || node_text(sender, "error")[0])
			alert_place(p, sender, "written to", "sent");
}

static void api(const struct page *p, const struct json_node *status)
{
	const struct json_node *api = json_get(status, "api");
	const char *state = node_text(api, "state"), *why = node_text(api, "why"), *listen = node_text(api, "listen"),
		   *socket = node_text(api, "socket");

	if (!strcmp(state, "failed")) {
		buf_str(p->out, "  the API is not served: ");
		text_safe(p->out, why, strlen(why));
		buf_char(p->out, '\n');
	}
	if (strcmp(state, "running") != 0)
		return;
	buf_str(p->out, "  the API listens at ");
	text_safe(p->out, listen, strlen(listen));
	buf_str(p->out, listen[0] && socket[0] ? " and " : "");
	text_safe(p->out, socket, strlen(socket));
	buf_printf(p->out, ": %" PRIu64 " token%s, %" PRIu64 " connected, %" PRIu64 " records sent\n",
		   node_u64(api, "tokens"), node_u64(api, "tokens") == 1 ? "" : "s", node_u64(api, "connections"),
		   node_u64(api, "records"));
}

static void streams(const struct page *p, const struct json_node *status)
{
	for_each_item (s, status, "streams") {
		buf_printf(p->out, "  read by pid %" PRIu64 " (user %" PRIu64 "): %" PRIu64 " sent", node_u64(s, "pid"),
			   node_u64(s, "uid"), node_u64(s, "sent"));
		if (node_u64(s, "lost"))
			buf_printf(p->out, ", %" PRIu64 " lost because it is slow", node_u64(s, "lost"));
		buf_char(p->out, '\n');
	}
}

/* {"a":1,"b":{"c":2}} as "a 1, b.c 2". */
static void counters(const struct page *p, const struct json_node *object, const char *title)
{
	const struct json_node *name, *v;
	auto_buf struct buf line = { 0 };

	if (!object || object->type != JSON_OBJECT)
		return;
	buf_init(&line, CONTROL_ANSWER_MAX);
	for (v = json_first(object, &name); v; v = json_next(object, v, &name)) {
		if (v->type != JSON_INT && v->type != JSON_UINT)
			continue;
		buf_str(&line, line.len ? ", " : "");
		text_safe(&line, name->s, name->len);
		buf_printf(&line, " %" PRIu64, v->u);
	}
	if (line.len)
		buf_printf(p->out, "  %s: ", title);
	if (line.len)
		text_wrap(p->out, buf_text(&line), strlen(title) + 4, 4);
}

/* ---- the verb --------------------------------------------------------------------------------------------- */

static void whole_page(const struct page *p, const struct json_node *status, const struct health *h)
{
	agent_line(p, json_get(status, "agent"));
	for_each_item (sensor, status, "sensors")
		sensor_lines(p, sensor);
	if (p->notes->n)
		buf_str(p->out, "\nWhat these hooks cannot promise on this kernel\n");
	for (size_t i = 0; i < p->notes->n; i++) {
		size_t begin = p->out->len;
		auto_buf struct buf safe = { 0 };

		buf_init(&safe, CONTROL_ANSWER_MAX);
		text_safe(&safe, p->notes->texts[i], strlen(p->notes->texts[i]));
		buf_printf(p->out, "  [%zu] ", i + 1);
		text_wrap(p->out, buf_text(&safe), p->out->len - begin, 6);
	}
	buf_str(p->out, "\nEvents\n");
	by_sensor(p, status);
	by_class(p, h);
	sum_line(p, h);
	rings(p, status);
	raw_path(p, status);
	engines(p, status);
	alerts(p, status);
	api(p, status);
	if (items_first(status, "streams"))
		buf_char(p->out, '\n');
	streams(p, status);
	if (p->verbose) {
		buf_str(p->out, "\nCounters\n");
		counters(p, json_get(status, "reader"), "reader");
		counters(p, json_get(status, "bus"), "bus");
		counters(p, json_get(status, "context"), "context");
		counters(p, json_get(status, "alerts"), "alerts");
		for_each_item (engine, status, "engines") {
			const char *name = node_text(engine, "name");
			auto_buf struct buf safe = { .max = CONTROL_ANSWER_MAX };

			text_safe(&safe, name, strlen(name));
			counters(p, engine, buf_text(&safe));
		}
	}
}

/* What the sensors' health does not show: rules that are not those of the folder, alerts that nobody will read. */
static void brief_trouble(const struct page *p, const struct json_node *status)
{
	const struct json_node *alerts = json_get(status, "alerts");
	const struct json_node *store = alerts ? json_get(alerts, "store") : NULL;
	uint64_t lost = store ? lost_at(store) : 0, disabled = 0;
	bool refused = false;

	if (alerts)
		for_each_item (sender, alerts, "senders")
			lost += lost_at(sender);
	for_each_item (engine, status, "engines") {
		refused |= node_text(engine, "rules_refused")[0] != 0;
		disabled += node_u64(engine, "scripts_disabled");
	}
	if (lost)
		buf_printf(p->out, "; %" PRIu64 " alert%s lost", lost, lost == 1 ? "" : "s");
	if (refused)
		buf_str(p->out, "; changed rules refused");
	if (disabled)
		buf_printf(p->out, "; %" PRIu64 " script%s disabled", disabled, disabled == 1 ? "" : "s");
}

static void brief_line(const struct page *p, const struct json_node *status, const struct health *h)
{
	uint64_t lost = h->all.lost_ring + h->all.lost_budget + h->bus_lost_all;
	bool first = true;

	painted(p, h->bad ? "33" : "32", h->bad ? "degraded" : "ok");
	buf_str(p->out, ":");
	for_each_item (sensor, status, "sensors") {
		const char *name = node_text(sensor, "name"), *state = node_text(sensor, "state");

		if (!state_is_bad(state))
			continue;
		buf_str(p->out, first ? " " : ", ");
		text_safe(p->out, name, strlen(name));
		buf_char(p->out, ' ');
		text_safe(p->out, state, strlen(state));
		first = false;
	}
	buf_printf(p->out, "%s %u sensor%s running, %u off; %" PRIu64 " events, ", first ? "" : ",", h->running,
		   h->running == 1 ? "" : "s", h->off, h->all.sent);
	if (lost)
		buf_printf(p->out, "%" PRIu64 " lost", lost);
	else
		buf_str(p->out, "none lost");
	brief_trouble(p, status);
	buf_char(p->out, '\n');
}

static enum exit_code show(struct cli *cli, const struct status_options *o, const struct json_node *status,
			   struct str line)
{
	auto_buf struct buf out = { 0 };
	struct notes notes = { 0 };
	const struct page page = { &out, cli->color, o->verbose, &notes };
	struct health h;

	buf_init(&out, 4 * CONTROL_ANSWER_MAX);
	health_read(status, &h);
	if (o->output == OUTPUT_JSON) {
		text_safe_json(&out, line.p, line.n);
		buf_char(&out, '\n');
	} else if (o->brief) {
		brief_line(&page, status, &h);
	} else {
		whole_page(&page, status, &h);
	}
	(void)cli_write(cli, &out);
	return h.bad ? EXIT_NO : EXIT_OK;
}

static enum exit_code run(struct cli *cli, const void *opts, char **args, size_t n_args)
{
	const struct status_options *o = opts;
	const struct json_node *status;
	auto_json struct json_doc doc = { 0 };
	AUTO(client) client = NULL;
	enum exit_code code;
	struct str line;

	if (n_args)
		return cli_misused(cli, &verb_status, "\"%s\" is one word too many", args[0]);
	json_init(&doc, &client_json_limits);
	code = client_open(cli, o->socket, &client);
	if (code == EXIT_OK)
		code = client_ask(cli, client, "{\"cmd\":\"status\"}", &doc, &status, &line);
	return code == EXIT_OK ? show(cli, o, status, line) : code;
}

static const struct exit_row exits[] = {
	{ EXIT_OK, "All sensors that are on run as they should." },
	{ EXIT_NO, "Some sensor is degraded or does not run; the text says why." },
	{ EXIT_USAGE, "Called wrongly." },
	{ EXIT_NO_AGENT, "No agent could be talked to." },
};

static const struct verb_example examples[] = {
	{ "shrike status", "what is watched, what is not and why, and what was lost" },
	{ "shrike status --brief", "one line, and the exit code for a monitor" },
	{ "shrike status -o json | jq '.sensors[] | select(.state != \"running\") | .why'",
	  "what keeps sensors from running" },
};

const struct verb verb_status = {
	.name = "status",
	.summary = "how a running agent is: what it watches, what it cannot, what was lost",
	.about = "A hook is \"attached\" when the kernel took its program, and \"seen firing\" when it has reported "
		 "something, if only the agent's own test. Lost events are counted where they were lost: \"ring\", "
		 "the buffer between kernel and agent was full; \"budget\", one cgroup made more than its share; "
		 "\"bus\", the agent's queues were full.",
	.options = options,
	.n_options = countof(options),
	.options_size = sizeof(struct status_options),
	.examples = examples,
	.n_examples = countof(examples),
	.exits = exits,
	.n_exits = countof(exits),
	.run = run,
};
