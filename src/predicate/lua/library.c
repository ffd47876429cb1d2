/* SPDX-License-Identifier: Apache-2.0 */
/*
 * library - what a script in Lua sees: the event, shrike.*, and of Lua's own library what can do no harm.
 *
 * Left out, because it reaches outside, loads code, stops the stop, or lets one event tell the next something: io, os,
 * ffi, jit, debug, package, coroutine, load and its sisters, pcall, xpcall, collectgarbage, metatables, raw access,
 * environments, random numbers.
 *
 * A call of C cannot be interrupted: each takes its own measure (lua_charge), is about one block of memory at the most,
 * or is written in Lua here. Patterns of Lua take exponential time and are not offered; shrike.regex() has linear ones.
 *
 * Nothing tells where it lies in memory or in which order a table keeps its keys: an answer would depend on it.
 */
#include <lualib.h>
#include <string.h>
#include "base/ip.h"
#include "predicate/lua/lua.h"

/* ---- the event --------------------------------------------------------------------------------------------- */

static int fail(lua_State *L, const struct lua *lua)
{
	return luaL_error(L, "%s", lua->host.error);
}

/* The handle of the field whose name is at `at`; names that were asked for before are in the table at `cache`. */
static uint32_t field_named(lua_State *L, struct lua *lua, int at, int cache)
{
	uint32_t handle;
	const char *name;
	size_t n;

	lua_pushvalue(L, at);
	lua_rawget(L, cache);
	handle = (uint32_t)lua_tonumber(L, -1);
	lua_pop(L, 1);
	if (handle)
		return handle;
	name = lua_tolstring(L, at, &n);
	handle = host_find_field(&lua->host, name, n);
	if (!handle) {
		(void)fail(L, lua);
		return 0;
	}
	lua_pushvalue(L, at);
	lua_pushnumber(L, handle);
	lua_rawset(L, cache);
	return handle;
}

static void push_text(lua_State *L, struct lua *lua, const struct value *v)
{
	struct str text;

	if (host_text_of(&lua->host, v, &text))
		lua_pushlstring(L, text.p, text.n);
	else
		lua_pushnil(L);
}

static void push_scalar(lua_State *L, struct lua *lua, const struct value *v)
{
	switch (v->type) {
	case VALUE_BOOL:
		lua_pushboolean(L, v->b);
		break;
	case VALUE_INT:
		lua_pushnumber(L, (double)v->i);
		break;
	case VALUE_UINT:
		lua_pushnumber(L, (double)v->u);
		break;
	case VALUE_FLOAT:
		lua_pushnumber(L, v->f);
		break;
	case VALUE_STR:
		lua->host.work += v->s.n;
		lua_pushlstring(L, v->s.p, v->s.n);
		break;
	default:
		push_text(L, lua, v);
		break;
	}
}

static void charge_work(lua_State *L, struct lua *lua)
{
	/* A short one is paid for by the instruction that calls. */
	if (lua->host.work - lua->worked > 256) {
		uint64_t more = lua->host.work - lua->worked;

		lua->worked = lua->host.work;
		lua_charge(L, lua, more / 8);
	}
}

/* event["process.name"] */
static int event_index(lua_State *L)
{
	struct lua *lua = lua_of(L);
	struct value v;

	if (lua_type(L, 2) != LUA_TSTRING)
		return luaL_error(L, "the name of a field is a string, not %s", luaL_typename(L, 2));
	if (!lua->host.ev)
		return luaL_error(L, "there is no event while the script is loaded");
	if (!host_get(&lua->host, field_named(L, lua, 2, lua_upvalueindex(1)), &v))
		return 0;
	if (v.type != VALUE_LIST) {
		push_scalar(L, lua, &v);
	} else {
		/* The scratch that the items stand in stays as it is: a text that is made has a room of its own. */
		lua_createtable(L, (int)v.list.n, 0);
		for (size_t i = 0, n = 0; i < v.list.n; i++) {
			lua->host.work += 8;
			push_scalar(L, lua, &v.list.items[i]);
			if (lua_isnil(L, -1))
				lua_pop(L, 1);
			else
				lua_rawseti(L, -2, (int)++n);
		}
	}
	charge_work(L, lua);
	return 1;
}

