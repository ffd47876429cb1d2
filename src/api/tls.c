/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls - OpenSSL, kept to what the listener wants: TLS 1.2 and 1.3, ciphers with forward secrecy, ALPN, and client
 * certificates where a CA is given (asked for, not required: who brings none may still have a token).
 */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include "api/internal.h"
#include "base/err.h"
#include "base/log.h"

#define CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!eNULL"

struct tls {
	pthread_mutex_t lock;
	SSL_CTX *ctx; /* of new connections */
	char *cert, *key, *client_ca;
};

struct tls_conn {
	SSL *ssl;
};

/* The last thing that OpenSSL complained of. */
static const char *complaint(char *buf, size_t size)
{
	unsigned long e = ERR_peek_last_error();

	if (e)
		ERR_error_string_n(e, buf, size);
	else
		(void)snprintf(buf, size, "%s", strerror(errno));
	ERR_clear_error();
	return buf;
}

static int choose(SSL *ssl, const unsigned char **ret, unsigned char *ret_n, const unsigned char *in, unsigned n,
		  void *arg)
{
	static const unsigned char ours[] = "\x02h2\x08http/1.1";
	unsigned char *chosen;

	(void)ssl;
	(void)arg;
	if (SSL_select_next_proto(&chosen, ret_n, ours, sizeof(ours) - 1, in, n) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*ret = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static int check_key_file(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return err_sys(errno, "api.tls_key: %s", path);
	if (st.st_mode & 007)
		return err_new(-EPERM, "api.tls_key: everybody can read %s: chmod 600", path);
	return 0;
}

static int load(const struct tls *t, SSL_CTX *ctx)
{
	char why[256];
	int r = check_key_file(t->key);

	if (r < 0)
		return r;
	if (SSL_CTX_use_certificate_chain_file(ctx, t->cert) != 1)
		return err_new(-EINVAL, "api.tls_cert: %s: %s", t->cert, complaint(why, sizeof(why)));
	if (SSL_CTX_use_PrivateKey_file(ctx, t->key, SSL_FILETYPE_PEM) != 1)
		return err_new(-EINVAL, "api.tls_key: %s: %s", t->key, complaint(why, sizeof(why)));
	if (SSL_CTX_check_private_key(ctx) != 1)
		return err_new(-EINVAL, "api.tls_key: %s is not the key of %s", t->key, t->cert);
	if (!t->client_ca[0])
		return 0;
	if (SSL_CTX_load_verify_locations(ctx, t->client_ca, NULL) != 1)
		return err_new(-EINVAL, "api.client_ca: %s: %s", t->client_ca, complaint(why, sizeof(why)));
	SSL_CTX_set_client_CA_list(ctx, SSL_load_client_CA_file(t->client_ca));
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_verify_depth(ctx, 4);
	return 0;
}

static int make(const struct tls *t, SSL_CTX **ret_ctx)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	int r;

	if (!ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
	    SSL_CTX_set_cipher_list(ctx, CIPHERS) != 1) {
		SSL_CTX_free(ctx);
		return err_new(-ENOMEM, "cannot set up TLS");
	}
	(void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
					       SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
	(void)SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					    SSL_MODE_RELEASE_BUFFERS);
	/* A session that is taken up again would bring a certificate that may have been taken away since. */
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	(void)SSL_CTX_set_num_tickets(ctx, 0);
	(void)SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	SSL_CTX_set_alpn_select_cb(ctx, choose, NULL);
	r = load(t, ctx);
	if (r < 0) {
		SSL_CTX_free(ctx);
		return r;
	}
	*ret_ctx = ctx;
	return 0;
}

int tls_open(const struct api_settings *settings, struct tls **ret_tls)
{
	struct tls *t = calloc(1, sizeof(*t));
	int r = -ENOMEM;

	if (t) {
		(void)pthread_mutex_init(&t->lock, NULL);
		t->cert = strdup(settings->tls_cert);
		t->key = strdup(settings->tls_key);
		t->client_ca = strdup(settings->client_ca);
		r = t->cert && t->key && t->client_ca ? make(t, &t->ctx) : err_new(-ENOMEM, "no memory for TLS");
	}
	if (r < 0) {
		tls_free(t);
		return r;
	}
	*ret_tls = t;
	return 0;
}

void tls_free(struct tls *t)
{
	if (!t)
		return;
	SSL_CTX_free(t->ctx);
	free(t->cert);
	free(t->key);
	free(t->client_ca);
	(void)pthread_mutex_destroy(&t->lock);
	free(t);
}

int tls_reload(struct tls *t)
{
	SSL_CTX *fresh, *old;
	int r = make(t, &fresh);

	if (r < 0)
		return r;
	(void)pthread_mutex_lock(&t->lock);
	old = t->ctx;
	t->ctx = fresh;
	(void)pthread_mutex_unlock(&t->lock);
	SSL_CTX_free(old);
	return 0;
}

int tls_conn_open(struct tls *t, int fd, struct tls_conn **ret_conn)
{
	struct tls_conn *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	(void)pthread_mutex_lock(&t->lock);
	c->ssl = SSL_new(t->ctx);
	(void)pthread_mutex_unlock(&t->lock);
	if (!c->ssl || SSL_set_fd(c->ssl, fd) != 1) {
		tls_conn_free(c);
		return -ENOMEM;
	}
	SSL_set_accept_state(c->ssl);
	*ret_conn = c;
	return 0;
}

void tls_conn_free(struct tls_conn *c)
{
	if (!c)
		return;
	SSL_free(c->ssl);
	free(c);
}

static int why(struct tls_conn *c, int r)
{
	int e = SSL_get_error(c->ssl, r);

	/* The queue is the thread's: what is left in it would be taken for the next connection's. */
	ERR_clear_error();
	if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE)
		return TLS_AGAIN;
	return e == SSL_ERROR_ZERO_RETURN ? TLS_CLOSED : TLS_FAILED;
}

int tls_handshake(struct tls_conn *c, bool *ret_wants_write)
{
	int r = SSL_do_handshake(c->ssl);

	*ret_wants_write = r != 1 && SSL_want_write(c->ssl);
	return r == 1 ? 0 : why(c, r);
}

ssize_t tls_read(struct tls_conn *c, void *to, size_t n)
{
	size_t got;
	int r = SSL_read_ex(c->ssl, to, n, &got);

	return r == 1 ? (ssize_t)got : why(c, r);
}

ssize_t tls_write(struct tls_conn *c, const void *bytes, size_t n)
{
	size_t sent;
	int r = SSL_write_ex(c->ssl, bytes, n, &sent);

	return r == 1 ? (ssize_t)sent : why(c, r);
}

void tls_shutdown(struct tls_conn *c)
{
	(void)SSL_shutdown(c->ssl);
	ERR_clear_error();
}

bool tls_speaks_http2(const struct tls_conn *c)
{
	const unsigned char *name;
	unsigned n;

	SSL_get0_alpn_selected(c->ssl, &name, &n);
	return n == 2 && !memcmp(name, "h2", 2);
}

void tls_peer_cn(const struct tls_conn *c, char *to, size_t size)
{
	X509 *cert = SSL_get1_peer_certificate(c->ssl);
	int n = -1;

	to[0] = 0;
	if (cert && SSL_get_verify_result(c->ssl) == X509_V_OK)
		n = X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, to, (int)size);
	/* A name with a NUL in it, or one that was cut, is another name than it looks. */
	if (n < 0 || (size_t)n != strlen(to) || (size_t)n >= size - 1)
		to[0] = 0;
	X509_free(cert);
}
