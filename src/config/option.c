/* SPDX-License-Identifier: Apache-2.0 */
#include "config/option.h"
#include <ctype.h>
#include <inttypes.h>
#include <string.h>
#include "base/err.h"
#include "base/mem.h"

enum { MESSAGE_MAX = 512, SHOWN_MAX = 64 };

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit byte_units[] = {
	{ "B", 1 }, { "KiB", 1 << 10 }, { "MiB", 1 << 20 }, { "GiB", 1 << 30 }, { NULL, 0 },
};

static const struct unit time_units[] = {
	{ "ns", 1 },          { "us", 1000 },         { "ms", 1000000 },       { "s", 1000000000 },
	{ "m", 60000000000 }, { "h", 3600000000000 }, { "d", 86400000000000 }, { NULL, 0 },
};

static const struct unit *units_of(const struct option *row)
{
	return row->type == OPT_BYTES ? byte_units : row->type == OPT_DURATION ? time_units : NULL;
}

/* ---- numbers ------------------------------------------------------------------------ */

static int bad_number(const struct option *row, const char *text)
{
	if (row->type == OPT_BYTES)
		return err_new(-EINVAL, "\"%.*s\" is not a size: write a number with B, KiB, MiB or GiB", SHOWN_MAX,
			       text);
	if (row->type == OPT_DURATION)
		return err_new(-EINVAL, "\"%.*s\" is not a time: write a number with ns, us, ms, s, m, h or d",
			       SHOWN_MAX, text);
	return err_new(-EINVAL, "\"%.*s\" is not a whole number", SHOWN_MAX, text);
}

/* Digits, then one of the units where the row has units. A number past 64 bits reads as the largest, *ret_huge. */
static int parse_number(const struct option *row, const char *text, uint64_t *ret_value, bool *ret_huge)
{
	const struct unit *u = units_of(row);
	char *end;
	uint64_t v, factor = 1;

	/* strtoull would take "-1" and " 1". */
	if (!isdigit((unsigned char)text[0]))
		return bad_number(row, text);
	errno = 0;
	v = strtoull(text, &end, 10);
	*ret_huge = errno == ERANGE;
	while (*end == ' ')
		end++;
	/* A time without a unit is a guess that somebody will lose; zero is zero in all of them. */
	if (*end || (row->type == OPT_DURATION && v)) {
		while (u && u->name && strcmp(u->name, end) != 0)
			u++;
		if (!u || !u->name)
			return bad_number(row, text);
		factor = u->factor;
	}
	if (__builtin_mul_overflow(v, factor, &v))
		*ret_huge = true;
	*ret_value = v;
	return 0;
}

static int set_number(const struct option *row, const char *text, void *at)
{
	bool huge = false;
	uint64_t v = 0;
	int r = parse_number(row, text, &v, &huge);

	if (r < 0)
		return r;
	if (huge || v < row->min || (row->max && v > row->max)) {
		auto_buf struct buf bounds = { .max = MESSAGE_MAX };

		if (option_print_bounds(row, &bounds))
			return err_new(-ERANGE, "%.*s is out of range: %s", SHOWN_MAX, text, buf_text(&bounds));
		return err_new(-ERANGE, "%.*s is too large", SHOWN_MAX, text);
	}
	if (row->type == OPT_U32 && v > UINT32_MAX)
		return err_new(-ERANGE, "%.*s is too large: at most %" PRIu32, SHOWN_MAX, text, UINT32_MAX);
	if (row->type == OPT_U32)
		*(uint32_t *)at = (uint32_t)v;
	else
		*(uint64_t *)at = v;
	return 0;
}

/* ---- words and text ----------------------------------------------------------------- */

static int set_bool(const char *text, bool *at)
{
	if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
		return err_new(-EINVAL, "\"%.*s\" is neither true nor false", SHOWN_MAX, text);
	*at = text[0] == 't';
	return 0;
}

static void print_names(const struct option *row, const char *between, struct buf *out)
{
	for (size_t i = 0; row->names && row->names[i]; i++)
		buf_printf(out, "%s%s", i ? between : "", row->names[i]);
}

static int find_name(const struct option *row, const char *text, uint32_t *ret_index)
{
	auto_buf struct buf all = { .max = MESSAGE_MAX };

	for (uint32_t i = 0; row->names && row->names[i]; i++)
		if (!strcmp(row->names[i], text)) {
			*ret_index = i;
			return 0;
		}
	print_names(row, ", ", &all);
	return err_new(-EINVAL, "\"%.*s\" is none of: %s", SHOWN_MAX, text, buf_text(&all));
}