static int event_newindex(lua_State *L)
{
	return luaL_error(L, "an event cannot be changed");
}

static int event_name(lua_State *L)
{
	lua_pushliteral(L, "event");
	return 1;
}

void lua_push_event(lua_State *L)
{
	(void)lua_newuserdata(L, 1);
	lua_newtable(L);
	lua_getfield(L, LUA_REGISTRYINDEX, "fields");
	lua_pushcclosure(L, event_index, 1);
	lua_setfield(L, -2, "__index");
	lua_pushcfunction(L, event_newindex);
	lua_setfield(L, -2, "__newindex");
	lua_pushcfunction(L, event_name);
	lua_setfield(L, -2, "__tostring");
	(void)lua_setmetatable(L, -2);
}

/* ---- Host API ---------------------------------------------------------------------------------------------- */

/* Numbers that a double holds exactly. */
#define EXACT 0x1p53

static int bad_argument(lua_State *L, const struct host_function *f, int i, const char *wanted)
{
	return luaL_error(L, "%s: %s must be %s, not %s", f->name, f->arg[i].name, wanted, luaL_typename(L, i + 1));
}

/* False: a text that is nil. */
static bool take_argument(lua_State *L, struct lua *lua, const struct host_function *f, int i, union host_value *to)
{
	int type = lua_type(L, i + 1);
	double number;

	switch (f->arg[i].type) {
	case HOST_TEXT:
		if (type == LUA_TSTRING)
			to->s.p = lua_tolstring(L, i + 1, &to->s.n);
		else if (type == LUA_TNIL)
			return false;
		else
			(void)bad_argument(L, f, i, "a string");
		return true;
	case HOST_FIELD:
		if (type == LUA_TSTRING) {
			to->handle = field_named(L, lua, i + 1, lua_upvalueindex(2));
			return true;
		}
		__attribute__((fallthrough));
	case HOST_PATTERN:
	case HOST_BLOCKS:
	case HOST_LIST:
		number = lua_tonumber(L, i + 1);
		if (type != LUA_TNUMBER || !(number >= 0 && number <= UINT32_MAX))
			(void)bad_argument(L, f, i, f->arg[i].type == HOST_FIELD ? "a field or its name" : "a handle");
		to->handle = (uint32_t)number;
		return true;
	case HOST_INT:
		number = lua_tonumber(L, i + 1);
		if (type != LUA_TNUMBER || !(number >= -EXACT && number <= EXACT) || number != (double)(int64_t)number)
			(void)bad_argument(L, f, i, "a whole number");
		to->i = (int64_t)number;
		return true;
	case HOST_FLOAT:
		if (type != LUA_TNUMBER)
			(void)bad_argument(L, f, i, "a number");
		to->f = lua_tonumber(L, i + 1);
		return true;
	case HOST_BOOL:
		to->b = lua_toboolean(L, i + 1);
		return true;
	default:
		return true;
	}
}

