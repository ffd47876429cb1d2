/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/story.h"
#include <ctype.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>
#include "base/clock.h"
#include "base/mem.h"
#include "cli/client.h"
#include "cli/health.h"
#include "cli/text.h"
#include "cli/view.h"

enum {
	INDENT = 2,
	LABEL_WIDTH = 12,
	KIND_WIDTH = 16,
	PROCESS_WIDTH = 16,
	TEXT_MAX = 64 << 10,
	HISTORY_INDENT = INDENT + 19 + 2, /* behind the date */
	DEPTH_MAX = 32,                   /* of the tree of processes */
};

/* ---- small things ------------------------------------------------------------------------------------------ */

static const char *text_at(const struct json_node *alert, const char *path)
{
	const struct json_node *v = view_field(alert, path);

	return v && v->type == JSON_STRING ? v->s : "";
}

static uint64_t number_at(const struct json_node *alert, const char *path)
{
	const struct json_node *v = view_field(alert, path);

	return v && v->type == JSON_INT && v->i > 0 ? (uint64_t)v->i : 0;
}

static bool time_at(const struct json_node *alert, const char *path, int64_t *ret_ns)
{
	const char *text = text_at(alert, path);

	return clock_parse(text, strlen(text), ret_ns);
}

static void put_safe(struct buf *out, const char *text)
{
	text_safe(out, text, strlen(text));
}

static void put_node(struct buf *out, const struct json_node *v)
{
	if (v->type == JSON_STRING)
		text_safe(out, v->s, v->len);
	else if (v->type == JSON_INT)
		buf_printf(out, "%" PRId64, v->i);
	else if (v->type == JSON_UINT)
		buf_printf(out, "%" PRIu64, v->u);
	else if (v->type == JSON_BOOL)
		buf_str(out, v->b ? "true" : "false");
}

static void paint(const struct story *s, const char *code, struct buf *out)
{
	if (s->color && *code)
		buf_printf(out, "\033[%sm", code);
}

static void painted(const struct story *s, const char *code, const char *text, struct buf *out)
{
	paint(s, code, out);
	put_safe(out, text);
	paint(s, "0", out);
}

static void spaces(struct buf *out, size_t n)
{
	for (; n; n--)
		buf_char(out, ' ');
}

const char *story_color(const char *severity)
{
	static const struct {
		const char *severity, *code;
	} rows[] = {
		{ "critical", "1;37;41" }, { "high", "1;31" },       { "medium", "33" },
		{ "low", "36" },           { "informational", "2" },
	};

	for (size_t i = 0; i < countof(rows); i++)
		if (!strcmp(rows[i].severity, severity))
			return rows[i].code;
	return "";
}

void story_ago(int64_t ns, int64_t now_ns, struct buf *out)
{
	/* Parts of a second are of no use to somebody who asks how long ago. */
	int64_t s = ns > now_ns ? (ns - now_ns) / (int64_t)NS_PER_S : (now_ns - ns) / (int64_t)NS_PER_S;

	buf_str(out, ns > now_ns ? "in " : "");
	if (s < 60)
		buf_printf(out, "%" PRId64 "s", s);
	else if (s < 3600)
		buf_printf(out, "%" PRId64 "m", s / 60);
	else if (s < 86400)
		buf_printf(out, "%" PRId64 "h", s / 3600);
	else
		buf_printf(out, "%" PRId64 "d", s / 86400);
	buf_str(out, ns > now_ns ? "" : " ago");
}

void story_date(int64_t ns, struct buf *out)
{
	time_t s = (time_t)(ns / (int64_t)NS_PER_S) - (ns % (int64_t)NS_PER_S < 0);
	char text[64];
	struct tm tm;

	if (localtime_r(&s, &tm) && strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm))
		buf_str(out, text);
}

static void heading(const struct story *s, const char *title, struct buf *out)
{
	buf_char(out, '\n');
	painted(s, "1", title, out);
	buf_char(out, '\n');
}

/* Paragraphs of the rule's own words; each is made safe, their ends stay. */
static void put_words(const struct story *s, const char *text, size_t indent, struct buf *out)
{
	auto_buf struct buf safe = { .max = TEXT_MAX };

	for (const char *p = text; *p; p++) {
		size_t n = strcspn(p, "\n");

		text_safe(&safe, p, n);
		p += n;
		if (!*p)
			break;
		buf_char(&safe, '\n');
	}
	while (safe.len && strchr(" \n", safe.data[safe.len - 1]))
		safe.data[--safe.len] = 0;
	text_wrap_at(out, buf_text(&safe), 0, indent, s->width);
}

