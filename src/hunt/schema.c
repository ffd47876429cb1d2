/* SPDX-License-Identifier: Apache-2.0 */
#include "hunt/schema.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/err.h"

enum { SCRATCH_MAX = 8 << 20 }; /* a line of JSON, and then some */

const char *const time_unit_names[] = {
	[TIME_AUTO] = "auto",         [TIME_S] = "s", [TIME_MS] = "ms", [TIME_US] = "us", [TIME_NS] = "ns",
	[TIME_FILETIME] = "filetime", NULL,
};
const char *const schema_names[] = { "ecs", "endgame", "sigma", "none", NULL };

/* ---- dates ------------------------------------------------------------------------------------ */

#define FILETIME_1970 116444736000000000LL

/* Sizes of numbers tell the units apart: for all dates from 1970 on but the first hours of each. */
static enum time_unit unit_of(int64_t v)
{
	if (v > 300000000000000000LL)
		return TIME_NS; /* after 1979 */
	if (v >= FILETIME_1970)
		return TIME_FILETIME; /* until 2551 */
	return v > 300000000000000LL ? TIME_US : TIME_MS;
}

bool time_of_number(int64_t v, enum time_unit unit, int64_t *ret_ns)
{
	static const int64_t factors[] = {
		[TIME_S] = 1000000000, [TIME_MS] = 1000000, [TIME_US] = 1000, [TIME_NS] = 1, [TIME_FILETIME] = 100,
	};

	if (unit == TIME_AUTO)
		unit = unit_of(v);
	if (unit == TIME_FILETIME && __builtin_sub_overflow(v, FILETIME_1970, &v))
		return false;
	return !__builtin_mul_overflow(v, factors[unit], ret_ns);
}

static bool time_of_float(double v, enum time_unit unit, int64_t *ret_ns)
{
	int64_t whole, part;

	if (!(v > -9.2e18 && v < 9.2e18))
		return false;
	whole = (int64_t)v;
	if (unit == TIME_AUTO)
		unit = unit_of(whole);
	/* What stands behind the point, in the same unit: seconds and milliseconds are often written so. */
	part = (int64_t)((v - (double)whole) * (unit == TIME_S ? 1e9 : unit == TIME_MS ? 1e6 : 0));
	return time_of_number(whole, unit, ret_ns) && !__builtin_add_overflow(*ret_ns, part, ret_ns);
}

static bool digits(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] < '0' || p[i] > '9')
			return false;
	return n > 0;
}

static bool time_of_digits(const char *p, size_t n, enum time_unit unit, int64_t *ret_ns)
{
	char text[32], *end;
	int64_t v;

	if (n >= sizeof(text))
		return false;
	memcpy(text, p, n);
	text[n] = 0;
	if (memchr(text, '.', n))
		return time_of_float(strtod(text, &end), unit, ret_ns) && !*end;
	errno = 0;
	v = strtoll(text, &end, 10);
	return !*end && !errno && time_of_number(v, unit, ret_ns);
}

/* The part of a day as RFC 3339 has it: what was left out is zero, and UTC. False: too long to be one. */
static bool add_time_of_day(struct buf *to, const char *p, size_t n)
{
	const char *zone = p;
	size_t len;

	while (zone < p + n && (isdigit((unsigned char)*zone) || *zone == ':' || *zone == '.' || *zone == ','))
		zone++;
	len = (size_t)(zone - p);
	if (len != 0 && len != 2 && len != 5 && len < 8)
		return false;
	buf_add(to, p, len);
	buf_str(to, len == 0 ? "00:00:00" : len == 2 ? ":00:00" : len == 5 ? ":00" : "");
	n -= len;
	if (!n)
		buf_str(to, "Z");
	else if (n == 5 && digits(zone + 1, 4)) /* +0200 */
		buf_printf(to, "%.3s:%.2s", zone, zone + 3);
	else if (n == 3 && digits(zone + 1, 2)) /* +02 */
		buf_printf(to, "%.3s:00", zone);
	else
		buf_add(to, zone, n);
	return true;
}

