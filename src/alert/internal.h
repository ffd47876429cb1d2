/* SPDX-License-Identifier: Apache-2.0 */
/* internal - what the files of alert/ share. */
#pragma once
#include "alert/alert.h"
#include "base/sha256.h"

/* ---- ids ------------------------------------------------------------------------------------------------ */

/* What an alert's id and the key of its folding are made of: names and values, one after the other, each with its
 * length. */
void digest_text(struct sha256 *s, const char *p, size_t n);
/* What an event says of itself, whoever reads it, and whatever a context knows of it. False: no memory. */
bool digest_event(struct sha256 *s, const struct event *ev);
/* The beginning of a digest in hex. */
void digest_id(struct sha256 *s, char ret_id[ALERT_ID_SIZE]);

/* ---- who and what it is about ----------------------------------------------------------------------------- */

enum related { RELATED_NONE, RELATED_IP, RELATED_USER, RELATED_HOSTS, RELATED_HASH, RELATED_COUNT };

struct entity {
	const char *type;
	enum related related;
	size_t id, id_n, name, name_n; /* places in `text`, of JSON values */
};

struct entities {
	struct buf text;
	struct entity of[ALERT_ENTITIES_MAX];
	size_t n, more; /* more: those beyond the maximum */
};
void entities_init(struct entities *e);
void entities_free(struct entities *e);
void entities_clear(struct entities *e);
/* Adds those of an event that are not there yet. */
void entities_add(struct entities *e, const struct event *ev, struct event_scratch *scratch);
/* ,"related":{...} where there is any. */
void entities_write_related(const struct entities *e, struct buf *out);
/* ,"entities":[...] */
void entities_write(const struct entities *e, struct buf *out);
/* ,"ancestry":[...]: the ancestors of the event's process, the parent first, where any is known. */
void ancestry_write(const struct event *ev, struct event_scratch *scratch, struct buf *out);

/* ---- parts of an event's JSON -------------------------------------------------------------------------------- */

struct json_part {
	const char *name, *value;
	size_t name_n, value_n;
};
/* Walks the members of an object that we wrote ourselves: *at is 0 at first. False: no more. */
bool json_next_part(const char *object, size_t n, size_t *at, struct json_part *ret_part);
