/* SPDX-License-Identifier: Apache-2.0 */
/*
 * object - one leaf's BPF programs: which variant of each hook this kernel takes, loading
 * and attaching them, and what they cost.
 *
 * A hook is one observation ("a file was opened for writing"). Kernels differ in what they
 * allow, so a hook lists variants in order of preference; each says what it cannot promise.
 * object_load() tries them in that order and leaves in `states` what was chosen and why the
 * better ones were not. One hook that cannot be had does not take the others down.
 */
#pragma once
#include <bpf/libbpf.h>
#include <stdbool.h>
#include "bpf/core.h"
#include "event/abi.h"

/* The bytes of a compiled object, put into the binary by the build. */
struct bpf_image {
	const char *name;
	const unsigned char *start, *end;
};

enum { HOOK_VARIANT_MAX = 6, HOOK_PROG_MAX = 24, HOOK_WHY_MAX = 1024 };

struct hook_variant {
	/* Programs that together make the variant. "?name": left out where its target does not exist. */
	const char *progs[HOOK_PROG_MAX];
	const char *cannot; /* what this variant cannot promise; NULL: it is the best there is */
	/* More than "the target exists"; NULL: always. */
	bool (*possible)(void);
};

struct hook {
	const char *name;    /* "open-write" */
	const char *summary; /* what it observes, in a sentence */
	struct hook_variant variants[HOOK_VARIANT_MAX];
	bool extra; /* an observation that many kernels cannot make: where it fails, nothing promised is missing */
};

enum hook_status {
	HOOK_OFF, /* switched off by an option */
	HOOK_ATTACHED,
	HOOK_FAILED, /* no variant works here: `why` */
};

struct hook_state {
	enum hook_status status;
	int variant;            /* index of the one chosen, or -1 */
	unsigned tried;         /* bits of the variants that failed */
	char via[32];           /* "tp_btf", "lsm", "tracepoint" ... of the first program */
	char why[HOOK_WHY_MAX]; /* why better variants were not taken, or why none works */
};

struct object;

struct object_spec {
	const char *name;
	const struct bpf_image *image;
	const struct hook *hooks;
	size_t n_hooks;
	/* See struct sensor. */
	int (*prepare)(struct object *obj, const void *options);
	int (*fill)(struct object *obj, const void *options);
	const void *options;
	__u8 stacks[EV_KIND_MAX];
};

/* Loads what can be loaded; states has spec->n_hooks rows, and keeps what earlier tries learned. */
int object_load(const struct bpf_core *core, const struct object_spec *spec, struct hook_state *states,
		struct object **ret_obj);
/* Attaches every chosen hook. A hook that fails to attach is marked; -EAGAIN when another variant could be tried. */
int object_attach(struct object *obj, struct hook_state *states);
/* Both, trying further variants until each hook is attached or has none left. */
int object_start(const struct bpf_core *core, const struct object_spec *spec, struct hook_state *states,
		 struct object **ret_obj);
void object_free(struct object *obj);
DEFINE_AUTO(object)

/* Does one of the hook's programs sit at the scope's cgroup, and so see that cgroup's doings alone? */
bool object_hook_is_at_cgroup(const struct object *obj, size_t hook);
/* Takes one hook's programs off the kernel. */
void object_detach_hook(struct object *obj, size_t hook);

/* For prepare(): sets a `const volatile` of the object. -ENOENT when it has none of that name and size. */
int object_set_const(struct object *obj, const char *name, const void *value, size_t size);
/* For prepare(): this hook is not wanted. */
void object_hook_off(struct object *obj, size_t hook);
int object_map_fd(const struct object *obj, const char *name);
struct bpf_object *object_libbpf(struct object *obj);

/* Sums the CPUs. */
int object_counts(const struct object *obj, unsigned number, struct ev_counts *ret_counts);
int object_hook_counts(const struct object *obj, unsigned hook, struct ev_hook_counts *ret_counts);

/* What a hook's programs cost so far; zeros while the kernel's run statistics are off. */
struct hook_cost {
	__u64 run_count, run_ns, misses;
};
int object_hook_cost(const struct object *obj, unsigned hook, struct hook_cost *ret_cost);
