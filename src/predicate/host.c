/* SPDX-License-Identifier: Apache-2.0 */
#include "predicate/host.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "base/err.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/ip.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "match/fold.h"

/* ---- what scripts have named ------------------------------------------------------------------------------ */

/* Patterns are told apart by how they are read, too. */
enum how { HOW_PLAIN, HOW_FOLD, HOW_WILDCARD, HOW_WILDCARD_FOLD };

struct list_item {
	struct str text;
};

struct list {
	struct map map; /* by the hash of the folded text: exact case is looked at then */
	struct list_item *items;
	char *bytes;
	size_t n_bytes;
};

struct named {
	enum host_type kind;
	enum how how;
	uint32_t handle;
	uint32_t n;
	char text[];
};

struct host_code {
	const struct host_named_list *lists;
	size_t n_lists;
	bool is_sealed;
	struct map names;
	struct named *named[HOST_FIELDS_MAX + HOST_PATTERNS_MAX + HOST_BLOCKS_MAX + HOST_LISTS_MAX];
	size_t n_named, n_bytes;
	field_id field[HOST_FIELDS_MAX];
	struct regex *pattern[HOST_PATTERNS_MAX];
	struct cidr_set *blocks[HOST_BLOCKS_MAX];
	struct list *list[HOST_LISTS_MAX];
	uint32_t n[HOST_LIST + 1];
	field_id category, dataset, timestamp;
	struct log_site site;
};

static const struct {
	const char *name;
	uint32_t max;
} kinds[] = {
	[HOST_FIELD] = { "fields", HOST_FIELDS_MAX },
	[HOST_PATTERN] = { "patterns", HOST_PATTERNS_MAX },
	[HOST_BLOCKS] = { "sets of blocks", HOST_BLOCKS_MAX },
	[HOST_LIST] = { "lists", HOST_LISTS_MAX },
};

enum { HANDLE_SHIFT = 24 };

static uint32_t handle_of(enum host_type kind, uint32_t index)
{
	return (uint32_t)kind << HANDLE_SHIFT | index;
}

/* The index, or UINT32_MAX. */
static uint32_t index_of(const struct host *h, enum host_type kind, uint32_t handle)
{
	uint32_t index = handle & ((1U << HANDLE_SHIFT) - 1);

	return handle >> HANDLE_SHIFT == (uint32_t)kind && index < h->code->n[kind] ? index : UINT32_MAX;
}

struct name_key {
	enum host_type kind;
	enum how how;
	struct str text;
};

static uint64_t name_hash(const struct name_key *key)
{
	return hash_bytes(key->text.p, key->text.n, hash_2u64(key->kind, key->how, hash_seed()));
}

static bool name_is(const void *item, const void *key)
{
	const struct named *a = item;
	const struct name_key *b = key;

	return a->kind == b->kind && a->how == b->how && a->n == b->text.n && !memcmp(a->text, b->text.p, a->n);
}

int host_code_new(const struct host_named_list *lists, size_t n_lists, struct host_code **ret_code)
{
	struct host_code *code = calloc(1, sizeof(*code));

	if (!code)
		return err_new(-ENOMEM, "no memory for a script");
	map_init(&code->names, countof(code->named), name_is);
	code->lists = lists;
	code->n_lists = n_lists;
	code->category = field_intern("event.category", 14);
	code->dataset = field_intern("event.dataset", 13);
	code->timestamp = field_intern("@timestamp", 10);
	*ret_code = code;
	return 0;
}

void host_code_seal(struct host_code *code)
{
	code->is_sealed = true;
	code->lists = NULL;
	code->n_lists = 0;
}

static void list_free(struct list *list)
{
	if (!list)
		return;
	map_free(&list->map);
	free(list->items);
	free(list->bytes);
	free(list);
}
DEFINE_AUTO(list)

void host_code_free(struct host_code *code)
{
	if (!code)
		return;
	map_free(&code->names);
	for (size_t i = 0; i < code->n_named; i++)
		free(code->named[i]);
	for (size_t i = 0; i < HOST_PATTERNS_MAX; i++)
		regex_free(code->pattern[i]);
	for (size_t i = 0; i < HOST_BLOCKS_MAX; i++)
		cidr_set_free(code->blocks[i]);
	for (size_t i = 0; i < HOST_LISTS_MAX; i++)
		list_free(code->list[i]);
	free(code);
}

size_t host_code_size(const struct host_code *code)
{
	size_t n = sizeof(*code) + code->n_bytes;

	for (uint32_t i = 0; i < code->n[HOST_PATTERN]; i++)
		n += regex_size(code->pattern[i]);
	return n;
}

/* ---- instances -------------------------------------------------------------------------------------------- */

void host_init(struct host *h, struct host_code *code, const char *name)
{
	h->code = code;
	h->name = name;
	h->ev = NULL;
	h->work = 0;
	h->error[0] = 0;
	memset(h->row, 0, sizeof(h->row));
}

enum host_result host_refuse(struct host *h, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(h->error, sizeof(h->error), fmt, ap);
	va_end(ap);
	return HOST_REFUSED;
}

enum host_result host_call(struct host *h, const struct host_function *f, const union host_value *arg,
			   union host_value *ret_value)
{
	enum host_result r;

