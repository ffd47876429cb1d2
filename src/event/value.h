/* SPDX-License-Identifier: Apache-2.0 */
/*
 * value - what a field of an event holds, whatever the event is made of.
 *
 * A value borrows: its bytes belong to the event (or to the scratch given to the
 * accessor) and live as long as it does.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "event/abi.h"

enum value_type {
	VALUE_NULL, /* present and null, or absent */
	VALUE_BOOL,
	VALUE_INT,
	VALUE_UINT, /* only where it does not fit VALUE_INT, or the field is unsigned by nature */
	VALUE_FLOAT,
	VALUE_STR,
	VALUE_IP,
	VALUE_LIST,
};

struct str {
	const char *p;
	size_t n;
};

struct value {
	enum value_type type;
	union {
		bool b;
		int64_t i;
		uint64_t u;
		double f;
		struct str s;
		struct ev_addr ip;
		struct {
			const struct value *items;
			size_t n;
		} list;
	};
};
