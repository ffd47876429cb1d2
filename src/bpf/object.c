/* SPDX-License-Identifier: Apache-2.0 */
#include "bpf/object.h"
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>
#include "base/err.h"
#include "base/mem.h"
#include "bpf/kernel_probe.h"
#include "bpf/tracefs.h"

enum { LINKS_MAX = EV_HOOK_MAX * HOOK_PROG_MAX, LIBBPF_TEXT_MAX = 16384 };

struct object {
	struct object_spec own; /* the caller's, copied: it need not outlive the call */
	const struct object_spec *spec;
	const struct bpf_core *core;
	struct bpf_object *bpf;
	bool off[EV_HOOK_MAX];    /* by prepare() */
	int variant[EV_HOOK_MAX]; /* chosen, -1: none */
	struct bpf_link *links[LINKS_MAX];
	__u8 link_hook[LINKS_MAX];
	size_t n_links;
};

/* What libbpf says while an object loads: the verifier's words, kept for the one who has to read them. */
static _Thread_local struct {
	char text[LIBBPF_TEXT_MAX];
	size_t used;
} said;

static int keep_libbpf(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	auto_free char *piece = NULL;
	const char *at;
	size_t len, room;
	int n;

	if (level == LIBBPF_DEBUG)
		return 0;
	/* A verifier's log comes in one piece of any length. */
	n = vasprintf(&piece, fmt, ap);
	if (n < 0) {
		piece = NULL;
		return 0;
	}
	/* Its last lines say why; the first ones go when there is no room. */
	at = piece;
	len = (size_t)n;
	if (len >= sizeof(said.text)) {
		at += len - (sizeof(said.text) - 1);
		len = sizeof(said.text) - 1;
	}
	room = sizeof(said.text) - 1 - len;
	if (said.used > room) {
		memmove(said.text, said.text + said.used - room, room);
		said.used = room;
	}
	memcpy(said.text + said.used, at, len);
	said.used += len;
	said.text[said.used] = 0;
	return n;
}

void object_free(struct object *obj)
{
	if (!obj)
		return;
	for (size_t i = 0; i < obj->n_links; i++)
		(void)bpf_link__destroy(obj->links[i]);
	bpf_object__close(obj->bpf);
	free(obj);
}

struct bpf_object *object_libbpf(struct object *obj)
{
	return obj->bpf;
}

void object_hook_off(struct object *obj, size_t hook)
{
	obj->off[hook] = true;
}

int object_map_fd(const struct object *obj, const char *name)
{
	struct bpf_map *map = bpf_object__find_map_by_name(obj->bpf, name);

	return map ? bpf_map__fd(map) : -ENOENT;
}

int object_set_const(struct object *obj, const char *name, const void *value, size_t size)
{
	const struct btf *btf = bpf_object__btf(obj->bpf);
	struct bpf_map *map = bpf_object__find_map_by_name(obj->bpf, ".rodata");
	int section = btf ? btf__find_by_name_kind(btf, ".rodata", BTF_KIND_DATASEC) : -1;
	const struct btf_var_secinfo *v;
	const struct btf_type *t;
	auto_free char *bytes = NULL;
	size_t room = 0;
	const void *now;

	if (!map || section < 0)
		return err_new(-ENOENT, "%s: the object has no constants", obj->spec->name);
	now = bpf_map__initial_value(map, &room);
	bytes = malloc(room);
	if (!bytes)
		return err_new(-ENOMEM, "%s: no memory for constants", obj->spec->name);
	memcpy(bytes, now, room);
	t = btf__type_by_id(btf, (__u32)section);
	v = btf_var_secinfos(t);
	for (unsigned i = 0; i < btf_vlen(t); i++, v++) {
		const struct btf_type *var = btf__type_by_id(btf, v->type);

		if (strcmp(btf__name_by_offset(btf, var->name_off), name) != 0)
			continue;
		if (v->size != size || v->offset + size > room)
			return err_new(-EINVAL, "%s: constant %s has %u bytes, not %zu", obj->spec->name, name, v->size,
				       size);
		memcpy(bytes + v->offset, value, size);
		return bpf_map__set_initial_value(map, bytes, room);
	}
	return err_new(-ENOENT, "%s: the object has no constant %s", obj->spec->name, name);
}

/* ---- choosing ----------------------------------------------------------------------------- */

static const char *bare(const char *prog)
{
	return prog[0] == '?' ? prog + 1 : prog;
}

