/* SPDX-License-Identifier: Apache-2.0 */
/* lens - the context's fields of an event, and the kinds of records that context makes. */
#include <pthread.h>
#include <string.h>
#include "base/err.h"
#include "base/mem.h"
#include "context/packet.event.h"
#include "context/state.h"
#include "sensors/process/process.event.h"

enum what {
	EXECUTABLE = 1,
	ARGS,
	ARGS_COUNT,
	COMMAND_LINE,
	CWD,
	ENTITY_ID,
	PARENT_PID,
	PARENT_ENTITY_ID,
	PARENT_NAME,
	PARENT_EXECUTABLE,
	PARENT_ARGS,
	PARENT_COMMAND_LINE,
	ANCESTORS_NAME,
	ANCESTORS_EXECUTABLE,
	ANCESTORS_ENTITY_ID,
	SESSION_PID,
	GROUP_PID,
	USER_NAME,
	CONTAINER_ID,
	CONTAINER_RUNTIME,
	ORCHESTRATOR,
	POD_UID,
	CGROUP_PATH,
	UNIT,
	SESSION,
	WHAT_COUNT
};

/* At the index `what` - 1. */
const struct context_field context_fields[] = {
	{ "process.executable", "path of the file that runs, as the process sees it", VALUE_STR },
	{ "process.args", "arguments, the first being the program's name", VALUE_LIST },
	{ "process.args_count", "number of arguments, also of those cut off", VALUE_UINT },
	{ "process.command_line", "arguments in one line, with a space between them", VALUE_STR },
	{ "process.working_directory", "working directory when the program began", VALUE_STR },
	{ "process.entity_id", "boot, pid and start: one process, never another", VALUE_STR },
	{ "process.parent.pid", "process that made this one", VALUE_UINT },
	{ "process.parent.entity_id", "boot, pid and start of the parent", VALUE_STR },
	{ "process.parent.name", "the parent's name when this one began or last ran another program", VALUE_STR },
	{ "process.parent.executable", "file that the parent ran then", VALUE_STR },
	{ "process.parent.args", "arguments of the parent then", VALUE_LIST },
	{ "process.parent.command_line", "arguments of the parent in one line", VALUE_STR },
	{ "process.ancestors.name", "names of the ancestors, the parent first", VALUE_LIST },
	{ "process.ancestors.executable", "files that the ancestors ran, the parent first", VALUE_LIST },
	{ "process.ancestors.entity_id", "ids of the ancestors, the parent first", VALUE_LIST },
	{ "process.session_leader.pid", "leader of its session", VALUE_UINT },
	{ "process.group_leader.pid", "leader of its process group, when the program began", VALUE_UINT },
	{ "user.name", "name of the user on this host; absent in a container, whose users are its own", VALUE_STR },
	{ "container.id", "outermost container, as its runtime names it", VALUE_STR },
	{ "container.runtime", "what made the container", VALUE_STR },
	{ "orchestrator.type", "\"kubernetes\", for what belongs to a pod", VALUE_STR },
	{ "kubernetes.pod.uid", "pod", VALUE_STR },
	{ "shrike.cgroup.path", "cgroup, below the root of the unified hierarchy", VALUE_STR },
	{ "shrike.unit", "systemd unit", VALUE_STR },
	{ "shrike.session", "login session, as systemd numbers it", VALUE_STR },
};
const size_t context_n_fields = countof(context_fields);
_Static_assert(countof(context_fields) == WHAT_COUNT - 1, "a row for each field");

/* The same for all contexts: names are interned once. */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static uint8_t what_of[FIELD_MAX];
static struct {
	field_id id;
	enum what what;
} order[WHAT_COUNT - 1];
static bool full;

