/* SPDX-License-Identifier: Apache-2.0 */
/* gen_run - compiles what gen makes, and runs it: an instance for each scratch, which asks the program for fields and
 * leaves. */
#include "predicate/module.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "predicate/set.h"
#include "predicate/wasm/gen.h"
#include "predicate/wasm/wasmtime.h"

enum {
	FOLDED_MAX = 512, /* bytes of a text that is looked at for whether it is ASCII */
	ITEMS_MAX = 64,   /* of a list whose items are looked at */
	STACK_MAX = 1 << 18,
};
_Static_assert((int)MODULE_WHY_MAX == (int)PREDICATE_WHY_MAX, "why a module failed is told by its set");

static int no_memory(void)
{
	return err_new(-ENOMEM, "no memory for a module of conditions");
}

struct module {
	uint64_t serial; /* no other module has it, now or later */
	const struct program *p;
	const struct wt *wt;
	struct wt_module *code;
	uint8_t *folds;
	uint32_t leaves_at, list_at, true_at, truth_at;
	size_t memory, code_bytes;
	uint32_t n_used, n_inlined;
	_Atomic uint64_t failures;
	atomic_uint n_spoiled;
	atomic_bool is_disabled;
	pthread_mutex_t lock;
	char why[MODULE_WHY_MAX]; /* under the lock */
};

struct module_instance {
	uint64_t serial;
	const struct module *m; /* of the run that goes on */
	struct predicate_scratch *s;
	const struct wt *wt;
	struct wt_store *store;
	struct wt_context *context;
	struct wt_func run;
	uint8_t *base;
	uint32_t n_wraps;
};

static struct {
	pthread_mutex_t lock;
	const struct wt *wt;
	struct wt_engine *engine;
} machine = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* Under the lock. */
static int machine_make(void)
{
	/* Neither fuel nor epochs: see above. */
	static const struct wt_engine_options options = { .stack_max = STACK_MAX };
	struct wt_engine *engine = NULL;
	const struct wt *wt;
	int r = wt_load(&wt);

	if (r == 0)
		r = wt_engine_new(wt, &options, &engine);
	if (r < 0)
		return r;
	machine.wt = wt;
	machine.engine = engine;
	return 0;
}

static int machine_get(void)
{
	int r = 0;

	(void)pthread_mutex_lock(&machine.lock);
	if (!machine.engine)
		r = machine_make();
	(void)pthread_mutex_unlock(&machine.lock);
	return r;
}

void module_free(struct module *m)
{
	if (!m)
		return;
	if (m->code)
		m->wt->wasmtime_module_delete(m->code);
	(void)pthread_mutex_destroy(&m->lock);
	free(m->folds);
	free(m);
}

static int compile(struct module *m, struct gen *g, const struct vm_instr *code, const uint32_t *begins)
{
	int r = gen_module(g, code, begins);
	void *from, *to;

	if (r == 0)
		r = wt_module_new(m->wt, machine.engine, g->b->data, g->b->len, &m->code);
	if (r < 0)
		return r;
	m->leaves_at = g->leaves_at;
	m->list_at = g->list_at;
	m->true_at = g->true_at;
	m->truth_at = g->truth_at;
	m->memory = (size_t)g->pages * PAGE;
	m->wt->wasmtime_module_image_range(m->code, &from, &to);
	m->code_bytes = (size_t)((char *)to - (char *)from);
	for (uint32_t i = 0; i < m->p->n_leaves; i++) {
		m->n_used += g->answers[i] != 0;
		m->n_inlined += g->answers[i] == BY_MODULE;
	}
	return 0;
}