bool time_of_text(const char *p, size_t n, enum time_unit unit, int64_t *ret_ns)
{
	auto_buf struct buf text = { .max = 64 };
	const char *sign = n && (*p == '-' || *p == '+') ? p + 1 : p;
	const char *number_end = sign;

	if (clock_parse(p, n, ret_ns))
		return true;
	while (number_end < p + n && (isdigit((unsigned char)*number_end) || *number_end == '.'))
		number_end++;
	if (n && number_end == p + n)
		return time_of_digits(p, n, unit, ret_ns);
	if (n >= 10 && digits(p, 4) && p[4] == '-' && digits(p + 5, 2) && p[7] == '-' && digits(p + 8, 2))
		buf_add(&text, p, 10);
	else if (n >= 10 && digits(p, 2) && p[2] == '-' && digits(p + 3, 2) && p[5] == '-' && digits(p + 6, 4))
		buf_printf(&text, "%.4s-%.2s-%.2s", p + 6, p + 3, p);
	else
		return false;
	if (n > 10 && p[10] != 'T' && p[10] != ' ')
		return false;
	buf_char(&text, 'T');
	return add_time_of_day(&text, p + (n > 10 ? 11 : 10), n > 10 ? n - 11 : 0) && !text.failed &&
	       clock_parse(buf_text(&text), text.len, ret_ns);
}

static bool time_of_value(const struct value *v, enum time_unit unit, int64_t *ret_ns)
{
	switch (v->type) {
	case VALUE_INT:
		return time_of_number(v->i, unit, ret_ns);
	case VALUE_FLOAT:
		return time_of_float(v->f, unit, ret_ns);
	case VALUE_STR:
		return time_of_text(v->s.p, v->s.n, unit, ret_ns);
	default:
		return false;
	}
}

/* ---- the fields of a schema -------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
	const struct schema_field *x = a, *y = b;

	return strcmp(x->name, y->name);
}

const struct schema_field *schema_find(const struct schema *s, const char *name, size_t n)
{
	size_t low = 0, high = s->n_fields;

	while (low < high) {
		size_t middle = (low + high) / 2;
		const char *at = s->fields[middle].name;
		int order = strncmp(at, name, n);

		if (order == 0 && at[n] == 0)
			return &s->fields[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static int no_memory(void)
{
	return err_new(-ENOMEM, "out of memory");
}

static int set_text(char **to, const char *text)
{
	char *copy = text ? strdup(text) : NULL;

	if (text && !copy)
		return no_memory();
	free(*to);
	*to = copy;
	return 0;
}

/* The field of this name, made where there is none. NULL: no memory, or too many. Keeps the order only once sorted. */
static struct schema_field *field_add(struct schema *s, const char *name)
{
	for (size_t i = 0; i < s->n_fields; i++)
		if (!strcmp(s->fields[i].name, name))
			return &s->fields[i];
	if (s->n_fields == SCHEMA_FIELDS_MAX)
		return NULL;
	if ((s->n_fields & (s->n_fields - 1)) == 0) {
		size_t cap = s->n_fields ? s->n_fields * 2 : 1;
		struct schema_field *p = realloc(s->fields, cap * sizeof(*p));

		if (!p)
			return NULL;
		s->fields = p;
	}
	s->fields[s->n_fields] = (struct schema_field) { .name = strdup(name) };
	return s->fields[s->n_fields].name ? &s->fields[s->n_fields++] : NULL;
}

static int set_null_value(struct schema_field *f, const struct value *v)
{
	int r = set_text(&f->null_text, v->type == VALUE_STR ? v->s.p : NULL);

	f->null_value = *v;
	if (v->type == VALUE_STR)
		f->null_value.s.p = f->null_text;
	return r;
}

void schema_free(struct schema *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n_fields; i++) {
		free(s->fields[i].name);
		free(s->fields[i].null_text);
	}
	free(s->fields);
	free(s->category);
	free(s->timestamp);
	free(s->tiebreaker);
	free(s->no_category);
	free(s);
}

struct schema *schema_copy(const struct schema *s)
{
	AUTO(schema) copy = calloc(1, sizeof(*copy));