static int check_text(const struct option *row, const char *text)
{
	bool path = row->type == OPT_PATHS || (row->type == OPT_PATH && text[0]);

	if (strlen(text) > OPTION_TEXT_MAX)
		return err_new(-E2BIG, "\"%.*s...\" is longer than %d bytes", SHOWN_MAX, text, OPTION_TEXT_MAX);
	if (path && text[0] != '/')
		return err_new(-EINVAL, "\"%.*s\" is not an absolute path", SHOWN_MAX, text);
	return row->check ? row->check(text) : 0;
}

static int set_text(const struct option *row, const char *text, char **at)
{
	char *copy;
	int r = check_text(row, text);

	if (r < 0)
		return r;
	copy = strdup(text);
	if (!copy)
		return err_new(-ENOMEM, "no memory for an option");
	free(*at);
	*at = copy;
	return 0;
}

/* ---- lists and maps ----------------------------------------------------------------- */

int option_check_item(const struct option *row, const char *text)
{
	uint32_t i;

	if (row->type == OPT_WORDS || row->type == OPT_MAP)
		return find_name(row, text, &i);
	return check_text(row, text);
}

static void list_clear(struct option_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->items[i]);
	free(l->items);
	*l = (struct option_list) { 0 };
}

static int check_length(const struct option *row, size_t n)
{
	uint64_t max = row->max ? row->max : row->type == OPT_MAP ? OPTION_MAP_MAX : OPTION_LIST_MAX;
	const char *what = row->type == OPT_MAP ? "keys" : "items";

	if (n < row->min)
		return err_new(-ERANGE, "%zu %s are too few: at least %" PRIu64, n, what, row->min);
	if (n > max)
		return err_new(-ERANGE, "%zu %s are too many: at most %" PRIu64, n, what, max);
	return 0;
}

static int copy_items(const struct option *row, const char *const *items, size_t n, struct option_list *l)
{
	l->items = calloc(n + 1, sizeof(*l->items));
	if (!l->items)
		return err_new(-ENOMEM, "no memory for an option");
	for (; l->n < n; l->n++) {
		int r = set_text(row, items[l->n], &l->items[l->n]);

		if (r < 0)
			return r;
	}
	return 0;
}

static int read_words(const struct option *row, const char *const *items, size_t n, uint32_t *ret_words)
{
	uint32_t words = 0, i = 0;

	for (size_t k = 0; k < n; k++) {
		int r = find_name(row, items[k], &i);

		if (r < 0)
			return r;
		if (i >= 32)
			return err_new(-ERANGE, "%s has more than 32 words", row->name);
		words |= UINT32_C(1) << i;
	}
	*ret_words = words;
	return 0;
}

int option_set_list(const struct option *row, const char *const *items, size_t n, void *options)
{
	void *at = (char *)options + row->off;
	struct option_list l = { 0 };
	int r = check_length(row, n);

	if (r < 0)
		return r;
	if (row->type == OPT_WORDS)
		return read_words(row, items, n, at);
	r = copy_items(row, items, n, &l);
	if (r < 0) {
		list_clear(&l);
		return r;
	}
	list_clear(at);
	*(struct option_list *)at = l;
	return 0;
}

static void map_clear(struct option_map *m)
{
	for (size_t i = 0; i < m->n; i++)
		free(m->items[i].key);
	free(m->items);
	*m = (struct option_map) { 0 };
}

static struct option_pair *map_find(const struct option_map *m, const char *key)
{
	for (size_t i = 0; i < m->n; i++)
		if (!strcmp(m->items[i].key, key))
			return &m->items[i];
	return NULL;
}

static int map_add(struct option_map *m, const char *key, uint32_t words)
{
	struct option_pair *items = realloc(m->items, (m->n + 1) * sizeof(*items));
	char *copy;

	if (!items)
		return err_new(-ENOMEM, "no memory for an option");
	m->items = items;
	copy = strdup(key);
	if (!copy)
		return err_new(-ENOMEM, "no memory for an option");
	m->items[m->n++] = (struct option_pair) { copy, words };
	return 0;
}