int module_new(const struct program *p, const struct vm_instr *code, const uint32_t *begins, struct module **ret_module)
{
	static _Atomic uint64_t serials;
	auto_buf struct buf b = { .max = MODULE_BINARY_MAX };
	auto_arena struct arena arena;
	struct gen g = { .p = p, .b = &b, .arena = &arena };
	auto_free uint32_t *own = NULL;
	struct module *m;
	int r;

	arena_init(&arena, VM_ARENA_MAX);
	r = machine_get();
	if (r < 0)
		return r;
	m = calloc(1, sizeof(*m));
	if (!m)
		return no_memory();
	(void)pthread_mutex_init(&m->lock, NULL);
	m->serial = atomic_fetch_add(&serials, 1) + 1;
	m->p = p;
	m->wt = machine.wt;
	m->folds = calloc(p->n_slots + 1, 1);
	own = calloc(p->n_entries + 1, sizeof(*own));
	g.folds = m->folds;
	if (!m->folds || !own) {
		r = no_memory();
	} else {
		for (uint32_t i = 0; i < p->n_entries; i++)
			own[i] = p->entries[i].code;
		r = compile(m, &g, begins ? code : p->code, begins ? begins : own);
	}
	if (r < 0) {
		module_free(m);
		return r;
	}
	*ret_module = m;
	return 0;
}

static void copy_text(struct guest_text *to, const char *p, size_t n)
{
	size_t tail = n < TAIL_MAX ? n : TAIL_MAX, head = n < HEAD_MAX ? n : HEAD_MAX;

	memset(to, 0, sizeof(*to));
	to->what = (uint64_t)n << 8 | GUEST_TEXT;
	if (!n)
		return;
	memcpy(to->head, p, head);
	memcpy((char *)&to->tail + TAIL_MAX - tail, p + n - tail, tail);
}

/* Words of ASCII in small letters. */
static uint64_t small_word(uint64_t w)
{
	/* Bit 7 of each byte: it is no less than A; it is more than Z. */
	uint64_t from = w + 0x3f3f3f3f3f3f3f3fULL, behind = w + 0x2525252525252525ULL;

	return w | ((from & ~behind & 0x8080808080808080ULL) >> 2);
}

static bool all_ascii(const char *p, size_t n)
{
	uint64_t any = 0, w;

	if (n > FOLDED_MAX)
		return false;
	for (; n >= 8; p += 8, n -= 8) {
		memcpy(&w, p, 8);
		any |= w;
	}
	for (; n; p++, n--)
		any |= (unsigned char)*p;
	return !(any & 0x8080808080808080ULL);
}

static void copy_folded(struct guest_text *to, const struct guest_text *from, const char *p, size_t n)
{
	memset(to, 0, sizeof(*to));
	if (!all_ascii(p, n)) {
		to->what = GUEST_OTHER;
		return;
	}
	to->what = from->what;
	for (size_t i = 0; i < HEAD_WORDS; i++)
		to->head[i] = small_word(from->head[i]);
	to->tail = small_word(from->tail);
}

static void list_add(struct guest_text *to, char first, char last, size_t n)
{
	to->head[LIST_WHOLE] |= list_ends(first, last, n);
	if (!n)
		return;
	to->head[LIST_BEGINS] |= bit_of(first);
	to->head[LIST_ENDS] |= bit_of(last);
}

static void copy_list(struct guest_slot *g, const struct value *v, bool folds)
{
	memset(&g->text, 0, sizeof(g->text));
	g->text.what = GUEST_OTHER;
	g->folded = g->text;
	if (!v->list.n || v->list.n > ITEMS_MAX)
		return;
	for (size_t i = 0; i < v->list.n; i++)
		if (v->list.items[i].type != VALUE_STR)
			return;
	g->text.what = g->folded.what = GUEST_LIST;
	for (size_t i = 0; i < v->list.n; i++) {
		struct str s = v->list.items[i].s;
		char first = s.n ? s.p[0] : 0, last = s.n ? s.p[s.n - 1] : 0;

		list_add(&g->text, first, last, s.n);
		if (!folds)
			continue;
		list_add(&g->folded, small(first), small(last), s.n);
		if (!all_ascii(s.p, s.n))
			g->folded.what = GUEST_OTHER;
	}
}

