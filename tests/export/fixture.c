/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/export/fixture.h"
#include <arpa/inet.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/test.h"
#include "event/fuzz_kinds.h"
#include "sensors/file/file.event.h"
#include "sensors/net/net.event.h"
#include "sensors/process/process.event.h"

int export_run(struct buf *out, const char *fmt, ...)
{
	char command[PATH_MAX * 2], chunk[4096];
	va_list ap;
	size_t n;
	FILE *f;
	int r;

	va_start(ap, fmt);
	r = vsnprintf(command, sizeof(command) - 8, fmt, ap);
	va_end(ap);
	(void)strcpy(command + r, " 2>&1");
	f = popen(command, "re");
	while (f && (n = fread(chunk, 1, sizeof(chunk), f)))
		buf_add(out, chunk, n);
	r = f ? pclose(f) : -1;
	return WIFEXITED(r) ? WEXITSTATUS(r) : -1;
}

static bool make_certificate(const char *dir)
{
	auto_buf struct buf out = { .max = 1 << 16 };

	if (!export_run(
		    &out,
		    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost "
		    "-addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout %s/key.pem -out %s/cert.pem",
		    dir, dir))
		return true;
	test_fail(T_HERE, "openssl: %s", buf_text(&out));
	return false;
}

static bool open_api(struct export_fixture *f, bool tls)
{
	char tokens[96], audit[96], cert[96] = "", key[96] = "";
	struct api_settings settings = { 0 };
	const struct api_options options = { .settings = &settings, .tables = &f->table, .n_tables = 1 };
	auto_buf struct buf status = { .max = 1 << 16 };
	const char *at;
	int r;

	if (option_defaults(api_section.rows, api_section.n_rows, &settings) < 0)
		return false;
	(void)snprintf(tokens, sizeof(tokens), "%s/tokens", f->dir);
	(void)snprintf(audit, sizeof(audit), "%s/audit.log", f->dir);
	if (tls) {
		(void)snprintf(cert, sizeof(cert), "%s/cert.pem", f->dir);
		(void)snprintf(key, sizeof(key), "%s/key.pem", f->dir);
	}
	f->table = export_routes(f->x);
	{
		/* The defaults own their texts. */
		struct api_settings own = settings;

		settings.listen = (char *)(uintptr_t)"127.0.0.1:0";
		settings.socket = (char *)(uintptr_t)"";
		settings.tokens = tokens;
		settings.audit = audit;
		settings.tls_cert = cert;
		settings.tls_key = key;
		settings.anonymous = ROLE_VIEWER;
		settings.streams = 256;
		r = api_open(&options, &f->api);
		options_clear(api_section.rows, api_section.n_rows, &own);
	}
	if (r < 0)
		return false;
	api_status(f->api, &status);
	at = strstr(buf_text(&status), "127.0.0.1:");
	f->port = at ? (unsigned)strtoul(at + strlen("127.0.0.1:"), NULL, 10) : 0;
	return f->port != 0;
}

static bool write_token(struct export_fixture *f, const struct token_row *row)
{
	AUTO(tokens) t = calloc(1, sizeof(*t));
	char path[96];

	(void)snprintf(path, sizeof(path), "%s/tokens", f->dir);
	if (t && tokens_add(t, row, f->token) == 0 && tokens_save(path, t) == 0)
		return true;
	test_fail(T_HERE, "%s", err_trail());
	return false;
}

static bool fixture_open(struct export_fixture *f, size_t ring_bytes, const struct export_source *source, bool tls,
			 const struct token_row *row)
{
	struct export_source from = source ? *source : (struct export_source) { 0 };

	*f = (struct export_fixture) { .dir = "/tmp/shrike-export-XXXXXX" };
	fuzz_kinds_register();
	event_clock_set(clock_wall_minus_boot_ns());
	if (!mkdtemp(f->dir) || (tls && !make_certificate(f->dir)) || (row && !write_token(f, row)))
		return false;
	if (raw_ring_open(ring_bytes, &f->ring) < 0) {
		test_fail(T_HERE, "%s", err_trail());
		return false;
	}
	from.ring = f->ring;
	if (export_open(&from, &f->x) < 0 || !open_api(f, tls)) {
		test_fail(T_HERE, "%s", err_trail());
		return false;
	}
	return true;
}

bool export_fixture_open(struct export_fixture *f, size_t ring_bytes, const struct export_source *source, bool tls)
{
	return fixture_open(f, ring_bytes, source, tls, NULL);
}

bool export_fixture_open_for(struct export_fixture *f, size_t ring_bytes, const struct token_row *row)
{
	return fixture_open(f, ring_bytes, NULL, false, row);
}

void export_fixture_close(struct export_fixture *f)
{
	auto_buf struct buf out = { .max = 4096 };

	api_free(f->api);
	export_free(f->x);
	raw_ring_free(f->ring);
	if (strncmp(f->dir, "/tmp/shrike-export-", 19) == 0)
		(void)export_run(&out, "rm -rf %s", f->dir);
	event_clock_set(0);
}

void export_fixture_put(struct export_fixture *f, unsigned n)
{
	static const char path[] = "/tmp/some/file";
	struct {
		union {
			struct ev_head head;
			struct ev_exit exit;
			struct ev_net_connect connect;
			struct ev_file_open open;
		};
		char text[32];
	} r;

	for (unsigned i = 0; i < n; i++, f->put++) {
		memset(&r, 0, sizeof(r));
		switch (f->only_exits ? 0 : f->put % 3) {
		case 0:
			r.head = (struct ev_head) { .id = EV_EXIT, .len = sizeof(r.exit), .class = EV_NORMAL };
			r.exit.code = 1;
			break;
		case 1:
			r.head =
				(struct ev_head) { .id = EV_NET_CONNECT, .len = sizeof(r.connect), .class = EV_NORMAL };
			memcpy(r.connect.flow.destination.bytes, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\1\2\3", 16);
			r.connect.flow.destination_port = 443;
			r.connect.outcome = NET_SUCCESS;
			break;
		default:
			r.head = (struct ev_head) { .id = EV_FILE_OPEN, .class = EV_BULK };
			r.head.len = (__u16)(sizeof(r.open) + sizeof(path));
			r.open.f.path = (struct ev_str) { sizeof(r.open), sizeof(path) - 1 };
			memcpy((char *)&r + sizeof(r.open), path, sizeof(path));
		}
		r.head.time_ns = clock_boot_ns();
		r.head.pid = r.head.tid = 1000 + (__u32)(f->put % 10000);
		r.head.start_ns = 5;
		(void)snprintf(r.head.comm, sizeof(r.head.comm), "p%llu", (unsigned long long)f->put % 7);
		raw_ring_put(f->ring, &r.head);
	}
	raw_ring_flush(f->ring, clock_boot_ns());
}

void export_fixture_put_long(struct export_fixture *f, size_t n, bool wild)
{
	static _Alignas(8) char bytes[EV_LEN_MAX];
	struct ev_exec *e = (struct ev_exec *)bytes;

	memset(bytes, 0, sizeof(*e));
	memset(bytes + sizeof(*e), wild ? 0xfe : 'a', n);
	bytes[sizeof(*e) + n] = 0;
	e->head = (struct ev_head) { .id = EV_EXEC,
				     .class = EV_NORMAL,
				     .len = (__u16)(sizeof(*e) + n + 1),
				     .time_ns = clock_boot_ns(),
				     .pid = 77,
				     .comm = "long" };
	e->args = (struct ev_str) { sizeof(*e), (__u16)n };
	raw_ring_put(f->ring, &e->head);
	raw_ring_flush(f->ring, clock_boot_ns());
}
