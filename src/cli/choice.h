/* SPDX-License-Identifier: Apache-2.0 */
/* choice - which events: the options that all verbs have which show events. */
#pragma once
#include "cli/cli.h"
#include "context/filter.h"

struct choice {
	struct option_list kind;
	uint32_t pid;
	bool descendants;
	char *comm, *container, *path, *address, *where;
};

/* The rows of a verb whose options have a `struct choice choice`. */
#define CHOICE_OPTIONS(s)                                                                                              \
	VERB_OPTION_FULL(s, choice.kind, "kind", 'k', "GLOB", OPT_STRS, "",                                            \
			 "only kinds that fit: process.exec, 'file.*'", COMPLETE_KIND, .max = ARGS_LIST_MAX),          \
		VERB_OPTION(s, choice.pid, "pid", 'p', "N", OPT_U32, "0", "only what this process does"),              \
		VERB_FLAG(s, choice.descendants, "descendants", 'd',                                                   \
			  "with --pid: and the processes that come from it"),                                          \
		VERB_OPTION(s, choice.comm, "comm", 0, "NAME", OPT_STR, "",                                            \
			    "only processes of this name, of which the kernel keeps 15 bytes"),                        \
		VERB_OPTION(s, choice.container, "container", 0, "NAME", OPT_STR, "",                                  \
			    "only this container: its name, or how its id begins"),                                    \
		VERB_OPTION(s, choice.path, "path", 0, "PREFIX", OPT_PATH, "", "only files whose path begins so"),     \
		VERB_OPTION(s, choice.address, "address", 0, "CIDR", OPT_STR, "",                                      \
			    "only connections with such an address at either end: 10.0.0.0/8, ::1"),                   \
		VERB_OPTION(s, choice.where, "where", 'w', "EXPR", OPT_STR, "",                                        \
			    "only what an EQL condition is true of: 'process.args == \"-c\" and user.id != 0'")

/* Is it asked well? Else says on stderr what is not; EXIT_USAGE. */
enum exit_code choice_check(struct cli *cli, const struct verb *verb, const struct choice *c);
/* As the FILTER of agent/control.h. */
void choice_write(const struct choice *c, struct buf *out);
/* What a filter is made of; borrows from the choice. */
struct filter_spec choice_spec(const struct choice *c);
