/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/found.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/json.h"
#include "cli/text.h"
#include "cli/view.h"

enum { OUT_MAX = 64 << 20, OUT_FULL = 1 << 18 };

const char *const found_format_names[] = {
	[FOUND_TABLE] = "table",
	[FOUND_JSON] = "json",
	[FOUND_NDJSON] = "ndjson",
	NULL,
};

struct printer {
	struct cli *cli;
	const struct hunt *h;
	enum found_format format;
	struct buf out;
	struct view view;
	struct json_doc doc;
	char *line;    /* LINE_BYTES_MAX */
	size_t line_n; /* without blanks around it */
	const char *line_p;
	bool unread; /* nobody reads our output */
};

static bool flush(struct printer *p, size_t at)
{
	if (p->out.len < at)
		return true;
	p->unread |= !cli_write(p->cli, &p->out);
	buf_clear(&p->out);
	return !p->unread;
}

static int read_line(struct printer *p, const struct hunt_event *e)
{
	int r = hunt_text(p->h, e, p->line);

	p->line_p = p->line;
	p->line_n = e->len;
	while (p->line_n && (unsigned char)p->line_p[p->line_n - 1] <= ' ')
		p->line_n--;
	for (; p->line_n && (unsigned char)*p->line_p <= ' '; p->line_p++)
		p->line_n--;
	return r;
}

/* ---- JSON ------------------------------------------------------------------------------------------------- */

static int event_json(struct printer *p, const struct hunt_event *e, bool whole)
{
	const char *name;
	int r = 0;

	if (e->input == UINT32_MAX) {
		buf_str(&p->out, "null");
		return 0;
	}
	buf_printf(&p->out, "{\"index\":%" PRIu64, e->index);
	if (hunt_n_inputs(p->h) > 1) {
		name = hunt_input_name(p->h, e->input);
		buf_str(&p->out, ",\"input\":");
		(void)json_write_str(&p->out, name, strlen(name));
	}
	if (whole) {
		r = read_line(p, e);
		buf_str(&p->out, ",\"event\":");
		text_safe_json(&p->out, p->line_p, p->line_n);
	}
	buf_char(&p->out, '}');
	return r;
}

static void counted_json(struct printer *p, const struct hunt_match *m)
{
	buf_printf(&p->out, ",\"count\":%" PRIu64 ",\"percent\":", m->count);
	json_write_double(&p->out, m->percent);
}

static int match_json(struct printer *p, const struct hunt_result *result, const struct hunt_match *m, bool whole)
{
	const struct hunt_event *events = result->events + m->first_event;
	const char *keys = result->keys + m->first_key;
	int r = 0;

	if (m->kind == RUNNER_ROW) {
		buf_printf(&p->out, "{\"key\":[%.*s]", (int)m->keys_len, keys);
		counted_json(p, m);
		buf_char(&p->out, '}');
		return 0;
	}
	if (m->kind == RUNNER_EVENT) {
		r = event_json(p, events, true);
		if (m->counted) {
			p->out.len--; /* before the brace */
			counted_json(p, m);
			buf_char(&p->out, '}');
		}
		return r;
	}
	buf_printf(&p->out, "{\"join_keys\":[%.*s],\"events\":[", (int)m->keys_len, keys);
	for (size_t i = 0; i < m->n_events && r == 0; i++) {
		buf_str(&p->out, i ? "," : "");
		r = event_json(p, &events[i], whole);
	}
	buf_char(&p->out, ']');
	if (m->counted)
		counted_json(p, m);
	buf_char(&p->out, '}');
	return r;
}

static bool is_in(const struct hunt_match *m, enum runner_kind list)
{
	return list == RUNNER_SEQUENCE ? m->kind == RUNNER_SEQUENCE || m->kind == RUNNER_SAMPLE : m->kind == list;
}

