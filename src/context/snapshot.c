/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot - all that a context knows, told again as records.
 *
 * A process holds its parent as that was when it began, which may be an older version than
 * the one of today. So all versions that anybody holds are told, in the order in which they
 * came to be: history again, as far as it is still needed. Two things of it are lost. Who
 * changed its user or cgroup after its parent ran another program is told after that, and so
 * gets the parent of that moment; and a user or cgroup that got its name only after a process
 * was last looked at has it from the beginning.
 */
#include <string.h>
#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "context/state.h"

struct teller {
	struct context *ctx;
	void (*fn)(void *arg, const struct ev_head *rec);
	void *arg;
	struct map said;    /* the latest version of each process that was told */
	struct users users; /* names, as they were told last */
	bool no_memory;
};

struct identity {
	uint32_t pid;
	uint64_t start_ns;
};

static bool is_of(const void *item, const void *key)
{
	const struct process *p = item;
	const struct identity *id = key;

	return p->pid == id->pid && p->start_ns == id->start_ns;
}

static uint64_t hash_of(const struct teller *t, const struct process *p)
{
	return hash_2u64(p->pid, p->start_ns, t->ctx->seed);
}

/* ---- cgroups and users ------------------------------------------------------------------------ */

static void tell_cgroup(struct teller *t, const struct cgroup_info *c)
{
	struct buf *b = &t->ctx->scratch;
	struct ev_cgroup e = {
		.head = { .time_ns = t->ctx->now_ns, .id = EV_CGROUP, .class = EV_NORMAL, .cgroup_id = c->id },
		.path = { .off = sizeof(e), .len = (uint16_t)c->path_n },
	};

	if (!c->known)
		return;
	e.head.len = (uint16_t)(sizeof(e) + c->path_n + 1);
	buf_clear(b);
	buf_add(b, &e, sizeof(e));
	buf_add(b, c->path, c->path_n + 1);
	t->no_memory |= b->failed;
	if (!b->failed)
		t->fn(t->arg, (const struct ev_head *)b->data);
}

static void tell_user(struct teller *t, uint32_t uid, const struct text *name)
{
	struct buf *b = &t->ctx->scratch;
	const struct user *said = users_get(&t->users, uid);
	struct ev_user e = {
		.head = { .time_ns = t->ctx->now_ns, .id = EV_USER, .class = EV_NORMAL, .uid = uid },
		.name = { .off = sizeof(e), .len = (uint16_t)name->n },
	};

	if (said && said->name->n == name->n && !memcmp(said->name->bytes, name->bytes, name->n))
		return;
	if (users_set(&t->users, uid, name->bytes, name->n) == -ENOMEM)
		t->no_memory = true;
	e.head.len = (uint16_t)(sizeof(e) + name->n + 1);
	buf_clear(b);
	buf_add(b, &e, sizeof(e));
	buf_add(b, name->bytes, name->n + 1);
	t->no_memory |= b->failed;
	if (!b->failed)
		t->fn(t->arg, (const struct ev_head *)b->data);
}

static void tell_users(struct teller *t)
{
	const struct users *u = &t->ctx->users;

	for (size_t i = 0; i < u->n; i++)
		if (u->rows[i].told)
			tell_user(t, u->rows[i].uid, u->rows[i].name);
}

/* ---- processes ---------------------------------------------------------------------------------- */

static struct ev_str add_str(struct buf *b, const char *p, size_t n)
{
	struct ev_str s = { .off = (uint16_t)b->len, .len = (uint16_t)n };

	if (!n)
		return (struct ev_str) { 0 };
	buf_add(b, p, n);
	buf_char(b, 0);
	return s;
}

/* As a list again, of which the last item is what the list of values had no more room for. */
static struct ev_str add_args(struct buf *b, const struct program *program, bool *ret_cut)
{
	struct str line = program->command_line;
	size_t n = line.n, room = EV_LEN_MAX - b->len - 1;
	struct ev_str s;

