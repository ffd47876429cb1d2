/* SPDX-License-Identifier: Apache-2.0 */
/* sdk: scripts as people write them, in C and in Rust, built by the compilers that are at hand. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/test.h"
#include "event/json_event.h"
#include "predicate/script.h"

#define EVENT(name, file, ip)                                                                                          \
	"{\"process\":{\"name\":\"" name "\",\"pid\":7,\"executable\":\"" file "\"},\"source\":{\"ip\":\"" ip "\"}}"

/* All of them ask for the same. */
static const struct {
	const char *name, *event;
	bool want;
} events[] = {
	{ "all fits", EVENT("nc", "/tmp/x/nc", "192.168.3.4"), true },
	{ "another name", EVENT("cat", "/tmp/x/cat", "192.168.3.4"), false },
	{ "another folder", EVENT("nc", "/usr/bin/nc", "192.168.3.4"), false },
	{ "another network", EVENT("nc", "/tmp/x/nc", "10.168.3.4"), false },
	{ "no such fields", "{\"process\":{\"name\":\"nc\"}}", false },
};

static const char c_asks[] =
	"#include \"shrike.h\"\n"
	"static uint32_t name, file, ip, local;\n"
	"SHRIKE_LOAD {\n"
	"	name = shrike_field(SHRIKE_TEXT(\"process.name\"));\n"
	"	file = shrike_field(SHRIKE_TEXT(\"process.executable\"));\n"
	"	ip = shrike_field(SHRIKE_TEXT(\"source.ip\"));\n"
	"	local = shrike_blocks(SHRIKE_TEXT(\"192.168.0.0/16\"));\n"
	"}\n"
	"SHRIKE_MATCH {\n"
	"	return shrike_field_is(name, SHRIKE_TEXT(\"nc\")) && shrike_field_in_blocks(ip, local) &&\n"
	"	       shrike_field_starts_with(file, SHRIKE_TEXT(\"/tmp/\"));\n"
	"}\n";

/* Looks itself, at texts on its stack and in a static buffer, and counts in static memory. */
static const char c_looks[] = "#include \"shrike.h\"\n"
			      "static uint32_t name, file, ip, runs;\n"
			      "static char path[256];\n"
			      "SHRIKE_LOAD {\n"
			      "	name = shrike_field(SHRIKE_TEXT(\"process.name\"));\n"
			      "	file = shrike_field(SHRIKE_TEXT(\"process.executable\"));\n"
			      "	ip = shrike_field(SHRIKE_TEXT(\"source.ip\"));\n"
			      "}\n"
			      "static int begins(const char *s, int n, const char *with) {\n"
			      "	for (int i = 0; with[i]; i++) if (i >= n || s[i] != with[i]) return 0;\n"
			      "	return 1;\n"
			      "}\n"
			      "SHRIKE_MATCH {\n"
			      "	char text[64];\n"
			      "	int n = shrike_text(name, text, sizeof(text));\n"
			      "	if (runs++ != 0 || n != 2 || !begins(text, n, \"nc\")) return 0;\n"
			      "	n = shrike_text(ip, text, sizeof(text));\n"
			      "	if (!begins(text, n, \"192.168.\")) return 0;\n"
			      "	n = shrike_text(file, path, sizeof(path));\n"
			      "	return begins(path, n, \"/tmp/\");\n"
			      "}\n";

static const char rust_asks[] =
	"#![no_std]\n"
	"#[link(wasm_import_module = \"shrike\")]\n"
	"extern \"C\" {\n"
	"    fn field(name: *const u8, size: usize) -> u32;\n"
	"    fn blocks(blocks: *const u8, size: usize) -> u32;\n"
	"    fn field_is(field: u32, text: *const u8, size: usize) -> i32;\n"
	"    fn field_in_blocks(field: u32, blocks: u32) -> i32;\n"
	"    fn text(field: u32, to: *mut u8, room: usize) -> i32;\n"
	"}\n"
	"static mut NAMED: [u32; 4] = [0; 4];\n"
	"fn named(name: &str) -> u32 { unsafe { field(name.as_ptr(), name.len()) } }\n"
	"#[no_mangle] pub extern \"C\" fn load() {\n"
	"    let local = \"192.168.0.0/16\";\n"
	"    unsafe {\n"
	"        NAMED = [named(\"process.name\"), named(\"process.executable\"), named(\"source.ip\"),\n"
	"            blocks(local.as_ptr(), local.len())];\n"
	"    }\n"
	"}\n"
	"#[no_mangle] pub extern \"C\" fn r#match() -> i32 {\n"
	"    let mut path = [0u8; 64];\n"
	"    let n = unsafe { NAMED };\n"
	"    unsafe {\n"
	"        if field_is(n[0], \"nc\".as_ptr(), 2) != 1 || field_in_blocks(n[2], n[3]) != 1 { return 0 }\n"
	"        let len = text(n[1], path.as_mut_ptr(), path.len());\n"
	"        (len >= 5 && u32::from_le_bytes([path[0], path[1], path[2], path[3]]) == 0x706d742f) as i32\n"
	"    }\n"
	"}\n"
	"#[panic_handler] fn panic(_: &core::panic::PanicInfo) -> ! { loop {} }\n";

