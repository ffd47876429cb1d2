/* SPDX-License-Identifier: Apache-2.0 */
#include "sequence/machine.h"
#include <errno.h>
#include <limits.h>
#include <string.h>
#include "base/err.h"
#include "base/hash.h"

enum {
	CAPTURE_MAX = 1 << 14, /* bytes remembered of one event */
	CAPTURES_MAX = 64,     /* remembered events that a condition or a pipe is shown */
	WAITING_MAX = 1024,    /* sequences of one key that wait for time */
	EXPIRE_AT_ONCE = 2,    /* old keys that an event lets go */
	EXPIRE_ON_TIME = 1024, /* ... and that time does */
	RECOUNT_EVERY = 256,   /* keys let go until it is looked again which machine has most */
	KEEP_TRIES = 64,       /* keys let go so that an event can be kept */
	CELLS_MIN = 1 << 12,
	EVENTS_IN_CELL = 7,
	JOIN_MAX = 64,
};

static const int64_t never = INT64_MAX, not_seen = INT64_MIN;

/* A join key of one machine, and what goes on there. */
struct key_cell {
	uint32_t hash;
	uint32_t machine;
	cell states; /* that may go on: last step first, one a step */
	cell waits;  /* that wait for time: in the order they completed */
	cell bytes;  /* the key */
	uint32_t len;
	cell m_newer, m_older; /* of its machine */
	cell e_newer, e_older; /* of its entity */
	cell entity;
	cell lead;
	int64_t last_ns; /* something happened here */
	uint16_t used;   /* since it was last looked at */
	uint16_t n_waits;
};

enum { STATE_SPOILED = 1 << 0, STATE_DECIDED = 1 << 1, STATE_JOIN = 1 << 2 };

struct state_cell {
	cell next;
	cell key;
	uint16_t step, flags;
	cell events;   /* the second and later */
	cell last;     /* the cell of `events` that is being filled */
	cell captures; /* newest first */
	int64_t start_ns, last_ns;
	union {
		int64_t gap_ns;      /* going on: the first event after last_ns that must be missing, or never */
		int64_t deadline_ns; /* waiting */
	};
	union {
		int64_t lead_ns; /* going on: the last event before start_ns that must be missing, or not_seen */
		struct {
			cell earlier, later; /* waiting, of the machine */
		};
		uint64_t filled; /* STATE_JOIN: a bit a step */
	};
	uint64_t first_event;
};

struct events_cell {
	cell next;
	uint32_t pad;
	uint64_t event[EVENTS_IN_CELL];
};

/* Sequences that were copied share what was remembered before. */
struct capture_cell {
	cell next;
	uint32_t refs, slot, len;
	cell bytes;
};

/* The last event that must be missing before a sequence, and the one before that at an earlier time. */
struct lead_cell {
	int64_t last_ns, before_ns;
};

struct entity_cell {
	uint64_t id;
	uint32_t hash, n_keys;
	cell newest, oldest;
};

_Static_assert(sizeof(struct key_cell) <= CELL_SIZE, "key_cell");
_Static_assert(sizeof(struct state_cell) == CELL_SIZE, "state_cell");
_Static_assert(sizeof(struct events_cell) == CELL_SIZE, "events_cell");
_Static_assert(sizeof(struct capture_cell) <= CELL_SIZE, "capture_cell");
_Static_assert(sizeof(struct entity_cell) <= CELL_SIZE, "entity_cell");

struct machine_store {
	struct machine_store_options options;
	struct cells cells;
	struct cell_table keys, entities;
	struct machine **machine; /* by id; NULL: free */
	uint32_t n_machines, cap_machines;
	uint32_t largest, until_recount;
	uint64_t n_states, n_waits;
	/* Of the event that is being looked at. */
	const struct machine_event *event;
	bool is_kept;
	uint64_t kept;
	struct buf capture;
	/* What is told. */
	struct runner_slot *slots;
	uint32_t cap_slots;
	struct buf key_text, capture_text;
	struct machine_capture captures[CAPTURES_MAX];
};

#define KEY(s, c)   ((struct key_cell *)cell_at(&(s)->cells, (c)))
#define STATE(s, c) ((struct state_cell *)cell_at(&(s)->cells, (c)))

/* ---- plans ----------------------------------------------------------------------------------- */

void machine_plan_free(struct machine_plan *plan)
{
	if (!plan)
		return;
	free(plan->stage);
	free(plan->slot_of_step);
	free(plan);
}

static int plan_check(const struct machine_spec *spec)
{
	size_t slots = 0, positive = 0;

	for (size_t i = 0; i < spec->n_stages; i++) {
		const struct machine_stage_spec *s = &spec->stages[i];

		if (!s->runs || s->runs > RUNNER_SLOTS_MAX)
			return err_new(-EINVAL, "a stage with %u runs", s->runs);
		slots += s->runs;
		positive += !s->missing;
		if (spec->join && (s->missing || s->runs > 1 || s->fork))
			return err_new(-EINVAL, "a join has no missing events, runs or forks");
	}
	if (spec->join && slots > JOIN_MAX)
		return err_new(-E2BIG, "a join of more than %d events", JOIN_MAX);
	if (slots > RUNNER_SLOTS_MAX)
		return err_new(-E2BIG, "a sequence of more than %d events", RUNNER_SLOTS_MAX);
	if (!positive)
		return err_new(-EINVAL, "a sequence of nothing but missing events");
	if (positive < spec->n_stages && !spec->has_span)
		return err_new(-EINVAL, "missing events need a maxspan");
	return 0;
}

