/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rule_schema - config/rule.schema.json and config/macros.schema.json: what editors complete and check files of rules
 * and of macros by, from the reader's own tables.
 *
 * JSON Schema draft 7, as of the configuration. What a query says is beyond it: `shrike rules test` has the last word.
 */
#include <string.h>
#include "base/err.h"
#include "base/json.h"
#include "event/event.h"
#include "reference/reference.h"
#include "rulebook/book.h"
#include "rulebook/own.h"

struct writer {
	struct buf *out;
	unsigned depth;
};

static void string(struct writer *w, const char *text)
{
	(void)json_write_str(w->out, text, strlen(text));
}

static void line(struct writer *w)
{
	buf_char(w->out, '\n');
	for (unsigned i = 0; i < w->depth; i++)
		buf_str(w->out, "  ");
}

/* What follows the description of a key: its type and bounds, as members of its object. */
static void type_of(struct writer *w, const struct own_key *key);

static void object_of(struct writer *w, const struct own_key *keys)
{
	bool any = false;

	buf_str(w->out, "\"type\": \"object\", \"additionalProperties\": false, \"required\": [");
	for (const struct own_key *k = keys; k->name; k++)
		if (k->required) {
			buf_str(w->out, any ? ", " : "");
			string(w, k->name);
			any = true;
		}
	buf_str(w->out, "], \"properties\": {");
	w->depth++;
	for (const struct own_key *k = keys; k->name; k++) {
		buf_str(w->out, k == keys ? "" : ",");
		line(w);
		string(w, k->name);
		buf_str(w->out, ": { \"description\": ");
		string(w, k->doc);
		buf_str(w->out, ", ");
		type_of(w, k);
		buf_str(w->out, " }");
	}
	w->depth--;
	line(w);
	buf_char(w->out, '}');
}

static void list_of(struct writer *w, const struct own_key *keys)
{
	buf_printf(w->out, "\"type\": \"array\", \"maxItems\": %d, \"items\": { ", BOOK_LIST_MAX);
	object_of(w, keys);
	buf_str(w->out, " }");
}

static void type_of(struct writer *w, const struct own_key *key)
{
	switch (key->type) {
	case OWN_ID:
		buf_printf(w->out, "\"type\": \"string\", \"pattern\": \"^[a-z0-9-]{1,%u}$\"", key->max);
		break;
	case OWN_TEXT:
		/* An editor takes `version: 1` for a number, and an old one "on" for a truth; the reader takes any
		 * word. */
		buf_printf(w->out,
			   "\"type\": [\"string\", \"number\", \"boolean\"], \"minLength\": 1, \"maxLength\": %u",
			   key->max);
		break;
	case OWN_TEXTS:
		buf_printf(w->out,
			   "\"type\": [\"string\", \"array\"], \"maxItems\": %u, \"items\": { \"type\": \"string\", "
			   "\"maxLength\": %u }",
			   key->most ?: BOOK_LIST_MAX, key->max);
		break;
	case OWN_NUMBER:
		buf_printf(w->out, "\"type\": \"integer\", \"minimum\": %u, \"maximum\": %u", key->min, key->max);
		break;
	case OWN_WORD:
		buf_str(w->out, "\"enum\": [");
		for (size_t i = 0; key->words[i]; i++) {
			buf_str(w->out, i ? ", " : "");
			string(w, key->words[i]);
		}
		buf_char(w->out, ']');
		break;
	case OWN_TRUTH:
		buf_str(w->out, "\"type\": \"boolean\"");
		break;
	case OWN_DURATION:
		buf_str(w->out, "\"type\": \"string\", \"pattern\": \"^[0-9]+(ns|us|ms|s|m|h|d)$\"");
		break;
	case OWN_MAP:
		object_of(w, key->keys);
		break;
	case OWN_MAPS:
		list_of(w, key->keys);
		break;
	case OWN_ANY_MAP:
		buf_str(w->out, "\"type\": \"object\"");
		break;
	case OWN_ANY_MAPS:
		buf_printf(
			w->out,
			"\"type\": \"array\", \"minItems\": 1, \"maxItems\": %d, \"items\": { \"type\": \"object\" }",
			BOOK_TEST_EVENTS_MAX);
		break;
	}
}

int reference_rule_schema(const char *root, struct buf *out)
{
	struct writer w = { out, 1 };

	(void)root;
	buf_str(out,
		"{\n  \"$schema\": \"http://json-schema.org/draft-07/schema#\",\n"
		"  \"title\": \"Rules of Shrike\",\n"
		"  \"description\": \"One rule, or a list of them under `rules`; docs/rules.md is the guide.\",\n"
		"  \"oneOf\": [\n"
		"    { \"$ref\": \"#/definitions/rule\" },\n"
		"    { \"type\": \"object\", \"additionalProperties\": false, \"required\": [\"rules\"], "
		"\"properties\": {\n"
		"      \"rules\": { \"type\": \"array\", \"items\": { \"$ref\": \"#/definitions/rule\" } } } }\n  ],\n"
		"  \"definitions\": { \"rule\": { \"oneOf\": [");
	for (size_t i = 0; own_query_keys[i]; i++)
		buf_printf(out, "%s{ \"required\": [\"%s\"] }", i ? ", " : "", own_query_keys[i]);
	buf_str(out, "],\n  ");
	object_of(&w, own_rule_keys);
	buf_str(out, " } }\n}\n");
	return out->failed ? err_new(-E2BIG, "a schema of more than %d bytes", REFERENCE_PAGE_MAX) : 0;
}

int reference_macros_schema(const char *root, struct buf *out)
{
	struct writer w = { out, 1 };

	(void)root;
	buf_printf(out,
		   "{\n  \"$schema\": \"http://json-schema.org/draft-07/schema#\",\n"
		   "  \"title\": \"Macros of Shrike's rules\",\n"
		   "  \"description\": \"What rules of a folder say in the same sense, by name; docs/rules.md is the "
		   "guide.\",\n"
		   "  \"type\": \"object\", \"additionalProperties\": false, \"required\": [\"macros\"], "
		   "\"properties\": { \"macros\": {\n"
		   "  \"type\": \"object\", \"propertyNames\": { \"pattern\": \"^[A-Za-z_][A-Za-z0-9_]{0,%d}$\" },\n"
		   "  \"additionalProperties\": { ",
		   MACRO_NAME_MAX - 1);
	object_of(&w, own_macro_keys);
	buf_str(out, " } } }\n}\n");
	return out->failed ? err_new(-E2BIG, "a schema of more than %d bytes", REFERENCE_PAGE_MAX) : 0;
}
