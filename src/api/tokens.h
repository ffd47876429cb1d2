/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokens - the file that says who may use the API: one JSON object a line.
 *
 *	{"name":"grafana","role":"viewer","id":"0123456789ab","salt":"..","hash":"..","created":"2024-05-06T07:08:09Z"}
 *	{"name":"collector","role":"operator","cn":"collector.example","allow":["process.*"],"events_per_s":10000}
 *
 * A row with `hash` is a token; one with `cn` is a client certificate of that common name. A token is
 * shr_<id>_<secret>; its id says which row it is, and its secret has 256 random bits, of which only
 * SHA-256(salt, token) is kept: a slow hash protects what people choose, not what a machine has drawn.
 *
 * The file is the agent's user's alone (mode 0600), written whole and renamed, so a reader never sees half of it.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "api/consumer.h"
#include "base/buf.h"
#include "base/sha256.h"

#define TOKENS_PATH "/var/lib/shrike/tokens"

enum {
	TOKENS_MAX = 1024,
	TOKENS_LINE_MAX = 16 << 10,
	TOKEN_ID_HEX = 12,
	TOKEN_SECRET_TEXT = 43, /* 32 bytes in base64url */
	TOKEN_TEXT = 4 + TOKEN_ID_HEX + 1 + TOKEN_SECRET_TEXT,
	TOKEN_SALT = 16,
	TOKEN_CN_MAX = 128,
};

struct token_row {
	char name[CONSUMER_NAME_MAX + 1];
	enum role role;
	char cn[TOKEN_CN_MAX + 1]; /* "": it is a token */
	char id[TOKEN_ID_HEX + 1];
	unsigned char salt[TOKEN_SALT], hash[SHA256_SIZE];
	char created[32];
	struct option_list allow, deny;
	uint32_t events_per_s, requests_per_s, streams;
};

struct tokens {
	struct token_row *rows;
	size_t n;
};

void tokens_free(struct tokens *t);
DEFINE_AUTO(tokens)
/* -ENOENT without a trail when there is no file. Refuses a file that others may read, and says file and line. */
int tokens_load(const char *path, struct tokens **ret_tokens);
int tokens_parse(const char *name, const char *text, size_t n, struct tokens **ret_tokens);
int tokens_save(const char *path, const struct tokens *t);

/*
 * Adds a row, of which name, role, bounds and (for a certificate) cn are set; the lists are copied. Without cn it draws
 * a token, which nobody can find out later. -EEXIST: the name or cn has a row.
 */
int tokens_add(struct tokens *t, const struct token_row *row, char ret_token[TOKEN_TEXT + 1]);
/* -ENOENT: no row has this name. */
int tokens_revoke(struct tokens *t, const char *name);

/* The row whose token this is, or NULL. How long it takes does not depend on how much of the secret is right. */
const struct token_row *tokens_find(const struct tokens *t, const char *token, size_t n);
const struct token_row *tokens_find_cn(const struct tokens *t, const char *cn);

/* Holds off other writers of the file (not its readers) until the descriptor is closed; makes the folder. */
int tokens_lock(const char *path, int *ret_fd);
/* A file of its own for one token, mode 0600, that must not be there yet or is replaced. */
int tokens_write_secret(const char *path, const char *token);
