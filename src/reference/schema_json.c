/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schema_json - config/shrike.schema.json: what editors complete and check by.
 *
 * JSON Schema draft 7, which the YAML language servers know best. It is a little stricter
 * than the reader, which also takes `count: "7"`, and it knows no check of a whole
 * configuration: `shrike check` has the last word.
 */
#include <inttypes.h>
#include "base/json.h"
#include "reference/reference.h"
#include "sensors/sensor.h"

struct writer {
	struct buf *out;
	const struct config *config;
	unsigned depth;
	bool first; /* of the object that is being written */
};

static void string(struct buf *out, const char *text)
{
	(void)json_write_str(out, text, strlen(text));
}

static void new_line(struct writer *w)
{
	buf_char(w->out, '\n');
	for (unsigned i = 0; i < w->depth; i++)
		buf_str(w->out, "  ");
}

static void name(struct writer *w, const char *text)
{
	buf_str(w->out, w->first ? "" : ",");
	w->first = false;
	new_line(w);
	string(w->out, text);
	buf_str(w->out, ": ");
}

static void open_object(struct writer *w)
{
	buf_char(w->out, '{');
	w->depth++;
	w->first = true;
}

static void close_object(struct writer *w)
{
	w->depth--;
	if (!w->first)
		new_line(w);
	buf_char(w->out, '}');
	w->first = false;
}

static void member(struct writer *w, const char *key, const char *text)
{
	name(w, key);
	string(w->out, text);
}

static void raw(struct writer *w, const char *key, const char *text)
{
	name(w, key);
	buf_str(w->out, text);
}

static void number(struct writer *w, const char *key, uint64_t v)
{
	name(w, key);
	buf_u64(w->out, v);
}

static void write_names(struct writer *w, const struct option *row)
{
	name(w, "enum");
	buf_char(w->out, '[');
	for (size_t i = 0; row->names[i]; i++) {
		buf_str(w->out, i ? ", " : "");
		string(w->out, row->names[i]);
	}
	buf_char(w->out, ']');
}

static void write_length(struct writer *w, const char *least, const char *most, const struct option *row)
{
	if (row->min)
		number(w, least, row->min);
	if (row->max)
		number(w, most, row->max);
}

static void write_words(struct writer *w, const struct option *row)
{
	member(w, "type", "array");
	name(w, "items");
	open_object(w);
	write_names(w, row);
	close_object(w);
}

/* One word, or a list of words, under names of events where the keys are such. */
static void write_map(struct writer *w, const struct option *row)
{
	const char *comma = "";

	raw(w, "type", "[\"object\", \"null\"]");
	write_length(w, "minProperties", "maxProperties", row);
	if (row->unit && !strcmp(row->unit, "event")) {
		name(w, "propertyNames");
		open_object(w);
		name(w, "enum");
		buf_char(w->out, '[');
		for (const struct sensor *const *s = sensor_table; *s; s++)
			for (size_t i = 0; i < (*s)->n_kinds; i++, comma = ", ") {
				buf_str(w->out, comma);
				string(w->out, (*s)->kinds[i].name);
			}
		buf_char(w->out, ']');
		close_object(w);
	}
	name(w, "additionalProperties");
	open_object(w);
	name(w, "anyOf");
	buf_char(w->out, '[');
	open_object(w);
	write_names(w, row);
	close_object(w);
	buf_str(w->out, ", ");
	open_object(w);
	write_words(w, row);
	close_object(w);
	buf_char(w->out, ']');
	close_object(w);
}

static void write_list(struct writer *w, const struct option *row)
{
	member(w, "type", "array");
	write_length(w, "minItems", "maxItems", row);
	name(w, "items");
	open_object(w);
	member(w, "type", "string");
	if (row->type == OPT_PATHS)
		member(w, "pattern", "^/");
	close_object(w);
}

static void write_type(struct writer *w, const struct option *row)
{
	switch (row->type) {
	case OPT_BOOL:
		member(w, "type", "boolean");
		return;
	case OPT_U32:
	case OPT_U64:
		member(w, "type", "integer");
		number(w, "minimum", row->min);
		if (row->max || row->type == OPT_U32)
			number(w, "maximum", row->max ? row->max : UINT32_MAX);
		return;
	case OPT_BYTES:
		raw(w, "type", "[\"string\", \"integer\"]");
		member(w, "pattern", "^[0-9]+ *(B|KiB|MiB|GiB)?$");
		number(w, "minimum", row->min);
		if (row->max)
			number(w, "maximum", row->max);
		return;
	case OPT_DURATION:
		raw(w, "type", "[\"string\", \"integer\"]");
		member(w, "pattern", "^(0|[0-9]+ *(ns|us|ms|s|m|h|d))$");
		/* Without a unit there is only zero. */
		number(w, "maximum", 0);
		return;
	case OPT_STR:
		member(w, "type", "string");
		return;
	case OPT_PATH:
		member(w, "type", "string");
		member(w, "pattern", "^(/.*)?$");
		return;
	case OPT_ENUM:
		write_names(w, row);
		return;
	case OPT_STRS:
	case OPT_PATHS:
		write_list(w, row);
		return;
	case OPT_WORDS:
		write_words(w, row);
		return;
	case OPT_MAP:
		write_map(w, row);
		return;
	}
}

