/* SPDX-License-Identifier: Apache-2.0 */
/* rules_show - shrike rules list, show and explain: what rules there are, and what one of them says and does. */
#include <inttypes.h>
#include <string.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "cli/rules.h"
#include "cli/text.h"
#include "hunt/explain.h"
#include "predicate/script.h"

enum { LABEL = 17, TEXT_BYTES = 1 << 20 };

const char *rules_kind(const struct book_rule *rule)
{
	static const char *const names[] = {
		[QUERY_CONDITION] = "event", [QUERY_EVENT] = "event", [QUERY_SEQUENCE] = "sequence",
		[QUERY_SAMPLE] = "sample",   [QUERY_JOIN] = "join",
	};

	return rule->script ? "script" : names[rule->query->kind];
}

/* The most exact id of what a rule shows. */
static const char *attack_id(const struct book_attack *a)
{
	return a->sub_id ? a->sub_id : a->technique_id ? a->technique_id : a->tactic_id;
}

static void attack_ids(const struct book_rule *rule, struct buf *out)
{
	bool any = false;

	for (size_t i = 0; i < rule->n_attack; i++)
		if (attack_id(&rule->attack[i])) {
			buf_printf(out, "%s%s", any ? " " : "", attack_id(&rule->attack[i]));
			any = true;
		}
}

/* ---- JSON ------------------------------------------------------------------------------------- */

static void json_texts(struct rules_run *r, const char *name, const char *const *texts, size_t n)
{
	if (!n)
		return;
	buf_printf(&r->out, ",\"%s\":[", name);
	for (size_t i = 0; i < n; i++) {
		buf_str(&r->out, i ? "," : "");
		(void)json_write_str(&r->out, texts[i], strlen(texts[i]));
	}
	buf_char(&r->out, ']');
}

static void json_attack(struct rules_run *r, const struct book_rule *rule)
{
	if (!rule->n_attack)
		return;
	buf_str(&r->out, ",\"attack\":[");
	for (size_t i = 0; i < rule->n_attack; i++) {
		const struct book_attack *a = &rule->attack[i];
		const char *technique = a->sub_id ? a->sub_id : a->technique_id;

		buf_str(&r->out, i ? ",{" : "{");
		if (a->tactic_id)
			buf_printf(&r->out, "\"tactic\":\"%s\"%s", a->tactic_id, technique ? "," : "");
		if (technique)
			buf_printf(&r->out, "\"technique\":\"%s\"", technique);
		buf_char(&r->out, '}');
	}
	buf_char(&r->out, ']');
}

/* What the list says of a rule; `whole`: all that it says. */
static void json_rule(struct rules_run *r, const struct book_rule *rule, bool whole)
{
	auto_buf struct buf text = { .max = TEXT_BYTES };

	buf_str(&r->out, "{\"id\":");
	(void)json_write_str(&r->out, rule->id, strlen(rule->id));
	rules_member(r, "name", rule->name);
	rules_member(r, "severity", book_severity_names[rule->severity]);
	buf_printf(&r->out, ",\"risk\":%u", rule->risk);
	rules_member(r, "version", rule->version);
	rules_member(r, "mode", book_mode_names[rule->mode]);
	rules_member(r, "source", book_source_names[rule->source]);
	rules_member(r, "kind", rules_kind(rule));
	json_attack(r, rule);
	json_texts(r, "tags", rule->tags, rule->n_tags);
	buf_printf(&r->out, ",\"exceptions\":%zu,\"tests\":%zu", rule->n_exceptions, rule->n_tests);
	rules_member(r, "author", rule->author);
	rules_member(r, "license", rule->license);
	if (whole) {
		rules_member(r, "description", rule->description);
		rules_member(r, "false_positives", rule->false_positives);
		rules_member(r, "next", rule->next);
		json_texts(r, "references", rule->references, rule->n_references);
		rules_member(r, "query", rule->query->text);
		if (rule->query->macros && book_write_out(r->book, rule->query, &text) == 0)
			rules_member(r, "written_out", buf_text(&text));
	}
	rules_member(r, "file", rule->file);
	buf_printf(&r->out, ",\"line\":%u,\"column\":%u}\n", rule->line, rule->column);
	rules_flush(r, 1 << 16);
}

/* ---- list ------------------------------------------------------------------------------------- */

static void put_problems(struct rules_run *r)
{
	for (size_t i = 0; i < r->book->n_problems; i++)
		if (r->o->output == OUTPUT_TABLE)
			rules_problem(r, &r->book->problem[i]);
	if (r->o->output == OUTPUT_TABLE)
		(void)rules_fields(r);
}

enum exit_code rules_list(struct rules_run *r)
{
	static const char *const titles[] = { "ID", "SEVERITY", ">RISK", "SOURCE", "KIND", "ATTACK", "NAME", NULL };
	const struct book *b = r->book;
	auto_table struct table t;

	table_init(&t, titles);
	put_problems(r);
	for (size_t i = 0; i < b->n_rules; i++) {
		const struct book_rule *rule = &b->rule[i];
		auto_buf struct buf ids = { .max = TEXT_BYTES };

		if (r->o->output == OUTPUT_JSON) {
			json_rule(r, rule, false);
			continue;
		}
		attack_ids(rule, &ids);
		table_cell(&t, "%s", rule->id);
		table_cell(&t, "%s", book_severity_names[rule->severity]);
		table_cell(&t, "%u", rule->risk);
		table_cell(&t, "%s", book_source_names[rule->source]);
		table_cell(&t, "%s%s", rules_kind(rule), rule->mode == BOOK_OFF ? " (off)" : "");
		table_cell(&t, "%s", buf_text(&ids));
		table_cell(&t, "%s", rule->name);
	}
	if (r->o->output == OUTPUT_TABLE && b->n_rules)
		table_print(&t, 0, &r->out);
	return b->n_wrong ? EXIT_NO : EXIT_OK;
}

