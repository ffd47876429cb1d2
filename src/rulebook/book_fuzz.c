/* SPDX-License-Identifier: Apache-2.0 */
/* Any file of rules, or of macros: the first byte says what it is called. Rules that are whole, or problems with a
 * place. */
#include <stdlib.h>
#include <string.h>
#include "rulebook/book.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* libfyaml 0.7.12 leaks 512 bytes where a quoted text has many escapes; what we leak ourselves is not below it. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libfyaml.so\n";
}

#define must(e)                                                                                                        \
	do {                                                                                                           \
		if (!(e))                                                                                              \
			abort();                                                                                       \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = { "f.yml", "f.toml", "f.ndjson", "f" };
	const struct book_options options = { .keep_tests = true };
	const char *name;
	auto_buf struct buf out = { .max = 1 << 20 };
	AUTO(book) book = NULL;
	size_t wrong = 0;

	if (!size)
		return 0;
	name = data[0] == 'm' ? "macros.yml" : names[data[0] % 4];
	if (book_read_text(name, (const char *)data + 1, size - 1, &options, &book) < 0)
		return 0;
	for (size_t i = 0; i < book->n_rules; i++) {
		const struct book_rule *r = &book->rule[i];

		must(r->id && *r->id && r->name && r->version && r->query && r->risk >= 1 && r->risk <= 100);
		must(i == 0 || strcmp(book->rule[i - 1].id, r->id) < 0);
		must(book_find(book, r->id) == r);
		for (size_t k = 0; k < r->n_tests; k++)
			must(r->test[k].name && r->test[k].n_events);
		for (size_t k = 0; k < r->n_exceptions; k++)
			must(r->exception[k].name && r->exception[k].where);
	}
	for (size_t i = 0; i < book->n_problems; i++) {
		must(book->problem[i].file && book->problem[i].message[0]);
		book_problem_write(&book->problem[i], &out);
		wrong += !book->problem[i].is_warning;
	}
	must((book_must_be_whole(book) == 0) == (wrong == 0));
	return 0;
}