int machine_plan_new(const struct machine_spec *spec, struct machine_plan **ret_plan)
{
	AUTO(machine_plan) p = calloc(1, sizeof(*p));
	uint32_t positive = 0, steps = 0, slots = 0;
	int r = plan_check(spec);

	if (r < 0)
		return r;
	for (size_t i = 0; i < spec->n_stages; i++)
		steps += spec->stages[i].missing ? 0 : spec->stages[i].runs;
	if (p) {
		p->stage = calloc(spec->n_stages, sizeof(*p->stage));
		p->slot_of_step = calloc(steps, sizeof(*p->slot_of_step));
	}
	if (!p || !p->stage || !p->slot_of_step)
		return err_new(-ENOMEM, "no memory for the plan of a sequence");
	p->n_stages = (uint32_t)spec->n_stages;
	p->until = spec->until;
	p->until_first = spec->until_first;
	p->join = spec->join;
	p->has_span = spec->has_span;
	p->maxspan_ns = spec->maxspan_ns;
	for (size_t i = 0; i < spec->n_stages; i++) {
		const struct machine_stage_spec *from = &spec->stages[i];
		struct machine_stage *to = &p->stage[i];

		to->fork = from->fork;
		to->guarded = from->guarded;
		to->captures = from->captures;
		to->first_step = positive;
		if (from->missing) {
			to->gap = !positive ? GAP_LEADING : positive == steps ? GAP_TRAILING : GAP_MIDDLE;
			p->has_leading |= to->gap == GAP_LEADING;
			p->has_trailing |= to->gap == GAP_TRAILING;
		} else {
			to->n_steps = from->runs;
			for (uint32_t k = 0; k < from->runs; k++)
				p->slot_of_step[positive++] = slots + k;
		}
		slots += from->runs;
	}
	p->n_steps = steps;
	p->n_slots = slots;
	*ret_plan = take(p);
	return 0;
}

/* ---- the store ------------------------------------------------------------------------------- */

int machine_store_open(const struct machine_store_options *options, struct machine_store **ret_store)
{
	AUTO(machine_store) s = calloc(1, sizeof(*s));
	uint64_t n = options->memory / CELL_SIZE;
	int r;

	if (!s)
		return err_new(-ENOMEM, "no memory for a store of sequences");
	s->options = *options;
	buf_init(&s->capture, CAPTURE_MAX);
	buf_init(&s->key_text, RUNNER_KEY_BYTES_MAX);
	buf_init(&s->capture_text, (size_t)CAPTURE_MAX * CAPTURES_MAX);
	if (n < CELLS_MIN)
		return err_new(-EINVAL, "%llu bytes for sequences: at least %d are needed",
			       (unsigned long long)options->memory, CELLS_MIN * CELL_SIZE);
	r = cells_open(&s->cells, options->memory);
	if (r < 0)
		return r;
	/* A key takes two cells at least, three when it has bytes. */
	r = cell_table_open(&s->keys, s->cells.n / 2);
	if (r == 0)
		r = cell_table_open(&s->entities, s->cells.n / 2);
	if (r < 0)
		return r;
	*ret_store = take(s);
	return 0;
}

void machine_store_free(struct machine_store *s)
{
	if (!s)
		return;
	cells_close(&s->cells);
	cell_table_close(&s->keys);
	cell_table_close(&s->entities);
	buf_free(&s->capture);
	buf_free(&s->key_text);
	buf_free(&s->capture_text);
	free(s->slots);
	free(s->machine);
	free(s);
}

static int room_for_slots(struct machine_store *s, uint32_t n)
{
	struct runner_slot *more;

	if (n <= s->cap_slots)
		return 0;
	more = realloc(s->slots, n * sizeof(*more));
	if (!more)
		return err_new(-ENOMEM, "no memory for a sequence of %u events", n);
	s->slots = more;
	s->cap_slots = n;
	return 0;
}

int machine_open(struct machine_store *s, struct machine *m, const struct machine_plan *plan, void *owner)
{
	uint32_t id = 0;
	int r = room_for_slots(s, plan->n_slots);

	if (r < 0)
		return r;
	while (id < s->n_machines && s->machine[id])
		id++;
	if (id == s->cap_machines) {
		uint32_t cap = s->cap_machines ? s->cap_machines * 2 : 64;
		struct machine **more = realloc(s->machine, cap * sizeof(struct machine *));

		if (!more)
			return err_new(-ENOMEM, "no memory for %u rules", cap);
		s->machine = more;
		s->cap_machines = cap;
	}
	if (id == s->n_machines)
		s->n_machines++;
	*m = (struct machine) { .plan = plan, .id = id, .owner = owner };
	s->machine[id] = m;
	return 0;
}

/* ---- events and what is remembered of them --------------------------------------------------- */

static void drop_event(struct machine_store *s, uint64_t handle)
{
	if (s->options.keeper.drop)
		s->options.keeper.drop(s->options.keeper.ctx, handle);
}

static void captures_unref(struct machine_store *s, cell at)
{
	while (at) {
		struct capture_cell *c = cell_at(&s->cells, at);
		cell next = c->next;

		if (--c->refs)
			return;
		chain_give(&s->cells, c->bytes);
		cells_give(&s->cells, at);
		at = next;
	}
}

static uint64_t *event_of(struct machine_store *s, struct state_cell *st, uint32_t step)
{
	cell at = st->events;

	if (!step)
		return &st->first_event;
	for (step--; step >= EVENTS_IN_CELL; step -= EVENTS_IN_CELL)
		at = ((struct events_cell *)cell_at(&s->cells, at))->next;
	return &((struct events_cell *)cell_at(&s->cells, at))->event[step];
}

static void free_state(struct machine_store *s, cell at)
{
	struct state_cell *st = STATE(s, at);

	if (s->options.keeper.drop)
		for (uint32_t i = 0; i <= st->step; i++)
			if (!(st->flags & STATE_JOIN) || st->filled >> i & 1)
				drop_event(s, *event_of(s, st, i));
	for (cell c = st->events; c;) {
		cell next = ((struct events_cell *)cell_at(&s->cells, c))->next;

		cells_give(&s->cells, c);
		c = next;
	}
	captures_unref(s, st->captures);
	cells_give(&s->cells, at);
}