static void put_section(const struct story *s, const char *title, const char *text, struct buf *out)
{
	if (!*text)
		return;
	heading(s, title, out);
	put_words(s, text, INDENT, out);
}

/* ---- the head ------------------------------------------------------------------------------------------------ */

/* A list as "a, b", or one text. */
static void put_list(const struct json_node *v, struct buf *out)
{
	const struct json_node *unused;
	bool first = true;

	if (!v)
		return;
	if (v->type != JSON_ARRAY) {
		put_node(out, v);
		return;
	}
	for (const struct json_node *i = json_first(v, &unused); i; i = json_next(v, i, &unused)) {
		buf_str(out, first ? "" : ", ");
		put_node(out, i);
		first = false;
	}
}

static void put_rule(const struct story *s, const struct json_node *alert, struct buf *out)
{
	const struct json_node *author = view_field(alert, "rule.author");
	const char *license = text_at(alert, "rule.license"), *version = text_at(alert, "rule.version");
	auto_buf struct buf line = { .max = TEXT_MAX };
	uint64_t risk = number_at(alert, "event.risk_score");
	const char *id = text_at(alert, "rule.id");

	buf_str(&line, "rule ");
	put_safe(&line, *id ? id : "(not said)");
	if (*version) {
		buf_str(&line, ", version ");
		put_safe(&line, version);
	}
	if (author) {
		buf_str(&line, ", by ");
		put_list(author, &line);
	}
	if (*license) {
		buf_str(&line, " (");
		put_safe(&line, license);
		buf_char(&line, ')');
	}
	if (risk)
		buf_printf(&line, "; risk %" PRIu64 " of 100", risk);
	text_wrap_at(out, buf_text(&line), 0, 0, s->width);
}

static void put_when(const struct story *s, const struct json_node *alert, struct buf *out)
{
	int64_t ns;

	if (time_at(alert, "@timestamp", &ns)) {
		story_date(ns, out);
		buf_str(out, ", ");
		story_ago(ns, s->now_ns, out);
		buf_str(out, "; ");
	}
	buf_str(out, "alert ");
	put_safe(out, text_at(alert, "shrike.alert.id"));
	buf_char(out, '\n');
}

static void put_head(const struct story *s, const struct json_node *alert, struct buf *out)
{
	const char *severity = text_at(alert, "shrike.alert.severity"), *state = text_at(alert, "shrike.alert.state");
	const char *name = text_at(alert, "rule.name");

	paint(s, story_color(severity), out);
	for (const char *p = severity; *p; p++)
		buf_char(out, isalpha((unsigned char)*p) ? (char)toupper((unsigned char)*p) : '?');
	paint(s, "0", out);
	buf_str(out, *severity ? "  " : "");
	painted(s, "1", *name ? name : text_at(alert, "message"), out);
	if (*state) {
		buf_str(out, "  [");
		put_safe(out, state);
		buf_char(out, ']');
	}
	buf_char(out, '\n');
	put_rule(s, alert, out);
	put_when(s, alert, out);
}

static void put_seen(const struct story *s, const struct json_node *alert, struct buf *out)
{
	const char *description = text_at(alert, "rule.description"), *message = text_at(alert, "message");

	/* A message that is the rule's name says nothing more. */
	if (!strcmp(message, text_at(alert, "rule.name")))
		message = "";
	if (!*description && !*message)
		return;
	heading(s, "What was seen, and why it matters", out);
	if (*message)
		put_words(s, message, INDENT, out);
	if (*description)
		put_words(s, description, INDENT, out);
}

/* ---- who ------------------------------------------------------------------------------------------------------- */

static void label(const struct story *s, const char *name, struct buf *out)
{
	spaces(out, INDENT);
	painted(s, "2", name, out);
	spaces(out, LABEL_WIDTH - strlen(name));
}

