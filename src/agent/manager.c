/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/manager.h"
#include <malloc.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "bpf/kernel_probe.h"

enum { LEAVES_MAX = 64, RETRY_FIRST_S = 10, RETRY_MAX_S = 600 };

struct hook_health {
	bool firing;     /* seen to fire at all */
	bool untestable; /* its exercise cannot be done here */
	unsigned silent; /* canaries in a row that it missed */
};

struct leaf {
	const struct sensor *sensor;
	enum leaf_state state;
	struct object *object; /* NULL unless running or degraded (or in fallback with some hooks left) */
	struct object_spec spec;
	struct hook_state hooks[EV_HOOK_MAX];
	struct hook_health health[EV_HOOK_MAX];
	/* Books of objects that were replaced: the sums a user sees never go back. */
	struct ev_counts retired[EV_KIND_MAX];
	struct ev_hook_counts hook_retired[EV_HOOK_MAX];
	__u64 seen_before, lost_before;
	unsigned restarts; /* in a row without a healthy check in between */
	__u64 retry_at_ns;
	char why[LEAF_WHY_MAX];
};

struct manager {
	const struct bpf_core *core;
	pthread_mutex_t lock;
	struct leaf leaves[LEAVES_MAX];
	size_t n;
};

static const char *const state_names[] = {
	[LEAF_OFF] = "off",       [LEAF_RUNNING] = "running",   [LEAF_DEGRADED] = "degraded",
	[LEAF_FAILED] = "failed", [LEAF_FALLBACK] = "fallback",
};

const char *leaf_state_name(enum leaf_state state)
{
	return state_names[state];
}

static void unlockp(pthread_mutex_t **m)
{
	(void)pthread_mutex_unlock(*m);
}

/* Holds the lock until the end of the block. */
#define LOCKED(m)                                                                                                      \
	pthread_mutex_t *locked_ __attribute__((cleanup(unlockp), unused)) = &(m)->lock;                               \
	(void)pthread_mutex_lock(&(m)->lock)

int manager_open(const struct bpf_core *core, const struct sensor *const *sensors, struct manager **ret_manager)
{
	struct manager *m = calloc(1, sizeof(*m));

	if (!m)
		return err_new(-ENOMEM, "no memory for the manager");
	m->core = core;
	(void)pthread_mutex_init(&m->lock, NULL);
	for (; *sensors && m->n < LEAVES_MAX; sensors++)
		m->leaves[m->n++].sensor = *sensors;
	*ret_manager = m;
	return 0;
}

void manager_free(struct manager *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->n; i++)
		object_free(m->leaves[i].object);
	(void)pthread_mutex_destroy(&m->lock);
	free(m);
}

static struct leaf *find(const struct manager *m, const char *name)
{
	for (size_t i = 0; i < m->n; i++)
		if (!strcmp(m->leaves[i].sensor->name, name))
			return (struct leaf *)&m->leaves[i];
	return NULL;
}

bool manager_has(const struct manager *m, const char *name)
{
	return find(m, name) != NULL;
}

/* ---- starting and stopping --------------------------------------------------------------------- */

static void add_counts(struct ev_counts *sum, const struct ev_counts *c)
{
	sum->seen += c->seen;
	sum->sent += c->sent;
	sum->filtered += c->filtered;
	sum->lost_ring += c->lost_ring;
	sum->lost_budget += c->lost_budget;
	sum->error += c->error;
}

static void kind_counts(const struct leaf *l, size_t kind, struct ev_counts *ret_counts)
{
	unsigned number = EV_ID_NUMBER(l->sensor->kinds[kind].id);
	struct ev_counts now;

	*ret_counts = l->retired[number];
	if (l->object && object_counts(l->object, number, &now) == 0)
		add_counts(ret_counts, &now);
}

