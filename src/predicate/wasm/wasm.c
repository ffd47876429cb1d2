/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wasm - scripts that were compiled to Wasm: the runtime behind predicate/runtime.h.
 *
 * A module exports a function `match` that takes nothing and gives an i32: anything but 0 is yes. Where it exports a
 * function `load`, that is called once after it was made: there it names its fields and patterns. A start function runs
 * before. It imports functions of Host API v1 and nothing else; texts go through its memory, exported as `memory`.
 *
 * Fuel stops what runs too many instructions. What the host does for a module is stopped by the bytes that it looks at,
 * and all of it by time: a thread counts it, which compiled code and every call of the host look at. A run that is
 * older than half its time must have spent the other half on the processor, so that one whose thread had to wait is not
 * blamed for it.
 *
 * A module in which no run can leave anything behind (predicate/wasm/scan.h) keeps its instance; what the host wrote
 * into its memory, and the pointer of its stack, are put back after the run. Others get a new instance for every
 * event, out of a pool.
 *
 * Everything here works with signals off and bounds that are checked by instructions.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include "base/err.h"
#include "predicate/runtime.h"
#include "predicate/wasm/scan.h"
#include "predicate/wasm/wasmtime.h"

enum {
	TICK_NS = 2000000,        /* waking up costs: 12 us each time on a virtual machine */
	TICKS_IDLE = 1000,        /* without a run, before nobody counts any more: longer than the longest run */
	TIME_MAX_MS = 1000,       /* of a run, whatever its limits say */
	INSTANCES_MAX = 1024,     /* of all scripts on all threads */
	MEMORY_MAX = 8 << 20,     /* bytes of one instance, whatever its limits say */
	STACK_MAX = 1 << 18,      /* of the caller's stack, for one run */
	WORK_PER_INSTRUCTION = 8, /* bytes that the host looks at for a module */
	WRITTEN_MAX = 8,          /* places in memory that the host wrote in one run, before they are taken together */
	BLOCK = 4096,
};

/* ---- the machine: what all modules share -------------------------------------------------------------------- */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	const struct wt *wt;
	struct wt_engine *engine;
	struct wt_linker *linker;
	atomic_bool wanted;     /* somebody ran since the clock last looked */
	_Atomic uint64_t ticks; /* the epochs of the engine */
} machine = { .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER };

static void *count_ticks(void *unused)
{
	unsigned idle = 0;

	(void)unused;
	for (;;) {
		(void)nanosleep(&(struct timespec) { .tv_nsec = TICK_NS }, NULL);
		atomic_fetch_add_explicit(&machine.ticks, 1, memory_order_relaxed);
		machine.wt->wasmtime_engine_increment_epoch(machine.engine);
		if (++idle < TICKS_IDLE)
			continue;
		idle = 0;
		if (atomic_exchange(&machine.wanted, false))
			continue;
		(void)pthread_mutex_lock(&machine.lock);
		while (!atomic_load(&machine.wanted))
			(void)pthread_cond_wait(&machine.wake, &machine.lock);
		(void)pthread_mutex_unlock(&machine.lock);
	}
	return NULL;
}

static inline void want_ticks(void)
{
	if (atomic_load_explicit(&machine.wanted, memory_order_relaxed))
		return;
	(void)pthread_mutex_lock(&machine.lock);
	atomic_store(&machine.wanted, true);
	(void)pthread_cond_signal(&machine.wake);
	(void)pthread_mutex_unlock(&machine.lock);
}

static int start_clock(void)
{
	pthread_t thread;
	sigset_t all, before;
	int r;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&thread, NULL, count_ticks, NULL);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r != 0)
		return err_sys(r, "start the clock of Wasm");
	(void)pthread_setname_np(thread, "wasm-clock");
	(void)pthread_detach(thread);
	return 0;
}

/* ---- code and instances ------------------------------------------------------------------------------------- */

struct code {
	const struct wt *wt;
	const char *name;
	const struct script_limits *limits;
	struct host_code *host;
	struct wasm_shape shape;
	struct wt_module *module;
	struct wt_pre *pre;
	struct wt_store_limits store_limits;
	uint64_t half_ticks, half_ns; /* of the time of a run */
	unsigned char *memory;        /* as `load` left it; NULL: there is none, or instances do not stay */
	size_t memory_n;
	size_t size;
};

