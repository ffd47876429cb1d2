/* SPDX-License-Identifier: Apache-2.0 */
/*
 * alerts - the alert as it is kept, and where alerts are kept: what was found, and what people made of it.
 *
 * alerts_put() and alerts_fold() never wait: they hand over to a thread of the store's own, over a queue that is
 * bounded; what found no room is counted. All else may be called from any thread and may take milliseconds.
 *
 * What is stored survives the end of the process in any way, but for what was put in the last moment; an
 * interrupted write leaves no half of an alert.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/mem.h"

enum {
	ALERT_ID_SIZE = 33,         /* 32 hex digits and a NUL */
	ALERT_JSON_MAX = 4 << 20,   /* bytes of one alert */
	ALERT_TEXT_MAX = 1024,      /* bytes of a rule's id or name, or of who or what the alert is about */
	ALERT_WHO_MAX = 128,        /* bytes */
	ALERT_COMMENT_MAX = 4096,   /* bytes */
	ALERTS_LIST_MAX = 10000,    /* of one call */
	ALERTS_WATCHERS_MAX = 1024, /* at once */
};

enum alert_state { ALERT_OPEN, ALERT_ACKNOWLEDGED, ALERT_CLOSED };
extern const char *const alert_state_names[]; /* "open", "acknowledged", "closed"; NULL-terminated */

struct alert {
	char id[ALERT_ID_SIZE]; /* of the rule and the events: the same wherever they are looked at */
	int64_t time_ns;        /* wall time at which it was decided */
	int64_t first_ns;       /* of its first event */
	uint8_t severity;       /* enum book_severity: 0 informational to 4 critical */
	uint8_t risk;           /* 1 to 100 */
	const char *rule, *rule_name, *rule_version;
	const char *process, *user, *container; /* what the last event was of: names for people; "" where not known */
	/* The JSON object without what changes later and without its end: alert_write() completes it. */
	const char *body;
	size_t body_n;

	/* What it may be folded by: alerts with the same key are one for so long. 0: by nothing. */
	unsigned char fold_key[16];
	uint64_t fold_ns;

	/* What changes. */
	uint64_t folded;               /* later ones that this one stands for */
	int64_t last_ns;               /* when the last of them was, or itself */
	char before_id[ALERT_ID_SIZE]; /* the alert whose time of folding ended before this one, or "" */
	uint64_t before_folded;        /* and what it stood for in the end */
	enum alert_state state;
	const char *who, *comment; /* who set the state, and what they said; "" where nobody did */
	int64_t changed_ns;        /* when; 0: never */
	/* Of a store: numbers that only grow. seq: when it came; revision: when it came or last changed. */
	uint64_t seq, revision;
};

/* The alert as one object of JSON, without a newline. */
void alert_write(const struct alert *alert, struct buf *out);
/* For queues: all of it as bytes. Unpacked it borrows from them. False: they are none. */
void alert_pack(const struct alert *alert, struct buf *out);
size_t alert_packed_size(const struct alert *alert);
bool alert_unpack(const void *bytes, size_t n, struct alert *ret_alert);

/* ---- the store ------------------------------------------------------------------------------------------ */

struct alerts_options {
	const char *path;     /* of the file, which is made with mode 0600 */
	uint64_t max_age_ns;  /* older ones go; 0: no bound */
	uint64_t max_count;   /* the oldest go; 0: no bound */
	uint64_t max_bytes;   /* the same, of the file; 0: no bound */
	uint64_t queue_bytes; /* of what waits to be written; 0: 8 MiB */
	/* Only asked: the file may be another agent's, or a copy on a disk that cannot be written. Nothing is changed,
	 * put aside or made beside it, and nothing may be put into it. */
	bool read_only;
};

struct alerts;
/*
 * A file that cannot be opened now is tried again every few seconds, and what comes until then is lost and counted;
 * one that is damaged is put aside, with a message. So this fails only without memory or threads.
 */