static void hook_counts(const struct leaf *l, size_t hook, struct ev_hook_counts *ret_counts)
{
	struct ev_hook_counts now;

	*ret_counts = l->hook_retired[hook];
	if (l->object && object_hook_counts(l->object, (unsigned)hook, &now) == 0) {
		ret_counts->fired += now.fired;
		ret_counts->canary += now.canary;
	}
}

/* Closes an object and keeps its books. */
static void retire(struct leaf *l)
{
	if (!l->object)
		return;
	for (size_t k = 0; k < l->sensor->n_kinds; k++)
		kind_counts(l, k, &l->retired[EV_ID_NUMBER(l->sensor->kinds[k].id)]);
	for (size_t h = 0; h < l->sensor->n_hooks; h++)
		hook_counts(l, h, &l->hook_retired[h]);
	object_free(take(l->object));
}

/* Starts the leaf anew; when it runs already, only on success is the running one replaced. */
static int start(const struct manager *m, struct leaf *l, const struct object_spec *spec)
{
	auto_free struct hook_state *hooks = calloc(EV_HOOK_MAX, sizeof(*hooks));
	AUTO(object) obj = NULL;
	bool any = false;
	int r;

	if (!hooks)
		return err_new(-ENOMEM, "no memory for the hooks of %s", l->sensor->name);
	r = object_start(m->core, spec, hooks, &obj);
	if (r < 0)
		return r;
	for (size_t h = 0; h < l->sensor->n_hooks; h++)
		any |= hooks[h].status == HOOK_ATTACHED;
	if (!any)
		return err_new(-ENOTSUP, "no hook of it can be attached: %s: %s", l->sensor->hooks[0].name,
			       hooks[0].why);
	retire(l);
	l->object = take(obj);
	l->spec = *spec;
	memcpy(l->hooks, hooks, sizeof(l->hooks));
	for (size_t h = 0; h < EV_HOOK_MAX; h++)
		l->health[h].silent = 0;
	return 0;
}

/* What a person could do about it. */
static const char *help_for(const struct leaf *l)
{
	if (l->state != LEAF_FAILED && l->state != LEAF_FALLBACK && l->state != LEAF_DEGRADED)
		return NULL;
	if (strstr(l->why, "Operation not permitted") || strstr(l->why, "Permission denied"))
		return "run as root; a kernel that still refuses forbids this kind of program";
	if (strstr(l->why, "Cannot allocate memory"))
		return "raise the memory limit of the service, or lower rings.* in the configuration";
	if (strstr(l->why, "lost"))
		return "raise rings.bulk or lower budgets.bulk in the configuration";
	if (strstr(l->why, "silent"))
		return "switch it off and on with `shrike sensor`; if that does not help, please report it";
	return "`shrike status` shows each hook; docs/reference/hooks.md says what this kernel can have";
}

/* Running or degraded, by what its hooks say. */
static void judge_hooks(struct leaf *l)
{
	l->why[0] = 0;
	l->state = LEAF_RUNNING;
	for (size_t h = 0; h < l->sensor->n_hooks; h++) {
		if (l->hooks[h].status != HOOK_FAILED || l->sensor->hooks[h].extra)
			continue;
		l->state = LEAF_DEGRADED;
		(void)snprintf(l->why, sizeof(l->why), "hook %s is not attached: %s", l->sensor->hooks[h].name,
			       l->hooks[h].why);
		return;
	}
}

static void note_failure(struct leaf *l)
{
	__u64 wait_s = (__u64)RETRY_FIRST_S << (l->restarts < 6 ? l->restarts : 6);

	l->state = l->object ? LEAF_DEGRADED : LEAF_FAILED;
	(void)snprintf(l->why, sizeof(l->why), "%s", err_trail());
	l->restarts++;
	l->retry_at_ns = clock_boot_ns() + (wait_s < RETRY_MAX_S ? wait_s : RETRY_MAX_S) * 1000000000;
}