static void write_slot(struct module_instance *i, uint32_t slot)
{
	struct guest_slot *g = (struct guest_slot *)(i->base + SLOTS_AT) + slot;
	const struct value *v = vm_load(i->m->p, i->s, slot);

	g->epoch = i->s->epoch;
	if (v->type == VALUE_STR) {
		copy_text(&g->text, v->s.p, v->s.n);
		if (i->m->folds[slot])
			copy_folded(&g->folded, &g->text, v->s.p, v->s.n);
		return;
	}
	if (v->type == VALUE_LIST) {
		copy_list(g, v, i->m->folds[slot]);
		return;
	}
	memset(&g->text, 0, sizeof(g->text));
	if (v->type == VALUE_INT || (v->type == VALUE_UINT && v->u <= INT64_MAX)) {
		g->text.what = GUEST_INT;
		g->number = v->type == VALUE_INT ? v->i : (int64_t)v->u;
	} else if (v->type != VALUE_NULL) {
		g->text.what = GUEST_OTHER;
	}
	g->folded = g->text;
}

static struct wt_trap *refuse(const struct module_instance *i)
{
	static const char message[] = "it asked for what is not there";

	return i->wt->wasmtime_trap_new(message, sizeof(message) - 1);
}

static struct wt_trap *on_load(void *ctx, struct wt_caller *caller, union wt_value *v, size_t n)
{
	struct module_instance *i = ctx;

	(void)caller;
	(void)n;
	if ((uint32_t)v[0].i32 >= i->m->p->n_slots)
		return refuse(i);
	write_slot(i, (uint32_t)v[0].i32);
	return NULL;
}

static struct wt_trap *on_leaf(void *ctx, struct wt_caller *caller, union wt_value *v, size_t n)
{
	struct module_instance *i = ctx;

	(void)caller;
	(void)n;
	if ((uint32_t)v[0].i32 >= i->m->p->n_leaves)
		return refuse(i);
	v[0].i32 = (int32_t)vm_leaf_test(i->m->p, (uint32_t)v[0].i32, i->s);
	return NULL;
}

/*
 * Under the lock of the machine, as making one: its memory may be mapped where that of another thread's was, and a
 * sanitizer does not see that the library unmapped it before.
 */
void module_instance_free(struct module_instance *i)
{
	if (!i)
		return;
	(void)pthread_mutex_lock(&machine.lock);
	if (i->store)
		i->wt->wasmtime_store_delete(i->store);
	(void)pthread_mutex_unlock(&machine.lock);
	free(i);
}

static int open_instance(struct module *m, struct module_instance *i)
{
	const struct wt_store_limits limits = { .memory = m->memory, .elements = PREDICATE_PROGRAM_MAX };
	const struct wt *wt = m->wt;
	struct wt_linker *linker;
	struct wt_instance instance;
	struct wt_memory memory;
	struct wt_trap *trap = NULL;
	struct wt_error *e;
	int r = wt_store_new(wt, machine.engine, &limits, &i->store);

	if (r < 0)
		return r;
	i->context = wt->wasmtime_store_context(i->store);
	linker = wt->wasmtime_linker_new(machine.engine);
	r = wt_define(wt, linker, "shrike", "load", "i", "", on_load, i);
	if (r == 0)
		r = wt_define(wt, linker, "shrike", "leaf", "i", "i", on_leaf, i);
	if (r == 0) {
		e = wt->wasmtime_linker_instantiate(linker, i->context, m->code, &instance, &trap);
		if (e || trap)
			r = wt_fail(wt, e, trap, "make an instance of a module of conditions");
	}
	wt->wasmtime_linker_delete(linker);
	if (r == 0)
		r = wt_export_func(wt, i->context, &instance, "run", &i->run);
	if (r == 0)
		r = wt_export_memory(wt, i->context, &instance, "memory", &memory);
	if (r < 0)
		return r;
	i->base = wt->wasmtime_memory_data(i->context, &memory);
	return 0;
}

static void failed(struct module *m, const char *why)
{
	(void)pthread_mutex_lock(&m->lock);
	(void)snprintf(m->why, sizeof(m->why), "%s", why);
	(void)pthread_mutex_unlock(&m->lock);
	if (atomic_fetch_add(&m->failures, 1) + 1 >= MODULE_FAILURES_MAX)
		atomic_store(&m->is_disabled, true);
}