int alerts_open(const struct alerts_options *options, struct alerts **ret_alerts);
/* Writes what waits. */
void alerts_free(struct alerts *store);
DEFINE_AUTO(alerts)
/* New bounds of age and count; the path stays. */
void alerts_limits(struct alerts *store, const struct alerts_options *options);

/* False: lost, and counted. An alert whose id is there already is counted as a duplicate and changes nothing. */
bool alerts_put(struct alerts *store, const struct alert *alert);
/* So many more were folded into an alert, the last of them then. */
bool alerts_fold(struct alerts *store, const char *id, uint64_t more, int64_t last_ns);
/* Waits until what was put before is written, or cannot be. For tests, and before an end. */
void alerts_flush(struct alerts *store);

enum alerts_order {
	ALERTS_NEWEST,    /* by seq, downwards */
	ALERTS_OLDEST,    /* by seq, upwards */
	ALERTS_REVISIONS, /* by revision, upwards: what is new, and what has changed */
};

/* Zeroed: all, the newest first. */
struct alerts_filter {
	int64_t from_ns, to_ns; /* time_ns, `to_ns` excluded; 0: open */
	uint8_t severity_min;
	uint32_t states;                        /* bits 1 << enum alert_state; 0: all */
	const char *rule;                       /* its id; NULL: any */
	const char *process, *user, *container; /* equal; NULL: any */
	enum alerts_order order;
	uint64_t cursor; /* go on after the alert of this seq (or revision); 0: from the start */
	size_t limit;    /* 0: ALERTS_LIST_MAX */
};

/*
 * Calls fn for each alert, which is borrowed until it returns; false ends it. Returns how many it was called for,
 * or an error with a trail. fn calls nothing of the store.
 */
int alerts_list(struct alerts *store, const struct alerts_filter *filter,
		bool (*fn)(void *arg, const struct alert *alert), void *arg);
/* How many there are, without limit and cursor. */
int alerts_count(struct alerts *store, const struct alerts_filter *filter, uint64_t *ret_count);
/* -ENOENT: there is none. fn as above, called once. An id may be cut to 8 digits or more: -EEXIST, several begin so. */
int alerts_get(struct alerts *store, const char *id, bool (*fn)(void *arg, const struct alert *alert), void *arg);
/*
 * Sets the state of an alert, whose whole id this is. who and comment may be empty; too long is -EINVAL. Setting the
 * state that it has is fine, and replaces who and comment.
 */
int alerts_set_state(struct alerts *store, const char *id, enum alert_state state, const char *who,
		     const char *comment);
/* How many there are of each state and severity. */
struct alerts_totals {
	uint64_t by[3][5];
	uint64_t revision; /* the highest there is: where to follow from */
};
int alerts_totals(struct alerts *store, struct alerts_totals *ret_totals);

/*
 * `changed` is called after alerts came or changed, with the highest revision, on whatever thread made the change:
 * it only wakes somebody, who then asks alerts_list() for the revisions after the last that they have seen. -E2BIG:
 * too many watch. After alerts_unwatch() it is not called any more.
 */
struct alerts_watcher {
	void (*changed)(void *arg, uint64_t revision);
	void *arg;
	struct alerts_watcher *next; /* the store's */
};
int alerts_watch(struct alerts *store, struct alerts_watcher *watcher);
void alerts_unwatch(struct alerts *store, struct alerts_watcher *watcher);

struct alerts_stats {
	uint64_t put, stored, duplicates;           /* put = stored + duplicates + lost_* + waiting */
	uint64_t lost_full, lost_closed, lost_disk; /* queue full; file could not be opened; write refused */
	uint64_t waiting, removed, kept;            /* in the queue; by retention; there now */
	uint64_t bytes;                             /* of the file */
	char error[160];                            /* the last trouble, "" where the last write went well */
};
void alerts_stats(struct alerts *store, struct alerts_stats *ret_stats);