int option_set_key(const struct option *row, const char *key, const char *const *items, size_t n, void *options)
{
	struct option_map *m = (struct option_map *)(void *)((char *)options + row->off);
	struct option_pair *pair = map_find(m, key);
	uint32_t words = 0;
	int r = read_words(row, items, n, &words);

	if (r < 0)
		return r;
	if (pair) {
		pair->words = words;
		return 0;
	}
	r = check_length(row, m->n + 1);
	if (r < 0)
		return r;
	return map_add(m, key, words);
}

/* "a, b, c": how a default of a list is written. */
static int set_list_text(const struct option *row, const char *text, void *options)
{
	auto_free char *copy = strdup(text);
	auto_free const char **items = calloc(strlen(text) + 1, sizeof(*items));
	size_t n = 0;
	char *save = NULL;

	if (!copy || !items)
		return err_new(-ENOMEM, "no memory for an option");
	for (char *item = strtok_r(copy, ",", &save); item; item = strtok_r(NULL, ",", &save))
		items[n++] = item + strspn(item, " ");
	return option_set_list(row, items, n, options);
}

/* ---- all types ---------------------------------------------------------------------- */

int option_set(const struct option *row, const char *text, void *options)
{
	void *at = (char *)options + row->off;

	switch (row->type) {
	case OPT_BOOL:
		return set_bool(text, at);
	case OPT_U32:
	case OPT_U64:
	case OPT_BYTES:
	case OPT_DURATION:
		return set_number(row, text, at);
	case OPT_ENUM:
		return find_name(row, text, at);
	case OPT_STR:
	case OPT_PATH:
		return set_text(row, text, at);
	case OPT_STRS:
	case OPT_PATHS:
	case OPT_WORDS:
		return set_list_text(row, text, options);
	case OPT_MAP:
		if (*text)
			return err_new(-EINVAL, "a mapping is not written as text");
		map_clear(at);
		return 0;
	}
	return err_new(-EINVAL, "option %s has an unknown type", row->name);
}

int option_defaults(const struct option *rows, size_t n, void *options)
{
	for (size_t i = 0; i < n; i++) {
		int r = option_set(&rows[i], rows[i].def, options);

		if (r < 0)
			return err_wrap(r, "default of %s", rows[i].name);
	}
	return 0;
}

void options_clear(const struct option *rows, size_t n, void *options)
{
	for (size_t i = 0; i < n; i++) {
		void *at = (char *)options + rows[i].off;

		if (rows[i].type == OPT_STR || rows[i].type == OPT_PATH)
			mem_freep(at);
		else if (rows[i].type == OPT_STRS || rows[i].type == OPT_PATHS)
			list_clear(at);
		else if (rows[i].type == OPT_MAP)
			map_clear(at);
	}
}

static bool list_equal(const struct option_list *a, const struct option_list *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->items[i], b->items[i]) != 0)
			return false;
	return true;
}

/* The order of the keys says nothing. */
static bool map_equal(const struct option_map *a, const struct option_map *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		const struct option_pair *other = map_find(b, a->items[i].key);

		if (!other || other->words != a->items[i].words)
			return false;
	}
	return true;
}

bool option_equal(const struct option *row, const void *a, const void *b)
{
	const void *x = (const char *)a + row->off, *y = (const char *)b + row->off;

	switch (row->type) {
	case OPT_BOOL:
		return *(const bool *)x == *(const bool *)y;
	case OPT_U32:
	case OPT_ENUM:
	case OPT_WORDS:
		return *(const uint32_t *)x == *(const uint32_t *)y;
	case OPT_U64:
	case OPT_BYTES:
	case OPT_DURATION:
		return *(const uint64_t *)x == *(const uint64_t *)y;
	case OPT_STR:
	case OPT_PATH:
		return !strcmp(*(char *const *)x, *(char *const *)y);
	case OPT_STRS:
	case OPT_PATHS:
		return list_equal(x, y);
	case OPT_MAP:
		return map_equal(x, y);
	}
	return false;
}

/* ---- printing ----------------------------------------------------------------------- */

void option_print_number(const struct option *row, uint64_t v, struct buf *out)
{
	const struct unit *best = NULL;

	for (const struct unit *u = units_of(row); u && u->name; u++)
		if (v && v % u->factor == 0)
			best = u;
	if (best)
		buf_printf(out, "%" PRIu64 "%s", v / best->factor, best->name);
	else
		buf_printf(out, "%" PRIu64, v);
}

