/* SPDX-License-Identifier: Apache-2.0 */
/*
 * alerts_ask - which alerts, in words: the query string of the API, a request of the control socket and the options
 * of the command line say the same names and values, and this is where they are read.
 *
 *	struct alerts_ask ask = { 0 };
 *	alerts_ask_set(&ask, "severity", "high");
 *	alerts_ask_set(&ask, "state", "open,acknowledged");
 *	alerts_ask_list(store, &ask, fn, arg, &page);
 *
 * What the store's own filter cannot tell (a text somewhere in the alert) is looked at here, in at most
 * ALERTS_LIST_MAX alerts of one call; a page then says that there may be more.
 */
#pragma once
#include "store/alerts.h"

enum { ALERTS_PAGE_DEFAULT = 100, ALERTS_PAGE_MAX = 1000 };

struct alerts_ask {
	int64_t from_ns, to_ns;
	uint8_t severity_min;
	uint32_t states;
	char rule[ALERT_TEXT_MAX + 1], process[ALERT_TEXT_MAX + 1];
	char user[ALERT_WHO_MAX + 1], container[ALERT_WHO_MAX + 1];
	char text[ALERT_TEXT_MAX + 1];
	enum alerts_order order;
	uint64_t cursor;
	size_t limit; /* 0: ALERTS_PAGE_DEFAULT */
};

/* A word that may be said; the OpenAPI description and help texts are made of these. */
struct alerts_ask_word {
	const char *name, *doc;
	const char *const *values; /* NULL: any */
	bool is_list, is_number;
};
extern const struct alerts_ask_word alerts_ask_words[];
extern const size_t alerts_ask_n_words;

/* -EINVAL with a trail that names the word, and what may be said. */
int alerts_ask_set(struct alerts_ask *ask, const char *name, const char *value);
/* "2024-02-29T12:34:56Z", or how long ago: "2h". -EINVAL with a trail. */
int alerts_ask_time(const char *text, int64_t *ret_ns);

/* Does it fit all conditions? For alerts that come from elsewhere than a store. Cursor and limit are not looked at. */
bool alerts_ask_fits(const struct alerts_ask *ask, const struct alert *alert);

struct alerts_page {
	size_t n;        /* that fn took */
	bool more;       /* there may be */
	uint64_t cursor; /* to go on behind them */
};
/* fn returns false for one that it has no room for: it comes first on the next page. */
int alerts_ask_list(struct alerts *store, const struct alerts_ask *ask,
		    bool (*fn)(void *arg, const struct alert *alert), void *arg, struct alerts_page *ret_page);

/*
 * Turns a question for the newest into one that lists the same alerts oldest first, as people read them. Returns how
 * many there are (none: nothing is to be asked any more), or an error with a trail. *ret_more: there are older ones.
 */
int alerts_ask_turn(struct alerts *store, struct alerts_ask *io_ask, bool *ret_more);

/* What the store could not keep so far, for whatever reason. */
uint64_t alerts_ask_lost(struct alerts *store);
