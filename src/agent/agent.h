/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent - what `shrike run` is: configuration, kernel side, pipeline, health and the control
 * socket, put together and taken apart again.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "base/buf.h"

struct agent_options {
	const char *config_path; /* NULL: the default, which may be missing */
	const char *const *sets; /* "key=value" on top of the files; also how --scope and --socket come */
	size_t n_sets;
	bool quiet; /* no words on what is watched */
};

/* Runs until SIGINT or SIGTERM; SIGHUP reads the configuration again. 0, or -errno with a trail. */
int agent_run(const struct agent_options *options);

/* ---- for the control socket: any thread ---------------------------------------------------- */

struct agent;
struct control;
struct pipeline;
/* The answer to {"cmd":"status"}, one line. `asked` is the socket that it came through. */
void agent_status(struct agent *agent, struct control *asked, struct buf *out);
/* The same without what is told of the API, for the API itself. */
void agent_status_for(struct agent *agent, struct control *asked, bool with_api, struct buf *out);
/* Does any sensor run? */
bool agent_is_at_work(struct agent *agent);
/*
 * Reads the configuration again, with `sets` (or NULL) added to what was set before, and applies it. Validated
 * whole first: -EINVAL leaves all as it was, with the problems in `out`. On success `out` lists what changed,
 * as a JSON array. A sensor that then refuses its new options is an error too: what was asked for with `sets` is
 * taken back whole; without, the other sensors have taken what the files say, and it goes on as it was.
 */
int agent_reload(struct agent *agent, const char *const *sets, size_t n_sets, struct buf *out);
struct streams *agent_streams(struct agent *agent);
struct pipeline *agent_pipeline(struct agent *agent);
/* NULL: they are not kept. */
struct alerts *agent_alerts(struct agent *agent);
bool agent_has_sensor(struct agent *agent, const char *name);
/* Run statistics of the kernel, for as long as anyone wants them. */
int agent_statistics(struct agent *agent, bool on);