/* ---- keys: finding, making, letting go ------------------------------------------------------- */

static uint32_t key_hash(const struct machine *m, uint64_t hash)
{
	return (uint32_t)(hash_fold(hash ^ HASH_K1, m->id + HASH_K2) >> 16);
}

static cell find_key(const struct machine_store *s, const struct machine *m, const struct machine_hit *hit)
{
	const struct cell_table *t = &s->keys;
	uint32_t hash = key_hash(m, hit->hash);

	for (uint32_t i = hash & t->mask; t->slots[i].at; i = (i + 1) & t->mask) {
		const struct key_cell *k;

		if (t->slots[i].hash != hash)
			continue;
		k = KEY(s, t->slots[i].at);
		if (k->machine == m->id && k->len == hit->key_len &&
		    chain_equals(&s->cells, k->bytes, hit->key, hit->key_len))
			return t->slots[i].at;
	}
	return CELL_NONE;
}

static uint32_t entity_hash(const struct machine_store *s, uint64_t id)
{
	return (uint32_t)(hash_u64(id, s->options.seed) >> 16);
}

static cell find_entity(const struct machine_store *s, uint64_t id)
{
	const struct cell_table *t = &s->entities;
	uint32_t hash = entity_hash(s, id);

	for (uint32_t i = hash & t->mask; t->slots[i].at; i = (i + 1) & t->mask)
		if (t->slots[i].hash == hash && ((struct entity_cell *)cell_at(&s->cells, t->slots[i].at))->id == id)
			return t->slots[i].at;
	return CELL_NONE;
}

static void leave_machine(struct machine_store *s, struct machine *m, const struct key_cell *k)
{
	if (k->m_newer)
		KEY(s, k->m_newer)->m_older = k->m_older;
	else
		m->newest = k->m_older;
	if (k->m_older)
		KEY(s, k->m_older)->m_newer = k->m_newer;
	else
		m->oldest = k->m_newer;
}

static void join_machine(struct machine_store *s, struct machine *m, cell at)
{
	struct key_cell *k = KEY(s, at);

	k->m_newer = CELL_NONE;
	k->m_older = m->newest;
	if (m->newest)
		KEY(s, m->newest)->m_newer = at;
	else
		m->oldest = at;
	m->newest = at;
}

static void leave_entity(struct machine_store *s, const struct key_cell *k)
{
	struct entity_cell *e;

	if (!k->entity)
		return;
	e = cell_at(&s->cells, k->entity);
	if (k->e_newer)
		KEY(s, k->e_newer)->e_older = k->e_older;
	else
		e->newest = k->e_older;
	if (k->e_older)
		KEY(s, k->e_older)->e_newer = k->e_newer;
	else
		e->oldest = k->e_newer;
}

static void join_entity(struct machine_store *s, cell at)
{
	struct key_cell *k = KEY(s, at);
	struct entity_cell *e = cell_at(&s->cells, k->entity);

	k->e_newer = CELL_NONE;
	k->e_older = e->newest;
	if (e->newest)
		KEY(s, e->newest)->e_newer = at;
	else
		e->oldest = at;
	e->newest = at;
}

static void unwait(struct machine_store *s, struct machine *m, cell at)
{
	const struct state_cell *st = STATE(s, at);

	if (st->earlier)
		STATE(s, st->earlier)->later = st->later;
	else
		m->wait_first = st->later;
	if (st->later)
		STATE(s, st->later)->earlier = st->earlier;
	else
		m->wait_last = st->earlier;
	s->n_waits--;
}

static void let_go(struct machine_store *s, cell at)
{
	struct key_cell *k = KEY(s, at);
	struct machine *m = s->machine[k->machine];
	cell next;

	for (cell st = k->states; st; st = next) {
		next = STATE(s, st)->next;
		free_state(s, st);
		s->n_states--;
	}
	for (cell st = k->waits; st; st = next) {
		next = STATE(s, st)->next;
		unwait(s, m, st);
		free_state(s, st);
	}
	if (k->lead)
		cells_give(&s->cells, k->lead);
	leave_machine(s, m, k);
	m->n_keys--;
	if (k->entity) {
		struct entity_cell *e = cell_at(&s->cells, k->entity);

		leave_entity(s, k);
		if (!--e->n_keys) {
			cell_table_remove(&s->entities, e->hash, k->entity);
			cells_give(&s->cells, k->entity);
		}
	}
	cell_table_remove(&s->keys, k->hash, at);
	chain_give(&s->cells, k->bytes);
	cells_give(&s->cells, at);
}

void machine_close(struct machine_store *s, struct machine *m)
{
	while (m->oldest)
		let_go(s, m->oldest);
	s->machine[m->id] = NULL;
}

/* The key of a machine that goes next, but not `spare`. CELL_NONE: it has no other. */
static cell oldest_of_machine(struct machine_store *s, struct machine *m, cell spare)
{
	for (uint32_t tries = m->n_keys; tries; tries--) {
		cell at = m->oldest;
		struct key_cell *k = KEY(s, at);

		if (at != spare && !k->used)
			return at;
		k->used = 0;
		leave_machine(s, m, k);
		join_machine(s, m, at);
	}
	/* All were used: the oldest, then. */
	return m->oldest != spare ? m->oldest : m->oldest ? KEY(s, m->oldest)->m_newer : CELL_NONE;
}

static cell oldest_of_entity(struct machine_store *s, const struct entity_cell *e)
{
	for (uint32_t tries = e->n_keys; tries; tries--) {
		cell at = e->oldest;
		struct key_cell *k = KEY(s, at);

		if (!k->used)
			return at;
		k->used = 0;
		leave_entity(s, k);
		join_entity(s, at);
	}
	return e->oldest;
}

static struct machine *largest(struct machine_store *s)
{
	struct machine *m = s->largest < s->n_machines ? s->machine[s->largest] : NULL;