static int list_json(struct printer *p, const struct hunt_result *result, enum runner_kind kind)
{
	bool any = false;
	int r = 0;

	for (size_t i = 0; i < result->n && r == 0; i++) {
		if (!is_in(&result->matches[i], kind))
			continue;
		buf_str(&p->out, any ? "," : "");
		any = true;
		r = match_json(p, result, &result->matches[i], false);
		if (p->out.failed)
			return err_new(-ENOMEM, "out of memory");
		if (!flush(p, OUT_FULL))
			break;
	}
	return r;
}

static bool has_rows(const struct hunt_result *result)
{
	return result->n && result->matches[0].kind == RUNNER_ROW;
}

static void error_json(struct printer *p, const struct diag *wrong)
{
	buf_printf(&p->out, "\"error\":{\"line\":%u,\"column\":%u,\"message\":", wrong->line, wrong->column);
	(void)json_write_str(&p->out, wrong->message, strlen(wrong->message));
	if (wrong->hint[0]) {
		buf_str(&p->out, ",\"hint\":");
		(void)json_write_str(&p->out, wrong->hint, strlen(wrong->hint));
	}
	if (wrong->within[0]) {
		buf_str(&p->out, ",\"within\":");
		(void)json_write_str(&p->out, wrong->within, strlen(wrong->within));
	}
	buf_char(&p->out, '}');
}

/* The whole result as one object on one line. */
static int result_json(struct printer *p, const struct hunt_result *result, const char *id, bool count)
{
	int r = 0;

	buf_char(&p->out, '{');
	if (id)
		buf_printf(&p->out, "\"id\":%s,", id);
	if (result->wrong) {
		error_json(p, result->wrong);
	} else if (count) {
		buf_printf(&p->out, "\"count\":%" PRIu64, result->found);
	} else {
		buf_str(&p->out, "\"events\":[");
		r = list_json(p, result, RUNNER_EVENT);
		buf_str(&p->out, "],\"sequences\":[");
		r = r < 0 ? r : list_json(p, result, RUNNER_SEQUENCE);
		buf_char(&p->out, ']');
		if (has_rows(result)) {
			buf_str(&p->out, ",\"rows\":[");
			r = r < 0 ? r : list_json(p, result, RUNNER_ROW);
			buf_char(&p->out, ']');
		}
	}
	buf_str(&p->out, "}\n");
	return r;
}

/* ---- lines ---------------------------------------------------------------------------------------------------- */

static void with_id(struct printer *p, const char *id)
{
	if (id)
		buf_printf(&p->out, "{\"id\":%s,\"match\":", id);
}

static int result_ndjson(struct printer *p, const struct hunt_result *result, const char *id, bool count)
{
	int r = 0;

	if (result->wrong || count)
		return result_json(p, result, id, count);
	for (size_t i = 0; i < result->n && r == 0; i++) {
		with_id(p, id);
		r = match_json(p, result, &result->matches[i], true);
		buf_str(&p->out, id ? "}\n" : "\n");
		if (p->out.failed)
			return err_new(-ENOMEM, "out of memory");
		if (!flush(p, OUT_FULL))
			break;
	}
	return r;
}

/* ---- for people ------------------------------------------------------------------------------------------------ */

/* What the agent wrote has a line of its own; of other events the beginning is shown as it is. */
static int event_line(struct printer *p, const struct hunt_event *e, unsigned indent)
{
	const struct json_node *event, *kind;
	int r;

	if (e->input == UINT32_MAX) {
		buf_printf(&p->out, "%*s(no such event)\n", (int)indent, "");
		return 0;
	}
	r = read_line(p, e);
	if (r < 0)
		return r;
	if (json_parse(&p->doc, p->line_p, p->line_n, &event) == 0) {
		kind = view_field(event, "event.dataset");
		if (kind && kind->type == JSON_STRING && view_kind(kind->s)) {
			p->view.indent = indent;
			view_event(&p->view, event, &p->out);
			return 0;
		}
	}
	err_clear();
	buf_printf(&p->out, "%*s%s%s%" PRIu64 "  ", (int)indent, "",
		   hunt_n_inputs(p->h) > 1 ? hunt_input_name(p->h, e->input) : "", hunt_n_inputs(p->h) > 1 ? ":" : "#",
		   e->index);
	text_safe_json(&p->out, p->line_p, p->line_n);
	buf_char(&p->out, '\n');
	return 0;
}

