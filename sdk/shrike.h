/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
/*
 * shrike - what a script in C may ask of the agent: Host API v1. Written by `make reference` from its table.
 *
 *	#include "shrike.h"
 *	static uint32_t name;
 *	SHRIKE_LOAD { name = shrike_field(SHRIKE_TEXT("process.name")); }
 *	SHRIKE_MATCH { return shrike_field_is(name, SHRIKE_TEXT("nc")); }
 *
 *	clang --target=wasm32 -O2 -nostdlib -Wl,--no-entry -I sdk rule.c -o rule.wasm
 *
 * Texts are not terminated: each has its size in bytes beside it. A text that is given back is written where `to`
 * points, as much of it as there is room for, and its whole size is returned; -1: there is none. Handles (uint32_t)
 * are made in SHRIKE_LOAD. A call with what is not allowed ends the run.
 *
 * A match that stores nothing is some fifty times faster than one that does: texts that the host writes into a
 * buffer, on the stack or static, do not count. Whatever it stores is forgotten after each event in any case.
 */
#pragma once
#include <stdint.h>

#define SHRIKE_LOAD  __attribute__((export_name("load"))) void shrike_load(void)
#define SHRIKE_MATCH __attribute__((export_name("match"))) int32_t shrike_match(void)
/* A literal, with its size. */
#define SHRIKE_TEXT(literal) (literal), (uint32_t)(sizeof(literal) - 1)
#define SHRIKE_IMPORT(name) __attribute__((import_module("shrike"), import_name(name))) extern

/* Names a field of events, such as process.name. */
SHRIKE_IMPORT("field") uint32_t shrike_field(const char *name, uint32_t name_size);

/* Names a regular expression of the whole text, in Lucene's syntax as in EQL's `regex`. */
SHRIKE_IMPORT("regex") uint32_t shrike_regex(const char *pattern, uint32_t pattern_size);

/* The same, and the case of letters does not count. */
SHRIKE_IMPORT("regex_fold") uint32_t shrike_regex_fold(const char *pattern, uint32_t pattern_size);

/* Names a pattern of the whole text in which * is any text and ? any character. */
SHRIKE_IMPORT("wildcard") uint32_t shrike_wildcard(const char *pattern, uint32_t pattern_size);

/* The same, and the case of letters does not count. */
SHRIKE_IMPORT("wildcard_fold") uint32_t shrike_wildcard_fold(const char *pattern, uint32_t pattern_size);

/* Names blocks of addresses, such as "10.0.0.0/8 fd00::/8": blanks or commas between them. */
SHRIKE_IMPORT("blocks") uint32_t shrike_blocks(const char *blocks, uint32_t blocks_size);

/* Names a list that the rule's file has under `lists`. */
SHRIKE_IMPORT("list") uint32_t shrike_list(const char *name, uint32_t name_size);

/* Makes a list of a text, one item a line; empty lines are none. */
SHRIKE_IMPORT("list_of") uint32_t shrike_list_of(const char *lines, uint32_t lines_size);

/* The event's category (event.category), the first when it has several. */
SHRIKE_IMPORT("category") int32_t shrike_category(char *to, uint32_t room);

/* What kind of event it is (event.dataset), such as process.exec. */
SHRIKE_IMPORT("dataset") int32_t shrike_dataset(char *to, uint32_t room);

/* When it happened (@timestamp): nanoseconds since 1970. */
SHRIKE_IMPORT("time") int64_t shrike_time(int64_t absent);

/* Has the event such a field, with a value that is not null? */
SHRIKE_IMPORT("exists") int32_t shrike_exists(uint32_t field);

/* Its value as a text, numbers and addresses as they are written; of a list, the first item's. */
SHRIKE_IMPORT("text") int32_t shrike_text(uint32_t field, char *to, uint32_t room);

/* Its value as a whole number, texts of digits too; of a list, the first item's. */
SHRIKE_IMPORT("int") int64_t shrike_int(uint32_t field, int64_t absent);

/* Its value as a number; of a list, the first item's. */
SHRIKE_IMPORT("float") double shrike_float(uint32_t field, double absent);

/* Its value when it is true or false; of a list, the first item's. */
SHRIKE_IMPORT("bool") int32_t shrike_bool(uint32_t field);

/* How many items its list has: 1 of what is no list, 0 when there is none. */
SHRIKE_IMPORT("count") int64_t shrike_count(uint32_t field);

/* An item of its list as a text, counted from 0. */
SHRIKE_IMPORT("item") int32_t shrike_item(uint32_t field, int64_t index, char *to, uint32_t room);