	if (f->when == HOST_LOOKS && !h->ev)
		return host_refuse(h, "%s: there is no event while the script is loaded", f->name);
	for (size_t i = 0; i < HOST_ARGS_MAX && f->arg[i].type != HOST_NONE; i++) {
		if (f->arg[i].type != HOST_TEXT)
			continue;
		if (arg[i].s.n > HOST_TEXT_MAX)
			return host_refuse(h, "%s: %s has %zu bytes; at most %d", f->name, f->arg[i].name, arg[i].s.n,
					   HOST_TEXT_MAX);
		h->work += arg[i].s.n;
	}
	r = f->call(h, arg, ret_value);
	return r == HOST_ABSENT && !f->may_be_absent ? HOST_REFUSED : r;
}

field_id host_field(const struct host *h, uint32_t handle)
{
	uint32_t i = index_of(h, HOST_FIELD, handle);

	return i == UINT32_MAX ? FIELD_NONE : h->code->field[i];
}

bool host_get(struct host *h, uint32_t handle, struct value *ret_value)
{
	uint32_t i = index_of(h, HOST_FIELD, handle);
	const struct event *ev = h->ev;

	if (!ev || i == UINT32_MAX)
		return false;
	/* As event_get() does it, but a field of a record is not looked up for every event. */
	if (ev->rec) {
		if (h->row[i].kind != ev->kind) {
			h->row[i].kind = ev->kind;
			h->row[i].field = event_kind_field(ev->kind, h->code->field[i]);
		}
		if (h->row[i].field && event_field_value(ev->rec, h->row[i].field, &h->room, ret_value))
			return true;
	}
	return ev->lens && ev->lens->get(ev->subject, h->code->field[i], ret_value) && ret_value->type != VALUE_NULL;
}

static bool made(struct host *h, size_t n, struct str *ret_text)
{
	*ret_text = (struct str) { h->made, n };
	return true;
}

bool host_text_of(struct host *h, const struct value *v, struct str *ret_text)
{
	struct buf b = { .data = h->made, .cap = sizeof(h->made), .max = sizeof(h->made) - 1 };

	switch (v->type) {
	case VALUE_STR:
		*ret_text = v->s;
		h->work += v->s.n;
		return true;
	case VALUE_BOOL:
		*ret_text = v->b ? (struct str) { "true", 4 } : (struct str) { "false", 5 };
		return true;
	case VALUE_INT:
		buf_i64(&b, v->i);
		break;
	case VALUE_UINT:
		buf_u64(&b, v->u);
		break;
	case VALUE_FLOAT:
		json_write_double(&b, v->f);
		break;
	case VALUE_IP:
		return made(h, ip_format(v->ip.bytes, h->made), ret_text);
	default:
		return false;
	}
	return made(h, b.len, ret_text);
}

/* ---- functions that name ----------------------------------------------------------------------------------- */

static struct named *find_name(struct host *h, enum host_type kind, enum how how, struct str text)
{
	struct name_key key = { kind, how, text };

	return map_get(&h->code->names, name_hash(&key), &key);
}

/* Is there room for one more? */
static enum host_result may_name(struct host *h, enum host_type kind, struct str text)
{
	int shown = text.n < 64 ? (int)text.n : 64;

	if (h->code->is_sealed)
		return host_refuse(h, "\"%.*s\" was not named while the script was loaded", shown, text.p);
	if (h->code->n[kind] >= kinds[kind].max)
		return host_refuse(h, "more than %u %s", kinds[kind].max, kinds[kind].name);
	return HOST_OK;
}

/* Adds the name of what was put into its place already. */
static enum host_result add_name(struct host *h, enum host_type kind, enum how how, struct str text,
				 union host_value *ret_value)
{
	struct host_code *code = h->code;
	struct name_key key = { kind, how, text };
	struct named *named = malloc(sizeof(*named) + text.n + 1);

	if (!named || map_put(&code->names, name_hash(&key), named) < 0) {
		free(named);
		return host_refuse(h, "no memory");
	}
	named->kind = kind;
	named->how = how;
	named->n = (uint32_t)text.n;
	named->handle = handle_of(kind, code->n[kind]++);
	memcpy(named->text, text.p, text.n);
	named->text[text.n] = 0;
	code->named[code->n_named++] = named;
	code->n_bytes += sizeof(*named) + text.n;
	ret_value->handle = named->handle;
	return HOST_OK;
}

static enum host_result name_field(struct host *h, const union host_value *arg, union host_value *ret_value)
{
	struct named *named = find_name(h, HOST_FIELD, HOW_PLAIN, arg[0].s);
	enum host_result r;
	field_id id;

	if (named) {
		ret_value->handle = named->handle;
		return HOST_OK;
	}
	r = may_name(h, HOST_FIELD, arg[0].s);
	if (r != HOST_OK)
		return r;
	id = field_intern_foreign(arg[0].s.p, arg[0].s.n);
	if (id == FIELD_NONE)
		return host_refuse(h, "\"%.*s\" cannot be the name of a field", arg[0].s.n < 64 ? (int)arg[0].s.n : 64,
				   arg[0].s.p);
	h->code->field[h->code->n[HOST_FIELD]] = id;
	return add_name(h, HOST_FIELD, HOW_PLAIN, arg[0].s, ret_value);
}