struct instance {
	struct code *code;
	struct wt_store *store; /* NULL: must be made before the next run */
	struct wt_context *context;
	struct wt_func match;
	bool has_memory, fixed;
	struct wt_global global; /* where one is set by runs: as `load` left it */
	struct wt_val global_value;
	struct wt_memory memory;
	unsigned char *base; /* where it is, while it cannot grow */
	size_t base_n;
	struct {
		uint32_t at, n;
	} written[WRITTEN_MAX];
	unsigned n_written;
	/* Of this run: */
	uint64_t start_tick, cpu_ns; /* cpu_ns: of the thread, when half of its time had gone by; 0: not yet */
	bool too_long, refused;
	struct host host;
	char error[SCRIPT_ERROR_MAX];
};

/* Whose code is running on this thread: imports are told nothing that would say so faster. */
static _Thread_local struct instance *running;

static uint64_t thread_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Is its time over? *ret_more: ticks until it is worth asking again. */
static bool is_late(struct instance *s, uint64_t *ret_more)
{
	const struct code *c = s->code;
	uint64_t age = atomic_load_explicit(&machine.ticks, memory_order_relaxed) - s->start_tick;

	if (age < c->half_ticks) {
		*ret_more = c->half_ticks - age;
		return false;
	}
	*ret_more = 1;
	if (s->cpu_ns == 0) {
		s->cpu_ns = thread_ns();
		return false;
	}
	/* Ticks come a little early or late: rather this one than a whole one more. */
	s->too_long = thread_ns() - s->cpu_ns + TICK_NS / 2 >= c->half_ns;
	return s->too_long;
}

static struct wt_error *on_epoch(struct wt_context *context, void *ctx, uint64_t *ret_more, uint8_t *ret_kind)
{
	struct instance *s = ctx;

	(void)context;
	*ret_kind = WT_EPOCH_CONTINUE;
	return is_late(s, ret_more) ? s->code->wt->wasmtime_error_new("its time is over") : NULL;
}

/* ---- calls of the host ---------------------------------------------------------------------------------------- */

static bool is_handle(enum host_type t)
{
	return t >= HOST_FIELD;
}

/* How a function looks from inside of a module. */
static void signature(const struct host_function *f, char ret_params[WT_PARAMS_MAX + 1], char ret_result[2])
{
	size_t n = 0;

	for (size_t i = 0; i < HOST_ARGS_MAX && f->arg[i].type != HOST_NONE; i++) {
		ret_params[n++] = f->arg[i].type == HOST_INT ? 'l' : f->arg[i].type == HOST_FLOAT ? 'd' : 'i';
		if (f->arg[i].type == HOST_TEXT)
			ret_params[n++] = 'i';
	}
	if (f->result == HOST_TEXT) {
		ret_params[n++] = 'i';
		ret_params[n++] = 'i';
	}
	ret_result[0] = f->result == HOST_INT ? 'l' : f->result == HOST_FLOAT ? 'd' : 'i';
	if (f->may_be_absent && (f->result == HOST_INT || f->result == HOST_FLOAT))
		ret_params[n++] = ret_result[0];
	ret_params[n] = 0;
	ret_result[f->result != HOST_NONE] = 0;
}
_Static_assert(2 * HOST_ARGS_MAX + 2 <= WT_PARAMS_MAX, "the most that a function of the host may take");

static bool memory_now(struct instance *s, struct wt_caller *caller, unsigned char **ret_base, size_t *ret_n)
{
	const struct wt *wt = s->code->wt;

	if (s->fixed) {
		*ret_base = s->base;
		*ret_n = s->base_n;
		return true;
	}
	if (!s->has_memory) { /* a start function runs before its instance is ours */
		struct wt_extern e;

		if (!wt->wasmtime_caller_export_get(caller, "memory", strlen("memory"), &e) ||
		    e.kind != WT_EXTERN_MEMORY)
			return false;
		s->memory = e.memory;
		s->has_memory = true;
	}
	*ret_base = wt->wasmtime_memory_data(s->context, &s->memory);
	*ret_n = wt->wasmtime_memory_data_size(s->context, &s->memory);
	return true;
}

