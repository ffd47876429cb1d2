/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stack_names - adds to an event with stacks what their addresses are called, for people.
 *
 * The record keeps raw addresses; the names stand in process.thread.kernel_stack_symbols and
 * user_stack_symbols. They are looked up when a client reads the event, never on the way of records.
 */
#pragma once
#include "base/mem.h"
#include "event/event.h"

struct stack_names;

int stack_names_open(struct stack_names **ret_names);
void stack_names_free(struct stack_names *names);
DEFINE_AUTO(stack_names)

/* Room for the names of one event. */
struct stack_view {
	struct event inner;
	struct buf text[2]; /* kernel, user */
	struct value items[2][EV_STACK_MAX];
	size_t n[2];
};
void stack_view_init(struct stack_view *view);
void stack_view_free(struct stack_view *view);

/* The event with names; the event itself where it has no stacks. Any thread: one at a time gets in. */
struct event stack_names_of(struct stack_names *names, const struct event *ev, struct stack_view *view);
