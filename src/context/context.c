/* SPDX-License-Identifier: Apache-2.0 */
#include "context/context.h"
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "context/procfs.h"
#include "context/state.h"
#include "sensors/process/process.event.h"

static const uint64_t second_ns = 1000000000;

enum {
	TRIES_MAX = 16,       /* of the alive that are passed over for having been asked for */
	ARGS_CUT_BYTES = 256, /* what is kept of arguments where memory is short */
	ENTITY_PROCESS = 1,   /* what is hashed is one or the other */
	ENTITY_CONTAINER = 2,
};

const struct option context_option_rows[] = {
	OPTION(context_limits, processes, OPT_U32, "65536", "processes kept, those that have ended included", .min = 64,
	       .max = 4194304),
	OPTION(context_limits, cgroups, OPT_U32, "8192", "cgroups whose paths are kept", .min = 16, .max = 1048576),
	OPTION(context_limits, memory, OPT_BYTES, "128MiB",
	       "where processes take more, new ones keep a short command line and one ancestor", .min = 1 << 20),
	OPTION(context_limits, late_per_s, OPT_U32, "500",
	       "unknown processes that are looked up in /proc, a second; 0: none", .max = 100000),
};
const size_t context_n_option_rows = countof(context_option_rows);

/* ---- lists ----------------------------------------------------------------------------------- */

static void list_add(struct list *l, struct node *n)
{
	n->prev = l->last;
	n->next = NULL;
	*(l->last ? &l->last->next : &l->first) = n;
	l->last = n;
	l->n++;
}

static void list_remove(struct list *l, struct node *n)
{
	*(n->prev ? &n->prev->next : &l->first) = n->next;
	*(n->next ? &n->next->prev : &l->last) = n->prev;
	l->n--;
}

/* ---- the table --------------------------------------------------------------------------------- */

static bool has_pid(const void *item, const void *key)
{
	return ((const struct node *)item)->pid == *(const uint32_t *)key;
}

static uint64_t hash_pid(const struct context *ctx, uint32_t pid)
{
	return hash_u64(pid, ctx->seed);
}

static struct node *youngest(const struct context *ctx, uint32_t pid)
{
	return map_get(&ctx->by_pid, hash_pid(ctx, pid), &pid);
}

/* Replaces what is known; takes `p`. */
static void become(struct node *n, const struct process *p)
{
	process_unref(n->now);
	n->now = p;
}

/* What was found in ticks turns out to be this process: from now on its identity is exact. */
static bool adopt(struct context *ctx, struct node *n, uint64_t start_ns)
{
	struct process *p;

	if (!(n->now->flags & PROCESS_TICKS) || n->start_ns / PROC_TICK_NS != start_ns / PROC_TICK_NS)
		return false;
	p = process_copy(n->now);
	if (!p) {
		ctx->stats.no_memory++;
		return false;
	}
	p->start_ns = start_ns;
	p->flags &= (uint16_t)~PROCESS_TICKS;
	n->start_ns = start_ns;
	become(n, p);
	return true;
}

/* Asked for by what /proc says: a start that is a whole number of ticks. */
static bool is_in_tick(const struct node *n, uint64_t start_ns)
{
	return start_ns % PROC_TICK_NS == 0 && n->start_ns / PROC_TICK_NS == start_ns / PROC_TICK_NS;
}

struct node *context_node(struct context *ctx, uint32_t pid, uint64_t start_ns)
{
	struct node *first = youngest(ctx, pid);

	/* Some records know a pid alone: of whoever had it last. */
	if (!start_ns)
		return first;
	for (struct node *n = first; n; n = n->older)
		if (n->start_ns == start_ns)
			return n;
	for (struct node *n = first; n; n = n->older)
		if (adopt(ctx, n, start_ns) || is_in_tick(n, start_ns))
			return n;
	return NULL;
}

static void mark_exited(struct context *ctx, struct node *n)
{
	if (n->exited)
		return;
	n->exited = true;
	list_remove(&ctx->alive, n);
	list_add(&ctx->exited, n);
}

