/* SPDX-License-Identifier: Apache-2.0 */
#include "predicate/script.h"
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include "base/clock.h"
#include "base/err.h"
#include "predicate/runtime.h"

const struct script_limits script_limits_usual = {
	.instructions = 500000,
	.memory = 8 << 20,
	.time_ns = 3 * NS_PER_MS,
	.strikes = 10,
};

/* Written by the instance's thread alone, so that counting takes no locked instruction. */
struct books {
	_Atomic uint64_t runs, matches, too_long, too_much, failed, timed, timed_ns;
};

struct script_code {
	atomic_uint refs;
	const struct script_runtime *runtime;
	struct script_limits limits;
	struct host_code *host;
	void *code;
	char *name;
	_Atomic uint32_t strikes;
	atomic_bool is_disabled;

	pthread_mutex_t lock; /* of what follows */
	struct script *first; /* instances */
	struct books ended;   /* those that are no more */
	char reason[SCRIPT_ERROR_MAX];
};

struct script {
	struct script_code *code;
	void *instance;
	struct books books;
	uint32_t until_timed;
	const char *error;
	struct script *next, **here;
};

static void add(_Atomic uint64_t *n, uint64_t more)
{
	atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + more, memory_order_relaxed);
}

static uint64_t get(const _Atomic uint64_t *n)
{
	return atomic_load_explicit(n, memory_order_relaxed);
}

/* ---- code --------------------------------------------------------------------------------------------------- */

int script_diag(struct diag *reterr_diag, const char *name, unsigned line, const char *fmt, ...)
{
	va_list ap;

	*reterr_diag = (struct diag) { .line = line, .column = line ? 1 : 0 };
	va_start(ap, fmt);
	(void)vsnprintf(reterr_diag->message, sizeof(reterr_diag->message), fmt, ap);
	va_end(ap);
	if (line)
		return err_new(-EINVAL, "%s:%u: %s", name, line, reterr_diag->message);
	return err_new(-EINVAL, "%s: %s", name, reterr_diag->message);
}

static int runtime_of(enum script_kind kind, const struct script_runtime **ret_runtime)
{
	static const char *const names[] = { [SCRIPT_LUA] = "Lua", [SCRIPT_WASM] = "Wasm" };

	for (size_t i = 0; script_runtime_table[i]; i++)
		if (script_runtime_table[i]->kind == kind) {
			*ret_runtime = script_runtime_table[i];
			return 0;
		}
	return err_new(-ENOTSUP, "this program was built without scripts in %s", names[kind]);
}

static struct script_limits limits_of(const struct script_options *options)
{
	struct script_limits l = script_limits_usual;

	if (!options || !options->limits)
		return l;
	l.instructions = options->limits->instructions ?: l.instructions;
	l.memory = options->limits->memory ?: l.memory;
	l.time_ns = options->limits->time_ns ?: l.time_ns;
	l.strikes = options->limits->strikes ?: l.strikes;
	return l;
}

int script_compile(enum script_kind kind, const char *name, const void *text, size_t n,
		   const struct script_options *options, struct diag *reterr_diag, struct script_code **ret_code)
{
	AUTO(script_code) code = calloc(1, sizeof(*code));
	struct script_source source = { .text = text, .n = n };
	int r;

	*reterr_diag = (struct diag) { 0 };
	if (!code)
		return err_new(-ENOMEM, "no memory for the script %s", name);
	atomic_init(&code->refs, 1);
	(void)pthread_mutex_init(&code->lock, NULL);
	code->limits = limits_of(options);
	code->name = strndup(name, SCRIPT_NAME_MAX);
	if (!code->name)
		return err_new(-ENOMEM, "no memory for the script %s", name);
	if (n > SCRIPT_TEXT_MAX)
		return script_diag(reterr_diag, name, 0, "a script of %zu bytes; at most %d", n, SCRIPT_TEXT_MAX);
	r = runtime_of(kind, &code->runtime);
	if (r < 0)
		return err_wrap(r, "script %s", name);
	r = host_code_new(options ? options->lists : NULL, options ? options->n_lists : 0, &code->host);
	if (r < 0)
		return r;
	source.name = code->name;
	source.limits = &code->limits;
	source.host = code->host;
	r = code->runtime->compile(&source, reterr_diag, &code->code);
	if (r < 0)
		return r;
	host_code_seal(code->host);
	*ret_code = take(code);
	return 0;
}

struct script_code *script_code_ref(struct script_code *code)
{
	atomic_fetch_add_explicit(&code->refs, 1, memory_order_relaxed);
	return code;
}

