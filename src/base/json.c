/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include "base/err.h"
#include "base/hash.h"
#include "base/json_scan.h"
#include "base/utf8.h"

enum {
	NODES_FIRST = 128,
	PAD = 16,      /* zeros behind the text: whole words are loaded, and every scan ends there */
	PAIRWISE = 16, /* members that are compared each with each */
};

/* A container that has not ended. */
struct frame {
	uint32_t node, count;
	uint64_t names; /* a bit for the hash of each name: two of one bit may be the same */
	bool is_object, maybe_twice;
};

struct parser {
	struct json_doc *doc;
	char *p, *end;
	unsigned depth;
	int error;
	struct frame frames[JSON_DEPTH_MAX];
};

void json_init(struct json_doc *doc, const struct json_limits *limits)
{
	*doc = (struct json_doc) { .limits = *limits };
	if (doc->limits.depth_max > JSON_DEPTH_MAX)
		doc->limits.depth_max = JSON_DEPTH_MAX;
	if (doc->limits.len_max > UINT32_MAX / 2)
		doc->limits.len_max = UINT32_MAX / 2;
}

void json_free(struct json_doc *doc)
{
	free(doc->nodes);
	free(doc->text);
	free(doc->seen);
	json_init(doc, &(struct json_limits) { doc->limits.len_max, doc->limits.nodes_max, doc->limits.depth_max });
}

static __attribute__((cold, noinline)) bool fail(struct parser *ps, const char *p, const char *what)
{
	if (p >= ps->end)
		what = "the text ends in the middle of a value";
	ps->error = err_new(-EINVAL, "not JSON at offset %zu: %s", (size_t)(p - ps->doc->text), what);
	return false;
}

static __attribute__((cold, noinline)) bool nodes_grow(struct parser *ps)
{
	struct json_doc *doc = ps->doc;
	size_t cap = doc->cap ? doc->cap * 2 : NODES_FIRST;
	struct json_node *nodes;

	if (doc->n >= doc->limits.nodes_max) {
		ps->error = err_new(-E2BIG, "JSON of more than %zu values", doc->limits.nodes_max);
		return false;
	}
	if (cap > doc->limits.nodes_max)
		cap = doc->limits.nodes_max;
	nodes = realloc(doc->nodes, cap * sizeof(*nodes));
	if (!nodes) {
		ps->error = err_new(-ENOMEM, "out of memory");
		return false;
	}
	doc->nodes = nodes;
	doc->cap = cap;
	return true;
}

static inline struct json_node *node_add(struct parser *ps, enum json_type type)
{
	struct json_doc *doc = ps->doc;
	struct json_node *v;

	if (doc->n == doc->cap && !nodes_grow(ps))
		return NULL;
	v = &doc->nodes[doc->n++];
	v->type = (uint8_t)type;
	v->dead = false;
	return v;
}