/* The map holds the youngest; older lives hang on it. */
static void unlink_life(struct context *ctx, struct node *n)
{
	struct node *first = youngest(ctx, n->pid);

	if (first != n) {
		while (first && first->older != n)
			first = first->older;
		if (first)
			first->older = n->older;
		return;
	}
	(void)map_remove(&ctx->by_pid, hash_pid(ctx, n->pid), &n->pid);
	if (n->older)
		(void)map_put(&ctx->by_pid, hash_pid(ctx, n->pid), n->older); /* its place has just become free */
}

static void drop(struct context *ctx, struct node *n)
{
	unlink_life(ctx, n);
	list_remove(n->exited ? &ctx->exited : &ctx->alive, n);
	process_unref(n->now);
	*n = (struct node) { .older = ctx->free };
	ctx->free = n;
}

/*
 * Makes room: of those that have ended, the one that ended first; else of the alive one that
 * nobody asked for since its turn last came. `busy` is being worked with.
 */
static void evict(struct context *ctx, const struct node *busy)
{
	struct node *n = ctx->exited.first;

	if (n == busy && n)
		n = n->next;
	if (n) {
		ctx->stats.evicted_exited++;
		drop(ctx, n);
		return;
	}
	n = ctx->alive.first;
	for (int i = 0; i < TRIES_MAX && (n->asked || n == busy || n->pid == PID_INIT); i++) {
		n->asked = false;
		list_remove(&ctx->alive, n);
		list_add(&ctx->alive, n);
		n = ctx->alive.first;
	}
	if (n == busy)
		n = n->next;
	ctx->stats.evicted_alive++;
	drop(ctx, n);
}

static struct node *take_node(struct context *ctx, const struct node *busy)
{
	struct node *n;

	if (!ctx->free && ctx->n_nodes == ctx->limits.processes)
		evict(ctx, busy);
	n = ctx->free;
	if (n)
		ctx->free = n->older;
	else
		n = &ctx->nodes[ctx->n_nodes++];
	*n = (struct node) { 0 };
	return n;
}

/* The earliest lives of a pid go where it had too many: finding one must not become slow. */
static void bound_lives(struct context *ctx, struct node *first, const struct node *busy)
{
	struct node *last = NULL;
	int n = 1;

	for (struct node *at = first->older; at; at = at->older, n++)
		last = at == busy ? last : at;
	if (n <= LIVES_MAX || !last)
		return;
	ctx->stats.evicted_exited++;
	drop(ctx, last);
}

static void link_life(struct context *ctx, struct node *n, const struct node *busy)
{
	struct node *first = youngest(ctx, n->pid), *at;

	if (!first || first->start_ns < n->start_ns) {
		/* Two at once cannot have the pid: that the older ended has escaped us. */
		if (first && !first->exited) {
			ctx->stats.exits_missed++;
			mark_exited(ctx, first);
		}
		if (first)
			(void)map_remove(&ctx->by_pid, hash_pid(ctx, n->pid), &n->pid);
		n->older = first;
		(void)map_put(&ctx->by_pid, hash_pid(ctx, n->pid), n); /* room was reserved */
		first = n;
	} else {
		for (at = first; at->older && at->older->start_ns > n->start_ns;)
			at = at->older;
		n->older = at->older;
		at->older = n;
		mark_exited(ctx, n);
	}
	bound_lives(ctx, first, busy);
}

/* Puts a new process into the table; takes `p`. */
static struct node *add(struct context *ctx, const struct process *p, const struct node *busy)
{
	struct node *n = take_node(ctx, busy);

	n->pid = p->pid;
	n->start_ns = p->start_ns;
	n->now = p;
	n->asked = true;
	list_add(&ctx->alive, n);
	link_life(ctx, n, busy ? busy : n);
	return n;
}

/* ---- what surrounds a process -------------------------------------------------------------------- */

static void learned(struct context *ctx, const struct ev_head *rec)
{
	if (ctx->learned)
		ctx->learned(ctx->arg, rec);
}