	if (m && m->n_keys && s->until_recount) {
		s->until_recount--;
		return m;
	}
	m = NULL;
	for (uint32_t i = 0; i < s->n_machines; i++)
		if (s->machine[i] && s->machine[i]->n_keys && (!m || s->machine[i]->n_keys > m->n_keys))
			m = s->machine[i];
	if (m)
		s->largest = m->id;
	s->until_recount = RECOUNT_EVERY;
	return m;
}

/* False: there is nothing to let go but `spare`. */
static bool evict(struct machine_store *s, cell spare)
{
	struct machine *m = largest(s);
	cell at = m ? oldest_of_machine(s, m, spare) : CELL_NONE;

	for (uint32_t i = 0; !at && i < s->n_machines; i++)
		if (s->machine[i] && s->machine[i] != m)
			at = oldest_of_machine(s, s->machine[i], spare);
	if (!at)
		return false;
	let_go(s, at);
	s->options.stats->evicted_memory++;
	return true;
}

static bool make_room(struct machine_store *s, uint32_t n)
{
	while (cells_room(&s->cells) < n || cell_table_is_full(&s->keys))
		if (!evict(s, CELL_NONE))
			return cells_room(&s->cells) >= n;
	return true;
}

static void give_entity(struct machine_store *s, cell at, uint64_t id)
{
	struct key_cell *k = KEY(s, at);
	cell entity = find_entity(s, id);
	struct entity_cell *e;

	if (!entity) {
		if (cell_table_is_full(&s->entities))
			return;
		entity = cells_take(&s->cells);
		e = cell_at(&s->cells, entity);
		*e = (struct entity_cell) { .id = id, .hash = entity_hash(s, id) };
		cell_table_put(&s->entities, e->hash, entity);
	}
	e = cell_at(&s->cells, entity);
	k->entity = entity;
	e->n_keys++;
	join_entity(s, at);
}

static bool has_entities(const struct machine_store *s)
{
	return s->options.per_entity && s->event->ev->entity;
}

/* There is room for its cells. */
static cell new_key(struct machine_store *s, struct machine *m, const struct machine_hit *hit)
{
	struct key_cell *k;
	cell at;

	while (s->options.per_rule && m->n_keys >= s->options.per_rule) {
		let_go(s, oldest_of_machine(s, m, CELL_NONE));
		s->options.stats->evicted_rule++;
	}
	if (has_entities(s)) {
		for (cell e; (e = find_entity(s, s->event->ev->entity));) {
			const struct entity_cell *entity = cell_at(&s->cells, e);

			if (entity->n_keys < s->options.per_entity)
				break;
			let_go(s, oldest_of_entity(s, entity));
			s->options.stats->evicted_entity++;
		}
	}
	at = cells_take(&s->cells);
	k = KEY(s, at);
	*k = (struct key_cell) { .hash = key_hash(m, hit->hash), .machine = m->id, .len = hit->key_len };
	k->bytes = chain_write(&s->cells, hit->key, hit->key_len);
	cell_table_put(&s->keys, k->hash, at);
	join_machine(s, m, at);
	m->n_keys++;
	if (has_entities(s))
		give_entity(s, at, s->event->ev->entity);
	return at;
}

static void let_go_if_empty(struct machine_store *s, cell at)
{
	const struct key_cell *k = KEY(s, at);

	if (!k->states && !k->waits && !k->lead)
		let_go(s, at);
}

/* ---- telling --------------------------------------------------------------------------------- */

static bool is_too_late(const struct machine_plan *p, int64_t start_ns, int64_t now_ns)
{
	return p->has_span && now_ns > start_ns && (uint64_t)now_ns - (uint64_t)start_ns > p->maxspan_ns;
}

static int64_t add_span(const struct machine_plan *p, int64_t t)
{
	int64_t sum;

	return p->maxspan_ns > INT64_MAX || __builtin_add_overflow(t, (int64_t)p->maxspan_ns, &sum) ? never : sum;
}

static size_t read_captures(struct machine_store *s, cell at)
{
	size_t n = 0;

	buf_clear(&s->capture_text);
	for (; at && n < CAPTURES_MAX; n++) {
		const struct capture_cell *c = cell_at(&s->cells, at);

		/* Offsets first: the buffer may move while it grows. */
		s->captures[n] = (struct machine_capture) { c->slot, c->len, (void *)s->capture_text.len };
		if (!buf_reserve(&s->capture_text, c->len))
			break;
		chain_read(&s->cells, c->bytes, s->capture_text.data + s->capture_text.len, c->len);
		s->capture_text.len += c->len;
		at = c->next;
	}
	for (size_t i = 0; i < n; i++)
		s->captures[i].bytes = buf_text(&s->capture_text) + (size_t)s->captures[i].bytes;
	return n;
}

/* A sequence with all its events, or all but the one that is being looked at. */
static void tell(struct machine_store *s, struct machine *m, const struct key_cell *k, struct state_cell *st,
		 bool with_current, int64_t end_ns)
{
	const struct machine_plan *p = m->plan;
	struct machine_result result = { .machine = m, .slots = s->slots, .end_ns = end_ns };

	for (uint32_t i = 0; i < p->n_slots; i++)
		s->slots[i] = (struct runner_slot) { .missing = true };
	if (st) {
		for (uint32_t i = 0; i <= st->step; i++)
			s->slots[p->slot_of_step[i]] = (struct runner_slot) { .handle = *event_of(s, st, i) };
		result.start_ns = st->start_ns;
		result.n_captures = read_captures(s, st->captures);
	} else {
		result.start_ns = end_ns;
	}
	result.captures = s->captures;
	if (with_current)
		s->slots[p->slot_of_step[p->n_steps - 1]] =
			(struct runner_slot) { .is_current = true, .handle = s->event->ev->handle };
	buf_clear(&s->key_text);
	if (k->len && buf_reserve(&s->key_text, k->len)) {
		chain_read(&s->cells, k->bytes, s->key_text.data, k->len);
		result.key_len = k->len;
	}
	result.key = buf_text(&s->key_text);
	s->options.tell(s->options.ctx, &result);
}