/* ---- show ------------------------------------------------------------------------------------- */

/* A label, and a text with as many lines as it has. */
static void field(struct rules_run *r, const char *label, const char *text)
{
	const char *at = text, *before = label;

	while (at && *at) {
		size_t n = strcspn(at, "\n");

		rules_line(r, "%-*s%.*s", LABEL, before, (int)n, at);
		at += n + (at[n] == '\n');
		before = "";
	}
}

/* What the macros come to that a query calls; nothing when it calls none. */
static void show_written_out(struct rules_run *r, const char *label, const struct query *q)
{
	auto_buf struct buf text = { .max = TEXT_BYTES };

	if (q->macros && book_write_out(r->book, q, &text) == 0)
		field(r, label, buf_text(&text));
}

static void show_lists(struct rules_run *r, const struct book_rule *rule)
{
	for (size_t i = 0; i < rule->n_attack; i++) {
		const struct book_attack *a = &rule->attack[i];

		rules_line(r, "%-*s%s%s%s%s%s%s%s%s%s", LABEL, i ? "" : "attack", a->tactic_id ? a->tactic_id : "",
			   a->tactic ? " " : "", a->tactic ? a->tactic : "",
			   a->tactic_id && a->technique_id ? ", " : "",
			   a->sub_id         ? a->sub_id
			   : a->technique_id ? a->technique_id
					     : "",
			   a->technique ? " " : "", a->technique ? a->technique : "", a->sub ? ": " : "",
			   a->sub ? a->sub : "");
	}
	for (size_t i = 0; i < rule->n_tags; i++)
		field(r, i ? "" : "tags", rule->tags[i]);
	for (size_t i = 0; i < rule->n_references; i++)
		field(r, i ? "" : "references", rule->references[i]);
	for (size_t i = 0; i < rule->n_exceptions; i++) {
		const struct book_exception *e = &rule->exception[i];

		rules_line(r, "%-*s%s: %s%s%s", LABEL, i ? "" : "exceptions", e->name, e->where->text,
			   e->reason ? "; " : "", e->reason ? e->reason : "");
		show_written_out(r, "  written out", e->where);
	}
}

static void show_throttle(struct rules_run *r, const struct book_rule *rule)
{
	auto_buf struct buf text = { .max = TEXT_BYTES };

	if (!rule->throttle.for_ns)
		return;
	buf_str(&text, "for ");
	text_duration(&text, rule->throttle.for_ns);
	for (size_t i = 0; i < rule->throttle.n_by; i++)
		buf_printf(&text, "%s%s", i ? ", " : ", by ", field_name(rule->throttle.by[i]));
	field(r, "throttle", buf_text(&text));
}

static const struct book_rule *the_rule(struct rules_run *r)
{
	const struct book_rule *rule = book_find(r->book, r->id);

	if (!rule) {
		put_problems(r);
		rules_flush(r, 0);
		cli_say(r->cli, "there is no rule \"%s\" in %s", r->id, r->path);
	}
	return rule;
}

enum exit_code rules_show(struct rules_run *r)
{
	const struct book_rule *rule = the_rule(r);

	if (!rule)
		return EXIT_NO;
	if (r->o->output == OUTPUT_JSON) {
		json_rule(r, rule, true);
		return EXIT_OK;
	}
	field(r, "id", rule->id);
	field(r, "name", rule->name);
	rules_line(r, "%-*s%s, risk %u", LABEL, "severity", book_severity_names[rule->severity], rule->risk);
	field(r, "version", rule->version);
	field(r, "mode", book_mode_names[rule->mode]);
	field(r, "author", rule->author);
	field(r, "license", rule->license);
	rules_line(r, "%-*s%s:%u, %s", LABEL, "file", rule->file, rule->line, book_source_names[rule->source]);
	field(r, "description", rule->description);
	field(r, "false positives", rule->false_positives);
	field(r, "next", rule->next);
	show_lists(r, rule);
	show_throttle(r, rule);
	field(r, rule->script ? "when" : "query", rule->query->text);
	show_written_out(r, "written out", rule->query);
	rules_line(r, "%-*s%zu", LABEL, "tests", rule->n_tests);
	return EXIT_OK;
}

/* ---- explain ---------------------------------------------------------------------------------- */

enum exit_code rules_explain(struct rules_run *r)
{
	const struct book_rule *rule = the_rule(r);
	auto_buf struct buf text = { .max = 16 << 20 };

	if (!rule)
		return EXIT_NO;
	buf_printf(&text, "runs: %s\n",
		   rule->mode == BOOK_OFF       ? "nowhere: it is off"
		   : book_is_local(rule->query) ? "on the shards, each for itself"
						: "in one place, once all shards have told of what is older");
	if (rule->script)
		buf_printf(&text, "script: of %zu bytes, has the last word on each event that the query finds\n",
			   script_size(rule->script));
	explain_query(rule->query, &text);
	if (explain_index(rule->query, &text) < 0)
		return cli_failed(r->cli);
	if (r->o->output == OUTPUT_JSON) {
		buf_str(&r->out, "{\"id\":");
		(void)json_write_str(&r->out, rule->id, strlen(rule->id));
		rules_member(r, "explained", buf_text(&text));
		buf_str(&r->out, "}\n");
		return EXIT_OK;
	}
	(void)rules_fields(r);
	for (const char *p = buf_text(&text); *p;) {
		size_t n = strcspn(p, "\n");

		text_safe(&r->out, p, n);
		buf_char(&r->out, '\n');
		p += n + (p[n] == '\n');
	}
	return EXIT_OK;
}