static const struct cgroup_info *cgroup_of(struct context *ctx, uint64_t id)
{
	const struct cgroup_info *c;
	struct {
		struct ev_cgroup e;
		char path[EV_STR_MAX];
	} rec;
	size_t n;

	if (!id)
		return NULL;
	c = cgroups_get(&ctx->cgroups, id);
	if (c)
		return c;
	n = cgroups_resolve(&ctx->cgroups, id, rec.path, sizeof(rec.path));
	c = cgroups_set(&ctx->cgroups, id, rec.path, n);
	if (n && ctx->learned) {
		rec.e = (struct ev_cgroup) {
			.head = { .time_ns = ctx->now_ns, .id = EV_CGROUP, .class = EV_NORMAL, .cgroup_id = id },
			.path = { .off = sizeof(rec.e), .len = (uint16_t)n },
		};
		rec.e.head.len = (uint16_t)(sizeof(rec.e) + n + 1);
		learned(ctx, &rec.e.head);
	}
	return c;
}

static const struct text *user_of(struct context *ctx, uint32_t uid)
{
	struct user *u;
	struct {
		struct ev_user e;
		char name[USER_NAME_MAX + 1];
	} rec;

	users_refresh(&ctx->users, ctx->now_ns);
	u = users_get(&ctx->users, uid);
	if (!u)
		return NULL;
	if (!u->told && ctx->learned) {
		rec.e = (struct ev_user) {
			.head = { .time_ns = ctx->now_ns, .id = EV_USER, .class = EV_NORMAL, .uid = uid },
			.name = { .off = sizeof(rec.e), .len = (uint16_t)u->name->n },
		};
		memcpy(rec.name, u->name->bytes, u->name->n + 1);
		rec.e.head.len = (uint16_t)(sizeof(rec.e) + u->name->n + 1);
		learned(ctx, &rec.e.head);
	}
	u->told = true;
	return u->name;
}

/* Who it acts as, and where. The host's names are not those of a container, whose numbers may coincide. */
static void set_owner(struct context *ctx, struct process *p, const struct ev_head *rec, uint64_t cgroup_id)
{
	const struct cgroup_info *c = cgroup_of(ctx, cgroup_id);
	const struct text *user;

	cgroup_info_unref(p->cgroup);
	p->cgroup = cgroup_info_ref(c);
	p->uid = rec->uid;
	p->gid = rec->gid;
	user = c && c->container.runtime ? NULL : user_of(ctx, rec->uid);
	text_unref(p->user);
	p->user = text_ref(user);
}

static bool is_short_of_memory(const struct context *ctx)
{
	return context_bytes() > ctx->limits.memory;
}

static void set_parent(struct context *ctx, struct process *p, const struct process *parent)
{
	int r;

	if (!parent)
		return;
	r = process_set_parent(p, parent, is_short_of_memory(ctx) ? 1 : PROCESS_ANCESTORS_MAX);
	if (r < 0)
		ctx->stats.no_memory++;
	else
		ctx->stats.ancestors_cut += (unsigned)r;
}

/* See context_entity(). Decided when a process is first seen, never again. */
static void set_entity(struct process *p)
{
	bool first_of_ns = p->ns_pid == 1 && p->pid != 1;

	if (p->cgroup && p->cgroup->container.runtime)
		p->entity = hash_bytes(p->cgroup->container.id, strlen(p->cgroup->container.id), ENTITY_CONTAINER);
	else if (p->parent && p->parent_pid != PID_INIT && p->parent_pid != PID_KTHREADD && !first_of_ns)
		p->entity = p->parent->entity;
	else
		p->entity = hash_2u64(p->pid, p->start_ns, ENTITY_PROCESS);
	p->entity = p->entity ?: 1;
}

static const struct process *known_now(struct context *ctx, uint32_t pid, uint64_t start_ns)
{
	struct node *n = pid ? context_node(ctx, pid, start_ns) : NULL;

	return n ? n->now : NULL;
}

/* The parent as it is now, where more is known of it than before. */
static void refresh_parent(struct context *ctx, struct process *p)
{
	const struct process *now = p->parent_start_ns ? known_now(ctx, p->parent_pid, p->parent_start_ns) : NULL;

	if (!now)
		return;
	p->parent_start_ns = now->start_ns;
	if (now != p->parent)
		set_parent(ctx, p, now);
}