/* ---- sequences that go on -------------------------------------------------------------------- */

/* What the event is called from now on; one more reference. False: there is no room for it. */
static bool hold_event(struct machine_store *s, cell spare, uint64_t *ret_handle)
{
	const struct runner_keeper *keeper = &s->options.keeper;

	if (!keeper->keep) {
		*ret_handle = s->event->ev->handle;
		return true;
	}
	if (s->is_kept) {
		keeper->share(keeper->ctx, s->kept);
		*ret_handle = s->kept;
		return true;
	}
	for (int tries = 0; tries < KEEP_TRIES; tries++) {
		uint64_t handle = keeper->keep(keeper->ctx, s->event->ev);

		if (handle) {
			/* One reference stays with the event until it has been looked at. */
			keeper->share(keeper->ctx, handle);
			s->is_kept = true;
			s->kept = *ret_handle = handle;
			return true;
		}
		if (!evict(s, spare))
			break;
	}
	s->options.stats->evicted_memory++;
	return false;
}

/* There is room for a cell. */
static void append_event(struct machine_store *s, struct state_cell *st, uint32_t step, uint64_t handle)
{
	struct events_cell *c;

	if ((step - 1) % EVENTS_IN_CELL == 0) {
		cell at = cells_take(&s->cells);

		c = cell_at(&s->cells, at);
		c->next = CELL_NONE;
		if (st->last)
			((struct events_cell *)cell_at(&s->cells, st->last))->next = at;
		else
			st->events = at;
		st->last = at;
	}
	c = cell_at(&s->cells, st->last);
	c->event[(step - 1) % EVENTS_IN_CELL] = handle;
	st->step = (uint16_t)step;
}

/* What is to be remembered of the event. There is room for its cells. */
static void remember(struct machine_store *s, const struct machine *m, struct state_cell *st, uint32_t stage,
		     uint32_t step)
{
	struct capture_cell *c;
	cell at;

	if (!m->plan->stage[stage].captures)
		return;
	at = cells_take(&s->cells);
	c = cell_at(&s->cells, at);
	*c = (struct capture_cell) {
		.next = st->captures, .refs = 1, .slot = m->plan->slot_of_step[step], .len = (uint32_t)s->capture.len
	};
	c->bytes = chain_write(&s->cells, s->capture.data, s->capture.len);
	st->captures = at;
}

/* There is room for its cells. */
static cell copy_state(struct machine_store *s, cell from)
{
	cell at = cells_take(&s->cells);
	struct state_cell *st = STATE(s, at);

	*st = *STATE(s, from);
	st->events = st->last = CELL_NONE;
	st->next = CELL_NONE;
	for (uint32_t i = 0; i <= STATE(s, from)->step; i++) {
		uint64_t handle = *event_of(s, STATE(s, from), i);

		if (s->options.keeper.share)
			s->options.keeper.share(s->options.keeper.ctx, handle);
		if (i)
			append_event(s, st, i, handle);
		else
			st->step = 0;
	}
	st->step = STATE(s, from)->step;
	if (st->captures)
		((struct capture_cell *)cell_at(&s->cells, st->captures))->refs++;
	s->n_states++;
	return at;
}

/* ---- sequences that are complete ------------------------------------------------------------- */

/* When it is known that nothing that must be missing came too close; not_seen: now. */
static int64_t deadline_of(const struct machine_plan *p, const struct state_cell *st, int64_t end_ns)
{
	int64_t deadline;

	if (!p->has_trailing)
		return not_seen;
	if (p->has_leading && st->lead_ns == not_seen)
		return not_seen;
	deadline = add_span(p, p->has_leading ? st->lead_ns : st->start_ns);
	/* A trailing event comes after the end. */
	return deadline <= end_ns ? not_seen : deadline;
}

/* Behind all others, or, when they are told as they come, behind those that wait no longer. */
static void enqueue(struct machine_store *s, struct machine *m, cell at)
{
	struct state_cell *st = STATE(s, at);
	cell before = m->wait_last;

	while (s->options.as_they_come && before && STATE(s, before)->deadline_ns > st->deadline_ns)
		before = STATE(s, before)->earlier;
	st->earlier = before;
	st->later = before ? STATE(s, before)->later : m->wait_first;
	if (st->later)
		STATE(s, st->later)->earlier = at;
	else
		m->wait_last = at;
	if (before)
		STATE(s, before)->later = at;
	else
		m->wait_first = at;
}

static void wait_for_time(struct machine_store *s, struct machine *m, cell key, cell at, int64_t deadline_ns)
{
	struct state_cell *st = STATE(s, at);
	struct key_cell *k = KEY(s, key);
	cell *link = &k->waits;

	while (*link)
		link = &STATE(s, *link)->next;
	*link = at;
	st->next = CELL_NONE;
	st->key = key;
	st->deadline_ns = deadline_ns;
	if (deadline_ns == not_seen)
		st->flags |= STATE_DECIDED;
	enqueue(s, m, at);
	s->n_waits++;
	if (++k->n_waits > WAITING_MAX) {
		cell oldest = k->waits;

		k->waits = STATE(s, oldest)->next;
		k->n_waits--;
		unwait(s, m, oldest);
		free_state(s, oldest);
		s->options.stats->evicted_waiting++;
	}
}

