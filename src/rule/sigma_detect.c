/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sigma_detect - selections: maps, lists, fields with their modifiers and values.
 *
 * A value becomes a text with wildcards, a regular expression, a number, a network or nothing. Those of one list that
 * are of one kind become one node, so that the same things look the same to who reads the form.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/utf8.h"
#include "match/cidr.h"
#include "match/regex.h"
#include "rule/sigma_lower.h"

enum match { MATCH_IS, MATCH_CONTAINS, MATCH_BEGINS, MATCH_ENDS, MATCH_REGEX, MATCH_CIDR, MATCH_ORDER, MATCH_EXISTS };
enum coding { CODING_NONE, CODING_BASE64, CODING_BASE64_OFFSET };
enum width { WIDTH_NONE, WIDTH_LE, WIDTH_BE, WIDTH_MARKED };

/* A key of a selection. */
struct item {
	const struct yaml_node *key, *node;
	struct str name;
	struct sigma_field field;
	enum match match;
	enum coding coding;
	enum width width;
	enum ir_op order; /* of MATCH_ORDER */
	bool all, cased, neq, windash, field_ref, explicit_match;
	bool i, m, s; /* of MATCH_REGEX */
};

/* What values have become so far. */
struct pile {
	ir_ref *equal, *like, *regex, *other;
	size_t n_equal, n_like, n_regex, n_other;
};

/* A text: the characters, each of which may be a wildcard. */
struct text {
	struct str plain;   /* as it is, when it has no wildcards */
	struct str pattern; /* as IR_LIKE with IR_ESCAPE takes it */
	bool wild;
};

/* ---- modifiers ------------------------------------------------------------------------------ */

static bool is(struct str s, const char *word)
{
	return s.n == strlen(word) && !memcmp(s.p, word, s.n);
}

static const struct {
	const char *name;
	enum match match;
} matches[] = {
	{ "contains", MATCH_CONTAINS }, { "startswith", MATCH_BEGINS }, { "endswith", MATCH_ENDS },
	{ "re", MATCH_REGEX },          { "cidr", MATCH_CIDR },         { "exists", MATCH_EXISTS },
};

static const struct {
	const char *name;
	enum ir_op op;
} orders[] = {
	{ "lt", IR_LT },
	{ "lte", IR_LE },
	{ "gt", IR_GT },
	{ "gte", IR_GE },
};

static const struct {
	const char *name;
	enum width width;
} widths[] = {
	{ "wide", WIDTH_LE },
	{ "utf16le", WIDTH_LE },
	{ "utf16be", WIDTH_BE },
	{ "utf16", WIDTH_MARKED },
};

/* Modifiers of the specification that need what is not there. */
static const struct {
	const char *name, *feature, *why;
} missing[] = {
	{ "expand", "expand", "placeholders, whose values come from elsewhere, are not known here" },
	{ "minute", "time_parts", "parts of a date cannot be asked for" },
	{ "hour", "time_parts", "parts of a date cannot be asked for" },
	{ "day", "time_parts", "parts of a date cannot be asked for" },
	{ "week", "time_parts", "parts of a date cannot be asked for" },
	{ "month", "time_parts", "parts of a date cannot be asked for" },
	{ "year", "time_parts", "parts of a date cannot be asked for" },
};

static int set_match(struct sigma *s, struct item *item, struct str m, enum match match)
{
	/* fieldref may say how the two are compared, before it or after. */
	if (item->explicit_match && item->match != match)
		return sigma_wrong(s, item->key, "\"%.*s\" beside another modifier that says how to compare", (int)m.n,
				   m.p);
	item->match = match;
	item->explicit_match = true;
	return 0;
}

static int modifier(struct sigma *s, struct item *item, struct str m)
{
	bool *const regex_flag = is(m, "i") || is(m, "ignorecase")  ? &item->i
				 : is(m, "m") || is(m, "multiline") ? &item->m
				 : is(m, "s") || is(m, "dotall")    ? &item->s
								    : NULL;

	for (size_t k = 0; k < countof(matches); k++)
		if (is(m, matches[k].name))
			return set_match(s, item, m, matches[k].match);
	for (size_t k = 0; k < countof(orders); k++)
		if (is(m, orders[k].name)) {
			item->order = orders[k].op;
			return set_match(s, item, m, MATCH_ORDER);
		}
	for (size_t k = 0; k < countof(widths); k++)
		if (is(m, widths[k].name)) {
			item->width = widths[k].width;
			return 0;
		}
	for (size_t k = 0; k < countof(missing); k++)
		if (is(m, missing[k].name))
			return sigma_missing(s, item->key, missing[k].feature, "modifier \"%s\": %s", missing[k].name,
					     missing[k].why);
	if (regex_flag) {
		if (item->match != MATCH_REGEX)
			return sigma_wrong(s, item->key, "\"%.*s\" stands behind \"re\"", (int)m.n, m.p);
		*regex_flag = true;
		return 0;
	}
	if (is(m, "all"))
		item->all = true;
	else if (is(m, "cased"))
		item->cased = true;
	else if (is(m, "neq"))
		item->neq = true;
	else if (is(m, "windash"))
		item->windash = true;
	else if (is(m, "fieldref"))
		item->field_ref = true;
	else if (is(m, "base64"))
		item->coding = CODING_BASE64;
	else if (is(m, "base64offset"))
		item->coding = CODING_BASE64_OFFSET;
	else
		return sigma_wrong(s, item->key, "there is no modifier \"%.*s\"", (int)(m.n > 64 ? 64 : m.n), m.p);
	return 0;
}

