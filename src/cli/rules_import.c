/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rules_import - shrike rules import: which rules of a checkout can we run, and why not the others?
 *
 * Each rule is tried as the engine would take it. With --into, files whose rules are all good are copied as they are,
 * below the same names, for an agent to read.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
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
	size_t n_reasons, loaded, refused, warnings, copied, own, sigma, elastic;
	bool *can_run; /* of each rule of the book */
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

/* ---- copies ----------------------------------------------------------------------------------- */

/* Are all rules of this file good? The rules of a book share the name of their file. */
static bool is_good(const struct import *im, const char *file)
{
	const struct book *b = im->r->book;

	for (size_t i = 0; i < b->n_problems; i++)
		if (!b->problem[i].is_warning && b->problem[i].file == file)
			return false;
	for (size_t i = 0; i < b->n_rules; i++)
		if (!im->can_run[i] && b->rule[i].file == file)
			return false;
	return true;
}

/* The folders that a path needs, below one that is there. */
static int make_folders(char *path, size_t from)
{
	for (char *p = path + from; (p = strchr(p, '/')); p++) {
		int r;

		*p = 0;
		r = mkdir(path, 0755) < 0 && errno != EEXIST ? err_sys(errno, "make the folder %s", path) : 0;
		*p = '/';
		if (r < 0)
			return r;
	}
	return 0;
}

static int copy_bytes(const char *from, const char *to)
{
	auto_close int in = open(from, O_RDONLY | O_CLOEXEC), out = -1;
	char part[16384];
	ssize_t n;

	if (in < 0)
		return err_sys(errno, "open %s", from);
	/* Never over what is there: two sources may have files of one name. */
	out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (out < 0)
		return err_sys(errno, "write %s", to);
	while ((n = read(in, part, sizeof(part))) > 0)
		if (write(out, part, (size_t)n) != n)
			return err_sys(errno ? errno : EIO, "write %s", to);
	return n < 0 ? err_sys(errno, "read %s", from) : 0;
}

/* Rules of one file follow each other only by chance: each file is copied with the first of its rules. */
static bool is_first_of_file(const struct book *b, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (b->rule[k].file == b->rule[i].file)
			return false;
	return true;
}

/* `name` below the folder that is imported, to the same name below the other. */
static int copy_file(struct import *im, const char *name)
{
	const char *into = im->r->o->into, *below = name, *slash = strrchr(name, '/');
	size_t n = strlen(im->r->path);
	char to[PATH_MAX];
	int r;

	if (!strncmp(name, im->r->path, n) && (name[n] == '/' || im->r->path[n - 1] == '/'))
		below += n + (name[n] == '/');
	else if (slash)
		below = slash + 1;
	if (snprintf(to, sizeof(to), "%s/%s", into, below) >= (int)sizeof(to))
		return err_new(-ENAMETOOLONG, "%s/%s: too long a path", into, below);
	r = mkdir(into, 0755) < 0 && errno != EEXIST ? err_sys(errno, "make the folder %s", into) : 0;
	if (r == 0)
		r = make_folders(to, strlen(into) + 1);
	return r < 0 ? r : copy_bytes(name, to);
}

/* The file of a rule, with the module that it names: that of another rule may be there already. */
static int copy_rule(struct import *im, const struct book_rule *rule)
{
	const char *slash = strrchr(rule->file, '/');
	char module[PATH_MAX];
	int r = copy_file(im, rule->file);

	if (r < 0)
		return r;
	im->copied++;
	if (!rule->module)
		return 0;
	(void)snprintf(module, sizeof(module), "%.*s%s", slash ? (int)(slash + 1 - rule->file) : 0, rule->file,
		       rule->module);
	return copy_file(im, module);
}

static int copy_all(struct import *im)
{
	const struct book *b = im->r->book;
	int r = 0;

	for (size_t i = 0; r == 0 && i < b->n_rules; i++)
		if (is_first_of_file(b, i) && is_good(im, b->rule[i].file))
			r = copy_rule(im, &b->rule[i]);
	return r;
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
			   "\"warnings\":%zu,\"copied\":%zu,\"reasons\":{",
			   r->book->n_files, im->loaded, im->own, im->sigma, im->elastic, im->refused, im->warnings,
			   im->copied);
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
	if (im->copied)
		rules_line(r, "%6zu  files were copied into %s", im->copied, r->o->into);
}

enum exit_code rules_import(struct rules_run *r)
{
	const struct book *b = r->book;
	auto_free bool *good = calloc(b->n_rules + 1, sizeof(*good));
	struct import im = { .r = r, .can_run = good };

	if (!good) {
		cli_say(r->cli, "no memory for rules");
		return EXIT_NO;
	}
	put_problems(&im);
	for (size_t i = 0; i < b->n_rules && !r->cli->write_error; i++) {
		good[i] = can_run(&im, &b->rule[i]);
		if (good[i])
			put_loaded(&im, &b->rule[i]);
	}
	if (r->o->into[0] && copy_all(&im) < 0)
		return cli_failed(r->cli);
	put_summary(&im);
	return im.loaded ? EXIT_OK : EXIT_NO;
}
