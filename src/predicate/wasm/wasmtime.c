/* SPDX-License-Identifier: Apache-2.0 */
#include "predicate/wasm/wasmtime.h"
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include "base/err.h"
#include "base/sha256.h"
#include "predicate/wasmtime_paths.h"

/* The one file for each machine that we run on. */
#ifdef __x86_64__
#define WASMTIME_SIZE   29673400
#define WASMTIME_SHA256 "3127ca42fe7cdd3f0a43a358e79177dcfedd46c1746329826403b9d854de6178"
#else
#define WASMTIME_SIZE   25966376
#define WASMTIME_SHA256 "4777b787fcc6651c98130ccc7c8ce9160faba5f3b34918886785a43094026fc9"
#endif

const long long wt_file_size = WASMTIME_SIZE;

#define REMEDY "Wasm needs it: run tools/wasmtime in the sources, and make install"

static const char *const folders[] = { WASMTIME_INSTALLED, WASMTIME_BUILT };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct wt library;
static bool loaded;

/* ---- loading -------------------------------------------------------------------------------------------- */

static int digest_check(int fd, const char *path)
{
	unsigned char block[1 << 14];
	unsigned char digest[SHA256_SIZE];
	char hex[SHA256_HEX_SIZE];
	struct sha256 s;
	ssize_t n;

	sha256_init(&s);
	for (off_t at = 0; (n = pread(fd, block, sizeof(block), at)) > 0; at += n)
		sha256_add(&s, block, (size_t)n);
	if (n < 0)
		return err_new(-ENOTSUP, "read %s: %s", path, strerror(errno));
	sha256_end(&s, digest);
	sha256_hex(digest, hex);
	if (strcmp(hex, WASMTIME_SHA256) != 0)
		return err_new(-ENOTSUP, "%s is not Wasmtime " WASMTIME_VERSION " as it was released (sha256 %s)", path,
			       hex);
	return 0;
}

int wt_open(const char *path, int *ret_fd)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;
	int r;

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == EACCES))
		return err_new(-ENOENT, "no %s", path);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_new(-ENOTSUP, "open %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode) || (st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & (S_IWGRP | S_IWOTH)))
		return err_new(-ENOTSUP, "%s must be a file of root's that nobody else may write", path);
	if (st.st_size != WASMTIME_SIZE)
		return err_new(-ENOTSUP, "%s is not Wasmtime " WASMTIME_VERSION ": it has %lld bytes in place of %d",
			       path, (long long)st.st_size, WASMTIME_SIZE);
	r = digest_check(fd, path);
	if (r < 0)
		return r;
	*ret_fd = take_fd(fd);
	return 0;
}

