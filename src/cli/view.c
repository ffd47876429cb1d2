/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/view.h"
#include <fnmatch.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include "base/clock.h"
#include "base/mem.h"
#include "cli/text.h"
#include "context/context.h"
#include "sensors/sensor.h"

enum {
	KIND_WIDTH = 18,
	PROCESS_WIDTH = 22,
	USER_WIDTH = 8,
	ID_SHOWN = 12,   /* characters of a container's id */
	ITEMS_MAX = 256, /* of a list that are shown */
	REST_MAX = 24,   /* fields of a kind that we do not know */
};

/*
 * What matters for a kind. The first row whose glob fits is taken.
 *
 *  {a.b}         the field; {a.b|c.d} the first of them that is there
 *  {a.b:how}     shown in another way, see shows[]
 *  {a.b:if word} the word, when the field is true
 *  [ ... ]       left out, with all that is in it, when a field in it is absent or empty
 */
#define CREDENTIALS_TEMPLATE                                                                                           \
	"user {process.previous.user.id} -> {user.effective.id} (real {process.real_user.id}), "                       \
	"group {process.previous.group.id} -> {user.effective.group.id} (real {process.real_group.id})"                \
	"[, gained {process.capabilities.gained:few}][, lost {process.capabilities.lost:few}]"
#define FLOW_TEMPLATE "[{source:end} ]-> {destination:end}"