static void set_program(struct context *ctx, struct process *p, struct program_parts *parts)
{
	const struct program *program;

	if (parts->args.n > ARGS_CUT_BYTES && is_short_of_memory(ctx)) {
		parts->args.n = ARGS_CUT_BYTES;
		parts->truncated = true;
		ctx->stats.args_cut++;
	}
	program = program_new(parts);
	if (!program) {
		ctx->stats.no_memory++;
		return;
	}
	program_unref(p->program);
	p->program = program;
	p->flags &= (uint16_t)~PROCESS_STUB;
}

static void set_cwd(struct context *ctx, struct process *p, struct str cwd)
{
	const struct text *t;

	if (!cwd.n || (p->cwd && p->cwd->n == cwd.n && !memcmp(p->cwd->bytes, cwd.p, cwd.n)))
		return;
	t = text_new(cwd.p, cwd.n);
	if (!t) {
		ctx->stats.no_memory++;
		return;
	}
	text_unref(p->cwd);
	p->cwd = t;
}

/* A copy to change, which becomes what is known once it is done. */
static struct process *edit(struct context *ctx, const struct node *n, uint64_t time_ns)
{
	struct process *p = process_copy(n->now);

	if (!p)
		ctx->stats.no_memory++;
	else if (time_ns > p->since_ns)
		p->since_ns = time_ns;
	return p;
}

/* ---- processes that nobody told us of -------------------------------------------------------------- */

static struct process *from_head(struct context *ctx, const struct ev_head *rec)
{
	struct process *p = process_new();

	if (!p) {
		ctx->stats.no_memory++;
		return NULL;
	}
	p->pid = rec->pid;
	p->ns_pid = rec->ns_pid;
	p->start_ns = rec->start_ns;
	p->since_ns = rec->time_ns;
	memcpy(p->name, rec->comm, sizeof(p->name));
	set_owner(ctx, p, rec, rec->cgroup_id);
	return p;
}

void context_find_parent(struct context *ctx, struct ev_known *k)
{
	const struct process *parent = known_now(ctx, k->parent_pid, 0);

	/* Where both are known to a tick alone, a parent may seem to have begun together with its child. */
	if (parent && (parent->start_ns < k->head.start_ns ||
		       (parent->start_ns == k->head.start_ns && parent->flags & PROCESS_TICKS)))
		k->parent_start_ns = parent->start_ns;
}

static bool may_look(struct context *ctx)
{
	if (ctx->offline || !ctx->limits.late_per_s)
		return false;
	if (ctx->now_ns - ctx->late_from_ns >= second_ns) {
		ctx->late_from_ns = ctx->now_ns;
		ctx->late_used = 0;
	}
	if (ctx->late_used >= ctx->limits.late_per_s) {
		ctx->stats.late_refused++;
		return false;
	}
	ctx->late_used++;
	return true;
}

/* It is there still, or was a moment ago: /proc may tell. */
static void look_up(struct context *ctx, const struct ev_head *rec)
{
	struct ev_known *k;

	if (!rec->start_ns || !may_look(ctx))
		return;
	if (proc_known(rec->pid, rec->start_ns, rec, &ctx->scratch) < 0) {
		ctx->stats.late_failed++;
		return;
	}
	k = (struct ev_known *)ctx->scratch.data;
	context_find_parent(ctx, k);
	ctx->stats.late++;
	context_learn(ctx, &k->head);
}

static struct node *actor_slow(struct context *ctx, const struct ev_head *rec)
{
	struct process *p;
	struct node *n;

	ctx->stats.misses++;
	/* An exec tells all that /proc would; who exits has nothing left there. */
	if (rec->id != EV_EXEC && rec->id != EV_EXIT) {
		look_up(ctx, rec);
		n = context_node(ctx, rec->pid, rec->start_ns);
		if (n)
			return n;
	}
	p = from_head(ctx, rec);
	if (!p)
		return NULL;
	p->flags |= PROCESS_STUB;
	if (rec->id == EV_EXEC) {
		const struct ev_exec *e = (const struct ev_exec *)rec;

		p->parent_pid = e->parent_pid;
		p->parent_start_ns = e->parent_start_ns;
		set_parent(ctx, p, known_now(ctx, e->parent_pid, e->parent_start_ns));
	}
	set_entity(p);
	return add(ctx, p, NULL);
}

static struct node *actor(struct context *ctx, const struct ev_head *rec)
{
	struct node *n = context_node(ctx, rec->pid, rec->start_ns);