/* A stretch of the module's memory, if it has one there. */
static unsigned char *stretch(struct instance *s, struct wt_caller *caller, uint32_t at, uint32_t n)
{
	unsigned char *base;
	size_t size;

	if (!memory_now(s, caller, &base, &size)) {
		(void)host_refuse(&s->host, "texts need a memory that is exported as \"memory\"");
		return NULL;
	}
	if ((uint64_t)at + n > size) {
		(void)host_refuse(&s->host, "a text of %u bytes at %u is outside of its memory of %zu", n, at, size);
		return NULL;
	}
	return base + at;
}

static void note_written(struct instance *s, uint32_t at, uint32_t n)
{
	if (n == 0)
		return;
	for (unsigned i = 0; i < s->n_written; i++)
		if (s->written[i].at == at) {
			if (s->written[i].n < n)
				s->written[i].n = n;
			return;
		}
	if (s->n_written == WRITTEN_MAX) {
		uint32_t from = at, to = at + n;

		for (unsigned i = 0; i < WRITTEN_MAX; i++) {
			from = s->written[i].at < from ? s->written[i].at : from;
			to = s->written[i].at + s->written[i].n > to ? s->written[i].at + s->written[i].n : to;
		}
		s->n_written = 0;
		at = from;
		n = to - from;
	}
	s->written[s->n_written].at = at;
	s->written[s->n_written++].n = n;
}

static struct wt_trap *stop(struct instance *s)
{
	static const char message[] = "stopped by the host";

	return s->code->wt->wasmtime_trap_new(message, sizeof(message) - 1);
}

static struct wt_trap *refused(struct instance *s)
{
	s->refused = true;
	return stop(s);
}

static struct wt_trap *on_call(void *ctx, struct wt_caller *caller, union wt_value *v, size_t n_values)
{
	const struct host_function *f = ctx;
	struct instance *s = running;
	union host_value arg[HOST_ARGS_MAX], value;
	unsigned char *to = NULL;
	uint32_t room = 0;
	uint64_t more;
	size_t n = 0;

	(void)n_values;
	for (size_t i = 0; i < HOST_ARGS_MAX && f->arg[i].type != HOST_NONE; i++) {
		switch (f->arg[i].type) {
		case HOST_BOOL:
			arg[i].b = v[n++].i32 != 0;
			break;
		case HOST_INT:
			arg[i].i = v[n++].i64;
			break;
		case HOST_FLOAT:
			arg[i].f = v[n++].f64;
			break;
		case HOST_TEXT:
			arg[i].s.n = (uint32_t)v[n + 1].i32;
			arg[i].s.p = (const char *)stretch(s, caller, (uint32_t)v[n].i32, (uint32_t)v[n + 1].i32);
			if (!arg[i].s.p)
				return refused(s);
			n += 2;
			break;
		default:
			arg[i].handle = (uint32_t)v[n++].i32;
		}
	}
	if (f->result == HOST_TEXT) {
		room = (uint32_t)v[n + 1].i32;
		to = stretch(s, caller, (uint32_t)v[n].i32, room);
		if (!to)
			return refused(s);
	}

	switch (host_call(&s->host, f, arg, &value)) {
	case HOST_OK:
		switch (f->result) {
		case HOST_NONE:
			break;
		case HOST_BOOL:
			v[0].i32 = value.b;
			break;
		case HOST_INT:
			v[0].i64 = value.i;
			break;
		case HOST_FLOAT:
			v[0].f64 = value.f;
			break;
		case HOST_TEXT: {
			uint32_t written = value.s.n < room ? (uint32_t)value.s.n : room;

			if (written > 0) { /* it may be a part of what lies there */
				memmove(to, value.s.p, written);
				note_written(s, (uint32_t)v[n].i32, written);
			}
			v[0].i32 = (int32_t)value.s.n;
			break;
		}
		default:
			v[0].i32 = (int32_t)value.handle;
		}
		break;
	case HOST_ABSENT:
		if (f->result == HOST_INT || f->result == HOST_FLOAT)
			v[0] = v[n];
		else
			v[0].i32 = is_handle(f->result) ? 0 : -1;
		break;
	case HOST_REFUSED:
		return refused(s);
	}
	if (s->host.work > s->code->limits->instructions * WORK_PER_INSTRUCTION)
		s->too_long = true;
	return s->too_long || is_late(s, &more) ? stop(s) : NULL;
}