static const struct view_template templates[] = {
	{ "process.exec", "{process.executable|process.exec.filename}[ {process.args:tail}][ ({process.exec.traits})]"
			  "[ gained {process.capabilities.gained:few}]" },
	{ "process.fork", "made process {process.child.pid}" },
	{ "process.exit", "code {process.exit_code}[, killed by {process.exit_signal:signal}]"
			  "[, {process.core_dumped:if dumped core}][, ran for {event.duration}]" },
	{ "process.thread", "made thread {process.child.thread.id}" },
	{ "process.*_change", CREDENTIALS_TEMPLATE },
	{ "process.namespace",
	  "{process.namespace.change} {process.namespace.changed}[ of process {process.target.pid}]" },
	{ "process.session", "leads session {process.session_leader.pid}" },
	{ "process.ptrace",
	  "{process.access.operation}[ {process.target.name}][ (pid {process.target.pid})][ {error.code}]" },
	{ "process.access",
	  "{process.access.operation}[ {process.target.name}][ (pid {process.target.pid})][ {error.code}]" },
	{ "process.signal",
	  "{process.signal.name|process.signal.number} to {process.target.name} (pid {process.target.pid})"
	  "[, {process.signal.result}]" },
	{ "process.exec_failed", "{process.exec.filename}: {error.code}" },
	{ "file.open", "{file.path}[ {file.Ext.open.flags}][ {file.Ext.open.created:if created}]" },
	{ "file.sensitive", "{file.path}[ {file.Ext.open.flags}][, listed by {file.Ext.matched}]" },
	{ "file.close", "{file.path}[, {file.size:bytes}]" },
	{ "file.rename", "{file.Ext.original.path} -> {file.path}[ ({file.Ext.rename.flags})]" },
	{ "file.link", "{file.path}[, another name of {file.Ext.original.path}]" },
	{ "file.symlink", "{file.path} -> {file.target_path}" },
	{ "file.mknod", "{file.path}[ ({file.type})][ device {file.Ext.node_device}]" },
	{ "file.chmod", "{file.path} mode [{file.Ext.original.mode} -> ]{file.mode}" },
	{ "file.chown",
	  "{file.path} owner {file.Ext.original.uid:id}:{file.Ext.original.gid:id} -> {file.uid:id}:{file.gid:id}" },
	{ "file.xattr", "{file.path} {file.Ext.xattr.operation} {file.Ext.xattr.name}" },
	{ "file.truncate", "{file.path}[ {file.Ext.original.size:bytes}] -> {file.size:bytes}" },
	{ "file.mount",
	  "{file.path}[ from {file.Ext.mount.source}][ type {file.Ext.mount.type}][ ({file.Ext.mount.flags})]" },
	{ "file.umount", "{file.path}[ ({file.Ext.umount.flags})]" },
	{ "file.*", "{file.path}[ ({file.type})]" },
	{ "net.connect", FLOW_TEMPLATE "[ {error.code}][ after {event.duration}]" },
	{ "net.listen", "{destination:end|source:end}[ {network.transport}]" },
	{ "net.bind", "{destination:end|source:end}[ {network.transport}][ {error.code}]" },
	{ "net.close",
	  FLOW_TEMPLATE ", {source.bytes:bytes} there, {destination.bytes:bytes} back[, in {event.duration}]"
			"[ {error.code}]" },
	{ "net.retransmit", FLOW_TEMPLATE ", sent again {network.tcp.retransmits} times[, {network.tcp.state}]" },
	{ "net.reset", FLOW_TEMPLATE ", reset {network.tcp.reset}[, {network.tcp.state}]" },
	{ "net.udp", FLOW_TEMPLATE " udp, {source.bytes:bytes}[ ({network.reply:if reply})]" },
	{ "net.accept", FLOW_TEMPLATE },
	{ "net.unix", "{network.unix.action} {network.unix.path} {network.unix.type}[ of pid {network.unix.peer_pid}][ "
		      "{error.code}]" },
	{ "drop.packet",
	  FLOW_TEMPLATE "[ {network.transport}][ {network.tcp.flags}]: {event.reason}[, on {network.interface.name}]" },
	{ "kernel.module_*", "{kernel.module.name}[ {kernel.module.version}][ taints: {kernel.module.taints}]" },
	{ "kernel.read", "{kernel.read.what} from {kernel.read.from}[ {file.path}]" },
	{ "kernel.bpf_prog",
	  "{kernel.bpf.command} {kernel.bpf.prog.type}[ {kernel.bpf.prog.name}], id {kernel.bpf.prog.id}, "
	  "{kernel.bpf.prog.instructions} instructions[, on {kernel.bpf.prog.target}]" },
	{ "kernel.bpf_map",
	  "{kernel.bpf.command} {kernel.bpf.map.type}[ {kernel.bpf.map.name}], id {kernel.bpf.map.id}, "
	  "{kernel.bpf.map.max_entries} entries" },
	{ "kernel.bpf_link",
	  "{kernel.bpf.command} {kernel.bpf.link.type}[ of {kernel.bpf.prog.name}], id {kernel.bpf.link.id}" },
	{ "kernel.io_uring_create", "{process.io_uring.sq_entries} to ask, {process.io_uring.cq_entries} to be answered"
				    "[ ({process.io_uring.flags})]" },
	{ "kernel.io_uring_op",
	  "{process.io_uring.operation}[ {process.io_uring.path}][ -> {process.io_uring.new_path}]"
	  "[ fd {process.io_uring.fd}][ ({process.io_uring.traits})]" },
	{ "kernel.sysctl_write", "{kernel.sysctl.name} = {kernel.sysctl.value}[ (was {kernel.sysctl.previous})]" },
	{ "memory.protect", "{process.memory.kind}[ {process.memory.size:bytes}][ at {process.memory.address}]: "
			    "{process.memory.protection_before} -> {process.memory.protection}[ of {file.path}]"
			    "[ ({process.memory.traits})]" },
	{ "memory.map", "{process.memory.kind}[ {process.memory.size:bytes}][ at {process.memory.address}]: "
			"{process.memory.protection}[ of {file.path}][ ({process.memory.traits})]" },
	{ "memory.memfd", "{file.name}[ ({process.memory.memfd_flags})]" },
	{ "memory.growth",
	  "grew by {process.memory.grown:bytes} to {process.memory.total:bytes}[ in {event.duration}]" },
};

const struct view_template *view_template_at(size_t i)
{
	return i < countof(templates) ? &templates[i] : NULL;
}

const struct event_kind *view_kind_at(size_t i)
{
	for (const struct sensor *const *s = sensor_table; *s; s++) {
		if (i < (*s)->n_kinds)
			return &(*s)->kinds[i];
		i -= (*s)->n_kinds;
	}
	return i < context_n_kinds ? &context_kinds[i] : NULL;
}

