/* SPDX-License-Identifier: Apache-2.0 */
/* The listener with real sockets and TLS. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include "api/internal.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/test.h"

enum { ANSWER_MAX = 64 << 20, BIG = 8 << 20 };

/* ---- a server --------------------------------------------------------------------------------------------------- */

static void hello(struct http_request *req)
{
	http_reply(req, 200, "text/plain", req->consumer->name, strlen(req->consumer->name));
}

/* Never ends, and counts who reads it. */
static _Atomic unsigned streams_closed;

static ssize_t flood(void *ctx, char *to, size_t room)
{
	(void)ctx;
	memset(to, 'f', room);
	return (ssize_t)room;
}

static void flood_closed(void *ctx, bool complete)
{
	(void)ctx;
	(void)complete;
	streams_closed++;
}

static const struct http_stream flood_stream = { .produce = flood, .closed = flood_closed };

static void begin_flood(struct http_request *req)
{
	(void)http_stream(req, 200, "text/plain", &flood_stream, NULL);
}

/* BIG bytes that can be checked. */
struct big {
	size_t at;
};

static ssize_t big_produce(void *ctx, char *to, size_t room)
{
	struct big *b = ctx;
	size_t n = BIG - b->at < room ? BIG - b->at : room;

	for (size_t i = 0; i < n; i++)
		to[i] = (char)('a' + (b->at + i) % 23);
	b->at += n;
	return n ? (ssize_t)n : HTTP_END;
}

static void big_closed(void *ctx, bool complete)
{
	(void)complete;
	free(ctx);
}

static const struct http_stream big_stream = { .produce = big_produce, .closed = big_closed };

static void begin_big(struct http_request *req)
{
	(void)http_stream(req, 200, "text/plain", &big_stream, calloc(1, sizeof(struct big)));
}

static const struct route routes[] = {
	{ .method = "GET", .path = "/hello", .role = ROLE_VIEWER, .handle = hello },
	{ .method = "GET", .path = "/flood", .role = ROLE_VIEWER, .handle = begin_flood },
	{ .method = "GET", .path = "/big", .role = ROLE_VIEWER, .handle = begin_big },
};

struct site {
	char dir[64], tokens[96], first[96], socket[96], cert[96], key[96], ca[96], client_cert[96], client_key[96],
		audit[96];
	struct api_settings settings;
	struct api *api;
	unsigned port;
	char token[TOKEN_TEXT + 2];
};

static void path_in(const struct site *s, const char *name, char to[96])
{
	(void)snprintf(to, 96, "%s/%s", s->dir, name);
}

static bool site_init(struct site *s)
{
	(void)snprintf(s->dir, sizeof(s->dir), "/tmp/shrike-api-XXXXXX");
	if (!mkdtemp(s->dir))
		return false;
	path_in(s, "tokens", s->tokens);
	path_in(s, "first-token", s->first);
	path_in(s, "sock", s->socket);
	path_in(s, "cert.pem", s->cert);
	path_in(s, "key.pem", s->key);
	path_in(s, "ca.pem", s->ca);
	path_in(s, "client.pem", s->client_cert);
	path_in(s, "client-key.pem", s->client_key);
	path_in(s, "audit.log", s->audit);
	if (option_defaults(api_section.rows, api_section.n_rows, &s->settings) < 0)
		return false;
	for (size_t i = 0; i < api_section.n_rows; i++) {
		const struct option *row = &api_section.rows[i];
		const char *value = !strcmp(row->name, "listen")   ? "127.0.0.1:0"
				    : !strcmp(row->name, "tokens") ? s->tokens
				    : !strcmp(row->name, "socket") ? s->socket
				    : !strcmp(row->name, "audit")  ? s->audit
								   : NULL;

		if (value && option_set(row, value, &s->settings) < 0)
			return false;
	}
	return true;
}

static bool site_set(struct site *s, const char *name, const char *value)
{
	for (size_t i = 0; i < api_section.n_rows; i++)
		if (!strcmp(api_section.rows[i].name, name))
			return option_set(&api_section.rows[i], value, &s->settings) == 0;
	return false;
}

static int site_open(struct site *s)
{
	const struct route_table table = { routes, countof(routes), NULL };
	const struct api_options options = { .settings = &s->settings, .tables = &table, .n_tables = 1 };
	auto_file FILE *f = NULL;
	int r = api_open(&options, &s->api);

	if (r < 0)
		return r;
	s->port = (unsigned)strtoul(strrchr(s->api->address, ':') + 1, NULL, 10);
	f = fopen(s->first, "re");
	if (f && fgets(s->token, sizeof(s->token), f))
		s->token[strcspn(s->token, "\n")] = 0;
	return 0;
}

