/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hooks_md - docs/reference/hooks.md: how each hook observes, in order of preference, what
 * each way cannot promise, and which way was taken on the kernels that we tried.
 *
 * The last comes from docs/reference/hooks-<kernel>.txt, one line a hook:
 *
 *   SENSOR HOOK STATE VARIANT VIA        process exec attached 0 tp_btf
 *
 * as `shrike status --json` tells it. A file is a column; what it does not know stays empty.
 */
#include <ctype.h>
#include <limits.h>
#include "base/err.h"
#include "reference/reference.h"
#include "sensors/sensor.h"

enum { KERNELS_MAX = 16, LINE_MAX_BYTES = 1024, OBSERVED_MAX = 4096, NAME_BYTES = 64 };

static const char head[] =
	"# Hooks\n"
	"\n"
	"<!-- Written by `make reference` from the tables and hooks-*.txt. Change those, not this. -->\n"
	"\n"
	"A hook is one observation. Kernels differ in what they allow, so a hook lists ways to make it, best first;\n"
	"the agent takes the first that the running kernel accepts, and `shrike status` says which, and what it\n"
	"cannot promise. A program whose target this kernel does not have is left out where it is marked *if there*.\n";

struct observed {
	char sensor[NAME_BYTES], hook[NAME_BYTES], state[NAME_BYTES], via[NAME_BYTES];
	int variant;
};

struct kernel {
	char label[NAME_BYTES];
	struct observed *items;
	size_t n;
};

struct kernels {
	struct kernel items[KERNELS_MAX];
	size_t n;
};

static void kernels_clear(struct kernels *k)
{
	for (size_t i = 0; i < k->n; i++)
		free(k->items[i].items);
	k->n = 0;
}

static int by_label(const void *a, const void *b)
{
	return strverscmp(((const struct kernel *)a)->label, ((const struct kernel *)b)->label);
}

static int read_kernel(const char *path, struct kernel *k)
{
	auto_file FILE *f = fopen(path, "re");
	char line[LINE_MAX_BYTES];

	if (!f)
		return err_sys(errno, "open %s", path);
	k->items = calloc(OBSERVED_MAX, sizeof(*k->items));
	if (!k->items)
		return err_new(-ENOMEM, "no memory for %s", path);
	while (k->n < OBSERVED_MAX && fgets(line, sizeof(line), f)) {
		struct observed *o = &k->items[k->n];

		if (*line == '#' || *line == '\n')
			continue;
		if (sscanf(line, "%63s %63s %63s %d %63s", o->sensor, o->hook, o->state, &o->variant, o->via) < 4)
			return err_new(-EINVAL, "%s: not \"SENSOR HOOK STATE VARIANT VIA\": %s", path, line);
		k->n++;
	}
	return 0;
}

static int read_kernels(const char *root, struct kernels *ret)
{
	char dir_path[PATH_MAX], path[PATH_MAX];
	auto_dir DIR *dir = NULL;
	int r;

	(void)snprintf(dir_path, sizeof(dir_path), "%s/docs/reference", root);
	dir = opendir(dir_path);
	for (struct dirent *d; dir && ret->n < KERNELS_MAX && (d = readdir(dir));) {
		struct kernel *k = &ret->items[ret->n];
		size_t n = strlen(d->d_name);

		if (strncmp(d->d_name, "hooks-", 6) != 0 || n < 11 || strcmp(d->d_name + n - 4, ".txt") != 0)
			continue;
		(void)snprintf(k->label, sizeof(k->label), "%.*s", (int)(n - 10), d->d_name + 6);
		(void)snprintf(path, sizeof(path), "%s/%s", dir_path, d->d_name);
		ret->n++;
		r = read_kernel(path, k);
		if (r < 0)
			return r;
	}
	qsort(ret->items, ret->n, sizeof(*ret->items), by_label);
	return 0;
}

static const struct observed *find(const struct kernel *k, const char *sensor, const char *hook)
{
	for (size_t i = 0; i < k->n; i++)
		if (!strcmp(k->items[i].sensor, sensor) && !strcmp(k->items[i].hook, hook))
			return &k->items[i];
	return NULL;
}