const struct event_kind *view_kind(const char *name)
{
	const struct event_kind *kind;

	for (size_t i = 0; (kind = view_kind_at(i)); i++)
		if (!strcmp(kind->name, name))
			break;
	return kind;
}

const struct json_node *view_field(const struct json_node *event, const char *path)
{
	const struct json_node *v = json_get(event, path);
	char head[FIELD_NAME_MAX];

	/* A name may keep its dots in JSON, so every split is tried; names are short and have few. */
	for (const char *dot = strchr(path, '.'); !v && dot; dot = strchr(dot + 1, '.')) {
		const struct json_node *child;

		if ((size_t)(dot - path) >= sizeof(head))
			break;
		memcpy(head, path, (size_t)(dot - path));
		head[dot - path] = 0;
		child = json_get(event, head);
		if (child && child->type == JSON_OBJECT)
			v = view_field(child, dot + 1);
	}
	return v && v->type == JSON_NULL ? NULL : v;
}

static const struct field *row_of(const struct event_kind *kind, const char *name)
{
	for (size_t i = 0; kind && i < kind->n_fields; i++)
		if (!strcmp(kind->fields[i].name, name))
			return &kind->fields[i];
	return NULL;
}

/* ---- values ------------------------------------------------------------------------------ */

static uint64_t number_of(const struct json_node *v)
{
	return v->type == JSON_UINT ? v->u : v->type == JSON_INT && v->i > 0 ? (uint64_t)v->i : 0;
}

static bool is_empty(const struct json_node *v)
{
	return (v->type == JSON_ARRAY || v->type == JSON_STRING) && !v->len;
}

static void put_scalar(const struct json_node *v, struct buf *out)
{
	switch (v->type) {
	case JSON_BOOL:
		buf_str(out, v->b ? "true" : "false");
		break;
	case JSON_INT:
		buf_i64(out, v->i);
		break;
	case JSON_UINT:
		buf_u64(out, v->u);
		break;
	case JSON_DOUBLE:
		buf_printf(out, "%g", v->d);
		break;
	case JSON_STRING:
		text_word(out, v->s, v->len);
		break;
	case JSON_ARRAY:
	case JSON_OBJECT:
		buf_str(out, "...");
		break;
	default:
		buf_char(out, '-');
	}
}

/* ["ECONNREFUSED",111] is one thing: its name. */
static bool is_errno(const struct json_node *list, const struct field *row)
{
	const struct json_node *name, *number, *unused;

	if (list->len != 2 || (row && row->type != FT_ERRNO))
		return false;
	name = json_first(list, &unused);
	number = json_next(list, name, &unused);
	return name->type == JSON_STRING && name->s[0] == 'E' && number && number->type == JSON_INT;
}

static void put_list(const struct json_node *list, const struct field *row, size_t skip, struct buf *out)
{
	const struct json_node *unused, *item = json_first(list, &unused);
	const char *between = row && row->type == FT_FLAGS ? "," : " ";
	size_t i = 0, begin = out->len;

	if (is_errno(list, row)) {
		put_scalar(item, out);
		return;
	}
	for (; item; item = json_next(list, item, &unused), i++) {
		if (i < skip)
			continue;
		buf_str(out, out->len > begin ? between : "");
		if (i == ITEMS_MAX) {
			buf_str(out, "...");
			return;
		}
		put_scalar(item, out);
	}
}

static void put_value(const struct json_node *v, const struct field *row, struct buf *out)
{
	if (v->type == JSON_ARRAY)
		put_list(v, row, 0, out);
	else if (row && row->type == FT_DURATION)
		text_duration(out, number_of(v));
	else
		put_scalar(v, out);
}

/* ---- other ways to show a field ------------------------------------------------------------ */

static bool show_tail(const struct json_node *event, const char *path, struct buf *out)
{
	const struct json_node *v = view_field(event, path);

	if (!v || v->type != JSON_ARRAY || v->len < 2)
		return false;
	put_list(v, NULL, 1, out);
	return true;
}

