/* SPDX-License-Identifier: Apache-2.0 */
#include "context/filter.h"
#include <arpa/inet.h>
#include <fnmatch.h>
#include <pthread.h>
#include <string.h>
#include "base/err.h"
#include "context/context.h"
#include "predicate/predicate.h"
#include "rule/rule.h"

/* Where a path, an address and a container may stand in an event. */
static const char *const path_fields[] = { "file.path", "file.target_path", "process.executable",
					   "process.exec.filename" };
static const char *const address_fields[] = { "source.ip", "destination.ip" };
static const char *const container_fields[] = { "container.id", "container.name" };

struct filter {
	__u16 *kinds;
	size_t n_kinds;
	bool any_kind;
	__u32 pid;
	bool descendants;
	char *comm, *container, *path;
	bool has_address;
	struct ev_addr address;
	unsigned prefix; /* bits */
	field_id path_ids[countof(path_fields)], address_ids[countof(address_fields)],
		container_ids[countof(container_fields)], pid_id, comm_id;
	struct query *query; /* of the condition, which the program borrows from */
	struct program *program;
};

void filter_free(struct filter *f)
{
	if (!f)
		return;
	free(f->kinds);
	free(f->comm);
	free(f->container);
	free(f->path);
	program_free(f->program);
	query_free(f->query);
	free(f);
}

/* "10.0.0.0/8", "::1", "10.1.2.3": into 128 bits and a prefix, IPv4 mapped. */
static int parse_address(const char *text, struct filter *f)
{
	char host[64];
	const char *slash = strchr(text, '/');
	size_t n = slash ? (size_t)(slash - text) : strlen(text);
	unsigned bits;
	char *end;

	if (n >= sizeof(host))
		return err_new(-EINVAL, "\"%s\" is no address", text);
	memcpy(host, text, n);
	host[n] = 0;
	if (inet_pton(AF_INET, host, f->address.bytes + 12) == 1) {
		memset(f->address.bytes, 0, 10);
		memset(f->address.bytes + 10, 0xff, 2);
		bits = 32;
	} else if (inet_pton(AF_INET6, host, f->address.bytes) == 1) {
		bits = 128;
	} else {
		return err_new(-EINVAL, "\"%s\" is no address: write 10.0.0.1, 10.0.0.0/8 or fd00::/8", text);
	}
	f->prefix = 128;
	if (slash) {
		unsigned long v = strtoul(slash + 1, &end, 10);

		if (end == slash + 1 || *end || v > bits)
			return err_new(-EINVAL, "\"%s\": the prefix is a number from 0 to %u", text, bits);
		f->prefix = (unsigned)v + 128 - bits;
	}
	f->has_address = true;
	return 0;
}

static bool has_kind(const struct filter *f, __u16 id)
{
	for (size_t i = 0; i < f->n_kinds; i++)
		if (f->kinds[i] == id)
			return true;
	return false;
}

/* Adds the kinds that a name or glob means; false: none. */
static bool add_kinds(struct filter *f, const char *glob)
{
	const struct event_kind *kind;
	bool found = false;

	for (size_t i = 0; (kind = event_kind_at(i)); i++) {
		if (fnmatch(glob, kind->name, 0) != 0)
			continue;
		found = true;
		if (!has_kind(f, kind->id) && f->n_kinds < FILTER_KINDS_MAX)
			f->kinds[f->n_kinds++] = kind->id;
	}
	return found;
}

static int compile_kinds(const struct filter_spec *spec, struct filter *f)
{
	f->any_kind = spec->n_kinds == 0;
	f->kinds = calloc(FILTER_KINDS_MAX, sizeof(*f->kinds));
	if (!f->kinds)
		return err_new(-ENOMEM, "no memory for a filter");
	for (size_t i = 0; i < spec->n_kinds; i++)
		if (!add_kinds(f, spec->kinds[i]))
			return err_new(-EINVAL, "no kind of event matches \"%s\": docs/reference/events.md lists them",
				       spec->kinds[i]);
	return 0;
}