/* A folder of a test's own, and a module that was built in it. */
struct built {
	char folder[64];
	char *bytes;
	size_t n;
};

static void built_free(struct built *b)
{
	char path[PATH_MAX];

	free(b->bytes);
	if (!b->folder[0])
		return;
	(void)snprintf(path, sizeof(path), "rm -rf '%s'", b->folder);
	(void)!system(path);
}
#define auto_built __attribute__((cleanup(built_free)))

/* False: the compiler did not make one. `command` is a format: the source, the result. */
static bool build(struct built *b, const char *file, const char *text, const char *command)
{
	char source[128], result[128], line[1024];
	struct stat st;
	FILE *f;
	bool ok;

	(void)snprintf(b->folder, sizeof(b->folder), "/tmp/shrike-sdk-XXXXXX");
	if (!mkdtemp(b->folder)) {
		b->folder[0] = 0;
		return false;
	}
	(void)snprintf(source, sizeof(source), "%s/%s", b->folder, file);
	(void)snprintf(result, sizeof(result), "%s/module.wasm", b->folder);
	f = fopen(source, "we");
	if (!f)
		return false;
	ok = fputs(text, f) >= 0;
	if (fclose(f) != 0 || !ok)
		return false;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	(void)snprintf(line, sizeof(line), command, source, result);
#pragma GCC diagnostic pop
	if (system(line) != 0 || stat(result, &st) < 0)
		return false;
	f = fopen(result, "re");
	b->n = (size_t)st.st_size;
	b->bytes = malloc(b->n + 1);
	ok = f && b->bytes && fread(b->bytes, 1, b->n, f) == b->n;
	if (f)
		(void)fclose(f);
	return ok;
}

static bool have_library(void)
{
	static const char text[] = "(module (func (export \"match\") (result i32) (i32.const 0)))";
	AUTO(script_code) code = NULL;
	struct diag diag;

	return script_compile(SCRIPT_WASM, "none.wasm", text, strlen(text), NULL, &diag, &code) != -ENOTSUP;
}

static void run_all(const struct built *b)
{
	AUTO(script_code) code = NULL;
	AUTO(script) s = NULL;
	struct diag diag;

	require_ok(script_compile(SCRIPT_WASM, "rule.wasm", b->bytes, b->n, NULL, &diag, &code));
	require_ok(script_open(code, &s));
	for (int again = 0; again < 3; again++)
		for_each_row (e, events) {
			auto_json_event struct json_event json;
			struct event ev;
			int got;

			json_event_init(&json, false);
			require_ok(json_event_parse(&json, e->event, strlen(e->event)));
			ev = json_event_as_event(&json);
			got = script_run(s, &ev);
			check_int(got, e->want ? SCRIPT_YES : SCRIPT_NO);
			if (got > SCRIPT_YES)
				check_str(script_error(s), "");
		}
}

TEST(rules_in_c_are_built_with_the_header_and_run)
{
	static const struct {
		const char *name, *text;
	} rows[] = { { "asks the host", c_asks }, { "looks itself", c_looks } };

	if (!have_library())
		skip("no-wasmtime");
	if (system("command -v clang-19 wasm-ld-19 >/dev/null 2>&1") != 0)
		skip("no-wasm-compiler");
	for_each_row (r, rows) {
		auto_built struct built b = { 0 };

		require(build(&b, "rule.c", r->text,
			      "clang-19 --target=wasm32 -O2 -nostdlib -Wall -Wextra -Werror -Wl,--no-entry "
			      "-I " SHRIKE_SOURCE_DIR "/sdk '%s' -o '%s'"));
		run_all(&b);
	}
}

/* The first rustc that has the target. It makes an object, which is linked here: not every one has a linker for it. */
#define RUSTC                                                                                                          \
	"for rustc in rustc /usr/bin/rustc; do"                                                                        \
	" ls \"$($rustc --print target-libdir --target wasm32-unknown-unknown)\"/libcore* || continue; "

TEST(rules_in_rust_are_built_and_run)
{
	auto_built struct built b = { 0 };

	if (!have_library())
		skip("no-wasmtime");
	if (system("{ " RUSTC "command -v wasm-ld-19 && exit 0; done; exit 1; } >/dev/null 2>&1") != 0)
		skip("no-wasm-compiler");
	require(build(&b, "rule.rs", rust_asks,
		      "s='%s' m='%s'; { " RUSTC "$rustc --crate-type lib --emit obj --target wasm32-unknown-unknown -O"
		      " -C codegen-units=1 -C panic=abort \"$s\" -o \"$s.o\" && wasm-ld-19 --no-entry --export=load"
		      " --export=match --import-undefined \"$s.o\" -o \"$m\"; exit; done; } >/dev/null 2>&1"));
	run_all(&b);
}
