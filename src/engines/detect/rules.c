/* SPDX-License-Identifier: Apache-2.0 */
#include "engines/detect/rules.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/err.h"
#include "base/log.h"

enum { WARNINGS_TOLD = 8, WARNING_MAX = 4096 };

static int make_part(struct book *book, struct rules_part *part, bool local, enum predicate_backend backend)
{
	const struct ruleset_options options = { .endless = true, .backend = backend };

	part->queries = calloc(book->n_rules + 1, sizeof(*part->queries));
	part->of = calloc(book->n_rules + 1, sizeof(*part->of));
	part->told = calloc(book->n_rules + 1, sizeof(*part->told));
	if (!part->queries || !part->of || !part->told)
		return err_new(-ENOMEM, "no memory for rules");
	for (size_t i = 0; i < book->n_rules; i++) {
		const struct book_rule *rule = &book->rule[i];

		if (rule->mode == BOOK_OFF || book_is_local(rule->query) != local)
			continue;
		part->of[part->n] = rule;
		part->queries[part->n++] = (struct runner_query) { .id = rule->id, .query = rule->query };
	}
	return part->n ? ruleset_new(part->queries, part->n, &options, &part->set) : 0;
}

int rules_new(struct book *book, enum predicate_backend backend, struct rules **ret_rules)
{
	AUTO(rules) r = calloc(1, sizeof(*r));
	int res;

	if (!r)
		return err_new(-ENOMEM, "no memory for rules");
	r->refs = 1;
	r->book = book_ref(book);
	res = make_part(book, &r->local, true, backend);
	if (res == 0)
		res = make_part(book, &r->shared, false, backend);
	if (res == -ENOTSUP)
		return err_wrap(res, "engines.detect.backend: wasm cannot be had here");
	if (res < 0)
		return res;
	*ret_rules = take(r);
	return 0;
}

/* They run, but somebody may have meant something else. */
static void tell_warnings(const struct book *book)
{
	size_t told = 0, n = 0;

	for (size_t i = 0; i < book->n_problems; i++) {
		auto_buf struct buf text = { .max = WARNING_MAX };

		if (!book->problem[i].is_warning || n++ >= WARNINGS_TOLD)
			continue;
		told++;
		book_problem_write(&book->problem[i], &text);
		log_warning("of the rules", "what=\"%s\"", buf_text(&text));
	}
	if (n > told)
		log_warning("more of the rules, which `shrike rules list` shows", "warnings=%zu", n - told);
}

int rules_load(const char *path, enum predicate_backend backend, struct rules **ret_rules)
{
	AUTO(book) book = NULL;
	/* Where nobody said which rules to run, there may be none. */
	bool none = !path || !*path || (!strcmp(path, RULES_SHIPPED) && access(path, F_OK));
	int r = none ? book_read_text("no rules", "", 0, NULL, &book) : book_read(path, NULL, &book);

	if (r == 0)
		r = book_must_be_whole(book);
	if (r < 0)
		return r;
	r = rules_new(book, backend, ret_rules);
	if (r == 0)
		tell_warnings(book);
	return r < 0 ? err_wrap(r, "rules in %s", path) : 0;
}

static void part_free(struct rules_part *part)
{
	ruleset_unref(part->set);
	free(part->queries);
	free(part->of);
	free(part->told);
}

struct rules *rules_ref(struct rules *r)
{
	r->refs++;
	return r;
}

void rules_free(struct rules *r)
{
	if (!r || --r->refs)
		return;
	part_free(&r->local);
	part_free(&r->shared);
	book_free(r->book);
	free(r);
}
