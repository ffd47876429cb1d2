/* SPDX-License-Identifier: Apache-2.0 */
#include "context/process.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"
#include "context/text.h"

/* Of the whole agent, because what is shared outlives the context that made it. */
static uint64_t live_bytes;

uint64_t context_bytes(void)
{
	return __atomic_load_n(&live_bytes, __ATOMIC_RELAXED);
}

static void *account(void *p, size_t size)
{
	if (p)
		(void)__atomic_add_fetch(&live_bytes, size, __ATOMIC_RELAXED);
	return p;
}

static void release(const void *p, size_t size)
{
	(void)__atomic_sub_fetch(&live_bytes, size, __ATOMIC_RELAXED);
	free((void *)(uintptr_t)p);
}

static void ref(const uint32_t *refs)
{
	(void)__atomic_add_fetch((uint32_t *)(uintptr_t)refs, 1, __ATOMIC_RELAXED);
}

/* True: that was the last one, and all that other threads did with the object is done. */
static bool unref(const uint32_t *refs)
{
	return __atomic_sub_fetch((uint32_t *)(uintptr_t)refs, 1, __ATOMIC_ACQ_REL) == 0;
}

/* ---- texts -------------------------------------------------------------------------------------- */

const struct text *text_new(const char *p, size_t n)
{
	struct text *t = account(malloc(sizeof(*t) + n + 1), sizeof(*t) + n + 1);

	if (!t)
		return NULL;
	t->refs = 1;
	t->n = (uint32_t)n;
	memcpy(t->bytes, p, n);
	t->bytes[n] = 0;
	return t;
}

const struct text *text_ref(const struct text *t)
{
	if (t)
		ref(&t->refs);
	return t;
}

void text_unref(const struct text *t)
{
	if (t && unref(&t->refs))
		release(t, sizeof(*t) + t->n + 1);
}

/* ---- programs ----------------------------------------------------------------------------------- */

static size_t count_args(struct str args)
{
	size_t n = args.n ? 1 : 0;

	for (size_t i = 0; i < args.n; i++)
		n += !args.p[i];
	return n < PROCESS_ARGS_MAX_ITEMS ? n : PROCESS_ARGS_MAX_ITEMS;
}

/* Copies the list as one line, and points each item at its place there. */
static void lay_out_args(struct program *p, char *line, struct str args)
{
	size_t start = 0, n = 0;

	for (size_t i = 0; args.n && i <= args.n; i++) {
		if (i < args.n && args.p[i]) {
			line[i] = args.p[i];
			continue;
		}
		line[i] = i < args.n ? ' ' : 0;
		if (n < p->n_args)
			p->args[n++] = (struct value) { .type = VALUE_STR, .s = { line + start, i - start } };
		start = i + 1;
	}
	line[args.n] = 0;
	p->command_line = (struct str) { line, args.n };
}

const struct program *program_new(const struct program_parts *parts)
{
	size_t n_args = count_args(parts->args);
	size_t size = sizeof(struct program) + n_args * sizeof(struct value) + parts->executable.n + parts->args.n + 2;
	struct program *p = account(malloc(size), size);
	char *at;

	if (!p)
		return NULL;
	*p = (struct program) {
		.refs = 1,
		.dev = parts->dev,
		.inode = parts->inode,
		.exec_ns = parts->exec_ns,
		.mode = parts->mode,
		.truncated = parts->truncated,
		.argc = parts->argc,
		.size = size,
		.n_args = n_args,
	};
	at = (char *)(p->args + n_args);
	if (parts->executable.n)
		memcpy(at, parts->executable.p, parts->executable.n);
	at[parts->executable.n] = 0;
	p->executable = (struct str) { at, parts->executable.n };
	lay_out_args(p, at + parts->executable.n + 1, parts->args);
	return p;
}

const struct program *program_ref(const struct program *p)
{
	if (p)
		ref(&p->refs);
	return p;
}

void program_unref(const struct program *p)
{
	if (p && unref(&p->refs))
		release(p, p->size);
}

/* ---- cgroups -------------------------------------------------------------------------------------- */

const struct cgroup_info *cgroup_info_new(uint64_t id, const char *path, size_t n)
{
	struct cgroup_info *c = account(malloc(sizeof(*c) + n + 1), sizeof(*c) + n + 1);

	if (!c)
		return NULL;
	*c = (struct cgroup_info) { .refs = 1, .id = id, .known = n > 0, .path_n = n };
	container_of_path(path, n, &c->container);
	memcpy(c->path, path, n);
	c->path[n] = 0;
	return c;
}