/* Upvalues: the function's row, and the names of fields. */
static int call_host(lua_State *L)
{
	const struct host_function *f = lua_touserdata(L, lua_upvalueindex(1));
	struct lua *lua = lua_of(L);
	union host_value arg[HOST_ARGS_MAX], result;
	enum host_result r;
	size_t bytes = 0;

	for (int i = 0; i < HOST_ARGS_MAX && f->arg[i].type != HOST_NONE; i++) {
		if (!take_argument(L, lua, f, i, &arg[i])) {
			/* What is not there contains nothing and fits nothing: a field that is absent needs no `if`. */
			if (i > 0 || f->result != HOST_BOOL)
				return bad_argument(L, f, i, "a string");
			lua_pushboolean(L, false);
			return 1;
		}
		bytes += f->arg[i].type == HOST_TEXT ? arg[i].s.n : 0;
	}
	lua_look_ahead(L, lua, bytes);
	r = host_call(&lua->host, f, arg, &result);
	charge_work(L, lua);
	if (r == HOST_REFUSED)
		return fail(L, lua);
	if (r == HOST_ABSENT)
		return 0;
	switch (f->result) {
	case HOST_NONE:
		return 0;
	case HOST_BOOL:
		lua_pushboolean(L, result.b);
		break;
	case HOST_INT:
		lua_pushnumber(L, (double)result.i);
		break;
	case HOST_FLOAT:
		lua_pushnumber(L, result.f);
		break;
	case HOST_TEXT:
		lua_pushlstring(L, result.s.p, result.s.n);
		break;
	default:
		lua_pushnumber(L, result.handle);
		break;
	}
	return 1;
}

/* ---- of Lua's library -------------------------------------------------------------------------------------- */

/* Calls the function that is upvalue 1 with the same arguments. */
static int pass_on(lua_State *L)
{
	int n = lua_gettop(L);

	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, n, LUA_MULTRET);
	return lua_gettop(L);
}

/* In proportion to the length of the first argument. */
static int charged(lua_State *L)
{
	int type = lua_type(L, 1);

	if (type == LUA_TTABLE || type == LUA_TSTRING)
		lua_charge(L, lua_of(L), lua_objlen(L, 1) / 4);
	return pass_on(L);
}

/* table.insert(t, v) and table.remove(t) move nothing. */
static int charged_move(lua_State *L)
{
	int n = lua_gettop(L);

	if (lua_type(L, 1) == LUA_TTABLE && n > (int)lua_tointeger(L, lua_upvalueindex(2)))
		lua_charge(L, lua_of(L), lua_objlen(L, 1));
	return pass_on(L);
}

/* A number beyond the range of int would become another one, and not the same on each machine. */
static int repeat(lua_State *L)
{
	double n = luaL_checknumber(L, 2);

	luaL_argcheck(L, n >= -1 && n <= INT32_MAX, 2, "beyond what can be");
	return charged(L);
}

static bool shows_its_place(lua_State *L, int i)
{
	return lua_type(L, i) > LUA_TSTRING || lua_islightuserdata(L, i);
}

static int text_of(lua_State *L)
{
	luaL_checkany(L, 1);
	if (shows_its_place(L, 1)) {
		lua_pushstring(L, luaL_typename(L, 1));
		return 1;
	}
	return pass_on(L);
}

static int format(lua_State *L)
{
	size_t n;
	const char *p = luaL_checklstring(L, 1, &n);

	lua_charge(L, lua_of(L), n / 4);
	for (const char *end = p + n; (p = memchr(p, '%', (size_t)(end - p))); p++) {
		p++;
		p += strspn(p, "-+ #0123456789.");
		if (p >= end)
			break;
		if (*p == 'p')
			return luaL_error(L, "string.format: %%p is not offered");
	}
	for (int i = 2; i <= lua_gettop(L); i++)
		if (shows_its_place(L, i)) {
			lua_pushstring(L, luaL_typename(L, i));
			lua_replace(L, i);
		}
	return pass_on(L);
}

/* string.find(text, part, from): plain texts alone. */
static int find(lua_State *L)
{
	size_t n, part_n;
	const char *p = luaL_checklstring(L, 1, &n), *part = luaL_checklstring(L, 2, &part_n), *at;
	double from = luaL_optnumber(L, 3, 1);

	if (lua_gettop(L) < 4 && strpbrk(part, "^$*+?.([%-") != NULL)
		return luaL_error(L,
				  "string.find has no patterns: say find(text, part, 1, true) for a plain text, or use "
				  "shrike.regex()");
	if (from < 0)
		from = from + (double)n + 1;
	if (!(from >= 1))
		from = 1;
	if (from > (double)n + 1)
		return 0;
	lua_charge(L, lua_of(L), (n + part_n) / 16);
	lua_look_ahead(L, lua_of(L), n + part_n);
	at = part_n ? memmem(p + (size_t)from - 1, n - ((size_t)from - 1), part, part_n) : p + (size_t)from - 1;
	if (!at)
		return 0;
	lua_pushnumber(L, (double)(at - p) + 1);
	lua_pushnumber(L, (double)(at - p) + (double)part_n);
	return 2;
}

