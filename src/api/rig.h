/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rig - a connection without sockets, for tests and fuzz targets: bytes go in, bytes come out, time is set by hand.
 */
#pragma once
#include "api/internal.h"

struct rig {
	struct api api;
	struct loop loop;
	struct conn conn;
	struct buf got; /* all that the client has been sent and not taken yet */
	bool open, over;
};

/* `anonymous`: the role of a client without a token. `tokens`: the text of a file of tokens, or NULL. */
bool rig_open(struct rig *r, const struct route_table *table, enum role anonymous, const char *tokens);
void rig_close(struct rig *r);
#define auto_rig __attribute__((cleanup(rig_close)))
/* Another connection in place of the present one. */
void rig_reconnect(struct rig *r);
/* The client sends; what it is sent in turn is in r->got. */
void rig_feed(struct rig *r, const char *bytes, size_t n);
void rig_say(struct rig *r, const char *text);
/* Runs what was woken, and takes what there is to be sent. */
void rig_run(struct rig *r);
/* Lets time pass. */
void rig_wait(struct rig *r, uint64_t ns);
