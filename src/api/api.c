/* SPDX-License-Identifier: Apache-2.0 */
#include "api/api.h"
#include <string.h>
#include "api/internal.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"

/* ---- settings --------------------------------------------------------------------------------------------- */

static const char *const anonymous_roles[] = { "none", "viewer", NULL };

#define SETTING(m, t, d, sentence, ...) OPTION(api_settings, m, t, d, sentence, ##__VA_ARGS__)
#define TIMEOUT(n, m, d, sentence)                                                                                     \
	{ .name = (n),                                                                                                 \
	  .type = OPT_DURATION,                                                                                        \
	  .off = offsetof(struct api_settings, m),                                                                     \
	  .def = (d),                                                                                                  \
	  .doc = (sentence),                                                                                           \
	  .min = NS_PER_S / 10,                                                                                        \
	  .max = 24 * 3600 * NS_PER_S }

static const struct option rows[] = {
	SETTING(listen, OPT_STR, "127.0.0.1:7070",
		"address and port for HTTP, gRPC and WebSocket; beyond loopback only with TLS; port 0: any; empty: "
		"none"),
	SETTING(socket, OPT_PATH, "/run/shrike/api.sock",
		"unix socket that speaks the same; root and the agent's user come in without a token; empty: none"),
	SETTING(socket_group, OPT_STR, "", "group whose members are viewers on the unix socket; empty: none"),
	SETTING(tls_cert, OPT_PATH, "", "certificate (and chain), PEM; with it, `listen` speaks TLS alone"),
	SETTING(tls_key, OPT_PATH, "", "its private key, PEM, not readable by everybody"),
	SETTING(client_ca, OPT_PATH, "",
		"CA, PEM, whose client certificates are taken in place of a token; see `shrike token add --cn`"),
	SETTING(allow_plain, OPT_BOOL, "false",
		"listen beyond loopback without TLS: tokens and events can then be read on the way"),
	SETTING(anonymous, OPT_ENUM, "none",
		"what those may who bring no token, over loopback: none, or viewer to let every local user read",
		.names = anonymous_roles),
	SETTING(tokens, OPT_PATH, TOKENS_PATH, "file of tokens and consumers; the first start makes one for an admin"),
	SETTING(audit, OPT_PATH, "/var/log/shrike/api-audit.log",
		"who read what, as JSON lines, mode 0600; empty: no audit log"),
	SETTING(audit_bytes, OPT_BYTES, "16MiB", "size at which the audit log is rotated", .min = 4096, .max = 1 << 30),
	SETTING(audit_files, OPT_U32, "4", "rotated audit logs that are kept", .max = 100),
	SETTING(threads, OPT_U32, "1", "threads that serve connections", .min = 1, .max = LOOPS_MAX),
	SETTING(connections, OPT_U32, "256", "connections at a time; a further one gets 503", .min = 1, .max = 65536),
	SETTING(streams, OPT_U32, "16",
		"streams at a time of a consumer whose row does not say otherwise; a further one gets 429", .min = 1,
		.max = 65536),
	SETTING(head_bytes, OPT_BYTES, "16KiB", "longest head of a request; a longer one gets 431", .min = 1024,
		.max = 64 << 10),
	TIMEOUT("head_timeout", head_timeout_ns, "10s",
		"longest time for the head of a request, and for a TLS handshake"),
	TIMEOUT("body_timeout", body_timeout_ns, "30s", "longest time for the body of a request"),
	TIMEOUT("idle_timeout", idle_timeout_ns, "2m", "how long a connection without requests is kept"),
	TIMEOUT("stall_timeout", stall_timeout_ns, "2m",
		"how long a client may read nothing of what waits for it before its connection is closed"),
};

const struct config_section api_section = {
	.path = "api",
	.summary = "the listener for HTTP, gRPC and WebSocket",
	.rows = rows,
	.n_rows = countof(rows),
	.size = sizeof(struct api_settings),
	.can_disable = true,
};

void api_check(const struct config *config, struct config_report *report)
{
	const struct api_settings *s = config_section(config, "api");
	struct sockaddr_storage addr;
	bool tls = s->tls_cert[0] && s->tls_key[0];
	socklen_t len;

	if (!config_is_enabled(config, "api"))
		return;
	if (!s->tls_cert[0] != !s->tls_key[0])
		config_problem(config, report, false, "api", s->tls_cert[0] ? "tls_cert" : "tls_key",
			       "a certificate and its key come together: set both api.tls_cert and api.tls_key");
	if (s->client_ca[0] && !tls)
		config_problem(config, report, false, "api", "client_ca",
			       "client certificates need TLS: set api.tls_cert and api.tls_key");
	if (!s->tokens[0])
		config_problem(config, report, false, "api", "tokens", "a file is wanted");
	if (!s->listen[0])
		return;
	if (server_parse_address(s->listen, &addr, &len) < 0) {
		config_problem(config, report, false, "api", "listen", "%s", err_trail());
		return;
	}
	if (server_is_loopback(&addr))
		return;
	if (!tls && !s->allow_plain)
		config_problem(config, report, false, "api", "listen",
			       "%s is beyond this host, and tokens would go there unencrypted: set api.tls_cert and "
			       "api.tls_key, or listen at 127.0.0.1, or set api.allow_plain",
			       s->listen);
	if (s->anonymous)
		config_problem(config, report, false, "api", "anonymous",
			       "%s is beyond this host, where nobody may read without a token: set it to none, or "
			       "listen at 127.0.0.1",
			       s->listen);
}

/* ---- opening and closing ---------------------------------------------------------------------------------- */