static int no_patterns(lua_State *L)
{
	return luaL_error(L,
			  "string.%s is not offered, because its patterns can take for ever: use shrike.regex() and "
			  "shrike.matches()",
			  lua_tostring(L, lua_upvalueindex(1)));
}

/* Written in Lua, so that they are counted and interrupted like the script itself. */
static const char prelude[] = "local raw, floor, error, type, concat, next = ...\n"
			      "local list_of, blocks = raw.list_of, raw.blocks\n"
			      "local function less(a, b) return a < b end\n"
			      "local function sort(t, before)\n"
			      "  local n = #t\n"
			      "  before = before or less\n"
			      "  local function sink(i, last)\n"
			      "    local v = t[i]\n"
			      "    while 2 * i <= last do\n"
			      "      local k = 2 * i\n"
			      "      if k < last and before(t[k], t[k + 1]) then k = k + 1 end\n"
			      "      if not before(v, t[k]) then break end\n"
			      "      t[i] = t[k]\n"
			      "      i = k\n"
			      "    end\n"
			      "    t[i] = v\n"
			      "  end\n"
			      "  for i = floor(n / 2), 1, -1 do sink(i, n) end\n"
			      "  for last = n, 2, -1 do\n"
			      "    t[1], t[last] = t[last], t[1]\n"
			      "    sink(1, last - 1)\n"
			      "  end\n"
			      "end\n"
			      "local function before(a, b)\n"
			      "  local x, y = type(a), type(b)\n"
			      "  if x ~= y then return x < y end\n"
			      "  if x == 'boolean' then return not a and b end\n"
			      "  return a < b\n"
			      "end\n"
			      "local function pairs(t)\n"
			      "  local keys, n, i = {}, 0, 0\n"
			      "  for k in next, t do\n"
			      "    local kind = type(k)\n"
			      "    if kind ~= 'string' and kind ~= 'number' and kind ~= 'boolean' then\n"
			      "      error('pairs: keys that are no strings, numbers or booleans have no order', 2)\n"
			      "    end\n"
			      "    n = n + 1\n"
			      "    keys[n] = k\n"
			      "  end\n"
			      "  sort(keys, before)\n"
			      "  return function()\n"
			      "    while i < n do\n"
			      "      i = i + 1\n"
			      "      local v = t[keys[i]]\n"
			      "      if v ~= nil then return keys[i], v end\n"
			      "    end\n"
			      "  end\n"
			      "end\n"
			      "raw.list_of = function(x)\n"
			      "  if type(x) == 'table' then x = concat(x, '\\n') end\n"
			      "  return list_of(x)\n"
			      "end\n"
			      "raw.blocks = function(x)\n"
			      "  if type(x) == 'table' then x = concat(x, ' ') end\n"
			      "  return blocks(x)\n"
			      "end\n"
			      "return sort, pairs\n";

/* How a function of Lua's library is taken over. */
enum taken { AS_IT_IS, CHARGED, CHARGED_FROM_2, CHARGED_FROM_3, REPEAT, TEXT_OF, FORMAT, FIND, NO_PATTERNS };

