/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lua - scripts in Lua, run by LuaJIT with its compiler off: compiled loops cannot be interrupted.
 *
 * A script is a chunk that returns a function of one event, or defines match(event). docs/scripts.md tells its author
 * all about it. What is promised:
 *
 *  - A run ends within its limits: instructions are counted by a hook, memory is one mapping, the clock is looked at by
 * the hook and whenever so much memory was handed out. Where one instruction may be about a large block the hook comes
 * more often, at last with each. A call about a large text, which nothing can interrupt, is begun only when there is
 * time for all of it. Nothing that a script can call catches the stop.
 *  - A run leaves nothing behind. Globals and libraries are read-only then. A script whose functions could keep
 * something (they assign to variables outside of them, or see tables made at the top level) is found out when it is
 * compiled, and its top level is run anew for each event, in a world of its own.
 *  - After a run that was stopped the instance is made anew.
 */
#include "predicate/lua/lua.h"
#include <luajit.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"

enum {
	STEP = 100,       /* instructions between two looks */
	CLOCK_EVERY = 4,  /* looks without a large block for one at the clock */
	LARGE = 16 << 10, /* bytes of a block that one instruction may walk through */
	UNSEEN_MAX = 64 << 10,
	NS_A_BYTE = 2,    /* that a search or a pattern takes at the most: 1.3 were measured */
	LOAD_TIMES = 100, /* loading may take so much longer than a run: patterns are made then */
	MEMORY_MIN = 256 << 10,
	WALK_DEPTH_MAX = 32,
	DUMP_MAX = 8 << 20,
};

/* In the registry. */
enum { REF_LIBRARY = 1, REF_CHUNK, REF_CALLED, REF_EVENT };

/* ---- limits ------------------------------------------------------------------------------------------------- */

static uint64_t cpu_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/*
 * Will the time be over when so much more is done? It begins at the first look: a run that is never looked at is short.
 * The wall clock is cheap to read; when it says so, the thread's own time says whether the machine did other things
 * meanwhile.
 */
static bool is_late_in(struct lua *lua, uint64_t ahead_ns)
{
	uint64_t now = clock_mono_ns(), used;

	lua->bytes_unseen = 0;
	if (!lua->until_ns) {
		lua->until_ns = now + lua->time_ns;
		lua->began_cpu_ns = cpu_ns();
		return false;
	}
	if (now + ahead_ns < lua->until_ns)
		return false;
	used = cpu_ns() - lua->began_cpu_ns;
	if (used + ahead_ns >= lua->time_ns)
		return true;
	lua->until_ns = now + lua->time_ns - used;
	return false;
}

static bool is_late(struct lua *lua)
{
	return is_late_in(lua, 0);
}

static void say(struct lua *lua, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct lua *lua, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(lua->error, sizeof(lua->error), fmt, ap);
	va_end(ap);
}

static void too_long(struct lua *lua)
{
	lua->stop = LUA_TOO_LONG;
	say(lua, "more than %llu us", (unsigned long long)(lua->time_ns / NS_PER_US));
}

/* Nothing that a script can reach catches an error. */
static void stop(lua_State *L)
{
	lua_pushnil(L);
	(void)lua_error(L);
}

void lua_charge(lua_State *L, struct lua *lua, uint64_t instructions)
{
	lua->instructions += instructions;
	if (lua->instructions > lua->instructions_max) {
		lua->stop = LUA_TOO_LONG;
		say(lua, "more than %llu instructions", (unsigned long long)lua->instructions_max);
		stop(L);
	}
	if (instructions > STEP * CLOCK_EVERY && is_late(lua)) {
		too_long(lua);
		stop(L);
	}
}

void lua_look_ahead(lua_State *L, struct lua *lua, size_t bytes)
{
	if (bytes > LARGE && is_late_in(lua, bytes * NS_A_BYTE)) {
		too_long(lua);
		stop(L);
	}
}

static void hook(lua_State *L, lua_Debug *ar)
{
	struct lua *lua = lua_of(L);

	(void)ar;
	lua_charge(L, lua, lua->step);
	if ((lua->step < STEP || lua->instructions % (STEP * CLOCK_EVERY) < STEP) && is_late(lua)) {
		too_long(lua);
		stop(L);
	}
}

static void set_step(struct lua *lua, uint32_t step)
{
	lua->step = step;
	if (lua->L)
		(void)lua_sethook(lua->L, hook, LUA_MASKCOUNT, (int)step);
}

