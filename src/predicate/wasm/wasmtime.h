/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wasmtime - the runtime of Wasm modules: a library that may be absent, loaded when it is first asked for.
 *
 * No Debian release has it as a package, so it comes as one file, whose digest is pinned here (tools/wasmtime fetches
 *it). Its binary interface carries no version of its own: nothing but exactly that file is ever loaded, and of its
 *calls those below are declared here. It must belong to root or to who runs us, and nobody else may write it.
 *
 * Traps of this interface, for who calls it:
 *	- a store that is not the one that an instance, function or memory came from ends the process;
 *	- so does an array of values with less than one place, also where a function takes and gives nothing;
 *	- `trap` is not written when nothing went wrong: it must be NULL before;
 *	- fuel begins at 0, and with epochs a deadline that lies in the past stops even the shortest call;
 *	- neither fuel nor epoch interrupt a call out of the module.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/mem.h"

#define WASMTIME_VERSION "50.0.1"
/* The name of the file, below the folders that are searched. */
#define WASMTIME_FILE "libwasmtime-" WASMTIME_VERSION ".so"

/* ---- its types, as far as they are looked into ------------------------------------------------------ */

struct wt_bytes { /* a name or a message as well: not terminated by a NUL */
	size_t size;
	char *data;
};
struct wt_types {
	size_t size;
	struct wt_type **data;
};
struct wt_func {
	uint64_t store_id;
	void *within;
};
struct wt_memory {
	struct {
		uint64_t store_id;
		uint32_t within;
	};
	uint32_t number;
};
struct wt_global {
	uint64_t store_id;
	uint32_t within[3];
};
struct wt_instance {
	uint64_t store_id;
	size_t within;
};
enum { WT_EXTERN_FUNC = 0, WT_EXTERN_GLOBAL = 1, WT_EXTERN_MEMORY = 3 };
struct wt_extern {
	uint8_t kind;
	union {
		struct wt_func func;
		struct wt_memory memory;
		struct wt_global global;
		void *shared;
	};
};
/* A value of an unchecked call. Only the bytes of its own type are looked at or written. */
union wt_value {
	int32_t i32;
	int64_t i64;
	float f32;
	double f64;
	uint8_t v128[16];
	void *ref;
};
struct wt_val { /* of a checked call, or a global: only numbers are made or read here */
	uint8_t kind;
	union {
		int32_t i32;
		int64_t i64;
		struct {
			uint64_t store_id;
			uint32_t within[2];
			void *ref;
		} gc;
	};
};
enum wt_kind { WT_I32 = 0, WT_I64 = 1, WT_F32 = 2, WT_F64 = 3 };
enum { WT_OPT_NONE = 0, WT_OPT_SPEED = 1 };
enum wt_trap_code { /* the others are faults of the module */
		    WT_TRAP_STACK_OVERFLOW = 0,
		    WT_TRAP_UNREACHABLE = 9,
		    WT_TRAP_INTERRUPT = 10,
		    WT_TRAP_OUT_OF_FUEL = 11,
};
enum { WT_EPOCH_CONTINUE = 0 };

_Static_assert(sizeof(struct wt_func) == 16 && sizeof(struct wt_instance) == 16, "handles");
_Static_assert(sizeof(struct wt_memory) == 24 && sizeof(struct wt_global) == 24, "handles that are nested");
_Static_assert(sizeof(struct wt_extern) == 32 && offsetof(struct wt_extern, func) == 8, "wt_extern");
_Static_assert(sizeof(struct wt_val) == 32 && offsetof(struct wt_val, i64) == 8, "wt_val");
_Static_assert(sizeof(union wt_value) == 16 && _Alignof(union wt_value) == 8, "wt_value");

struct wt_config;
struct wt_engine;
struct wt_pooling;
struct wt_module;
struct wt_linker;
struct wt_pre;
struct wt_store;
struct wt_context; /* of a store, as long as that lives */
struct wt_caller;
struct wt_error;
struct wt_trap;
struct wt_type;
struct wt_functype;