static bool show_signal(const struct json_node *event, const char *path, struct buf *out)
{
	const struct json_node *v = view_field(event, path);
	const char *name;

	if (!v)
		return false;
	name = v->type == JSON_INT && v->i > 0 && v->i < NSIG ? sigabbrev_np((int)v->i) : NULL;
	if (name)
		buf_printf(out, "SIG%s", name);
	else
		put_value(v, NULL, out);
	return true;
}

static bool show_bytes(const struct json_node *event, const char *path, struct buf *out)
{
	const struct json_node *v = view_field(event, path);

	if (v)
		text_bytes(out, number_of(v));
	return v;
}

static bool show_few(const struct json_node *event, const char *path, struct buf *out)
{
	enum { FEW = 4 };
	const struct json_node *v = view_field(event, path), *unused, *item;
	size_t i = 0;

	if (!v || v->type != JSON_ARRAY || !v->len)
		return false;
	for (item = json_first(v, &unused); item && i < FEW; item = json_next(v, item, &unused), i++) {
		buf_str(out, i ? "," : "");
		put_scalar(item, out);
	}
	if (v->len > FEW)
		buf_printf(out, " and %u more", v->len - FEW);
	return true;
}

static bool show_id(const struct json_node *event, const char *path, struct buf *out)
{
	const struct json_node *v = view_field(event, path);

	if (v && number_of(v) == UINT32_MAX)
		buf_char(out, '?');
	else if (v)
		put_scalar(v, out);
	return v;
}

/* "10.0.0.1:443", "[::1]:443": "source" and "destination" have an address and perhaps a port. */
static bool show_end(const struct json_node *event, const char *path, struct buf *out)
{
	char name[64];
	const struct json_node *ip, *port;
	bool brackets;

	(void)snprintf(name, sizeof(name), "%s.ip", path);
	ip = view_field(event, name);
	(void)snprintf(name, sizeof(name), "%s.port", path);
	port = view_field(event, name);
	if (!ip || ip->type != JSON_STRING)
		return false;
	brackets = port && strchr(ip->s, ':');
	buf_str(out, brackets ? "[" : "");
	text_safe(out, ip->s, ip->len);
	buf_str(out, brackets ? "]" : "");
	if (port) {
		buf_char(out, ':');
		put_scalar(port, out);
	}
	return true;
}

static const struct {
	const char *name;
	bool (*show)(const struct json_node *event, const char *path, struct buf *out);
} shows[] = {
	{ "tail", show_tail },     /* a list without its first item */
	{ "signal", show_signal }, /* SIGKILL for 9 */
	{ "few", show_few },       /* the first items of a long list, and how many more */
	{ "id", show_id },         /* of a user or group; "?" for what is not known */
	{ "bytes", show_bytes },   /* 1.5 MiB */
	{ "end", show_end },       /* address and port of "source" or "destination" */
};

/* ---- templates ----------------------------------------------------------------------------- */

struct fill {
	const struct json_node *event;
	const struct event_kind *kind;
	struct buf *out;
};

static bool put_named(struct fill *f, const char *name)
{
	const struct json_node *v = view_field(f->event, name);

	if (!v || is_empty(v))
		return false;
	put_value(v, row_of(f->kind, name), f->out);
	return true;
}

static bool put_if(struct fill *f, const char *name, const char *word)
{
	const struct json_node *v = view_field(f->event, name);

	if (!v || v->type != JSON_BOOL || !v->b)
		return false;
	buf_str(f->out, word);
	return true;
}

/* What stands between the braces. */
static bool put_place(struct fill *f, const char *place, size_t n)
{
	char text[256], *save = NULL;

	(void)snprintf(text, sizeof(text), "%.*s", (int)n, place);
	for (char *name = strtok_r(text, "|", &save); name; name = strtok_r(NULL, "|", &save)) {
		char *how = strchr(name, ':');

		if (!how && put_named(f, name))
			return true;
		if (how)
			*how++ = 0;
		if (how && !strncmp(how, "if ", 3) && put_if(f, name, how + 3))
			return true;
		for (size_t i = 0; how && i < countof(shows); i++)
			if (!strcmp(shows[i].name, how) && shows[i].show(f->event, name, f->out))
				return true;
	}
	return false;
}