static int by_id(const void *a, const void *b)
{
	const field_id *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void intern_all(void)
{
	for (size_t i = 0; i < countof(context_fields); i++) {
		field_id id = field_intern(context_fields[i].name, strlen(context_fields[i].name));

		full |= id == FIELD_NONE;
		what_of[id] = (uint8_t)(i + 1);
		order[i].id = id;
		order[i].what = (enum what)(i + 1);
	}
	what_of[FIELD_NONE] = 0;
	qsort(order, countof(order), sizeof(order[0]), by_id);
}

int lens_open(void)
{
	(void)pthread_once(&once, intern_all);
	return full ? err_new(-ENOSPC, "no room for the names of the context's fields") : 0;
}

/* ---- values -------------------------------------------------------------------------------------------- */

static bool str_value(const char *p, size_t n, struct value *ret_value)
{
	if (!n)
		return false;
	*ret_value = (struct value) { .type = VALUE_STR, .s = { p, n } };
	return true;
}

static bool text_value(const char *s, struct value *ret_value)
{
	return str_value(s, strlen(s), ret_value);
}

static bool uint_value(uint64_t v, struct value *ret_value)
{
	if (!v)
		return false;
	*ret_value = (struct value) { .type = VALUE_UINT, .u = v };
	return true;
}

static bool list_value(const struct value *items, size_t n, struct value *ret_value)
{
	if (!n)
		return false;
	*ret_value = (struct value) { .type = VALUE_LIST, .list = { items, n } };
	return true;
}

static bool name_value(const struct process *p, struct value *ret_value)
{
	return str_value(p->name, strnlen(p->name, sizeof(p->name)), ret_value);
}

static bool id_value(const struct context_view *v, uint32_t pid, uint64_t start_ns, char *room, struct value *ret_value)
{
	if (!pid || !start_ns)
		return false;
	return str_value(room, process_entity_id(v->ctx->boot, pid, start_ns, room), ret_value);
}

static bool program_value(const struct process *p, enum what what, struct value *ret_value)
{
	const struct program *g = p ? p->program : NULL;

	if (!g)
		return false;
	switch (what) {
	case EXECUTABLE:
		return str_value(g->executable.p, g->executable.n, ret_value);
	case ARGS:
		return list_value(g->args, g->n_args, ret_value);
	case ARGS_COUNT:
		return uint_value(g->argc ? g->argc : g->n_args, ret_value);
	case COMMAND_LINE:
		return str_value(g->command_line.p, g->command_line.n, ret_value);
	default:
		return false;
	}
}

/* An exec may tell of another parent than the one that made the process: who took it over. */
static const struct process *parent_of(const struct context_view *v)
{
	const struct process *p = v->process->parent;

	return p && p->pid == v->parent_pid && p->start_ns == v->parent_start_ns ? p : NULL;
}

static bool parent_value(struct context_view *v, enum what what, struct value *ret_value)
{
	const struct process *p = parent_of(v);

	switch (what) {
	case PARENT_PID:
		return uint_value(v->parent_pid, ret_value);
	case PARENT_ENTITY_ID:
		return id_value(v, v->parent_pid, v->parent_start_ns, v->ids[1], ret_value);
	case PARENT_NAME:
		return p && name_value(p, ret_value);
	case PARENT_EXECUTABLE:
		return program_value(p, EXECUTABLE, ret_value);
	case PARENT_ARGS:
		return program_value(p, ARGS, ret_value);
	case PARENT_COMMAND_LINE:
		return program_value(p, COMMAND_LINE, ret_value);
	default:
		return false;
	}
}

static bool ancestor_value(struct context_view *v, const struct process *p, enum what what, size_t at,
			   struct value *ret_value)
{
	if (what == ANCESTORS_ENTITY_ID)
		return id_value(v, p->pid, p->start_ns, v->ancestor_ids[at], ret_value);
	if (what == ANCESTORS_EXECUTABLE)
		return program_value(p, EXECUTABLE, ret_value);
	return name_value(p, ret_value);
}

/* One item a generation, in step: what is not known of one of them is null. */
static bool ancestors_value(struct context_view *v, enum what what, struct value *ret_value)
{
	struct value *items = v->ancestors[what - ANCESTORS_NAME];
	size_t n = 0;

	for (const struct process *p = v->process->parent; p && n < PROCESS_ANCESTORS_MIN; p = p->parent, n++) {
		items[n] = (struct value) { 0 };
		(void)ancestor_value(v, p, what, n, &items[n]);
	}
	return list_value(items, n, ret_value);
}

static bool cgroup_value(const struct context_view *v, enum what what, struct value *ret_value)
{
	const struct cgroup_info *c = v->process->cgroup;

	/* Of another moment than the record: better none than a wrong one. */
	if (!c || c->id != v->rec->cgroup_id)
		return false;
	switch (what) {
	case CONTAINER_ID:
		return text_value(c->container.id, ret_value);
	case CONTAINER_RUNTIME:
		return text_value(container_runtime_names[c->container.runtime], ret_value);
	case ORCHESTRATOR:
		return c->container.pod_uid[0] && text_value("kubernetes", ret_value);
	case POD_UID:
		return text_value(c->container.pod_uid, ret_value);
	case CGROUP_PATH:
		return str_value(c->path, c->path_n, ret_value);
	case UNIT:
		return text_value(c->container.unit, ret_value);
	case SESSION:
		return text_value(c->container.session, ret_value);
	default:
		return false;
	}
}

/* Session and group 0 are the kernel's own, and everybody's below an init that made none: a number like any other. */
static bool leader_value(const struct process *p, uint32_t pid, struct value *ret_value)
{
	if (!pid && p->flags & PROCESS_STUB)
		return false;
	*ret_value = (struct value) { .type = VALUE_UINT, .u = pid };
	return true;
}

static bool own_value(struct context_view *v, enum what what, struct value *ret_value)
{
	const struct process *p = v->process;

	switch (what) {
	case CWD:
		return p->cwd && str_value(p->cwd->bytes, p->cwd->n, ret_value);
	case ENTITY_ID:
		return id_value(v, p->pid, p->start_ns, v->ids[0], ret_value);
	case SESSION_PID:
		return leader_value(p, p->session_pid, ret_value);
	case GROUP_PID:
		return leader_value(p, p->group_pid, ret_value);
	case USER_NAME:
		return p->user && p->uid == v->rec->uid && str_value(p->user->bytes, p->user->n, ret_value);
	default:
		return program_value(p, what, ret_value);
	}
}

static bool value_of(struct context_view *v, enum what what, struct value *ret_value)
{
	*ret_value = (struct value) { 0 };
	if (!v->process)
		return false;
	if (what >= CONTAINER_ID && what <= SESSION)
		return cgroup_value(v, what, ret_value);
	if (what >= ANCESTORS_NAME && what <= ANCESTORS_ENTITY_ID)
		return ancestors_value(v, what, ret_value);
	if (what >= PARENT_PID && what <= PARENT_COMMAND_LINE)
		return parent_value(v, what, ret_value);
	return own_value(v, what, ret_value);
}

static bool lens_get(const void *subject, field_id id, struct value *ret_value)
{
	enum what what = id < FIELD_MAX ? (enum what)what_of[id] : 0;

	*ret_value = (struct value) { 0 };
	/* The view is the caller's scratch: it is const only to the event. */
	return what && value_of((struct context_view *)(uintptr_t)subject, what, ret_value);
}

static void lens_each(const void *subject, void (*fn)(void *ctx, field_id id, const struct value *v), void *ctx)
{
	struct context_view *view = (struct context_view *)(uintptr_t)subject;
	struct value v;

	for (size_t i = 0; i < countof(order); i++)
		if (value_of(view, order[i].what, &v))
			fn(ctx, order[i].id, &v);
}

static const struct event_lens lens = { .get = lens_get, .each = lens_each };

/* ---- events ---------------------------------------------------------------------------------------------- */

struct event context_event_of(const struct context *ctx, const struct process *p, const struct ev_head *rec,
			      const struct event_kind *kind, struct context_view *view)
{
	view->ctx = ctx;
	view->process = p;
	view->rec = rec;
	view->parent_pid = p ? p->parent_pid : 0;
	view->parent_start_ns = p ? p->parent_start_ns : 0;
	if (rec->id == EV_EXEC && rec->len >= sizeof(struct ev_exec)) {
		view->parent_pid = ((const struct ev_exec *)rec)->parent_pid;
		view->parent_start_ns = ((const struct ev_exec *)rec)->parent_start_ns;
	}
	return (struct event) { .rec = rec, .kind = kind, .lens = &lens, .subject = view };
}

const struct context_view *context_view_of(const struct event *ev)
{
	return ev->lens == &lens && ev->rec ? ev->subject : NULL;
}

struct event context_event(struct context *ctx, const struct ev_head *rec, const struct event_kind *kind,
			   struct context_view *view)
{
	const struct process *p = rec->pid ? context_process(ctx, rec->pid, rec->start_ns) : NULL;

	return context_event_of(ctx, p, rec, kind, view);
}

/* ---- kinds ------------------------------------------------------------------------------------------------- */

static const struct field_name known_traits[] = {
	{ KNOWN_KTHREAD, "kernel-thread" }, { KNOWN_TICKS, "start-in-ticks" },
	{ KNOWN_TOLD, "told-before" },      { KNOWN_EXITED, "exited" },
	{ KNOWN_STUB, "program-unknown" },  { KNOWN_BORN, "birth-seen" },
	{ KNOWN_CUT, "ancestors-cut" },     { 0, NULL },
};

static const struct field known_fields[] = {
	FIELD(ev_known, exe, "process.executable", FT_STR, "path of the file that runs, as the process sees it"),
	FIELD(ev_known, cwd, "process.working_directory", FT_STR, "working directory"),
	FIELD(ev_known, args, "process.args", FT_STRS, "arguments, as the process left them"),
	FIELD(ev_known, argc, "process.args_count", FT_U32, "number of arguments", .zero_is_absent = true),
	FIELD(ev_known, parent_pid, "process.parent.pid", FT_U32, "parent"),
	FIELD(ev_known, parent_start_ns, "process.parent.start", FT_TIME, "when the parent began",
	      .zero_is_absent = true),
	FIELD(ev_known, group_pid, "process.group_leader.pid", FT_U32, "leader of its process group",
	      .zero_is_absent = true),
	FIELD(ev_known, session_pid, "process.session_leader.pid", FT_U32, "leader of its session",
	      .zero_is_absent = true),
	FIELD(ev_known, inode, "process.exec.inode", FT_U64, "inode of the file", .zero_is_absent = true),
	FIELD(ev_known, dev, "process.exec.device", FT_HEX, "device of the file", .zero_is_absent = true),
	FIELD(ev_known, mode, "process.exec.mode", FT_OCTAL, "mode of the file", .zero_is_absent = true),
	FIELD(ev_known, traits, "process.known.traits", FT_FLAGS, "what is special about it", .names = known_traits),
	FIELD(ev_known, mntns, "process.namespace.mnt", FT_U32, "mount namespace", .zero_is_absent = true),
	FIELD(ev_known, pidns, "process.namespace.pid", FT_U32, "pid namespace", .zero_is_absent = true),
	FIELD(ev_known, since_ns, "process.known.since", FT_TIME, "from when on it was so", .zero_is_absent = true),
	FIELD(ev_known, exec_ns, "process.known.exec", FT_TIME, "when it began to run its program",
	      .zero_is_absent = true),
	FIELD(ev_known, entity, "process.known.entity", FT_HEX, "what its events are kept in order with",
	      .zero_is_absent = true),
};

static const struct field cgroup_fields[] = {
	FIELD(ev_cgroup, path, "shrike.cgroup.path", FT_STR, "path of the cgroup, below the mount"),
};

static const struct field user_fields[] = {
	FIELD(ev_user, name, "user.name", FT_STR, "name of the user"),
};

static const struct field_name tcp_flags[] = {
	{ 1 << 0, "fin" }, { 1 << 1, "syn" }, { 1 << 2, "rst" }, { 1 << 3, "psh" }, { 1 << 4, "ack" },
	{ 1 << 5, "urg" }, { 1 << 6, "ece" }, { 1 << 7, "cwr" }, { 0, NULL },
};

static const struct field packet_fields[] = {
	FLOW_FIELDS(ev_packet),
	FIELD(ev_packet, bytes, "network.bytes", FT_U32, "length of the packet on the wire"),
	FIELD(ev_packet, tcp_flags, "network.tcp.flags", FT_FLAGS, "flags of a TCP segment", .names = tcp_flags,
	      .zero_is_absent = true),
	FIELD(ev_packet, is_fragment, "network.fragment", FT_BOOL, "a fragment, and not the first: it has no ports"),
	FIELD(ev_packet, ethertype, "network.ethertype", FT_HEX, "protocol that the link carries",
	      .zero_is_absent = true),
	FIELD(ev_packet, link_type, "network.capture.link_type", FT_U16,
	      "sort of link, as files of captures number it"),
	FIELD(ev_packet, interface, "network.capture.interface", FT_U32, "interface of the capture, from 0"),
	FIELD(ev_packet, data, "network.packet", FT_BYTES, "the packet, as much of it as was captured"),
};

const struct event_kind context_kinds[] = {
	{ EV_KNOWN, "process.known", "ev_known", sizeof(struct ev_known), EV_NORMAL, "process", "info", "known",
	  "a process that runs already, as the agent found it", known_fields, countof(known_fields) },
	{ EV_CGROUP, "cgroup.known", "ev_cgroup", sizeof(struct ev_cgroup), EV_NORMAL, "host", "info", "known",
	  "the path of a cgroup, as the agent found it", cgroup_fields, countof(cgroup_fields) },
	{ EV_USER, "user.known", "ev_user", sizeof(struct ev_user), EV_NORMAL, "iam", "info", "known",
	  "the name of a user, as the agent found it", user_fields, countof(user_fields) },
	{ EV_PACKET_CAPTURED, "packet.captured", "ev_packet", sizeof(struct ev_packet), EV_PACKET, "network", "info",
	  "captured", "a packet of a capture that is replayed", packet_fields, countof(packet_fields) },
};
const size_t context_n_kinds = countof(context_kinds);