static bool starts(const char *s, const char *prefix, const char **ret_rest)
{
	size_t n = strlen(prefix);

	if (strncmp(s, prefix, n) != 0)
		return false;
	*ret_rest = s + n;
	return true;
}

/* May this program be loaded and attached, as far as one can tell without trying? */
static bool prog_possible(const struct bpf_program *p, const char **ret_why)
{
	const char *section = bpf_program__section_name(p), *target;

	*ret_why = "its target does not exist in this kernel";
	if (starts(section, "lsm/", &target) || starts(section, "lsm.s/", &target)) {
		char func[128];

		(void)snprintf(func, sizeof(func), "bpf_lsm_%s", target);
		return kernel_has_lsm(ret_why) && kernel_has_func(func);
	}
	if (starts(section, "fentry/", &target) || starts(section, "fexit/", &target))
		return kernel_has_fentry(ret_why) && kernel_has_func(target);
	if (starts(section, "tp_btf/", &target))
		return kernel_has_tracepoint_btf(target);
	if (starts(section, "tp/", &target) || starts(section, "tracepoint/", &target))
		return tracefs_has_tracepoint(target, ret_why);
	if (starts(section, "kprobe/", &target) || starts(section, "kretprobe/", &target))
		return kernel_has_kprobe(ret_why) && kernel_has_func(target);
	return true;
}

static void via_of(const struct bpf_program *p, char *ret_via, size_t size)
{
	const char *section = bpf_program__section_name(p);

	(void)snprintf(ret_via, size, "%.*s", (int)strcspn(section, "/"), section);
}

static void add_why(struct hook_state *st, const char *variant, const char *why)
{
	size_t used = strlen(st->why);

	(void)snprintf(st->why + used, sizeof(st->why) - used, "%s%s: %s", used ? "; " : "", variant, why);
}

static bool variant_possible(struct object *obj, const struct hook_variant *v, const char **ret_why)
{
	bool any = false;

	if (v->possible && !v->possible()) {
		*ret_why = "this kernel's version of it differs";
		return false;
	}
	for (size_t i = 0; i < HOOK_PROG_MAX && v->progs[i]; i++) {
		const struct bpf_program *p = bpf_object__find_program_by_name(obj->bpf, bare(v->progs[i]));

		if (!p) {
			*ret_why = "the object has no such program";
			return false;
		}
		if (prog_possible(p, ret_why))
			any = true;
		else if (v->progs[i][0] != '?')
			return false;
	}
	return any;
}

static bool is_at_syscalls(const struct bpf_object *bpf, const struct hook_variant *v)
{
	for (size_t i = 0; i < HOOK_PROG_MAX && v->progs[i]; i++) {
		const struct bpf_program *p = bpf_object__find_program_by_name(bpf, bare(v->progs[i]));

		if (p && !strncmp(bpf_program__section_name(p), "tp/syscalls/", strlen("tp/syscalls/")))
			return true;
	}
	return false;
}

static void choose(struct object *obj, size_t hook, struct hook_state *st)
{
	const struct hook *h = &obj->spec->hooks[hook];
	bool unwanted = false;

	obj->variant[hook] = -1;
	st->variant = -1;
	if (obj->off[hook]) {
		st->status = HOOK_OFF;
		return;
	}
	for (int i = 0; i < HOOK_VARIANT_MAX && h->variants[i].progs[0]; i++) {
		const struct hook_variant *v = &h->variants[i];
		const char *why = "";

		if (obj->core->no_syscall_hooks && is_at_syscalls(obj->bpf, v)) {
			if (!(st->tried & 1U << i))
				add_why(st, bare(v->progs[0]), "syscall_hooks is false");
			st->tried |= 1U << i;
			unwanted = true;
		}
		if (st->tried & 1U << i)
			continue;
		if (variant_possible(obj, v, &why)) {
			obj->variant[hook] = st->variant = i;
			via_of(bpf_object__find_program_by_name(obj->bpf, bare(v->progs[0])), st->via, sizeof(st->via));
			return;
		}
		st->tried |= 1U << i;
		add_why(st, bare(v->progs[0]), why);
	}
	st->status = unwanted ? HOOK_OFF : HOOK_FAILED;
}