static int match_table(struct printer *p, const struct hunt_result *result, const struct hunt_match *m, size_t number)
{
	const struct hunt_event *events = result->events + m->first_event;
	int r = 0;

	if (m->kind == RUNNER_ROW || m->counted) {
		buf_printf(&p->out, "%10" PRIu64 "  %5.1f %%  ", m->count, m->percent * 100);
		if (m->kind == RUNNER_ROW) {
			text_safe_json(&p->out, result->keys + m->first_key, m->keys_len);
			buf_char(&p->out, '\n');
			return 0;
		}
	}
	if (m->kind == RUNNER_EVENT)
		return event_line(p, events, 0);
	buf_printf(&p->out, "%s%s %zu", number ? "\n" : "", m->kind == RUNNER_SAMPLE ? "sample" : "sequence",
		   number + 1);
	if (m->keys_len) {
		buf_str(&p->out, " by ");
		text_safe_json(&p->out, result->keys + m->first_key, m->keys_len);
	}
	buf_char(&p->out, '\n');
	for (size_t i = 0; i < m->n_events && r == 0; i++)
		r = event_line(p, &events[i], 2);
	return r;
}

static int result_table(struct printer *p, const struct hunt_result *result, const char *id, bool count)
{
	int r = 0;

	if (id) {
		text_safe_json(&p->out, id, strlen(id));
		buf_str(&p->out, result->wrong || count ? ": " : ":\n");
	}
	if (result->wrong && id) {
		buf_printf(&p->out, "%u:%u: ", result->wrong->line, result->wrong->column);
		text_safe(&p->out, result->wrong->message, strlen(result->wrong->message));
		buf_char(&p->out, '\n');
	} else if (count && !result->wrong) {
		buf_printf(&p->out, "%" PRIu64 "\n", result->found);
	}
	for (size_t i = 0; i < result->n && r == 0; i++) {
		r = match_table(p, result, &result->matches[i], i);
		if (!flush(p, OUT_FULL))
			break;
	}
	return r;
}

/* ---- all of it ----------------------------------------------------------------------------------------------------
 */

int found_print(struct cli *cli, const struct hunt *h, char *const *ids, enum found_format format, bool count,
		bool *ret_found)
{
	static int (*const print[])(struct printer *p, const struct hunt_result *result, const char *id, bool count) = {
		[FOUND_TABLE] = result_table,
		[FOUND_JSON] = result_json,
		[FOUND_NDJSON] = result_ndjson,
	};
	static const struct json_limits limits = { LINE_BYTES_MAX, JSON_EVENT_NODES_MAX, JSON_EVENT_DEPTH_MAX };
	auto_free char *line = malloc(LINE_BYTES_MAX);
	struct printer p = { .cli = cli, .h = h, .format = format, .view = { .color = cli->color }, .line = line };
	int r = line ? 0 : err_new(-ENOMEM, "out of memory");

	*ret_found = false;
	buf_init(&p.out, OUT_MAX);
	json_init(&p.doc, &limits);
	for (size_t i = 0; r == 0 && i < hunt_n(h) && !p.unread; i++) {
		struct hunt_result result;

		hunt_result(h, i, &result);
		if (result.wrong && !ids)
			continue;
		*ret_found |= result.found > 0;
		r = print[format](&p, &result, ids ? ids[i] : NULL, count);
	}
	(void)flush(&p, 1);
	buf_free(&p.out);
	json_free(&p.doc);
	return r;
}
