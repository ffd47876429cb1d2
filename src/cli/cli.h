/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli - the command line: verbs, what they are given, what they hand back to the shell.
 *
 * A verb is a file of its own and ends with its one exported symbol, a row that says how it
 * is called; verb_table lists them. Help, manual pages and completion come from the rows.
 */
#pragma once
#include <stdio.h>
#include "base/mem.h"
#include "cli/args.h"

/* Documented in exit_codes[] (cli.c), from which the texts are made. */
enum exit_code {
	EXIT_OK = 0,
	EXIT_NO = 1,       /* the answer is no, nothing was found, or what failed was said */
	EXIT_USAGE = 2,    /* called wrongly */
	EXIT_NO_AGENT = 3, /* no agent could be talked to */
};

struct exit_row {
	enum exit_code code;
	const char *doc;
};
extern const struct exit_row exit_codes[];
extern const size_t exit_codes_n;

#define CLI_SOCKET "/run/shrike/shrike.sock"
enum { CLI_PATIENCE_MS = 10000 };

/* What the verbs are given of the world; a test gives another. */
struct cli {
	FILE *out, *err;
	bool is_terminal; /* out is one */
	bool color;
	int stop_fd;     /* readable: the user wants to end. -1: none yet, see cli_stop_fd() */
	int patience_ms; /* how long an answer may take */
	int write_error; /* errno of the first write that failed, or 0 */
};

struct verb_example {
	const char *command, *what;
};

/* What may stand in the place of an argument. */
struct verb_argument {
	const char *const *words; /* NULL-terminated, or NULL */
	enum complete complete;
};

enum { VERB_ARGUMENTS_MAX = 3 };

struct verb {
	const char *name, *summary;
	const char *usage; /* what follows the options: "NAME KEY=VALUE..." */
	const char *about; /* paragraphs, with an empty line between them */
	const struct verb_option *options;
	size_t n_options, options_size;
	const struct verb_example *examples;
	size_t n_examples;
	struct verb_argument arguments[VERB_ARGUMENTS_MAX];
	const struct exit_row *exits; /* where the verb has more to say than exit_codes[] */
	size_t n_exits;
	/* `options` is the struct that the rows fill. */
	enum exit_code (*run)(struct cli *cli, const void *options, char **args, size_t n_args);
};

extern const struct verb verb_run, verb_events, verb_alerts, verb_query, verb_status, verb_top, verb_check, verb_sensor,
	verb_reload, verb_hash, verb_record, verb_replay, verb_rules, verb_convert, verb_token, verb_version,
	verb_completion, verb_help;
extern const struct verb *const verb_table[]; /* ends with NULL; in the order of the help */
const struct verb *verb_find(const char *name);
/* Says that there is none of this name, and which is meant perhaps; EXIT_USAGE. */
enum exit_code verb_unknown(struct cli *cli, const char *name);

/* argv[0] is the program's name. */
enum exit_code cli_main(struct cli *cli, char **argv);

/* Says on stderr that the verb was called wrongly, and where to read how; EXIT_USAGE. */
enum exit_code cli_misused(struct cli *cli, const struct verb *verb, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* "shrike: ..." on stderr, made safe for a terminal. */
void cli_say(struct cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The trail of the last error, the same way; EXIT_NO. */
enum exit_code cli_failed(struct cli *cli);

/* Bytes to stdout. False once nobody reads any more, or writing fails otherwise. */
bool cli_write(struct cli *cli, const struct buf *b);
bool cli_flush(struct cli *cli);

/* Turns SIGINT, SIGTERM and SIGHUP into a descriptor that gets readable. */
int cli_stop_fd(struct cli *cli);

/* Rows that several verbs have. */
#define OPTION_SOCKET(s)                                                                                               \
	VERB_OPTION_FULL(s, socket, "socket", 0, "PATH", OPT_PATH, CLI_SOCKET, "where the agent listens", COMPLETE_FILE)

extern const char *const output_names[];
enum output { OUTPUT_TABLE, OUTPUT_JSON };
#define OPTION_OUTPUT(s, sentence)                                                                                     \
	VERB_OPTION(s, output, "output", 'o', "FORMAT", OPT_ENUM, "table", sentence, .names = output_names)
