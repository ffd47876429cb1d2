/* SPDX-License-Identifier: Apache-2.0 */
/* seed - the processes that are older than the agent. */
#include <bpf/bpf.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "bpf/object.h"
#include "context/procfs.h"
#include "context/state.h"

extern const struct bpf_image image_context_seed;

enum { RETRIES_MAX = 1000 };

static const struct hook hooks[] = {
	{ "seed", "processes older than the agent", { { .progs = { "seed_task" } } } },
};

static int read_iterator(struct bpf_link *link, struct buf *out)
{
	auto_close int fd = bpf_iter_create(bpf_link__fd(link));
	char chunk[65536];
	int retries = 0;

	if (fd < 0)
		return err_sys(-fd, "make the iterator");
	for (;;) {
		ssize_t n = read(fd, chunk, sizeof(chunk));

		if (n == 0)
			return 0;
		if (n > 0)
			buf_add(out, chunk, (size_t)n);
		else if ((errno != EAGAIN && errno != EINTR) || ++retries > RETRIES_MAX)
			return err_sys(errno, "read the iterator");
	}
}

static int ask_kernel(struct context *ctx, struct buf *out)
{
	const struct object_spec spec = {
		.name = "context_seed",
		.image = &image_context_seed,
		.hooks = hooks,
		.n_hooks = countof(hooks),
	};
	struct hook_state state = { 0 };
	AUTO(object) obj = NULL;
	struct bpf_program *prog;
	struct bpf_link *link;
	int r;

	r = object_load(ctx->core, &spec, &state, &obj);
	if (r < 0)
		return r;
	prog = bpf_object__find_program_by_name(object_libbpf(obj), "seed_task");
	if (!prog || bpf_program__fd(prog) < 0)
		return err_new(-EOPNOTSUPP, "this kernel has no iterator over processes: %s", state.why);
	link = bpf_program__attach_iter(prog, NULL);
	if (!link)
		return err_sys(errno, "attach the iterator over processes");
	r = read_iterator(link, out);
	(void)bpf_link__destroy(link);
	return r;
}

static int ask_proc(struct context *ctx, struct buf *out)
{
	const struct scope *scope = ctx->core ? ctx->core->scope : NULL;
	auto_free uint32_t *pids = NULL;
	size_t n = 0;
	int r;

	r = proc_pids(scope, &pids, &n);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		if (proc_known(pids[i], 0, NULL, &ctx->scratch) < 0)
			continue;
		((struct ev_head *)ctx->scratch.data)->time_ns = clock_boot_ns();
		buf_add(out, ctx->scratch.data, ctx->scratch.len);
	}
	return 0;
}

struct place {
	uint64_t start_ns;
	size_t at;
};

/* Those of one clock tick stay in the order of their numbers, in which /proc lists them. */
static int by_start(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->start_ns != y->start_ns)
		return x->start_ns < y->start_ns ? -1 : 1;
	return x->at < y->at ? -1 : x->at > y->at;
}

/* Adds the arguments, which only /proc tells, if the number still is that process's. */
static void add_args(struct buf *rec)
{
	struct ev_known *k = (struct ev_known *)rec->data;
	struct ev_str s = { .off = (uint16_t)rec->len };
	size_t len = rec->len;
	struct proc_stat st;
	bool truncated;

	s.len = (uint16_t)proc_args(k->head.pid, rec, &truncated);
	buf_char(rec, 0);
	k = (struct ev_known *)rec->data;
	if (!s.len || proc_stat(k->head.pid, &st) < 0 || st.start_ticks != k->head.start_ns / PROC_TICK_NS) {
		rec->len = len;
		return;
	}
	k->args = s;
	k->head.flags |= truncated ? EV_F_TRUNCATED : 0;
	k->head.len = (uint16_t)rec->len;
}

static size_t list_places(const struct buf *records, struct place *ret_places)
{
	struct ev_head h;
	size_t n = 0;

	for (size_t at = 0; at + sizeof(h) <= records->len; at += h.len) {
		/* Records stand one behind the other, so not aligned. */
		memcpy(&h, records->data + at, sizeof(h));
		if (h.len < sizeof(struct ev_known) || h.len > records->len - at)
			break;
		if (ret_places)
			ret_places[n] = (struct place) { h.start_ns, at };
		n++;
	}
	return n;
}

/* Parents began before their children, so by time of birth each finds its parent known. */
static int learn_all(struct context *ctx, const struct buf *records, bool exact)
{
	size_t n = list_places(records, NULL);
	auto_free struct place *places = calloc(n + 1, sizeof(*places));

	if (!places)
		return err_new(-ENOMEM, "no memory to order %zu processes", n);
	(void)list_places(records, places);
	qsort(places, n, sizeof(*places), by_start);
	for (size_t i = 0; i < n; i++) {
		__u16 len;

		memcpy(&len, records->data + places[i].at + offsetof(struct ev_head, len), sizeof(len));
		buf_clear(&ctx->scratch);
		buf_add(&ctx->scratch, records->data + places[i].at, len);
		if (ctx->scratch.failed)
			return err_new(-ENOMEM, "no memory for a record");
		if (exact && !(((struct ev_known *)ctx->scratch.data)->traits & KNOWN_KTHREAD))
			add_args(&ctx->scratch);
		if (!exact)
			context_find_parent(ctx, (struct ev_known *)ctx->scratch.data);
		context_learn(ctx, (const struct ev_head *)ctx->scratch.data);
	}
	ctx->stats.seeded += n;
	return 0;
}

int context_seed(struct context *ctx, bool *ret_exact)
{
	auto_buf struct buf records;
	bool exact = false;
	int r;

	if (ctx->offline)
		return err_new(-EINVAL, "a replay is not seeded from this host");
	buf_init(&records, SEED_BYTES_MAX);
	if (ctx->core && !ctx->no_iterator)
		exact = ask_kernel(ctx, &records) == 0;
	if (!exact) {
		/* The trail of that failure is kept for whoever asks why only /proc was to be had. */
		buf_clear(&records);
		r = ask_proc(ctx, &records);
		if (r < 0)
			return err_wrap(r, "find the processes that run already");
	}
	r = learn_all(ctx, &records, exact);
	if (r < 0)
		return r;
	if (ret_exact)
		*ret_exact = exact;
	return 0;
}