uint32_t host_find_field(struct host *h, const char *name, size_t n)
{
	const union host_value arg = { .s = { name, n } };
	union host_value handle;

	return name_field(h, &arg, &handle) == HOST_OK ? handle.handle : 0;
}

static enum host_result name_pattern(struct host *h, enum how how, struct str text, union host_value *ret_value)
{
	struct regex_options options = {
		.syntax = how == HOW_WILDCARD || how == HOW_WILDCARD_FOLD ? REGEX_WILDCARD : REGEX_LUCENE,
		.fold = how == HOW_FOLD || how == HOW_WILDCARD_FOLD,
	};
	struct named *named = find_name(h, HOST_PATTERN, how, text);
	struct regex **place;
	enum host_result r;

	if (named) {
		ret_value->handle = named->handle;
		return HOST_OK;
	}
	if (text.n > HOST_PATTERN_MAX)
		return host_refuse(h, "a pattern of %zu bytes; at most %d", text.n, HOST_PATTERN_MAX);
	r = may_name(h, HOST_PATTERN, text);
	if (r != HOST_OK)
		return r;
	place = &h->code->pattern[h->code->n[HOST_PATTERN]];
	regex_free(*place);
	*place = NULL;
	if (regex_compile(&text, 1, &options, place) < 0)
		return host_refuse(h, "%s", err_trail());
	/* As a set of places it could take its time: with every byte for every place. */
	if (!regex_is_table(*place))
		return host_refuse(h, "the pattern \"%.*s\" is too complex for a script",
				   text.n < 64 ? (int)text.n : 64, text.p);
	return add_name(h, HOST_PATTERN, how, text, ret_value);
}

static enum host_result name_regex(struct host *h, const union host_value *arg, union host_value *ret_value)
{
	return name_pattern(h, HOW_PLAIN, arg[0].s, ret_value);
}

static enum host_result name_regex_fold(struct host *h, const union host_value *arg, union host_value *ret_value)
{
	return name_pattern(h, HOW_FOLD, arg[0].s, ret_value);
}

static enum host_result name_wildcard(struct host *h, const union host_value *arg, union host_value *ret_value)
{
	return name_pattern(h, HOW_WILDCARD, arg[0].s, ret_value);
}

static enum host_result name_wildcard_fold(struct host *h, const union host_value *arg, union host_value *ret_value)
{
	return name_pattern(h, HOW_WILDCARD_FOLD, arg[0].s, ret_value);
}

/* The next word of a text, up to one of the separators; empty ones are left out. */
static bool next_word(struct str *rest, const char *separators, struct str *ret_word)
{
	while (rest->n && memchr(separators, rest->p[0], strlen(separators)))
		rest->p++, rest->n--;
	*ret_word = (struct str) { rest->p, 0 };
	while (rest->n && !memchr(separators, rest->p[0], strlen(separators)))
		rest->p++, rest->n--, ret_word->n++;
	return ret_word->n > 0;
}

static size_t count_words(struct str text, const char *separators)
{
	struct str word;
	size_t n = 0;

	while (next_word(&text, separators, &word))
		n++;
	return n;
}

static enum host_result name_blocks(struct host *h, const union host_value *arg, union host_value *ret_value)
{
	struct named *named = find_name(h, HOST_BLOCKS, HOW_PLAIN, arg[0].s);
	size_t n = count_words(arg[0].s, " ,\t\n");
	auto_free struct str *blocks = NULL;
	struct str rest = arg[0].s;
	struct cidr_set **place;
	enum host_result r;

	if (named) {
		ret_value->handle = named->handle;
		return HOST_OK;
	}
	r = may_name(h, HOST_BLOCKS, arg[0].s);
	if (r != HOST_OK)
		return r;
	blocks = calloc(n + 1, sizeof(*blocks));
	if (!blocks)
		return host_refuse(h, "no memory");
	for (size_t i = 0; i < n; i++)
		(void)next_word(&rest, " ,\t\n", &blocks[i]);
	place = &h->code->blocks[h->code->n[HOST_BLOCKS]];
	cidr_set_free(*place);
	*place = NULL;
	if (cidr_set_build(blocks, n, place) < 0)
		return host_refuse(h, "%s", err_trail());
	h->code->n_bytes += n * 32;
	return add_name(h, HOST_BLOCKS, HOW_PLAIN, arg[0].s, ret_value);
}

/* ---- lists */

struct item_key {
	struct str text;
	bool fold;
};

static bool item_is(const void *item, const void *key)
{
	const struct list_item *a = item;
	const struct item_key *b = key;

	return b->fold ? fold_equal(a->text.p, a->text.n, b->text.p, b->text.n)
		       : a->text.n == b->text.n && !memcmp(a->text.p, b->text.p, a->text.n);
}

static int list_new(size_t n_items, size_t n_bytes, struct list **ret_list)
{
	AUTO(list) list = calloc(1, sizeof(*list));

	if (!list)
		return -ENOMEM;
	map_init(&list->map, n_items ? n_items : 1, item_is);
	list->items = calloc(n_items ? n_items : 1, sizeof(*list->items));
	list->bytes = malloc(n_bytes ? n_bytes : 1);
	if (!list->items || !list->bytes)
		return -ENOMEM;
	*ret_list = take(list);
	return 0;
}