/* Up to the end of the template or of its group; false when a field was absent. */
static bool fill_in(struct fill *f, const char **at)
{
	bool all = true;

	for (const char *p = *at;; p++) {
		size_t before = f->out->len, n;

		if (!*p || *p == ']') {
			*at = p;
			return all;
		}
		if (*p == '{') {
			n = strcspn(p, "}");
			all &= put_place(f, p + 1, n - 1);
			p += n;
		} else if (*p == '[') {
			p++;
			if (!fill_in(f, &p) && !f->out->failed)
				f->out->len = before;
		} else {
			buf_char(f->out, *p);
		}
	}
}

/* ---- kinds without a template ---------------------------------------------------------------- */

/* The last part of a name says enough, unless another field of the kind ends in the same. */
static const char *short_name(const struct event_kind *kind, const char *name)
{
	const char *dot = strrchr(name, '.'), *tail = dot ? dot + 1 : name;

	for (size_t i = 0; i < kind->n_fields; i++) {
		const char *other = kind->fields[i].name, *end = strrchr(other, '.');

		if (other != name && !strcmp(end ? end + 1 : other, tail))
			return name;
	}
	return tail;
}

static void put_fields(struct fill *f)
{
	size_t begin = f->out->len;

	for (size_t i = 0; i < f->kind->n_fields; i++) {
		const struct field *row = &f->kind->fields[i];
		const struct json_node *v = view_field(f->event, row->name);

		if (!v || is_empty(v) || row->type == FT_STACK || row->type == FT_BYTES)
			continue;
		buf_printf(f->out, "%s%s=", f->out->len > begin ? " " : "", short_name(f->kind, row->name));
		put_value(v, row, f->out);
	}
}

/* An event of a kind that this build does not know: what is not shown already, as it comes. */
static size_t put_rest(const struct json_node *object, unsigned depth, size_t room, struct buf *out)
{
	static const char *const shown[] = { "@timestamp", "event", "shrike", "user",      "group",     "container",
					     "host",       "ecs",   "agent",  "ancestors", "entity_id", "parent" };
	const struct json_node *name, *v;

	for (v = json_first(object, &name); v && room; v = json_next(object, v, &name)) {
		bool skip = v->type == JSON_NULL;

		for (size_t i = 0; i < countof(shown) && depth < 2; i++)
			skip |= !strcmp(shown[i], name->s);
		if (skip)
			continue;
		if (v->type == JSON_OBJECT) {
			room = depth < FIELD_DEPTH_MAX ? put_rest(v, depth + 1, room, out) : room;
			continue;
		}
		text_safe(out, name->s, name->len);
		buf_char(out, '=');
		put_value(v, NULL, out);
		buf_char(out, ' ');
		room--;
	}
	return room;
}

static void put_details(const struct json_node *event, const char *name, struct buf *out)
{
	struct fill f = { event, view_kind(name), out };
	size_t begin = out->len;

	for (size_t i = 0; i < countof(templates); i++) {
		const char *at = templates[i].text;

		if (fnmatch(templates[i].kinds, name, 0) != 0)
			continue;
		(void)fill_in(&f, &at);
		break;
	}
	if (out->len > begin)
		return;
	if (f.kind)
		put_fields(&f);
	else
		(void)put_rest(event, 0, REST_MAX, out);
}

void view_details(const struct json_node *event, struct buf *out)
{
	const struct json_node *kind = view_field(event, "event.dataset");

	put_details(event, kind && kind->type == JSON_STRING ? kind->s : "", out);
}

/* ---- the line ---------------------------------------------------------------------------------- */

static void paint(const struct view *view, const char *code, struct buf *out)
{
	if (view->color)
		buf_printf(out, "\033[%sm", code);
}

