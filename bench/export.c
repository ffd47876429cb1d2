/* SPDX-License-Identifier: Apache-2.0 */
/*
 * export - what it costs to hand records out, and what a stuck client costs the others.
 *
 * A process of its own has a ring full of records of 112 bytes (process.exit) and the listener, on loopback; a lean
 * client reads the ring from its oldest record to its newest, again and again. Told are:
 *
 *	export.NAME.rate	events/s that one client got
 *	export.NAME.server	ns of the server's CPU an event: filter, protobuf or JSON, framing, TLS, system calls
 *
 * for a message an event and for batches, with TLS and without, and over WebSocket. `hundred` has 100 clients, of
 * which 10 never read, while records come at a steady rate: how many of the 90 got every one.
 *
 * `bench_export client NAME PROGRAM` measures the same with a client that is not ours (bench/grpcpp.cc). It runs
 *
 *	PROGRAM PORT CERTIFICATE FORM COUNT
 *
 * with "-" as CERTIFICATE where there is no TLS, and "events" or "batches" as FORM. PROGRAM reads so many events and
 * prints how many it got, in how many ns, for how many ns of its CPU time: export.NAME.{plain,tls}.FORM.client.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include "base/clock.h"
#include "base/mem.h"
#include "base/test.h"
#include "bench/bench.h"
#include "tests/export/fixture.h"
#include "tests/export/lean.h"

enum {
	RING_BYTES = 64 << 20,
	RECORDS = 400000,
	ROUNDS = 7,
	SERVER_SECONDS = 120,
	CLIENTS = 100,
	STUCK = 10,
	HUNDRED_RECORDS = 60000,
	HUNDRED_STEP = 200, /* records every 5 ms: 40,000 a second, to each of them */
	HUNDRED_RING = 8 << 20,
};

/* What the server tells, and is told. */
struct shared {
	_Atomic unsigned port[2]; /* plain, TLS; 1: failed */
	_Atomic bool go, put_all, over;
	char dir[64]; /* where its certificate is; to be read once there is a port */
};

static struct shared *shared;
static const char *only; /* figures whose name has this; NULL: all */

static void serve(bool tls, size_t ring)
{
	auto_export struct export_fixture f;

	bench_child(SERVER_SECONDS);
	if (!export_fixture_open(&f, ring, NULL, tls)) {
		shared->port[tls] = 1;
		return;
	}
	f.only_exits = true;
	if (ring == RING_BYTES)
		export_fixture_put(&f, RECORDS);
	memcpy(shared->dir, f.dir, sizeof(shared->dir));
	shared->port[tls] = f.port;
	while (!shared->go && !shared->over && !bench_stopped())
		bench_sleep_ms(1);
	for (unsigned n = 0; ring != RING_BYTES && n < HUNDRED_RECORDS && !shared->over && !bench_stopped();
	     n += HUNDRED_STEP) {
		export_fixture_put(&f, HUNDRED_STEP);
		bench_sleep_ms(5);
	}
	shared->put_all = true;
	while (!shared->over && !bench_stopped())
		bench_sleep_ms(5);
}

static pid_t server(bool tls, size_t ring)
{
	pid_t pid;

	shared->port[tls] = 0;
	shared->go = shared->put_all = shared->over = false;
	pid = fork();
	if (pid == 0) {
		serve(tls, ring);
		_exit(0);
	}
	while (pid > 0 && !shared->port[tls] && !bench_stopped() && !waitpid(pid, NULL, WNOHANG))
		bench_sleep_ms(10);
	return shared->port[tls] > 1 ? pid : -1;
}

static void end(pid_t pid)
{
	if (pid <= 0)
		return;
	/* It takes its folder with it. */
	shared->over = true;
	for (unsigned i = 0; i < 1000; i++) {
		if (waitpid(pid, NULL, WNOHANG) == pid)
			return;
		bench_sleep_ms(10);
	}
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
}

/* ---- one client --------------------------------------------------------------------------------- */

