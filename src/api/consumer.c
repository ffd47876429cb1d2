/* SPDX-License-Identifier: Apache-2.0 */
#include "api/consumer.h"
#include <fnmatch.h>
#include <string.h>
#include "base/clock.h"

const char *const role_names[] = { "none", "viewer", "operator", "admin", NULL };

bool role_parse(const char *name, enum role *ret_role)
{
	for (unsigned i = ROLE_VIEWER; role_names[i]; i++)
		if (!strcmp(name, role_names[i])) {
			*ret_role = (enum role)i;
			return true;
		}
	return false;
}

bool types_copy(const struct option_list *from, struct option_list *to)
{
	to->items = from->n ? calloc(from->n, sizeof(*to->items)) : NULL;
	for (to->n = 0; to->items && to->n < from->n; to->n++) {
		to->items[to->n] = strdup(from->items[to->n]);
		if (!to->items[to->n])
			break;
	}
	return to->n == from->n;
}

void types_clear(struct option_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct option_list) { 0 };
}

struct consumer *consumer_ref(const struct consumer *c)
{
	struct consumer *held = (struct consumer *)(uintptr_t)c; /* the count is the only thing that changes */

	(void)atomic_fetch_add_explicit(&held->refs, 1, memory_order_relaxed);
	return held;
}

void consumer_free(struct consumer *c)
{
	if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
		return;
	types_clear(&c->allow);
	types_clear(&c->deny);
	free(c);
}

static bool is_listed(const struct option_list *list, const char *kind)
{
	for (size_t i = 0; i < list->n; i++)
		if (!fnmatch(list->items[i], kind, 0))
			return true;
	return false;
}

bool consumer_may_read(const struct consumer *c, const char *kind)
{
	return !is_listed(&c->deny, kind) && (!c->allow.n || is_listed(&c->allow, kind));
}

bool consumer_stream_begin(const struct consumer *c)
{
	uint32_t n = atomic_load_explicit(&c->usage->streams, memory_order_relaxed);

	do {
		if (c->streams_max && n >= c->streams_max)
			return false;
	} while (!atomic_compare_exchange_weak(&c->usage->streams, &n, n + 1));
	return true;
}

void consumer_stream_end(const struct consumer *c)
{
	(void)atomic_fetch_sub(&c->usage->streams, 1);
}

uint64_t bucket_take(_Atomic uint64_t *at_ns, uint64_t per_s, uint64_t n, uint64_t now_ns)
{
	uint64_t full_ns = now_ns > NS_PER_S ? now_ns - NS_PER_S : 0, old = atomic_load(at_ns), from, granted;

	if (!per_s)
		return n;
	do {
		/* What has not been used for a second is gone: never more than a second's worth at once. */
		from = old > full_ns ? old : full_ns;
		granted = from >= now_ns ? 0 : (uint64_t)((__uint128_t)(now_ns - from) * per_s / NS_PER_S);
		granted = granted < n ? granted : n;
		if (!granted)
			return 0;
	} while (!atomic_compare_exchange_weak(
		at_ns, &old, from + (uint64_t)(((__uint128_t)granted * NS_PER_S + per_s - 1) / per_s)));
	return granted;
}

uint64_t consumer_grant(const struct consumer *c, uint64_t n, uint64_t now_ns)
{
	return bucket_take(&c->usage->event_bucket, c->events_per_s, n, now_ns);
}

void consumer_count(const struct consumer *c, uint64_t records, uint64_t lost)
{
	(void)atomic_fetch_add_explicit(&c->usage->records, records, memory_order_relaxed);
	(void)atomic_fetch_add_explicit(&c->usage->lost, lost, memory_order_relaxed);
}