static int copy(const char *text, char **ret_copy)
{
	if (!text || !text[0])
		return 0;
	*ret_copy = strndup(text, FILTER_TEXT_MAX);
	return *ret_copy ? 0 : err_new(-ENOMEM, "no memory for a filter");
}

static void intern_all(const char *const *names, size_t n, field_id *ret_ids)
{
	for (size_t i = 0; i < n; i++)
		ret_ids[i] = field_intern(names[i], strlen(names[i]));
}

/* ---- the condition --------------------------------------------------------------------------------------- */

static enum rule_type type_of(const struct field *f)
{
	return f->type == FT_TIME ? RULE_DATE : f->type == FT_ADDR ? RULE_IP : RULE_UNKNOWN;
}

/* A field that some kind of record has, or the context. */
static bool find_field(const void *subject, const char *name, size_t n, enum rule_type *ret_type)
{
	field_id id = field_find(name, n);
	const struct event_kind *kind;

	(void)subject;
	*ret_type = RULE_UNKNOWN;
	for (size_t i = 0; id && (kind = event_kind_at(i)); i++) {
		const struct field *f = event_kind_field(kind, id);

		if (f) {
			*ret_type = type_of(f);
			return true;
		}
	}
	for (size_t i = 0; i < context_n_fields; i++)
		if (strlen(context_fields[i].name) == n && !memcmp(context_fields[i].name, name, n))
			return true;
	return false;
}

/* All of them, for hints; some more than once. */
static const char *name_of_field(const void *subject, size_t i)
{
	const struct field *const *rows;
	const struct event_kind *kind;

	(void)subject;
	if (i < context_n_fields)
		return context_fields[i].name;
	i -= context_n_fields;
	for (size_t k = 0; (kind = event_kind_at(k)); k++) {
		size_t n = event_kind_fields(kind, &rows);

		if (i < n)
			return rows[i]->name;
		i -= n;
	}
	return NULL;
}

const struct rule_schema filter_schema = { .field = find_field, .name = name_of_field };

static int compile_expr(const char *expr, struct filter *f)
{
	static const struct query_options options = { .schema = &filter_schema };
	struct diag d = { 0 };
	size_t n = strlen(expr);
	int r;

	if (n > FILTER_TEXT_MAX)
		return err_new(-E2BIG, "a condition of more than %d bytes", FILTER_TEXT_MAX);
	r = condition_compile(expr, n, &options, &d, &f->query);
	if (r < 0)
		return err_new(r, "condition, line %u, column %u: %s%s%s%s", d.line, d.column, d.message,
			       d.hint[0] ? "; did you mean \"" : "", d.hint, d.hint[0] ? "\"?" : "");
	r = predicate_compile(f->query, f->query->stage[0].condition, &f->program);
	return r < 0 ? err_wrap(r, "condition") : 0;
}

/* One a thread, for all filters: a thread looks at one event at a time. */
static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;

static void free_scratch(void *s)
{
	predicate_scratch_free(s);
}

static void make_key(void)
{
	if (pthread_key_create(&scratch_key, free_scratch) != 0)
		abort();
}

static bool match_expr(const struct filter *f, const struct event *ev)
{
	struct predicate_input in = { .ev = ev };
	struct predicate_scratch *s;

	(void)pthread_once(&scratch_once, make_key);
	s = pthread_getspecific(scratch_key);
	if (!s) {
		/* Out of memory: what cannot be looked at is not what was asked for. */
		if (predicate_scratch_new(&s) < 0)
			return false;
		if (pthread_setspecific(scratch_key, s) != 0) {
			predicate_scratch_free(s);
			return false;
		}
	}
	return predicate_run(f->program, &in, s) == TRUTH_TRUE;
}

