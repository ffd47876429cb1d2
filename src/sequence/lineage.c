/* SPDX-License-Identifier: Apache-2.0 */
#include "sequence/lineage.h"
#include <errno.h>
#include <stdlib.h>
#include "base/err.h"

static uint32_t tag_of(uint64_t id)
{
	return (uint32_t)(id >> 32);
}

static int set_open(struct pid_set *s)
{
	*s = (struct pid_set) { .next = 1 };
	s->id = calloc(LINEAGE_PIDS_MAX, sizeof(*s->id));
	if (!s->id)
		return err_new(-ENOMEM, "no memory for processes");
	return cell_table_open(&s->table, LINEAGE_PIDS_MAX);
}

static void set_close(struct pid_set *s)
{
	cell_table_close(&s->table);
	free(s->id);
	*s = (struct pid_set) { 0 };
}

static uint32_t set_find(const struct pid_set *s, uint64_t id)
{
	const struct cell_table *t = &s->table;

	for (uint32_t i = tag_of(id) & t->mask; id && t->slots[i].at; i = (i + 1) & t->mask)
		if (s->id[t->slots[i].at] == id)
			return t->slots[i].at;
	return 0;
}

static void set_remove(struct pid_set *s, uint64_t id)
{
	uint32_t at = set_find(s, id);

	if (!at)
		return;
	cell_table_remove(&s->table, tag_of(id), at);
	s->id[at] = 0;
}

static void set_clear(struct pid_set *s)
{
	for (uint32_t i = 1; i < LINEAGE_PIDS_MAX; i++)
		if (s->id[i])
			set_remove(s, s->id[i]);
}

/* True: another had to go. */
static bool set_add(struct pid_set *s, uint64_t id)
{
	uint64_t old;

	if (!id || set_find(s, id))
		return false;
	old = s->id[s->next];
	if (old)
		set_remove(s, old);
	s->id[s->next] = id;
	cell_table_put(&s->table, tag_of(id), s->next);
	s->next = s->next + 1 < LINEAGE_PIDS_MAX ? s->next + 1 : 1;
	return old;
}

int lineage_open(struct lineage *l)
{
	int r;

	*l = (struct lineage) { 0 };
	r = set_open(&l->sources);
	return r < 0 ? r : set_open(&l->members);
}

void lineage_close(struct lineage *l)
{
	set_close(&l->sources);
	set_close(&l->members);
}

void lineage_update(struct lineage *l, enum ir_lineage kind, const struct lineage_event *ev)
{
	if (ev->is_process && l->ended) {
		set_remove(&l->sources, l->ended);
		set_remove(&l->members, l->ended);
		l->ended = 0;
	}
	if (ev->boots) {
		set_clear(&l->sources);
		set_clear(&l->members);
	}
	if (ev->begins && kind != IR_EVENT &&
	    (set_find(&l->sources, ev->parent) || (kind == IR_DESCENDANT && set_find(&l->members, ev->parent))))
		l->evicted += set_add(&l->members, ev->pid);
	else if (ev->ends)
		l->ended = ev->pid;
}

void lineage_match(struct lineage *l, const struct lineage_event *ev)
{
	l->evicted += set_add(&l->sources, ev->pid);
}

bool lineage_is(const struct lineage *l, enum ir_lineage kind, const struct lineage_event *ev)
{
	return set_find(kind == IR_EVENT ? &l->sources : &l->members, ev->pid) != 0;
}