static void autoload(struct object *obj)
{
	struct bpf_program *p;

	bpf_object__for_each_program (p, obj->bpf)
		(void)bpf_program__set_autoload(p, false);
	for (size_t h = 0; h < obj->spec->n_hooks; h++) {
		const struct hook_variant *v =
			obj->variant[h] < 0 ? NULL : &obj->spec->hooks[h].variants[obj->variant[h]];

		for (size_t i = 0; v && i < HOOK_PROG_MAX && v->progs[i]; i++) {
			const char *why;

			p = bpf_object__find_program_by_name(obj->bpf, bare(v->progs[i]));
			if (prog_possible(p, &why))
				(void)bpf_program__set_autoload(p, true);
		}
	}
}

/* ---- loading ------------------------------------------------------------------------------- */

static int share_map(struct object *obj, const char *name, int fd)
{
	struct bpf_map *map = bpf_object__find_map_by_name(obj->bpf, name);

	return map ? bpf_map__reuse_fd(map, fd) : 0;
}

static int share_maps(struct object *obj)
{
	const struct bpf_core *c = obj->core;
	const struct {
		const char *name;
		int fd;
	} maps[] = {
		{ "ring_critical", c->ring_fd[RING_CRITICAL] },
		{ "ring_bulk", c->ring_fd[RING_BULK] },
		{ "ring_packet", c->ring_fd[RING_PACKET] },
		{ "scratch", c->scratch_fd },
		{ "budgets", c->budgets_fd },
		{ "reader", c->reader_fd },
		{ "scope_cgroup", c->scope_fd },
		{ "sock_marks", c->sock_marks_fd },
	};

	for (size_t i = 0; i < countof(maps); i++) {
		int r = share_map(obj, maps[i].name, maps[i].fd);

		if (r < 0)
			return err_sys(-r, "%s: share the map %s", obj->spec->name, maps[i].name);
	}
	return 0;
}

/* Which hook does the program that libbpf named as failing belong to? */
static int hook_of_failed(const struct object *obj, char *ret_prog, size_t size)
{
	const char *at = said.text;

	while ((at = strstr(at, "prog '"))) {
		const char *name = at + 6, *end = strchr(name, '\'');
		size_t n = end ? (size_t)(end - name) : 0;

		at = name;
		if (!end || n >= size)
			continue;
		memcpy(ret_prog, name, n);
		ret_prog[n] = 0;
		for (size_t h = 0; h < obj->spec->n_hooks; h++) {
			const struct hook_variant *v;

			if (obj->variant[h] < 0)
				continue;
			v = &obj->spec->hooks[h].variants[obj->variant[h]];
			for (size_t i = 0; i < HOOK_PROG_MAX && v->progs[i]; i++)
				if (!strcmp(bare(v->progs[i]), ret_prog))
					return (int)h;
		}
	}
	return -1;
}

/* The last lines that the verifier wrote before its summary: what a person needs to see. */
static void verifier_tail(char *ret_text, size_t size)
{
	char *end = strstr(said.text, "processed ");
	const char *at;
	int lines = 0;

	if (end)
		*end = 0;
	at = said.text + strlen(said.text);
	while (at > said.text && lines < 4)
		if (*--at == '\n')
			lines++;
	(void)snprintf(ret_text, size, "%s", at);
	for (char *c = ret_text; *c; c++)
		if (*c == '\n' || *c == '\t')
			*c = ' ';
}

static int open_bpf(struct object *obj)
{
	const struct bpf_image *image = obj->spec->image;
	LIBBPF_OPTS(bpf_object_open_opts, o, .object_name = image->name);

	obj->bpf = bpf_object__open_mem(image->start, (size_t)(image->end - image->start), &o);
	if (!obj->bpf)
		return err_sys(errno, "%s: open the BPF object", obj->spec->name);
	return 0;
}

static int set_constants(struct object *obj)
{
	struct core_config config = obj->core->config;

	memcpy(config.stacks, obj->spec->stacks, sizeof(config.stacks));
	return object_set_const(obj, "core", &config, sizeof(config));
}

/* One try with the variants that are left. 1: a variant was ruled out, try again. */
static int load_once(struct object *obj, struct hook_state *states)
{
	char prog[128], why[512];
	int r, hook;

	r = open_bpf(obj);
	if (r < 0)
		return r;
	r = set_constants(obj);
	if (r < 0)
		return r;
	r = share_maps(obj);
	if (r < 0)
		return r;
	if (obj->spec->prepare) {
		r = obj->spec->prepare(obj, obj->spec->options);
		if (r < 0)
			return err_wrap(r, "prepare %s", obj->spec->name);
	}
	for (size_t h = 0; h < obj->spec->n_hooks; h++)
		choose(obj, h, &states[h]);
	autoload(obj);

	said.used = 0;
	said.text[0] = 0;
	r = bpf_object__load(obj->bpf);
	if (r == 0)
		return 0;
	hook = hook_of_failed(obj, prog, sizeof(prog));
	verifier_tail(why, sizeof(why));
	if (hook < 0)
		return err_sys(-r, "%s: load the BPF object (%s)", obj->spec->name, why);
	states[hook].tried |= 1U << obj->variant[hook];
	add_why(&states[hook], prog, why);
	return 1;
}