static void *allocate(void *ud, void *p, size_t old, size_t n)
{
	struct lua *lua = ud;
	void *block;

	if (p && old > LARGE)
		lua->n_large--;
	if (!n) {
		pool_free(&lua->pool, p, old);
		return NULL;
	}
	if (n > LARGE) {
		uint64_t step = (uint64_t)STEP * LARGE / n;

		lua->n_large++;
		if (step < lua->step)
			set_step(lua, step ? (uint32_t)step : 1);
	}
	if (p && pool_same(old, n))
		return p;
	/* A block that shrinks is not refused: LuaJIT shrinks its stack while an error is on its way, and never comes
	 * back. */
	if (p && n <= old) {
		block = pool_alloc(&lua->pool, n);
		if (!block)
			return p;
		memcpy(block, p, n);
		pool_free(&lua->pool, p, old);
		return block;
	}
	lua->bytes_unseen += (uint32_t)(n < UNSEEN_MAX ? n : UNSEEN_MAX);
	if (lua->bytes_unseen >= UNSEEN_MAX && !lua->stop && is_late(lua)) {
		too_long(lua);
		return NULL;
	}
	block = pool_alloc(&lua->pool, n);
	if (!block) {
		lua->stop = LUA_TOO_MUCH;
		if (n > POOL_BLOCK_MAX)
			say(lua, "a block of %zu bytes; at most %d", n, POOL_BLOCK_MAX);
		else
			say(lua, "more than %llu bytes of memory", (unsigned long long)lua->code->limits->memory);
		return NULL;
	}
	if (p) {
		memcpy(block, p, old);
		pool_free(&lua->pool, p, old);
	}
	return block;
}

/* From now on it is held against these. */
static void begin(struct lua *lua, uint64_t times)
{
	lua->stop = LUA_GOES_ON;
	lua->instructions = 0;
	lua->instructions_max = lua->code->limits->instructions * times;
	lua->time_ns = lua->code->limits->time_ns * times;
	lua->until_ns = 0;
	lua->bytes_unseen = 0;
	lua->worked = 0;
	if (lua->step != STEP && !lua->n_large)
		set_step(lua, STEP);
}

/* What an error was: the message stands on top of the stack. */
static enum script_verdict verdict_of(struct lua *lua)
{
	/* Only its beginning is looked at: it may be long. */
	const char *text = lua_type(lua->L, -1) == LUA_TSTRING ? lua_tostring(lua->L, -1) : NULL;

	if (lua->stop == LUA_TOO_LONG)
		return SCRIPT_TOO_LONG;
	if (lua->stop == LUA_TOO_MUCH)
		return SCRIPT_TOO_MUCH;
	if (!text)
		say(lua, "an error that is no text");
	else if (!strncmp(text, "lua:", 4))
		say(lua, "line %.200s", text + 4);
	else
		say(lua, "%.200s", text);
	/* One line, whatever the script says. */
	for (char *p = lua->error; *p; p++)
		if ((unsigned char)*p < ' ')
			*p = ' ';
	return text && strstr(lua->error, "stack overflow") ? SCRIPT_TOO_MUCH : SCRIPT_FAILED;
}

/* ---- a world ------------------------------------------------------------------------------------------------- */

