/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client - one connection to a running agent (agent/control.h): sends requests, hands out
 * answer lines.
 *
 * Nothing that comes is trusted: lines are bounded, waiting is bounded or ends when the user
 * wants to, and what a line says is for text_safe() before it is shown.
 */
#pragma once
#include "base/json.h"
#include "cli/cli.h"
#include "event/value.h"

enum client_result {
	CLIENT_LINE,    /* here is one */
	CLIENT_TIMEOUT, /* none came in time */
	CLIENT_STOPPED, /* the user wants to end */
	CLIENT_UNREAD,  /* nobody reads our output any more */
	CLIENT_CLOSED,  /* the agent has closed the connection */
	CLIENT_FAILED,  /* with a trail */
};

struct client;

/* Says what is wrong and what to do about it where there is no agent; EXIT_NO_AGENT then. */
enum exit_code client_open(struct cli *cli, const char *socket, struct client **ret_client);
void client_free(struct client *client);
DEFINE_AUTO(client)

/* A request is one line without its end. */
int client_send(struct client *client, const char *request, size_t n);
/* Waits at most timeout_ms, -1: for ever. The line, without its end, lives until the next call. */
enum client_result client_line(struct client *client, int timeout_ms, struct str *ret_line);
/* From now on client_line() also ends when nobody reads our output any more: for streams that may be silent for long.
 */
void client_watch_output(struct client *client);
/* A whole line is here already: the next client_line() will not wait. */
bool client_has_line(struct client *client);

/* For what follows an answer and is no lines: some bytes, at least one, as they come. */
enum client_result client_bytes(struct client *client, int timeout_ms, struct str *ret_bytes);
/* Tells the agent that we have enough: what it still sends can be read. */
void client_enough(struct client *client);

/*
 * Sends a request and reads its answer. EXIT_OK: the agent said ok, *ret_answer is what it
 * said and borrows from `doc`, and *ret_line (may be NULL) is the line. Otherwise why not has been said.
 */
enum exit_code client_ask(struct cli *cli, struct client *client, const char *request, struct json_doc *doc,
			  const struct json_node **ret_answer, struct str *ret_line);
/* What to say when an answer is not a line. */
enum exit_code client_gone(struct cli *cli, enum client_result result);
/* Limits for what an agent sends. */
extern const struct json_limits client_json_limits;

/* ---- reading answers: absent, or of another type, is the zero of the type --------------- */

uint64_t node_u64(const struct json_node *object, const char *name);
double node_double(const struct json_node *object, const char *name);
bool node_bool(const struct json_node *object, const char *name);
/* "" when there is none. A string with a NUL in it ends there. */
const char *node_text(const struct json_node *object, const char *name);