	if (!n)
		return actor_slow(ctx, rec);
	n->asked = true;
	return n;
}

/* ---- records ---------------------------------------------------------------------------------------- */

/* Every head tells who acts and where; what differs from before is new. */
static void apply_head(struct context *ctx, struct node *n, const struct ev_head *rec)
{
	const struct process *now = n->now;
	struct process *p;

	if (now->uid == rec->uid && now->gid == rec->gid && (now->cgroup ? now->cgroup->id : 0) == rec->cgroup_id)
		return;
	if (rec->time_ns < now->since_ns || !rec->cgroup_id)
		return;
	p = edit(ctx, n, rec->time_ns);
	if (!p)
		return;
	set_owner(ctx, p, rec, rec->cgroup_id);
	become(n, p);
}

/* The child was seen before its birth was told: that adds who made it, and what it began as. */
static void apply_late_birth(struct context *ctx, struct node *child, const struct node *parent,
			     const struct ev_fork *e)
{
	struct process *p;

	if (child->now->flags & PROCESS_FORK_SEEN)
		return;
	ctx->stats.out_of_order++;
	p = edit(ctx, child, 0);
	if (!p)
		return;
	p->flags |= PROCESS_FORK_SEEN;
	p->ns_pid = e->child_ns_pid;
	p->parent_pid = parent->pid;
	p->parent_start_ns = parent->start_ns;
	set_parent(ctx, p, parent->now);
	if (!p->program && parent->now->program) {
		p->program = program_ref(parent->now->program);
		p->group_pid = parent->now->group_pid;
		p->session_pid = parent->now->session_pid;
		p->flags &= (uint16_t)~PROCESS_STUB;
	}
	if (!p->cwd)
		p->cwd = text_ref(parent->now->cwd);
	become(child, p);
}

static void apply_fork(struct context *ctx, struct node *n, const struct ev_head *rec)
{
	const struct ev_fork *e = (const struct ev_fork *)rec;
	struct node *child = e->child_pid ? context_node(ctx, e->child_pid, e->child_start_ns) : n;
	struct process *p;

	if (child == n || !e->child_start_ns)
		return;
	if (child) {
		apply_late_birth(ctx, child, n, e);
		return;
	}
	p = edit(ctx, n, 0);
	if (!p)
		return;
	p->pid = e->child_pid;
	p->ns_pid = e->child_ns_pid;
	p->start_ns = e->child_start_ns;
	p->since_ns = rec->time_ns;
	p->parent_pid = n->pid;
	p->parent_start_ns = n->start_ns;
	p->flags = (uint16_t)(PROCESS_FORK_SEEN | (p->flags & (PROCESS_KTHREAD | PROCESS_STUB)));
	memcpy(p->name, rec->comm, sizeof(p->name));
	set_parent(ctx, p, n->now);
	set_entity(p);
	(void)add(ctx, p, n);
}

static void apply_exec(struct context *ctx, struct node *n, const struct ev_head *rec)
{
	const struct ev_exec *e = (const struct ev_exec *)rec;
	struct program_parts parts = {
		.dev = e->dev,
		.inode = e->inode,
		.mode = e->mode,
		.argc = e->argc,
		.exec_ns = rec->time_ns,
		.truncated = rec->flags & EV_F_TRUNCATED,
		.executable = event_str(rec, e->exe),
		.args = event_str(rec, e->args),
	};
	struct process *p;

	if (rec->time_ns < n->now->since_ns) {
		ctx->stats.out_of_order++;
		return;
	}
	p = edit(ctx, n, rec->time_ns);
	if (!p)
		return;
	memcpy(p->name, rec->comm, sizeof(p->name));
	p->mntns = e->mntns;
	p->pidns = e->pidns;
	p->ns_pid = rec->ns_pid;
	p->group_pid = e->pgid ?: p->group_pid;
	p->session_pid = e->sid ?: p->session_pid;
	if (!p->parent_pid) {
		p->parent_pid = e->parent_pid;
		p->parent_start_ns = e->parent_start_ns;
	}
	refresh_parent(ctx, p);
	set_program(ctx, p, &parts);
	set_cwd(ctx, p, event_str(rec, e->cwd));
	become(n, p);
}