static int no_globals(lua_State *L)
{
	return luaL_error(L, "the global '%s' cannot be set while an event is looked at: make it local",
			  lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?");
}

/*
 * Runs the top level, and leaves the function that it returned or defined, and the table of its globals. What it sees
 * is an empty table: it shows the globals and behind them the library, and what is written into it goes to the globals,
 * until the top level has ended.
 */
static void make_world(lua_State *L)
{
	struct lua *lua = lua_of(L);
	const struct event *ev = lua->host.ev;
	int globals = lua_gettop(L) + 1, world = globals + 1, meta = globals + 2;

	lua_newtable(L);
	lua_createtable(L, 0, 1);
	lua_rawgeti(L, LUA_REGISTRYINDEX, REF_LIBRARY);
	lua_setfield(L, -2, "__index");
	(void)lua_setmetatable(L, globals);

	lua_newtable(L);
	lua_createtable(L, 0, 2);
	lua_pushvalue(L, globals);
	lua_setfield(L, meta, "__index");
	lua_pushvalue(L, globals);
	lua_setfield(L, meta, "__newindex");
	lua_pushvalue(L, meta);
	(void)lua_setmetatable(L, world);

	lua_rawgeti(L, LUA_REGISTRYINDEX, REF_CHUNK);
	lua_pushvalue(L, world);
	(void)lua_setfenv(L, -2);
	lua->host.ev = NULL;
	lua_call(L, 0, 1);
	lua->host.ev = ev;
	if (!lua_isfunction(L, -1)) {
		lua_pop(L, 1);
		lua_getfield(L, globals, "match");
		if (!lua_isfunction(L, -1))
			(void)luaL_error(L, "a script returns a function of an event, or defines match(event)");
	}
	lua_pushcfunction(L, no_globals);
	lua_setfield(L, meta, "__newindex");
	lua_insert(L, globals);
	lua_settop(L, globals + 1);
}

/* One event, in a world of its own. */
static int run_anew(lua_State *L)
{
	make_world(L);
	lua_pop(L, 1);
	lua_insert(L, 1);
	lua_settop(L, 2);
	lua_call(L, 1, 1);
	return 1;
}

/* ---- does a run leave something behind? ----------------------------------------------------------------------- */

struct dump {
	const unsigned char *p, *end;
};

static uint64_t read_uleb(struct dump *d)
{
	uint64_t v = 0;

	for (unsigned shift = 0; d->p < d->end && shift < 35; shift += 7) {
		v |= (uint64_t)(*d->p & 0x7f) << shift;
		if (!(*d->p++ & 0x80))
			break;
	}
	return v;
}

static int write_dump(lua_State *L, const void *p, size_t n, void *ud)
{
	struct buf *b = ud;

	(void)L;
	buf_add(b, p, n);
	return b->failed;
}

/* Calls look() with the instructions of each function. False: this is no dump as we know it. */
static bool each_function(const struct buf *b, bool (*look)(void *ctx, const unsigned char *p, size_t n), void *ctx)
{
	struct dump d = { (const unsigned char *)buf_text(b), (const unsigned char *)buf_text(b) + b->len };
	uint64_t flags, n;

	if (b->failed || b->len < 8 || memcmp(d.p, "\x1bLJ", 3) != 0)
		return false;
	d.p += 4;
	flags = read_uleb(&d);
	n = flags & 2 ? 0 : read_uleb(&d);
	if (n > (uint64_t)(d.end - d.p))
		return false;
	d.p += n;
	while ((n = read_uleb(&d)) != 0) {
		struct dump f = { d.p + 4, d.p + n };
		uint64_t n_instructions;

		if (n < 8 || n > (uint64_t)(d.end - d.p))
			return false;
		(void)read_uleb(&f);
		(void)read_uleb(&f);
		n_instructions = read_uleb(&f);
		if (!(flags & 2) && read_uleb(&f)) {
			(void)read_uleb(&f);
			(void)read_uleb(&f);
		}
		if (n_instructions > (uint64_t)(f.end - f.p) / 4 || !look(ctx, f.p, n_instructions))
			return false;
		d.p += n;
	}
	return true;
}

/* The first of a dump is the innermost function. */
static bool take_first(void *ctx, const unsigned char *p, size_t n)
{
	*(int *)ctx = n ? *p : -1;
	return false;
}

/* Instructions that assign to a variable of an outer function; the numbers differ between versions of LuaJIT. */
struct assigning {
	int op[4];
};

static bool has_none(void *ctx, const unsigned char *p, size_t n)
{
	const struct assigning *a = ctx;

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < countof(a->op); k++)
			if (p[4 * i] == a->op[k])
				return false;
	return true;
}

/* The chunk is on top of the stack. */
static bool assigns_outside(lua_State *L)
{
	static const char *const samples[] = { "local a return function(b) a = b end",
					       "local a return function() a = 'b' end",
					       "local a return function() a = 1.5 end",
					       "local a return function() a = nil end" };
	auto_buf struct buf b = { .max = DUMP_MAX };
	struct assigning a;

	for (size_t i = 0; i < countof(samples); i++) {
		buf_clear(&b);
		a.op[i] = -1;
		if (luaL_loadstring(L, samples[i]) != 0 || lua_dump(L, write_dump, &b) != 0)
			return true;
		lua_pop(L, 1);
		(void)each_function(&b, take_first, &a.op[i]);
		if (a.op[i] < 0)
			return true;
	}
	buf_clear(&b);
	return lua_dump(L, write_dump, &b) != 0 || !each_function(&b, has_none, &a);
}

