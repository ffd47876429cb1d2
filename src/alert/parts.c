/* SPDX-License-Identifier: Apache-2.0 */
/* parts - who and what an alert is about, taken from its events. */
#include "alert/internal.h"
#include "base/ip.h"
#include "base/json.h"
#include "context/context.h"

enum { TEXT_MAX = 64 << 10, VALUE_MAX = 4096, COMMAND_MAX = 1024 };

/* ---- entities ------------------------------------------------------------------------------------------------ */

static const struct {
	const char *type, *id, *name;
	enum related related;
} rows[] = {
	{ "process", "process.entity_id", "process.name", RELATED_NONE },
	{ "user", "user.id", "user.name", RELATED_NONE },
	{ "container", "container.id", "container.runtime", RELATED_NONE },
	{ "unit", "shrike.unit", NULL, RELATED_NONE },
	{ "file", "file.path", NULL, RELATED_NONE },
	{ "hash", "process.hash.sha256", NULL, RELATED_HASH },
	{ "hash", "file.hash.sha256", NULL, RELATED_HASH },
	{ "address", "source.ip", NULL, RELATED_IP },
	{ "address", "destination.ip", NULL, RELATED_IP },
	{ "domain", "dns.question.name", NULL, RELATED_HOSTS },
	{ "host", "host.name", NULL, RELATED_HOSTS },
};

void entities_init(struct entities *e)
{
	buf_init(&e->text, TEXT_MAX);
}

void entities_free(struct entities *e)
{
	buf_free(&e->text);
}

void entities_clear(struct entities *e)
{
	buf_clear(&e->text);
	e->n = e->more = 0;
}

/* Appends the value of a plain field; 0 where there is none, or none that is worth a place. */
static size_t put_field(struct entities *e, const struct event *ev, const char *name, struct event_scratch *scratch)
{
	const size_t before = e->text.len;
	struct value v;

	if (!name || !event_get(ev, field_intern(name, strlen(name)), scratch, &v) || v.type == VALUE_NULL ||
	    v.type == VALUE_LIST)
		return 0;
	if (v.type == VALUE_STR && v.s.n > VALUE_MAX)
		v.s.n = VALUE_MAX;
	value_write(&v, &e->text);
	return e->text.len - before;
}

static bool is_known(const struct entities *e, const struct entity *new)
{
	const size_t n = new->id_n + new->name_n;

	/* The name stands behind the id. */
	for (size_t i = 0; i < e->n; i++)
		if (!strcmp(e->of[i].type, new->type) &&
		    (new->id_n ? e->of[i].id_n == new->id_n : !e->of[i].id_n && e->of[i].name_n == n) &&
		    !memcmp(e->text.data + e->of[i].id, e->text.data + new->id, new->id_n ? new->id_n : n))
			return true;
	return false;
}

void entities_add(struct entities *e, const struct event *ev, struct event_scratch *scratch)
{
	for (size_t i = 0; i < countof(rows) && !e->text.failed; i++) {
		struct entity new = { .type = rows[i].type, .related = rows[i].related, .id = e->text.len };

		new.id_n = put_field(e, ev, rows[i].id, scratch);
		new.name = e->text.len;
		new.name_n = put_field(e, ev, rows[i].name, scratch);
		if ((!new.id_n && !new.name_n) || (!e->text.failed && is_known(e, &new))) {
			e->text.len = new.id;
			continue;
		}
		if (e->n == ALERT_ENTITIES_MAX || e->text.failed) {
			e->text.len = new.id;
			e->text.failed = false;
			e->more++;
			continue;
		}
		e->of[e->n++] = new;
	}
}

/* The values for one member of `related`: users by their names, where they have one. */
static bool related_value(const struct entities *e, const struct entity *of, enum related which, struct str *ret_value)
{
	if (which == RELATED_USER && !strcmp(of->type, "user")) {
		*ret_value = of->name_n ? (struct str) { e->text.data + of->name, of->name_n }
					: (struct str) { e->text.data + of->id, of->id_n };
		return true;
	}
	*ret_value = (struct str) { e->text.data + of->id, of->id_n };
	return of->related == which && of->id_n;
}

void entities_write_related(const struct entities *e, struct buf *out)
{
	static const char *const names[RELATED_COUNT] = {
		[RELATED_IP] = "ip",
		[RELATED_USER] = "user",
		[RELATED_HOSTS] = "hosts",
		[RELATED_HASH] = "hash",
	};
	bool any = false;

	for (enum related r = RELATED_IP; r < RELATED_COUNT; r++) {
		bool begun = false;

		for (size_t i = 0; i < e->n; i++) {
			struct str v;

			if (!related_value(e, &e->of[i], r, &v))
				continue;
			if (!begun)
				buf_printf(out, "%s\"%s\":[", any ? "," : ",\"related\":{", names[r]);
			else
				buf_char(out, ',');
			/* ECS has keywords there. */
			if (*v.p != '"')
				buf_char(out, '"');
			buf_add(out, v.p, v.n);
			if (*v.p != '"')
				buf_char(out, '"');
			any = begun = true;
		}
		if (begun)
			buf_char(out, ']');
	}
	if (any)
		buf_char(out, '}');
}