/* ---- the machine, made once ---------------------------------------------------------------------------------------
 */

static bool known(const char *name, size_t n)
{
	for (size_t i = 0; i < host_n_functions; i++)
		if (strlen(host_functions[i].name) == n && memcmp(host_functions[i].name, name, n) == 0)
			return true;
	return false;
}

/* Under the lock. */
static int machine_make(void)
{
	static const struct wt_engine_options options = { .fuel = true,
							  .epochs = true,
							  .instances = INSTANCES_MAX,
							  .memory_max = MEMORY_MAX,
							  .table_max = WASM_TABLE_MAX,
							  .stack_max = STACK_MAX };
	const struct wt *wt;
	struct wt_engine *engine = NULL;
	struct wt_linker *linker = NULL;
	int r;

	r = wt_load(&wt);
	if (r < 0)
		return r;
	r = wt_engine_new(wt, &options, &engine);
	if (r < 0)
		return r;
	linker = wt->wasmtime_linker_new(engine);
	for (size_t i = 0; i < host_n_functions && r == 0; i++) {
		char params[WT_PARAMS_MAX + 1], result[2];

		signature(&host_functions[i], params, result);
		r = wt_define(wt, linker, "shrike", host_functions[i].name, params, result, on_call,
			      (void *)(uintptr_t)&host_functions[i]);
	}
	if (r < 0)
		goto fail;
	machine.wt = wt;
	machine.engine = engine;
	r = start_clock();
	if (r < 0)
		goto fail;
	machine.linker = linker;
	return 0;
fail:
	if (linker)
		wt->wasmtime_linker_delete(linker);
	wt->wasm_engine_delete(engine);
	return r;
}

static int machine_get(void)
{
	int r = 0;

	(void)pthread_mutex_lock(&machine.lock);
	if (!machine.linker)
		r = machine_make();
	(void)pthread_mutex_unlock(&machine.lock);
	return r;
}

/* ---- instances ----------------------------------------------------------------------------------------------------
 */

static void unmake(struct instance *s)
{
	if (s->store)
		s->code->wt->wasmtime_store_delete(s->store);
	s->store = NULL;
	s->has_memory = s->fixed = false;
	s->n_written = 0;
}

static void begin(struct instance *s, const struct event *ev)
{
	struct wt_error *e;

	want_ticks();
	host_begin(&s->host, ev);
	s->start_tick = atomic_load_explicit(&machine.ticks, memory_order_relaxed);
	s->cpu_ns = 0;
	s->too_long = s->refused = false;
	running = s;
	e = s->code->wt->wasmtime_context_set_fuel(s->context, s->code->limits->instructions);
	if (e) /* only where an engine has no fuel */
		s->code->wt->wasmtime_error_delete(e);
}

static const struct {
	uint8_t code;
	enum script_verdict verdict;
	const char *text;
} traps[] = {
	{ 0, SCRIPT_TOO_MUCH, "its calls are nested too deep" },
	{ 1, SCRIPT_FAILED, "it went outside of its memory" },
	{ 3, SCRIPT_FAILED, "it went outside of its table" },
	{ 4, SCRIPT_FAILED, "it called an empty element of its table" },
	{ 5, SCRIPT_FAILED, "it called a function of another type" },
	{ 6, SCRIPT_FAILED, "a number was too large" },
	{ 7, SCRIPT_FAILED, "it divided by zero" },
	{ 8, SCRIPT_FAILED, "a number was no integer" },
	{ 9, SCRIPT_FAILED, "it came to where it said it never would (unreachable)" },
	{ 10, SCRIPT_TOO_LONG, "its time is over" },
	{ 11, SCRIPT_TOO_LONG, "it ran too many instructions" },
};

/* What was wrong, in s->error. Takes both. */
static enum script_verdict went_wrong(struct instance *s, struct wt_error *e, struct wt_trap *trap)
{
	const struct wt *wt = s->code->wt;
	enum script_verdict verdict = SCRIPT_FAILED;
	const char *text = NULL;
	uint8_t code;