	if (!copy || set_text(&copy->category, s->category) < 0 || set_text(&copy->timestamp, s->timestamp) < 0 ||
	    set_text(&copy->tiebreaker, s->tiebreaker) < 0 || set_text(&copy->no_category, s->no_category) < 0)
		return NULL;
	copy->unit = s->unit;
	copy->all_known = s->all_known;
	copy->strict = s->strict;
	copy->sigma = s->sigma;
	for (size_t i = 0; i < s->n_fields; i++) {
		struct schema_field *f = field_add(copy, s->fields[i].name);

		if (!f || set_null_value(f, &s->fields[i].null_value) < 0)
			return NULL;
		f->type = s->fields[i].type;
	}
	return take(copy);
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static bool same_value(const struct value *a, const struct value *b)
{
	if (a->type != b->type)
		return false;
	if (a->type == VALUE_STR)
		return a->s.n == b->s.n && !memcmp(a->s.p, b->s.p, a->s.n);
	return a->type == VALUE_NULL || (a->type == VALUE_BOOL ? a->b == b->b : a->i == b->i);
}

bool schema_equal(const struct schema *a, const struct schema *b)
{
	if (!same_text(a->category, b->category) || !same_text(a->timestamp, b->timestamp) ||
	    !same_text(a->tiebreaker, b->tiebreaker) || !same_text(a->no_category, b->no_category) ||
	    a->unit != b->unit || a->all_known != b->all_known || a->strict != b->strict || a->sigma != b->sigma ||
	    a->n_fields != b->n_fields)
		return false;
	for (size_t i = 0; i < a->n_fields; i++)
		if (strcmp(a->fields[i].name, b->fields[i].name) != 0 || a->fields[i].type != b->fields[i].type ||
		    !same_value(&a->fields[i].null_value, &b->fields[i].null_value))
			return false;
	return true;
}

/* ---- those that are built in -------------------------------------------------------------------- */

static const char *const ecs_dates[] = {
	"event.created",
	"event.end",
	"event.ingested",
	"event.start",
	"file.accessed",
	"file.created",
	"file.ctime",
	"file.mtime",
	"process.end",
	"process.start",
	"process.parent.start",
	"process.parent.end",
	NULL,
};
static const char *const ecs_addresses[] = {
	"client.ip",
	"client.nat.ip",
	"destination.ip",
	"destination.nat.ip",
	"dns.resolved_ip",
	"host.ip",
	"network.forwarded_ip",
	"observer.ip",
	"related.ip",
	"server.ip",
	"server.nat.ip",
	"source.ip",
	"source.nat.ip",
	NULL,
};

static int add_all(struct schema *s, const char *const *names, enum rule_type type)
{
	for (; *names; names++) {
		struct schema_field *f = field_add(s, *names);

		if (!f)
			return no_memory();
		f->type = type;
	}
	return 0;
}

static int make_ecs(struct schema *s)
{
	int r = set_text(&s->category, "event.category");

	s->all_known = true;
	r = r < 0 ? r : set_text(&s->timestamp, "@timestamp");
	r = r < 0 ? r : set_text(&s->tiebreaker, "event.sequence");
	r = r < 0 ? r : add_all(s, ecs_dates, RULE_DATE);
	r = r < 0 ? r : add_all(s, ecs_addresses, RULE_IP);
	qsort(s->fields, s->n_fields, sizeof(*s->fields), by_name);
	return r;
}

static int make_endgame(struct schema *s)
{
	int r = set_text(&s->category, "event_type");

	s->all_known = true;
	r = r < 0 ? r : set_text(&s->timestamp, "timestamp");
	return r < 0 ? r : set_text(&s->no_category, "generic");
}

/* Events of programs that name their fields as Sigma's taxonomy does. */
static int make_sigma(struct schema *s)
{
	s->all_known = true;
	s->sigma = true;
	return set_text(&s->timestamp, "@timestamp");
}

int schema_named(const char *name, struct schema **ret_schema)
{
	AUTO(schema) s = calloc(1, sizeof(*s));
	int r = 0;

	if (!s)
		return no_memory();
	if (!strcmp(name, "ecs"))
		r = make_ecs(s);
	else if (!strcmp(name, "endgame"))
		r = make_endgame(s);
	else if (!strcmp(name, "sigma"))
		r = make_sigma(s);
	else if (strcmp(name, "none") != 0)
		r = err_new(-ENOENT, "there is no schema \"%s\"; built in are ecs, endgame, sigma and none", name);
	if (r < 0)
		return r;
	*ret_schema = take(s);
	return 0;
}

/* ---- those in files ------------------------------------------------------------------------------- */

struct file {
	const char *name, *text;
	size_t len;
	struct config_report *report;
	struct schema *schema;
};

__attribute__((format(printf, 3, 4))) static void problem(const struct file *f, const struct yaml_node *at,
							  const char *fmt, ...)
{
	const struct config_spot spot = { f->name, f->text, f->len, at->line, at->column };
	char message[256];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	config_report_add(f->report, false, &spot, "%s", message);
}

static const struct {
	const char *name;
	enum rule_type type;
} types[] = {
	{ "keyword", RULE_KEYWORD },
	{ "date", RULE_DATE },
	{ "ip", RULE_IP },
	{ "version", RULE_VERSION },
	{ "number", RULE_NUMBER },
	{ "boolean", RULE_BOOLEAN },
	{ "text", RULE_TEXT },
	{ "long", RULE_NUMBER },
	{ "integer", RULE_NUMBER },
	{ "double", RULE_NUMBER },
	{ "float", RULE_NUMBER },
	{ "date_nanos", RULE_DATE },
	{ "wildcard", RULE_KEYWORD },
	{ "constant_keyword", RULE_KEYWORD },
	{ "any", RULE_UNKNOWN },
};

static bool type_named(const char *name, enum rule_type *ret_type)
{
	for (size_t i = 0; i < countof(types); i++)
		if (!strcmp(types[i].name, name)) {
			*ret_type = types[i].type;
			return true;
		}
	return false;
}

static bool is_null(const struct yaml_node *v)
{
	return v->type == YAML_NOTHING || (v->type == YAML_SCALAR && !strcmp(v->text, "null"));
}

/* A field may be named, or said not to be there. */
static void take_name(const struct file *f, const struct yaml_node *v, char **to)
{
	if (!is_null(v) && (v->type != YAML_SCALAR || !v->len || v->len > FIELD_NAME_MAX))
		problem(f, v, "wanted the name of a field, or null");
	else if (set_text(to, is_null(v) || !strcmp(v->text, "none") ? NULL : v->text) < 0)
		problem(f, v, "out of memory");
}

static void take_bool(const struct file *f, const struct yaml_node *v, bool *to)
{
	if (v->type != YAML_SCALAR || (strcmp(v->text, "true") != 0 && strcmp(v->text, "false") != 0))
		problem(f, v, "wanted true or false");
	else
		*to = v->text[0] == 't';
}

static void take_unit(const struct file *f, const struct yaml_node *v, enum time_unit *to)
{
	for (size_t i = 0; v->type == YAML_SCALAR && time_unit_names[i]; i++)
		if (!strcmp(v->text, time_unit_names[i])) {
			*to = (enum time_unit)i;
			return;
		}
	problem(f, v, "wanted auto, s, ms, us, ns or filetime");
}

static void take_type(const struct file *f, const struct yaml_node *v, struct schema_field *field)
{
	if (v->type != YAML_SCALAR || !type_named(v->text, &field->type))
		problem(f, v, "wanted a type: keyword, text, number, boolean, date, ip, version or any");
}

/* A text, but for fields whose type says otherwise. */
static void take_null_value(const struct file *f, const struct yaml_node *v, struct schema_field *field)
{
	struct value value = { .type = VALUE_STR, .s = { v->text, v->len } };
	int64_t ns;
	char *end;

	if (v->type != YAML_SCALAR || v->len > RULE_STRING_MAX) {
		problem(f, v, "wanted a value that an explicit null stands for");
		return;
	}
	if (field->type == RULE_NUMBER) {
		errno = 0;
		value = (struct value) { .type = VALUE_INT, .i = strtoll(v->text, &end, 10) };
		if (*end || errno)
			value = (struct value) { .type = VALUE_FLOAT, .f = strtod(v->text, &end) };
		if (*end || !v->len)
			problem(f, v, "wanted a number");
	} else if (field->type == RULE_BOOLEAN) {
		value = (struct value) { .type = VALUE_BOOL, .b = !strcmp(v->text, "true") };
	} else if (field->type == RULE_DATE) {
		if (!time_of_text(v->text, v->len, f->schema->unit, &ns))
			problem(f, v, "wanted a date");
		value = (struct value) { .type = VALUE_INT, .i = ns };
	}
	if (set_null_value(field, &value) < 0)
		problem(f, v, "out of memory");
}

/* {type: T, null_value: V} */
static void take_field_map(const struct file *f, const struct yaml_node *map, struct schema_field *field)
{
	const struct yaml_node *null_value = yaml_child(map, "null_value"), *type = yaml_child(map, "type");

	if (type)
		take_type(f, type, field);
	if (null_value && !is_null(null_value))
		take_null_value(f, null_value, field);
	for (const struct yaml_node *v = map->first; v; v = v->next)
		if (v != null_value && v != type)
			problem(f, v->key, "a field has a type and a null_value, and no \"%s\"", v->key->text);
}

/* NAME: TYPE, NAME: [TYPE], NAME: [null_value, VALUE] or NAME: {type: TYPE, null_value: VALUE} */
static void take_field(const struct file *f, const struct yaml_node *v)
{
	struct schema_field *field = field_add(f->schema, v->key->text);

	if (!field)
		problem(f, v, "out of memory, or more than %d fields", SCHEMA_FIELDS_MAX);
	else if (v->type == YAML_MAP)
		take_field_map(f, v, field);
	else if (v->type == YAML_LIST && v->n == 2 && v->first->type == YAML_SCALAR &&
		 !strcmp(v->first->text, "null_value"))
		take_null_value(f, v->last, field);
	else
		take_type(f, v->type == YAML_LIST && v->n == 1 ? v->first : v, field);
}

static void take_fields(const struct file *f, const struct yaml_node *map)
{
	if (map->type != YAML_MAP && !is_null(map))
		problem(f, map, "wanted a mapping of fields to their types");
	for (const struct yaml_node *v = map->first; map->type == YAML_MAP && v; v = v->next)
		take_field(f, v);
}

static void take_null_values(const struct file *f, const struct yaml_node *map)
{
	if (map->type != YAML_MAP && !is_null(map))
		problem(f, map, "wanted a mapping of fields to the values that null stands for");
	for (const struct yaml_node *v = map->first; map->type == YAML_MAP && v; v = v->next) {
		struct schema_field *field = field_add(f->schema, v->key->text);

		if (!field)
			problem(f, v, "out of memory, or more than %d fields", SCHEMA_FIELDS_MAX);
		else
			take_null_value(f, v, field);
	}
}

/* The long names are those that Elasticsearch's requests have. */
static void take_key(const struct file *f, const struct yaml_node *v)
{
	const char *key = v->key->text;
	struct schema *s = f->schema;

	if (!strcmp(key, "category") || !strcmp(key, "category_field") || !strcmp(key, "event_category_field"))
		take_name(f, v, &s->category);
	else if (!strcmp(key, "timestamp") || !strcmp(key, "timestamp_field"))
		take_name(f, v, &s->timestamp);
	else if (!strcmp(key, "tiebreaker") || !strcmp(key, "tiebreaker_field"))
		take_name(f, v, &s->tiebreaker);
	else if (!strcmp(key, "default_category"))
		take_name(f, v, &s->no_category);
	else if (!strcmp(key, "unit"))
		take_unit(f, v, &s->unit);
	else if (!strcmp(key, "strict"))
		take_bool(f, v, &s->strict);
	else if (!strcmp(key, "sigma"))
		take_bool(f, v, &s->sigma);
	else if (!strcmp(key, "all_known"))
		take_bool(f, v, &s->all_known);
	else if (!strcmp(key, "fields") || !strcmp(key, "types"))
		take_fields(f, v);
	else if (!strcmp(key, "null_values"))
		take_null_values(f, v);
	else if (strcmp(key, "id") != 0 && strcmp(key, "id_field") != 0 && strcmp(key, "name") != 0)
		problem(f, v->key,
			"no \"%s\" is known here; known are category, timestamp, tiebreaker, unit, fields, "
			"null_values, "
			"default_category, strict, sigma and all_known",
			key);
}

static int take_root(const struct file *f, const struct yaml_node *root)
{
	const struct yaml_node *unit = root && root->type == YAML_MAP ? yaml_child(root, "unit") : NULL;

	if (root && root->type != YAML_MAP)
		problem(f, root, "a schema is a mapping");
	/* First, for dates that stand before it. */
	if (unit)
		take_unit(f, unit, &f->schema->unit);
	for (const struct yaml_node *v = root ? root->first : NULL; v && root->type == YAML_MAP; v = v->next)
		if (v != unit)
			take_key(f, v);
	if (f->report->n_errors)
		return err_new(-EINVAL, "%s is no schema", f->name);
	if (f->schema->n_fields)
		qsort(f->schema->fields, f->schema->n_fields, sizeof(*f->schema->fields), by_name);
	return 0;
}

int schema_read(const char *name, const char *text, size_t n, struct config_report *report, struct schema **ret_schema)
{
	AUTO(schema) s = calloc(1, sizeof(*s));
	struct file f = { name, text, n, report, s };
	struct yaml_node *root = NULL;
	int r;

	if (!s)
		return no_memory();
	r = yaml_read(name, text, n, report, &root);
	if (r == 0)
		r = take_root(&f, root);
	yaml_node_free(root);
	if (r < 0)
		return r;
	*ret_schema = take(s);
	return 0;
}

int schema_load(const char *path, struct config_report *report, struct schema **ret_schema)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	auto_free char *text = malloc(SCHEMA_FILE_MAX + 1);
	size_t len = 0;
	ssize_t n;