/* Gets its arguments in `values` and leaves its result there; a trap ends the module's run. */
typedef struct wt_trap *(*wt_callback)(void *ctx, struct wt_caller *caller, union wt_value *values, size_t n);
/* Is asked when a deadline has passed: an error ends the run; NULL goes on for *ret_more epochs. */
typedef struct wt_error *(*wt_epoch_callback)(struct wt_context *c, void *ctx, uint64_t *ret_more, uint8_t *ret_kind);

/* ---- its calls: X(result, name, arguments) ------------------------------------------------------------ */

/* clang-format off */
#define WT_CALLS(X) \
	X(struct wt_config *, wasm_config_new, (void)) \
	X(struct wt_engine *, wasm_engine_new_with_config, (struct wt_config *)) \
	X(void, wasm_engine_delete, (struct wt_engine *)) \
	X(void, wasmtime_config_consume_fuel_set, (struct wt_config *, bool)) \
	X(void, wasmtime_config_epoch_interruption_set, (struct wt_config *, bool)) \
	X(void, wasmtime_config_signals_based_traps_set, (struct wt_config *, bool)) \
	X(void, wasmtime_config_parallel_compilation_set, (struct wt_config *, bool)) \
	X(void, wasmtime_config_cranelift_opt_level_set, (struct wt_config *, uint8_t)) \
	X(void, wasmtime_config_max_wasm_stack_set, (struct wt_config *, size_t)) \
	X(void, wasmtime_config_memory_reservation_set, (struct wt_config *, uint64_t)) \
	X(void, wasmtime_config_memory_guard_size_set, (struct wt_config *, uint64_t)) \
	X(void, wasmtime_config_memory_reservation_for_growth_set, (struct wt_config *, uint64_t)) \
	X(void, wasmtime_config_memory_init_cow_set, (struct wt_config *, bool)) \
	X(void, wasmtime_config_native_unwind_info_set, (struct wt_config *, bool)) \
	X(void, wasmtime_config_gc_support_set, (struct wt_config *, bool)) \
	X(void, wasmtime_config_concurrency_support_set, (struct wt_config *, bool)) \
	X(void, wasmtime_config_wasm_gc_set, (struct wt_config *, bool)) \
	X(void, wasmtime_config_wasm_function_references_set, (struct wt_config *, bool)) \
	X(void, wasmtime_config_wasm_simd_set, (struct wt_config *, bool)) \
	X(void, wasmtime_config_wasm_relaxed_simd_set, (struct wt_config *, bool)) \
	X(void, wasmtime_config_wasm_threads_set, (struct wt_config *, bool)) \
	X(void, wasmtime_config_wasm_tail_call_set, (struct wt_config *, bool)) \
	X(void, wasmtime_config_wasm_multi_memory_set, (struct wt_config *, bool)) \
	X(void, wasmtime_config_wasm_memory64_set, (struct wt_config *, bool)) \
	X(void, wasmtime_config_wasm_exceptions_set, (struct wt_config *, bool)) \
	X(void, wasmtime_config_wasm_component_model_set, (struct wt_config *, bool)) \
	X(struct wt_pooling *, wasmtime_pooling_allocation_config_new, (void)) \
	X(void, wasmtime_pooling_allocation_config_delete, (struct wt_pooling *)) \
	X(void, wasmtime_pooling_allocation_config_total_core_instances_set, (struct wt_pooling *, uint32_t)) \
	X(void, wasmtime_pooling_allocation_config_total_memories_set, (struct wt_pooling *, uint32_t)) \
	X(void, wasmtime_pooling_allocation_config_total_tables_set, (struct wt_pooling *, uint32_t)) \
	X(void, wasmtime_pooling_allocation_config_max_memories_per_module_set, (struct wt_pooling *, uint32_t)) \
	X(void, wasmtime_pooling_allocation_config_max_tables_per_module_set, (struct wt_pooling *, uint32_t)) \
	X(void, wasmtime_pooling_allocation_config_max_memory_size_set, (struct wt_pooling *, size_t)) \
	X(void, wasmtime_pooling_allocation_config_max_core_instance_size_set, (struct wt_pooling *, size_t)) \
	X(void, wasmtime_pooling_allocation_config_table_elements_set, (struct wt_pooling *, size_t)) \
	X(void, wasmtime_pooling_allocation_config_linear_memory_keep_resident_set, (struct wt_pooling *, size_t)) \
	X(void, wasmtime_pooling_allocation_config_table_keep_resident_set, (struct wt_pooling *, size_t)) \
	X(void, wasmtime_pooling_allocation_strategy_set, (struct wt_config *, const struct wt_pooling *)) \
	X(struct wt_error *, wasmtime_wat2wasm, (const char *, size_t, struct wt_bytes *)) \
	X(struct wt_error *, wasmtime_module_new, (struct wt_engine *, const uint8_t *, size_t, struct wt_module **)) \
	X(void, wasmtime_module_delete, (struct wt_module *)) \
	X(void, wasmtime_module_image_range, (const struct wt_module *, void **, void **)) \
	X(struct wt_linker *, wasmtime_linker_new, (struct wt_engine *)) \
	X(void, wasmtime_linker_delete, (struct wt_linker *)) \
	X(struct wt_error *, wasmtime_linker_define_func_unchecked, (struct wt_linker *, const char *, size_t, const char *, \
		size_t, const struct wt_functype *, wt_callback, void *, void (*)(void *))) \
	X(struct wt_error *, wasmtime_linker_instantiate, (const struct wt_linker *, struct wt_context *, \
		const struct wt_module *, struct wt_instance *, struct wt_trap **)) \
	X(struct wt_error *, wasmtime_linker_instantiate_pre, (const struct wt_linker *, const struct wt_module *, struct wt_pre **)) \
	X(struct wt_error *, wasmtime_instance_pre_instantiate, (const struct wt_pre *, struct wt_context *, struct wt_instance *, \
		struct wt_trap **)) \
	X(void, wasmtime_instance_pre_delete, (struct wt_pre *)) \
	X(bool, wasmtime_instance_export_get, (struct wt_context *, const struct wt_instance *, const char *, size_t, \
		struct wt_extern *)) \
	X(struct wt_store *, wasmtime_store_new, (struct wt_engine *, void *, void (*)(void *))) \
	X(struct wt_context *, wasmtime_store_context, (struct wt_store *)) \
	X(void, wasmtime_store_delete, (struct wt_store *)) \
	X(void, wasmtime_store_limiter, (struct wt_store *, int64_t, int64_t, int64_t, int64_t, int64_t)) \
	X(void, wasmtime_store_epoch_deadline_callback, (struct wt_store *, wt_epoch_callback, void *, void (*)(void *))) \
	X(struct wt_error *, wasmtime_context_set_fuel, (struct wt_context *, uint64_t)) \
	X(struct wt_error *, wasmtime_context_get_fuel, (const struct wt_context *, uint64_t *)) \
	X(void, wasmtime_context_set_epoch_deadline, (struct wt_context *, uint64_t)) \
	X(void, wasmtime_engine_increment_epoch, (const struct wt_engine *)) \
	X(struct wt_context *, wasmtime_caller_context, (struct wt_caller *)) \
	X(bool, wasmtime_caller_export_get, (struct wt_caller *, const char *, size_t, struct wt_extern *)) \
	X(struct wt_error *, wasmtime_func_call_unchecked, (struct wt_context *, const struct wt_func *, union wt_value *, size_t, \
		struct wt_trap **)) \
	X(struct wt_functype *, wasmtime_func_type, (const struct wt_context *, const struct wt_func *)) \
	X(uint8_t *, wasmtime_memory_data, (const struct wt_context *, const struct wt_memory *)) \
	X(size_t, wasmtime_memory_data_size, (const struct wt_context *, const struct wt_memory *)) \
	X(void, wasmtime_global_get, (struct wt_context *, const struct wt_global *, struct wt_val *)) \
	X(struct wt_error *, wasmtime_global_set, (struct wt_context *, const struct wt_global *, const struct wt_val *)) \
	X(struct wt_error *, wasmtime_error_new, (const char *)) \
	X(void, wasmtime_error_message, (const struct wt_error *, struct wt_bytes *)) \
	X(void, wasmtime_error_delete, (struct wt_error *)) \
	X(struct wt_trap *, wasmtime_trap_new, (const char *, size_t)) \
	X(bool, wasmtime_trap_code, (const struct wt_trap *, uint8_t *)) \
	X(void, wasm_trap_message, (const struct wt_trap *, struct wt_bytes *)) \
	X(void, wasm_trap_delete, (struct wt_trap *)) \
	X(void, wasm_byte_vec_delete, (struct wt_bytes *)) \
	X(struct wt_type *, wasm_valtype_new, (uint8_t)) \
	X(uint8_t, wasm_valtype_kind, (const struct wt_type *)) \
	X(void, wasm_valtype_vec_new, (struct wt_types *, size_t, struct wt_type *const[])) \
	X(struct wt_functype *, wasm_functype_new, (struct wt_types *, struct wt_types *)) \
	X(const struct wt_types *, wasm_functype_params, (const struct wt_functype *)) \
	X(const struct wt_types *, wasm_functype_results, (const struct wt_functype *)) \
	X(void, wasm_functype_delete, (struct wt_functype *))