static void put_named(const struct story *s, const char *title, const struct json_node *alert, const char *name,
		      const char *id, struct buf *out)
{
	const struct json_node *n = view_field(alert, name), *i = view_field(alert, id);

	if (!n && !i)
		return;
	label(s, title, out);
	if (n)
		put_node(out, n);
	if (n && i)
		buf_str(out, " (");
	if (i)
		put_node(out, i);
	buf_str(out, n && i ? ")\n" : "\n");
}

static void put_command(const struct json_node *process, struct buf *out)
{
	const struct json_node *args = json_get(process, "args"), *unused;
	const char *line = node_text(process, "command_line");

	if (*line) {
		put_safe(out, line);
		return;
	}
	if (!args || args->type != JSON_ARRAY) {
		put_safe(out, node_text(process, "executable"));
		return;
	}
	for (const struct json_node *a = json_first(args, &unused); a; a = json_next(args, a, &unused)) {
		buf_str(out, out->len && out->data[out->len - 1] != ' ' ? " " : "");
		if (a->type == JSON_STRING)
			text_word(out, a->s, a->len);
	}
}

static void put_who(const struct story *s, const struct json_node *alert, struct buf *out)
{
	const struct json_node *process = view_field(alert, "process");
	auto_buf struct buf command = { .max = TEXT_MAX };
	size_t begin = out->len, after;

	heading(s, "Who and where", out);
	after = out->len;
	put_named(s, "process", alert, "process.name", "process.pid", out);
	if (process && process->type == JSON_OBJECT) {
		put_command(process, &command);
		if (command.len) {
			label(s, "command", out);
			buf_add(out, buf_text(&command), command.len);
			buf_char(out, '\n');
		}
		if (*node_text(process, "executable"))
			put_named(s, "program", alert, "process.executable", "process.hash.sha256", out);
	}
	put_named(s, "user", alert, "user.name", "user.id", out);
	put_named(s, "container", alert, "container.name", "container.id", out);
	put_named(s, "host", alert, "host.name", "host.id", out);
	/* Nobody is known. */
	if (out->len == after)
		out->len = begin;
}

static void put_attack_of(const struct json_node *threat, const char *what, bool *io_any, struct buf *out)
{
	const struct json_node *of = view_field(threat, what), *ids = of ? json_get(of, "id") : NULL;
	const struct json_node *names = of ? json_get(of, "name") : NULL, *unused;
	const struct json_node *name = names && names->type == JSON_ARRAY ? json_first(names, &unused) : NULL;

	if (!ids || ids->type != JSON_ARRAY)
		return;
	for (const struct json_node *id = json_first(ids, &unused); id; id = json_next(ids, id, &unused)) {
		buf_str(out, *io_any ? ", " : "");
		*io_any = true;
		put_node(out, id);
		if (name && name->type == JSON_STRING && (id->type != JSON_STRING || strcmp(name->s, id->s) != 0)) {
			buf_char(out, ' ');
			put_node(out, name);
		}
		name = name ? json_next(names, name, &unused) : NULL;
	}
}

static void put_attack(const struct story *s, const struct json_node *alert, struct buf *out)
{
	static const char *const parts[] = { "tactic", "technique", "technique.subtechnique" };
	const struct json_node *threat = view_field(alert, "threat");
	auto_buf struct buf line = { .max = TEXT_MAX };
	bool any = false;

	for (size_t i = 0; threat && i < countof(parts); i++)
		put_attack_of(threat, parts[i], &any, &line);
	if (any)
		put_section(s, "MITRE ATT&CK", buf_text(&line), out);
}

/* ---- in which order --------------------------------------------------------------------------------------------- */

/* "+1.250s" behind the first event; the first one has its time of day. */
static void put_offset(const struct story *s, int64_t ns, int64_t first_ns, struct buf *out)
{
	int64_t ms = (ns - first_ns) / (int64_t)NS_PER_MS;
	auto_buf struct buf text = { .max = 64 };

	if (ms < 0)
		buf_printf(&text, "-%" PRId64 ".%03ds", -ms / 1000, (int)(-ms % 1000));
	else if (ms < 600000)
		buf_printf(&text, "+%" PRId64 ".%03ds", ms / 1000, (int)(ms % 1000));
	else {
		buf_char(&text, '+');
		text_duration(&text, (uint64_t)ms * NS_PER_MS);
	}
	paint(s, "2", out);
	buf_printf(out, "%10s", buf_text(&text));
	paint(s, "0", out);
}