	if (fd < 0)
		return err_sys(errno, "open %s", path);
	if (!text)
		return no_memory();
	while ((n = read(fd, text + len, SCHEMA_FILE_MAX + 1 - len)) > 0)
		len += (size_t)n;
	if (n < 0)
		return err_sys(errno, "read %s", path);
	if (len > SCHEMA_FILE_MAX)
		return err_new(-E2BIG, "%s has more than %d bytes", path, SCHEMA_FILE_MAX);
	return schema_read(path, text, len, report, ret_schema);
}

/* ---- those in a line of JSON --------------------------------------------------------------------- */

static void json_to_text(const struct json_node *v, struct buf *out)
{
	const struct json_node *child, *name;
	bool first = true;

	switch (v->type) {
	case JSON_NULL:
		buf_str(out, "null");
		break;
	case JSON_BOOL:
		buf_str(out, v->b ? "true" : "false");
		break;
	case JSON_INT:
		buf_i64(out, v->i);
		break;
	case JSON_UINT:
		buf_u64(out, v->u);
		break;
	case JSON_DOUBLE:
		json_write_double(out, v->d);
		break;
	case JSON_STRING:
		(void)json_write_str(out, v->s, v->len);
		break;
	default:
		buf_char(out, v->type == JSON_ARRAY ? '[' : '{');
		for (child = json_first(v, &name); child; child = json_next(v, child, &name)) {
			if (!first)
				buf_str(out, ", ");
			first = false;
			if (name) {
				(void)json_write_str(out, name->s, name->len);
				buf_str(out, ": ");
			}
			json_to_text(child, out);
		}
		buf_char(out, v->type == JSON_ARRAY ? ']' : '}');
	}
}

