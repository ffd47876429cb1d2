/* SPDX-License-Identifier: Apache-2.0 */
/*
 * alert_source - where `shrike alerts` has its alerts from: a running agent, the file of its store, or a log of alerts
 * as JSON lines (or stdin, "-"). All of them hand out JSON.
 *
 * A file is only read; what it is is told by its first bytes.
 */
#pragma once
#include "cli/client.h"
#include "store/alerts_ask.h"

struct alert_source;

/* `from` NULL or "": the agent at `socket`. Otherwise why not has been said. */
enum exit_code alert_source_open(struct cli *cli, const char *socket, const char *from,
				 struct alert_source **ret_source);
void alert_source_free(struct alert_source *s);
DEFINE_AUTO(alert_source)

/* What is asked for: words of store/alerts_ask.h and their values. */
struct alert_words {
	const char *word[16], *value[16];
	size_t n;
};

/* Is it asked well? Else -EINVAL with a trail. */
int alert_words_read(const struct alert_words *words, struct alerts_ask *ret_ask);

/* `fn` gets each alert as a line of JSON without its end; false ends it. */
typedef bool (*alert_fn)(void *arg, struct str line);

/*
 * The newest that fit, oldest first, and with `follow` (an agent's alone) what comes until the user ends it.
 * *ret_more: there are older ones that fit.
 */
enum exit_code alert_source_list(struct alert_source *s, const struct alert_words *words, bool follow, alert_fn fn,
				 void *arg, bool *ret_more);
/* One alert, by the beginning of its id. */
enum exit_code alert_source_get(struct alert_source *s, const char *id, alert_fn fn, void *arg);
/* Sets its state, an agent's alone, and hands out what it is then. */
enum exit_code alert_source_set(struct alert_source *s, const char *id, const char *state, const char *comment,
				alert_fn fn, void *arg);