/* clang-format on */

#define WT_MEMBER_(result, name, args) result(*name) args;
struct wt {
	WT_CALLS(WT_MEMBER_)
};

/* ---- ours ----------------------------------------------------------------------------------------------- */

/*
 * Loads the library, or says that it is there. *ret_wt is of the process and stays until its end. -ENOTSUP: it is not
 * on this machine, or is not the right one; the trail says what to do.
 */
int wt_load(const struct wt **ret_wt);

/*
 * Opens a file if it is the library, may be trusted and is just as it was released. -ENOENT: there is none; -ENOTSUP.
 */
int wt_open(const char *path, int *ret_fd);
extern const long long wt_file_size; /* of the one for this machine */

/* Makes an error of the trail of what a call gave back, and frees it: -EINVAL. Either may be NULL. */
int wt_fail(const struct wt *wt, struct wt_error *error, struct wt_trap *trap, const char *doing);

/*
 * An engine compiles modules and runs them. What it makes cannot be interrupted by signals and installs no handlers; it
 * makes no threads. Modules get the first version of Wasm and what C and Rust compilers use by default: no vectors, no
 * threads, no references that are collected, one memory of 32 bits.
 */
struct wt_engine_options {
	bool fuel, epochs;
	uint32_t instances;  /* that live at the same time, whose places are kept; 0: mapped one by one, without a
				maximum */
	uint64_t memory_max; /* bytes of one memory; of the address space, `instances` times as much is taken */
	uint32_t table_max;  /* elements of one table */
	uint64_t stack_max;  /* bytes of the caller's stack that a run may take */
};
/* -ENOTSUP: this machine, or this process, cannot make code. */
int wt_engine_new(const struct wt *wt, const struct wt_engine_options *o, struct wt_engine **ret_engine);