int filter_compile(const struct filter_spec *spec, struct filter **ret_filter)
{
	AUTO(filter) f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return err_new(-ENOMEM, "no memory for a filter");
	f->pid = spec->pid;
	f->descendants = spec->descendants;
	r = compile_kinds(spec, f);
	if (r < 0)
		return r;
	if (spec->address && spec->address[0]) {
		r = parse_address(spec->address, f);
		if (r < 0)
			return r;
	}
	r = copy(spec->comm, &f->comm);
	if (r == 0)
		r = copy(spec->container, &f->container);
	if (r == 0)
		r = copy(spec->path, &f->path);
	if (r == 0 && spec->expr && spec->expr[0])
		r = compile_expr(spec->expr, f);
	if (r < 0)
		return r;
	intern_all(path_fields, countof(path_fields), f->path_ids);
	intern_all(address_fields, countof(address_fields), f->address_ids);
	intern_all(container_fields, countof(container_fields), f->container_ids);
	f->pid_id = field_intern("process.pid", strlen("process.pid"));
	f->comm_id = field_intern("process.name", strlen("process.name"));
	*ret_filter = take(f);
	return 0;
}

static bool any_starts(const struct event *ev, const field_id *ids, size_t n, const char *prefix)
{
	size_t len = strlen(prefix);

	for (size_t i = 0; i < n; i++) {
		struct value v;

		if (event_get(ev, ids[i], NULL, &v) && v.type == VALUE_STR && v.s.n >= len &&
		    !memcmp(v.s.p, prefix, len))
			return true;
	}
	return false;
}

static bool address_in(const struct filter *f, const struct ev_addr *a)
{
	unsigned bytes = f->prefix / 8, bits = f->prefix % 8;

	if (memcmp(a->bytes, f->address.bytes, bytes) != 0)
		return false;
	return !bits || !((a->bytes[bytes] ^ f->address.bytes[bytes]) >> (8 - bits));
}

static bool any_address(const struct filter *f, const struct event *ev)
{
	for (size_t i = 0; i < countof(f->address_ids); i++) {
		struct value v;

		if (event_get(ev, f->address_ids[i], NULL, &v) && v.type == VALUE_IP && address_in(f, &v.ip))
			return true;
	}
	return false;
}

static bool is_text(const struct event *ev, field_id id, const char *text)
{
	struct value v;

	return event_get(ev, id, NULL, &v) && v.type == VALUE_STR && v.s.n == strlen(text) &&
	       !memcmp(v.s.p, text, v.s.n);
}

/* An event of another schema: of no kind, and its fields are what the line says. */
static bool match_foreign(const struct filter *f, const struct event *ev)
{
	struct value v;

	if (!f->any_kind || f->has_address)
		return false;
	if (f->pid &&
	    !(event_get(ev, f->pid_id, NULL, &v) && (v.type == VALUE_UINT || v.type == VALUE_INT) && v.u == f->pid))
		return false;
	if (f->comm && !is_text(ev, f->comm_id, f->comm))
		return false;
	if (f->container && !any_starts(ev, f->container_ids, countof(f->container_ids), f->container))
		return false;
	return !f->path || any_starts(ev, f->path_ids, countof(f->path_ids), f->path);
}

static bool match_record(const struct filter *f, const struct event *ev,
			 bool (*is_descendant)(const struct event *ev, __u32 pid))
{
	const struct ev_head *rec = ev->rec;

	if (!f->any_kind && !has_kind(f, rec->id))
		return false;
	if (f->pid && rec->pid != f->pid && !(f->descendants && is_descendant && is_descendant(ev, f->pid)))
		return false;
	if (f->comm && strncmp(rec->comm, f->comm, sizeof(rec->comm)) != 0)
		return false;
	if (f->container && !any_starts(ev, f->container_ids, countof(f->container_ids), f->container))
		return false;
	if (f->path && !any_starts(ev, f->path_ids, countof(f->path_ids), f->path))
		return false;
	return !f->has_address || any_address(f, ev);
}

bool filter_match(const struct filter *f, const struct event *ev,
		  bool (*is_descendant)(const struct event *ev, __u32 pid))
{
	/* The condition last: the others are cheaper. */
	return (ev->rec ? match_record(f, ev, is_descendant) : match_foreign(f, ev)) &&
	       (!f->program || match_expr(f, ev));
}

bool filter_needs_context(const struct filter *f)
{
	return (f->pid && f->descendants) || f->container || f->path || f->program;
}

bool filter_wants_kind(const struct filter *f, __u16 id)
{
	return f->any_kind || has_kind(f, id);
}
