/* SPDX-License-Identifier: Apache-2.0 */
/*
 * from_ir - the condition of a rule as a script in Lua, for tests that run the same in both. What means the same in the
 * Host API is written so; a condition with anything else is not expressed.
 */
#pragma once
#include <string.h>
#include "base/buf.h"
#include "base/ip.h"
#include "rule/ir.h"

struct from_ir {
	const struct query *q;
	struct buf *top, *body; /* what is named, and the expression */
	unsigned n_names;
};

enum { FROM_IR_NAMES_MAX = 60 }; /* patterns and lists, and variables of one function */

static inline void from_ir_text(struct buf *out, const char *p, size_t n)
{
	buf_char(out, '"');
	for (size_t i = 0; i < n; i++)
		buf_printf(out, "\\%03u", (unsigned char)p[i]);
	buf_char(out, '"');
}

static inline void from_ir_field(struct buf *out, const struct ir_node *n)
{
	buf_printf(out, "\"%.*s\"", (int)n->field.len, n->field.name);
}

/* Names of fields are found in the text of a script, by the dots in them or the brackets around them. */
static inline bool from_ir_is_field(struct from_ir *f, const struct ir_node *n)
{
	if (n->op != IR_FIELD || n->field.event >= 0)
		return false;
	if (!memchr(n->field.name, '.', n->field.len)) {
		buf_str(f->top, "do local _ = ({})[");
		from_ir_field(f->top, n);
		buf_str(f->top, "] end\n");
	}
	return true;
}

/* A text that is compared as a text, whatever the field holds: it is no number, address, truth value or date. */
static inline bool from_ir_plain(const struct ir_node *n)
{
	uint8_t address[16];
	char c = n->op == IR_STR && n->str.n ? n->str.p[0] : '0';

	return !((c >= '0' && c <= '9') || c == '+' || c == '.' || c == ' ') && n->str.n < 1000 &&
	       !(c == '-' && n->str.n > 1 && n->str.p[1] >= '0' && n->str.p[1] <= '9') &&
	       !ip_parse(n->str.p, n->str.n, address) && !memchr(n->str.p, '\n', n->str.n) &&
	       (n->str.n > 5 || (memcmp(n->str.p, "true", n->str.n) != 0 && memcmp(n->str.p, "false", n->str.n) != 0));
}

/* shrike.FUNCTION(field, text) */
static inline bool from_ir_call(struct from_ir *f, const struct ir_node *n, const char *function)
{
	const struct ir_node *field = ir_at(f->q, n->kid[0]), *text = ir_at(f->q, n->kid[1]);

	if (n->n != 2 || !from_ir_is_field(f, field) || !from_ir_plain(text))
		return false;
	buf_printf(f->body, "shrike.%s%s(", function, n->flags & IR_FOLD ? "_fold" : "");
	from_ir_field(f->body, field);
	buf_str(f->body, ", ");
	from_ir_text(f->body, text->str.p, text->str.n);
	buf_char(f->body, ')');
	return true;
}

/* Any of what is named: patterns one by one, or one list. */
static inline bool from_ir_named(struct from_ir *f, const struct ir_node *n, const char *makes, const char *asks)
{
	const struct ir_node *field = ir_at(f->q, n->kid[0]);
	const bool fold = n->flags & IR_FOLD, list = n->op == IR_IN;

	if (!from_ir_is_field(f, field))
		return false;
	buf_char(f->body, '(');
	for (uint32_t i = 1; i < n->n; i++) {
		const struct ir_node *kid = ir_at(f->q, n->kid[i]);

		if (kid->op != IR_STR || (list && !from_ir_plain(kid)))
			return false;
		/* Where a question mark is a letter, and a backslash is none, they mean something else in a script. */
		if ((n->flags & IR_STAR && memchr(kid->str.p, '?', kid->str.n)) ||
		    (n->flags & IR_ESCAPE && memchr(kid->str.p, '\\', kid->str.n)))
			return false;
		if (i == 1 || !list) {
			if (++f->n_names > FROM_IR_NAMES_MAX)
				return false;
			buf_printf(f->top, "local n%u = shrike.%s%s", f->n_names, makes,
				   fold && !list ? "_fold(" : "(");
			buf_str(f->top, list ? "{" : "");
			buf_printf(f->body, "%sshrike.%s%s(", i > 1 ? " or " : "", asks, fold && list ? "_fold" : "");
			from_ir_field(f->body, field);
			buf_printf(f->body, ", n%u)", f->n_names);
		}
		from_ir_text(f->top, kid->str.p, kid->str.n);
		buf_str(f->top, !list ? ")\n" : i + 1 < n->n ? ", " : "})\n");
	}
	buf_char(f->body, ')');
	return true;
}

static inline bool from_ir_node(struct from_ir *f, ir_ref ref)
{
	const struct ir_node *n = ir_at(f->q, ref);
	const bool leaf = (n->flags & (IR_TRUTH | IR_ANY)) == (IR_TRUTH | IR_ANY);

	switch (n->op) {
	case IR_BOOL:
		buf_str(f->body, n->b ? "true" : "false");
		return true;
	case IR_NOT:
		buf_str(f->body, "not ");
		return from_ir_node(f, n->kid[0]);
	case IR_AND:
	case IR_OR:
		buf_char(f->body, '(');
		for (uint32_t i = 0; i < n->n; i++) {
			buf_str(f->body, !i ? "" : n->op == IR_AND ? " and " : " or ");
			if (!from_ir_node(f, n->kid[i]))
				return false;
		}
		buf_char(f->body, ')');
		return true;
	case IR_EQ:
		return leaf && n->as == RULE_UNKNOWN && from_ir_call(f, n, "field_is");
	case IR_IN:
		return leaf && n->as == RULE_UNKNOWN && from_ir_named(f, n, "list_of", "field_in");
	case IR_LIKE:
		return leaf && from_ir_named(f, n, "wildcard", "field_matches");
	case IR_REGEX:
		return leaf && !(n->flags & (IR_PERL | IR_PREFIX | IR_SEARCH)) &&
		       from_ir_named(f, n, "regex", "field_matches");
	case IR_CALL:
		return leaf && ((n->fn == IR_STARTS_WITH && from_ir_call(f, n, "field_starts_with")) ||
				(n->fn == IR_ENDS_WITH && from_ir_call(f, n, "field_ends_with")) ||
				(n->fn == IR_STRING_CONTAINS && from_ir_call(f, n, "field_contains")));
	default:
		return false;
	}
}

/* False: it cannot be expressed. */
static inline bool lua_from_ir(const struct query *q, ir_ref ref, struct buf *out)
{
	auto_buf struct buf body = { .max = 1 << 20 };
	struct from_ir f = { .q = q, .top = out, .body = &body };

	buf_clear(out);
	if (!from_ir_node(&f, ref))
		return false;
	buf_printf(out, "return function() return %s end\n", buf_text(&body));
	return !out->failed && !body.failed;
}