/* "tp_btf/sched_process_exec" of a program, as its object names it. */
static const char *section_of(struct bpf_object *obj, const char *prog)
{
	const struct bpf_program *p = obj ? bpf_object__find_program_by_name(obj, prog) : NULL;

	return p ? bpf_program__section_name(p) : NULL;
}

static void write_variant(const struct sensor *s, const struct hook *h, int v, struct bpf_object *obj,
			  const struct kernels *kernels, struct buf *out)
{
	const struct hook_variant *variant = &h->variants[v];

	buf_printf(out, "| %d | ", v + 1);
	for (size_t i = 0; i < HOOK_PROG_MAX && variant->progs[i]; i++) {
		const char *prog = variant->progs[i] + (*variant->progs[i] == '?');
		const char *section = section_of(obj, prog);

		buf_printf(out, "%s`%s`%s", i ? ", " : "", section ? section : prog,
			   *variant->progs[i] == '?' ? " *if there*" : "");
	}
	buf_str(out, " | ");
	reference_md(out, variant->cannot ? variant->cannot : "");
	buf_str(out, " |");
	for (size_t k = 0; k < kernels->n; k++) {
		const struct observed *o = find(&kernels->items[k], s->name, h->name);

		buf_printf(out, " %s |", o && !strcmp(o->state, "attached") && o->variant == v ? "taken" : "");
	}
	buf_char(out, '\n');
}

static void write_hook(const struct sensor *s, const struct hook *h, struct bpf_object *obj,
		       const struct kernels *kernels, struct buf *out)
{
	auto_buf struct buf text = { .max = 1 << 16 };

	buf_printf(out, "\n### %s: %s\n\n", s->name, h->name);
	reference_sentence(&text, h->summary);
	reference_md(out, buf_text(&text));
	buf_str(out, "\n\n| | way | cannot promise |");
	for (size_t k = 0; k < kernels->n; k++)
		buf_printf(out, " %s |", kernels->items[k].label);
	buf_str(out, "\n|---|---|---|");
	for (size_t k = 0; k < kernels->n; k++)
		buf_str(out, "---|");
	buf_char(out, '\n');
	for (int v = 0; v < HOOK_VARIANT_MAX && h->variants[v].progs[0]; v++)
		write_variant(s, h, v, obj, kernels, out);
	for (size_t k = 0; k < kernels->n; k++) {
		const struct observed *o = find(&kernels->items[k], s->name, h->name);

		if (o && strcmp(o->state, "attached") != 0)
			buf_printf(out, "\nOn %s: %s.\n", kernels->items[k].label, o->state);
	}
}

static int quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	(void)level;
	(void)fmt;
	(void)ap;
	return 0;
}

/* Opening reads the bytes of the object; nothing goes to the kernel. */
static struct bpf_object *open_image(const struct sensor *s)
{
	struct bpf_object *obj;

	if (!s->image)
		return NULL;
	obj = bpf_object__open_mem(s->image->start, (size_t)(s->image->end - s->image->start), NULL);
	return libbpf_get_error(obj) ? NULL : obj;
}

static void write_sensor(const struct sensor *s, const struct kernels *kernels, struct buf *out)
{
	struct bpf_object *obj = open_image(s);
	auto_buf struct buf text = { .max = 1 << 16 };

	buf_printf(out, "\n## %s\n\n", s->name);
	reference_sentence(&text, s->summary);
	reference_md(out, buf_text(&text));
	buf_char(out, '\n');
	for (size_t i = 0; i < s->n_hooks; i++)
		write_hook(s, &s->hooks[i], obj, kernels, out);
	bpf_object__close(obj);
}

int reference_hooks_md(const char *root, struct buf *out)
{
	__attribute__((cleanup(kernels_clear))) struct kernels kernels = { .n = 0 };
	libbpf_print_fn_t before = libbpf_set_print(quiet);
	int r = read_kernels(root, &kernels);

	buf_str(out, head);
	for (const struct sensor *const *s = sensor_table; *s && r >= 0; s++)
		write_sensor(*s, &kernels, out);
	(void)libbpf_set_print(before);
	return r;
}
