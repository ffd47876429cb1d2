/* SPDX-License-Identifier: Apache-2.0 */
/*
 * args - the options of a verb, one row each.
 *
 * The parser, `--help`, the manual pages and the shell completion read the rows. What a value
 * may be, and what is said when it is something else, is config/option.h's: an option on the
 * command line and one in the configuration are read by the same code.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "base/buf.h"
#include "config/option.h"

/* What the shell may offer in a place. */
enum complete {
	COMPLETE_NOTHING,
	COMPLETE_FILE,
	COMPLETE_VERB,
	COMPLETE_KIND, /* of events */
	COMPLETE_SENSOR,
	COMPLETE_SENSOR_KEY, /* options of the sensor that the argument before names, each with "=" */
};

struct verb_option {
	struct option value; /* name, type, place in the verb's struct, bounds, default, sentence */
	char letter;         /* 0: it has only its name */
	const char *arg;     /* what stands for the value in texts; NULL for flags */
	const char *implied; /* the value where only the name is given; another one needs "--name=value" */
	enum complete complete;
	bool hidden;
};

/*
 * VERB_OPTION(events_options, limit, "limit", 0, "N", OPT_U64, "0", "sentence", .min = 1)
 * What may follow are members of struct option.
 */
#define VERB_OPTION_FULL(s, m, n, l, a, t, d, sentence, offers, ...)                                                   \
	{ .value = { .name = (n),                                                                                      \
		     .type = (t),                                                                                      \
		     .off = offsetof(struct s, m),                                                                     \
		     .def = (d),                                                                                       \
		     .doc = (sentence),                                                                                \
		     ##__VA_ARGS__ },                                                                                  \
	  .letter = (l),                                                                                               \
	  .arg = (a),                                                                                                  \
	  .complete = (offers) }
#define VERB_OPTION(s, m, n, l, a, t, d, sentence, ...)                                                                \
	VERB_OPTION_FULL(s, m, n, l, a, t, d, sentence, COMPLETE_NOTHING, ##__VA_ARGS__)
#define VERB_FLAG(s, m, n, l, sentence) VERB_OPTION(s, m, n, l, NULL, OPT_BOOL, "false", sentence)

/* Is the word after it its value? */
static inline bool option_takes_word(const struct verb_option *row)
{
	return row->arg && !row->implied;
}

enum { ARGS_LIST_MAX = 256 }; /* times that an option may be repeated */

struct verb;

enum args_result {
	ARGS_OK,
	ARGS_HELP,  /* -h or --help was among them */
	ARGS_WRONG, /* `problem` says what, in one sentence */
};

/*
 * Reads the words after the verb. `options` is zeroed memory of verb->options_size and gets
 * defaults first; it is the caller's to clear, whatever the result. *ret_rest are the words
 * that are no options; argv itself is put into another order for it.
 */
enum args_result args_parse(const struct verb *verb, char **argv, void *options, char ***ret_rest, size_t *ret_n,
			    struct buf *problem);

/* " -k, --kind GLOB": how texts show an option. */
void args_show(const struct verb_option *row, struct buf *out);