static void pad_to(struct buf *out, size_t begin, size_t width)
{
	size_t is = text_width(buf_text(out) + begin, out->len - begin);

	spaces(out, is < width ? width - is + 1 : 1);
}

/* Without the blanks at its end, or what was written behind it and taken back. */
static void end_line(struct buf *b)
{
	while (b->len && b->data[b->len - 1] == ' ')
		b->len--;
	if (b->data)
		b->data[b->len] = 0;
}

static void put_event(const struct story *s, size_t number, const struct json_node *event, int64_t first_ns,
		      struct buf *out)
{
	const struct json_node *pid = view_field(event, "process.pid");
	const char *name = text_at(event, "process.name");
	auto_buf struct buf line = { .max = TEXT_MAX };
	size_t begin, indent;
	int64_t ns;

	buf_printf(out, "%*zu ", INDENT + 2, number);
	if (time_at(event, "@timestamp", &ns))
		put_offset(s, ns, first_ns, out);
	else
		spaces(out, 10);
	buf_str(out, "  ");
	indent = INDENT + 2 + 1 + 10 + 2 + KIND_WIDTH + 1 + PROCESS_WIDTH + 1;
	paint(s, "36", out);
	begin = out->len;
	put_safe(out, text_at(event, "event.dataset"));
	pad_to(out, begin, KIND_WIDTH);
	paint(s, "0", out);
	begin = out->len;
	put_safe(out, *name ? name : text_at(event, "process.executable"));
	if (pid) {
		buf_char(out, '[');
		put_node(out, pid);
		buf_char(out, ']');
	}
	pad_to(out, begin, PROCESS_WIDTH);
	view_details(event, &line);
	end_line(&line);
	if (!line.len) {
		end_line(out);
		buf_char(out, '\n');
		return;
	}
	/* Where there is no room beside, it stands below. */
	if (s->width < indent + 24) {
		end_line(out);
		buf_char(out, '\n');
		indent = INDENT + 5;
		text_wrap_at(out, buf_text(&line), 0, indent, s->width);
	} else {
		text_wrap_at(out, buf_text(&line), indent, indent, s->width);
	}
}

static void put_order(const struct story *s, const struct json_node *alert, struct buf *out)
{
	const struct json_node *list = view_field(alert, "shrike.alert.events"), *unused;
	uint64_t left_out = number_at(alert, "shrike.alert.events_left_out");
	size_t n = 0;
	int64_t first_ns = 0;
	bool has_first = false;

	if (!list || list->type != JSON_ARRAY || !list->len)
		return;
	heading(s, list->len > 1 ? "What happened, in this order" : "What happened", out);
	for (const struct json_node *e = json_first(list, &unused); e; e = json_next(list, e, &unused)) {
		if (n++ == STORY_EVENTS_MAX) {
			buf_printf(out, "%*s... and %" PRIu64 " more\n", INDENT, "", list->len - (uint64_t)(n - 1));
			break;
		}
		if (!has_first && e->type == JSON_OBJECT && time_at(e, "@timestamp", &first_ns)) {
			spaces(out, INDENT);
			story_date(first_ns, out);
			buf_printf(out, ".%03d\n", (int)(first_ns % (int64_t)NS_PER_S / (int64_t)NS_PER_MS));
			has_first = true;
		}
		if (e->type == JSON_OBJECT)
			put_event(s, n, e, first_ns, out);
		else
			buf_printf(out, "%*zu             (did not happen, or is not kept)\n", INDENT + 2, n);
	}
	if (left_out)
		buf_printf(out, "%*s(%" PRIu64 " of these were too large to be kept)\n", INDENT, "", left_out);
}

/* ---- where the processes come from ------------------------------------------------------------------------------- */

struct member {
	const char *id; /* entity_id */
	const struct json_node *process;
	unsigned parent; /* its place and 1; 0: nobody that we know */
	bool acted;
};

struct family {
	struct member of[STORY_PROCESSES_MAX];
	unsigned n;
};

/* Its place and 1; 0: no room, or no id. What says more than what was known replaces it. */
static unsigned meet(struct family *f, const struct json_node *process)
{
	const char *id = process && process->type == JSON_OBJECT ? node_text(process, "entity_id") : "";

	if (!*id)
		return 0;
	for (unsigned i = 0; i < f->n; i++)
		if (!strcmp(f->of[i].id, id)) {
			if (process->len > f->of[i].process->len)
				f->of[i].process = process;
			return i + 1;
		}
	if (f->n == STORY_PROCESSES_MAX)
		return 0;
	f->of[f->n++] = (struct member) { .id = id, .process = process };
	return f->n;
}