int object_load(const struct bpf_core *core, const struct object_spec *spec, struct hook_state *states,
		struct object **ret_obj)
{
	libbpf_print_fn_t before = libbpf_set_print(keep_libbpf);
	int r;

	/* Each failing try rules one variant out, so this ends. */
	for (;;) {
		AUTO(object) obj = calloc(1, sizeof(*obj));

		if (!obj) {
			r = err_new(-ENOMEM, "%s: no memory", spec->name);
			break;
		}
		obj->core = core;
		obj->own = *spec;
		obj->spec = &obj->own;
		r = load_once(obj, states);
		if (r == 1)
			continue;
		if (r < 0)
			break;
		r = spec->fill ? spec->fill(obj, spec->options) : 0;
		if (r < 0)
			r = err_wrap(r, "fill the maps of %s", spec->name);
		else
			*ret_obj = take(obj);
		break;
	}
	(void)libbpf_set_print(before);
	return r;
}

/* ---- attaching ------------------------------------------------------------------------------ */

static bool is_at_cgroup(const struct bpf_program *p)
{
	const char *section = bpf_program__section_name(p), *rest;

	return starts(section, "cgroup", &rest) || starts(section, "sockops", &rest);
}

bool object_hook_is_at_cgroup(const struct object *obj, size_t hook)
{
	const struct hook_variant *v =
		obj->variant[hook] < 0 ? NULL : &obj->spec->hooks[hook].variants[obj->variant[hook]];

	for (size_t i = 0; v && i < HOOK_PROG_MAX && v->progs[i]; i++)
		if (is_at_cgroup(bpf_object__find_program_by_name(obj->bpf, bare(v->progs[i]))))
			return true;
	return false;
}

/* An iterator looks at all that is there once, now. What it writes, if anything, is nobody's. */
static struct bpf_link *run_iterator(struct bpf_program *p)
{
	struct bpf_link *link = bpf_program__attach_iter(p, NULL);
	auto_close int fd = link ? bpf_iter_create(bpf_link__fd(link)) : -1;
	char nothing[256];
	ssize_t n = -1;

	if (!link)
		return NULL;
	while (fd >= 0 && ((n = read(fd, nothing, sizeof(nothing))) > 0 || (n < 0 && errno == EAGAIN)))
		;
	if (n == 0)
		return link;
	(void)bpf_link__destroy(link);
	return NULL;
}

static struct bpf_link *attach_prog(struct object *obj, struct bpf_program *p)
{
	const char *section = bpf_program__section_name(p), *target;