int schema_from_json(const struct json_node *v, struct config_report *report, struct schema **ret_schema)
{
	auto_buf struct buf text = { .max = SCHEMA_FILE_MAX };

	if (v->type == JSON_STRING)
		return schema_named(v->s, ret_schema);
	if (v->type != JSON_OBJECT)
		return err_new(-EINVAL, "a schema is a name or an object");
	/* JSON is YAML: one reader knows what a schema may have. */
	json_to_text(v, &text);
	if (text.failed)
		return err_new(-E2BIG, "a schema of more than %d bytes", SCHEMA_FILE_MAX);
	return schema_read("schema", buf_text(&text), text.len, report, ret_schema);
}

int schema_add(struct schema *s, const char *key, const struct json_node *v, struct config_report *report)
{
	auto_buf struct buf text = { .max = SCHEMA_FILE_MAX };
	struct yaml_node *root = NULL;
	struct file f;
	int r;

	buf_printf(&text, "{\"%s\": ", key);
	json_to_text(v, &text);
	buf_str(&text, "}");
	if (text.failed)
		return err_new(-E2BIG, "a schema of more than %d bytes", SCHEMA_FILE_MAX);
	f = (struct file) { "schema", buf_text(&text), text.len, report, s };
	r = yaml_read(f.name, f.text, f.len, report, &root);
	if (r == 0)
		r = take_root(&f, root);
	yaml_node_free(root);
	return r;
}