static void one_client(const char *name, pid_t pid, unsigned port, SSL_CTX *tls, enum lean_form form,
		       const void *request, size_t n, double goal)
{
	struct samples rate = { 0 }, cpu = { 0 };

	for (unsigned round = 0; round < ROUNDS && !bench_stopped(); round++) {
		struct lean l;
		double wall, used;

		if (!lean_open(&l, port, tls, form, request, n)) {
			(void)fprintf(stderr, "export: %s: %s\n", name, strerror(errno));
			lean_close(&l);
			return;
		}
		wall = wall_ns();
		used = cpu_of_ns(pid);
		/* A few of the newest may be held back in a buffer that is not full: they cost nothing. */
		while (l.events < RECORDS - 1000 && lean_read(&l))
			;
		wall = wall_ns() - wall;
		used = cpu_of_ns(pid) - used;
		if (l.events >= RECORDS - 1000) {
			samples_add(&rate, (double)l.events / wall * 1e9);
			samples_add(&cpu, used / (double)l.events);
		}
		lean_close(&l);
	}
	figure(&rate, "events/s", goal > 0 ? GOAL_AT_LEAST : GOAL_NONE, goal, "export.%s.rate", name);
	figure(&cpu, "ns", goal > 0 ? GOAL_AT_MOST : GOAL_NONE, 100, "export.%s.server", name);
}

static void rates(bool tls)
{
	static const unsigned char oldest[] = { 0x10, 1 };
	static const struct {
		const char *name;
		enum lean_form form;
		const void *request;
		size_t n;
		double goal[2];
	} rows[] = {
		{ "events", LEAN_EVENTS, oldest, sizeof(oldest), { 0, 5e6 } },
		{ "batches", LEAN_BATCHES, oldest, sizeof(oldest), { 0, 5e6 } },
		{ "ws_protobuf", LEAN_WS_PROTO, "start=oldest&format=protobuf", 0, { 0, 0 } },
		{ "ws_json", LEAN_WS_JSON, "start=oldest", 0, { 0, 0 } },
	};
	SSL_CTX *ctx = tls ? SSL_CTX_new(TLS_client_method()) : NULL;
	pid_t pid = server(tls, RING_BYTES);

	for (size_t i = 0; pid > 0 && i < countof(rows); i++) {
		char name[64];

		(void)snprintf(name, sizeof(name), "%s.%s", tls ? "tls" : "plain", rows[i].name);
		if (only && !strstr(name, only))
			continue;
		one_client(name, pid, shared->port[tls], ctx, rows[i].form, rows[i].request, rows[i].n,
			   rows[i].goal[tls]);
	}
	end(pid);
	SSL_CTX_free(ctx);
}

/* ---- somebody else's client ---------------------------------------------------------------------- */

/* `got`: events, ns, ns of the client's CPU. */
static bool run_outside(const char *program, unsigned port, bool tls, const char *form, double got[3])
{
	auto_buf struct buf out = { .max = 1 << 16 };
	int code = export_run(&out, "timeout 60 '%s' %u %s%s %s %u", program, port, tls ? shared->dir : "-",
			      tls ? "/cert.pem" : "", form, RECORDS - 1000);
	char *at = code == 0 ? (char *)(uintptr_t)buf_text(&out) : NULL;

	for (unsigned i = 0; i < 3; i++)
		got[i] = at ? strtod(at, &at) : 0;
	if (got[0] >= RECORDS - 1000 && got[1] > 0 && got[2] > 0)
		return true;
	test_fail(T_HERE, "%s, %s: ended with %d: %s", program, form, code, buf_text(&out));
	return false;
}