int manager_set(struct manager *m, const char *name, bool wanted, const void *options, const __u8 stacks[EV_KIND_MAX])
{
	LOCKED(m);
	struct leaf *l = find(m, name);
	struct object_spec spec;
	int r;

	if (!l)
		return err_new(-ENOENT, "there is no sensor \"%s\"", name);
	l->restarts = 0;
	if (!wanted) {
		retire(l);
		l->state = LEAF_OFF;
		l->why[0] = 0;
		return 0;
	}
	spec = (struct object_spec) {
		.name = l->sensor->name,
		.image = l->sensor->image,
		.hooks = l->sensor->hooks,
		.n_hooks = l->sensor->n_hooks,
		.prepare = l->sensor->prepare,
		.fill = l->sensor->fill,
		.options = options,
	};
	memcpy(spec.stacks, stacks, sizeof(spec.stacks));
	r = start(m, l, &spec);
	if (r < 0) {
		r = err_wrap(r, "start sensor %s", name);
		if (!l->object) {
			l->spec = spec; /* what a retry will use */
			note_failure(l);
		}
		return r;
	}
	judge_hooks(l);
	return 0;
}

enum leaf_state manager_state(struct manager *m, const char *name)
{
	LOCKED(m);
	const struct leaf *l = find(m, name);

	return l ? l->state : LEAF_OFF;
}

void manager_summary(struct manager *m, unsigned ret_counts[LEAF_FALLBACK + 1])
{
	LOCKED(m);

	memset(ret_counts, 0, (LEAF_FALLBACK + 1) * sizeof(*ret_counts));
	for (size_t i = 0; i < m->n; i++)
		ret_counts[m->leaves[i].state]++;
}

void manager_deafen(struct manager *m, const char *name, size_t hook)
{
	LOCKED(m);
	struct leaf *l = find(m, name);

	if (l && l->object)
		object_detach_hook(l->object, hook);
}

/* ---- health ------------------------------------------------------------------------------------- */

/* In the scope of a cgroup, programs that sit there do not see the agent, which stands outside. */
static bool hears_agent(const struct manager *m, const struct leaf *l, size_t hook)
{
	return m->core->config.scope != SCOPE_CGROUP || !object_hook_is_at_cgroup(l->object, hook);
}

static void exercise_hook(const struct manager *m, struct leaf *l, size_t hook)
{
	struct hook_health *health = &l->health[hook];
	struct ev_hook_counts before, after;
	int r;

	if (l->hooks[hook].status != HOOK_ATTACHED)
		return;
	hook_counts(l, hook, &before);
	r = l->sensor->exercise && hears_agent(m, l, hook) ? l->sensor->exercise(hook) : -EOPNOTSUPP;
	hook_counts(l, hook, &after);
	health->untestable = r < 0;
	health->firing |= after.fired || after.canary;
	if (r < 0 || after.canary > before.canary)
		health->silent = 0;
	else
		health->silent++;
}

void manager_rest(struct manager *m)
{
	LOCKED(m);

	kernel_forget();
	(void)malloc_trim(0);
}

void manager_exercise(struct manager *m)
{
	LOCKED(m);

	for (size_t i = 0; i < m->n; i++)
		for (size_t h = 0; m->leaves[i].object && h < m->leaves[i].sensor->n_hooks; h++)
			exercise_hook(m, &m->leaves[i], h);
}

static int silent_hook(const struct leaf *l, unsigned max)
{
	for (size_t h = 0; h < l->sensor->n_hooks; h++)
		if (l->health[h].silent >= max)
			return (int)h;
	return -1;
}

/* Says it when too much of what was seen since the last check was lost. */
static void check_loss(struct leaf *l, unsigned percent)
{
	__u64 seen = 0, ring = 0, budget = 0, lost;

	for (size_t k = 0; k < l->sensor->n_kinds; k++) {
		struct ev_counts c;

		kind_counts(l, k, &c);
		seen += c.seen;
		ring += c.lost_ring;
		budget += c.lost_budget;
	}
	lost = ring + budget;
	if (l->state == LEAF_RUNNING && lost > l->lost_before &&
	    (lost - l->lost_before) * 100 > (seen - l->seen_before) * percent) {
		l->state = LEAF_DEGRADED;
		(void)snprintf(
			l->why, sizeof(l->why),
			"%llu of %llu events since the last check were lost (ring full: %llu, budget: %llu in all)",
			lost - l->lost_before, seen - l->seen_before, ring, budget);
	}
	l->seen_before = seen;
	l->lost_before = lost;
}