static int modifiers(struct sigma *s, struct item *item)
{
	struct str rest = { item->key->text, item->key->len };
	const char *bar = memchr(rest.p, '|', rest.n);
	int r = 0;

	item->name = (struct str) { rest.p, bar ? (size_t)(bar - rest.p) : rest.n };
	while (bar && r == 0) {
		struct str m;

		rest.n -= (size_t)(bar + 1 - rest.p);
		rest.p = bar + 1;
		bar = memchr(rest.p, '|', rest.n);
		m = (struct str) { rest.p, bar ? (size_t)(bar - rest.p) : rest.n };
		r = modifier(s, item, m);
	}
	if (r < 0)
		return r;
	if (item->width && !item->coding)
		return sigma_wrong(s, item->key,
				   "a text in UTF-16 is searched in base64 only: add base64 or base64offset");
	if ((item->coding || item->windash) && item->match > MATCH_ENDS)
		return sigma_wrong(s, item->key, "these modifiers do not go together");
	if (item->coding && item->windash)
		return sigma_wrong(s, item->key, "windash and base64 do not go together");
	if (item->field_ref && (item->coding || item->windash || item->match > MATCH_ENDS))
		return sigma_wrong(s, item->key,
				   "fieldref goes with contains, startswith, endswith, cased and neq only");
	return 0;
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static enum rule_type type_of(const struct sigma *s, struct str name)
{
	const struct rule_schema *schema = s->options->schema;
	enum rule_type type = RULE_UNKNOWN;

	if (schema && schema->field)
		(void)schema->field(schema->subject, name.p, name.n, &type);
	return type;
}

/* What is looked at: a new node each time. */
static ir_ref subject(struct sigma *s, const struct sigma_field *f)
{
	static const char args[] = "process.args";
	ir_ref ref;

	if (f->look == LOOK_EVENT)
		return build_node(&s->b, IR_VALUES, 0, NULL, 0);
	if (f->look == LOOK_FIELD)
		return build_field(&s->b, f->name.p, f->name.n, type_of(s, f->name), 0);
	ref = build_field(&s->b, args, sizeof(args) - 1, RULE_UNKNOWN, 0);
	ref = build_node(&s->b, IR_ITEM, 0, &ref, 1);
	if (ref)
		build_at(&s->b, ref)->i = f->i;
	return ref;
}

static unsigned flags_of(const struct sigma *s, const struct item *item)
{
	/* An item of a list is asked for as what it is. */
	return (s->options->sql ? 0 : IR_TRUTH) | (item->field.look == LOOK_ARGUMENT ? 0 : IR_ANY) |
	       (item->cased ? 0 : IR_FOLD);
}

/* A condition of the field and values, as one node. */
static ir_ref one_leaf(struct sigma *s, const struct sigma_field *field, enum ir_op op, unsigned flags,
		       const ir_ref *values, size_t n)
{
	ir_ref *kids = arena_alloc(&s->scratch, (n + 1) * sizeof(*kids));

	if (!kids) {
		s->b.no_memory = true;
		return 0;
	}
	kids[0] = subject(s, field);
	if (n)
		memcpy(kids + 1, values, n * sizeof(*kids));
	return sigma_condition(s, op, flags, kids, n + 1);
}

/*
 * What an argument is, some argument is: that is asked first, for sets of conditions have an index of fields, not of
 * their items. Where null is not false both would not be the same behind `not`.
 */
static ir_ref leaf(struct sigma *s, const struct item *item, enum ir_op op, unsigned flags, const ir_ref *values,
		   size_t n)
{
	static const struct sigma_field args = { .name = { "process.args", sizeof("process.args") - 1 } };
	ir_ref both[2], exact = one_leaf(s, &item->field, op, flags, values, n);

	if (item->field.look != LOOK_ARGUMENT || !(flags & IR_TRUTH) || (op != IR_EQ && op != IR_IN && op != IR_LIKE))
		return exact;
	both[0] = one_leaf(s, &args, op, flags | IR_ANY, values, n);
	both[1] = exact;
	return sigma_all(s, both, 2);
}

static ir_ref is_null(struct sigma *s, const struct item *item)
{
	ir_ref kid = subject(s, &item->field);

	return sigma_condition(s, IR_IS_NULL, 0, &kid, 1);
}

static bool is_address(const struct sigma *s, ir_ref value)
{
	const struct ir_node *n = &s->b.nodes[value];
	uint8_t first[16], last[16];

	return n->op == IR_STR && cidr_parse(n->str, first, last);
}

/* Where a field is known to hold addresses, they are compared as such. */
static void set_as(struct sigma *s, const struct item *item, ir_ref ref, const ir_ref *values, size_t n)
{
	if (!ref || item->field.look != LOOK_FIELD || type_of(s, item->field.name) != RULE_IP)
		return;
	for (size_t i = 0; i < n; i++)
		if (!is_address(s, values[i]))
			return;
	build_at(&s->b, ref)->as = RULE_IP;
}

/* ---- texts ------------------------------------------------------------------------------------ */

static int too_long(struct sigma *s, const struct yaml_node *at)
{
	return sigma_wrong(s, at, "a text of more than %d bytes", RULE_STRING_MAX);
}

/* Takes a value apart: a backslash takes the meaning of *, ? and backslash away, and else is itself. */
static int read_text(struct sigma *s, const struct yaml_node *v, struct text *ret_text)
{
	char *plain = arena_alloc(&s->scratch, v->len + 1), *pattern = arena_alloc(&s->scratch, 2 * v->len + 3);
	size_t n = 0, m = 0;

	if (v->len > RULE_STRING_MAX / 2 - 2)
		return too_long(s, v);
	if (!plain || !pattern)
		return sigma_no_memory(s, v);
	*ret_text = (struct text) { 0 };
	for (size_t i = 0; i < v->len; i++) {
		char c = v->text[i];

		if (c == '*' || c == '?') {
			ret_text->wild = true;
			pattern[m++] = c;
			continue;
		}
		if (c == '\\' && i + 1 < v->len && strchr("*?\\", v->text[i + 1]) && v->text[i + 1])
			c = v->text[++i];
		if (c == '*' || c == '?' || c == '\\')
			pattern[m++] = '\\';
		pattern[m++] = c;
		plain[n++] = c;
	}
	ret_text->plain = (struct str) { plain, n };
	ret_text->pattern = (struct str) { pattern, m };
	return 0;
}

static int text_of_bytes(struct sigma *s, const struct yaml_node *v, struct str bytes, struct text *ret_text)
{
	/* Base64 has neither wildcards nor backslashes. */
	*ret_text = (struct text) { .plain = bytes, .pattern = bytes };
	return bytes.n > RULE_STRING_MAX / 2 ? too_long(s, v) : 0;
}

static void put16(char *to, unsigned unit, bool big)
{
	to[big ? 1 : 0] = (char)(unit & 0xff);
	to[big ? 0 : 1] = (char)(unit >> 8);
}

/* The text in UTF-16. */
static bool widen(struct arena *arena, enum width width, struct str in, struct str *ret_out)
{
	char *to = arena_alloc(arena, 2 * in.n + 4);
	bool big = width == WIDTH_BE;
	size_t n = 0;

	if (!to)
		return false;
	if (width == WIDTH_MARKED) {
		put16(to, 0xfeff, false);
		n = 2;
	}
	for (size_t i = 0, len; i < in.n; i += len) {
		const unsigned char *p = (const unsigned char *)in.p + i;
		uint32_t c = *p;

		len = utf8_char(in.p + i, in.n - i, NULL);
		if (len > 1)
			c &= 0x7fU >> len;
		len = len ? len : 1;
		for (size_t k = 1; k < len; k++)
			c = c << 6 | (p[k] & 0x3f);
		if (c >= 0x10000) {
			put16(to + n, 0xd800 + ((c - 0x10000) >> 10), big);
			put16(to + n + 2, 0xdc00 + ((c - 0x10000) & 0x3ff), big);
			n += 4;
		} else {
			put16(to + n, c, big);
			n += 2;
		}
	}
	*ret_out = (struct str) { to, n };
	return true;
}

static size_t base64(const unsigned char *p, size_t n, char *to)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t out = 0;

	for (size_t i = 0; i < n; i += 3) {
		uint32_t v =
			(uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0);

		to[out++] = letters[v >> 18];
		to[out++] = letters[v >> 12 & 63];
		to[out++] = i + 1 < n ? letters[v >> 6 & 63] : '=';
		to[out++] = i + 2 < n ? letters[v & 63] : '=';
	}
	return out;
}