static void outside(const char *name, const char *program, bool tls)
{
	/* Goals are for a stock client with TLS: what grpc++ needs for itself an event is most of it. */
	static const struct {
		const char *form;
		double goal;
	} rows[] = { { "events", 0.7e6 }, { "batches", 3e6 } };
	pid_t pid = server(tls, RING_BYTES);

	if (pid <= 0)
		test_fail(T_HERE, "there is no server");
	for (size_t i = 0; pid > 0 && i < countof(rows); i++) {
		struct samples rate = { 0 }, cpu = { 0 }, client = { 0 };
		char what[128];
		double got[3];

		(void)snprintf(what, sizeof(what), "%s.%s.%s", name, tls ? "tls" : "plain", rows[i].form);
		for (unsigned round = 0; round < ROUNDS && !bench_stopped(); round++) {
			double used = cpu_of_ns(pid);

			if (!run_outside(program, shared->port[tls], tls, rows[i].form, got))
				break; /* what is wrong was told */
			samples_add(&rate, got[0] / got[1] * 1e9);
			samples_add(&cpu, (cpu_of_ns(pid) - used) / got[0]);
			samples_add(&client, got[2] / got[0]);
		}
		figure(&rate, "events/s", tls ? GOAL_AT_LEAST : GOAL_NONE, rows[i].goal, "export.%s.rate", what);
		figure(&cpu, "ns", GOAL_NONE, 0, "export.%s.server", what);
		figure(&client, "ns", GOAL_NONE, 0, "export.%s.client", what);
	}
	end(pid);
}

/* ---- a hundred ----------------------------------------------------------------------------------- */

static unsigned read_all(struct lean *clients)
{
	struct pollfd fds[CLIENTS];
	unsigned whole = 0;
	double until = wall_ns() + 60e9, quiet = 0;

	while (wall_ns() < until && !bench_stopped() && whole < CLIENTS - STUCK) {
		for (unsigned i = STUCK; i < CLIENTS; i++)
			fds[i] = (struct pollfd) { clients[i].fd, POLLIN, 0 };
		if (poll(fds + STUCK, CLIENTS - STUCK, 100) == 0) {
			/* All was put, and nothing comes any more: who has less has lost some. */
			quiet += shared->put_all;
			if (quiet > 20)
				break;
			continue;
		}
		whole = 0;
		for (unsigned i = STUCK; i < CLIENTS; i++) {
			if (fds[i].revents)
				(void)lean_read(&clients[i]);
			whole += clients[i].events == HUNDRED_RECORDS && !clients[i].lost;
		}
	}
	return whole;
}

static void hundred(void)
{
	static struct lean clients[CLIENTS];
	struct samples whole = { 0 }, cpu = { 0 };
	pid_t pid = server(false, HUNDRED_RING);
	double used = cpu_of_ns(pid);
	unsigned open = 0;

	for (; pid > 0 && open < CLIENTS; open++) {
		if (!lean_open(&clients[open], shared->port[0], NULL, open % 2 ? LEAN_BATCHES : LEAN_EVENTS, NULL, 0)) {
			(void)fprintf(stderr, "export: client %u: %s\n", open, strerror(errno));
			break;
		}
		clients[open].look_inside = true;
		(void)fcntl(clients[open].fd, F_SETFL, O_NONBLOCK);
	}
	if (open == CLIENTS) {
		bench_sleep_ms(500);
		shared->go = true;
		samples_add(&whole, read_all(clients));
		samples_add(&cpu, (cpu_of_ns(pid) - used) / HUNDRED_RECORDS / (CLIENTS - STUCK));
	}
	end(pid);
	for (unsigned i = 0; i < open; i++)
		lean_close(&clients[i]);
	figure(&whole, "clients", GOAL_AT_LEAST, CLIENTS - STUCK, "export.hundred.whole");
	figure(&cpu, "ns", GOAL_NONE, 0, "export.hundred.server");
}

int main(int argc, char **argv)
{
	only = argc > 1 ? argv[1] : NULL;
	shared = bench_shared(sizeof(*shared));
	bench_begin();
	if (argc == 4 && strcmp(only, "client") == 0) {
		outside(argv[2], argv[3], false);
		if (!bench_stopped())
			outside(argv[2], argv[3], true);
		return bench_end();
	}
	if (!bench_stopped())
		rates(false);
	if (!bench_stopped())
		rates(true);
	if (!bench_stopped() && (!only || strstr("hundred", only)))
		hundred();
	return bench_end();
}
