/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control - how the command line talks to a running agent: JSON lines over a unix socket.
 *
 * A client sends one request a line and gets its answer as one line, `{"ok":true,...}` or
 * `{"ok":false,"error":"..."}`. Who may ask is decided by the peer's credentials: root and the
 * agent's own user may ask for anything; members of `agent.socket_group` may read.
 *
 *   {"cmd":"status"}                          what STATUS below describes
 *   {"cmd":"events", "follow":true, "last":N, "filter":FILTER}
 *                                             {"ok":true}, then one event a line. `last` begins with
 *                                             the newest N that the agent still holds; without
 *                                             `follow` the stream ends after them. In between may
 *                                             stand {"shrike":{"stream":{"lost":N}}}: this client was
 *                                             slow, and N events went by. It ends with
 *                                             {"shrike":{"stream":{"end":true,"sent":N,"lost":N}}}
 *   {"cmd":"record", "for_ms":N, "records":N, "filter":FILTER}
 *                                             {"ok":true}, then a segment (store/store.h) until one of the bounds is
 *                                             reached or the client shuts its side down, then the end of the connection
 *   {"cmd":"alerts", "ask":{"severity":"high","limit":"10",...}, "follow":true}
 *                                             the words of store/alerts_ask.h. {"ok":true}, then alerts
 * (docs/alerts.md), oldest first: the newest that fit, as many as the limit says, and with `follow` those that come or
 * change from then on. What the store lost meanwhile is {"shrike":{"alerts":{"lost":N}}}; the end is
 *                                             {"shrike":{"alerts":{"end":true,"more":false}}}
 *   {"cmd":"alert","id":"beginning of an id"} {"ok":true,"alert":{...}}
 *   {"cmd":"alert_state","id":"..","state":"acknowledged|closed|open","comment":".."}
 *                                             the same, as it is then; for those who may change things
 *   {"cmd":"on","sensor":NAME}  {"cmd":"off","sensor":NAME}
 *   {"cmd":"set","sensor":NAME,"options":{"key":"value as in YAML"}}
 *   {"cmd":"reload"}                          reads the configuration again; {"ok":true,"changed":[...]}
 *   {"cmd":"statistics","on":true}            the kernel measures run times while this connection lives
 *   {"cmd":"hash","pid":N}                    {"ok":true,"sha256":"..","path":".."} of what that process runs now, in
 *                                             the scope or not; for those who may change things. See file_hash.h
 *
 * FILTER (all that is given must hold):
 *   {"kinds":["process.*","file.open"], "pid":N, "descendants":true, "comm":"nginx",
 *    "container":"prefix of its id, or its name", "path":"/etc/", "address":"10.0.0.0/8",
 *    "expr":"an EQL condition: process.args == \"-c\" and user.id != 0"}
 *
 * STATUS:
 *   {"ok":true,
 *    "agent":{"pid":N,"version":"..","uptime_s":N,"scope":"host","kernel":"6.1.0","config":"..","reloads":N,
 *             "rss_bytes":N,"cpu_ms":N,"statistics":true},
 *    "sensors":[{"name":"..","summary":"..","state":STATE,"why":"..","help":"..",
 *       "hooks":[{"name":"..","summary":"..","state":"attached|off|failed|unavailable","firing":true,"via":"tp_btf","variant":0,
 *                 "cannot":"..","why":"..","fired":N,"canary":N,"run_count":N,"run_ns":N,"misses":N}],
 *       "kinds":[{"name":"..","class":"critical","seen":N,"sent":N,"filtered":N,"lost_ring":N,"lost_budget":N,"error":N}]}],
 *    "rings":[{"name":"critical","bytes":N,"used":N,"records":N}],
 *    "reader":{"records":N,"malformed":N,"unknown":N,"wakeups":N},
 *    "raw":{"capacity":N,"used":N,"puts":N,"put_bytes":N,"overwritten":N,"per_s":N,
 *           "readers":[{"name":"..","cursor":N,"lag":N,"read":N,"lost":N}],
 *           "kinds":[{"name":"..","puts":N,"per_s":N}]},             or null
 *    "record":{"folder":"..","records":N,"record_bytes":N,"written_bytes":N,"segments":N,"removed":N,
 *              "lost_ring":N,"lost_disk":N,"error":".." or null},    or null
 *    "bus":{"shards":N,"put":N,"delivered":N,"waits":N,"queued_bytes":N,"queue_bytes":N,
 *           "lost":{"critical":N,"normal":N,"bulk":N,"packet":N}},
 *    "engines":[{"name":"..","findings":N,"<metric>":N,...}],
 *    "context":{"<metric>":N,...},
 *    "streams":[{"pid":N,"uid":N,"sent":N,"lost":N}],
 *    "api":{"state":"running|failed|off","why":"..","listen":"127.0.0.1:7070","socket":"..","tls":false,"tokens":N,
 *           "connections":N,"connections_refused":N,"requests":N,"refused":N,"malformed":N,"streams":N,"records":N,
 *           "lost":N,"consumers":[{"name":"..","streams":N,"requests":N,"refused":N,"limited":N,"records":N,"lost":N}]}}
 *   STATE: "running", "degraded" (some hook is not there, or silent), "failed", "fallback" (given up on
 *   after repeated failure; the agent says what is missing), "off".
 */
#pragma once
#include "base/buf.h"
#include "base/mem.h"

enum {
	CONTROL_LINE_MAX = 64 << 10, /* bytes of a request */
	CONTROL_CLIENTS_MAX = 32,
	CONTROL_RESERVED = 4,         /* places that those who may only read leave to the others */
	CONTROL_ANSWER_MAX = 4 << 20, /* bytes of an answer line */
};

struct agent;
struct control;

/* Would control_open() be refused? To be asked before anything is loaded. */
int control_check(const char *path, const char *group);
/* Refuses a path at which another agent answers; takes over one that a dead agent left. */
int control_open(struct agent *agent, const char *path, const char *group, struct control **ret_control);
/* Ends all connections and removes the socket. */
void control_free(struct control *control);
DEFINE_AUTO(control)
/* The "streams" member of the status answer. */
void control_status(struct control *control, struct buf *out);