static void write_strings(const struct option_list *list, struct buf *out)
{
	buf_char(out, '[');
	for (size_t i = 0; i < list->n; i++) {
		buf_str(out, i ? ", " : "");
		string(out, list->items[i]);
	}
	buf_char(out, ']');
}

static void write_default(struct writer *w, const struct option *row, const void *options)
{
	const void *at = (const char *)options + row->off;
	auto_buf struct buf text = { .max = 1 << 16 };

	name(w, "default");
	option_print(row, options, &text);
	if (row->type == OPT_BOOL || row->type == OPT_U32 || row->type == OPT_U64)
		buf_str(w->out, buf_text(&text));
	else if (row->type == OPT_STR || row->type == OPT_PATH)
		string(w->out, *(char *const *)at);
	else if (row->type == OPT_STRS || row->type == OPT_PATHS)
		write_strings(at, w->out);
	else if (row->type == OPT_MAP)
		buf_str(w->out, "{}");
	else if (row->type == OPT_WORDS)
		buf_str(w->out, "[]");
	else
		string(w->out, buf_text(&text));
}

static void write_option(struct writer *w, const struct config_section *s, const struct option *row)
{
	auto_buf struct buf text = { .max = 1 << 16 };

	name(w, row->name);
	open_object(w);
	reference_sentence(&text, row->doc);
	buf_str(&text, " Takes ");
	reference_takes(row, &text);
	buf_printf(&text, "; a change %s.", reference_change(s, row));
	member(w, "description", buf_text(&text));
	write_type(w, row);
	if (row->type != OPT_WORDS) /* its default is bits; the sentence above is enough */
		write_default(w, row, config_section(w->config, s->path));
	close_object(w);
}

static void write_enabled(struct writer *w, const struct config_section *s)
{
	name(w, "enabled");
	open_object(w);
	member(w, "description", "Is it on?");
	member(w, "type", "boolean");
	raw(w, "default", s->off_by_default ? "false" : "true");
	close_object(w);
}

/* Is `path` one step below `above`? That step. */
static const char *child_of(const char *path, const char *above)
{
	size_t n = strlen(above);

	if (strncmp(path, above, n) != 0 || !path[n] || (n && path[n] != '.'))
		return NULL;
	path += n + (n != 0);
	return strchr(path, '.') ? NULL : path;
}

/* Sections nest as their paths do; each group ("sensors") is a section of the schema too. */
static void write_section(struct writer *w, const struct config_section *s)
{
	const struct config_schema *schema = config_schema_of(w->config);

	if (s->summary && *s->path) {
		auto_buf struct buf text = { .max = 1 << 16 };

		reference_sentence(&text, s->summary);
		member(w, "description", buf_text(&text));
	}
	raw(w, "type", "[\"object\", \"null\"]");
	raw(w, "additionalProperties", "false");
	name(w, "properties");
	open_object(w);
	if (s->can_disable)
		write_enabled(w, s);
	for (size_t i = 0; i < s->n_rows; i++)
		write_option(w, s, &s->rows[i]);
	for (size_t i = 0; i < schema->n_sections; i++) {
		const char *step = child_of(schema->sections[i].path, s->path);

		if (!step)
			continue;
		name(w, step);
		open_object(w);
		write_section(w, &schema->sections[i]);
		close_object(w);
	}
	close_object(w);
}

int reference_schema_json(const char *root, struct buf *out)
{
	const struct config_schema *schema;
	AUTO(config) config = NULL;
	struct writer w = { .out = out };
	int r;

	(void)root;
	r = reference_config(&schema, &config);
	if (r < 0)
		return r;
	w.config = config;
	open_object(&w);
	member(&w, "$schema", "http://json-schema.org/draft-07/schema#");
	member(&w, "$comment", "Written by `make reference` from the tables. Change those, not this.");
	member(&w, "title", "Shrike configuration");
	for (size_t i = 0; i < schema->n_sections; i++)
		if (!*schema->sections[i].path)
			write_section(&w, &schema->sections[i]);
	close_object(&w);
	buf_char(out, '\n');
	return 0;
}
