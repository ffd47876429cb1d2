/* SPDX-License-Identifier: Apache-2.0 */
/* hostile - modules that mean harm, how each ends, and the words that modules of tests are written in. */
#pragma once
#include "predicate/script.h"

#define IMPORT(name, type) "(import \"shrike\" \"" name "\" (func $" name " " type "))"
#define FIELD_IMPORT       IMPORT("field", "(param i32 i32) (result i32)")
#define TEXT_IMPORT        IMPORT("text", "(param i32 i32 i32) (result i32)")

#define MATCH(body) "(func (export \"match\") (result i32) " body ")"
#define LOOP(body)  "(loop $l " body " (br $l)) (i32.const 1)"
#define MEMORY      "(memory (export \"memory\") 16)"

static const struct {
	const char *name, *text;
	uint64_t instructions; /* 0: the usual limit */
	enum script_verdict want;
	const char *error;
} hostile_modules[] = {
	{ "a loop without end", "(module " MATCH(LOOP("")) ")", 0, SCRIPT_TOO_LONG, "too many instructions" },
	{ "a loop that only time ends", "(module " MATCH(LOOP("")) ")", 1ull << 40, SCRIPT_TOO_LONG,
	  "its time is over" },
	{ "memory filled without end",
	  "(module " MEMORY MATCH(LOOP("(memory.fill (i32.const 0) (i32.const 1) (i32.const 1048576))")) ")", 0,
	  SCRIPT_TOO_LONG, "too many instructions" },
	{ "calls of the host without end",
	  "(module " FIELD_IMPORT MEMORY "(data (i32.const 0) \"a\")"
	  "(func (export \"load\") (drop (call $field (i32.const 0) (i32.const 1))))" MATCH(
		  LOOP("(drop (call $field (i32.const 0) (i32.const 1)))")) ")",
	  1ull << 40, SCRIPT_TOO_LONG, "its time is over" },
	{ "long texts for the host without end",
	  "(module " IMPORT("contains", "(param i32 i32 i32 i32) (result i32)") MEMORY
	  "(data (i32.const 1048000) \"needle\")" MATCH(LOOP(
		  "(drop (call $contains (i32.const 0) (i32.const 1000000) (i32.const 1048000) (i32.const 6)))")) ")",
	  0, SCRIPT_TOO_LONG, "its time is over" },
	{ "calls without end", "(module (func $f (call $f) (call $f))" MATCH("(call $f) (i32.const 1)") ")", 0,
	  SCRIPT_TOO_MUCH, "nested too deep" },
	{ "calls without end through a table",
	  "(module (table 1 funcref) (elem (i32.const 0) $f) (func $f (call_indirect (i32.const 0))"
	  " (call_indirect (i32.const 0)))" MATCH("(call $f) (i32.const 1)") ")",
	  0, SCRIPT_TOO_MUCH, "nested too deep" },
	{ "unreachable", "(module " MATCH("(unreachable)") ")", 0, SCRIPT_FAILED, "unreachable" },
	{ "a division by zero", "(module " MATCH("(i32.div_u (i32.const 1) (i32.const 0))") ")", 0, SCRIPT_FAILED,
	  "divided by zero" },
	{ "a load outside of memory", "(module " MEMORY MATCH("(i32.load (i32.const -1))") ")", 0, SCRIPT_FAILED,
	  "outside of its memory" },
	{ "a store far outside of memory",
	  "(module " MEMORY MATCH("(i32.store offset=4294967295 (i32.const -1) (i32.const 1)) (i32.const 1)") ")", 0,
	  SCRIPT_FAILED, "outside of its memory" },
	{ "a call of nothing",
	  "(module (table 2 funcref) (type $t (func (result i32)))" MATCH(
		  "(call_indirect (type $t) (i32.const 1))") ")",
	  0, SCRIPT_FAILED, "empty element" },
	{ "a call outside of the table",
	  "(module (table 2 funcref) (type $t (func (result i32)))" MATCH(
		  "(call_indirect (type $t) (i32.const 9))") ")",
	  0, SCRIPT_FAILED, "outside of its table" },
	{ "a text outside of memory",
	  "(module " FIELD_IMPORT MEMORY MATCH("(call $field (i32.const 1048570) (i32.const 7))") ")", 0, SCRIPT_FAILED,
	  "outside of its memory" },
	{ "a text that begins outside of memory",
	  "(module " FIELD_IMPORT MEMORY MATCH("(call $field (i32.const -1) (i32.const 0))") ")", 0, SCRIPT_FAILED,
	  "outside of its memory" },
	{ "a length that wraps around",
	  "(module " FIELD_IMPORT MEMORY MATCH("(call $field (i32.const 16) (i32.const -1))") ")", 0, SCRIPT_FAILED,
	  "outside of its memory" },
	{ "room outside of memory",
	  "(module " IMPORT("dataset", "(param i32 i32) (result i32)")
		  MEMORY MATCH("(call $dataset (i32.const 1048000) (i32.const -1))") ")",
	  0, SCRIPT_FAILED, "outside of its memory" },
	{ "texts without a memory", "(module " FIELD_IMPORT MATCH("(call $field (i32.const 0) (i32.const 0))") ")", 0,
	  SCRIPT_FAILED, "exported as \"memory\"" },
	{ "a handle that was made up",
	  "(module " IMPORT("exists", "(param i32) (result i32)") MATCH("(call $exists (i32.const 99))") ")", 0,
	  SCRIPT_FAILED, "" },
	{ "a name that was not named",
	  "(module " FIELD_IMPORT MEMORY
	  "(data (i32.const 0) \"some.field\")" MATCH("(call $field (i32.const 0) (i32.const 10))") ")",
	  0, SCRIPT_FAILED, "was not named while" },
};
