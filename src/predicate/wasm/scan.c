/* SPDX-License-Identifier: Apache-2.0 */
#include "predicate/wasm/scan.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "base/mem.h"

enum {
	SECTION_IMPORT = 2,
	SECTION_FUNCTION = 3,
	SECTION_TABLE = 4,
	SECTION_MEMORY = 5,
	SECTION_EXPORT = 7,
	SECTION_CODE = 10,
};
enum { KIND_FUNCTION = 0, KIND_TABLE = 1, KIND_MEMORY = 2, KIND_GLOBAL = 3 };

/* Where we read. What lies behind the end reads as 0, and `bad` stays. */
struct reader {
	const uint8_t *p, *end;
	bool bad;
};

static uint8_t byte(struct reader *r)
{
	if (r->p == r->end) {
		r->bad = true;
		return 0;
	}
	return *r->p++;
}

/* LEB128 of up to 64 bits; the sign of the signed form does not matter to anybody here. */
static uint64_t number(struct reader *r)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 70; shift += 7) {
		uint8_t b = byte(r);

		if (shift < 64)
			v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80))
			return v;
	}
	r->bad = true;
	return 0;
}

static struct reader part(struct reader *r, uint64_t n)
{
	struct reader in = { r->p, r->p, true };

	if (n > (uint64_t)(r->end - r->p)) {
		r->bad = true;
		return in;
	}
	in.end = r->p += n;
	in.bad = false;
	return in;
}

struct scan {
	struct wasm_shape shape;
	wasm_known known;
	struct reader *body; /* of functions of its own, in their order */
	uint32_t n_bodies;
	char *why;
};