static bool descends(const struct family *f, unsigned who, unsigned from)
{
	for (unsigned i = 0; who && i <= f->n; i++) {
		if (who == from)
			return true;
		who = f->of[who - 1].parent;
	}
	return false;
}

/* No loops, whatever the alert says. */
static void bear(struct family *f, unsigned child, unsigned parent)
{
	if (child && parent && !f->of[child - 1].parent && !descends(f, parent, child))
		f->of[child - 1].parent = parent;
}

static void gather(const struct json_node *alert, struct family *f)
{
	const struct json_node *list = view_field(alert, "shrike.alert.events"), *unused;
	const struct json_node *line = view_field(alert, "shrike.alert.ancestry");
	unsigned child = meet(f, view_field(alert, "process"));

	if (child)
		f->of[child - 1].acted = true;
	/* The parent first, and so on. */
	for (const struct json_node *p = line && line->type == JSON_ARRAY ? json_first(line, &unused) : NULL; p;
	     p = json_next(line, p, &unused)) {
		unsigned parent = meet(f, p);

		bear(f, child, parent);
		child = parent;
	}
	for (const struct json_node *e = list && list->type == JSON_ARRAY ? json_first(list, &unused) : NULL; e;
	     e = json_next(list, e, &unused)) {
		const struct json_node *process = e->type == JSON_OBJECT ? view_field(e, "process") : NULL;
		unsigned who = meet(f, process);

		if (!who)
			continue;
		f->of[who - 1].acted = true;
		bear(f, who, meet(f, json_get(process, "parent")));
	}
}

static void put_member(const struct story *s, const struct member *m, size_t indent, struct buf *out)
{
	auto_buf struct buf line = { .max = TEXT_MAX };
	const struct json_node *pid = json_get(m->process, "pid"), *user = json_get(m->process, "user");
	const char *name = node_text(m->process, "name");
	size_t used = indent, keep, room;

	put_safe(&line, *name ? name : node_text(m->process, "executable"));
	if (!line.len)
		buf_str(&line, "(unknown)");
	if (pid) {
		buf_char(&line, '[');
		put_node(&line, pid);
		buf_char(&line, ']');
	}
	paint(s, m->acted ? "1" : "", out);
	buf_add(out, buf_text(&line), line.len);
	paint(s, m->acted ? "0" : "", out);
	used += text_width(buf_text(&line), line.len) + 2;
	buf_clear(&line);
	put_command(m->process, &line);
	if (user && user->type == JSON_OBJECT && *node_text(user, "name")) {
		buf_str(&line, "  (");
		put_safe(&line, node_text(user, "name"));
		buf_char(&line, ')');
	}
	/* One line a process: a tree with lines that are wrapped is none. */
	room = s->width > used ? s->width - used : 0;
	keep = line.len;
	if (text_width(buf_text(&line), keep) > room)
		while (keep && text_width(line.data, keep) + 3 > room)
			do
				keep--;
			while (keep && ((unsigned char)line.data[keep] & 0xc0) == 0x80);
	if (keep) {
		buf_str(out, "  ");
		buf_add(out, line.data, keep);
		buf_str(out, keep < line.len ? "..." : "");
	}
	buf_char(out, '\n');
}

static void put_children(const struct story *s, const struct family *f, unsigned parent, unsigned depth, char *prefix,
			 size_t n_prefix, struct buf *out);

static void put_branch(const struct story *s, const struct family *f, unsigned who, unsigned depth, bool last,
		       char *prefix, size_t n_prefix, struct buf *out)
{
	const char *line = s->ascii ? "|  " : "│  ";
	size_t n = strlen(last ? "   " : line);

	buf_add(out, prefix, n_prefix);
	if (depth)
		buf_str(out, s->ascii ? (last ? "`- " : "|- ") : last ? "└─ " : "├─ ");
	put_member(s, &f->of[who - 1], INDENT + 3 * (size_t)depth, out);
	if (depth)
		memcpy(prefix + n_prefix, last ? "   " : line, n);
	put_children(s, f, who, depth + 1, prefix, depth ? n_prefix + n : n_prefix, out);
}