static int list_add(struct list *list, struct str text)
{
	struct item_key key = { text, false };
	uint64_t hash = fold_hash(text.p, text.n, hash_seed());
	struct list_item *item = &list->items[list->map.n];

	if (map_get(&list->map, hash, &key))
		return 0;
	item->text = (struct str) { memcpy(list->bytes + list->n_bytes, text.p, text.n), text.n };
	list->n_bytes += text.n;
	return map_put(&list->map, hash, item);
}

static bool list_has(const struct list *list, struct str text, bool fold)
{
	struct item_key key = { text, fold };

	return map_get(&list->map, fold_hash(text.p, text.n, hash_seed()), &key) != NULL;
}

static enum host_result keep_list(struct host *h, struct list *list, enum how how, struct str name,
				  union host_value *ret_value)
{
	struct list **place = &h->code->list[h->code->n[HOST_LIST]];

	list_free(*place);
	*place = list;
	h->code->n_bytes += sizeof(*list) + list->n_bytes + list->map.n * sizeof(*list->items) +
			    (list->map.mask + 1) * sizeof(struct map_slot);
	return add_name(h, HOST_LIST, how, name, ret_value);
}

static enum host_result name_list(struct host *h, const union host_value *arg, union host_value *ret_value)
{
	struct named *named = find_name(h, HOST_LIST, HOW_PLAIN, arg[0].s);
	const struct host_named_list *from = NULL;
	AUTO(list) list = NULL;
	enum host_result r;
	size_t n_bytes = 0;

	if (named) {
		ret_value->handle = named->handle;
		return HOST_OK;
	}
	r = may_name(h, HOST_LIST, arg[0].s);
	if (r != HOST_OK)
		return r;
	for (size_t i = 0; i < h->code->n_lists && !from; i++)
		if (strlen(h->code->lists[i].name) == arg[0].s.n &&
		    !memcmp(h->code->lists[i].name, arg[0].s.p, arg[0].s.n))
			from = &h->code->lists[i];
	if (!from)
		return host_refuse(h, "the rule has no list \"%.*s\"", arg[0].s.n < 64 ? (int)arg[0].s.n : 64,
				   arg[0].s.p);
	for (size_t i = 0; i < from->n; i++)
		n_bytes += strlen(from->items[i]);
	if (n_bytes > HOST_NAMED_MAX)
		return host_refuse(h, "the list \"%s\" has %zu bytes; at most %d", from->name, n_bytes, HOST_NAMED_MAX);
	if (list_new(from->n, n_bytes, &list) < 0)
		return host_refuse(h, "no memory");
	for (size_t i = 0; i < from->n; i++)
		if (list_add(list, (struct str) { from->items[i], strlen(from->items[i]) }) < 0)
			return host_refuse(h, "no memory");
	return keep_list(h, take(list), HOW_PLAIN, arg[0].s, ret_value);
}

static enum host_result name_list_of(struct host *h, const union host_value *arg, union host_value *ret_value)
{
	/* `how` tells a list of its lines from one that is named. */
	struct named *named = find_name(h, HOST_LIST, HOW_FOLD, arg[0].s);
	struct str rest = arg[0].s, line;
	AUTO(list) list = NULL;
	enum host_result r;

	if (named) {
		ret_value->handle = named->handle;
		return HOST_OK;
	}
	r = may_name(h, HOST_LIST, arg[0].s);
	if (r != HOST_OK)
		return r;
	if (list_new(count_words(rest, "\n"), rest.n, &list) < 0)
		return host_refuse(h, "no memory");
	while (next_word(&rest, "\n", &line))
		if (list_add(list, line) < 0)
			return host_refuse(h, "no memory");
	return keep_list(h, take(list), HOW_FOLD, arg[0].s, ret_value);
}

/* ---- texts --------------------------------------------------------------------------------------------------- */

static bool text_equal(struct str a, struct str b, bool fold)
{
	return fold ? fold_equal(a.p, a.n, b.p, b.n) : a.n == b.n && (!a.n || !memcmp(a.p, b.p, a.n));
}

static bool text_starts(struct str a, struct str b, bool fold)
{
	return fold ? fold_starts(a.p, a.n, b.p, b.n, NULL) : b.n <= a.n && (!b.n || !memcmp(a.p, b.p, b.n));
}

static bool text_ends(struct str a, struct str b, bool fold)
{
	return fold ? fold_ends(a.p, a.n, b.p, b.n) : b.n <= a.n && (!b.n || !memcmp(a.p + a.n - b.n, b.p, b.n));
}

/* Linear in both, as a search that tries each place is not. */
static bool find_folded(struct host *h, struct str text, size_t n_part)
{
	const char *at = text.p, *end = text.p + text.n;
	size_t fits = 0;

	while (at < end) {
		uint32_t code = fold_code(fold_next(&at, end));

		while (fits && h->part[fits] != code)
			fits = h->back[fits - 1];
		fits += h->part[fits] == code;
		if (fits == n_part)
			return true;
	}
	return false;
}

enum { SMALL_SEARCH = 4096 };

static enum host_result text_contains(struct host *h, struct str text, struct str part, bool fold, bool *ret_found)
{
	const char *at = part.p, *end = part.p + part.n;
	size_t n = 0;

