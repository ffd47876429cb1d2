/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/metrics.h"
#include <string.h>
#include "base/json.h"
#include "base/mem.h"

enum { SAMPLES_MAX = 16384, NAME_MAX_BYTES = 96, LABELS_MAX = 256, DEPTH_MAX = 6 };

struct sample {
	char name[NAME_MAX_BYTES];
	char labels[LABELS_MAX]; /* `sensor="file",kind="file.open"` */
	char value[32];
	size_t at; /* in the order of the status */
};

struct walk {
	struct sample *samples;
	size_t n;
};

/* Lists whose items come and go with clients, and what the API tells of itself. */
static const char *const left_out[] = { "streams", "consumers", "api" };

static void add(struct walk *w, const char *name, const char *labels, const char *value)
{
	struct sample *s = &w->samples[w->n];

	if (w->n == SAMPLES_MAX)
		return;
	(void)snprintf(s->name, sizeof(s->name), "shrike_%s", name);
	(void)snprintf(s->labels, sizeof(s->labels), "%s", labels);
	(void)snprintf(s->value, sizeof(s->value), "%s", value);
	s->at = w->n++;
}

static const char *number_of(const struct json_node *v, char text[32])
{
	switch (v->type) {
	case JSON_INT:
		(void)snprintf(text, 32, "%lld", (long long)v->i);
		return text;
	case JSON_UINT:
		(void)snprintf(text, 32, "%llu", (unsigned long long)v->u);
		return text;
	case JSON_DOUBLE:
		(void)snprintf(text, 32, "%.17g", v->d);
		return text;
	case JSON_BOOL:
		return v->b ? "1" : "0";
	default:
		return NULL;
	}
}

/* Names of ours alone come here, but a label must not end early whatever it holds. */
static void add_label(const char *labels, const char *key, const char *value, char to[LABELS_MAX])
{
	size_t n = (size_t)snprintf(to, LABELS_MAX, "%s%s%s=\"", labels, *labels ? "," : "", key);

	for (; *value && n < LABELS_MAX - 4; value++) {
		if (*value == '"' || *value == '\\')
			to[n++] = '\\';
		to[n++] = *value == '\n' ? ' ' : *value;
	}
	if (n < LABELS_MAX - 1) {
		to[n++] = '"';
		to[n] = 0;
	}
}

static void walk_object(struct walk *w, const struct json_node *object, const char *path, const char *labels,
			unsigned depth);

/* "kinds" has items of which each is a "kind". */
static void walk_list(struct walk *w, const struct json_node *list, const char *name, const char *labels,
		      unsigned depth)
{
	const struct json_node *none;
	char one[NAME_MAX_BYTES], inner[LABELS_MAX];
	size_t n = strlen(name);

	(void)snprintf(one, sizeof(one), "%.*s", (int)(n && name[n - 1] == 's' ? n - 1 : n), name);
	for (const struct json_node *v = json_first(list, &none); v; v = json_next(list, v, &none)) {
		const struct json_node *label = json_get(v, "name");

		if (!label || label->type != JSON_STRING)
			continue;
		add_label(labels, one, label->s, inner);
		walk_object(w, v, one, inner, depth);
	}
}

static bool is_left_out(const char *name)
{
	for (size_t i = 0; i < countof(left_out); i++)
		if (!strcmp(left_out[i], name))
			return true;
	return false;
}

static void walk_object(struct walk *w, const struct json_node *object, const char *path, const char *labels,
			unsigned depth)
{
	const struct json_node *key;

	for (const struct json_node *v = json_first(object, &key); v && depth < DEPTH_MAX;
	     v = json_next(object, v, &key)) {
		char name[NAME_MAX_BYTES], number[32], inner[LABELS_MAX];
		const char *value = number_of(v, number);

		if (is_left_out(key->s))
			continue;
		(void)snprintf(name, sizeof(name), "%s%s%s", path, *path ? "_" : "", key->s);
		if (value)
			add(w, name, labels, value);
		else if (v->type == JSON_OBJECT)
			walk_object(w, v, name, labels, depth + 1);
		else if (v->type == JSON_ARRAY)
			walk_list(w, v, *path && !*labels ? name : key->s, labels, depth + 1);
		else if (v->type == JSON_STRING && !strcmp(key->s, "state")) {
			add_label(labels, "state", v->s, inner);
			add(w, name, inner, "1");
		}
	}
}

static int by_name(const void *a, const void *b)
{
	const struct sample *x = a, *y = b;
	int r = strcmp(x->name, y->name);

	return r ? r : x->at < y->at ? -1 : 1;
}

void metrics_of_status(const char *status, size_t n, struct buf *out)
{
	static const struct json_limits limits = { .len_max = 8 << 20, .nodes_max = 1 << 20, .depth_max = 16 };
	auto_free struct sample *samples = calloc(SAMPLES_MAX, sizeof(*samples));
	struct walk w = { .samples = samples };
	const struct json_node *root;
	auto_json struct json_doc doc;

	json_init(&doc, &limits);
	if (!samples || json_parse(&doc, status, n, &root) < 0)
		return;
	walk_object(&w, root, "", "", 0);
	/* All samples of a metric stand together. */
	qsort(samples, w.n, sizeof(*samples), by_name);
	for (size_t i = 0; i < w.n; i++) {
		const struct sample *s = &samples[i];

		if (!i || strcmp(s[-1].name, s->name) != 0)
			buf_printf(out, "# TYPE %s untyped\n", s->name);
		buf_printf(out, "%s%s%s%s %s\n", s->name, s->labels[0] ? "{" : "", s->labels, s->labels[0] ? "}" : "",
			   s->value);
	}
}
