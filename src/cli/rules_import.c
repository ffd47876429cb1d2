/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rules_import - shrike rules import: which rules of a checkout can we run, and why not the others?
 *
 * Each rule is tried as the engine would take it. With --into, files whose rules are all good are copied
 * (rules_copy.c).
 */
#include <errno.h>
#include <string.h>
#include "base/err.h"
#include "cli/rules.h"
#include "sequence/runner.h"

enum { REASONS_MAX = 64 };

/* Rules that were not loaded for one reason. */
struct reason {
	const char *feature; /* NULL: they are wrong in themselves */
	size_t n;
};

struct import {
	struct rules_run *r;
	struct reason reason[REASONS_MAX];
	size_t n_reasons, loaded, refused, warnings, own, sigma, elastic;
	struct rules_copied copied;
};

/* ---- reasons ---------------------------------------------------------------------------------- */

static void count(struct import *im, const char *feature)
{
	for (size_t i = 0; i < im->n_reasons; i++)
		if (im->reason[i].feature == feature ||
		    (feature && im->reason[i].feature && !strcmp(im->reason[i].feature, feature))) {
			im->reason[i].n++;
			return;
		}
	if (im->n_reasons < REASONS_MAX)
		im->reason[im->n_reasons++] = (struct reason) { feature, 1 };
}

static bool is_same_rule(const struct book_problem *a, const struct book_problem *b)
{
	return !strcmp(a->file, b->file) && (a->rule ? b->rule && !strcmp(a->rule, b->rule) : !b->rule);
}

/* Problems stand in the order of their places: those of one rule follow each other. */
static void put_problems(struct import *im)
{
	const struct book *b = im->r->book;
	const struct book_problem *last = NULL;

	for (size_t i = 0; i < b->n_problems; i++) {
		const struct book_problem *p = &b->problem[i];

		rules_problem(im->r, p);
		im->warnings += p->is_warning;
		if (p->is_warning || (last && is_same_rule(last, p)))
			continue;
		last = p;
		im->refused++;
		count(im, p->feature);
	}
}

/* ---- rules ------------------------------------------------------------------------------------ */

/* Why the engine refuses what the reader took; NULL: it is wrong in itself. */
static const char *reason_of(const struct book_rule *rule, int r)
{
	if (r == -E2BIG)
		return "large_regex";
	return rule->query->kind == QUERY_SAMPLE || rule->query->n_pipes ? "endless" : NULL;
}

/* Would the engine run it? Patterns are compiled only now. */
static bool can_run(struct import *im, const struct book_rule *rule)
{
	const struct runner_query q = { .id = rule->id, .query = rule->query };
	const struct ruleset_options options = { .endless = true };
	struct book_problem problem = {
		.file = rule->file, .line = rule->line, .column = rule->column, .rule = rule->id
	};
	struct ruleset *set = NULL;
	const int r = ruleset_new(&q, 1, &options, &set);

	ruleset_unref(set);
	if (r == 0)
		return true;
	problem.message = err_trail();
	problem.feature = reason_of(rule, r);
	rules_problem(im->r, &problem);
	err_clear();
	im->refused++;
	count(im, problem.feature);
	return false;
}

static void put_loaded(struct import *im, const struct book_rule *rule)
{
	struct rules_run *r = im->r;

	im->loaded++;
	im->own += rule->source == BOOK_OWN;
	im->sigma += rule->source == BOOK_SIGMA;
	im->elastic += rule->source == BOOK_ELASTIC;
	if (r->o->output == OUTPUT_JSON) {
		buf_str(&r->out, "{\"result\":\"loaded\"");
		rules_member(r, "rule", rule->id);
		rules_member(r, "name", rule->name);
		rules_member(r, "source", book_source_names[rule->source]);
		rules_member(r, "kind", rules_kind(rule));
		rules_member(r, "file", rule->file);
		buf_printf(&r->out, ",\"line\":%u,\"column\":%u}\n", rule->line, rule->column);
		rules_flush(r, 1 << 16);
	} else {
		rules_line(r, "%s:%u:%u: loaded: %s: %s", rule->file, rule->line, rule->column, rule->id, rule->name);
	}
}

/* ---- the whole -------------------------------------------------------------------------------- */

static int by_count(const void *a, const void *b)
{
	const struct reason *ra = a, *rb = b;

	if (ra->n != rb->n)
		return ra->n < rb->n ? 1 : -1;
	return strcmp(ra->feature ? ra->feature : "", rb->feature ? rb->feature : "");
}

static void put_summary(struct import *im)
{
	struct rules_run *r = im->r;

	qsort(im->reason, im->n_reasons, sizeof(*im->reason), by_count);
	if (r->o->output == OUTPUT_JSON) {
		buf_printf(&r->out,
			   "{\"files\":%zu,\"loaded\":%zu,\"own\":%zu,\"sigma\":%zu,\"elastic\":%zu,\"refused\":%zu,"
			   "\"warnings\":%zu,\"copied\":%zu,\"unchanged\":%zu,\"kept\":%zu,\"reasons\":{",
			   r->book->n_files, im->loaded, im->own, im->sigma, im->elastic, im->refused, im->warnings,
			   im->copied.fresh, im->copied.same, im->copied.other);
		for (size_t i = 0; i < im->n_reasons; i++)
			buf_printf(&r->out, "%s\"%s\":%zu", i ? "," : "",
				   im->reason[i].feature ? im->reason[i].feature : "wrong", im->reason[i].n);
		buf_str(&r->out, "}}\n");
		return;
	}
	rules_line(r, "%zu loaded (%zu own, %zu Sigma, %zu Elastic), %zu refused, from %zu file%s", im->loaded, im->own,
		   im->sigma, im->elastic, im->refused, r->book->n_files, r->book->n_files == 1 ? "" : "s");
	for (size_t i = 0; i < im->n_reasons; i++)
		if (im->reason[i].feature)
			rules_line(r, "%6zu  need %s: %s", im->reason[i].n, im->reason[i].feature,
				   book_feature_doc(im->reason[i].feature) ? book_feature_doc(im->reason[i].feature)
									   : "");
		else
			rules_line(r, "%6zu  are wrong as they are", im->reason[i].n);
	if (r->o->into[0])
		rules_line(r, "%6zu  %s copied into %s", im->copied.fresh,
			   im->copied.fresh == 1 ? "file was" : "files were", r->o->into);
	if (im->copied.same)
		rules_line(r, "%6zu  %s there already", im->copied.same, im->copied.same == 1 ? "was" : "were");
	if (im->copied.other)
		rules_line(r, "%6zu  %s not: what is there has other contents", im->copied.other,
			   im->copied.other == 1 ? "was" : "were");
}

enum exit_code rules_import(struct rules_run *r)
{
	const struct book *b = r->book;
	auto_free bool *good = calloc(b->n_rules + 1, sizeof(*good));
	struct import im = { .r = r };
	int res = 0;

	if (!good) {
		cli_say(r->cli, "no memory for rules");
		return EXIT_NO;
	}
	put_problems(&im);
	im.warnings += rules_fields(r);
	for (size_t i = 0; i < b->n_rules && !r->cli->write_error; i++) {
		good[i] = can_run(&im, &b->rule[i]);
		if (good[i])
			put_loaded(&im, &b->rule[i]);
	}
	if (r->o->into[0])
		res = rules_copy(r, good, &im.copied);
	put_summary(&im);
	rules_flush(r, 1);
	return res < 0 ? cli_failed(r->cli) : im.loaded ? EXIT_OK : EXIT_NO;
}