const struct known_flag known_flags[KNOWN_FLAGS] = {
	{ KNOWN_KTHREAD, PROCESS_KTHREAD }, { KNOWN_TICKS, PROCESS_TICKS }, { KNOWN_STUB, PROCESS_STUB },
	{ KNOWN_BORN, PROCESS_FORK_SEEN },  { KNOWN_CUT, PROCESS_CUT },
};

static void fill_known(struct context *ctx, struct process *p, const struct ev_known *k)
{
	struct program_parts parts = {
		.dev = k->dev,
		.inode = k->inode,
		.mode = k->mode,
		.argc = k->argc,
		.exec_ns = k->exec_ns,
		.truncated = k->head.flags & EV_F_TRUNCATED,
		.executable = event_str(&k->head, k->exe),
		.args = event_str(&k->head, k->args),
	};

	if (k->traits & KNOWN_TOLD)
		p->flags &= PROCESS_TICKS;
	/* That a start is known in ticks is not said of one that is known better by now. */
	for (size_t i = 0; i < countof(known_flags); i++)
		if (k->traits & known_flags[i].trait & ~KNOWN_TICKS)
			p->flags |= (uint16_t)known_flags[i].flag;
	if (k->head.flags & EV_F_SEEDED)
		p->flags |= PROCESS_SEEDED;
	else if (!(k->traits & KNOWN_TOLD) || k->head.flags & EV_F_LATE)
		p->flags |= PROCESS_LATE;
	p->mntns = k->mntns ?: p->mntns;
	p->pidns = k->pidns ?: p->pidns;
	p->group_pid = k->group_pid;
	p->session_pid = k->session_pid;
	if (!p->parent_pid) {
		p->parent_pid = k->parent_pid;
		p->parent_start_ns = k->parent_start_ns;
	}
	refresh_parent(ctx, p);
	if (parts.executable.n || parts.args.n)
		set_program(ctx, p, &parts);
	set_cwd(ctx, p, event_str(&k->head, k->cwd));
}

/* What it says of a process that is known. */
static void apply_known_again(struct context *ctx, struct node *n, const struct ev_known *k)
{
	bool told = k->traits & KNOWN_TOLD, adds = n->now->flags & PROCESS_STUB && !(k->traits & KNOWN_STUB);
	uint64_t since_ns = told ? k->since_ns : k->head.time_ns;
	struct process *p;

	/* What a record of a later moment has said is not undone, and what is known is not learned again. */
	if (told ? since_ns <= n->now->since_ns && !adds : since_ns < n->now->since_ns && n->now->program)
		return;
	p = edit(ctx, n, since_ns);
	if (!p)
		return;
	if (told) {
		set_owner(ctx, p, &k->head, k->head.cgroup_id);
		memcpy(p->name, k->head.comm, sizeof(p->name));
		p->ns_pid = k->head.ns_pid;
	}
	fill_known(ctx, p, k);
	become(n, p);
}

static void apply_known(struct context *ctx, const struct ev_head *rec)
{
	const struct ev_known *k = (const struct ev_known *)rec;
	struct node *n = rec->pid && rec->start_ns ? context_node(ctx, rec->pid, rec->start_ns) : NULL;
	struct process *p;

	if (!rec->pid || !rec->start_ns)
		return;
	if (n) {
		apply_known_again(ctx, n, k);
		return;
	}
	p = from_head(ctx, rec);
	if (!p)
		return;
	if (k->traits & KNOWN_TOLD)
		p->since_ns = k->since_ns;
	p->flags |= k->traits & KNOWN_TICKS ? PROCESS_TICKS : 0;
	fill_known(ctx, p, k);
	if (k->traits & KNOWN_TOLD && k->entity)
		p->entity = k->entity;
	else
		set_entity(p);
	n = add(ctx, p, NULL);
	if (k->traits & KNOWN_EXITED)
		mark_exited(ctx, n);
}