	*ret_cut = n > room;
	s = add_str(b, line.p, *ret_cut ? room : n);
	for (size_t i = 0; !b->failed && i < program->n_args; i++) {
		size_t end = (size_t)(program->args[i].s.p - line.p) + program->args[i].s.n;

		if (end < s.len)
			b->data[s.off + end] = 0;
	}
	return s;
}

static void write_known(const struct process *p, bool exited, uint64_t now_ns, struct buf *out)
{
	const struct program *program = p->program;
	struct ev_known k = {
		.head = { .time_ns = now_ns, .id = EV_KNOWN, .class = EV_NORMAL, .pid = p->pid, .tid = p->pid },
		.parent_start_ns = p->parent_start_ns,
		.parent_pid = p->parent_pid,
		.mntns = p->mntns,
		.pidns = p->pidns,
		.group_pid = p->group_pid,
		.session_pid = p->session_pid,
		.traits = KNOWN_TOLD | (exited ? KNOWN_EXITED : 0),
		.since_ns = p->since_ns,
		.entity = p->entity,
	};
	bool cut = false;

	k.head.start_ns = p->start_ns;
	k.head.cgroup_id = p->cgroup ? p->cgroup->id : 0;
	k.head.uid = p->uid;
	k.head.gid = p->gid;
	k.head.ns_pid = p->ns_pid;
	k.head.flags |= p->flags & PROCESS_SEEDED ? EV_F_SEEDED : 0;
	k.head.flags |= p->flags & PROCESS_LATE ? EV_F_LATE : 0;
	memcpy(k.head.comm, p->name, sizeof(k.head.comm));
	for (size_t i = 0; i < KNOWN_FLAGS; i++)
		if (p->flags & known_flags[i].flag)
			k.traits |= (uint16_t)known_flags[i].trait;
	buf_clear(out);
	buf_add(out, &k, sizeof(k));
	if (p->cwd)
		k.cwd = add_str(out, p->cwd->bytes, p->cwd->n);
	if (program) {
		k.inode = program->inode;
		k.dev = program->dev;
		k.mode = program->mode;
		k.argc = program->argc;
		k.exec_ns = program->exec_ns;
		k.exe = add_str(out, program->executable.p, program->executable.n);
		k.args = add_args(out, program, &cut);
		k.head.flags |= program->truncated || cut ? EV_F_TRUNCATED : 0;
	}
	k.head.len = (uint16_t)out->len;
	if (!out->failed)
		memcpy(out->data, &k, sizeof(k));
}

/* What is told of a process that an event or a child still holds as it once was. */
static const struct process *version_of(struct teller *t, const struct process *p, bool *ret_exited)
{
	const struct node *n = context_node(t->ctx, p->pid, p->start_ns);

	*ret_exited = !n || n->exited;
	/* Of one moment only one version can be told: what is known now, which is known better. */
	if (n && (n->now->since_ns == p->since_ns || n->start_ns != p->start_ns))
		return n->now;
	return p;
}

/* Parents first, also where they were looked at later than their child. */
static void tell_process(struct teller *t, const struct process *p, int depth)
{
	struct buf *b = &t->ctx->scratch;
	const struct process *said;
	struct identity id;
	bool exited;

	p = version_of(t, p, &exited);
	id = (struct identity) { p->pid, p->start_ns };
	said = map_get(&t->said, hash_of(t, p), &id);
	/* Time goes one way for who hears this, too: an older version is not taken back. */
	if (said && said->since_ns >= p->since_ns)
		return;
	if (p->parent && depth < PROCESS_ANCESTORS_MAX)
		tell_process(t, p->parent, depth + 1);
	if (p->cgroup && !cgroups_has(&t->ctx->cgroups, p->cgroup->id))
		tell_cgroup(t, p->cgroup);
	if (p->user)
		tell_user(t, p->uid, p->user);
	(void)map_remove(&t->said, hash_of(t, p), &id);
	if (map_put(&t->said, hash_of(t, p), (void *)(uintptr_t)p) < 0)
		t->no_memory = true;
	write_known(p, exited, t->ctx->now_ns, b);
	t->no_memory |= b->failed;
	if (!b->failed)
		t->fn(t->arg, (const struct ev_head *)b->data);
}