/* Can what is on top of the stack be changed by a run? `seen`: where the functions are that were looked at. */
static bool can_change(lua_State *L, int seen, int depth)
{
	bool yes = false;

	switch (lua_type(L, -1)) {
	case LUA_TTABLE:
		lua_getfield(L, LUA_REGISTRYINDEX, "ours");
		lua_pushvalue(L, -2);
		lua_rawget(L, -2);
		yes = !lua_toboolean(L, -1);
		lua_pop(L, 2);
		return yes;
	case LUA_TFUNCTION:
		if (lua_iscfunction(L, -1))
			return false;
		break;
	default:
		return false;
	}
	if (depth > WALK_DEPTH_MAX)
		return true;
	lua_pushvalue(L, -1);
	lua_rawget(L, seen);
	yes = lua_toboolean(L, -1);
	lua_pop(L, 1);
	if (yes)
		return false;
	lua_pushvalue(L, -1);
	lua_pushboolean(L, true);
	lua_rawset(L, seen);
	luaL_checkstack(L, 8, NULL);
	for (int i = 1; !yes && lua_getupvalue(L, -1, i); i++) {
		yes = can_change(L, seen, depth + 1);
		lua_pop(L, 1);
	}
	return yes;
}

/* match and globals are on top of the stack. */
static bool keeps_state(lua_State *L)
{
	int globals = lua_gettop(L), seen = globals + 1;
	bool yes;

	lua_newtable(L);
	lua_pushvalue(L, globals - 1);
	yes = can_change(L, seen, 0);
	lua_pop(L, 1);
	for (lua_pushnil(L); !yes && lua_next(L, globals); lua_pop(L, 1))
		yes = can_change(L, seen, 0);
	lua_settop(L, globals);
	return yes;
}

/* ---- instances -------------------------------------------------------------------------------------------------- */

struct loading {
	struct lua *lua;
	struct lua_code *finds_out; /* whether its scripts keep something, or NULL */
};

static int load_all(lua_State *L)
{
	struct loading *loading = lua_touserdata(L, 1);
	const struct lua_code *code = loading->lua->code;

	lua_settop(L, 0);
	lua_library(L);
	lua_rawseti(L, LUA_REGISTRYINDEX, REF_LIBRARY);
	lua_push_event(L);
	lua_rawseti(L, LUA_REGISTRYINDEX, REF_EVENT);
	if (luaL_loadbufferx(L, code->text, code->n, "=lua", "t") != 0)
		return lua_error(L);
	if (loading->finds_out)
		loading->finds_out->keeps_state = assigns_outside(L);
	lua_rawseti(L, LUA_REGISTRYINDEX, REF_CHUNK);
	make_world(L);
	if (loading->finds_out && !code->keeps_state)
		loading->finds_out->keeps_state = keeps_state(L);
	lua_pop(L, 1);
	if (code->keeps_state) {
		lua_pushcfunction(L, run_anew);
		lua_replace(L, -2);
	}
	lua_rawseti(L, LUA_REGISTRYINDEX, REF_CALLED);
	return 0;
}

/* SCRIPT_NO, or why it could not be loaded: lua->error. */
static enum script_verdict load(struct lua *lua, struct lua_code *finds_out)
{
	struct loading loading = { lua, finds_out };
	lua_State *L;

	lua->L = NULL;
	pool_reset(&lua->pool);
	lua->n_large = 0;
	lua->step = STEP;
	begin(lua, LOAD_TIMES);
	host_begin(&lua->host, NULL);
	L = lua_newstate(allocate, lua);
	if (!L) {
		say(lua, lua->stop == LUA_TOO_MUCH ? "its memory is too small for Lua"
						   : "this LuaJIT takes no memory but its own (GC64 is off)");
		return SCRIPT_TOO_MUCH;
	}
	lua->L = L;
	(void)luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
	set_step(lua, STEP);
	if (lua_cpcall(L, load_all, &loading) != 0) {
		enum script_verdict verdict = verdict_of(lua);

		lua->L = NULL;
		return verdict;
	}
	lua_rawgeti(L, LUA_REGISTRYINDEX, REF_CALLED);
	lua_rawgeti(L, LUA_REGISTRYINDEX, REF_EVENT);
	return SCRIPT_NO;
}

static void lua_free(struct lua *lua)
{
	if (!lua)
		return;
	/* The state holds nothing but memory of the pool. */
	pool_close(&lua->pool);
	free(lua);
}
DEFINE_AUTO(lua)