/*
 * How a text reads in base64 when `before` bytes of something else stand before it: the letters that it alone
 * decides.
 */
static bool encode(struct arena *arena, struct str in, unsigned before, bool whole, struct str *ret_out)
{
	static const unsigned begin[] = { 0, 2, 3 }, end[] = { 0, 3, 2 };
	unsigned char *padded = arena_alloc(arena, in.n + 3);
	char *to = arena_alloc(arena, (in.n + 3) / 3 * 4 + 8);
	size_t n, cut;

	if (!padded || !to)
		return false;
	memset(padded, ' ', before);
	memcpy(padded + before, in.p, in.n);
	n = base64(padded, in.n + before, to);
	cut = whole ? 0 : end[(in.n + before) % 3];
	if (n < begin[before] + cut)
		cut = n - begin[before];
	*ret_out = (struct str) { to + begin[before], n - begin[before] - cut };
	return true;
}

/* Wildcards at the ends, as the modifier wants them. */
static int surround(struct sigma *s, const struct yaml_node *v, enum match match, struct text *t)
{
	bool before = match == MATCH_CONTAINS || match == MATCH_ENDS,
	     after = match == MATCH_CONTAINS || match == MATCH_BEGINS;
	char *to;
	size_t n = 0;

	if (!before && !after)
		return 0;
	to = arena_alloc(&s->scratch, t->pattern.n + 2);
	if (!to)
		return sigma_no_memory(s, v);
	if (before)
		to[n++] = '*';
	memcpy(to + n, t->pattern.p, t->pattern.n);
	n += t->pattern.n;
	if (after)
		to[n++] = '*';
	t->pattern = (struct str) { to, n };
	t->wild = true;
	return 0;
}