/* Beside the file of tokens, for whoever is root to find. */
static int make_first_token(const char *path)
{
	AUTO(tokens) t = calloc(1, sizeof(*t));
	const struct token_row row = { .name = "first", .role = ROLE_ADMIN };
	const char *slash = strrchr(path, '/');
	char token[TOKEN_TEXT + 1], secret[4096];
	auto_close int lock = -1;
	int r;

	if (!t || !slash)
		return err_new(-EINVAL, "api.tokens: %s is no path", path);
	(void)snprintf(secret, sizeof(secret), "%.*s/first-token", (int)(slash - path), path);
	r = tokens_lock(path, &lock);
	if (r == 0)
		r = tokens_add(t, &row, token);
	if (r == 0)
		r = tokens_write_secret(secret, token);
	if (r == 0)
		r = tokens_save(path, t);
	explicit_bzero(token, sizeof(token));
	if (r == 0)
		log_notice("the API's first token was made", "role=admin file=%s more=\"shrike token add NAME\"",
			   secret);
	return r;
}

static int open_access(struct api *api, const struct api_settings *s)
{
	const struct access_options options = { .path = s->tokens,
						.anonymous = (enum role)s->anonymous,
						.streams = s->streams };
	int r = access_open(&options, &api->access);

	if (r != -ENOENT)
		return r;
	r = make_first_token(s->tokens);
	return r < 0 ? r : access_open(&options, &api->access);
}

static int open_all(struct api *api, const struct api_options *options)
{
	const struct api_settings *s = options->settings;
	int r = open_access(api, s);

	if (r == 0)
		r = audit_open(s->audit, s->audit_bytes, s->audit_files, &api->audit);
	if (r == 0 && s->tls_cert[0])
		r = tls_open(s, &api->tls);
	if (r == 0)
		r = work_open(&api->work);
	if (r == 0)
		r = server_open(api, s);
	return r;
}

int api_open(const struct api_options *options, struct api **ret_api)
{
	AUTO(api) api = calloc(1, sizeof(*api));
	int r;

	if (!api)
		return err_new(-ENOMEM, "no memory for the API");
	if (options->n_tables + 2 > TABLES_MAX)
		return err_new(-E2BIG, "more than %d tables of routes", TABLES_MAX);
	api->options = *options;
	api->settings = *options->settings;
	api->options.settings = NULL;
	api->tcp_fd = api->unix_fd = -1;
	api->tables[api->n_tables++] = (struct route_table) { api_routes, api_n_routes, api };
	for (size_t i = 0; i < options->n_tables; i++) {
		api->tables[api->n_tables++] = options->tables[i];
		if (options->tables[i].proto)
			api->services.files[api->services.n++] = options->tables[i].proto;
	}
	api->tables[api->n_tables++] = grpc_services_routes(&api->services);
	r = open_all(api, options);
	if (r < 0)
		return err_wrap(r, "start the API");
	log_info("the API listens", "address=%s socket=%s tls=%s", api->address[0] ? api->address : "-",
		 api->socket_path[0] ? api->socket_path : "-", api->tls ? "yes" : "no");
	*ret_api = take(api);
	return 0;
}

void api_free(struct api *api)
{
	if (!api)
		return;
	/* The worker first: what it makes may belong to those whom the loops serve. */
	work_stop(api->work);
	server_close(api);
	work_free(api->work);
	tls_free(api->tls);
	audit_free(api->audit);
	access_free(api->access);
	free(api);
}

int api_reload(struct api *api)
{
	audit_reopen(api->audit);
	access_refresh(api->access, clock_boot_ns());
	return api->tls ? tls_reload(api->tls) : 0;
}

/* ---- status ----------------------------------------------------------------------------------------------- */

static void put_text(struct buf *out, const char *name, const char *text)
{
	buf_printf(out, "\"%s\":", name);
	(void)json_write_str(out, text, strlen(text));
	buf_char(out, ',');
}

static void put_consumer(void *ctx, const struct consumer_usage *u)
{
	struct buf *out = ctx;

	if (!u->requests && !u->refused)
		return;
	buf_str(out, out->data[out->len - 1] == '[' ? "{" : ",{");
	put_text(out, "name", u->name);
	buf_printf(out,
		   "\"streams\":%u,\"requests\":%llu,\"refused\":%llu,\"limited\":%llu,\"records\":%llu,\"lost\":%llu}",
		   u->streams, (unsigned long long)u->requests, (unsigned long long)u->refused,
		   (unsigned long long)u->rate_limited, (unsigned long long)u->records, (unsigned long long)u->lost);
}

void api_status(struct api *api, struct buf *out)
{
	struct api_counters *c = &api->counters;
	uint64_t refused = 0, malformed = c->bad_http1 + c->bad_http2 + c->bad_websocket + c->tls_failed;

	for (size_t i = 0; i < countof(c->refused); i++)
		refused += c->refused[i];
	put_text(out, "listen", api->address);
	put_text(out, "socket", api->socket_path);
	buf_printf(out, "\"tls\":%s,\"tokens\":%zu,\"connections\":%llu,\"connections_refused\":%llu,",
		   api->tls ? "true" : "false", access_n_rows(api->access), (unsigned long long)c->connections_open,
		   (unsigned long long)c->connections_refused);
	buf_printf(out, "\"requests\":%llu,\"refused\":%llu,\"malformed\":%llu,\"streams\":%llu,\"records\":%llu,",
		   (unsigned long long)(c->requests[0] + c->requests[1] + c->requests[2]), (unsigned long long)refused,
		   (unsigned long long)malformed, (unsigned long long)c->streams_open, (unsigned long long)c->records);
	buf_printf(out, "\"lost\":%llu,\"consumers\":[", (unsigned long long)c->records_lost);
	access_each_usage(api->access, put_consumer, out);
	buf_char(out, ']');
}