/* A sequence, out of its key's list, that the event completes. */
static void complete(struct machine_store *s, struct machine *m, cell key, cell at, uint32_t stage)
{
	const struct machine_plan *p = m->plan;
	struct state_cell *st = STATE(s, at);
	int64_t now_ns = s->event->time_ns, deadline_ns;
	uint64_t handle;

	s->n_states--;
	if (st->flags & STATE_SPOILED)
		goto spoiled;
	if (p->has_leading && !p->has_trailing && st->lead_ns != not_seen && !is_too_late(p, st->lead_ns, now_ns))
		goto spoiled;
	if (p->n_steps > 1)
		remember(s, m, st, stage, p->n_steps - 1);
	deadline_ns = deadline_of(p, st, now_ns);
	if (deadline_ns == not_seen && (!m->wait_first || s->options.as_they_come)) {
		tell(s, m, KEY(s, key), st, p->n_steps > 1, now_ns);
		free_state(s, at);
		return;
	}
	if (p->n_steps > 1) {
		if (!hold_event(s, key, &handle)) {
			free_state(s, at);
			return;
		}
		append_event(s, st, p->n_steps - 1, handle);
	}
	st->last_ns = now_ns;
	wait_for_time(s, m, key, at, deadline_ns);
	return;
spoiled:
	s->options.stats->spoiled++;
	free_state(s, at);
}

static void tell_waiting(struct machine_store *s, struct machine *m, int64_t now_ns)
{
	while (m->wait_first) {
		cell at = m->wait_first, key;
		struct state_cell *st = STATE(s, at);
		struct key_cell *k;

		/* What happens at the deadline itself still counts. */
		if (!(st->flags & (STATE_DECIDED | STATE_SPOILED)) && now_ns <= st->deadline_ns && now_ns != never)
			return;
		key = st->key;
		k = KEY(s, key);
		unwait(s, m, at);
		for (cell *link = &k->waits; *link; link = &STATE(s, *link)->next)
			if (*link == at) {
				*link = st->next;
				break;
			}
		k->n_waits--;
		if (!(st->flags & STATE_SPOILED))
			tell(s, m, k, st, false, st->last_ns);
		free_state(s, at);
		let_go_if_empty(s, key);
	}
}

/* ---- hits ------------------------------------------------------------------------------------ */

static cell new_state(struct machine_store *s, uint64_t handle)
{
	cell at = cells_take(&s->cells);

	*STATE(s, at) = (struct state_cell) { .start_ns = s->event->time_ns,
					      .last_ns = s->event->time_ns,
					      .gap_ns = never,
					      .lead_ns = not_seen,
					      .first_event = handle };
	s->n_states++;
	s->options.stats->started++;
	return at;
}

/* The first step: `link` is the end of the list, `before` is what leads to the last in it. */
static void start(struct machine_store *s, struct machine *m, cell key, uint32_t stage, cell *link, cell *before)
{
	struct key_cell *k = KEY(s, key);
	struct state_cell *st;
	uint64_t handle;
	cell at;

	if (!hold_event(s, key, &handle))
		return;
	at = new_state(s, handle);
	st = STATE(s, at);
	if (k->lead) {
		const struct lead_cell *lead = cell_at(&s->cells, k->lead);

		st->lead_ns = lead->last_ns < st->start_ns ? lead->last_ns : lead->before_ns;
	}
	remember(s, m, st, stage, 0);
	if (m->plan->n_steps == 1) {
		complete(s, m, key, at, stage);
		return;
	}
	if (before && STATE(s, *before)->step == 0) {
		free_state(s, *before);
		s->n_states--;
		s->options.stats->replaced++;
		*before = at;
	} else {
		*link = at;
	}
}

/* Moves `at` on to `step`. False: there is no room for the event; it stays. */
static bool move(struct machine_store *s, struct machine *m, cell key, cell at, uint32_t stage, uint32_t step)
{
	struct state_cell *st = STATE(s, at);
	uint64_t handle;

	if (!hold_event(s, key, &handle))
		return false;
	append_event(s, st, step, handle);
	remember(s, m, st, stage, step);
	st->last_ns = s->event->time_ns;
	st->gap_ns = never;
	return true;
}

static void hit_steps(struct machine_store *s, struct machine *m, cell key, uint32_t stage)
{
	const struct machine_plan *p = m->plan;
	const struct machine_stage *stg = &p->stage[stage];
	uint32_t first = stg->first_step, end = first + stg->n_steps;
	int64_t now_ns = s->event->time_ns;
	struct key_cell *k = KEY(s, key);
	/* `link` leads to the one looked at, `before` to the one in front of it. */
	cell *link = &k->states, *before = NULL, at;

	while ((at = *link)) {
		struct state_cell *st = STATE(s, at);
		uint32_t step = (uint32_t)st->step + 1;

		if (step < first)
			return;
		if (step >= end || (stg->guarded && !s->options.allows(s->options.ctx, m, stage, s->captures,
								       read_captures(s, st->captures)))) {
			before = link;
			link = &st->next;
			continue;
		}
		if (is_too_late(p, st->start_ns, now_ns)) {
			*link = st->next;
			free_state(s, at);
			s->n_states--;
			s->options.stats->too_late++;
			continue;
		}
		if (stg->fork) {
			cell copy = copy_state(s, at);

			if (STATE(s, copy)->gap_ns < now_ns)
				STATE(s, copy)->flags |= STATE_SPOILED;
			if (step == p->n_steps - 1) {
				complete(s, m, key, copy, stage);
				before = link;
				link = &st->next;
				continue;
			}
			STATE(s, copy)->next = at;
			*link = copy;
			if (!move(s, m, key, copy, stage, step)) {
				*link = at;
				free_state(s, copy);
				s->n_states--;
				before = link;
				link = &st->next;
				continue;
			}
			if (before && STATE(s, *before)->step == step) {
				cell old = *before;

				*before = copy;
				free_state(s, old);
				s->n_states--;
				s->options.stats->replaced++;
			}
			before = &STATE(s, copy)->next;
			link = &st->next;
			continue;
		}
		if (st->gap_ns < now_ns)
			st->flags |= STATE_SPOILED;
		if (step == p->n_steps - 1) {
			*link = st->next;
			complete(s, m, key, at, stage);
			continue;
		}
		if (move(s, m, key, at, stage, step) && before && STATE(s, *before)->step == step) {
			cell old = *before;

			*before = at;
			free_state(s, old);
			s->n_states--;
			s->options.stats->replaced++;
			link = before;
		}
		before = link;
		link = &st->next;
	}
	if (!first)
		start(s, m, key, stage, link, before);
}