static bool apply_knowledge(struct context *ctx, const struct ev_head *rec)
{
	struct str s;

	switch (rec->id) {
	case EV_KNOWN:
		if (rec->len >= sizeof(struct ev_known))
			apply_known(ctx, rec);
		return true;
	case EV_CGROUP:
		if (rec->len < sizeof(struct ev_cgroup))
			return true;
		s = event_str(rec, ((const struct ev_cgroup *)rec)->path);
		(void)cgroups_set(&ctx->cgroups, rec->cgroup_id, s.p ? s.p : "", s.n);
		return true;
	case EV_USER:
		if (rec->len < sizeof(struct ev_user))
			return true;
		s = event_str(rec, ((const struct ev_user *)rec)->name);
		(void)users_set(&ctx->users, rec->uid, s.p, s.n);
		return true;
	default:
		return false;
	}
}

void context_learn(struct context *ctx, const struct ev_head *rec)
{
	if (rec->time_ns > ctx->now_ns)
		ctx->now_ns = rec->time_ns;
	/* What it needs to be understood is learned meanwhile, and so stands before it in the stream. */
	(void)apply_knowledge(ctx, rec);
	learned(ctx, rec);
}

const struct process *context_apply(struct context *ctx, const struct ev_head *rec)
{
	struct node *n;

	if (rec->time_ns > ctx->now_ns)
		ctx->now_ns = rec->time_ns;
	if (EV_ID_SENSOR(rec->id) == EV_CONTEXT && apply_knowledge(ctx, rec))
		return known_now(ctx, rec->pid, rec->start_ns);
	if (!rec->pid || (rec->id == EV_EXEC && rec->len < sizeof(struct ev_exec)))
		return NULL;
	n = actor(ctx, rec);
	if (!n)
		return NULL;
	apply_head(ctx, n, rec);
	if (rec->id == EV_FORK && rec->len >= sizeof(struct ev_fork))
		apply_fork(ctx, n, rec);
	else if (rec->id == EV_EXEC)
		apply_exec(ctx, n, rec);
	else if (rec->id == EV_EXIT)
		mark_exited(ctx, n);
	return n->now;
}

/* ---- asking ------------------------------------------------------------------------------------------- */

uint64_t context_entity(const struct context *ctx, const struct ev_head *rec)
{
	struct node *n = rec->pid ? context_node((struct context *)(uintptr_t)ctx, rec->pid, rec->start_ns) : NULL;

	return n ? n->now->entity : 0;
}

const struct process *context_process(struct context *ctx, uint32_t pid, uint64_t start_ns)
{
	return start_ns ? known_now(ctx, pid, start_ns) : NULL;
}

const struct process *context_process_by_pid(struct context *ctx, uint32_t pid)
{
	return known_now(ctx, pid, 0);
}

bool context_is_alive(struct context *ctx, uint32_t pid, uint64_t start_ns)
{
	struct node *n = context_node(ctx, pid, start_ns);

	return n && !n->exited;
}

/* ---- life ---------------------------------------------------------------------------------------------- */

static int boot_of(const char *text, uint64_t *ret_boot)
{
	uint64_t v = 0;
	int digits = 0;

	for (; *text && digits < 16; text++) {
		int d = *text >= '0' && *text <= '9'   ? *text - '0'
			: *text >= 'a' && *text <= 'f' ? *text - 'a' + 10
						       : -1;

		if (d < 0 && *text != '-')
			return err_new(-EINVAL, "no boot id");
		if (d < 0)
			continue;
		v = v << 4 | (uint64_t)d;
		digits++;
	}
	if (digits < 16)
		return err_new(-EINVAL, "no boot id");
	*ret_boot = v;
	return 0;
}

static int read_boot(uint64_t *ret_boot)
{
	static const char path[] = "/proc/sys/kernel/random/boot_id";
	auto_file FILE *f = fopen(path, "re");
	char text[64] = "";

	if (!f || !fgets(text, sizeof(text), f))
		return err_sys(errno ?: EIO, "read %s", path);
	return boot_of(text, ret_boot);
}

void context_free(struct context *ctx)
{
	if (!ctx)
		return;
	for (size_t i = 0; ctx->nodes && i < ctx->n_nodes; i++)
		process_unref(ctx->nodes[i].now);
	free(ctx->nodes);
	if (ctx->by_pid.has_key)
		map_free(&ctx->by_pid);
	cgroups_close(&ctx->cgroups);
	users_free(&ctx->users);
	buf_free(&ctx->scratch);
	free(ctx);
}