/* An item of its list as a whole number, counted from 0. */
SHRIKE_IMPORT("item_int") int64_t shrike_item_int(uint32_t field, int64_t index, int64_t absent);

/* Is it this text? As with all that begin with field_: of a list, any item may be. */
SHRIKE_IMPORT("field_is") int32_t shrike_field_is(uint32_t field, const char *text, uint32_t text_size);

/* The same, and the case of letters does not count. */
SHRIKE_IMPORT("field_is_fold") int32_t shrike_field_is_fold(uint32_t field, const char *text, uint32_t text_size);

/* Does it contain the part? */
SHRIKE_IMPORT("field_contains") int32_t shrike_field_contains(uint32_t field, const char *part, uint32_t part_size);

/* The same, and the case of letters does not count; a part has at most 1024 characters. */
SHRIKE_IMPORT("field_contains_fold") int32_t shrike_field_contains_fold(uint32_t field, const char *part, uint32_t part_size);

/* Does it begin so? */
SHRIKE_IMPORT("field_starts_with") int32_t shrike_field_starts_with(uint32_t field, const char *start, uint32_t start_size);

/* The same, and the case of letters does not count. */
SHRIKE_IMPORT("field_starts_with_fold") int32_t shrike_field_starts_with_fold(uint32_t field, const char *start, uint32_t start_size);

/* Does it end so? */
SHRIKE_IMPORT("field_ends_with") int32_t shrike_field_ends_with(uint32_t field, const char *end, uint32_t end_size);

/* The same, and the case of letters does not count. */
SHRIKE_IMPORT("field_ends_with_fold") int32_t shrike_field_ends_with_fold(uint32_t field, const char *end, uint32_t end_size);

/* Does all of it fit the pattern? */
SHRIKE_IMPORT("field_matches") int32_t shrike_field_matches(uint32_t field, uint32_t pattern);

/* Is it in the list? */
SHRIKE_IMPORT("field_in") int32_t shrike_field_in(uint32_t field, uint32_t list);

/* The same, and the case of letters does not count. */
SHRIKE_IMPORT("field_in_fold") int32_t shrike_field_in_fold(uint32_t field, uint32_t list);

/* Is it an address in one of the blocks? */
SHRIKE_IMPORT("field_in_blocks") int32_t shrike_field_in_blocks(uint32_t field, uint32_t blocks);

/* Are two texts equal when the case of letters does not count? */
SHRIKE_IMPORT("is_fold") int32_t shrike_is_fold(const char *text, uint32_t text_size, const char *other, uint32_t other_size);

/* Does the text contain the part? */
SHRIKE_IMPORT("contains") int32_t shrike_contains(const char *text, uint32_t text_size, const char *part, uint32_t part_size);

/* The same, and the case of letters does not count; a part has at most 1024 characters. */
SHRIKE_IMPORT("contains_fold") int32_t shrike_contains_fold(const char *text, uint32_t text_size, const char *part, uint32_t part_size);

/* Does the text begin so? */
SHRIKE_IMPORT("starts_with") int32_t shrike_starts_with(const char *text, uint32_t text_size, const char *start, uint32_t start_size);

/* The same, and the case of letters does not count. */
SHRIKE_IMPORT("starts_with_fold") int32_t shrike_starts_with_fold(const char *text, uint32_t text_size, const char *start, uint32_t start_size);

/* Does the text end so? */
SHRIKE_IMPORT("ends_with") int32_t shrike_ends_with(const char *text, uint32_t text_size, const char *end, uint32_t end_size);

/* The same, and the case of letters does not count. */
SHRIKE_IMPORT("ends_with_fold") int32_t shrike_ends_with_fold(const char *text, uint32_t text_size, const char *end, uint32_t end_size);

/* Does all of the text fit the pattern? */
SHRIKE_IMPORT("matches") int32_t shrike_matches(const char *text, uint32_t text_size, uint32_t pattern);

/* Is the text in the list? */
SHRIKE_IMPORT("in_list") int32_t shrike_in_list(const char *text, uint32_t text_size, uint32_t list);

/* The same, and the case of letters does not count. */
SHRIKE_IMPORT("in_list_fold") int32_t shrike_in_list_fold(const char *text, uint32_t text_size, uint32_t list);

/* Is the text an address in one of the blocks? */
SHRIKE_IMPORT("in_blocks") int32_t shrike_in_blocks(const char *text, uint32_t text_size, uint32_t blocks);

/* Writes a line to the agent's log: at most 512 bytes, ten at once and one a second after that. */
SHRIKE_IMPORT("log") void shrike_log(const char *text, uint32_t text_size);