void entities_write(const struct entities *e, struct buf *out)
{
	buf_str(out, ",\"entities\":[");
	for (size_t i = 0; i < e->n; i++) {
		buf_printf(out, "%s{\"type\":\"%s\"", i ? "," : "", e->of[i].type);
		if (e->of[i].id_n) {
			buf_str(out, ",\"id\":");
			buf_add(out, e->text.data + e->of[i].id, e->of[i].id_n);
		}
		if (e->of[i].name_n) {
			buf_str(out, ",\"name\":");
			buf_add(out, e->text.data + e->of[i].name, e->of[i].name_n);
		}
		buf_char(out, '}');
	}
	buf_char(out, ']');
	if (e->more)
		buf_printf(out, ",\"entities_left_out\":%zu", e->more);
}

/* ---- ancestry ------------------------------------------------------------------------------------------------- */

static void copy_list(const struct event *ev, const char *name, struct event_scratch *scratch,
		      struct value to[ALERT_ANCESTORS_MAX], size_t *n)
{
	struct value v;

	if (!event_get(ev, field_intern(name, strlen(name)), scratch, &v))
		return;
	if (v.type != VALUE_LIST) {
		/* A list of one reads as its item. */
		to[0] = v;
		*n = *n ? *n : v.type != VALUE_NULL;
		return;
	}
	for (size_t i = 0; i < v.list.n && i < ALERT_ANCESTORS_MAX; i++)
		to[i] = v.list.items[i];
	if (v.list.n > *n)
		*n = v.list.n < ALERT_ANCESTORS_MAX ? v.list.n : ALERT_ANCESTORS_MAX;
}

static void put_member(struct buf *out, size_t begun, const char *name, const struct value *v)
{
	if (v->type == VALUE_NULL)
		return;
	buf_printf(out, "%s\"%s\":", out->len > begun ? "," : "", name);
	value_write(v, out);
}

/* What the lists of the event do not have. */
static void put_process(struct buf *out, size_t begun, const struct process *p)
{
	if (!p)
		return;
	buf_printf(out, "%s\"pid\":%u", out->len > begun ? "," : "", p->pid);
	if (p->program && p->program->command_line.n) {
		const size_t n = p->program->command_line.n;

		buf_str(out, ",\"command_line\":");
		(void)json_write_str(out, p->program->command_line.p, n < COMMAND_MAX ? n : COMMAND_MAX);
	}
	buf_printf(out, ",\"user\":{\"id\":%u", p->uid);
	if (p->user && p->user->n) {
		buf_str(out, ",\"name\":");
		(void)json_write_str(out, p->user->bytes, p->user->n);
	}
	buf_char(out, '}');
}

void ancestry_write(const struct event *ev, struct event_scratch *scratch, struct buf *out)
{
	struct value names[ALERT_ANCESTORS_MAX] = { 0 }, files[ALERT_ANCESTORS_MAX] = { 0 };
	struct value ids[ALERT_ANCESTORS_MAX] = { 0 };
	const struct context_view *view = context_view_of(ev);
	const struct process *p = view && view->process ? view->process->parent : NULL;
	size_t n = 0;

	/* Each list has a place of its own in the view, or in the line. */
	copy_list(ev, "process.ancestors.entity_id", scratch, ids, &n);
	copy_list(ev, "process.ancestors.name", scratch, names, &n);
	copy_list(ev, "process.ancestors.executable", scratch, files, &n);
	if (!n)
		return;
	buf_str(out, ",\"ancestry\":[");
	for (size_t i = 0; i < n; i++) {
		size_t begun;

		buf_str(out, i ? ",{" : "{");
		begun = out->len;
		put_member(out, begun, "entity_id", &ids[i]);
		put_member(out, begun, "name", &names[i]);
		put_member(out, begun, "executable", &files[i]);
		put_process(out, begun, p);
		p = p ? p->parent : NULL;
		buf_char(out, '}');
	}
	buf_char(out, ']');
}

/* ---- parts of JSON ---------------------------------------------------------------------------------------------- */

/* Behind the value that begins at `at`. */
static size_t skip_value(const char *p, size_t n, size_t at)
{
	unsigned depth = 0;
	bool text = false;

	for (; at < n; at++) {
		if (text) {
			if (p[at] == '\\')
				at++;
			else if (p[at] == '"')
				text = false;
			continue;
		}
		if (p[at] == '"')
			text = true;
		else if (p[at] == '{' || p[at] == '[')
			depth++;
		else if (!depth && (p[at] == ',' || p[at] == '}' || p[at] == ']' || p[at] == ':'))
			return at;
		else if (p[at] == '}' || p[at] == ']')
			depth--;
	}
	return n;
}

bool json_next_part(const char *p, size_t n, size_t *at, struct json_part *ret_part)
{
	size_t name = *at + 1, colon, end;

	/* *at: at the bracket, or at the comma before. */
	if (name >= n || (p[*at] != '{' && p[*at] != ',') || p[name] != '"')
		return false;
	colon = skip_value(p, n, name);
	if (colon >= n || colon < name + 2)
		return false;
	end = skip_value(p, n, colon + 1);
	*ret_part = (struct json_part) { p + name + 1, p + colon + 1, colon - name - 2, end - colon - 1 };
	*at = end;
	return true;
}
