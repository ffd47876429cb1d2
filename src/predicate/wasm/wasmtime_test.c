/* SPDX-License-Identifier: Apache-2.0 */
/* wasmtime: the library is the one that was pinned, and what it does is what we declared. */
#include "predicate/wasm/wasmtime.h"
#include <fcntl.h>
#include <sys/stat.h>
#include "base/err.h"
#include "base/test.h"

#define OPEN_OR_SKIP(wt)                                                                                               \
	do {                                                                                                           \
		int open_r_ = wt_load(&(wt));                                                                          \
		if (open_r_ == -ENOTSUP) {                                                                             \
			check_has(err_trail(), "tools/wasmtime");                                                      \
			skip("no-wasmtime");                                                                           \
		}                                                                                                      \
		require_ok(open_r_);                                                                                   \
	} while (0)

struct seen {
	int calls;
	int64_t last;
};

static struct wt_trap *on_call(void *ctx, struct wt_caller *caller, union wt_value *values, size_t n)
{
	struct seen *seen = ctx;

	(void)caller;
	check(n >= 2);
	seen->calls++;
	seen->last = values[1].i64;
	values[0].i32 = values[0].i32 + 1;
	return NULL;
}

TEST(a_module_of_text_calls_and_is_called)
{
	static const char text[] =
		"(module (import \"m\" \"f\" (func $f (param i32 i64) (result i32)))"
		" (memory (export \"memory\") 1 2) (data (i32.const 8) \"\\2a\\01\")"
		" (func (export \"twice\") (param i32) (result i64)"
		"  (i64.extend_i32_s (i32.mul (i32.const 2) (call $f (local.get 0) (i64.const -5))))))";
	static const struct wt_engine_options options = {
		.fuel = true, .instances = 4, .memory_max = 1 << 20, .table_max = 100, .stack_max = 1 << 18
	};
	struct wt_store_limits limits = { .memory = 1 << 20, .elements = 100 };
	const struct wt *wt;
	struct wt_engine *engine;
	struct wt_module *module;
	struct wt_linker *linker;
	struct wt_store *store;
	struct wt_context *c;
	struct wt_instance instance;
	struct wt_trap *trap = NULL;
	struct wt_bytes binary;
	struct wt_func twice;
	struct wt_memory memory;
	struct seen seen = { 0 };
	union wt_value v[1] = { { .i32 = 20 } };

	OPEN_OR_SKIP(wt);
	require(!wt->wasmtime_wat2wasm(text, strlen(text), &binary));
	require_ok(wt_engine_new(wt, &options, &engine));
	require_ok(wt_module_new(wt, engine, binary.data, binary.size, &module));
	wt->wasm_byte_vec_delete(&binary);
	linker = wt->wasmtime_linker_new(engine);
	require_ok(wt_define(wt, linker, "m", "f", "il", "i", on_call, &seen));
	require_ok(wt_store_new(wt, engine, &limits, &store));
	c = wt->wasmtime_store_context(store);
	require(!wt->wasmtime_context_set_fuel(c, 1000));
	require(!wt->wasmtime_linker_instantiate(linker, c, module, &instance, &trap) && !trap);

	require_ok(wt_export_func(wt, c, &instance, "twice", &twice));
	check(wt_func_is(wt, c, &twice, "i", "l"));
	check(!wt_func_is(wt, c, &twice, "i", "i") && !wt_func_is(wt, c, &twice, "", "l"));
	check_int(wt_export_func(wt, c, &instance, "memory", &twice), -ENOENT);
	require_ok(wt_export_memory(wt, c, &instance, "memory", &memory));
	check_int(wt->wasmtime_memory_data_size(c, &memory), 1 << 16);
	check_int(wt->wasmtime_memory_data(c, &memory)[8], 0x2a);

	require_ok(wt_export_func(wt, c, &instance, "twice", &twice));
	require(!wt->wasmtime_func_call_unchecked(c, &twice, v, 1, &trap) && !trap);
	check_int(v[0].i64, 42);
	check_int(seen.calls, 1);
	check_int(seen.last, -5);

	wt->wasmtime_store_delete(store);
	wt->wasmtime_linker_delete(linker);
	wt->wasmtime_module_delete(module);
	wt->wasm_engine_delete(engine);
}

TEST(what_is_no_module_is_refused_with_its_reason)
{
	static const struct wt_engine_options options = { .stack_max = 1 << 18 };
	const struct wt *wt;
	struct wt_engine *engine;
	struct wt_module *module;

	OPEN_OR_SKIP(wt);
	require_ok(wt_engine_new(wt, &options, &engine));
	check_int(wt_module_new(wt, engine, "\0asm\1\0\0\0\1\377", 10, &module), -EINVAL);
	check_has(err_trail(), "compile the module");
	wt->wasm_engine_delete(engine);
}

TEST(only_the_library_that_was_released_is_opened)
{
	static const struct {
		const char *name, *file; /* below the test's folder; what it is, is made below */
		int want;
		const char *why;
	} rows[] = {
		{ "none", "none", -ENOENT, "no " },
		{ "below a file", "short/none", -ENOENT, "no " },
		{ "a folder", "folder", -ENOTSUP, "must be a file" },
		{ "a link", "link", -ENOTSUP, "open " },
		{ "another size", "short", -ENOTSUP, "it has 3 bytes" },
		{ "others may write it", "open", -ENOTSUP, "nobody else may write" },
		{ "the right size", "zeros", -ENOTSUP, "as it was released (sha256 " },
	};
	char folder[] = "/tmp/shrike-wasmtime-XXXXXX", path[64];
	int fd;

	require(mkdtemp(folder));
#define IN_FOLDER(file) ((void)snprintf(path, sizeof(path), "%s/%s", folder, file), path)
	check(mkdir(IN_FOLDER("folder"), 0755) == 0);
	check(symlink("short", IN_FOLDER("link")) == 0);
	for (int i = 0; i < 3; i++) {
		static const char *const names[] = { "short", "open", "zeros" };
		int made = open(IN_FOLDER(names[i]), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

		/* The third has the size of the one for this machine: no smaller one comes to its digest. */
		check(made >= 0 && ftruncate(made, i < 2 ? 3 : wt_file_size) == 0);
		check(fchmod(made, i == 1 ? 0666 : 0644) == 0);
		(void)close(made);
	}
	for_each_row (r, rows) {
		check_int(wt_open(IN_FOLDER(r->file), &fd), r->want);
		check_has(err_trail(), r->why);
	}
	for (size_t i = 0; i < countof(rows); i++)
		(void)remove(IN_FOLDER(rows[i].file));
	(void)remove(folder);
}