static int load_from(const char *path)
{
	auto_close int fd = -1;
	char by_fd[32];
	void *handle;
	struct wt calls;
	int r = wt_open(path, &fd);

	if (r < 0)
		return r;
	/* What was looked at is what is loaded, whatever the path leads to by now. */
	(void)snprintf(by_fd, sizeof(by_fd), "/proc/self/fd/%d", fd);
	handle = dlopen(by_fd, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	if (!handle)
		return err_new(-ENOTSUP, "load %s: %s", path, dlerror());
#define WT_FIND_(result, name, args)                                                                                   \
	*(void **)&calls.name = dlsym(handle, #name);                                                                  \
	if (!calls.name) {                                                                                             \
		(void)dlclose(handle);                                                                                 \
		return err_new(-ENOTSUP, "%s has no call " #name, path);                                               \
	}
	WT_CALLS(WT_FIND_)
	library = calls;
	return 0;
}

int wt_load(const struct wt **ret_wt)
{
	int r = 0;

	(void)pthread_mutex_lock(&lock);
	if (!loaded) {
		char path[512];

		r = -ENOENT;
		for (size_t i = 0; i < countof(folders) && r == -ENOENT; i++) {
			(void)snprintf(path, sizeof(path), "%s/" WASMTIME_FILE, folders[i]);
			r = load_from(path);
		}
		if (r == -ENOENT)
			r = err_new(-ENOTSUP, "no %s/" WASMTIME_FILE " (" REMEDY ")", folders[0]);
		else if (r < 0)
			r = err_wrap(r, REMEDY);
		loaded = r == 0;
	}
	(void)pthread_mutex_unlock(&lock);
	if (r == 0)
		*ret_wt = &library;
	return r;
}

/* ---- helpers ------------------------------------------------------------------------------------------------ */

/* Their messages have lines, of which the last ones say most: they become one, without what numbers them. */
static void one_line(const struct wt_bytes *text, char *to, size_t size)
{
	static const char causes[] = "Caused by:";
	size_t n = 0;

	for (size_t i = 0; i < text->size && n + 3 < size; i++) {
		if (text->data[i] != '\n') {
			if (text->data[i] != 0)
				to[n++] = text->data[i];
			continue;
		}
		while (i + 1 < text->size && strchr(" \n0123456789:", text->data[i + 1]))
			i++;
		if (text->size - i > sizeof(causes) && memcmp(text->data + i + 1, causes, sizeof(causes) - 1) == 0)
			i += sizeof(causes) - 1;
		else if (i + 1 < text->size && n > 0) {
			to[n++] = ':';
			to[n++] = ' ';
		}
	}
	to[n] = 0;
}

int wt_fail(const struct wt *wt, struct wt_error *error, struct wt_trap *trap, const char *doing)
{
	struct wt_bytes text = { 0 };
	char line[512];

	if (error)
		wt->wasmtime_error_message(error, &text);
	else if (trap)
		wt->wasm_trap_message(trap, &text);
	one_line(&text, line, sizeof(line));
	if (error || trap)
		wt->wasm_byte_vec_delete(&text);
	if (error)
		wt->wasmtime_error_delete(error);
	if (trap)
		wt->wasm_trap_delete(trap);
	return err_new(-EINVAL, "%s: %s", doing, line);
}

int wt_module_new(const struct wt *wt, struct wt_engine *engine, const void *bytes, size_t n,
		  struct wt_module **ret_module)
{
	struct wt_module *m = NULL;
	struct wt_error *e = wt->wasmtime_module_new(engine, bytes, n, &m);

	if (e)
		return wt_fail(wt, e, NULL, "compile the module");
	*ret_module = m;
	return 0;
}

/* A function that does nothing: where memory may not be made executable, we hear of it here. */
static int try_compiling(const struct wt *wt, struct wt_engine *engine)
{
	static const char probe[] = "\0asm\1\0\0\0\1\4\1\140\0\0\3\2\1\0\12\4\1\2\0\13";
	struct wt_module *module = NULL;

	if (wt_module_new(wt, engine, probe, sizeof(probe) - 1, &module) < 0)
		return err_wrap(-ENOTSUP, "this process cannot compile Wasm: may it make memory executable?");
	wt->wasmtime_module_delete(module);
	return 0;
}

int wt_engine_new(const struct wt *wt, const struct wt_engine_options *o, struct wt_engine **ret_engine)
{
	struct wt_config *c = wt->wasm_config_new();
	struct wt_engine *engine;
	int r;

	wt->wasmtime_config_consume_fuel_set(c, o->fuel);
	wt->wasmtime_config_epoch_interruption_set(c, o->epochs);
	/* Ours is not a process whose signals a library may take; bounds are checked by instructions. */
	wt->wasmtime_config_signals_based_traps_set(c, false);
	wt->wasmtime_config_parallel_compilation_set(c, false);
	wt->wasmtime_config_cranelift_opt_level_set(c, WT_OPT_SPEED);
	wt->wasmtime_config_max_wasm_stack_set(c, o->stack_max);
	wt->wasmtime_config_native_unwind_info_set(c, false);
	wt->wasmtime_config_gc_support_set(c, false);
	wt->wasmtime_config_concurrency_support_set(c, false);
	wt->wasmtime_config_wasm_relaxed_simd_set(c, false);
	wt->wasmtime_config_wasm_simd_set(c, false);
	wt->wasmtime_config_wasm_function_references_set(c, false);
	wt->wasmtime_config_wasm_gc_set(c, false);
	wt->wasmtime_config_wasm_threads_set(c, false);
	wt->wasmtime_config_wasm_tail_call_set(c, false);
	wt->wasmtime_config_wasm_multi_memory_set(c, false);
	wt->wasmtime_config_wasm_memory64_set(c, false);
	wt->wasmtime_config_wasm_exceptions_set(c, false);
	wt->wasmtime_config_wasm_component_model_set(c, false);
	/* Without signals a guard proves nothing, so little address space is set aside. */
	wt->wasmtime_config_memory_reservation_set(c, o->instances > 0 ? o->memory_max : 1 << 20);
	wt->wasmtime_config_memory_reservation_for_growth_set(c, 0);
	wt->wasmtime_config_memory_guard_size_set(c, 1 << 16);
	if (o->instances > 0) {
		struct wt_pooling *p = wt->wasmtime_pooling_allocation_config_new();

		wt->wasmtime_pooling_allocation_config_total_core_instances_set(p, o->instances);
		wt->wasmtime_pooling_allocation_config_total_memories_set(p, o->instances);
		wt->wasmtime_pooling_allocation_config_total_tables_set(p, o->instances);
		wt->wasmtime_pooling_allocation_config_max_memories_per_module_set(p, 1);
		wt->wasmtime_pooling_allocation_config_max_tables_per_module_set(p, 1);
		wt->wasmtime_pooling_allocation_config_max_memory_size_set(p, o->memory_max);
		wt->wasmtime_pooling_allocation_config_table_elements_set(p, o->table_max);
		/* A place that is used again is cleared by writing it, as far as this goes, not by asking the kernel.
		 */
		wt->wasmtime_pooling_allocation_config_linear_memory_keep_resident_set(p, 1 << 17);
		wt->wasmtime_pooling_allocation_config_table_keep_resident_set(p, 1 << 12);
		wt->wasmtime_pooling_allocation_strategy_set(c, p);
		wt->wasmtime_pooling_allocation_config_delete(p);
	}
	engine = wt->wasm_engine_new_with_config(c); /* which is the configuration's end */
	if (!engine)
		return err_new(-ENOTSUP, "Wasmtime cannot start an engine on this machine");
	r = try_compiling(wt, engine);
	if (r < 0) {
		wt->wasm_engine_delete(engine);
		return r;
	}
	*ret_engine = engine;
	return 0;
}

int wt_store_new(const struct wt *wt, struct wt_engine *engine, const struct wt_store_limits *l,
		 struct wt_store **ret_store)
{
	struct wt_store *s = wt->wasmtime_store_new(engine, NULL, NULL);

	if (!s)
		return err_new(-ENOMEM, "no memory for a store of Wasm");
	wt->wasmtime_store_limiter(s, (int64_t)l->memory, l->elements, 1, 1, 1);
	*ret_store = s;
	return 0;
}

static int export_of(const struct wt *wt, struct wt_context *c, const struct wt_instance *i, const char *name,
		     uint8_t kind, const char *what, struct wt_extern *ret)
{
	struct wt_extern e = { 0 };

	/* Functions and memories own nothing that would have to be freed; of other kinds the few bytes go with the
	 * store. */
	if (!wt->wasmtime_instance_export_get(c, i, name, strlen(name), &e) || e.kind != kind)
		return err_new(-ENOENT, "the module exports no %s \"%s\"", what, name);
	*ret = e;
	return 0;
}

int wt_export_func(const struct wt *wt, struct wt_context *c, const struct wt_instance *i, const char *name,
		   struct wt_func *ret_func)
{
	struct wt_extern e;
	int r = export_of(wt, c, i, name, WT_EXTERN_FUNC, "function", &e);

	if (r == 0)
		*ret_func = e.func;
	return r;
}

int wt_export_memory(const struct wt *wt, struct wt_context *c, const struct wt_instance *i, const char *name,
		     struct wt_memory *ret_memory)
{
	struct wt_extern e;
	int r = export_of(wt, c, i, name, WT_EXTERN_MEMORY, "memory", &e);

	if (r == 0)
		*ret_memory = e.memory;
	return r;
}

static const struct {
	char letter;
	enum wt_kind kind;
} kinds[] = { { 'i', WT_I32 }, { 'l', WT_I64 }, { 'd', WT_F64 } };

static void types_of(const struct wt *wt, const char *letters, struct wt_types *ret)
{
	struct wt_type *t[WT_PARAMS_MAX];
	size_t n = 0;

	for (; letters[n] && n < WT_PARAMS_MAX; n++)
		for (size_t k = 0; k < countof(kinds); k++)
			if (kinds[k].letter == letters[n])
				t[n] = wt->wasm_valtype_new((uint8_t)kinds[k].kind);
	wt->wasm_valtype_vec_new(ret, n, t);
}

int wt_define(const struct wt *wt, struct wt_linker *l, const char *module, const char *name, const char *params,
	      const char *result, wt_callback fn, void *ctx)
{
	struct wt_types in, out;
	struct wt_functype *type;
	struct wt_error *e;

	types_of(wt, params, &in);
	types_of(wt, result, &out);
	type = wt->wasm_functype_new(&in, &out); /* which takes both */
	e = wt->wasmtime_linker_define_func_unchecked(l, module, strlen(module), name, strlen(name), type, fn, ctx,
						      NULL);
	wt->wasm_functype_delete(type);
	return e ? wt_fail(wt, e, NULL, name) : 0;
}

static bool types_are(const struct wt *wt, const struct wt_types *t, const char *letters)
{
	if (t->size != strlen(letters))
		return false;
	for (size_t i = 0; i < t->size; i++)
		for (size_t k = 0; k < countof(kinds); k++)
			if (kinds[k].letter == letters[i] && wt->wasm_valtype_kind(t->data[i]) != kinds[k].kind)
				return false;
	return true;
}

bool wt_func_is(const struct wt *wt, struct wt_context *c, const struct wt_func *f, const char *params,
		const char *result)
{
	struct wt_functype *type = wt->wasmtime_func_type(c, f);
	bool is = types_are(wt, wt->wasm_functype_params(type), params) &&
		  types_are(wt, wt->wasm_functype_results(type), result);

	wt->wasm_functype_delete(type);
	return is;
}