	if (starts(section, "tp/", &target) || starts(section, "tracepoint/", &target))
		return tracefs_attach(p, target);
	if (is_at_cgroup(p)) {
		struct bpf_link *link;
		int fd = obj->core->scope->cgroup_fd, root = -1;

		if (fd < 0 && cgroup_mount())
			fd = root = open(cgroup_mount(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		link = bpf_program__attach_cgroup(p, fd);
		fd_closep(&root);
		return link;
	}
	if (starts(section, "iter/", &target))
		return run_iterator(p);
	return bpf_program__attach(p);
}

static int attach_hook(struct object *obj, size_t hook, struct hook_state *st)
{
	const struct hook_variant *v = &obj->spec->hooks[hook].variants[obj->variant[hook]];
	size_t first = obj->n_links;

	for (size_t i = 0; i < HOOK_PROG_MAX && v->progs[i]; i++) {
		struct bpf_program *p = bpf_object__find_program_by_name(obj->bpf, bare(v->progs[i]));
		struct bpf_link *link;

		/* Programs of the kind "syscall" are run when somebody asks, not attached. */
		if (!bpf_program__autoload(p) || !strcmp(bpf_program__section_name(p), "syscall"))
			continue;
		link = attach_prog(obj, p);
		if (!link) {
			char why[128];

			(void)snprintf(why, sizeof(why), "cannot attach: %s", strerror(errno));
			while (obj->n_links > first)
				(void)bpf_link__destroy(obj->links[--obj->n_links]);
			st->tried |= 1U << obj->variant[hook];
			add_why(st, bare(v->progs[i]), why);
			st->status = HOOK_FAILED;
			return -1;
		}
		obj->link_hook[obj->n_links] = (__u8)hook;
		obj->links[obj->n_links++] = link;
	}
	st->status = HOOK_ATTACHED;
	return 0;
}

void object_detach_hook(struct object *obj, size_t hook)
{
	for (size_t i = 0; i < obj->n_links; i++)
		if (obj->link_hook[i] == hook) {
			(void)bpf_link__destroy(obj->links[i]);
			obj->links[i] = NULL;
		}
}

static bool has_untried(const struct hook *h, const struct hook_state *st)
{
	for (int i = 0; i < HOOK_VARIANT_MAX && h->variants[i].progs[0]; i++)
		if (!(st->tried & 1U << i))
			return true;
	return false;
}

int object_attach(struct object *obj, struct hook_state *states)
{
	libbpf_print_fn_t before = libbpf_set_print(keep_libbpf);
	bool again = false;

	for (size_t h = 0; h < obj->spec->n_hooks; h++)
		if (obj->variant[h] >= 0 && attach_hook(obj, h, &states[h]) < 0)
			again |= has_untried(&obj->spec->hooks[h], &states[h]);
	(void)libbpf_set_print(before);
	return again ? -EAGAIN : 0;
}

int object_start(const struct bpf_core *core, const struct object_spec *spec, struct hook_state *states,
		 struct object **ret_obj)
{
	int r;

	do {
		AUTO(object) obj = NULL;

		r = object_load(core, spec, states, &obj);
		if (r < 0)
			return r;
		r = object_attach(obj, states);
		if (r == 0)
			*ret_obj = take(obj);
	} while (r == -EAGAIN);
	return r;
}

/* ---- books ----------------------------------------------------------------------------------- */

/* Reads row `at` of a per-CPU map of rows of __u64 and sums the CPUs. */
static int sum_row(const struct object *obj, const char *map, unsigned at, __u64 *ret_sums, size_t n)
{
	int cpus = libbpf_num_possible_cpus(), fd = object_map_fd(obj, map);
	auto_free __u64 *rows = cpus > 0 ? calloc((size_t)cpus * n, sizeof(*rows)) : NULL;

	if (!rows)
		return err_new(-ENOMEM, "no memory to read %s", map);
	if (fd < 0 || bpf_map_lookup_elem(fd, &at, rows))
		return err_new(-ENOENT, "%s: no row %u in %s", obj->spec->name, at, map);
	memset(ret_sums, 0, n * sizeof(*ret_sums));
	for (size_t c = 0; c < (size_t)cpus; c++)
		for (size_t i = 0; i < n; i++)
			ret_sums[i] += rows[c * n + i];
	return 0;
}

int object_counts(const struct object *obj, unsigned number, struct ev_counts *ret_counts)
{
	return sum_row(obj, "counts", number, (__u64 *)ret_counts, sizeof(*ret_counts) / sizeof(__u64));
}

int object_hook_counts(const struct object *obj, unsigned hook, struct ev_hook_counts *ret_counts)
{
	return sum_row(obj, "hook_counts", hook, (__u64 *)ret_counts, sizeof(*ret_counts) / sizeof(__u64));
}

int object_hook_cost(const struct object *obj, unsigned hook, struct hook_cost *ret_cost)
{
	const struct hook_variant *v;
	struct hook_cost sum = { 0 };

	if (hook >= obj->spec->n_hooks || obj->variant[hook] < 0)
		return -ENOENT;
	v = &obj->spec->hooks[hook].variants[obj->variant[hook]];
	for (size_t i = 0; i < HOOK_PROG_MAX && v->progs[i]; i++) {
		const struct bpf_program *p = bpf_object__find_program_by_name(obj->bpf, bare(v->progs[i]));
		struct bpf_prog_info info = { 0 };
		__u32 len = sizeof(info);

		if (bpf_program__fd(p) < 0 || bpf_obj_get_info_by_fd(bpf_program__fd(p), &info, &len))
			continue;
		sum.run_count += info.run_cnt;
		sum.run_ns += info.run_time_ns;
		sum.misses += info.recursion_misses;
	}
	*ret_cost = sum;
	return 0;
}