/* A restart, or, after too many in a row, the fallback: what works goes on, the rest is given up and said. */
static void recover(const struct manager *m, struct leaf *l, const struct health_options *o, const char *why)
{
	char reason[LEAF_WHY_MAX];

	(void)snprintf(reason, sizeof(reason), "%s", why);
	if (l->restarts >= o->restarts_max) {
		l->state = LEAF_FALLBACK;
		(void)snprintf(l->why, sizeof(l->why), "given up after %u restarts, %s: %s", l->restarts,
			       l->object ? "its other hooks go on" : "it is off", reason);
		return;
	}
	if (start(m, l, &l->spec) < 0) {
		note_failure(l);
		return;
	}
	l->restarts++;
	judge_hooks(l);
	if (l->state == LEAF_RUNNING) {
		l->state = LEAF_DEGRADED;
		(void)snprintf(l->why, sizeof(l->why), "restarted: %s", reason);
	}
}

/* One round for a leaf that is neither off nor given up. */
static void look_after(const struct manager *m, struct leaf *l, const struct health_options *o)
{
	char why[256];
	int hook;

	if (l->state == LEAF_FAILED) {
		if (clock_boot_ns() >= l->retry_at_ns)
			recover(m, l, o, l->why);
		return;
	}
	for (size_t h = 0; h < l->sensor->n_hooks; h++)
		exercise_hook(m, l, h);
	hook = silent_hook(l, o->silent_max);
	if (hook >= 0) {
		(void)snprintf(why, sizeof(why), "hook %s is silent: it missed %u canaries in a row",
			       l->sensor->hooks[hook].name, l->health[hook].silent);
		recover(m, l, o, why);
		return;
	}
	if (silent_hook(l, 1) < 0) {
		l->restarts = 0;
		judge_hooks(l);
	}
	check_loss(l, o->loss_percent);
}

static void check_leaf(const struct manager *m, struct leaf *l, const struct health_options *o)
{
	enum leaf_state before = l->state;

	if (before == LEAF_OFF || before == LEAF_FALLBACK)
		return;
	look_after(m, l, o);
	if (l->state == before)
		return;
	if (l->state == LEAF_RUNNING)
		log_notice("sensor is well again", "sensor=%s", l->sensor->name);
	else
		log_warning("sensor is not well", "sensor=%s state=%s why=\"%s\" see=\"shrike status\"",
			    l->sensor->name, state_names[l->state], l->why);
}

void manager_check(struct manager *m, const struct health_options *options)
{
	LOCKED(m);

	for (size_t i = 0; i < m->n; i++)
		check_leaf(m, &m->leaves[i], options);
}

/* ---- telling ---------------------------------------------------------------------------------------- */

static void put_text(struct buf *out, const char *name, const char *text)
{
	buf_printf(out, "\"%s\":", name);
	json_write_str(out, text, strlen(text));
	buf_char(out, ',');
}