	if (s->refused) {
		text = s->host.error;
	} else if (s->too_long) {
		verdict = SCRIPT_TOO_LONG;
		text = "its time is over";
	} else if (trap && wt->wasmtime_trap_code(trap, &code)) {
		for (size_t i = 0; i < countof(traps); i++)
			if (traps[i].code == code) {
				verdict = traps[i].verdict;
				text = traps[i].text;
			}
	}
	if (text) {
		(void)snprintf(s->error, sizeof(s->error), "%s", text);
		if (e)
			wt->wasmtime_error_delete(e);
		if (trap)
			wt->wasm_trap_delete(trap);
	} else {
		(void)wt_fail(wt, e, trap, "stopped");
		(void)snprintf(s->error, sizeof(s->error), "%s", err_trail());
	}
	return verdict;
}

/* Makes and loads one within the limits: SCRIPT_YES, or why not, in s->error. */
static enum script_verdict make(struct instance *s)
{
	struct code *c = s->code;
	const struct wt *wt = c->wt;
	enum script_verdict verdict = SCRIPT_YES;
	struct wt_instance instance;
	struct wt_extern load = { 0 };
	struct wt_trap *trap = NULL;
	struct wt_error *e;

	unmake(s);
	if (wt_store_new(wt, machine.engine, &c->store_limits, &s->store) < 0) {
		(void)snprintf(s->error, sizeof(s->error), "%s", err_trail());
		return SCRIPT_TOO_MUCH;
	}
	s->context = wt->wasmtime_store_context(s->store);
	wt->wasmtime_store_epoch_deadline_callback(s->store, on_epoch, s, NULL);
	wt->wasmtime_context_set_epoch_deadline(s->context, 1);
	begin(s, NULL);
	e = wt->wasmtime_instance_pre_instantiate(c->pre, s->context, &instance, &trap);
	if (!e && !trap && wt->wasmtime_instance_export_get(s->context, &instance, "load", strlen("load"), &load) &&
	    load.kind == WT_EXTERN_FUNC) {
		union wt_value none[1];

		if (!wt_func_is(wt, s->context, &load.func, "", "")) {
			(void)snprintf(s->error, sizeof(s->error), "\"load\" must take nothing and give nothing");
			verdict = SCRIPT_FAILED;
		} else {
			e = wt->wasmtime_func_call_unchecked(s->context, &load.func, none, 1, &trap);
		}
	}
	running = NULL;
	if (e || trap)
		verdict = went_wrong(s, e, trap);
	if (verdict == SCRIPT_YES && (wt_export_func(wt, s->context, &instance, "match", &s->match) < 0 ||
				      !wt_func_is(wt, s->context, &s->match, "", "i"))) {
		(void)snprintf(s->error, sizeof(s->error), "\"match\" must take nothing and give an i32");
		verdict = SCRIPT_FAILED;
	}
	if (verdict != SCRIPT_YES) {
		unmake(s);
		return verdict;
	}
	s->n_written = 0;
	s->has_memory = wt_export_memory(wt, s->context, &instance, "memory", &s->memory) == 0;
	/* What cannot be written by a run cannot grow in it. */
	s->fixed = s->has_memory && (!c->shape.leaves_traces || c->shape.pages_min == c->shape.pages_max);
	if (s->fixed) {
		s->base = wt->wasmtime_memory_data(s->context, &s->memory);
		s->base_n = wt->wasmtime_memory_data_size(s->context, &s->memory);
	}
	if (c->shape.sets_global && !c->shape.leaves_traces) {
		struct wt_extern kept = { 0 };

		if (!wt->wasmtime_instance_export_get(s->context, &instance, WASM_GLOBAL_NAME, strlen(WASM_GLOBAL_NAME),
						      &kept) ||
		    kept.kind != WT_EXTERN_GLOBAL) {
			(void)snprintf(s->error, sizeof(s->error), "its global cannot be put back");
			unmake(s);
			return SCRIPT_FAILED;
		}
		s->global = kept.global;
		wt->wasmtime_global_get(s->context, &s->global, &s->global_value);
	}
	if (c->memory && s->base_n != c->memory_n) { /* nothing that it can ask says how often it was loaded */
		(void)snprintf(s->error, sizeof(s->error), "it was loaded otherwise than at first");
		unmake(s);
		return SCRIPT_FAILED;
	}
	return SCRIPT_YES;
}

static void instance_close(void *instance)
{
	struct instance *s = instance;

	if (!s)
		return;
	unmake(s);
	free(s);
}