static void site_close(struct site *s)
{
	const char *const files[] = { s->tokens, s->first,       s->cert,       s->key,
				      s->ca,     s->client_cert, s->client_key, s->audit };

	api_free(s->api);
	for (size_t i = 0; i < countof(files); i++)
		(void)unlink(files[i]);
	for (unsigned i = 1; i < 5; i++) {
		char rotated[112];

		(void)snprintf(rotated, sizeof(rotated), "%s.%u", s->audit, i);
		(void)unlink(rotated);
	}
	options_clear(api_section.rows, api_section.n_rows, &s->settings);
	(void)rmdir(s->dir);
}
#define auto_site __attribute__((cleanup(site_close)))

/* ---- clients --------------------------------------------------------------------------------------------------------
 */

static int dial(const struct site *s)
{
	const struct timeval patience = { .tv_sec = 20 };
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons((uint16_t)s->port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

static void make_request(const struct site *s, const char *path, bool keep, char to[512])
{
	(void)snprintf(to, 512, "GET %s HTTP/1.1\r\nHost: localhost\r\n%sAuthorization: Bearer %s\r\n\r\n", path,
		       keep ? "" : "Connection: close\r\n", s->token);
}

static unsigned read_answer(int fd, struct buf *answer)
{
	char bytes[65536];
	unsigned status = 0;
	ssize_t n;

	while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0)
		buf_add(answer, bytes, (size_t)n);
	(void)sscanf(buf_text(answer), "HTTP/1.1 %u", &status);
	return status;
}

static unsigned get(const struct site *s, const char *path, struct buf *answer)
{
	auto_close int fd = dial(s);
	char request[512];

	make_request(s, path, false, request);
	buf_clear(answer);
	if (fd < 0 || send(fd, request, strlen(request), MSG_NOSIGNAL) < 0)
		return 0;
	return read_answer(fd, answer);
}

/* ---- certificates
 * ------------------------------------------------------------------------------------------------------ */

struct issued {
	EVP_PKEY *key;
	X509 *cert;
};

static void issued_free(struct issued *i)
{
	EVP_PKEY_free(i->key);
	X509_free(i->cert);
}
#define auto_issued __attribute__((cleanup(issued_free)))

/* `by` NULL: it signs itself. */
static bool issue(const char *cn, const struct issued *by, struct issued *ret)
{
	static long serial = 1;
	X509_NAME *name;

	ret->key = EVP_EC_gen("P-256");
	ret->cert = X509_new();
	name = X509_get_subject_name(ret->cert);
	(void)X509_set_version(ret->cert, 2);
	(void)ASN1_INTEGER_set(X509_get_serialNumber(ret->cert), serial++);
	(void)X509_gmtime_adj(X509_getm_notBefore(ret->cert), -3600);
	(void)X509_gmtime_adj(X509_getm_notAfter(ret->cert), 3600);
	(void)X509_set_pubkey(ret->cert, ret->key);
	(void)X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0);
	(void)X509_set_issuer_name(ret->cert, by ? X509_get_subject_name(by->cert) : name);
	if (!by) {
		X509_EXTENSION *ca = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE");

		(void)X509_add_ext(ret->cert, ca, -1);
		X509_EXTENSION_free(ca);
	}
	return X509_sign(ret->cert, by ? by->key : ret->key, EVP_sha256()) > 0;
}

static bool write_issued(const struct issued *i, const char *cert, const char *key)
{
	auto_file FILE *c = fopen(cert, "we"), *k = key ? fopen(key, "we") : NULL;

	if (!c || !PEM_write_X509(c, i->cert))
		return false;
	return !key || (k && !fchmod(fileno(k), 0600) && PEM_write_PrivateKey(k, i->key, NULL, NULL, 0, NULL, NULL));
}

/* One request over TLS; the status, or 0 when it came to no answer. */
static unsigned get_tls(const struct site *s, const char *path, const char *token, const struct issued *client,
			int max_version, struct buf *answer)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	auto_close int fd = dial(s);
	char request[512], bytes[65536];
	unsigned status = 0;
	SSL *ssl;
	int n;

	buf_clear(answer);
	if (max_version) {
		SSL_CTX_set_security_level(ctx, 0);
		(void)SSL_CTX_set_max_proto_version(ctx, max_version);
	}
	if (client) {
		(void)SSL_CTX_use_certificate(ctx, client->cert);
		(void)SSL_CTX_use_PrivateKey(ctx, client->key);
	}
	ssl = SSL_new(ctx);
	(void)SSL_set_fd(ssl, fd);
	(void)snprintf(request, sizeof(request),
		       "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s%s%s\r\n", path,
		       token ? "Authorization: Bearer " : "", token ? token : "", token ? "\r\n" : "");
	if (SSL_connect(ssl) == 1 && SSL_write(ssl, request, (int)strlen(request)) > 0) {
		while ((n = SSL_read(ssl, bytes, sizeof(bytes))) > 0)
			buf_add(answer, bytes, (size_t)n);
		(void)sscanf(buf_text(answer), "HTTP/1.1 %u", &status);
	}
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	return status;
}

