/* SPDX-License-Identifier: Apache-2.0 */
/* fixture - a ring, its export and a listener on loopback, with records that a test makes. */
#pragma once
#include "api/api.h"
#include "api/export.h"
#include "api/tokens.h"

struct export_fixture {
	struct raw_ring *ring;
	struct export *x;
	struct api *api;
	struct route_table table;
	char dir[64];
	unsigned port;
	uint64_t put;
	bool only_exits;            /* all records are of process.exit */
	char token[TOKEN_TEXT + 1]; /* of the row below */
};

/* False: a failure was reported. With `tls`, a certificate of its own is made (by openssl) in `dir`. */
bool export_fixture_open(struct export_fixture *f, size_t ring_bytes, const struct export_source *source, bool tls);
/* The same with a consumer that has a token; anybody else is a viewer. */
bool export_fixture_open_for(struct export_fixture *f, size_t ring_bytes, const struct token_row *row);
void export_fixture_close(struct export_fixture *f);
#define auto_export __attribute__((cleanup(export_fixture_close)))

/* Puts n records: turns of process.exit, net.connect and file.open, with pids from 1000 on. */
void export_fixture_put(struct export_fixture *f, unsigned n);
/* One process.exec of pid 77, whose arguments take n bytes; with `wild`, bytes that are no UTF-8. */
void export_fixture_put_long(struct export_fixture *f, size_t n, bool wild);
/* Runs a command of the shell; its output, what it says of errors too, goes to `out`. Returns its exit code. */
int export_run(struct buf *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