static void hook_status(const struct leaf *l, size_t h, struct buf *out)
{
	const struct hook *hook = &l->sensor->hooks[h];
	const struct hook_state *st = &l->hooks[h];
	struct ev_hook_counts counts;
	struct hook_cost cost = { 0 };
	bool attached = l->object && st->status == HOOK_ATTACHED;

	hook_counts(l, h, &counts);
	if (l->object)
		(void)object_hook_cost(l->object, (unsigned)h, &cost);
	buf_str(out, h ? ",{" : "{");
	put_text(out, "name", hook->name);
	put_text(out, "summary", hook->summary);
	if (attached)
		put_text(out, "state", "attached");
	else if (l->object && st->status == HOOK_FAILED)
		put_text(out, "state", hook->extra ? "unavailable" : "failed");
	else
		put_text(out, "state", "off");
	if (attached) {
		put_text(out, "via", st->via);
		buf_printf(out, "\"variant\":%d,", st->variant);
		if (hook->variants[st->variant].cannot)
			put_text(out, "cannot", hook->variants[st->variant].cannot);
	}
	if (l->object && st->why[0])
		put_text(out, "why", st->why);
	buf_printf(out, "\"firing\":%s,\"testable\":%s,\"silent\":%u,",
		   l->health[h].firing || counts.fired || counts.canary ? "true" : "false",
		   l->health[h].untestable ? "false" : "true", l->health[h].silent);
	buf_printf(out, "\"fired\":%llu,\"canary\":%llu,\"run_count\":%llu,\"run_ns\":%llu,\"misses\":%llu}",
		   counts.fired, counts.canary, cost.run_count, cost.run_ns, cost.misses);
}

static void kind_status(const struct leaf *l, size_t k, struct buf *out)
{
	static const char *const classes[EV_CLASS_COUNT] = { "critical", "normal", "bulk", "packet" };
	const struct event_kind *kind = &l->sensor->kinds[k];
	struct ev_counts c;

	kind_counts(l, k, &c);
	buf_str(out, k ? ",{" : "{");
	put_text(out, "name", kind->name);
	put_text(out, "class", classes[kind->class]);
	buf_printf(
		out,
		"\"seen\":%llu,\"sent\":%llu,\"filtered\":%llu,\"lost_ring\":%llu,\"lost_budget\":%llu,\"error\":%llu}",
		c.seen, c.sent, c.filtered, c.lost_ring, c.lost_budget, c.error);
}

static void leaf_status(const struct leaf *l, struct buf *out)
{
	const char *help = help_for(l);

	buf_char(out, '{');
	put_text(out, "name", l->sensor->name);
	put_text(out, "summary", l->sensor->summary);
	put_text(out, "state", state_names[l->state]);
	if (l->why[0])
		put_text(out, "why", l->why);
	if (help)
		put_text(out, "help", help);
	buf_printf(out, "\"restarts\":%u,\"hooks\":[", l->restarts);
	for (size_t h = 0; h < l->sensor->n_hooks; h++)
		hook_status(l, h, out);
	buf_str(out, "],\"kinds\":[");
	for (size_t k = 0; k < l->sensor->n_kinds; k++)
		kind_status(l, k, out);
	buf_str(out, "]}");
}

void manager_status(struct manager *m, struct buf *out)
{
	LOCKED(m);

	buf_char(out, '[');
	for (size_t i = 0; i < m->n; i++) {
		if (i)
			buf_char(out, ',');
		leaf_status(&m->leaves[i], out);
	}
	buf_char(out, ']');
}

void manager_describe(struct manager *m, struct buf *out)
{
	LOCKED(m);

	for (size_t i = 0; i < m->n; i++) {
		const struct leaf *l = &m->leaves[i];
		unsigned attached = 0, wanted = 0;

		for (size_t h = 0; h < l->sensor->n_hooks; h++) {
			attached += l->object && l->hooks[h].status == HOOK_ATTACHED;
			wanted += l->hooks[h].status != HOOK_OFF;
		}
		if (l->object)
			buf_printf(out, "  %-8s %u of %u hooks: %s\n", l->sensor->name, attached, wanted,
				   l->sensor->summary);
		else
			buf_printf(out, "  %-8s %s%s%s\n", l->sensor->name, state_names[l->state],
				   l->why[0] ? ": " : "", l->why);
		for (size_t h = 0; l->object && h < l->sensor->n_hooks; h++)
			if (l->hooks[h].status == HOOK_FAILED)
				buf_printf(out, "           not %s: %s\n", l->sensor->hooks[h].name, l->hooks[h].why);
	}
}
