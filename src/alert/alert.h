/* SPDX-License-Identifier: Apache-2.0 */
/*
 * alert - from what an engine has found to what people are told.
 *
 * A maker, one a shard, asks a rule's exceptions and writes the alert: ECS JSON with the rule, its techniques, the
 * events, and what was known of the process then. Folds, one for all shards, lets the first of equal alerts through
 * and counts the others, for as long as the rule says, in event time.
 *
 * An alert's id is made of the rule's id and version and of its events: kind, time since boot, process and the bytes of
 * their fields, but nothing that depends on who looks (wall clock, order of shards, what a context has added), so
 * that a replay gives the id that the agent gave. docs/alerts.md tells all members.
 *
 * Bounds: ALERT_JSON_MAX bytes an alert, of which events take what is there in their order; ALERT_ENTITIES_MAX;
 * ancestors as the context keeps them; as many folds as are asked for, of which the oldest go, counted.
 */
#pragma once
#include "alert/finding.h"
#include "config/option.h"
#include "store/alerts.h"

enum {
	ALERT_ENTITIES_MAX = 64,
	ALERT_ANCESTORS_MAX = 16,
	ALERT_FOLDS_MAX = 16384, /* keys that are remembered */
	ALERT_FOLD_BY_MAX = 16,
};

/* The `alerts` section of the configuration. */
struct alert_settings {
	uint64_t throttle; /* ns */
	struct option_list throttle_by;
	char *store;
	uint64_t age, count, size; /* ns, alerts, bytes */
};
extern const struct option alert_option_rows[];
extern const size_t alert_n_option_rows;

/* ---- making -------------------------------------------------------------------------------------------- */

/* What holds where a rule does not say. */
struct alert_defaults {
	/* Equal in all of these for so long: folded. An event that lacks one of them is folded with none. */
	uint64_t fold_ns; /* 0: nothing is folded */
	field_id fold_by[ALERT_FOLD_BY_MAX];
	size_t n_fold_by;
};

void alert_defaults_of(const struct alert_settings *settings, struct alert_defaults *ret_defaults);
/* Those of a configuration that says nothing. */
int alert_defaults_usual(struct alert_defaults *ret_defaults);

struct alert_maker;
/* `host` is the name that alerts carry, or NULL. */
int alert_maker_open(const struct alert_defaults *defaults, const char *host, struct alert_maker **ret_maker);
void alert_maker_free(struct alert_maker *m);
DEFINE_AUTO(alert_maker)
void alert_maker_set(struct alert_maker *m, const struct alert_defaults *defaults);

enum { ALERT_EXCEPTED = 0, ALERT_MADE = 1 };
/*
 * ALERT_MADE, and an alert that is borrowed until the next call; ALERT_EXCEPTED: an exception of the rule holds for one
 * of the events; or an error without a trail: -ENOMEM, -E2BIG.
 */
int alert_make(struct alert_maker *m, const struct finding *finding, struct alert *ret_alert);

/* ---- folding ------------------------------------------------------------------------------------------- */

struct alert_folds;
int alert_folds_open(size_t max, struct alert_folds **ret_folds);
void alert_folds_free(struct alert_folds *folds);
DEFINE_AUTO(alert_folds)
/*
 * True: it is one of its own, and what ended before it is told in before_id and before_folded. False: folded into an
 * earlier one. Who asks in the same order gets the same answers.
 */
bool alert_folds_pass(struct alert_folds *folds, struct alert *alert);
/* Calls fn for each alert into which others were folded since the last call, with how many and when the last was. */
void alert_folds_told(struct alert_folds *folds, void (*fn)(void *arg, const char *id, uint64_t more, int64_t last_ns),
		      void *arg);
struct alert_folds_stats {
	uint64_t passed, folded, keys, evicted; /* evicted: keys that were forgotten while they still folded */
};
void alert_folds_stats(const struct alert_folds *folds, struct alert_folds_stats *ret_stats);