static bool refuse(struct scan *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool refuse(struct scan *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(s->why, WASM_WHY_MAX, fmt, ap);
	va_end(ap);
	return false;
}

/* Names are shown in messages, whatever they are made of. */
static const char *shown(const struct reader *name, char ret[65])
{
	size_t n = 0;

	for (const uint8_t *p = name->p; p < name->end && n < 64; p++)
		ret[n++] = *p >= 0x20 && *p < 0x7f ? (char)*p : '?';
	ret[n] = 0;
	return ret;
}

static bool is(const struct reader *name, const char *text)
{
	return (size_t)(name->end - name->p) == strlen(text) && memcmp(name->p, text, strlen(text)) == 0;
}

static bool read_imports(struct scan *s, struct reader *r)
{
	uint64_t n = number(r);

	for (uint64_t i = 0; i < n && !r->bad; i++) {
		struct reader module = part(r, number(r)), name = part(r, number(r));
		char a[65], b[65];

		if (byte(r) != KIND_FUNCTION)
			return refuse(
				s,
				"imports \"%s\".\"%s\", which is no function: only functions of \"shrike\" are there",
				shown(&module, a), shown(&name, b));
		if (!is(&module, "shrike") || !s->known((const char *)name.p, (size_t)(name.end - name.p)))
			return refuse(
				s,
				"imports the function \"%s\".\"%s\", which is not of Host API v1 (module \"shrike\")",
				shown(&module, a), shown(&name, b));
		(void)number(r);
		s->shape.imports++;
	}
	return true;
}

static void read_limits(struct reader *r, uint64_t *ret_min, uint64_t *ret_max)
{
	uint64_t flags = number(r);

	*ret_min = number(r);
	*ret_max = flags & 1 ? number(r) : UINT64_MAX;
}

static void read_exports(struct scan *s, struct reader *r)
{
	uint64_t n = number(r);

	for (uint64_t i = 0; i < n && !r->bad; i++) {
		struct reader name = part(r, number(r));
		uint8_t kind = byte(r);
		uint64_t index = number(r);

		if (kind == KIND_FUNCTION && is(&name, "match")) {
			s->shape.has_match = true;
			s->shape.match = index < UINT32_MAX ? (uint32_t)index : UINT32_MAX;
		}
	}
}

static bool read_bodies(struct scan *s, struct reader *r)
{
	uint64_t n = number(r);

	if (n != s->n_bodies)
		r->bad = true;
	for (uint64_t i = 0; i < n && !r->bad; i++) {
		s->body[i] = part(r, number(r));
		if (s->body[i].end - s->body[i].p > WASM_BODY_MAX)
			return refuse(s, "a function has more than %d bytes", WASM_BODY_MAX);
	}
	return true;
}

static bool read_section(struct scan *s, uint8_t id, struct reader *r)
{
	uint64_t n;

	switch (id) {
	case SECTION_IMPORT:
		return read_imports(s, r);
	case SECTION_FUNCTION:
		n = number(r);
		if (n + s->shape.imports > WASM_FUNCTIONS_MAX)
			return refuse(s, "has more than %d functions", WASM_FUNCTIONS_MAX);
		/* A module has one such section; a second one is the compiler's to refuse. */
		if (s->body)
			return refuse(s, "has two sections of functions");
		s->body = calloc(n + 1, sizeof(*s->body));
		if (!s->body)
			return refuse(s, "is too large for the memory there is");
		s->n_bodies = (uint32_t)n;
		return true;
	case SECTION_TABLE:
		n = number(r);
		for (uint64_t i = 0; i < n && !r->bad; i++) {
			uint64_t min, max;

			(void)number(r);
			read_limits(r, &min, &max);
			if (i > 0 || min > WASM_TABLE_MAX)
				return refuse(s, "may have one table of up to %d elements", WASM_TABLE_MAX);
		}
		return true;
	case SECTION_MEMORY:
		if (number(r) > 0) {
			s->shape.has_memory = true;
			read_limits(r, &s->shape.pages_min, &s->shape.pages_max);
		}
		return true;
	case SECTION_EXPORT:
		read_exports(s, r);
		return true;
	case SECTION_CODE:
		return read_bodies(s, r);
	default:
		return true;
	}
}

/* ---- what a run may leave behind -------------------------------------------------------------------------- */

/*
 * Passes over one instruction. False: it may leave traces, or is not known. The function that it calls, or the global
 * that it sets; UINT64_MAX: none.
 */
static bool instruction(struct reader *r, uint64_t *ret_call, uint64_t *ret_global)
{
	uint8_t op = byte(r);

	*ret_call = *ret_global = UINT64_MAX;
	switch (op) {
	case 0x02 ... 0x04: /* block, loop, if: a type */
	case 0x0c ... 0x0d: /* branches */
	case 0x20 ... 0x23: /* locals; global.get */
	case 0x25:          /* table.get */
	case 0x3f:          /* memory.size */
	case 0x41 ... 0x42: /* integers */
	case 0xd0:          /* ref.null */
	case 0xd2:          /* ref.func */
		(void)number(r);
		return true;
	case 0x00 ... 0x01: /* unreachable, nop */
	case 0x05:          /* else */
	case 0x0b:          /* end */
	case 0x0f:          /* return */
	case 0x1a ... 0x1b: /* drop, select */
	case 0x45 ... 0xc4: /* arithmetic */
	case 0xd1:          /* ref.is_null */
		return true;
	case 0x0e: /* br_table */
		for (uint64_t n = number(r); !r->bad; n--) {
			(void)number(r);
			if (n == 0)
				break;
		}
		return true;
	case 0x10:
		*ret_call = number(r);
		return true;
	case 0x24:
		*ret_global = number(r);
		return true;
	case 0x1c: /* select with types */
		for (uint64_t n = number(r); n > 0 && !r->bad; n--)
			(void)byte(r);
		return true;
	case 0x28 ... 0x35: /* loads */
		(void)number(r);
		(void)number(r);
		return true;
	case 0x43:
		(void)part(r, 4);
		return true;
	case 0x44:
		(void)part(r, 8);
		return true;
	case 0xfc:
		return number(r) <= 7; /* conversions; what comes after them writes memory and tables */
	default: /* stores, table.set, memory.grow, calls through tables, and what we do not know */
		return false;
	}
}

static bool may_leave_traces(struct scan *s)
{
	auto_free uint32_t *todo = calloc((size_t)s->n_bodies + 1, sizeof(*todo));
	auto_free bool *seen = calloc((size_t)s->n_bodies + 1, sizeof(*seen));
	size_t n_todo = 0;
	uint64_t next = s->shape.match, global;

	if (!todo || !seen)
		return true;
	for (;;) {
		/* What is imported leaves no traces but those that we put away ourselves. */
		if (next != UINT64_MAX && next >= s->shape.imports) {
			next -= s->shape.imports;
			if (next >= s->n_bodies)
				return true;
			if (!seen[next]) {
				seen[next] = true;
				todo[n_todo++] = (uint32_t)next;
			}
		}
		if (n_todo == 0)
			return false;

		struct reader *r = &s->body[todo[n_todo - 1]];

		if (r->bad)
			return true;
		if (r->p == r->end) {
			n_todo--;
			next = UINT64_MAX;
			continue;
		}
		if (!instruction(r, &next, &global))
			return true;
		if (global == UINT64_MAX)
			continue;
		if (global > UINT32_MAX || (s->shape.sets_global && s->shape.global != global))
			return true;
		s->shape.sets_global = true;
		s->shape.global = (uint32_t)global;
	}
}

/* Bodies begin with their locals. */
static void skip_locals(struct scan *s)
{
	for (uint32_t i = 0; i < s->n_bodies; i++) {
		struct reader *r = &s->body[i];

		for (uint64_t n = number(r); n > 0 && !r->bad; n--) {
			(void)number(r);
			(void)byte(r);
		}
	}
}

bool wasm_scan(const void *bytes, size_t n, wasm_known known, struct wasm_shape *ret_shape, char ret_why[WASM_WHY_MAX])
{
	struct scan s = { .known = known,
			  .why = ret_why,
			  /* Until all of it was understood. */
			  .shape = { .pages_max = UINT64_MAX, .leaves_traces = true } };
	struct reader r = { bytes, (const uint8_t *)bytes + n, false };
	bool fine = true;

	ret_why[0] = 0;
	*ret_shape = s.shape;
	if (n < 8 || memcmp(bytes, "\0asm\1\0\0\0", 8) != 0)
		return false;
	r.p += 8;
	while (fine && !r.bad && r.p < r.end) {
		size_t at = (size_t)(r.p - (const uint8_t *)bytes);
		uint8_t id = byte(&r);
		struct reader in = part(&r, number(&r));

		if (id == SECTION_EXPORT) {
			s.shape.exports = at;
			s.shape.exports_end = (size_t)(r.p - (const uint8_t *)bytes);
		}
		fine = read_section(&s, id, &in);
		r.bad |= in.bad;
	}
	s.shape.functions = s.shape.imports + s.n_bodies;
	if (fine && !r.bad) {
		skip_locals(&s);
		s.shape.leaves_traces = !s.shape.has_match || may_leave_traces(&s);
	}
	free(s.body);
	*ret_shape = s.shape;
	return fine && !r.bad;
}

/* ---- one more export ------------------------------------------------------------------------------------------ */

static void add_number(struct buf *out, uint64_t v)
{
	for (; v > 0x7f; v >>= 7)
		buf_char(out, (char)(v | 0x80));
	buf_char(out, (char)v);
}

bool wasm_with_global(const void *bytes, size_t n, const struct wasm_shape *shape, struct buf *out)
{
	const char *p = bytes;
	struct reader r = { (const uint8_t *)p + shape->exports + 1, (const uint8_t *)p + shape->exports_end, false };
	auto_buf struct buf section = { .max = out->max };
	uint64_t count;

	(void)number(&r); /* its size */
	count = number(&r);
	add_number(&section, count + 1);
	buf_add(&section, r.p, (size_t)(r.end - r.p));
	add_number(&section, strlen(WASM_GLOBAL_NAME));
	buf_str(&section, WASM_GLOBAL_NAME);
	buf_char(&section, KIND_GLOBAL);
	add_number(&section, shape->global);

	buf_add(out, p, shape->exports);
	buf_char(out, SECTION_EXPORT);
	add_number(out, section.len);
	buf_add(out, buf_text(&section), section.len);
	buf_add(out, p + shape->exports_end, n - shape->exports_end);
	return !r.bad && !section.failed && !out->failed;
}