/* ---- tests
 * ---------------------------------------------------------------------------------------------------------------- */

TEST(a_long_stream_arrives_whole)
{
	auto_site struct site s = { 0 };
	auto_buf struct buf answer = { .max = ANSWER_MAX };
	size_t got = 0, wrong = 0;
	const char *p;

	require(site_init(&s) && site_set(&s, "threads", "2"));
	require_ok(site_open(&s));
	check_int(get(&s, "/big", &answer), 200);
	p = strstr(buf_text(&answer), "\r\n\r\n");
	require(p);
	for (p += 4; *p;) {
		char *end;
		size_t n = strtoul(p, &end, 16);

		require(end[0] == '\r' && end[1] == '\n');
		if (!n)
			break;
		for (size_t i = 0; i < n; i++)
			wrong += end[2 + i] != (char)('a' + (got + i) % 23);
		got += n;
		p = end + 2 + n + 2;
	}
	check_int(got, BIG);
	check_int(wrong, 0);
}

TEST(clients_that_do_not_read_hold_up_nobody)
{
	auto_site struct site s = { 0 };
	auto_buf struct buf answer = { .max = ANSWER_MAX };
	char request[512];
	int stuck[10];

	require(site_init(&s) && site_set(&s, "streams", "20"));
	require_ok(site_open(&s));
	streams_closed = 0;
	make_request(&s, "/flood", true, request);
	for (size_t i = 0; i < countof(stuck); i++) {
		stuck[i] = dial(&s);
		require(stuck[i] >= 0 && send(stuck[i], request, strlen(request), MSG_NOSIGNAL) > 0);
	}
	for (int i = 0; i < 3; i++) {
		check_int(get(&s, "/big", &answer), 200);
		check(answer.len > BIG);
	}
	/* Those that go away are noticed though they have not read. */
	for (size_t i = 0; i < countof(stuck); i++)
		(void)close(stuck[i]);
	for (int i = 0; i < 500 && streams_closed < countof(stuck); i++)
		(void)usleep(10000);
	check_int(streams_closed, countof(stuck));
	check_int(s.api->counters.streams_open, 0);
}

TEST(connections_are_bounded_and_refused_with_a_status)
{
	auto_site struct site s = { 0 };
	auto_buf struct buf answer = { .max = ANSWER_MAX };
	auto_close int first = -1;
	auto_close int second = -1;

	require(site_init(&s) && site_set(&s, "connections", "2"));
	require_ok(site_open(&s));
	first = dial(&s);
	second = dial(&s);
	for (int i = 0; i < 500 && s.api->counters.connections_open < 2; i++)
		(void)usleep(10000);
	check_int(get(&s, "/hello", &answer), 503);
	check_int(s.api->counters.connections_refused, 1);
	fd_closep(&first);
	for (int i = 0; i < 500 && s.api->counters.connections_open > 1; i++)
		(void)usleep(10000);
	check_int(get(&s, "/hello", &answer), 200);
}

