/* SPDX-License-Identifier: Apache-2.0 */
/* rules_md - docs/reference/rules.md: the rules that we ship, by the tactic that each of them is mostly about. */
#include <limits.h>
#include <string.h>
#include "base/err.h"
#include "reference/reference.h"
#include "rulebook/book.h"

enum { TACTICS_MAX = 64 };

static const char head[] = "# The rules that come with Shrike\n"
			   "\n"
			   "<!-- Written by `make reference` from the files in rules/. Change those, not this. -->\n"
			   "\n"
			   "Each rule is a file of its own, with its query, what an innocent match looks like, what to "
			   "look at next, and events\n"
			   "for which it must and must not match. [rules/README.md](../../rules/README.md) says how to "
			   "write a good one. A rule that\n"
			   "belongs to several tactics stands under the first that it names.\n";

/* In the order of the ids of the first rules that name them. */
static size_t collect_tactics(const struct book *book, const char **ret_tactics)
{
	size_t n = 0;

	for (size_t i = 0; i < book->n_rules; i++) {
		const char *id = book->rule[i].n_attack ? book->rule[i].attack[0].tactic_id : NULL;
		size_t at = 0;

		while (id && at < n && strcmp(ret_tactics[at], id) != 0)
			at++;
		if (id && at == n && n < TACTICS_MAX)
			ret_tactics[n++] = id;
	}
	return n;
}

static int by_id(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void put_techniques(struct buf *out, const struct book_rule *r)
{
	const char *before = "";

	for (size_t i = 0; i < r->n_attack; i++) {
		const char *id = r->attack[i].sub_id ? r->attack[i].sub_id : r->attack[i].technique_id;
		bool again = false;

		for (size_t k = 0; k < i && id; k++) {
			const char *other = r->attack[k].sub_id ? r->attack[k].sub_id : r->attack[k].technique_id;

			again |= other && !strcmp(other, id);
		}
		if (!id || again)
			continue;
		buf_printf(out, "%s%s", before, id);
		before = ", ";
	}
}

static void put_rule(struct buf *out, const struct book_rule *r, size_t n_root)
{
	buf_printf(out, "| [%s](../../%s) | ", r->id, r->file + n_root);
	reference_md(out, r->name);
	buf_printf(out, " | %s | ", book_severity_names[r->severity]);
	put_techniques(out, r);
	buf_printf(out, " | %s |\n", r->query->kind == QUERY_SEQUENCE ? "sequence" : "event");
}

static void put_tactic(struct buf *out, const struct book *book, const char *tactic, size_t n_root)
{
	bool begun = false;

	for (size_t i = 0; i < book->n_rules; i++) {
		const struct book_rule *r = &book->rule[i];

		if (!r->n_attack || !r->attack[0].tactic_id || strcmp(r->attack[0].tactic_id, tactic) != 0)
			continue;
		if (!begun)
			buf_printf(
				out,
				"\n## %s\n\n| rule | it says | severity | techniques | of |\n|---|---|---|---|---|\n",
				r->attack[0].tactic ? r->attack[0].tactic : tactic);
		begun = true;
		put_rule(out, r, n_root);
	}
}

/* What rules call by name, for those who write more of them. */
static void put_macros(struct buf *out, const struct book *book)
{
	const struct macro *m;

	if (!macros_at(book->macros, 0))
		return;
	buf_str(out,
		"\n## Macros\n\nWhat several rules say in the same sense, in [macros.yaml](../../rules/macros.yaml) "
		"([how they work](../rules.md#macros)).\n\n| macro | true of |\n|---|---|\n");
	for (size_t i = 0; (m = macros_at(book->macros, i)); i++) {
		buf_printf(out, "| `%s(", m->name);
		for (unsigned k = 0; k < m->n_parameters; k++)
			buf_printf(out, "%s%s", k ? ", " : "", m->parameter[k]);
		buf_str(out, ")` | ");
		reference_md(out, m->description ? m->description : "");
		buf_str(out, " |\n");
	}
}

int reference_rules_md(const char *root, struct buf *out)
{
	const char *tactics[TACTICS_MAX];
	AUTO(book) book = NULL;
	char path[PATH_MAX];
	size_t n_sequences = 0, n_tactics;
	int r;

	(void)snprintf(path, sizeof(path), "%s/rules", root);
	r = book_read(path, NULL, &book);
	if (r == 0)
		r = book_must_be_whole(book);
	if (r < 0)
		return err_wrap(r, "read the shipped rules");
	for (size_t i = 0; i < book->n_rules; i++)
		n_sequences += book->rule[i].query->kind == QUERY_SEQUENCE;
	buf_str(out, head);
	buf_printf(out, "\n%zu rules, %zu of them sequences.\n", book->n_rules, n_sequences);
	n_tactics = collect_tactics(book, tactics);
	qsort(tactics, n_tactics, sizeof(*tactics), by_id);
	for (size_t i = 0; i < n_tactics; i++)
		put_tactic(out, book, tactics[i], strlen(root) + 1);
	put_macros(out, book);
	return 0;
}