	if (!part.n)
		*ret_found = true;
	else if (!text.n)
		*ret_found = false;
	else if (!fold)
		*ret_found = memmem(text.p, text.n, part.p, part.n) != NULL;
	else if (text.n * part.n <= SMALL_SEARCH)
		*ret_found = fold_find(text.p, text.n, part.p, part.n, NULL) != SIZE_MAX;
	else {
		while (at < end && n < HOST_PART_MAX)
			h->part[n++] = fold_code(fold_next(&at, end));
		if (at < end)
			return host_refuse(h, "a part of more than %d characters", HOST_PART_MAX);
		/* back[i]: how many characters the part's beginning and the end of its first i + 1 have in common. */
		h->back[0] = 0;
		for (size_t i = 1, k = 0; i < n; i++) {
			while (k && h->part[i] != h->part[k])
				k = h->back[k - 1];
			k += h->part[i] == h->part[k];
			h->back[i] = (uint16_t)k;
		}
		*ret_found = find_folded(h, text, n);
	}
	return HOST_OK;
}

enum test { TEST_IS, TEST_CONTAINS, TEST_STARTS, TEST_ENDS, TEST_MATCHES, TEST_IN_LIST, TEST_IN_BLOCKS };

/* What a text is held against: a text, or what a handle stands for. */
struct against {
	enum test test;
	bool fold;
	union {
		struct str s;
		const struct regex *pattern;
		const struct list *list;
		const struct cidr_set *blocks;
	};
};

static enum host_result against_of(struct host *h, enum test test, bool fold, const union host_value *arg,
				   struct against *ret_against)
{
	static const uint8_t types[] = {
		[TEST_MATCHES] = HOST_PATTERN, [TEST_IN_LIST] = HOST_LIST, [TEST_IN_BLOCKS] = HOST_BLOCKS
	};
	uint32_t i;

	ret_against->test = test;
	ret_against->fold = fold;
	if (test < TEST_MATCHES) {
		ret_against->s = arg->s;
		return HOST_OK;
	}
	i = index_of(h, types[test], arg->handle);
	if (i == UINT32_MAX)
		return host_refuse(h, "no handle of the script's %s", kinds[types[test]].name);
	if (test == TEST_MATCHES)
		ret_against->pattern = h->code->pattern[i];
	else if (test == TEST_IN_LIST)
		ret_against->list = h->code->list[i];
	else
		ret_against->blocks = h->code->blocks[i];
	return HOST_OK;
}

static enum host_result text_fits(struct host *h, struct str text, const struct against *a, bool *ret_fits)
{
	uint8_t address[16];

	switch (a->test) {
	case TEST_IS:
		*ret_fits = text_equal(text, a->s, a->fold);
		break;
	case TEST_CONTAINS:
		return text_contains(h, text, a->s, a->fold, ret_fits);
	case TEST_STARTS:
		*ret_fits = text_starts(text, a->s, a->fold);
		break;
	case TEST_ENDS:
		*ret_fits = text_ends(text, a->s, a->fold);
		break;
	case TEST_MATCHES:
		*ret_fits = regex_matches(a->pattern, text.p, text.n);
		break;
	case TEST_IN_LIST:
		*ret_fits = list_has(a->list, text, a->fold);
		break;
	case TEST_IN_BLOCKS:
		*ret_fits = ip_parse(text.p, text.n, address) && cidr_set_has(a->blocks, address);
		break;
	}
	return HOST_OK;
}

static enum host_result value_fits(struct host *h, const struct value *v, const struct against *a, bool *ret_fits)
{
	struct str text;

	h->work++;
	if (v->type == VALUE_IP && a->test == TEST_IN_BLOCKS) {
		*ret_fits = cidr_set_has(a->blocks, v->ip.bytes);
		return HOST_OK;
	}
	*ret_fits = false;
	return host_text_of(h, v, &text) ? text_fits(h, text, a, ret_fits) : HOST_OK;
}

static enum host_result test_text(struct host *h, enum test test, bool fold, const union host_value *arg,
				  union host_value *ret_value)
{
	struct against a;
	enum host_result r = against_of(h, test, fold, &arg[1], &a);

	return r == HOST_OK ? text_fits(h, arg[0].s, &a, &ret_value->b) : r;
}

static enum host_result no_field(struct host *h)
{
	return host_refuse(h, "no handle of the script's fields");
}

/* Of a list, any item. */
static enum host_result test_field(struct host *h, enum test test, bool fold, const union host_value *arg,
				   union host_value *ret_value)
{
	enum host_result r;
	struct against a;
	struct value v;

	if (host_field(h, arg[0].handle) == FIELD_NONE)
		return no_field(h);
	r = against_of(h, test, fold, &arg[1], &a);
	ret_value->b = false;
	if (r != HOST_OK || !host_get(h, arg[0].handle, &v))
		return r;
	if (v.type != VALUE_LIST)
		return value_fits(h, &v, &a, &ret_value->b);
	for (size_t i = 0; i < v.list.n && r == HOST_OK && !ret_value->b; i++)
		r = value_fits(h, &v.list.items[i], &a, &ret_value->b);
	return r;
}

