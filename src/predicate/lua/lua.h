/* SPDX-License-Identifier: Apache-2.0 */
/* lua - what the files of this folder share: one instance, its limits, and the library that scripts see. */
#pragma once
#include <lauxlib.h>
#include <lua.h>
#include "predicate/lua/pool.h"
#include "predicate/runtime.h"

enum lua_stop { LUA_GOES_ON, LUA_TOO_LONG, LUA_TOO_MUCH };

struct lua_code {
	const char *name;
	const struct script_limits *limits;
	struct host_code *host;
	char *text;
	size_t n;
	/* A run would leave something behind: its top level is run anew for each event, in a world of its own. */
	bool keeps_state;
};

struct lua {
	const struct lua_code *code;
	lua_State *L; /* NULL: thrown away */
	struct pool pool;
	/* Of this run. */
	enum lua_stop stop;
	uint64_t instructions, instructions_max;
	uint64_t until_ns, began_cpu_ns, time_ns; /* until_ns 0: nobody has looked at the clock yet */
	uint64_t worked;                          /* of host.work: what has been held against the limits */
	uint32_t bytes_unseen;                    /* bytes of memory handed out since the clock was looked at */
	/* Steps between two looks of the hook: fewer where one instruction may be about a large block. */
	uint32_t step, n_large;
	char error[SCRIPT_ERROR_MAX];
	struct host host;
};

/* The instance that a state belongs to. */
static inline struct lua *lua_of(lua_State *L)
{
	void *ud;

	(void)lua_getallocf(L, &ud);
	return ud;
}

/* So much was done in one call: ends the run when that is beyond its limits. */
void lua_charge(lua_State *L, struct lua *lua, uint64_t instructions);
/* A call about so many bytes is to begin: ends the run when it would end too late. */
void lua_look_ahead(lua_State *L, struct lua *lua, size_t bytes);
/* Leaves the table with all that scripts see on the stack. Errors are Lua's. */
void lua_library(lua_State *L);
/* Leaves the event on the stack. */
void lua_push_event(lua_State *L);
/* Names as fields what is written in a script as the name of one: events that come have them then. */
void lua_name_fields(const struct lua_code *code, struct host *host);