TEST(tls_is_modern_and_certificates_may_stand_for_tokens)
{
	auto_site struct site s = { 0 };
	auto_buf struct buf answer = { .max = ANSWER_MAX };
	auto_issued struct issued ca = { 0 };
	auto_issued struct issued server = { 0 };
	auto_issued struct issued client = { 0 };
	auto_issued struct issued stranger_ca = { 0 };
	auto_issued struct issued stranger = { 0 };
	AUTO(tokens) t = NULL;
	const struct token_row row = { .name = "collector", .role = ROLE_VIEWER, .cn = "collector.example" };
	char none[TOKEN_TEXT + 1];

	require(site_init(&s));
	require(issue("ca", NULL, &ca) && issue("localhost", &ca, &server) && issue("collector.example", &ca, &client));
	require(issue("other ca", NULL, &stranger_ca) && issue("collector.example", &stranger_ca, &stranger));
	require(write_issued(&server, s.cert, s.key) && write_issued(&ca, s.ca, NULL));
	require(site_set(&s, "tls_cert", s.cert) && site_set(&s, "tls_key", s.key) && site_set(&s, "client_ca", s.ca));
	require_ok(site_open(&s));

	check_int(get_tls(&s, "/hello", s.token, NULL, 0, &answer), 200);
	check_int(get_tls(&s, "/hello", NULL, NULL, 0, &answer), 401);
	check_int(get_tls(&s, "/hello", s.token, NULL, TLS1_2_VERSION, &answer), 200);
	check_int(get_tls(&s, "/hello", s.token, NULL, TLS1_1_VERSION, &answer), 0);
	check_int(get_tls(&s, "/big", s.token, NULL, 0, &answer), 200);
	check(answer.len > BIG);
	/* Plain words on the port of TLS get nothing. */
	check_int(get(&s, "/hello", &answer), 0);

	/* A certificate of our CA, which has no row yet, and then has. */
	check_int(get_tls(&s, "/hello", NULL, &client, 0, &answer), 401);
	require_ok(tokens_load(s.tokens, &t));
	require_ok(tokens_add(t, &row, none));
	require_ok(tokens_save(s.tokens, t));
	for (int i = 0; i < 50 && get_tls(&s, "/hello", NULL, &client, 0, &answer) != 200; i++)
		(void)usleep(100000);
	check_has(buf_text(&answer), "\r\n\r\ncollector");
	/* The same name from another CA is nobody. */
	check_int(get_tls(&s, "/hello", NULL, &stranger, 0, &answer), 0);
	check(s.api->counters.tls_failed >= 2);

	/* A new certificate is taken without a restart; one that is broken is not, and the old one stays. */
	{
		auto_issued struct issued next = { 0 };
		auto_file FILE *broken = NULL;

		require(issue("localhost", &ca, &next) && write_issued(&next, s.cert, s.key));
		require_ok(api_reload(s.api));
		check_int(get_tls(&s, "/hello", s.token, NULL, 0, &answer), 200);
		broken = fopen(s.cert, "we");
		require(broken && fputs("nonsense\n", broken) > 0);
		file_closep(&broken);
		check_int(api_reload(s.api), -EINVAL);
		check_has(err_trail(), "api.tls_cert");
		check_int(get_tls(&s, "/hello", s.token, NULL, 0, &answer), 200);
	}
}

TEST(the_audit_log_says_who_read_what_and_rotates)
{
	auto_site struct site s = { 0 };
	auto_buf struct buf answer = { .max = ANSWER_MAX };
	char rotated[112], line[1024] = "";
	auto_file FILE *f = NULL;
	struct stat st;

	require(site_init(&s) && site_set(&s, "audit_bytes", "4KiB") && site_set(&s, "audit_files", "2"));
	require_ok(site_open(&s));
	for (int i = 0; i < 60; i++)
		check_int(get(&s, "/hello", &answer), 200);
	f = fopen(s.audit, "re");
	require(f && fgets(line, sizeof(line), f));
	check_has(line, "\"event\":\"end\",\"consumer\":\"first\",\"role\":\"admin\",\"peer\":\"127.0.0.1:");
	check_has(line,
		  "\"protocol\":\"http/1.1\",\"method\":\"GET\",\"path\":\"/hello\",\"status\":200,\"records\":0");
	(void)snprintf(rotated, sizeof(rotated), "%s.2", s.audit);
	check(!stat(rotated, &st) && st.st_size <= 4096 && (st.st_mode & 0777) == 0600);
	(void)snprintf(rotated, sizeof(rotated), "%s.3", s.audit);
	check(stat(rotated, &st) != 0);
	/* Somebody else moves it away, as logrotate does. */
	(void)snprintf(rotated, sizeof(rotated), "%s.4", s.audit);
	require(!rename(s.audit, rotated));
	require_ok(api_reload(s.api));
	check_int(get(&s, "/hello", &answer), 200);
	check(!stat(s.audit, &st) && st.st_size > 0);
}

TEST(what_may_not_be_served_is_refused_at_the_start)
{
	static const struct {
		const char *name, *option, *value, *want;
	} rows[] = {
		{ "a certificate that is not there", "tls_cert", "/nowhere/cert.pem", "api.tls_" },
		{ "a group that is not there", "socket_group", "no-such-group-at-all", "there is no group" },
		{ "a file of tokens that is a folder", "tokens", "/tmp", "is no file" },
		{ "an address of another host", "listen", "192.0.2.1:1", "listen at 192.0.2.1:1" },
		{ "a socket that is a file", "socket", "/etc/passwd", "is no socket" },
	};

	for_each_row (r, rows) {
		auto_site struct site s = { 0 };

		require(site_init(&s) && site_set(&s, r->option, r->value));
		if (!strcmp(r->option, "tls_cert"))
			require(site_set(&s, "tls_key", "/nowhere/key.pem"));
		check(site_open(&s) < 0);
		check_has(err_trail(), r->want);
	}
}