#define TEXT_TEST(name, test, fold)                                                                                    \
	static enum host_result text_##name(struct host *h, const union host_value *arg, union host_value *ret_value)  \
	{                                                                                                              \
		return test_text(h, test, fold, arg, ret_value);                                                       \
	}
#define FIELD_TEST(name, test, fold)                                                                                   \
	static enum host_result field_##name(struct host *h, const union host_value *arg, union host_value *ret_value) \
	{                                                                                                              \
		return test_field(h, test, fold, arg, ret_value);                                                      \
	}
#define BOTH_TESTS(name, test, fold) TEXT_TEST(name, test, fold) FIELD_TEST(name, test, fold)
FIELD_TEST(is_exactly, TEST_IS, false)
BOTH_TESTS(is_folded, TEST_IS, true)
BOTH_TESTS(has_part, TEST_CONTAINS, false)
BOTH_TESTS(has_part_folded, TEST_CONTAINS, true)
BOTH_TESTS(begins, TEST_STARTS, false)
BOTH_TESTS(begins_folded, TEST_STARTS, true)
BOTH_TESTS(finishes, TEST_ENDS, false)
BOTH_TESTS(finishes_folded, TEST_ENDS, true)
BOTH_TESTS(fits_pattern, TEST_MATCHES, false)
BOTH_TESTS(in_list, TEST_IN_LIST, false)
BOTH_TESTS(in_list_folded, TEST_IN_LIST, true)
BOTH_TESTS(in_blocks, TEST_IN_BLOCKS, false)

/* ---- fields -------------------------------------------------------------------------------------------------- */

/* The value itself, of a list its first item. */
static enum host_result first_of(struct host *h, uint32_t handle, struct value *ret_value)
{
	if (host_field(h, handle) == FIELD_NONE)
		return no_field(h);
	if (!host_get(h, handle, ret_value))
		return HOST_ABSENT;
	if (ret_value->type == VALUE_LIST) {
		if (!ret_value->list.n)
			return HOST_ABSENT;
		*ret_value = ret_value->list.items[0];
	}
	return ret_value->type == VALUE_NULL ? HOST_ABSENT : HOST_OK;
}

/* A whole number: also one that is written as a text, as user.id is. */
static bool int_of(const struct value *v, int64_t *ret_i)
{
	uint64_t n = 0;
	size_t i = 0;
	bool minus;

	switch (v->type) {
	case VALUE_INT:
		*ret_i = v->i;
		return true;
	case VALUE_UINT:
		*ret_i = (int64_t)v->u;
		return v->u <= INT64_MAX;
	case VALUE_FLOAT:
		if (!(v->f >= -0x1p63 && v->f < 0x1p63) || v->f != (double)(int64_t)v->f)
			return false;
		*ret_i = (int64_t)v->f;
		return true;
	case VALUE_STR:
		minus = v->s.n && v->s.p[0] == '-';
		if (v->s.n <= minus || v->s.n > 20)
			return false;
		for (i = minus; i < v->s.n; i++) {
			unsigned digit = (unsigned)(v->s.p[i] - '0');

			if (digit > 9 || __builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, digit, &n))
				return false;
		}
		*ret_i = minus ? (int64_t)-n : (int64_t)n;
		return n <= (uint64_t)INT64_MAX + minus;
	default:
		return false;
	}
}

static enum host_result field_exists(struct host *h, const union host_value *arg, union host_value *ret_value)
{
	struct value v;
	enum host_result r = first_of(h, arg[0].handle, &v);

	ret_value->b = r == HOST_OK;
	return r == HOST_REFUSED ? r : HOST_OK;
}

static enum host_result field_text(struct host *h, const union host_value *arg, union host_value *ret_value)
{
	struct value v;
	enum host_result r = first_of(h, arg[0].handle, &v);

	return r == HOST_OK && !host_text_of(h, &v, &ret_value->s) ? HOST_ABSENT : r;
}

static enum host_result field_int(struct host *h, const union host_value *arg, union host_value *ret_value)
{
	struct value v;
	enum host_result r = first_of(h, arg[0].handle, &v);

	return r == HOST_OK && !int_of(&v, &ret_value->i) ? HOST_ABSENT : r;
}

static enum host_result field_float(struct host *h, const union host_value *arg, union host_value *ret_value)
{
	struct value v;
	enum host_result r = first_of(h, arg[0].handle, &v);
	int64_t i;

	if (r != HOST_OK)
		return r;
	if (v.type == VALUE_FLOAT)
		ret_value->f = v.f;
	else if (v.type == VALUE_UINT)
		ret_value->f = (double)v.u;
	else if (int_of(&v, &i))
		ret_value->f = (double)i;
	else
		return HOST_ABSENT;
	return HOST_OK;
}

static enum host_result field_bool(struct host *h, const union host_value *arg, union host_value *ret_value)
{
	struct value v;
	enum host_result r = first_of(h, arg[0].handle, &v);

	if (r != HOST_OK || v.type != VALUE_BOOL)
		return r == HOST_OK ? HOST_ABSENT : r;
	ret_value->b = v.b;
	return HOST_OK;
}

static enum host_result field_items(struct host *h, const union host_value *arg, union host_value *ret_value)
{
	struct value v;