/* ---- events ------------------------------------------------------------------------------------------ */

static int intern(const char *name, field_id *ret_id)
{
	*ret_id = name ? field_intern(name, strlen(name)) : FIELD_NONE;
	return name && !*ret_id ? err_new(-ENOSPC, "\"%s\" cannot be the name of a field", name) : 0;
}

int schema_reader_init(struct schema_reader *reader, const struct schema *s, bool date_too)
{
	int r;

	*reader = (struct schema_reader) { .schema = s, .date_too = date_too };
	arena_init(&reader->scratch, SCRATCH_MAX);
	r = intern(s->category, &reader->category);
	r = r < 0 ? r : intern(s->timestamp, &reader->timestamp);
	r = r < 0 ? r : intern(s->tiebreaker, &reader->tiebreaker);
	for (size_t i = 0; r == 0 && i < s->n_fields; i++)
		r = intern(s->fields[i].name, &s->fields[i].id);
	return r;
}

void schema_reader_free(struct schema_reader *reader)
{
	arena_free(&reader->scratch);
}

static struct value *value_at(struct json_event *je, field_id id)
{
	/* What was found belongs to the event, which is ours to change. */
	return (struct value *)(uintptr_t)json_event_find(je, id);
}

static void to_number(struct value *v)
{
	char text[64], *end;
	long long i;
	double f;

	if (v->type != VALUE_STR || !v->s.n || v->s.n >= sizeof(text))
		return;
	memcpy(text, v->s.p, v->s.n);
	text[v->s.n] = 0;
	errno = 0;
	i = strtoll(text, &end, 10);
	if (!*end && !errno) {
		*v = (struct value) { .type = VALUE_INT, .i = i };
		return;
	}
	f = strtod(text, &end);
	if (!*end)
		*v = (struct value) { .type = VALUE_FLOAT, .f = f };
}