static inline char *skip_blanks(char *p)
{
	if ((unsigned char)*p > ' ')
		return p;
	while (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')
		p++;
	return p;
}

/* ---- strings ---------------------------------------------------------------------------- */

static inline char *plain_end(char *p)
{
	uint64_t w, stop;

	for (;; p += sizeof(w)) {
		memcpy(&w, p, sizeof(w));
		stop = json_scan_word(w);
		if (stop)
			return p + (unsigned)__builtin_ctzll(stop) / 8;
	}
}

/* Four hex digits; -1 when they are none. */
static int hex4(const char *p)
{
	int v = 0;

	for (int i = 0; i < 4; i++) {
		unsigned char c = (unsigned char)p[i], low = c | 0x20;

		if (c >= '0' && c <= '9')
			v = v << 4 | (c - '0');
		else if (low >= 'a' && low <= 'f')
			v = v << 4 | (low - 'a' + 10);
		else
			return -1;
	}
	return v;
}

/* p is behind "\u". A high surrogate takes the low one that follows it; alone, each stands for itself. */
static char *unescape_code(struct parser *ps, char *p, char **to)
{
	int code = hex4(p), low;

	if (code < 0) {
		(void)fail(ps, p, "\\u without four hex digits");
		return NULL;
	}
	p += 4;
	if (code >= 0xd800 && code < 0xdc00 && p[0] == '\\' && p[1] == 'u') {
		low = hex4(p + 2);
		if (low >= 0xdc00 && low < 0xe000) {
			code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
			p += 6;
		}
	}
	*to += utf8_put((uint32_t)code, *to);
	return p;
}

/* p is behind the backslash. What an escape stands for is never longer than the escape, so it is put in its place. */
static char *unescape(struct parser *ps, char *p, char **to)
{
	static const char stands_for[256] = { ['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
					      ['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t' };
	unsigned char c = (unsigned char)*p;

	if (c == 'u')
		return unescape_code(ps, p + 1, to);
	if (!stands_for[c]) {
		(void)fail(ps, p, "no such escape");
		return NULL;
	}
	*(*to)++ = stands_for[c];
	return p + 1;
}

/* The rest of a string from its first escape on; returns its end, behind the quote. */
static char *string_rest(struct parser *ps, char *p, char **ret_end)
{
	char *to = p;

	for (;;) {
		unsigned char c = (unsigned char)*p;
		size_t len;

		if (json_is_plain(c)) {
			*to++ = *p++;
		} else if (c == '"') {
			*ret_end = to;
			return p + 1;
		} else if (c == '\\') {
			p = unescape(ps, p + 1, &to);
			if (!p)
				return NULL;
		} else if (c >= 0x80 && (len = utf8_char(p, (size_t)(ps->end - p), NULL))) {
			while (len--)
				*to++ = *p++;
		} else {
			(void)fail(ps, p, c < 0x20 ? "a control character in a string" : "bytes that are no UTF-8");
			return NULL;
		}
	}
}

/* ps->p is behind the quote. */
static inline bool parse_string(struct parser *ps, struct json_node *v)
{
	char *start = ps->p, *p = start, *end;
	size_t len;

	for (;;) {
		p = plain_end(p);
		if (*p == '"') {
			end = p++;
			break;
		}
		if ((unsigned char)*p < 0x80 || !(len = utf8_char(p, (size_t)(ps->end - p), NULL))) {
			p = string_rest(ps, p, &end);
			if (!p)
				return false;
			break;
		}
		p += len;
	}
	*end = 0;
	v->s = start;
	v->len = (uint32_t)(end - start);
	ps->p = p;
	return true;
}

/* ---- numbers ------------------------------------------------------------------------------ */

static inline bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool slow_double(struct parser *ps, struct json_node *v, char *start, char *end)
{
	static locale_t c_locale;
	locale_t locale = __atomic_load_n(&c_locale, __ATOMIC_ACQUIRE);

	if (end - start > JSON_NUMBER_MAX)
		return fail(ps, start, "a number of too many digits");
	if (!locale) {
		/* The C locale is one static object: whoever makes it twice gets the same. */
		locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
		__atomic_store_n(&c_locale, locale, __ATOMIC_RELEASE);
	}
	v->d = strtod_l(start, NULL, locale);
	return isfinite(v->d) || fail(ps, start, "a number too large");
}

/* p is at a point or an exponent, or an integer was too long. m: the digits so far, exact when `exact`. */
static bool parse_double(struct parser *ps, struct json_node *v, char *start, char *p, uint64_t m, bool exact)
{
	static const double tens[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
				       1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };
	int scale = 0, exponent = 0, sign = 1;

	v->type = JSON_DOUBLE;
	if (*p == '.') {
		if (!is_digit(*++p))
			return fail(ps, p, "a point without a digit after it");
		for (; is_digit(*p); p++, scale--) {
			exact &= m < UINT64_MAX / 10 - 1;
			m = m * 10 + (uint64_t)(*p - '0');
		}
	}
	if (*p == 'e' || *p == 'E') {
		p++;
		if (*p == '+' || *p == '-')
			sign = *p++ == '-' ? -1 : 1;
		if (!is_digit(*p))
			return fail(ps, p, "an exponent without a digit");
		for (; is_digit(*p); p++)
			exponent = exponent < 100000 ? exponent * 10 + (*p - '0') : exponent;
	}
	ps->p = p;
	scale += sign * exponent;
	/* Both factors are doubles without an error, so one rounding gives the nearest. */
	if (!exact || m > 1ULL << 53 || scale < -22 || scale > 22)
		return slow_double(ps, v, start, p);
	v->d = scale < 0 ? (double)m / tens[-scale] : (double)m * tens[scale];
	if (*start == '-')
		v->d = -v->d;
	return true;
}

static inline bool parse_number(struct parser *ps, struct json_node *v)
{
	char *start = ps->p, *p = start, *digits;
	bool negative = *p == '-', exact = true;
	uint64_t m = 0;

	p += negative;
	digits = p;
	for (; is_digit(*p); p++) {
		if (p - digits >= 19)
			exact &= m < UINT64_MAX / 10 || (m == UINT64_MAX / 10 && *p - '0' <= (int)(UINT64_MAX % 10));
		m = m * 10 + (uint64_t)(*p - '0');
	}
	if (p == digits)
		return fail(ps, p, negative ? "a minus without a digit" : "no value");
	if (*digits == '0' && p - digits > 1)
		return fail(ps, digits, "a number with a leading zero");
	if (*p == '.' || *p == 'e' || *p == 'E' || !exact || (negative && (!m || m > 1ULL << 63)))
		return parse_double(ps, v, start, p, m, exact);
	v->type = negative || m <= INT64_MAX ? JSON_INT : JSON_UINT;
	v->u = negative ? 0 - m : m;
	ps->p = p;
	return true;
}

/* ---- names that are there twice -------------------------------------------------------------- */

static inline uint64_t name_bit(const struct json_node *name)
{
	uint64_t w;

	/* Eight bytes can be loaded wherever a name begins: the text is padded. */
	memcpy(&w, name->s, sizeof(w));
	if (name->len < sizeof(w))
		w &= ~(UINT64_MAX << 8 * name->len);
	else
		w ^= hash_load((const unsigned char *)name->s + name->len - sizeof(w), sizeof(w)) * 3;
	return 1ULL << ((w ^ name->len) * HASH_K1 >> 58);
}

static bool same_name(const struct json_node *a, const struct json_node *b)
{
	return a->len == b->len && !memcmp(a->s, b->s, a->len);
}

static void mark_pairwise(struct json_node *object)
{
	struct json_node *first = object + 1;

	for (uint32_t i = 1; i < object->len; i++) {
		struct json_node *name = (struct json_node *)json_skip(first + 1);

		for (uint32_t k = i; k < object->len; k++) {
			first->dead |= same_name(first, name);
			name = (struct json_node *)json_skip(name + 1);
		}
		first = (struct json_node *)json_skip(first + 1);
	}
}

static bool mark_by_hash(struct parser *ps, struct json_node *object)
{
	struct json_doc *doc = ps->doc;
	struct json_node *name = object + 1;
	size_t size = 64;

	while (size < 2 * (size_t)object->len)
		size *= 2;
	if (size > doc->seen_cap) {
		uint32_t *seen = realloc(doc->seen, size * sizeof(*seen));

		if (!seen) {
			ps->error = err_new(-ENOMEM, "out of memory");
			return false;
		}
		doc->seen = seen;
		doc->seen_cap = size;
	}
	memset(doc->seen, 0, size * sizeof(doc->seen[0]));
	for (uint32_t m = 0; m < object->len; m++, name = (struct json_node *)json_skip(name + 1)) {
		size_t i = hash_bytes(name->s, name->len, hash_seed()) & (size - 1);

		while (doc->seen[i] && !same_name(&doc->nodes[doc->seen[i]], name))
			i = (i + 1) & (size - 1);
		if (doc->seen[i])
			doc->nodes[doc->seen[i]].dead = true;
		doc->seen[i] = (uint32_t)(name - doc->nodes);
	}
	return true;
}

/* ---- containers -------------------------------------------------------------------------------- */

static inline bool open_container(struct parser *ps, struct json_node *v, bool is_object)
{
	if (ps->depth == ps->doc->limits.depth_max) {
		ps->error = err_new(-E2BIG, "JSON nested deeper than %u", ps->doc->limits.depth_max);
		return false;
	}
	v->type = is_object ? JSON_OBJECT : JSON_ARRAY;
	ps->frames[ps->depth++] = (struct frame) { .node = (uint32_t)(v - ps->doc->nodes), .is_object = is_object };
	ps->p++;
	return true;
}

static inline bool close_container(struct parser *ps)
{
	const struct frame *f = &ps->frames[--ps->depth];
	struct json_node *v = &ps->doc->nodes[f->node];

	v->len = f->count;
	v->span = (uint32_t)(ps->doc->n - f->node);
	ps->p++;
	if (!f->maybe_twice)
		return true;
	if (f->count > PAIRWISE)
		return mark_by_hash(ps, v);
	mark_pairwise(v);
	return true;
}

static inline bool parse_name(struct parser *ps)
{
	struct frame *f = &ps->frames[ps->depth - 1];
	struct json_node *name;
	uint64_t bit;

	ps->p = skip_blanks(ps->p);
	if (*ps->p != '"')
		return fail(ps, ps->p, "wanted the name of a member");
	ps->p++;
	name = node_add(ps, JSON_STRING);
	if (!name || !parse_string(ps, name))
		return false;
	bit = name_bit(name);
	f->maybe_twice |= (f->names & bit) != 0;
	f->names |= bit;
	ps->p = skip_blanks(ps->p);
	if (*ps->p != ':')
		return fail(ps, ps->p, "wanted a colon");
	ps->p++;
	return true;
}

static inline bool parse_word(struct parser *ps, const char *word, size_t n)
{
	if (strncmp(ps->p, word, n) != 0)
		return fail(ps, ps->p, "no value");
	ps->p += n;
	return true;
}

/* One value; of a container only its beginning. */
static inline bool parse_value(struct parser *ps)
{
	struct json_node *v = node_add(ps, JSON_NULL);

	if (!v)
		return false;
	ps->p = skip_blanks(ps->p);
	switch (*ps->p) {
	case '"':
		ps->p++;
		v->type = JSON_STRING;
		return parse_string(ps, v);
	case '{':
	case '[':
		return open_container(ps, v, *ps->p == '{');
	case 't':
	case 'f':
		v->type = JSON_BOOL;
		v->b = *ps->p == 't';
		return parse_word(ps, v->b ? "true" : "false", v->b ? 4 : 5);
	case 'n':
		return parse_word(ps, "null", 4);
	default:
		return parse_number(ps, v);
	}
}

/* After a value, or at the beginning of a container: goes to where the next value begins, or out of all containers. */
static inline bool next_value(struct parser *ps)
{
	while (ps->depth) {
		struct frame *f = &ps->frames[ps->depth - 1];
		char closing = f->is_object ? '}' : ']';

		ps->p = skip_blanks(ps->p);
		if (*ps->p == closing) {
			if (!close_container(ps))
				return false;
			continue;
		}
		if (f->count) {
			if (*ps->p != ',')
				return fail(ps, ps->p, "wanted a comma or the end of the container");
			ps->p++;
		}
		f->count++;
		return !f->is_object || parse_name(ps);
	}
	return true;
}

static bool parse(struct parser *ps)
{
	do
		if (!parse_value(ps) || !next_value(ps))
			return false;
	while (ps->depth);
	ps->p = skip_blanks(ps->p);
	return ps->p == ps->end || fail(ps, ps->p, "something after the value");
}

static int keep_text(struct json_doc *doc, const char *p, size_t n)
{
	if (n > doc->limits.len_max)
		return err_new(-E2BIG, "JSON of more than %zu bytes", doc->limits.len_max);
	if (n + PAD > doc->text_cap) {
		size_t cap = (n + PAD) * 3 / 2;
		char *text = realloc(doc->text, cap);

		if (!text)
			return err_new(-ENOMEM, "out of memory");
		doc->text = text;
		doc->text_cap = cap;
	}
	if (n)
		memcpy(doc->text, p, n);
	memset(doc->text + n, 0, PAD);
	return 0;
}

int json_parse(struct json_doc *doc, const char *p, size_t n, const struct json_node **ret_root)
{
	struct parser ps;
	int r = keep_text(doc, p, n);

	if (r < 0)
		return r;
	doc->n = 0;
	ps.doc = doc;
	ps.p = doc->text;
	ps.end = doc->text + n;
	ps.depth = 0;
	ps.error = 0;
	if (!parse(&ps))
		return ps.error;
	*ret_root = doc->nodes;
	return 0;
}

/* ---- looking ------------------------------------------------------------------------------------- */

static const struct json_node *member_at(const struct json_node *container, const struct json_node *at,
					 const struct json_node **ret_name)
{
	const struct json_node *end = container + container->span;

	while (container->type == JSON_OBJECT && at < end && at->dead)
		at = json_skip(at + 1);
	if (at >= end)
		return NULL;
	*ret_name = container->type == JSON_OBJECT ? at : NULL;
	return container->type == JSON_OBJECT ? at + 1 : at;
}

const struct json_node *json_first(const struct json_node *container, const struct json_node **ret_name)
{
	return json_is_container(container) ? member_at(container, container + 1, ret_name) : NULL;
}

const struct json_node *json_next(const struct json_node *container, const struct json_node *v,
				  const struct json_node **ret_name)
{
	return member_at(container, json_skip(v), ret_name);
}

const struct json_node *json_get(const struct json_node *object, const char *name)
{
	const struct json_node *is, *v;
	size_t n = strlen(name);

	if (object->type != JSON_OBJECT)
		return NULL;
	for (v = json_first(object, &is); v; v = json_next(object, v, &is))
		if (is->len == n && !memcmp(is->s, name, n))
			return v;
	return NULL;
}