	if (host_field(h, arg[0].handle) == FIELD_NONE)
		return no_field(h);
	if (!host_get(h, arg[0].handle, &v))
		ret_value->i = 0;
	else
		ret_value->i = v.type == VALUE_LIST ? (int64_t)v.list.n : 1;
	return HOST_OK;
}

static enum host_result item_of(struct host *h, const union host_value *arg, struct value *ret_value)
{
	if (host_field(h, arg[0].handle) == FIELD_NONE)
		return no_field(h);
	if (!host_get(h, arg[0].handle, ret_value) || arg[1].i < 0)
		return HOST_ABSENT;
	if (ret_value->type != VALUE_LIST)
		return arg[1].i ? HOST_ABSENT : HOST_OK;
	if ((uint64_t)arg[1].i >= ret_value->list.n)
		return HOST_ABSENT;
	*ret_value = ret_value->list.items[arg[1].i];
	return HOST_OK;
}

static enum host_result field_item(struct host *h, const union host_value *arg, union host_value *ret_value)
{
	struct value v;
	enum host_result r = item_of(h, arg, &v);

	return r == HOST_OK && !host_text_of(h, &v, &ret_value->s) ? HOST_ABSENT : r;
}

static enum host_result field_item_int(struct host *h, const union host_value *arg, union host_value *ret_value)
{
	struct value v;
	enum host_result r = item_of(h, arg, &v);

	return r == HOST_OK && !int_of(&v, &ret_value->i) ? HOST_ABSENT : r;
}

/* ---- the event ------------------------------------------------------------------------------------------------- */

static enum host_result event_text(struct host *h, field_id id, union host_value *ret_value)
{
	struct value v;

	if (!event_get(h->ev, id, &h->room, &v))
		return HOST_ABSENT;
	if (v.type == VALUE_LIST && v.list.n)
		v = v.list.items[0];
	return host_text_of(h, &v, &ret_value->s) ? HOST_OK : HOST_ABSENT;
}

static enum host_result event_category(struct host *h, const union host_value *arg, union host_value *ret_value)
{
	(void)arg;
	return event_text(h, h->code->category, ret_value);
}

static enum host_result event_dataset(struct host *h, const union host_value *arg, union host_value *ret_value)
{
	(void)arg;
	return event_text(h, h->code->dataset, ret_value);
}

static enum host_result event_time(struct host *h, const union host_value *arg, union host_value *ret_value)
{
	struct value v;

	(void)arg;
	if (!event_get(h->ev, h->code->timestamp, &h->room, &v))
		return HOST_ABSENT;
	if (v.type == VALUE_STR)
		return clock_parse(v.s.p, v.s.n, &ret_value->i) ? HOST_OK : HOST_ABSENT;
	if (v.type != VALUE_INT)
		return HOST_ABSENT;
	ret_value->i = v.i;
	/* Of events from elsewhere a number is milliseconds, as Elasticsearch counts them. */
	return h->ev->rec || !__builtin_mul_overflow(v.i, (int64_t)NS_PER_MS, &ret_value->i) ? HOST_OK : HOST_ABSENT;
}

static enum host_result write_log(struct host *h, const union host_value *arg, union host_value *ret_value)
{
	int n = arg[0].s.n < HOST_LOG_MAX ? (int)arg[0].s.n : HOST_LOG_MAX;