static int instance_new(struct code *c, struct instance **ret)
{
	struct instance *s = calloc(1, sizeof(*s));

	if (!s)
		return err_new(-ENOMEM, "no memory for an instance of %s", c->name);
	s->code = c;
	host_init(&s->host, c->host, c->name);
	*ret = s;
	return 0;
}

static int instance_open(void *code, void **ret_instance)
{
	struct instance *s;
	int r = instance_new(code, &s);

	if (r < 0)
		return r;
	/* Of those that do not stay, one is made when it is needed. */
	if (!s->code->shape.leaves_traces && make(s) != SCRIPT_YES) {
		r = err_new(-ENOMEM, "load %s again: %s", s->code->name, s->error);
		instance_close(s);
		return r;
	}
	*ret_instance = s;
	return 0;
}

static enum script_verdict instance_run(void *instance, const struct event *ev, const char **ret_error)
{
	struct instance *s = instance;
	const struct code *c = s->code;
	struct wt_trap *trap = NULL;
	union wt_value v[1] = { { .i64 = 0 } };
	enum script_verdict verdict;
	struct wt_error *e;

	if (!s->store) {
		verdict = make(s);
		if (verdict != SCRIPT_YES) {
			*ret_error = s->error;
			return verdict;
		}
	}
	begin(s, ev);
	e = c->wt->wasmtime_func_call_unchecked(s->context, &s->match, v, 1, &trap);
	running = NULL;
	if (e || trap) {
		verdict = went_wrong(s, e, trap);
		*ret_error = s->error;
	} else {
		verdict = v[0].i32 != 0 ? SCRIPT_YES : SCRIPT_NO;
	}
	if (c->shape.leaves_traces) {
		unmake(s);
		return verdict;
	}
	if (c->shape.sets_global) {
		e = c->wt->wasmtime_global_set(s->context, &s->global, &s->global_value);
		if (e) /* it has another type than what it gave us: it cannot */
			c->wt->wasmtime_error_delete(e);
	}
	for (unsigned i = 0; i < s->n_written; i++)
		memcpy(s->base + s->written[i].at, c->memory + s->written[i].at, s->written[i].n);
	s->n_written = 0;
	return verdict;
}

/* ---- compiling -----------------------------------------------------------------------------------------------------
 */

static void code_free(void *code)
{
	struct code *c = code;

	if (!c)
		return;
	if (c->pre)
		c->wt->wasmtime_instance_pre_delete(c->pre);
	if (c->module)
		c->wt->wasmtime_module_delete(c->module);
	if (c->memory)
		(void)munmap(c->memory, c->memory_n);
	free(c);
}

static size_t code_size(const void *code)
{
	return ((const struct code *)code)->size;
}

/* The library's messages about a text say where in it, and draw that place, which we do ourselves. */
static int fault(struct diag *reterr_diag, const char *name, const char *message)
{
	static const char drawing[] = ": --> <anon>:";
	const char *place = strstr(message, drawing);
	unsigned line = 0, column = 0;
	char said[DIAG_MESSAGE_MAX];
	int r;

	if (place)
		(void)sscanf(place + sizeof(drawing) - 1, "%u:%u", &line, &column);
	(void)snprintf(said, sizeof(said), "%.*s", place ? (int)(place - message) : (int)strlen(message), message);
	r = script_diag(reterr_diag, name, line, "%s", said);
	reterr_diag->column = column;
	return r;
}