/* Nothing but stars: is it there at all? */
static bool is_anything(const struct text *t)
{
	for (size_t i = 0; i < t->pattern.n; i++)
		if (t->pattern.p[i] != '*')
			return false;
	return t->wild;
}

/* ---- regular expressions ------------------------------------------------------------------------ */

static bool has(struct str s, const char *part)
{
	return memmem(s.p, s.n, part, strlen(part)) != NULL;
}

static bool has_back_reference(struct str s)
{
	for (size_t i = 0; i + 1 < s.n; i++) {
		if (s.p[i] != '\\')
			continue;
		if (s.p[i + 1] >= '1' && s.p[i + 1] <= '9')
			return true;
		i++;
	}
	return has(s, "(?P=");
}

static int check_regex(struct sigma *s, const struct yaml_node *at, struct str pattern, const struct regex_options *o)
{
	AUTO(regex) regex = NULL;
	char why[128];
	int r = regex_compile(&pattern, 1, o, &regex);

	if (r == 0)
		return 0;
	if (r == -ENOMEM)
		return sigma_no_memory(s, at);
	(void)snprintf(why, sizeof(why), "%s", err_trail());
	err_clear();
	if (has(pattern, "(?=") || has(pattern, "(?!") || has(pattern, "(?<=") || has(pattern, "(?<!"))
		return sigma_missing(s, at, "look_around", "look-around is not in these regular expressions");
	if (has_back_reference(pattern))
		return sigma_missing(s, at, "back_references", "back references are not in these regular expressions");
	if (r == -E2BIG)
		return sigma_missing(s, at, "large_regex", "%s", why);
	return sigma_wrong(s, at, "%s", why);
}

static int add_regex(struct sigma *s, const struct yaml_node *at, struct str pattern, bool search, bool fold,
		     struct pile *pile)
{
	const struct regex_options o = { .syntax = REGEX_PERL, .search = search, .fold = fold };
	int r = check_regex(s, at, pattern, &o);

	if (r == 0)
		pile->regex[pile->n_regex++] = build_str(&s->b, pattern.p, pattern.n);
	return r;
}

static int value_regex(struct sigma *s, const struct item *item, const struct yaml_node *v, struct pile *pile)
{
	auto_buf struct buf text = { .max = RULE_STRING_MAX };
	struct str pattern;

	if (v->type != YAML_SCALAR)
		return sigma_wrong(s, v, "a regular expression is a text, not %s", yaml_type_name(v));
	if (item->i || item->m || item->s)
		buf_printf(&text, "(?%s%s%s)", item->i ? "i" : "", item->m ? "m" : "", item->s ? "s" : "");
	buf_add(&text, v->text, v->len);
	if (text.failed)
		return too_long(s, v);
	pattern = (struct str) { arena_str(&s->scratch, buf_text(&text), text.len), text.len };
	if (!pattern.p)
		return sigma_no_memory(s, v);
	return add_regex(s, v, pattern, true, false, pile);
}

static bool is_word(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80);
}

