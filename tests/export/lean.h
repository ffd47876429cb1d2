/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lean - a client of the export that costs next to nothing: what it measures is the server.
 *
 * HTTP/2 and WebSocket as far as one stream needs them, over TLS or not. It trusts its server.
 */
#pragma once
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum lean_form { LEAN_EVENTS, LEAN_BATCHES, LEAN_WS_JSON, LEAN_WS_PROTO };

enum { LEAN_ROOM = 1 << 20 };

struct lean {
	int fd;
	SSL *ssl; /* NULL: plain */
	enum lean_form form;
	bool look_inside; /* parses each event, to know what was lost */
	uint64_t events, bytes, lost, noted;
	bool ended; /* the stream, or the connection */

	/* Bytes that have come and are not understood yet. */
	unsigned char *in;
	size_t n;
	uint64_t unacked;    /* bytes of data since the last window update */
	unsigned char *body; /* messages of gRPC, where they are looked into or cross frames */
	size_t body_n;
	uint64_t message_left; /* of a message that is only counted */
};

/* `request` is a StreamRequest, or, for WebSocket, the query string. False: errno. */
bool lean_open(struct lean *l, unsigned port, SSL_CTX *tls, enum lean_form form, const void *request, size_t n);
/* Reads once, blocking if the socket is; false: nothing more comes (or, not blocking, nothing is there: EAGAIN). */
bool lean_read(struct lean *l);
void lean_close(struct lean *l);