/* Keeps memory as it is after loading, for putting it back. Most of it is zeros, which take no place. */
static int keep_memory(struct code *c, const struct instance *s)
{
	static const unsigned char zeros[BLOCK];

	if (!s->fixed || s->base_n == 0)
		return 0;
	c->memory = mmap(NULL, s->base_n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (c->memory == MAP_FAILED) {
		c->memory = NULL;
		return err_new(-ENOMEM, "no memory for %s", c->name);
	}
	c->memory_n = s->base_n;
	for (size_t at = 0; at < s->base_n; at += BLOCK)
		if (memcmp(s->base + at, zeros, BLOCK) != 0) {
			memcpy(c->memory + at, s->base + at, BLOCK);
			c->size += BLOCK;
		}
	return 0;
}

static int build(struct code *c, const struct script_source *source, struct diag *reterr_diag, const void *bytes,
		 size_t n)
{
	auto_buf struct buf more = { .max = 2 * WASM_MODULE_MAX };
	const struct wt *wt = c->wt;
	struct instance *s;
	struct wt_error *e;
	char why[WASM_WHY_MAX];
	int r;

	if (n > WASM_MODULE_MAX)
		return script_diag(reterr_diag, source->name, 0, "a module may have up to %d bytes", WASM_MODULE_MAX);
	if (!wasm_scan(bytes, n, known, &c->shape, why) && why[0])
		return script_diag(reterr_diag, source->name, 0, "%s", why);
	if (c->shape.pages_min > c->store_limits.memory / WASM_PAGE)
		return script_diag(reterr_diag, source->name, 0, "needs %llu bytes of memory, and may have %llu",
				   (unsigned long long)c->shape.pages_min * WASM_PAGE,
				   (unsigned long long)c->store_limits.memory);
	if (!c->shape.leaves_traces && c->shape.sets_global) {
		if (!wasm_with_global(bytes, n, &c->shape, &more))
			return err_new(-ENOMEM, "no memory for %s", source->name);
		bytes = more.data;
		n = more.len;
	}
	if (wt_module_new(wt, machine.engine, bytes, n, &c->module) < 0)
		return fault(reterr_diag, source->name, err_trail());
	if (!c->shape.has_match)
		return script_diag(reterr_diag, source->name, 0, "exports no function \"match\"");
	e = wt->wasmtime_linker_instantiate_pre(machine.linker, c->module, &c->pre);
	if (e) {
		(void)wt_fail(wt, e, NULL, "take its imports");
		return fault(reterr_diag, source->name, err_trail());
	}
	c->size += n;

	r = instance_new(c, &s);
	if (r < 0)
		return r;
	if (make(s) != SCRIPT_YES)
		r = script_diag(reterr_diag, source->name, 0, "while it was loaded: %s", s->error);
	else if (c->shape.sets_global && s->global_value.kind > WT_F64) /* a reference, which is not ours to keep */
		c->shape.leaves_traces = true;
	else if (!c->shape.leaves_traces)
		r = keep_memory(c, s);
	instance_close(s);
	return r;
}

static int compile(const struct script_source *source, struct diag *reterr_diag, void **ret_code)
{
	const struct script_limits *limits = source->limits;
	struct wt_bytes binary = { 0 };
	struct code *c;
	uint64_t time_ns;
	int r;

	r = machine_get();
	if (r < 0)
		return r;
	c = calloc(1, sizeof(*c));
	if (!c)
		return err_new(-ENOMEM, "no memory for %s", source->name);
	c->wt = machine.wt;
	c->name = source->name;
	c->limits = limits;
	c->host = source->host;
	c->size = sizeof(*c);
	c->store_limits.memory = limits->memory < MEMORY_MAX ? limits->memory : MEMORY_MAX;
	c->store_limits.elements = WASM_TABLE_MAX;
	time_ns = limits->time_ns < TIME_MAX_MS * 1000000ull ? limits->time_ns : TIME_MAX_MS * 1000000ull;
	c->half_ns = time_ns / 2;
	c->half_ticks = c->half_ns / TICK_NS > 0 ? c->half_ns / TICK_NS : 1;

	if (source->n >= 4 && memcmp(source->text, "\0asm", 4) == 0) {
		r = build(c, source, reterr_diag, source->text, source->n);
	} else if (source->n > WASM_MODULE_MAX) {
		r = script_diag(reterr_diag, source->name, 0, "a module may have up to %d bytes", WASM_MODULE_MAX);
	} else {
		struct wt_error *e = c->wt->wasmtime_wat2wasm(source->text, source->n, &binary);

		if (e) {
			(void)wt_fail(c->wt, e, NULL, "read its text");
			r = fault(reterr_diag, source->name, err_trail());
		} else {
			r = build(c, source, reterr_diag, binary.data, binary.size);
			c->wt->wasm_byte_vec_delete(&binary);
		}
	}
	if (r < 0) {
		code_free(c);
		return r;
	}
	*ret_code = c;
	return 0;
}

extern const struct script_runtime script_runtime_wasm;
const struct script_runtime script_runtime_wasm = {
	.name = "wasm",
	.kind = SCRIPT_WASM,
	.compile = compile,
	.code_free = code_free,
	.open = instance_open,
	.close = instance_close,
	.run = instance_run,
	.size = code_size,
};