static const struct {
	const char *lib, *name;
	enum taken how;
} taken[] = {
	{ NULL, "assert", AS_IT_IS },
	{ NULL, "error", AS_IT_IS },
	{ NULL, "ipairs", AS_IT_IS },
	{ NULL, "select", AS_IT_IS },
	{ NULL, "tonumber", CHARGED },
	{ NULL, "tostring", TEXT_OF },
	{ NULL, "type", AS_IT_IS },
	{ NULL, "unpack", AS_IT_IS },
	{ "string", "byte", AS_IT_IS },
	{ "string", "char", AS_IT_IS },
	{ "string", "find", FIND },
	{ "string", "format", FORMAT },
	{ "string", "gmatch", NO_PATTERNS },
	{ "string", "gsub", NO_PATTERNS },
	{ "string", "match", NO_PATTERNS },
	{ "string", "len", AS_IT_IS },
	{ "string", "lower", CHARGED },
	{ "string", "rep", REPEAT },
	{ "string", "reverse", CHARGED },
	{ "string", "sub", AS_IT_IS },
	{ "string", "upper", CHARGED },
	{ "table", "concat", CHARGED },
	{ "table", "insert", CHARGED_FROM_3 },
	{ "table", "remove", CHARGED_FROM_2 },
	{ "math", "abs", AS_IT_IS },
	{ "math", "ceil", AS_IT_IS },
	{ "math", "floor", AS_IT_IS },
	{ "math", "fmod", AS_IT_IS },
	{ "math", "log", AS_IT_IS },
	{ "math", "log10", AS_IT_IS },
	{ "math", "exp", AS_IT_IS },
	{ "math", "max", AS_IT_IS },
	{ "math", "min", AS_IT_IS },
	{ "math", "modf", AS_IT_IS },
	{ "math", "pow", AS_IT_IS },
	{ "math", "sqrt", AS_IT_IS },
	{ "bit", "arshift", AS_IT_IS },
	{ "bit", "band", AS_IT_IS },
	{ "bit", "bnot", AS_IT_IS },
	{ "bit", "bor", AS_IT_IS },
	{ "bit", "bxor", AS_IT_IS },
	{ "bit", "lshift", AS_IT_IS },
	{ "bit", "rol", AS_IT_IS },
	{ "bit", "ror", AS_IT_IS },
	{ "bit", "rshift", AS_IT_IS },
	{ "bit", "tobit", AS_IT_IS },
	{ "bit", "tohex", AS_IT_IS },
};

static int is_read_only(lua_State *L)
{
	return luaL_error(L, "%s cannot be changed", lua_tostring(L, lua_upvalueindex(1)));
}

/* Puts an empty table that shows the one on the stack, and takes nothing, in its place. */
static void make_read_only(lua_State *L, const char *name)
{
	lua_newtable(L);
	lua_createtable(L, 0, 2);
	lua_pushvalue(L, -3);
	lua_setfield(L, -2, "__index");
	lua_pushstring(L, name);
	lua_pushcclosure(L, is_read_only, 1);
	lua_setfield(L, -2, "__newindex");
	(void)lua_setmetatable(L, -2);
	lua_remove(L, -2);
	/* Known as ours: it keeps nothing. */
	lua_getfield(L, LUA_REGISTRYINDEX, "ours");
	lua_pushvalue(L, -2);
	lua_pushboolean(L, true);
	lua_rawset(L, -3);
	lua_pop(L, 1);
}

static void open_lib(lua_State *L, const char *name, lua_CFunction open)
{
	lua_pushcfunction(L, open);
	lua_pushstring(L, name);
	lua_call(L, 1, 0);
}

/* Leaves the function, as scripts may have it, in the place of the one on the stack. */
static void take_over(lua_State *L, const char *name, enum taken how)
{
	switch (how) {
	case AS_IT_IS:
		break;
	case CHARGED:
		lua_pushcclosure(L, charged, 1);
		break;
	case CHARGED_FROM_2:
	case CHARGED_FROM_3:
		lua_pushinteger(L, how == CHARGED_FROM_2 ? 1 : 2);
		lua_pushcclosure(L, charged_move, 2);
		break;
	case REPEAT:
		lua_pushcclosure(L, repeat, 1);
		break;
	case TEXT_OF:
		lua_pushcclosure(L, text_of, 1);
		break;
	case FORMAT:
		lua_pushcclosure(L, format, 1);
		break;
	case FIND:
		lua_pushcclosure(L, find, 1);
		break;
	case NO_PATTERNS:
		lua_pop(L, 1);
		lua_pushstring(L, name);
		lua_pushcclosure(L, no_patterns, 1);
		break;
	}
}