/* A dash or slash in front of a word may be any kind of dash: a regular expression says so. */
static int value_windash(struct sigma *s, const struct item *item, const struct yaml_node *v, const struct text *t,
			 struct pile *pile)
{
	static const char any_dash[] = "[-/\xe2\x80\x93\xe2\x80\x94\xe2\x80\x95]";
	auto_buf struct buf text = { .max = RULE_STRING_MAX };
	struct str pattern;
	const char *p = t->pattern.p;
	size_t n = t->pattern.n;
	char before = 0;

	buf_str(&text, "(?s)");
	for (size_t i = 0; i < n; i++) {
		char c = p[i];

		if (c == '*' || c == '?') {
			buf_str(&text, c == '*' ? ".*" : ".");
			before = 0;
			continue;
		}
		if (c == '\\' && i + 1 < n)
			c = p[++i];
		if ((c == '-' || c == '/') && !is_word(before) && i + 1 < n && is_word(p[i + 1]))
			buf_str(&text, any_dash);
		else if (is_word(c) || c == ' ')
			buf_char(&text, c);
		else if ((unsigned char)c < 0x20)
			buf_printf(&text, "\\x%02x", (unsigned char)c);
		else
			buf_printf(&text, "\\%c", c);
		before = c;
	}
	if (text.failed)
		return too_long(s, v);
	pattern = (struct str) { arena_str(&s->scratch, buf_text(&text), text.len), text.len };
	if (!pattern.p)
		return sigma_no_memory(s, v);
	return add_regex(s, v, pattern, false, !item->cased, pile);
}

/* ---- values --------------------------------------------------------------------------------------- */

static bool reads_as_int(const struct yaml_node *v, int64_t *ret_i)
{
	bool hex = v->len > 2 && v->text[0] == '0' && (v->text[1] | 0x20) == 'x';
	const char *digits = v->text + (v->text[0] == '-' || v->text[0] == '+');
	char *end;

	if (v->type != YAML_SCALAR || strlen(v->text) != v->len || *digits < '0' || *digits > '9')
		return false;
	/* 0755 is written so for a reason: it stays a text. */
	if (!hex && digits[0] == '0' && digits[1])
		return false;
	errno = 0;
	*ret_i = strtoll(v->text, &end, hex ? 16 : 10);
	return !*end && !errno;
}

static bool reads_as_float(const struct yaml_node *v, double *ret_f)
{
	char *end;

	if (v->type != YAML_SCALAR || !v->len || strlen(v->text) != v->len ||
	    v->text[strspn(v->text, "0123456789+-.eE")] || !strpbrk(v->text, "0123456789"))
		return false;
	*ret_f = strtod(v->text, &end);
	return !*end && *ret_f > -1e300 && *ret_f < 1e300;
}

static const char *reads_as_bool(const struct yaml_node *v)
{
	if (v->type != YAML_SCALAR)
		return NULL;
	return !strcasecmp(v->text, "true") ? "true" : !strcasecmp(v->text, "false") ? "false" : NULL;
}

/* A number: 0 when the value is none. */
static ir_ref number(struct sigma *s, const struct yaml_node *v)
{
	int64_t i;
	double f;

	if (reads_as_int(v, &i))
		return build_int(&s->b, i);
	return reads_as_float(v, &f) ? build_float(&s->b, f) : 0;
}

/* A number among keywords: it stands there as a word. */
static int keyword_number(struct sigma *s, const struct yaml_node *v, struct pile *pile)
{
	char pattern[128];
	size_t n = 0;

	n += (size_t)snprintf(pattern, sizeof(pattern), "(^|[^0-9A-Za-z_.])");
	for (size_t i = 0; i < v->len && n + 24 < sizeof(pattern); i++) {
		if (v->text[i] == '.' || v->text[i] == '+' || v->text[i] == '-')
			pattern[n++] = '\\';
		pattern[n++] = v->text[i];
	}
	n += (size_t)snprintf(pattern + n, sizeof(pattern) - n, "($|[^0-9A-Za-z_])");
	return add_regex(s, v, (struct str) { arena_str(&s->scratch, pattern, n), n }, true, true, pile);
}

static void add_word(struct sigma *s, const struct yaml_node *at, const struct item *item, struct str plain,
		     struct pile *pile)
{
	for (const struct sigma_word *w = item->field.words; w && w->word; w++) {
		ir_ref ref = 0;

		if (plain.n != strlen(w->word) || strncasecmp(plain.p, w->word, plain.n) != 0)
			continue;
		if (!w->where)
			ref = build_bool(&s->b, true);
		else
			(void)sigma_eql(s, at, w->where, &ref);
		pile->other[pile->n_other++] = ref;
	}
}

/* What has a wildcard of SQL in it is compared with LIKE there, which folds. */
static bool has_sql_wildcard(struct str s)
{
	return memchr(s.p, '%', s.n) || memchr(s.p, '_', s.n);
}