const struct cgroup_info *cgroup_info_ref(const struct cgroup_info *c)
{
	if (c)
		ref(&c->refs);
	return c;
}

void cgroup_info_unref(const struct cgroup_info *c)
{
	if (c && unref(&c->refs))
		release(c, sizeof(*c) + c->path_n + 1);
}

/* ---- processes -------------------------------------------------------------------------------------- */

const struct process *process_ref(const struct process *p)
{
	if (p)
		ref(&p->refs);
	return p;
}

/* A loop, not recursion: the last of a family may hold its whole line of ancestors. */
void process_unref(const struct process *p)
{
	while (p && unref(&p->refs)) {
		const struct process *parent = p->parent;

		program_unref(p->program);
		text_unref(p->cwd);
		text_unref(p->user);
		cgroup_info_unref(p->cgroup);
		release(p, sizeof(*p));
		p = parent;
	}
}

struct process *process_new(void)
{
	struct process *p = account(calloc(1, sizeof(*p)), sizeof(*p));

	if (p)
		p->refs = 1;
	return p;
}

struct process *process_copy(const struct process *from)
{
	struct process *p = account(malloc(sizeof(*p)), sizeof(*p));

	if (!p)
		return NULL;
	/* Not as a whole: others count on `refs` of the original meanwhile. */
	memcpy((char *)p + sizeof(p->refs), (const char *)from + sizeof(p->refs), sizeof(*p) - sizeof(p->refs));
	p->refs = 1;
	(void)process_ref(p->parent);
	(void)program_ref(p->program);
	(void)text_ref(p->cwd);
	(void)text_ref(p->user);
	(void)cgroup_info_ref(p->cgroup);
	return p;
}

static void put_parent(struct process *p, const struct process *parent)
{
	const struct process *before = p->parent;

	p->parent = parent;
	p->depth = parent ? (uint16_t)(parent->depth + 1) : 0;
	process_unref(before);
}

/*
 * Parents never change, so a line of ancestors is cut by copying its youngest `keep`; the
 * oldest copy has no parent. Done once in (max - keep) generations.
 */
static const struct process *copy_line(const struct process *from, unsigned keep)
{
	struct process *copy = process_copy(from);

	if (!copy)
		return NULL;
	if (keep <= 1 || !from->parent) {
		if (from->parent)
			copy->flags |= PROCESS_CUT;
		put_parent(copy, NULL);
	} else {
		const struct process *parent = copy_line(from->parent, keep - 1);

		if (!parent) {
			process_unref(copy);
			return NULL;
		}
		put_parent(copy, parent);
	}
	return copy;
}

int process_set_parent(struct process *p, const struct process *parent, unsigned max)
{
	const struct process *cut;
	unsigned keep = max < PROCESS_ANCESTORS_MIN ? max : PROCESS_ANCESTORS_MIN;

	if (!parent || parent->depth + 1U <= max) {
		put_parent(p, process_ref(parent));
		return 0;
	}
	cut = copy_line(parent, keep);
	put_parent(p, cut);
	return cut ? (int)(parent->depth + 1U - keep) : -ENOMEM;
}

bool process_is_descendant(const struct process *p, uint32_t pid, uint64_t start_ns)
{
	for (const struct process *a = p ? p->parent : NULL; a; a = a->parent)
		if (a->pid == pid && (!start_ns || a->start_ns == start_ns))
			return true;
	return false;
}

/* ---- ids ---------------------------------------------------------------------------------------------- */

static size_t put_hex(char *to, uint64_t v, unsigned digits)
{
	static const char hex[] = "0123456789abcdef";
	unsigned n = digits;

	while (!digits && n < 15 && v >> (4 * (n + 1)))
		n++;
	n += !digits;
	for (unsigned i = 0; i < n; i++)
		to[i] = hex[v >> (4 * (n - 1 - i)) & 15];
	return n;
}

size_t process_entity_id(uint64_t boot, uint32_t pid, uint64_t start_ns, char ret_id[PROCESS_ENTITY_ID_MAX])
{
	size_t n = put_hex(ret_id, boot, 16);

	ret_id[n++] = '-';
	n += put_hex(ret_id + n, pid, 0);
	ret_id[n++] = '-';
	n += put_hex(ret_id + n, start_ns, 0);
	ret_id[n] = 0;
	return n;
}