/* The binary format. What is wrong with it is in the trail. */
int wt_module_new(const struct wt *wt, struct wt_engine *engine, const void *bytes, size_t n,
		  struct wt_module **ret_module);

/* A store whose instances may have so much; fuel and a deadline are still to be set. */
struct wt_store_limits {
	uint64_t memory;   /* bytes of one memory */
	uint32_t elements; /* of one table */
};
int wt_store_new(const struct wt *wt, struct wt_engine *engine, const struct wt_store_limits *l,
		 struct wt_store **ret_store);

/* An exported function or memory. -ENOENT: there is none of that name and kind. */
int wt_export_func(const struct wt *wt, struct wt_context *c, const struct wt_instance *i, const char *name,
		   struct wt_func *ret_func);
int wt_export_memory(const struct wt *wt, struct wt_context *c, const struct wt_instance *i, const char *name,
		     struct wt_memory *ret_memory);

/* Imports: a function "module" "name" of up to WT_PARAMS_MAX parameters, and one result or none ('i' i32, 'l' i64, 'd'
 * f64). */
enum { WT_PARAMS_MAX = 8 };
int wt_define(const struct wt *wt, struct wt_linker *l, const char *module, const char *name, const char *params,
	      const char *result, wt_callback fn, void *ctx);
/* Has the function just these parameters and results? */
bool wt_func_is(const struct wt *wt, struct wt_context *c, const struct wt_func *f, const char *params,
		const char *result);