static int add_text(struct sigma *s, const struct item *item, const struct yaml_node *v, struct text *t,
		    struct pile *pile)
{
	/* Keywords are searched for, unless they say otherwise. */
	enum match match = item->field.look == LOOK_EVENT && !item->explicit_match ? MATCH_CONTAINS : item->match;
	const char *truth;
	int r = surround(s, v, match, t);

	if (r < 0)
		return r;
	if (item->windash)
		return value_windash(s, item, v, t, pile);
	if (is_anything(t)) {
		pile->other[pile->n_other++] = sigma_not(s, is_null(s, item));
	} else if (t->wild || (s->options->sql && has_sql_wildcard(t->plain))) {
		pile->like[pile->n_like++] = build_str(&s->b, t->pattern.p, t->pattern.n);
	} else {
		add_word(s, v, item, t->plain, pile);
		truth = reads_as_bool(v);
		if (truth && !item->cased)
			pile->equal[pile->n_equal++] = build_str(&s->b, truth, strlen(truth));
		else
			pile->equal[pile->n_equal++] = build_str(&s->b, t->plain.p, t->plain.n);
	}
	return 0;
}

static int add_encoded(struct sigma *s, const struct item *item, const struct yaml_node *v, struct str bytes,
		       struct pile *pile)
{
	unsigned variants = item->coding == CODING_BASE64 ? 1 : 3;
	int r = 0;

	if (item->width && !widen(&s->scratch, item->width, bytes, &bytes))
		return sigma_no_memory(s, v);
	for (unsigned i = 0; r == 0 && i < variants; i++) {
		struct str encoded;
		struct text t;

		if (!encode(&s->scratch, bytes, i, variants == 1, &encoded))
			return sigma_no_memory(s, v);
		/* A single letter says nothing. */
		if (!encoded.n)
			continue;
		r = text_of_bytes(s, v, encoded, &t);
		r = r < 0 ? r : add_text(s, item, v, &t, pile);
	}
	return r;
}

static int value_text(struct sigma *s, const struct item *item, const struct yaml_node *v, struct pile *pile)
{
	struct text t;
	int r = read_text(s, v, &t);

	if (r < 0)
		return r;
	if (!item->coding)
		return add_text(s, item, v, &t, pile);
	if (t.wild)
		return sigma_wrong(s, v, "a text with wildcards has no base64");
	if (!t.plain.n)
		return sigma_wrong(s, v, "an empty text has no base64");
	return add_encoded(s, item, v, t.plain, pile);
}

static int value_order(struct sigma *s, const struct item *item, const struct yaml_node *v, struct pile *pile)
{
	ir_ref ref = number(s, v);

	if (!ref && !s->b.no_memory && !s->b.too_many)
		return sigma_wrong(s, v, "wanted a number to compare with");
	pile->other[pile->n_other++] = leaf(s, item, item->order, flags_of(s, item) & ~(unsigned)IR_FOLD, &ref, 1);
	return 0;
}

static int value_cidr(struct sigma *s, const struct item *item, const struct yaml_node *v, struct pile *pile)
{
	struct str text = { v->text, v->len };
	uint8_t first[16], last[16];
	ir_ref kids[2];

	if (v->type != YAML_SCALAR || !cidr_parse(text, first, last))
		return sigma_wrong(s, v, "wanted a network, as in 10.0.0.0/8");
	(void)item;
	kids[0] = build_str(&s->b, text.p, text.n);
	pile->equal[pile->n_equal++] = kids[0];
	return 0;
}

static int value_exists(struct sigma *s, const struct item *item, const struct yaml_node *v, struct pile *pile)
{
	const char *truth = reads_as_bool(v);
	ir_ref ref = is_null(s, item);

	if (!truth && !(v->type == YAML_SCALAR && (!strcasecmp(v->text, "yes") || !strcasecmp(v->text, "no"))))
		return sigma_wrong(s, v, "exists: wanted true or false");
	if (truth ? *truth == 't' : !strcasecmp(v->text, "yes"))
		ref = sigma_not(s, ref);
	pile->other[pile->n_other++] = ref;
	return 0;
}

static int value_field(struct sigma *s, const struct item *item, const struct yaml_node *v, struct pile *pile)
{
	static const enum ir_fn fns[] = {
		[MATCH_CONTAINS] = IR_STRING_CONTAINS, [MATCH_BEGINS] = IR_STARTS_WITH, [MATCH_ENDS] = IR_ENDS_WITH
	};
	struct sigma_field other;
	ir_ref kids[2], ref;

	if (v->type != YAML_SCALAR || !v->len)
		return sigma_wrong(s, v, "fieldref: wanted the name of a field");
	sigma_field_of(s->scope->source, s->options->names, (struct str) { v->text, v->len }, CALL_NONE, &other);
	kids[0] = subject(s, &item->field);
	kids[1] = subject(s, &other);
	if (item->match == MATCH_IS) {
		ref = sigma_condition(s, IR_EQ, flags_of(s, item), kids, 2);
	} else {
		ref = sigma_condition(s, IR_CALL, flags_of(s, item), kids, 2);
		if (ref)
			build_at(&s->b, ref)->fn = (uint8_t)fns[item->match];
	}
	pile->other[pile->n_other++] = ref;
	return 0;
}