static int lua_new(const struct lua_code *code, struct lua **ret_lua)
{
	struct lua *lua = calloc(1, sizeof(*lua));
	int r;

	if (!lua)
		return err_new(-ENOMEM, "no memory for a script");
	lua->code = code;
	host_init(&lua->host, code->host, code->name);
	r = pool_open(&lua->pool, code->limits->memory);
	if (r < 0) {
		free(lua);
		return r;
	}
	*ret_lua = lua;
	return 0;
}

static int open_lua(void *code, void **ret_instance)
{
	AUTO(lua) lua = NULL;
	int r = lua_new(code, &lua);

	if (r < 0)
		return r;
	if (load(lua, NULL) != SCRIPT_NO)
		return err_new(-EINVAL, "%s", lua->error);
	*ret_instance = take(lua);
	return 0;
}

static void close_lua(void *instance)
{
	lua_free(instance);
}

static enum script_verdict run_lua(void *instance, const struct event *ev, const char **ret_error)
{
	struct lua *lua = instance;
	lua_State *L = lua->L;
	enum script_verdict verdict;

	*ret_error = lua->error;
	if (!L)
		return SCRIPT_FAILED;
	begin(lua, 1);
	host_begin(&lua->host, ev);
	lua_pushvalue(L, 1);
	lua_pushvalue(L, 2);
	if (lua_pcall(L, 1, 1, 0) == 0) {
		verdict = lua_toboolean(L, -1) ? SCRIPT_YES : SCRIPT_NO;
		lua_settop(L, 2);
		/* Blocks that were given back are of the sizes that they were: each run finds half of the memory
		 * untouched. */
		if (lua->pool.at - lua->pool.base <= (lua->pool.end - lua->pool.base) / 2)
			return verdict;
	} else {
		char why[SCRIPT_ERROR_MAX];

		verdict = verdict_of(lua);
		memcpy(why, lua->error, sizeof(why));
		if (load(lua, NULL) == SCRIPT_NO)
			memcpy(lua->error, why, sizeof(why));
		return verdict;
	}
	(void)load(lua, NULL);
	return verdict;
}

/* ---- code ----------------------------------------------------------------------------------------------------------
 */

static void code_free(void *code)
{
	struct lua_code *c = code;

	if (!c)
		return;
	free(c->text);
	free(c);
}

static int reject(const struct lua_code *code, const char *error, struct diag *reterr_diag)
{
	unsigned line = 0;
	int n = 0;

	if (sscanf(error, "line %u: %n", &line, &n) == 1 && n)
		return script_diag(reterr_diag, code->name, line, "%s", error + n);
	return script_diag(reterr_diag, code->name, 0, "%s", error);
}

static int compile_lua(const struct script_source *source, struct diag *reterr_diag, void **ret_code)
{
	struct lua_code *code = calloc(1, sizeof(*code));
	AUTO(lua) lua = NULL;
	int r = -ENOMEM;

	if (!code)
		return err_new(-ENOMEM, "no memory for the script %s", source->name);
	code->name = source->name;
	code->limits = source->limits;
	code->host = source->host;
	code->n = source->n;
	code->text = malloc(source->n + 1);
	if (!code->text) {
		r = err_new(-ENOMEM, "no memory for the script %s", source->name);
		goto out;
	}
	memcpy(code->text, source->text, source->n);
	if (source->limits->memory < MEMORY_MIN) {
		r = script_diag(reterr_diag, source->name, 0, "Lua needs %d bytes of memory at least", MEMORY_MIN);
		goto out;
	}
	r = lua_new(code, &lua);
	if (r < 0)
		goto out;
	lua_name_fields(code, &lua->host);
	if (load(lua, code) != SCRIPT_NO) {
		r = reject(code, lua->error, reterr_diag);
		goto out;
	}
	*ret_code = code;
	return 0;
out:
	code_free(code);
	return r;
}

static size_t size_lua(const void *code)
{
	const struct lua_code *c = code;

	return sizeof(*c) + c->n;
}

extern const struct script_runtime script_runtime_lua;
const struct script_runtime script_runtime_lua = {
	.name = "lua",
	.kind = SCRIPT_LUA,
	.compile = compile_lua,
	.code_free = code_free,
	.open = open_lua,
	.close = close_lua,
	.run = run_lua,
	.size = size_lua,
};