/* The table `lib` of the one at `world`, made when it is not there. NULL: that one itself. */
static void push_lib(lua_State *L, int world, const char *lib)
{
	if (!lib) {
		lua_pushvalue(L, world);
		return;
	}
	lua_getfield(L, world, lib);
	if (lua_isnil(L, -1)) {
		lua_pop(L, 1);
		lua_newtable(L);
		lua_pushvalue(L, -1);
		lua_setfield(L, world, lib);
	}
}

void lua_library(lua_State *L)
{
	static const char *const libs[] = { "string", "table", "math", "bit", "shrike" };
	int world;

	lua_newtable(L);
	lua_setfield(L, LUA_REGISTRYINDEX, "ours");
	lua_newtable(L);
	lua_setfield(L, LUA_REGISTRYINDEX, "fields");
	open_lib(L, "", luaopen_base);
	open_lib(L, LUA_STRLIBNAME, luaopen_string);
	open_lib(L, LUA_TABLIBNAME, luaopen_table);
	open_lib(L, LUA_MATHLIBNAME, luaopen_math);
	open_lib(L, LUA_BITLIBNAME, luaopen_bit);

	lua_newtable(L);
	world = lua_gettop(L);
	for (size_t i = 0; i < countof(taken); i++) {
		push_lib(L, world, taken[i].lib);
		push_lib(L, LUA_GLOBALSINDEX, taken[i].lib);
		lua_getfield(L, -1, taken[i].name);
		lua_remove(L, -2);
		take_over(L, taken[i].name, taken[i].how);
		lua_setfield(L, -2, taken[i].name);
		lua_pop(L, 1);
	}
	push_lib(L, world, "math");
	lua_pushnumber(L, __builtin_huge_val());
	lua_setfield(L, -2, "huge");
	lua_pop(L, 1);

	push_lib(L, world, "shrike");
	for (size_t i = 0; i < host_n_functions; i++) {
		lua_pushlightuserdata(L, (void *)(uintptr_t)&host_functions[i]);
		lua_getfield(L, LUA_REGISTRYINDEX, "fields");
		lua_pushcclosure(L, call_host, 2);
		lua_setfield(L, -2, host_functions[i].name);
	}
	if (luaL_loadbuffer(L, prelude, sizeof(prelude) - 1, "=library") != 0)
		(void)lua_error(L);
	lua_pushvalue(L, -2);
	lua_getglobal(L, "math");
	lua_getfield(L, -1, "floor");
	lua_remove(L, -2);
	lua_getglobal(L, "error");
	lua_getglobal(L, "type");
	lua_getfield(L, world, "table");
	lua_getfield(L, -1, "concat");
	lua_remove(L, -2);
	lua_getglobal(L, "next");
	lua_call(L, 6, 2);
	lua_setfield(L, world, "pairs");
	lua_getfield(L, world, "table");
	lua_insert(L, -2);
	lua_setfield(L, -2, "sort");
	lua_settop(L, world);

	/* ("text"):lower() finds what string.lower is here. */
	lua_pushliteral(L, "");
	(void)lua_getmetatable(L, -1);
	lua_getfield(L, world, "string");
	lua_setfield(L, -2, "__index");
	lua_settop(L, world);
	for (size_t i = 0; i < countof(libs); i++) {
		lua_getfield(L, world, libs[i]);
		make_read_only(L, libs[i]);
		lua_setfield(L, world, libs[i]);
	}
	/* Nothing of ours is needed any more that Lua's own table of globals or of modules holds. */
	lua_newtable(L);
	lua_replace(L, LUA_GLOBALSINDEX);
	lua_pushnil(L);
	lua_setfield(L, LUA_REGISTRYINDEX, "_LOADED");
	lua_settop(L, world);
}