/* The event must be missing. */
static void hit_gap(struct machine_store *s, struct machine *m, cell key, uint32_t stage)
{
	const struct machine_stage *stg = &m->plan->stage[stage];
	int64_t now_ns = s->event->time_ns;
	struct key_cell *k = KEY(s, key);

	if (stg->gap == GAP_LEADING) {
		struct lead_cell *lead;

		if (!k->lead) {
			k->lead = cells_take(&s->cells);
			lead = cell_at(&s->cells, k->lead);
			*lead = (struct lead_cell) { now_ns, not_seen };
			return;
		}
		lead = cell_at(&s->cells, k->lead);
		if (lead->last_ns < now_ns) {
			lead->before_ns = lead->last_ns;
			lead->last_ns = now_ns;
		}
	} else if (stg->gap == GAP_MIDDLE) {
		for (cell at = k->states; at; at = STATE(s, at)->next) {
			struct state_cell *st = STATE(s, at);

			if ((uint32_t)st->step + 1 == stg->first_step && st->last_ns < now_ns && st->gap_ns == never)
				st->gap_ns = now_ns;
		}
	} else {
		for (cell at = k->waits; at; at = STATE(s, at)->next) {
			struct state_cell *st = STATE(s, at);

			if (st->flags || now_ns <= st->last_ns || now_ns > st->deadline_ns)
				continue;
			st->flags |= STATE_SPOILED;
			s->options.stats->spoiled++;
		}
	}
}

static void hit_until(struct machine_store *s, cell key)
{
	struct key_cell *k = KEY(s, key);
	cell next;

	for (cell at = k->states; at; at = next) {
		next = STATE(s, at)->next;
		free_state(s, at);
		s->n_states--;
		s->options.stats->ended++;
	}
	k->states = CELL_NONE;
}

/* A join is one state: which slots are filled stands in `filled`. */
static void hit_join(struct machine_store *s, struct machine *m, cell key, uint32_t stage)
{
	const struct machine_plan *p = m->plan;
	uint32_t step = p->stage[stage].first_step;
	struct key_cell *k = KEY(s, key);
	struct state_cell *st;
	uint64_t handle;

	if (k->states && STATE(s, k->states)->filled >> step & 1)
		return;
	if (!hold_event(s, key, &handle))
		return;
	if (!k->states) {
		k->states = new_state(s, 0);
		STATE(s, k->states)->filled = 0;
		for (uint32_t i = 1; i < p->n_steps; i++)
			append_event(s, STATE(s, k->states), i, 0);
	}
	st = STATE(s, k->states);
	*event_of(s, st, step) = handle;
	st->flags |= STATE_JOIN;
	if (!st->filled)
		st->start_ns = s->event->time_ns;
	st->filled |= 1ULL << step;
	remember(s, m, st, stage, step);
	if ((uint32_t)__builtin_popcountll(st->filled) < p->n_steps)
		return;
	tell(s, m, k, st, false, s->event->time_ns);
	free_state(s, k->states);
	s->n_states--;
	k->states = CELL_NONE;
}

/* The most cells that a hit takes. */
static uint32_t cells_of_hit(const struct machine_store *s, const struct machine *m, const struct machine_hit *hit)
{
	const struct machine_stage *stg = &m->plan->stage[hit->stage];
	uint32_t n = 8 + chain_cells(hit->key_len), a_step = 2;

	if (stg->captures)
		a_step += 1 + chain_cells(s->capture.len);
	if (stg->fork)
		a_step += 1 + m->plan->n_steps / EVENTS_IN_CELL;
	return n + stg->n_steps * a_step + (m->plan->join ? m->plan->n_steps : 0);
}

static bool makes_keys(const struct machine_plan *p, uint32_t stage)
{
	return p->join || p->stage[stage].gap == GAP_LEADING ||
	       (p->stage[stage].n_steps && !p->stage[stage].first_step);
}

static void hit_one(struct machine_store *s, struct machine *m, const struct machine_hit *hit)
{
	const struct machine_plan *p = m->plan;
	cell key = find_key(s, m, hit);
	struct key_cell *k;

	if (hit->stage == p->n_stages) {
		if (key) {
			hit_until(s, key);
			let_go_if_empty(s, key);
		}
		return;
	}
	if (!key && !makes_keys(p, hit->stage))
		return;
	if (p->stage[hit->stage].captures) {
		buf_clear(&s->capture);
		s->options.capture(s->options.ctx, m, hit->stage, &s->capture);
	}
	if (cells_room(&s->cells) < cells_of_hit(s, m, hit) || (!key && cell_table_is_full(&s->keys))) {
		if (!make_room(s, cells_of_hit(s, m, hit))) {
			s->options.stats->evicted_memory++;
			return;
		}
		/* It may have gone itself. */
		key = find_key(s, m, hit);
		if (!key && !makes_keys(p, hit->stage))
			return;
	}
	if (!key)
		key = new_key(s, m, hit);
	k = KEY(s, key);
	k->last_ns = s->event->time_ns;
	k->used = 1;
	if (p->join)
		hit_join(s, m, key, hit->stage);
	else if (p->stage[hit->stage].gap)
		hit_gap(s, m, key, hit->stage);
	else
		hit_steps(s, m, key, hit->stage);
	let_go_if_empty(s, key);
}

/* ---- time ------------------------------------------------------------------------------------ */