static int value(struct sigma *s, const struct item *item, const struct yaml_node *v, struct pile *pile)
{
	bool keyword = item->field.look == LOOK_EVENT;
	ir_ref ref;

	if (v->type == YAML_MAP || v->type == YAML_LIST)
		return sigma_wrong(s, v, "a value is no %s", v->type == YAML_MAP ? "mapping" : "list");
	if (item->field_ref)
		return value_field(s, item, v, pile);
	switch (item->match) {
	case MATCH_REGEX:
		return value_regex(s, item, v, pile);
	case MATCH_CIDR:
		return value_cidr(s, item, v, pile);
	case MATCH_ORDER:
		return value_order(s, item, v, pile);
	case MATCH_EXISTS:
		return value_exists(s, item, v, pile);
	default:
		break;
	}
	if (v->type == YAML_NOTHING) {
		if (keyword || item->explicit_match || item->coding || item->windash)
			return sigma_wrong(s, v, "nothing to search for");
		pile->other[pile->n_other++] = is_null(s, item);
		return 0;
	}
	if (v->plain && item->match == MATCH_IS && !item->coding && !item->windash) {
		ref = number(s, v);
		if (ref && keyword)
			return keyword_number(s, v, pile);
		if (ref) {
			pile->equal[pile->n_equal++] = ref;
			return 0;
		}
	}
	return value_text(s, item, v, pile);
}

/* ---- fields ---------------------------------------------------------------------------------------- */

static int pile_init(struct sigma *s, const struct yaml_node *at, size_t n_values, struct pile *pile)
{
	/* base64offset has three texts for one value; a word has one more condition. */
	size_t n = 4 * n_values + 4;

	pile->equal = arena_zeroed(&s->scratch, n, sizeof(ir_ref));
	pile->like = arena_zeroed(&s->scratch, n, sizeof(ir_ref));
	pile->regex = arena_zeroed(&s->scratch, n, sizeof(ir_ref));
	pile->other = arena_zeroed(&s->scratch, n, sizeof(ir_ref));
	pile->n_equal = pile->n_like = pile->n_regex = pile->n_other = 0;
	return pile->equal && pile->like && pile->regex && pile->other ? 0 : sigma_no_memory(s, at);
}

/* Numbers have no case. */
static bool has_texts(const struct sigma *s, const ir_ref *values, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (s->b.nodes[values[i]].op == IR_STR)
			return true;
	return false;
}

/* One of all that is on the pile. */
static ir_ref pile_any(struct sigma *s, const struct item *item, struct pile *pile)
{
	unsigned flags = flags_of(s, item);
	ir_ref ref;

	if (pile->n_equal && item->match == MATCH_CIDR) {
		ref = leaf(s, item, IR_CALL, flags & ~(unsigned)IR_FOLD, pile->equal, pile->n_equal);
		if (ref)
			build_at(&s->b, ref)->fn = IR_CIDR_MATCH;
		pile->other[pile->n_other++] = ref;
	} else if (pile->n_equal) {
		bool exactly = s->options->sql || !has_texts(s, pile->equal, pile->n_equal);
		unsigned exact = exactly ? flags & ~(unsigned)IR_FOLD : flags;

		ref = leaf(s, item, pile->n_equal > 1 ? IR_IN : IR_EQ, exact, pile->equal, pile->n_equal);
		set_as(s, item, ref, pile->equal, pile->n_equal);
		pile->other[pile->n_other++] = ref;
	}
	if (pile->n_like)
		pile->other[pile->n_other++] = leaf(s, item, IR_LIKE, flags | IR_ESCAPE, pile->like, pile->n_like);
	if (pile->n_regex) {
		/* A written one has its case; one that was made of texts folds it as they do. */
		bool written = item->match == MATCH_REGEX;
		bool number = item->field.look == LOOK_EVENT && !item->windash;

		flags = (flags & ~(unsigned)IR_FOLD) | IR_PERL;
		flags |= written || number ? IR_SEARCH : 0;
		flags |= !written && !item->cased ? IR_FOLD : 0;
		pile->other[pile->n_other++] = leaf(s, item, IR_REGEX, flags, pile->regex, pile->n_regex);
	}
	return sigma_any(s, pile->other, pile->n_other);
}

