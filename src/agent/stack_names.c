/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/stack_names.h"
#include <pthread.h>
#include "base/err.h"
#include "bpf/symbols.h"

enum { NAMES_MAX = 64 << 10 };

static const char *const field_names[2] = { "process.thread.kernel_stack_symbols",
					    "process.thread.user_stack_symbols" };

struct stack_names {
	pthread_mutex_t lock;
	struct symbols *symbols; /* opened when the first stack comes: the kernel's table takes megabytes */
};

int stack_names_open(struct stack_names **ret_names)
{
	struct stack_names *names = calloc(1, sizeof(*names));

	if (!names)
		return err_new(-ENOMEM, "no memory for the names of stacks");
	(void)pthread_mutex_init(&names->lock, NULL);
	*ret_names = names;
	return 0;
}

void stack_names_free(struct stack_names *names)
{
	if (!names)
		return;
	symbols_free(names->symbols);
	(void)pthread_mutex_destroy(&names->lock);
	free(names);
}

void stack_view_init(struct stack_view *view)
{
	*view = (struct stack_view) { 0 };
	for (int i = 0; i < 2; i++)
		buf_init(&view->text[i], NAMES_MAX);
}

void stack_view_free(struct stack_view *view)
{
	for (int i = 0; i < 2; i++)
		buf_free(&view->text[i]);
}

static field_id id_of(int which)
{
	return field_intern(field_names[which], strlen(field_names[which]));
}

static struct value list_of(const struct stack_view *view, int which)
{
	return (struct value) { .type = VALUE_LIST, .list = { view->items[which], view->n[which] } };
}

static bool get(const void *subject, field_id id, struct value *ret_value)
{
	const struct stack_view *view = subject;

	for (int i = 0; i < 2; i++)
		if (view->n[i] && id == id_of(i)) {
			*ret_value = list_of(view, i);
			return true;
		}
	return view->inner.lens && view->inner.lens->get(view->inner.subject, id, ret_value);
}

/* Fields go out in the order of their ids: ours are put between those of the inner lens. */
struct merge {
	const struct stack_view *view;
	bool told[2];
	void (*fn)(void *ctx, field_id id, const struct value *v);
	void *ctx;
};

static void tell_ours(struct merge *m, field_id before)
{
	for (;;) {
		int next = -1;

		for (int i = 0; i < 2; i++)
			if (m->view->n[i] && !m->told[i] && id_of(i) < before && (next < 0 || id_of(i) < id_of(next)))
				next = i;
		if (next < 0)
			return;
		const struct value v = list_of(m->view, next);

		m->told[next] = true;
		m->fn(m->ctx, id_of(next), &v);
	}
}

static void tell_inner(void *ctx, field_id id, const struct value *v)
{
	struct merge *m = ctx;

	tell_ours(m, id);
	m->fn(m->ctx, id, v);
}

static void each(const void *subject, void (*fn)(void *ctx, field_id id, const struct value *v), void *ctx)
{
	const struct stack_view *view = subject;
	struct merge m = { .view = view, .fn = fn, .ctx = ctx };

	if (view->inner.lens)
		view->inner.lens->each(view->inner.subject, tell_inner, &m);
	tell_ours(&m, FIELD_MAX);
}

static const struct event_lens lens = { .get = get, .each = each };

/* Resolves one stack into the view. */
static void name_stack(struct symbols *symbols, const struct ev_head *rec, struct ev_str stack, int which,
		       struct stack_view *view)
{
	const struct symbols_owner owner = { .pid = rec->pid, .start_ns = rec->start_ns };
	struct str bytes = event_str(rec, stack);
	size_t n = bytes.n / sizeof(__u64);
	__u64 addrs[EV_STACK_MAX];
	const char *at;

	view->n[which] = 0;
	buf_clear(&view->text[which]);
	if (!bytes.p || !n)
		return;
	n = n > EV_STACK_MAX ? EV_STACK_MAX : n;
	memcpy(addrs, bytes.p, n * sizeof(addrs[0]));
	/* The innermost address of a user stack is where the program stood; all others are return addresses. */
	(void)symbols_resolve(symbols, which ? &owner : NULL, addrs, n, which == 1, &view->text[which]);
	if (view->text[which].failed)
		return;
	at = buf_text(&view->text[which]);
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(at);

		view->items[which][i] = (struct value) { .type = VALUE_STR, .s = { at, len } };
		at += len + 1;
	}
	view->n[which] = n;
}

struct event stack_names_of(struct stack_names *names, const struct event *ev, struct stack_view *view)
{
	struct event named = *ev;

	if (!ev->rec || (!ev->rec->kstack.off && !ev->rec->ustack.off))
		return named;
	(void)pthread_mutex_lock(&names->lock);
	if (names->symbols || symbols_open(&names->symbols) == 0) {
		name_stack(names->symbols, ev->rec, ev->rec->kstack, 0, view);
		name_stack(names->symbols, ev->rec, ev->rec->ustack, 1, view);
		view->inner = *ev;
		named.lens = &lens;
		named.subject = view;
	}
	(void)pthread_mutex_unlock(&names->lock);
	return named;
}