void script_code_free(struct script_code *code)
{
	if (!code || atomic_fetch_sub_explicit(&code->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (code->runtime)
		code->runtime->code_free(code->code);
	host_code_free(code->host);
	(void)pthread_mutex_destroy(&code->lock);
	free(code->name);
	free(code);
}

size_t script_size(const struct script_code *code)
{
	return sizeof(*code) + host_code_size(code->host) + code->runtime->size(code->code);
}

/* ---- instances ----------------------------------------------------------------------------------------------- */

int script_open(struct script_code *code, struct script **ret_script)
{
	struct script *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_new(-ENOMEM, "no memory for the script %s", code->name);
	r = code->runtime->open(code->code, &s->instance);
	if (r < 0) {
		free(s);
		return err_wrap(r, "script %s", code->name);
	}
	s->code = script_code_ref(code);
	s->error = "";
	(void)pthread_mutex_lock(&code->lock);
	s->next = code->first;
	s->here = &code->first;
	if (s->next)
		s->next->here = &s->next;
	code->first = s;
	(void)pthread_mutex_unlock(&code->lock);
	*ret_script = s;
	return 0;
}

static void add_books(struct books *to, const struct books *from)
{
	add(&to->runs, get(&from->runs));
	add(&to->matches, get(&from->matches));
	add(&to->too_long, get(&from->too_long));
	add(&to->too_much, get(&from->too_much));
	add(&to->failed, get(&from->failed));
	add(&to->timed, get(&from->timed));
	add(&to->timed_ns, get(&from->timed_ns));
}

void script_free(struct script *s)
{
	struct script_code *code;

	if (!s)
		return;
	code = s->code;
	(void)pthread_mutex_lock(&code->lock);
	*s->here = s->next;
	if (s->next)
		s->next->here = s->here;
	add_books(&code->ended, &s->books);
	(void)pthread_mutex_unlock(&code->lock);
	code->runtime->close(s->instance);
	free(s);
	script_code_free(code);
}

/* One strike; the last one disables the script, once. */
static void strike(struct script *s, enum script_verdict verdict)
{
	struct script_code *code = s->code;

	add(verdict == SCRIPT_TOO_LONG   ? &s->books.too_long
	    : verdict == SCRIPT_TOO_MUCH ? &s->books.too_much
					 : &s->books.failed,
	    1);
	if (atomic_fetch_add_explicit(&code->strikes, 1, memory_order_relaxed) + 1 != code->limits.strikes)
		return;
	(void)pthread_mutex_lock(&code->lock);
	(void)snprintf(code->reason, sizeof(code->reason), "%s", s->error);
	(void)pthread_mutex_unlock(&code->lock);
	atomic_store_explicit(&code->is_disabled, true, memory_order_release);
}

static enum script_verdict run_timed(struct script *s, const struct event *ev)
{
	uint64_t began = clock_mono_ns();
	enum script_verdict verdict = s->code->runtime->run(s->instance, ev, &s->error);

	s->until_timed = SCRIPT_TIMED;
	add(&s->books.timed, 1);
	add(&s->books.timed_ns, clock_mono_ns() - began);
	return verdict;
}

enum script_verdict script_run(struct script *s, const struct event *ev)
{
	struct script_code *code = s->code;
	enum script_verdict verdict;

	if (atomic_load_explicit(&code->is_disabled, memory_order_relaxed))
		return SCRIPT_DISABLED;
	/* The first is not timed: it is where things are cold. */
	if (s->until_timed == 1)
		verdict = run_timed(s, ev);
	else
		verdict = code->runtime->run(s->instance, ev, &s->error);
	s->until_timed = s->until_timed ? s->until_timed - 1 : SCRIPT_TIMED;
	add(&s->books.runs, 1);
	if (verdict == SCRIPT_YES)
		add(&s->books.matches, 1);
	else if (verdict != SCRIPT_NO)
		strike(s, verdict);
	return verdict;
}

const char *script_error(const struct script *s)
{
	return s->error;
}

/* ---- books ---------------------------------------------------------------------------------------------------- */

void script_stats(struct script_code *code, struct script_stats *ret_stats)
{
	struct books sum = { 0 };

	(void)pthread_mutex_lock(&code->lock);
	add_books(&sum, &code->ended);
	for (const struct script *s = code->first; s; s = s->next)
		add_books(&sum, &s->books);
	(void)pthread_mutex_unlock(&code->lock);
	*ret_stats = (struct script_stats) {
		.runs = get(&sum.runs),
		.matches = get(&sum.matches),
		.too_long = get(&sum.too_long),
		.too_much = get(&sum.too_much),
		.failed = get(&sum.failed),
		.ns = get(&sum.timed) ? (uint64_t)((double)get(&sum.timed_ns) / (double)get(&sum.timed) *
						   (double)get(&sum.runs))
				      : 0,
		.disabled = atomic_load_explicit(&code->is_disabled, memory_order_acquire),
	};
}

void script_reason(struct script_code *code, char *to, size_t size)
{
	(void)pthread_mutex_lock(&code->lock);
	(void)snprintf(to, size, "%s", code->reason);
	(void)pthread_mutex_unlock(&code->lock);
}
