/* SPDX-License-Identifier: Apache-2.0 */
#include "store/query.h"
#include <string.h>
#include <sys/utsname.h>
#include "base/clock.h"
#include "base/err.h"
#include "context/process.h"
#include "sensors/process/process.event.h"

/* ---- origins --------------------------------------------------------------------------------------- */

void store_origin_here(struct store_origin *o)
{
	auto_file FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
	struct utsname u;

	memset(o, 0, sizeof(*o));
	if (f)
		(void)!fread(o->boot_id, 1, sizeof(o->boot_id) - 1, f);
	(void)uname(&u);
	(void)snprintf(o->kernel, sizeof(o->kernel), "%s", u.release);
	(void)snprintf(o->host, sizeof(o->host), "%s", u.nodename);
	(void)snprintf(o->agent, sizeof(o->agent), "%s", SHRIKE_VERSION);
	o->wall_minus_boot_ns = clock_wall_minus_boot_ns();
}

/* ---- what all queries do ------------------------------------------------------------------------------ */

int query_init(struct store_query *q, const struct store_query_ops *ops, const struct store_query_spec *spec)
{
	const struct filter_spec *f = &spec->filter;
	int r;

	q->ops = ops;
	q->limit = spec->limit;
	q->left = spec->limit;
	q->from_ns = spec->from_ns ? spec->from_ns : INT64_MIN;
	q->to_ns = spec->to_ns ? spec->to_ns : INT64_MAX;
	if (q->from_ns > q->to_ns)
		return err_new(-EINVAL, "the time range ends before it begins");
	r = filter_compile(f, &q->filter);
	if (r < 0)
		return r;
	q->pid = f->descendants ? 0 : f->pid;
	if (f->comm && f->comm[0] && !strpbrk(f->comm, "*?[\\")) {
		q->has_comm = true;
		memcpy(q->comm, f->comm, strnlen(f->comm, sizeof(q->comm)));
	}
	q->with_known = spec->with_known;
	q->with_context = spec->with_context;
	q->needs_context = filter_needs_context(q->filter) || spec->with_context;
	return 0;
}

void query_close(struct store_query *q)
{
	filter_free(q->filter);
	context_free(q->context);
}

int query_begin(struct store_query *q, const struct store_origin *origin)
{
	struct context_options options = { .offline = true, .boot_id = q->origin.boot_id };
	bool same = q->context && !strcmp(q->origin.boot_id, origin->boot_id);
	int r;

	q->origin = *origin;
	if (!q->needs_context || same)
		return 0;
	context_free(take(q->context));
	r = option_defaults(context_option_rows, context_n_option_rows, &options.limits);
	if (r == 0)
		r = context_open(&options, &q->context);
	return r < 0 ? err_wrap(r, "open a context for a query") : 0;
}

void query_learn(struct store_query *q, const struct ev_head *rec)
{
	if (q->context)
		(void)context_apply(q->context, rec);
}

bool query_teaches(__u16 id)
{
	return EV_ID_SENSOR(id) == EV_PROCESS || EV_ID_SENSOR(id) == EV_CONTEXT;
}

bool query_wants_head(const struct store_query *q, const struct ev_head *rec)
{
	return query_wants_time(q, rec->time_ns) && filter_wants_kind(q->filter, rec->id) &&
	       (!q->pid || rec->pid == q->pid) && (!q->has_comm || !strncmp(rec->comm, q->comm, sizeof(q->comm)));
}

static bool is_descendant(const struct event *ev, __u32 pid)
{
	const struct context_view *view = ev->subject;

	return view && view->process && process_is_descendant(view->process, pid, 0);
}

bool query_test(struct store_query *q, const struct ev_head *rec, const struct event_kind *kind)
{
	q->stats.looked_at++;
	if (q->context) {
		(void)context_apply(q->context, rec);
		q->event = context_event(q->context, rec, kind, &q->view);
	} else {
		q->event = (struct event) { .rec = rec, .kind = kind };
	}
	return query_wants_time(q, rec->time_ns) && filter_match(q->filter, &q->event, is_descendant);
}

/* ---- the questions ---------------------------------------------------------------------------------------- */

int store_query_next(struct store_query *q, const struct ev_head **ret_rec)
{
	int r;

	if (q->limit && !q->left)
		return 0;
	q->lost = 0;
	q->is_known = false;
	r = q->ops->next(q, ret_rec);
	if (r > 0) {
		q->left--;
		q->stats.matched++;
	}
	return r;
}

const struct event *store_query_event(struct store_query *q)
{
	return &q->event;
}

const struct store_origin *store_query_origin(const struct store_query *q)
{
	return &q->origin;
}

bool store_query_is_known(const struct store_query *q)
{
	return q->is_known;
}

__u64 store_query_lost(const struct store_query *q)
{
	return q->lost;
}

void store_query_cursor(const struct store_query *q, char ret_cursor[STORE_CURSOR_MAX])
{
	q->ops->cursor(q, ret_cursor);
}

int store_query_count(struct store_query *q, __u64 *ret_count)
{
	const struct ev_head *rec;
	__u64 n = 0;
	int r;

	while ((r = store_query_next(q, &rec)) > 0)
		n++;
	if (r == 0)
		*ret_count = n;
	return r;
}

void store_query_stats(const struct store_query *q, struct store_query_stats *ret_stats)
{
	*ret_stats = q->stats;
}

void store_query_free(struct store_query *q)
{
	if (q)
		q->ops->free(q);
}
