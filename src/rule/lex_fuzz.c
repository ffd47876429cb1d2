/* SPDX-License-Identifier: Apache-2.0 */
/* Any text: words come in order, each within the text, until the end or an error with a place. */
#include "base/utf8.h"
#include "rule/fuzz_rule.h"
#include "rule/lex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena arena;
	struct query_options options;
	struct lexer lx = { 0 };
	struct token t;
	struct diag d;
	size_t before = 0;
	char word[64];

	if (!size || size > RULE_TEXT_MAX || !utf8_is_valid((const char *)data + 1, size - 1))
		return 0;
	options = fuzz_options(data[0]);
	arena_init(&arena, RULE_ARENA_MAX);
	lx = (struct lexer) {
		.text = (const char *)data + 1, .n = size - 1, .options = &options, .arena = &arena, .diag = &d
	};
	do {
		if (lex_next(&lx, &t) < 0) {
			fuzz_check_diag(&d, lx.n);
			return 0;
		}
		must(t.at >= before && t.at <= lx.n && t.len <= lx.n - t.at && (t.len || t.kind == TOK_END));
		if (t.kind == TOK_STRING)
			must(t.str.n <= RULE_STRING_MAX && !t.str.p[t.str.n] && utf8_is_valid(t.str.p, t.str.n));
		token_describe(&t, lx.text, word, sizeof(word));
		must(utf8_is_valid(word, strlen(word)));
		before = t.at + t.len;
	} while (t.kind != TOK_END);
	return 0;
}