/* The values of a key: any of them, or all. */
static int values(struct sigma *s, const struct item *item, ir_ref *ret_ref)
{
	bool list = item->node->type == YAML_LIST;
	size_t n = list ? item->node->n : 1, n_all = 0;
	const struct yaml_node *v = list ? item->node->first : item->node;
	ir_ref *all;
	struct pile pile;
	int r;

	if (!n)
		return sigma_wrong(s, item->node, "an empty list: nothing would ever match");
	if (n > RULE_LIST_MAX / 4)
		return sigma_wrong(s, item->node, "a list of more than %d values", RULE_LIST_MAX / 4);
	if (item->all && n < 2 && item->field.look != LOOK_EVENT && !list)
		return sigma_wrong(s, item->key, "\"all\" wants a list of values");
	all = arena_zeroed(&s->scratch, n, sizeof(*all));
	if (!all)
		return sigma_no_memory(s, item->node);
	r = pile_init(s, item->node, item->all ? 1 : n, &pile);
	for (; v && r == 0; v = list ? v->next : NULL) {
		r = value(s, item, v, &pile);
		if (r == 0 && item->all) {
			all[n_all++] = pile_any(s, item, &pile);
			r = pile_init(s, item->node, 1, &pile);
		}
	}
	if (r < 0)
		return r;
	*ret_ref = item->all ? sigma_all(s, all, n_all) : pile_any(s, item, &pile);
	if (item->neq)
		*ret_ref = sigma_not(s, *ret_ref);
	return sigma_made(s, item->node, *ret_ref, ret_ref);
}

/* Is a selection about the audit system's records of system calls? */
static enum sigma_call call_of(const struct yaml_node *map)
{
	enum sigma_call call = CALL_NONE;

	for (const struct yaml_node *v = map->first; v; v = v->next) {
		if (!strncasecmp(v->key->text, "syscall", 7))
			return CALL_NAMED;
		if (!strcmp(v->key->text, "type") && v->type == YAML_SCALAR && !strcasecmp(v->text, "SYSCALL"))
			call = CALL_RECORD;
	}
	return call;
}

static int field(struct sigma *s, const struct yaml_node *map, const struct yaml_node *node, ir_ref *ret_ref)
{
	struct item item = { .key = node->key, .node = node };
	int r = modifiers(s, &item);

	if (r < 0)
		return r;
	if (!item.name.n)
		item.field.look = LOOK_EVENT;
	else
		sigma_field_of(s->scope->source, s->options->names, item.name, call_of(map), &item.field);
	return values(s, &item, ret_ref);
}

static int map_of_fields(struct sigma *s, const struct yaml_node *map, ir_ref *ret_ref)
{
	ir_ref *all = arena_zeroed(&s->scratch, map->n + 1, sizeof(*all));
	size_t n = 0;
	int r = 0;

	if (!map->n)
		return sigma_wrong(s, map, "an empty mapping asks for nothing");
	if (!all)
		return sigma_no_memory(s, map);
	for (const struct yaml_node *v = map->first; v && r == 0; v = v->next)
		r = field(s, map, v, &all[n++]);
	if (r < 0)
		return r;
	return sigma_made(s, map, sigma_all(s, all, n), ret_ref);
}

/* Texts without a field. Those that stand side by side are one list. */
static int keywords(struct sigma *s, const struct yaml_node *list, ir_ref *ret_ref)
{
	struct item item = { .key = list->key ? list->key : list, .node = list, .field.look = LOOK_EVENT };

	return values(s, &item, ret_ref);
}

static bool are_keywords(const struct yaml_node *list)
{
	for (const struct yaml_node *v = list->first; v; v = v->next)
		if (v->type == YAML_MAP || v->type == YAML_LIST)
			return false;
	return true;
}

int sigma_selection(struct sigma *s, const struct yaml_node *node, ir_ref *ret_ref)
{
	ir_ref *any;
	size_t n = 0;
	int r = 0;

	if (node->type == YAML_MAP)
		return map_of_fields(s, node, ret_ref);
	if (node->type == YAML_NOTHING)
		return sigma_wrong(s, node, "an empty selection");
	if (node->type == YAML_SCALAR || are_keywords(node))
		return keywords(s, node, ret_ref);
	if (s->depth >= RULE_DEPTH_MAX)
		return sigma_wrong(s, node, "nested deeper than %d", RULE_DEPTH_MAX);
	any = arena_zeroed(&s->scratch, node->n, sizeof(*any));
	if (!any)
		return sigma_no_memory(s, node);
	s->depth++;
	for (const struct yaml_node *v = node->first; v && r == 0; v = v->next)
		r = sigma_selection(s, v, &any[n++]);
	s->depth--;
	return r < 0 ? r : sigma_made(s, node, sigma_any(s, any, n), ret_ref);
}
