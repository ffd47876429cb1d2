/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sandbox/observe.h"
#include <string.h>
#include "base/err.h"
#include "base/test.h"
#include "config/option.h"

static const struct core_options default_core = {
	.ring_bytes = { 4 << 20, 8 << 20, 1 << 20 },
};

bool observe_open(struct observer *ob, const struct sandbox *sb, const struct sensor *sensor, const void *options)
{
	return observe_open_with(ob, sb, sensor, options, &default_core);
}

static int open_all(struct observer *ob, const struct sandbox *sb, const struct core_options *core)
{
	int r = scope_parse(sb->scope, &ob->scope);

	if (r < 0)
		return r;
	r = bpf_core_open(core, &ob->scope, &ob->core);
	if (r < 0)
		return r;
	for (int i = 0; i < RING_COUNT; i++) {
		r = ring_open(ob->core->ring_fd[i], ob->core->ring_bytes[i], &ob->rings[i]);
		if (r < 0)
			return r;
	}
	return object_start(ob->core, &ob->spec, ob->states, &ob->object);
}

/* All but the loading: `ob` may then be told which variants not to try. */
static bool describe(struct observer *ob, const struct sensor *sensor, const void *options)
{
	*ob = (struct observer) { .sensor = sensor, .scope = SCOPE_NONE };
	if (!options) {
		options = ob->defaults = calloc(1, sensor->options_size + 1);
		if (!ob->defaults || option_defaults(sensor->options, sensor->n_options, ob->defaults) < 0) {
			test_fail(T_HERE, "%s", err_trail());
			return false;
		}
	}
	ob->spec = (struct object_spec) {
		.name = sensor->name,
		.image = sensor->image,
		.hooks = sensor->hooks,
		.n_hooks = sensor->n_hooks,
		.prepare = sensor->prepare,
		.fill = sensor->fill,
		.options = options,
	};
	return true;
}

bool observe_open_with(struct observer *ob, const struct sandbox *sb, const struct sensor *sensor, const void *options,
		       const struct core_options *core)
{
	if (!describe(ob, sensor, options))
		return false;
	if (open_all(ob, sb, core) < 0) {
		test_fail(T_HERE, "observe %s: %s", sensor->name, err_trail());
		return false;
	}
	for (size_t h = 0; h < sensor->n_hooks; h++)
		if (ob->states[h].status == HOOK_FAILED && !sensor->hooks[h].extra)
			test_fail(T_HERE, "hook %s: %s", sensor->hooks[h].name, ob->states[h].why);
	return true;
}

static bool open_variant(struct observer *ob, const struct sandbox *sb, const char *hook, unsigned variant)
{
	const struct sensor *sensor = ob->sensor;

	for (size_t h = 0; h < sensor->n_hooks; h++) {
		if (strcmp(sensor->hooks[h].name, hook) != 0)
			continue;
		ob->states[h].tried = ~(1U << variant);
		if (open_all(ob, sb, &default_core) < 0) {
			test_fail(T_HERE, "observe %s: %s", sensor->name, err_trail());
			return false;
		}
		return ob->states[h].status == HOOK_ATTACHED;
	}
	test_fail(T_HERE, "%s has no hook %s", sensor->name, hook);
	return false;
}

bool observe_open_variant(struct observer *ob, const struct sandbox *sb, const struct sensor *sensor,
			  const void *options, const char *hook, unsigned variant)
{
	return describe(ob, sensor, options) && open_variant(ob, sb, hook, variant);
}

bool observe_open_stacks(struct observer *ob, const struct sandbox *sb, const struct sensor *sensor, const char *hook,
			 unsigned variant, __u8 stacks)
{
	if (!describe(ob, sensor, NULL))
		return false;
	memset(ob->spec.stacks, stacks, sizeof(ob->spec.stacks));
	return open_variant(ob, sb, hook, variant);
}

void observe_close(struct observer *ob)
{
	object_free(ob->object);
	for (int i = 0; i < RING_COUNT; i++)
		ring_close(&ob->rings[i]);
	bpf_core_free(ob->core);
	scope_close(&ob->scope);
	for (size_t i = 0; i < ob->n; i++)
		free(ob->records[i]);
	free(ob->records);
	if (ob->defaults)
		options_clear(ob->sensor->options, ob->sensor->n_options, ob->defaults);
	free(ob->defaults);
	*ob = (struct observer) { .scope = SCOPE_NONE };
}

static int by_time(const void *a, const void *b)
{
	const struct ev_head *x = *(struct ev_head *const *)a, *y = *(struct ev_head *const *)b;

	return x->time_ns < y->time_ns ? -1 : x->time_ns > y->time_ns;
}

void observe_drain(struct observer *ob)
{
	if (!ob->records)
		ob->records = calloc(OBSERVED_MAX, sizeof(*ob->records));
	for (int i = 0; i < RING_COUNT; i++) {
		const void *rec;
		size_t len;

		while ((rec = ring_peek(&ob->rings[i], &len))) {
			const struct ev_head *h = rec;

			check_int(h->len, len);
			check_int(EV_ID_SENSOR(h->id), ob->sensor->byte);
			if (ob->n < OBSERVED_MAX) {
				ob->records[ob->n] = malloc(len + 1);
				memcpy(ob->records[ob->n], rec, len);
				((char *)ob->records[ob->n++])[len] = 0;
			}
			ring_next(&ob->rings[i]);
			ring_release(&ob->rings[i]);
		}
	}
	qsort(ob->records, ob->n, sizeof(*ob->records), by_time);
}

const void *observe_find(const struct observer *ob, __u16 id, size_t nth)
{
	for (size_t i = 0; i < ob->n; i++)
		if (ob->records[i]->id == id && !nth--)
			return ob->records[i];
	return NULL;
}

size_t observe_count(const struct observer *ob, __u16 id)
{
	size_t n = 0;

	for (size_t i = 0; i < ob->n; i++)
		n += ob->records[i]->id == id;
	return n;
}

size_t observe_await(struct observer *ob, __u16 id, size_t n)
{
	size_t have;

	observe_drain(ob);
	for (int i = 0; (have = observe_count(ob, id)) < n && i < 1000; i++) {
		(void)usleep(10000);
		observe_drain(ob);
	}
	return have;
}

const char *observe_str(const void *rec, struct ev_str s)
{
	const struct ev_head *h = rec;

	return s.off && (size_t)s.off + s.len <= h->len ? (const char *)rec + s.off : "";
}

const char *observe_via(const struct observer *ob, const char *hook)
{
	for (size_t h = 0; h < ob->sensor->n_hooks; h++)
		if (!strcmp(ob->sensor->hooks[h].name, hook) && ob->states[h].status == HOOK_ATTACHED)
			return ob->states[h].via;
	return NULL;
}

void observe_check_books(const struct observer *ob)
{
	for (size_t k = 0; k < ob->sensor->n_kinds; k++) {
		const struct event_kind *kind = &ob->sensor->kinds[k];
		struct ev_counts c;

		require_ok(object_counts(ob->object, EV_ID_NUMBER(kind->id), &c));
		test_row = kind->name;
		check_int(c.seen, c.sent + c.filtered + c.lost_ring + c.lost_budget + c.error);
		check_int(c.lost_ring + c.lost_budget + c.error, 0);
		check_int(c.sent, observe_count(ob, kind->id));
	}
	test_row = NULL;
}