	(void)ret_value;
	if (log_wants(LOG_LEVEL_NOTICE))
		log_write(&h->code->site, LOG_LEVEL_NOTICE, "script", "name=%s text=\"%.*s\"", h->name, n, arg[0].s.p);
	return HOST_OK;
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

#define ROW(n, w, r, absent, c, d, ...)                                                                                \
	{ .name = (n),                                                                                                 \
	  .when = (w),                                                                                                 \
	  .arg = { __VA_ARGS__ },                                                                                      \
	  .result = (r),                                                                                               \
	  .may_be_absent = (absent),                                                                                   \
	  .call = (c),                                                                                                 \
	  .doc = (d) }
#define A(n, t) { (n), (t) }
/* What makes a handle of a text; of the whole event; of a field; is a field so; is a text so. */
#define NAMES(n, of, r, c, d)     ROW(n, HOST_NAMES, r, false, c, d, A(of, HOST_TEXT))
#define EVENT(n, r, c, d)         ROW(n, HOST_LOOKS, r, true, c, d, A(NULL, HOST_NONE))
#define VALUE(n, r, absent, c, d) ROW(n, HOST_LOOKS, r, absent, c, d, A("field", HOST_FIELD))
#define ITEM(n, r, c, d)          ROW(n, HOST_LOOKS, r, true, c, d, A("field", HOST_FIELD), A("index", HOST_INT))
#define IS(n, with, t, c, d)      ROW(n, HOST_LOOKS, HOST_BOOL, false, c, d, A("field", HOST_FIELD), A(with, t))
#define TEXT(n, with, t, c, d)    ROW(n, HOST_ANYTIME, HOST_BOOL, false, c, d, A("text", HOST_TEXT), A(with, t))
#define FOLDED                    "the same, and the case of letters does not count"
#define FOLDED_PART               FOLDED "; a part has at most 1024 characters"
_Static_assert(HOST_PART_MAX == 1024, "FOLDED_PART says so");

const struct host_function host_functions[] = {
	NAMES("field", "name", HOST_FIELD, name_field, "names a field of events, such as process.name"),
	NAMES("regex", "pattern", HOST_PATTERN, name_regex,
	      "names a regular expression of the whole text, in Lucene's syntax as in EQL's `regex`"),
	NAMES("regex_fold", "pattern", HOST_PATTERN, name_regex_fold, FOLDED),
	NAMES("wildcard", "pattern", HOST_PATTERN, name_wildcard,
	      "names a pattern of the whole text in which * is any text and ? any character"),
	NAMES("wildcard_fold", "pattern", HOST_PATTERN, name_wildcard_fold, FOLDED),
	NAMES("blocks", "blocks", HOST_BLOCKS, name_blocks,
	      "names blocks of addresses, such as \"10.0.0.0/8 fd00::/8\": blanks or commas between them"),
	NAMES("list", "name", HOST_LIST, name_list, "names a list that the rule's file has under `lists`"),
	NAMES("list_of", "lines", HOST_LIST, name_list_of,
	      "makes a list of a text, one item a line; empty lines are none"),

	EVENT("category", HOST_TEXT, event_category,
	      "the event's category (event.category), the first when it has several"),
	EVENT("dataset", HOST_TEXT, event_dataset, "what kind of event it is (event.dataset), such as process.exec"),
	EVENT("time", HOST_INT, event_time, "when it happened (@timestamp): nanoseconds since 1970"),

	VALUE("exists", HOST_BOOL, false, field_exists, "has the event such a field, with a value that is not null?"),
	VALUE("text", HOST_TEXT, true, field_text,
	      "its value as a text, numbers and addresses as they are written; of a list, the first item's"),
	VALUE("int", HOST_INT, true, field_int,
	      "its value as a whole number, texts of digits too; of a list, the first item's"),
	VALUE("float", HOST_FLOAT, true, field_float, "its value as a number; of a list, the first item's"),
	VALUE("bool", HOST_BOOL, true, field_bool, "its value when it is true or false; of a list, the first item's"),
	VALUE("count", HOST_INT, false, field_items,
	      "how many items its list has: 1 of what is no list, 0 when there is none"),
	ITEM("item", HOST_TEXT, field_item, "an item of its list as a text, counted from 0"),
	ITEM("item_int", HOST_INT, field_item_int, "an item of its list as a whole number, counted from 0"),

	IS("field_is", "text", HOST_TEXT, field_is_exactly,
	   "is it this text? As with all that begin with field_: of a list, any item may be"),
	IS("field_is_fold", "text", HOST_TEXT, field_is_folded, FOLDED),
	IS("field_contains", "part", HOST_TEXT, field_has_part, "does it contain the part?"),
	IS("field_contains_fold", "part", HOST_TEXT, field_has_part_folded, FOLDED_PART),
	IS("field_starts_with", "start", HOST_TEXT, field_begins, "does it begin so?"),
	IS("field_starts_with_fold", "start", HOST_TEXT, field_begins_folded, FOLDED),
	IS("field_ends_with", "end", HOST_TEXT, field_finishes, "does it end so?"),
	IS("field_ends_with_fold", "end", HOST_TEXT, field_finishes_folded, FOLDED),
	IS("field_matches", "pattern", HOST_PATTERN, field_fits_pattern, "does all of it fit the pattern?"),
	IS("field_in", "list", HOST_LIST, field_in_list, "is it in the list?"),
	IS("field_in_fold", "list", HOST_LIST, field_in_list_folded, FOLDED),
	IS("field_in_blocks", "blocks", HOST_BLOCKS, field_in_blocks, "is it an address in one of the blocks?"),

	TEXT("is_fold", "other", HOST_TEXT, text_is_folded,
	     "are two texts equal when the case of letters does not count?"),
	TEXT("contains", "part", HOST_TEXT, text_has_part, "does the text contain the part?"),
	TEXT("contains_fold", "part", HOST_TEXT, text_has_part_folded, FOLDED_PART),
	TEXT("starts_with", "start", HOST_TEXT, text_begins, "does the text begin so?"),
	TEXT("starts_with_fold", "start", HOST_TEXT, text_begins_folded, FOLDED),
	TEXT("ends_with", "end", HOST_TEXT, text_finishes, "does the text end so?"),
	TEXT("ends_with_fold", "end", HOST_TEXT, text_finishes_folded, FOLDED),
	TEXT("matches", "pattern", HOST_PATTERN, text_fits_pattern, "does all of the text fit the pattern?"),
	TEXT("in_list", "list", HOST_LIST, text_in_list, "is the text in the list?"),
	TEXT("in_list_fold", "list", HOST_LIST, text_in_list_folded, FOLDED),
	TEXT("in_blocks", "blocks", HOST_BLOCKS, text_in_blocks, "is the text an address in one of the blocks?"),

	ROW("log", HOST_ANYTIME, HOST_NONE, false, write_log,
	    "writes a line to the agent's log: at most 512 bytes, ten at once and one a second after that",
	    A("text", HOST_TEXT)),
};
const size_t host_n_functions = countof(host_functions);
_Static_assert(HOST_LOG_MAX == 512 && LOG_BURST == 10, "log's sentence says so");
