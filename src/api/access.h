/* SPDX-License-Identifier: Apache-2.0 */
/*
 * access - finds the consumer that a request comes from: by token, by client certificate, by the credentials of a
 * unix socket's peer, or (where that is allowed) by its coming from this host.
 *
 * The file of tokens is read again when it has changed: looked at once a second at most, when somebody asks. A
 * consumer whose row has gone is marked as revoked, and whoever holds it is expected to look. Any thread.
 */
#pragma once
#include "api/tokens.h"

struct access;

struct access_options {
	const char *path;    /* "": no file, and so no tokens */
	enum role anonymous; /* of who brings nothing, over TCP */
	uint32_t streams;    /* of those whose row says nothing */
};

/* Who is at the other end of a connection. */
struct peer {
	char text[96];
	bool is_unix, is_tls;
	uint32_t uid;
	enum role unix_role;
	char cn[TOKEN_CN_MAX + 1]; /* of a certificate that was verified; "" */
};

struct access_counters {
	_Atomic uint64_t bad_tokens, unknown_certificates, reloads, bad_reloads;
};

/* Reads the file; -ENOENT, without a trail, when it is missing. */
int access_open(const struct access_options *options, struct access **ret_access);
void access_free(struct access *a);
DEFINE_AUTO(access)

/*
 * Who asks. `authorization` is the header or NULL. 0 and a reference, or the HTTP status to refuse with (401, 503) and
 * why. What was brought and is wrong is never taken for nothing.
 */
unsigned access_identify(struct access *a, const struct peer *peer, const char *authorization, uint64_t now_ns,
			 struct consumer **ret_consumer, const char **ret_why);
/* Reads the file again if it has changed. Marks consumers whose row has gone or changed as revoked. */
void access_refresh(struct access *a, uint64_t now_ns);
struct access_counters *access_counters(struct access *a);
/* Calls fn for the usage of each consumer that has asked for anything, or has a row. */
void access_each_usage(struct access *a, void (*fn)(void *ctx, const struct consumer_usage *usage), void *ctx);
size_t access_n_rows(struct access *a);