/* Pads what was written since `begin`, which has no colours in it, and one column more. */
static void pad(struct buf *out, size_t begin, size_t width)
{
	size_t is = text_width(buf_text(out) + begin, out->len - begin);

	for (; is < width; is++)
		buf_char(out, ' ');
}

static void put_time(struct view *view, const struct json_node *event, struct buf *out)
{
	const struct json_node *at = view_field(event, "@timestamp");
	int64_t wall_ns;
	struct tm tm;
	time_t s;
	int day;

	if (!at || at->type != JSON_STRING || !clock_parse(at->s, at->len, &wall_ns)) {
		buf_printf(out, "%*s--:--:--.---", (int)view->indent, "");
		return;
	}
	s = (time_t)(wall_ns / (int64_t)NS_PER_S);
	if (!localtime_r(&s, &tm))
		return;
	day = (tm.tm_year + 1900) * 512 + tm.tm_yday;
	if (view->day != day) {
		paint(view, "2", out);
		buf_printf(out, "-- %04d-%02d-%02d --", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
		paint(view, "0", out);
		buf_char(out, '\n');
		view->day = day;
	}
	buf_printf(out, "%*s", (int)view->indent, "");
	paint(view, "2", out);
	buf_printf(out, "%02d:%02d:%02d.%03d", tm.tm_hour, tm.tm_min, tm.tm_sec,
		   (int)(wall_ns % (int64_t)NS_PER_S / (int64_t)NS_PER_MS));
	paint(view, "0", out);
}

static void put_first_of(const struct json_node *event, const char *one, const char *other, int max, struct buf *out)
{
	const struct json_node *v = view_field(event, one);

	if (!v)
		v = view_field(event, other);
	if (!v)
		return;
	if (v->type == JSON_STRING)
		text_safe(out, v->s, max && v->len > (unsigned)max ? (size_t)max : v->len);
	else
		put_scalar(v, out);
}

static void put_process(const struct view *view, const struct json_node *event, struct buf *out)
{
	const struct json_node *pid = view_field(event, "process.pid");
	size_t begin;

	paint(view, "1", out);
	begin = out->len;
	put_first_of(event, "process.name", "process.executable", 0, out);
	if (pid) {
		buf_char(out, '[');
		put_scalar(pid, out);
		buf_char(out, ']');
	}
	pad(out, begin, PROCESS_WIDTH);
	paint(view, "0", out);
}

static bool has_failed(const struct json_node *event)
{
	const struct json_node *outcome = view_field(event, "event.outcome");

	return view_field(event, "error.code") ||
	       (outcome && outcome->type == JSON_STRING && !strcmp(outcome->s, "failure"));
}

void view_event(struct view *view, const struct json_node *event, struct buf *out)
{
	const struct json_node *kind = view_field(event, "event.dataset"), *flags = view_field(event, "shrike.flags");
	const struct json_node *container = view_field(event, "container.id");
	size_t begin;

	put_time(view, event, out);
	buf_str(out, "  ");
	paint(view, has_failed(event) ? "31" : "36", out);
	begin = out->len;
	if (kind && kind->type == JSON_STRING)
		text_safe(out, kind->s, kind->len);
	pad(out, begin, KIND_WIDTH);
	paint(view, "0", out);
	buf_str(out, "  ");
	put_process(view, event, out);
	buf_str(out, "  ");
	begin = out->len;
	put_first_of(event, "user.name", "user.id", 0, out);
	pad(out, begin, USER_WIDTH);
	buf_str(out, "  ");
	if (container || view_field(event, "container.name")) {
		paint(view, "35", out);
		put_first_of(event, "container.name", "container.id", ID_SHOWN, out);
		paint(view, "0", out);
		buf_str(out, "  ");
	}
	view_details(event, out);
	if (flags && flags->type == JSON_ARRAY && flags->len) {
		buf_str(out, " (");
		put_list(flags, NULL, 0, out);
		buf_char(out, ')');
	}
	while (!out->failed && out->len && out->data[out->len - 1] == ' ')
		out->len--;
	buf_char(out, '\n');
}