int context_open(const struct context_options *options, struct context **ret_ctx)
{
	AUTO(context) ctx = calloc(1, sizeof(*ctx));
	int r;

	if (!ctx)
		return err_new(-ENOMEM, "no memory for the context");
	ctx->cgroups.mount_fd = -1;
	ctx->limits = options->limits;
	ctx->core = options->core;
	ctx->no_iterator = options->no_iterator;
	ctx->offline = options->offline;
	ctx->learned = options->learned;
	ctx->arg = options->arg;
	ctx->seed = hash_seed();
	buf_init(&ctx->scratch, UINT16_MAX);
	users_init(&ctx->users, options->offline ? NULL : options->passwd_path ?: "/etc/passwd");
	map_init(&ctx->by_pid, ctx->limits.processes, has_pid);

	r = options->boot_id ? boot_of(options->boot_id, &ctx->boot) : read_boot(&ctx->boot);
	if (r < 0)
		return r;
	/* All at once, so that a storm of processes meets no allocation here; pages come as they are used. */
	r = map_reserve(&ctx->by_pid, ctx->limits.processes);
	ctx->nodes = calloc(ctx->limits.processes, sizeof(*ctx->nodes));
	if (r < 0 || !ctx->nodes)
		return err_new(-ENOMEM, "no memory for %u processes", ctx->limits.processes);
	r = cgroups_open(&ctx->cgroups, ctx->limits.cgroups, ctx->offline);
	if (r < 0)
		return r;
	r = lens_open();
	if (r < 0)
		return r;
	*ret_ctx = take(ctx);
	return 0;
}

/* ---- books --------------------------------------------------------------------------------------------- */

#define METRIC(m, n, d, g) { .name = (n), .doc = (d), .off = offsetof(struct context_stats, m), .is_gauge = (g) }

const struct context_metric context_metrics[] = {
	METRIC(processes, "processes", "processes known, those that have ended included", true),
	METRIC(exited, "processes_exited", "of these, processes that have ended", true),
	METRIC(seeded, "seeded", "processes found running at the start", false),
	METRIC(evicted_exited, "evicted_exited", "ended processes forgotten to make room", false),
	METRIC(evicted_alive, "evicted_alive", "live processes forgotten because all known ones were alive", false),
	METRIC(misses, "misses", "records of a process that was not known", false),
	METRIC(late, "late", "unknown processes that /proc told about", false),
	METRIC(late_refused, "late_refused", "unknown processes not looked up, because too many were in that second",
	       false),
	METRIC(late_failed, "late_failed", "unknown processes that were gone when looked up", false),
	METRIC(exits_missed, "exits_missed", "processes whose end shows only in that their pid was used again", false),
	METRIC(out_of_order, "out_of_order", "records that told something older than what was known", false),
	METRIC(cgroups, "cgroups", "cgroups known by id", true),
	METRIC(cgroups_unresolved, "cgroups_unresolved", "cgroups that were gone before their path was read", false),
	METRIC(cgroups_evicted, "cgroups_evicted", "cgroups forgotten to make room", false),
	METRIC(users, "users", "users known by name", true),
	METRIC(users_skipped, "users_skipped", "rows of the passwd file that are no user, or too many", false),
	METRIC(args_cut, "args_cut", "command lines cut short because memory is", false),
	METRIC(ancestors_cut, "ancestors_cut", "ancestors let go, of lines that grew too long", false),
	METRIC(no_memory, "no_memory", "changes lost because the system had no memory", false),
	METRIC(bytes, "bytes", "memory of processes and programs, in whoever's hands", true),
};
const size_t context_n_metrics = countof(context_metrics);

void context_stats(const struct context *ctx, struct context_stats *ret_stats)
{
	*ret_stats = ctx->stats;
	ret_stats->processes = ctx->alive.n + ctx->exited.n;
	ret_stats->exited = ctx->exited.n;
	ret_stats->cgroups = ctx->cgroups.map.n;
	ret_stats->cgroups_unresolved = ctx->cgroups.unresolved;
	ret_stats->cgroups_evicted = ctx->cgroups.evicted;
	ret_stats->users = ctx->users.n;
	ret_stats->users_skipped = ctx->users.skipped;
	ret_stats->bytes = context_bytes();
}