static void put_children(const struct story *s, const struct family *f, unsigned parent, unsigned depth, char *prefix,
			 size_t n_prefix, struct buf *out)
{
	unsigned left = 0;

	for (unsigned i = 0; i < f->n; i++)
		left += f->of[i].parent == parent;
	if (left && depth == DEPTH_MAX) {
		buf_add(out, prefix, n_prefix);
		buf_str(out, "...\n");
		return;
	}
	for (unsigned i = 0; i < f->n; i++)
		if (f->of[i].parent == parent)
			put_branch(s, f, i + 1, depth, --left == 0, prefix, n_prefix, out);
}

static void put_tree(const struct story *s, const struct json_node *alert, struct buf *out)
{
	/* A line of the prefix has five bytes at most. */
	char prefix[INDENT + 5 * (DEPTH_MAX + 1)] = "  ";
	struct family f = { .n = 0 };

	gather(alert, &f);
	/* One alone is no tree. */
	if (f.n < 2)
		return;
	heading(s, "Where the processes come from", out);
	put_children(s, &f, 0, 0, prefix, INDENT, out);
}

/* ---- what became of it ------------------------------------------------------------------------------------------- */

static void history_line(const struct story *s, int64_t ns, struct buf *out)
{
	spaces(out, INDENT);
	paint(s, "2", out);
	story_date(ns, out);
	paint(s, "0", out);
	buf_str(out, "  ");
}

static void put_history(const struct story *s, const struct json_node *alert, struct buf *out)
{
	const char *comment = text_at(alert, "shrike.alert.comment"), *who = text_at(alert, "shrike.alert.who");
	const char *before = text_at(alert, "shrike.alert.before.id");
	uint64_t folded = number_at(alert, "shrike.alert.folded");
	auto_buf struct buf line = { .max = TEXT_MAX };
	int64_t found = 0, last = 0, changed = 0;

	heading(s, "What became of it", out);
	if (*before)
		buf_printf(out, "%*sbefore it came alert %.32s, which stands for %" PRIu64 " more\n", INDENT, "",
			   before, number_at(alert, "shrike.alert.before.folded"));
	if (time_at(alert, "@timestamp", &found)) {
		history_line(s, found, out);
		buf_str(out, "found\n");
	}
	if (folded && time_at(alert, "shrike.alert.last", &last)) {
		history_line(s, last, out);
		buf_printf(out, "the last of %" PRIu64 " more like it, folded into this one\n", folded);
	}
	if (!time_at(alert, "shrike.alert.changed", &changed))
		return;
	history_line(s, changed, out);
	put_safe(&line, text_at(alert, "shrike.alert.state"));
	if (*who) {
		buf_str(&line, " by ");
		put_safe(&line, who);
	}
	if (*comment) {
		buf_str(&line, ": ");
		put_safe(&line, comment);
	}
	text_wrap_at(out, buf_text(&line), HISTORY_INDENT, HISTORY_INDENT, s->width);
}

static void put_references(const struct story *s, const struct json_node *alert, struct buf *out)
{
	const struct json_node *list = view_field(alert, "rule.reference"), *unused;

	if (!list)
		return;
	heading(s, "To read", out);
	if (list->type != JSON_ARRAY) {
		spaces(out, INDENT);
		put_node(out, list);
		buf_char(out, '\n');
		return;
	}
	for (const struct json_node *i = json_first(list, &unused); i; i = json_next(list, i, &unused)) {
		spaces(out, INDENT);
		put_node(out, i);
		buf_char(out, '\n');
	}
}

void story_write(const struct story *asked, const struct json_node *alert, struct buf *out)
{
	struct story s = *asked;

	if (s.width < STORY_WIDTH_MIN)
		s.width = STORY_WIDTH_MIN;
	put_head(&s, alert, out);
	put_seen(&s, alert, out);
	put_who(&s, alert, out);
	put_order(&s, alert, out);
	put_tree(&s, alert, out);
	put_attack(&s, alert, out);
	put_section(&s, "What it may be in all innocence", text_at(alert, "shrike.alert.false_positives"), out);
	put_section(&s, "What to look at next", text_at(alert, "shrike.alert.next"), out);
	put_references(&s, alert, out);
	put_history(&s, alert, out);
}
