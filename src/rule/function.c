/* SPDX-License-Identifier: Apache-2.0 */
#include "rule/function.h"
#include <string.h>
#include <strings.h>

enum { MANY = RULE_LIST_MAX };

#define CALL(n, id, a, least, most, t, ...)                                                                            \
	{ .name = (n),                                                                                                 \
	  .args = (a),                                                                                                 \
	  .min = (least),                                                                                              \
	  .max = (most),                                                                                               \
	  .form = FORM_CALL,                                                                                           \
	  .op = IR_CALL,                                                                                               \
	  .fn = (id),                                                                                                  \
	  .type = (t),                                                                                                 \
	  ##__VA_ARGS__ }
#define OPERATOR(n, o)                                                                                                 \
	{ .name = (n), .args = "nn", .min = 2, .max = 2, .form = FORM_OPERATOR, .op = (o), .type = RULE_NUMBER }
#define PATTERN(n, o, f)                                                                                               \
	{ .name = (n),                                                                                                 \
	  .args = "sP",                                                                                                \
	  .min = 2,                                                                                                    \
	  .max = MANY,                                                                                                 \
	  .form = FORM_PATTERN,                                                                                        \
	  .op = (o),                                                                                                   \
	  .type = RULE_BOOLEAN,                                                                                        \
	  .endgame_only = true,                                                                                        \
	  .flags = (f) }
#define ITEMS(n, id, t)                                                                                                \
	{ .name = (n),                                                                                                 \
	  .args = "laa",                                                                                               \
	  .min = 3,                                                                                                    \
	  .max = 3,                                                                                                    \
	  .form = FORM_ITEMS,                                                                                          \
	  .op = IR_CALL,                                                                                               \
	  .fn = (id),                                                                                                  \
	  .type = (t),                                                                                                 \
	  .endgame_only = true }

static const struct rule_function functions[] = {
	OPERATOR("add", IR_ADD),
	CALL("between", IR_BETWEEN, "sssb", 3, 4, RULE_KEYWORD, .folds = true),
	CALL("cidrMatch", IR_CIDR_MATCH, "AC", 2, MANY, RULE_BOOLEAN),
	CALL("concat", IR_CONCAT, "a", 1, MANY, RULE_KEYWORD),
	OPERATOR("divide", IR_DIV),
	CALL("endsWith", IR_ENDS_WITH, "ss", 2, 2, RULE_BOOLEAN, .folds = true),
	CALL("indexOf", IR_INDEX_OF, "ssi", 2, 3, RULE_NUMBER, .folds = true),
	CALL("length", IR_LENGTH, "l", 1, 1, RULE_NUMBER),
	OPERATOR("modulo", IR_MOD),
	OPERATOR("multiply", IR_MUL),
	CALL("number", IR_NUMBER_OF, "si", 1, 2, RULE_NUMBER),
	CALL("startsWith", IR_STARTS_WITH, "ss", 2, 2, RULE_BOOLEAN, .folds = true),
	CALL("string", IR_STRING_OF, "a", 1, 1, RULE_KEYWORD),
	CALL("stringContains", IR_STRING_CONTAINS, "ss", 2, 2, RULE_BOOLEAN, .folds = true),
	CALL("substring", IR_SUBSTRING, "sii", 2, 3, RULE_KEYWORD, .endgame_min = 1),
	OPERATOR("subtract", IR_SUB),

	CALL("arrayContains", IR_ARRAY_CONTAINS, "la", 2, MANY, RULE_BOOLEAN, .endgame_only = true),
	ITEMS("arrayCount", IR_ARRAY_COUNT, RULE_NUMBER),
	ITEMS("arraySearch", IR_ARRAY_SEARCH, RULE_BOOLEAN),
	PATTERN("match", IR_REGEX, IR_PREFIX | IR_PERL),
	PATTERN("matchLite", IR_REGEX, IR_PREFIX | IR_PERL),
	{ .name = "safe", .args = "a", .min = 1, .max = 1, .form = FORM_SELF, .endgame_only = true },
	PATTERN("wildcard", IR_LIKE, IR_STAR),
};

const struct rule_function *rule_function_find(const char *name, size_t n, bool exact)
{
	for (size_t i = 0; i < countof(functions); i++)
		if (strlen(functions[i].name) == n &&
		    !(exact ? strncmp(name, functions[i].name, n) : strncasecmp(name, functions[i].name, n)))
			return &functions[i];
	return NULL;
}

const struct rule_function *rule_function_at(size_t i)
{
	return i < countof(functions) ? &functions[i] : NULL;
}