static void expire(struct machine_store *s, struct machine *m, int64_t now_ns, uint32_t most)
{
	if (!m->plan->has_span)
		return;
	for (; m->oldest && most; most--) {
		cell at = m->oldest;

		if (KEY(s, at)->waits || !is_too_late(m->plan, KEY(s, at)->last_ns, now_ns))
			return;
		let_go(s, at);
		s->options.stats->expired++;
	}
}

/* A key that was used stands between older ones: behind the newest again, it no longer hides what is too old. */
static void turn(struct machine_store *s, struct machine *m, uint32_t most)
{
	for (; m->oldest != m->newest && most; most--) {
		cell at = m->oldest;
		struct key_cell *k = KEY(s, at);

		if (!k->used && !k->waits)
			return;
		k->used = 0;
		leave_machine(s, m, k);
		join_machine(s, m, at);
	}
}

void machine_time(struct machine_store *s, struct machine *m, int64_t now_ns)
{
	tell_waiting(s, m, now_ns);
	expire(s, m, now_ns, EXPIRE_ON_TIME);
	turn(s, m, EXPIRE_ON_TIME);
}

int64_t machine_next_time(const struct machine_store *s, const struct machine *m)
{
	if (!m->wait_first)
		return never;
	if (STATE(s, m->wait_first)->flags && !s->options.as_they_come)
		return not_seen;
	return STATE(s, m->wait_first)->deadline_ns;
}

void machine_event(struct machine_store *s, struct machine *m, const struct machine_event *ev,
		   const struct machine_hit *hits, size_t n)
{
	const struct machine_plan *p = m->plan;

	s->event = ev;
	if (m->wait_first && !s->options.as_they_come)
		tell_waiting(s, m, ev->time_ns);
	expire(s, m, ev->time_ns, EXPIRE_AT_ONCE);
	if (p->until && p->until_first)
		for (size_t i = 0; i < n; i++)
			if (hits[i].stage == p->n_stages)
				hit_one(s, m, &hits[i]);
	for (size_t i = 0; i < n; i++) {
		/* A join is filled from its first slot on. */
		const struct machine_hit *hit = &hits[p->join ? n - 1 - i : i];

		if (hit->stage < p->n_stages)
			hit_one(s, m, hit);
	}
	if (p->until && !p->until_first)
		for (size_t i = 0; i < n; i++)
			if (hits[i].stage == p->n_stages)
				hit_one(s, m, &hits[i]);
	if (s->is_kept) {
		drop_event(s, s->kept);
		s->is_kept = false;
	}
	s->event = NULL;
}

/* ---- books ----------------------------------------------------------------------------------- */

void machine_store_gauges(const struct machine_store *s, struct runner_stats *stats)
{
	stats->keys = s->keys.n;
	stats->pending = s->n_states;
	stats->waiting = s->n_waits;
	stats->bytes = (uint64_t)s->cells.in_use * CELL_SIZE;
	stats->bytes_max = (uint64_t)s->cells.n * CELL_SIZE;
}

struct census {
	uint32_t cells;
	uint64_t keys, states, waits;
};

static void count_state(const struct machine_store *s, const struct state_cell *st, struct census *c)
{
	c->cells++;
	for (cell at = st->events; at; at = ((struct events_cell *)cell_at(&s->cells, at))->next)
		c->cells++;
	/* Shared ones are counted with the first that is met: only tests without forks look at cells. */
	for (cell at = st->captures; at;) {
		const struct capture_cell *cc = cell_at(&s->cells, at);

		c->cells += 1 + chain_cells(cc->len);
		at = cc->next;
	}
}

static bool count_key(const struct machine_store *s, const struct key_cell *k, struct census *c)
{
	uint32_t last = UINT32_MAX, waits = 0;

	c->keys++;
	c->cells += 1 + chain_cells(k->len) + (k->lead ? 1 : 0);
	for (cell at = k->states; at; at = STATE(s, at)->next) {
		if (STATE(s, at)->step >= last)
			return err_new(-EINVAL, "states out of order"), false;
		last = STATE(s, at)->step;
		c->states++;
		count_state(s, STATE(s, at), c);
	}
	for (cell at = k->waits; at; at = STATE(s, at)->next, waits++) {
		if (KEY(s, STATE(s, at)->key) != k)
			return err_new(-EINVAL, "a waiting sequence of another key"), false;
		c->waits++;
		count_state(s, STATE(s, at), c);
	}
	return waits == k->n_waits || (err_new(-EINVAL, "%u wait, %u are counted", waits, k->n_waits), false);
}

bool machine_store_is_sound(const struct machine_store *s)
{
	struct census c = { .cells = s->entities.n };

	for (uint32_t i = 0; i < s->n_machines; i++) {
		const struct machine *m = s->machine[i];
		uint32_t n = 0;

		for (cell at = m ? m->oldest : CELL_NONE; at; at = KEY(s, at)->m_newer, n++) {
			if (n > m->n_keys || KEY(s, at)->machine != i || !count_key(s, KEY(s, at), &c))
				return err_wrap(-EINVAL, "machine %u", i), false;
			if (at == m->newest && KEY(s, at)->m_newer)
				return err_new(-EINVAL, "machine %u: the list goes on", i), false;
		}
		if (m && n != m->n_keys)
			return err_new(-EINVAL, "machine %u: %u keys, %u are counted", i, n, m->n_keys), false;
	}
	if (c.keys != s->keys.n || c.states != s->n_states || c.waits != s->n_waits || c.cells != s->cells.in_use)
		return err_new(-EINVAL, "keys %llu/%u, states %llu/%llu, waits %llu/%llu, cells %u/%u",
			       (unsigned long long)c.keys, s->keys.n, (unsigned long long)c.states,
			       (unsigned long long)s->n_states, (unsigned long long)c.waits,
			       (unsigned long long)s->n_waits, c.cells, s->cells.in_use),
		       false;
	return true;
}