/* Plain where no reader could take it for anything else: letters, digits and what paths are made of. */
static bool is_plain(const char *text)
{
	static const char inside[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+@%*:-";
	size_t n = strlen(text);

	if (!n || strspn(text, inside) != n || !strcmp(text, "null") || strpbrk(text, "~"))
		return false;
	return (isalnum((unsigned char)text[0]) || text[0] == '/' || text[0] == '_' || text[0] == '.') &&
	       text[n - 1] != ':';
}

void option_print_text(const char *text, struct buf *out)
{
	if (is_plain(text)) {
		buf_str(out, text);
		return;
	}
	buf_char(out, '"');
	for (const char *p = text; *p; p++) {
		if (*p == '"' || *p == '\\')
			buf_printf(out, "\\%c", *p);
		else if ((unsigned char)*p < 0x20 || *p == 0x7f)
			buf_printf(out, "\\x%02x", (unsigned char)*p);
		else
			buf_char(out, *p);
	}
	buf_char(out, '"');
}

void option_print_words(const struct option *row, uint32_t words, struct buf *out)
{
	const char *between = "";

	buf_char(out, '[');
	for (uint32_t i = 0; i < 32 && row->names[i]; i++)
		if (words & UINT32_C(1) << i) {
			buf_printf(out, "%s%s", between, row->names[i]);
			between = ", ";
		}
	buf_char(out, ']');
}

static void print_list(const struct option_list *l, struct buf *out)
{
	buf_char(out, '[');
	for (size_t i = 0; i < l->n; i++) {
		buf_str(out, i ? ", " : "");
		option_print_text(l->items[i], out);
	}
	buf_char(out, ']');
}

static void print_map(const struct option *row, const struct option_map *m, struct buf *out)
{
	buf_char(out, '{');
	for (size_t i = 0; i < m->n; i++) {
		buf_str(out, i ? ", " : "");
		option_print_text(m->items[i].key, out);
		buf_str(out, ": ");
		option_print_words(row, m->items[i].words, out);
	}
	buf_char(out, '}');
}

void option_print(const struct option *row, const void *options, struct buf *out)
{
	const void *at = (const char *)options + row->off;

	switch (row->type) {
	case OPT_BOOL:
		buf_str(out, *(const bool *)at ? "true" : "false");
		return;
	case OPT_U32:
		buf_u64(out, *(const uint32_t *)at);
		return;
	case OPT_U64:
	case OPT_BYTES:
	case OPT_DURATION:
		option_print_number(row, *(const uint64_t *)at, out);
		return;
	case OPT_ENUM:
		buf_str(out, row->names[*(const uint32_t *)at]);
		return;
	case OPT_STR:
	case OPT_PATH:
		option_print_text(*(char *const *)at, out);
		return;
	case OPT_STRS:
	case OPT_PATHS:
		print_list(at, out);
		return;
	case OPT_WORDS:
		option_print_words(row, *(const uint32_t *)at, out);
		return;
	case OPT_MAP:
		print_map(row, at, out);
		return;
	}
}

void option_print_wanted(const struct option *row, struct buf *out)
{
	static const char *const wanted[] = {
		[OPT_BOOL] = "true or false",          [OPT_U32] = "a whole number",
		[OPT_U64] = "a whole number",          [OPT_BYTES] = "a size such as 64KiB",
		[OPT_DURATION] = "a time such as 10s", [OPT_STR] = "a text",
		[OPT_PATH] = "an absolute path",       [OPT_ENUM] = "one of ",
		[OPT_STRS] = "a list of texts",        [OPT_PATHS] = "a list of absolute paths",
		[OPT_WORDS] = "a list of some of ",    [OPT_MAP] = "a mapping to lists of some of ",
	};

	buf_str(out, wanted[row->type]);
	if (row->type == OPT_ENUM || row->type == OPT_WORDS || row->type == OPT_MAP)
		print_names(row, ", ", out);
}

bool option_print_bounds(const struct option *row, struct buf *out)
{
	const char *what = option_is_list(row) ? " item" : row->type == OPT_MAP ? " key" : "";
	uint64_t last = row->max ? row->max : row->min;

	if (!row->min && !row->max)
		return false;
	if (row->min && row->max) {
		option_print_number(row, row->min, out);
		buf_str(out, " to ");
		option_print_number(row, row->max, out);
	} else {
		buf_str(out, row->max ? "at most " : "at least ");
		option_print_number(row, last, out);
	}
	buf_printf(out, "%s%s", what, *what && last != 1 ? "s" : "");
	return true;
}