/* In the order of becoming what they are, parents before children. */
static int by_since(const void *a, const void *b)
{
	const struct process *x = *(const struct process *const *)a, *y = *(const struct process *const *)b;

	if (x->since_ns != y->since_ns)
		return x->since_ns < y->since_ns ? -1 : 1;
	if (x->start_ns != y->start_ns)
		return x->start_ns < y->start_ns ? -1 : 1;
	if (x->pid != y->pid)
		return x->pid < y->pid ? -1 : 1;
	/* The same one, of which a line of ancestors was cut. */
	return x->depth > y->depth ? -1 : x->depth < y->depth;
}

static bool is_same(const void *item, const void *key)
{
	return item == key;
}

/* Versions of processes, each once; those of its beginning have been looked at for what they lead to. */
struct versions {
	struct map map;
	const struct process **list;
	size_t n, cap;
};

static int add_version(struct versions *v, uint64_t seed, const struct process *p)
{
	uint64_t hash = hash_u64((uintptr_t)p, seed);

	if (!p || map_get(&v->map, hash, p))
		return 0;
	if (v->n == v->cap) {
		size_t cap = v->cap ? v->cap * 2 : 1024;
		const struct process **list = realloc(v->list, cap * sizeof(*list));

		if (!list)
			return -ENOMEM;
		v->list = list;
		v->cap = cap;
	}
	v->list[v->n++] = p;
	return map_put(&v->map, hash, (void *)(uintptr_t)p);
}

/*
 * Processes that live and their ancestors: as they were, and as they are or have ended, for a child that runs another
 * program will look at them again.
 */
static int collect(struct context *ctx, struct versions *v)
{
	int r = 0;

	for (const struct node *n = ctx->alive.first; n && r == 0; n = n->next)
		r = add_version(v, ctx->seed, n->now);
	for (size_t i = 0; i < v->n && r == 0; i++) {
		const struct process *parent = v->list[i]->parent;
		const struct node *n = parent ? context_node(ctx, parent->pid, parent->start_ns) : NULL;

		r = add_version(v, ctx->seed, parent);
		if (r == 0 && n)
			r = add_version(v, ctx->seed, n->now);
	}
	return r;
}

static int tell_processes(struct teller *t)
{
	struct versions v = { 0 };
	int r;

	map_init(&v.map, SIZE_MAX / 2, is_same);
	r = collect(t->ctx, &v);
	if (r == 0 && v.n)
		qsort(v.list, v.n, sizeof(*v.list), by_since);
	for (size_t i = 0; i < v.n && r == 0 && !t->no_memory; i++)
		tell_process(t, v.list[i], 0);
	map_free(&v.map);
	free(v.list);
	return r;
}

int context_snapshot(struct context *ctx, void (*fn)(void *arg, const struct ev_head *rec), void *arg)
{
	struct teller t = { .ctx = ctx, .fn = fn, .arg = arg };
	int r;

	map_init(&t.said, SIZE_MAX / 2, is_of);
	users_init(&t.users, NULL);
	for (size_t i = 0; i < ctx->cgroups.n; i++)
		tell_cgroup(&t, cgroups_at(&ctx->cgroups, i));
	tell_users(&t);
	r = tell_processes(&t);
	/* Of who was renamed, processes of before have told the old name. */
	tell_users(&t);
	map_free(&t.said);
	users_free(&t.users);
	return r < 0 || t.no_memory ? err_new(-ENOMEM, "no memory to tell what is known") : 0;
}