static bool make_instance(struct module *m, struct predicate_scratch *s)
{
	struct module_instance *i = calloc(1, sizeof(*i));
	int r;

	module_instance_free(s->module);
	s->module = NULL;
	if (!i) {
		failed(m, "no memory for an instance");
		return false;
	}
	*i = (struct module_instance) { .serial = m->serial, .wt = m->wt, .s = s, .n_wraps = s->n_wraps };
	(void)pthread_mutex_lock(&machine.lock);
	r = open_instance(m, i);
	(void)pthread_mutex_unlock(&machine.lock);
	if (r < 0) {
		failed(m, err_trail());
		module_instance_free(i);
		return false;
	}
	s->module = i;
	return true;
}

bool module_begin(struct module *m, struct predicate_scratch *s)
{
	struct module_instance *i = s->module;

	if (atomic_load_explicit(&m->is_disabled, memory_order_relaxed))
		return false;
	if (!i || i->serial != m->serial) {
		if (!make_instance(m, s))
			return false;
		i = s->module;
	}
	if (i->n_wraps != s->n_wraps) {
		memset(i->base, 0, m->list_at);
		i->n_wraps = s->n_wraps;
	}
	i->m = m;
	s->leaves = (uint32_t *)(i->base + m->leaves_at);
	return true;
}

/* Runs n conditions of the list that stands in its memory. */
static bool run(struct module *m, struct predicate_scratch *s, uint32_t n, uint32_t *ret_n)
{
	struct module_instance *i = s->module;
	union wt_value v[2] = { { .i64 = 0 }, { .i64 = 0 } };
	struct wt_trap *trap = NULL;
	struct wt_error *e;

	v[0].i32 = (int32_t)n;
	v[1].i32 = (int32_t)s->epoch;
	e = m->wt->wasmtime_func_call_unchecked(i->context, &i->run, v, countof(v), &trap);
	if (!e && !trap) {
		*ret_n = (uint32_t)v[0].i32;
		return true;
	}
	(void)wt_fail(m->wt, e, trap, "a module of conditions failed");
	failed(m, err_trail());
	/* What it has left behind in its memory is not looked at any more. */
	s->leaves = s->own_leaves;
	module_instance_free(i);
	s->module = NULL;
	return false;
}

static bool is_ready(const struct module *m, const struct predicate_scratch *s)
{
	return s->module && s->module->serial == m->serial && s->program == m->p;
}

bool module_run(struct module *m, struct predicate_scratch *s, const uint32_t *list, uint32_t n, uint32_t *ret_true,
		uint32_t *ret_n)
{
	static const uint32_t nobody = UINT32_MAX;
	uint32_t n_true;

	if (!is_ready(m, s) || n > m->p->n_entries)
		return false;
	*ret_n = 0;
	if (!n)
		return true;
	memcpy(s->module->base + m->list_at, list, n * sizeof(*list));
	if (atomic_load_explicit(&m->n_spoiled, memory_order_relaxed)) {
		atomic_fetch_sub(&m->n_spoiled, 1);
		memcpy(s->module->base + m->list_at, &nobody, sizeof(nobody));
	}
	if (!run(m, s, n, &n_true))
		return false;
	memcpy(ret_true, s->module->base + m->true_at, n_true * sizeof(*ret_true));
	*ret_n = n_true;
	return true;
}

bool module_test(struct module *m, struct predicate_scratch *s, uint32_t index, enum truth *ret_truth)
{
	uint32_t t;

	if (!is_ready(m, s) || index >= m->p->n_entries)
		return false;
	memcpy(s->module->base + m->list_at, &index, sizeof(index));
	if (!run(m, s, 1, &t))
		return false;
	memcpy(&t, s->module->base + m->truth_at, sizeof(t));
	*ret_truth = (enum truth)t;
	return true;
}

void module_spoil(struct module *m, unsigned n)
{
	atomic_store(&m->n_spoiled, n);
}

void module_stats(struct module *m, struct module_stats *ret_stats)
{
	*ret_stats = (struct module_stats) {
		.failures = m->failures,
		.code_bytes = m->code_bytes,
		.memory = m->memory,
		.leaves = m->n_used,
		.inlined = m->n_inlined,
		.is_disabled = m->is_disabled,
	};
	(void)pthread_mutex_lock(&m->lock);
	memcpy(ret_stats->why, m->why, sizeof(ret_stats->why));
	(void)pthread_mutex_unlock(&m->lock);
}