static void to_keyword(struct arena *scratch, struct value *v)
{
	auto_buf struct buf text = { .max = 64 };
	char *copy;

	if (v->type == VALUE_INT)
		buf_i64(&text, v->i);
	else if (v->type == VALUE_UINT)
		buf_u64(&text, v->u);
	else if (v->type == VALUE_FLOAT)
		json_write_double(&text, v->f);
	else if (v->type == VALUE_BOOL)
		buf_str(&text, v->b ? "true" : "false");
	else
		return;
	copy = arena_str(scratch, buf_text(&text), text.len);
	if (copy)
		*v = (struct value) { .type = VALUE_STR, .s = { copy, text.len } };
}

static void convert(struct schema_reader *reader, const struct schema_field *f, enum rule_type type, struct value *v)
{
	int64_t ns;

	if (v->type == VALUE_LIST) {
		/* The items are the event's too. */
		for (size_t i = 0; i < v->list.n; i++)
			convert(reader, f, type, (struct value *)(uintptr_t)&v->list.items[i]);
		return;
	}
	if (v->type == VALUE_NULL && f) {
		*v = f->null_value;
		return;
	}
	if (type == RULE_DATE && time_of_value(v, reader->schema->unit, &ns))
		*v = (struct value) { .type = VALUE_INT, .i = ns };
	else if (type == RULE_NUMBER)
		to_number(v);
	else if (type == RULE_KEYWORD)
		to_keyword(&reader->scratch, v);
}

/* There are never more fields than nodes, and the object itself is a node: there is room for one more that is in none.
 */
void schema_add_value(struct json_event *je, field_id id, const struct value *v)
{
	size_t at = je->n_fields;

	if (at == je->cap)
		return;
	for (; at && je->fields[at - 1].id > id; at--)
		je->fields[at] = je->fields[at - 1];
	je->fields[at] = (struct json_field) { id, *v };
	je->n_fields++;
}

void schema_apply(struct schema_reader *reader, struct json_event *je)
{
	const struct schema *s = reader->schema;
	struct value *v;

	arena_reset(&reader->scratch);
	reader->has_time = false;
	if (reader->timestamp) {
		v = value_at(je, reader->timestamp);
		/* Of several dates the first one counts. */
		reader->has_time = v && time_of_value(v->type == VALUE_LIST && v->list.n ? v->list.items : v, s->unit,
						      &reader->time_ns);
		if (v && reader->date_too)
			convert(reader, NULL, RULE_DATE, v);
	}
	for (size_t i = 0; i < s->n_fields; i++) {
		const struct schema_field *f = &s->fields[i];

		if (f->id == reader->timestamp && reader->date_too)
			continue;
		v = value_at(je, f->id);
		if (v)
			convert(reader, f, f->type, v);
	}
	if (s->no_category && reader->category) {
		const struct value none = { .type = VALUE_STR, .s = { s->no_category, strlen(s->no_category) } };

		v = value_at(je, reader->category);
		if (!v)
			schema_add_value(je, reader->category, &none);
		else if (v->type == VALUE_NULL)
			*v = none;
	}
}
