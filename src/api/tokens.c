/* SPDX-License-Identifier: Apache-2.0 */
#include "api/tokens.h"
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"

enum { FILE_BYTES_MAX = TOKENS_MAX * 4096, PATH_BYTES_MAX = 4096 };

static void row_clear(struct token_row *row)
{
	types_clear(&row->allow);
	types_clear(&row->deny);
}

void tokens_free(struct tokens *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n; i++)
		row_clear(&t->rows[i]);
	free(t->rows);
	free(t);
}

/* ---- what a row may be ------------------------------------------------------------------------------------ */

static bool is_name(const char *name)
{
	size_t n = strlen(name);

	return n && n <= CONSUMER_NAME_MAX &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.@") == n;
}

static bool is_glob(const char *glob)
{
	size_t n = strlen(glob);

	return n && n <= 64 && strspn(glob, "abcdefghijklmnopqrstuvwxyz0123456789._*?") == n;
}

static int check_row(const struct token_row *row)
{
	const struct option_list *lists[] = { &row->allow, &row->deny };

	if (!is_name(row->name))
		return err_new(-EINVAL, "\"%s\" is no name: 1 to %d letters, digits and - _ . @", row->name,
			       CONSUMER_NAME_MAX);
	if (row->role == ROLE_NONE)
		return err_new(-EINVAL, "%s: a role is viewer, operator or admin", row->name);
	for (size_t k = 0; k < countof(lists); k++) {
		if (lists[k]->n > CONSUMER_TYPES_MAX)
			return err_new(-EINVAL, "%s: more than %d event types in a list", row->name,
				       CONSUMER_TYPES_MAX);
		for (size_t i = 0; i < lists[k]->n; i++)
			if (!is_glob(lists[k]->items[i]))
				return err_new(-EINVAL, "%s: \"%s\" is no event type, such as process.exec or file.*",
					       row->name, lists[k]->items[i]);
	}
	return 0;
}

static int add_row(struct tokens *t, const struct token_row *row)
{
	struct token_row *more;
	int r = check_row(row);

	if (r < 0)
		return r;
	if (t->n == TOKENS_MAX)
		return err_new(-E2BIG, "more than %d rows", TOKENS_MAX);
	for (size_t i = 0; i < t->n; i++)
		if (!strcmp(t->rows[i].name, row->name))
			return err_new(-EEXIST, "\"%s\" is there already", row->name);
		else if (row->cn[0] && !strcmp(t->rows[i].cn, row->cn))
			return err_new(-EEXIST, "the certificate \"%s\" is that of \"%s\" already", row->cn,
				       t->rows[i].name);
	more = reallocarray(t->rows, t->n + 1, sizeof(*t->rows));
	if (!more)
		return err_new(-ENOMEM, "no memory for a row");
	t->rows = more;
	t->rows[t->n++] = *row;
	return 0;
}

/* ---- reading ---------------------------------------------------------------------------------------------- */

static bool parse_hex(const struct json_node *v, unsigned char *to, size_t n)
{
	if (v->type != JSON_STRING || v->len != 2 * n)
		return false;
	for (size_t i = 0; i < n; i++) {
		unsigned byte;
		char pair[3] = { v->s[2 * i], v->s[2 * i + 1], 0 };

		if (strspn(pair, "0123456789abcdef") != 2 || sscanf(pair, "%2x", &byte) != 1)
			return false;
		to[i] = (unsigned char)byte;
	}
	return true;
}

static bool parse_text(const struct json_node *v, char *to, size_t size)
{
	if (v->type != JSON_STRING || v->len >= size || strlen(v->s) != v->len)
		return false;
	memcpy(to, v->s, v->len + 1);
	return true;
}

static bool parse_u32(const struct json_node *v, uint32_t *to)
{
	if (v->type != JSON_INT || v->i < 0 || v->i > UINT32_MAX)
		return false;
	*to = (uint32_t)v->i;
	return true;
}

static bool parse_list(const struct json_node *v, struct option_list *to)
{
	const struct json_node *item, *none;

	if (v->type != JSON_ARRAY || v->len > CONSUMER_TYPES_MAX)
		return false;
	to->items = calloc(v->len + 1, sizeof(*to->items));
	for (item = json_first(v, &none); item && to->items; item = json_next(v, item, &none)) {
		if (item->type != JSON_STRING)
			return false;
		to->items[to->n] = strdup(item->s);
		if (!to->items[to->n])
			return false;
		to->n++;
	}
	return to->items;
}

enum { HAS_HASH = 1, HAS_CN = 2, HAS_ID = 4, HAS_SALT = 8 };

static int parse_member(const char *name, const struct json_node *v, struct token_row *row, unsigned *has)
{
	char role[16];
	bool good;

	if (!strcmp(name, "name")) {
		good = parse_text(v, row->name, sizeof(row->name));
	} else if (!strcmp(name, "role")) {
		good = parse_text(v, role, sizeof(role)) && role_parse(role, &row->role);
	} else if (!strcmp(name, "cn")) {
		good = parse_text(v, row->cn, sizeof(row->cn)) && row->cn[0];
		*has |= HAS_CN;
	} else if (!strcmp(name, "id")) {
		good = parse_text(v, row->id, sizeof(row->id)) && strlen(row->id) == TOKEN_ID_HEX;
		*has |= HAS_ID;
	} else if (!strcmp(name, "salt")) {
		good = parse_hex(v, row->salt, sizeof(row->salt));
		*has |= HAS_SALT;
	} else if (!strcmp(name, "hash")) {
		good = parse_hex(v, row->hash, sizeof(row->hash));
		*has |= HAS_HASH;
	} else if (!strcmp(name, "created")) {
		good = parse_text(v, row->created, sizeof(row->created));
	} else if (!strcmp(name, "allow")) {
		good = parse_list(v, &row->allow);
	} else if (!strcmp(name, "deny")) {
		good = parse_list(v, &row->deny);
	} else if (!strcmp(name, "events_per_s")) {
		good = parse_u32(v, &row->events_per_s);
	} else if (!strcmp(name, "requests_per_s")) {
		good = parse_u32(v, &row->requests_per_s);
	} else if (!strcmp(name, "streams")) {
		good = parse_u32(v, &row->streams);
	} else {
		return err_new(-EINVAL, "unknown member \"%s\"", name);
	}
	return good ? 0 : err_new(-EINVAL, "\"%s\" has a wrong value", name);
}

static int parse_row(struct json_doc *doc, const char *line, size_t n, struct tokens *t)
{
	const struct json_node *root, *name, *v;
	struct token_row row = { 0 };
	unsigned has = 0;
	int r = json_parse(doc, line, n, &root);

	if (r < 0)
		return r;
	if (root->type != JSON_OBJECT)
		return err_new(-EINVAL, "a row is an object");
	for (v = json_first(root, &name); v && r == 0; v = json_next(root, v, &name))
		r = parse_member(name->s, v, &row, &has);
	if (r == 0 && has != HAS_CN && has != (HAS_HASH | HAS_ID | HAS_SALT))
		r = err_new(-EINVAL, "a row has a token's id, salt and hash, or a certificate's cn");
	if (r == 0)
		r = add_row(t, &row);
	if (r < 0)
		row_clear(&row);
	return r;
}

int tokens_parse(const char *name, const char *text, size_t n, struct tokens **ret_tokens)
{
	static const struct json_limits limits = { TOKENS_LINE_MAX, 512, 4 };
	AUTO(tokens) t = calloc(1, sizeof(*t));
	auto_json struct json_doc doc;
	const char *end = text + n, *next;
	unsigned number = 0;
	int r;

	json_init(&doc, &limits);
	if (!t)
		return err_new(-ENOMEM, "no memory for tokens");
	for (const char *line = text; line < end; line = next) {
		const char *lf = memchr(line, '\n', (size_t)(end - line));
		size_t len = (size_t)((lf ? lf : end) - line);

		next = lf ? lf + 1 : end;
		number++;
		if (!len)
			continue;
		r = parse_row(&doc, line, len, t);
		if (r < 0)
			return err_wrap(r, "%s:%u", name, number);
	}
	*ret_tokens = take(t);
	return 0;
}

int tokens_load(const char *path, struct tokens **ret_tokens)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	auto_buf struct buf text = { .max = FILE_BYTES_MAX };
	struct stat st;
	char part[4096];
	ssize_t n;

	if (fd < 0 && errno == ENOENT)
		return -ENOENT;
	if (fd < 0 || fstat(fd, &st))
		return err_sys(errno, "read the tokens in %s", path);
	if (!S_ISREG(st.st_mode))
		return err_new(-EINVAL, "%s is no file", path);
	if ((st.st_uid != geteuid() && st.st_uid != 0) || st.st_mode & 077)
		return err_new(-EPERM,
			       "%s can be read or changed by others: chown it to the agent's user and chmod 600", path);
	while ((n = read(fd, part, sizeof(part))) > 0)
		buf_add(&text, part, (size_t)n);
	if (n < 0)
		return err_sys(errno, "read the tokens in %s", path);
	if (text.failed)
		return err_new(-E2BIG, "%s has more than %d bytes", path, FILE_BYTES_MAX);
	return tokens_parse(path, buf_text(&text), text.len, ret_tokens);
}

/* ---- writing ---------------------------------------------------------------------------------------------- */

static void put_hex(struct buf *out, const char *name, const unsigned char *bytes, size_t n)
{
	buf_printf(out, ",\"%s\":\"", name);
	for (size_t i = 0; i < n; i++)
		buf_printf(out, "%02x", bytes[i]);
	buf_char(out, '"');
}

static void put_text(struct buf *out, const char *name, const char *text)
{
	buf_printf(out, ",\"%s\":", name);
	(void)json_write_str(out, text, strlen(text));
}

static void put_list(struct buf *out, const char *name, const struct option_list *list)
{
	if (!list->n)
		return;
	buf_printf(out, ",\"%s\":[", name);
	for (size_t i = 0; i < list->n; i++)
		buf_printf(out, "%s\"%s\"", i ? "," : "", list->items[i]);
	buf_char(out, ']');
}

static void put_row(struct buf *out, const struct token_row *row)
{
	buf_printf(out, "{\"name\":\"%s\",\"role\":\"%s\"", row->name, role_names[row->role]);
	if (row->cn[0]) {
		put_text(out, "cn", row->cn);
	} else {
		put_text(out, "id", row->id);
		put_hex(out, "salt", row->salt, sizeof(row->salt));
		put_hex(out, "hash", row->hash, sizeof(row->hash));
	}
	put_text(out, "created", row->created);
	put_list(out, "allow", &row->allow);
	put_list(out, "deny", &row->deny);
	if (row->events_per_s)
		buf_printf(out, ",\"events_per_s\":%u", row->events_per_s);
	if (row->requests_per_s)
		buf_printf(out, ",\"requests_per_s\":%u", row->requests_per_s);
	if (row->streams)
		buf_printf(out, ",\"streams\":%u", row->streams);
	buf_str(out, "}\n");
}

/* Whole or not at all, and on the disk before the name is. */
static int write_file(const char *path, const char *text, size_t n)
{
	auto_close int fd = -1;
	char fresh[PATH_BYTES_MAX];

	if ((size_t)snprintf(fresh, sizeof(fresh), "%s.new", path) >= sizeof(fresh))
		return err_new(-ENAMETOOLONG, "the path %.100s... is too long", path);
	(void)unlink(fresh);
	fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_sys(errno, "write %s", fresh);
	if (write(fd, text, n) != (ssize_t)n || fsync(fd) || rename(fresh, path)) {
		int error = errno ? errno : EIO;

		(void)unlink(fresh);
		return err_sys(error, "write %s", path);
	}
	return 0;
}

int tokens_save(const char *path, const struct tokens *t)
{
	auto_buf struct buf text = { .max = FILE_BYTES_MAX };

	for (size_t i = 0; i < t->n; i++)
		put_row(&text, &t->rows[i]);
	if (text.failed)
		return err_new(-E2BIG, "too many tokens for %s", path);
	return write_file(path, buf_text(&text), text.len);
}

int tokens_write_secret(const char *path, const char *token)
{
	char line[TOKEN_TEXT + 2];

	(void)snprintf(line, sizeof(line), "%s\n", token);
	return write_file(path, line, strlen(line));
}

int tokens_lock(const char *path, int *ret_fd)
{
	auto_close int fd = -1;
	char dir[PATH_BYTES_MAX], *slash;

	(void)snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (!slash)
		return err_new(-EINVAL, "%s is no absolute path", path);
	*(slash == dir ? slash + 1 : slash) = 0;
	if (mkdir(dir, 0700) && errno != EEXIST)
		return err_sys(errno, "make the folder %s", dir);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || flock(fd, LOCK_EX))
		return err_sys(errno, "lock the folder %s", dir);
	*ret_fd = take_fd(fd);
	return 0;
}

/* ---- tokens ----------------------------------------------------------------------------------------------- */

static void digest_of(const unsigned char salt[TOKEN_SALT], const char *token, size_t n,
		      unsigned char ret_digest[SHA256_SIZE])
{
	struct sha256 s;

	sha256_init(&s);
	sha256_add(&s, salt, TOKEN_SALT);
	sha256_add(&s, token, n);
	sha256_end(&s, ret_digest);
}

static void write_token(const char *id, const unsigned char secret[32], char ret_token[TOKEN_TEXT + 1])
{
	unsigned char text[48];

	(void)EVP_EncodeBlock(text, secret, 32);
	for (size_t i = 0; i < TOKEN_SECRET_TEXT; i++)
		text[i] = text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i];
	(void)snprintf(ret_token, TOKEN_TEXT + 1, "shr_%s_%.*s", id, TOKEN_SECRET_TEXT, (const char *)text);
}

static int draw(struct token_row *row, char ret_token[TOKEN_TEXT + 1])
{
	unsigned char random[TOKEN_SALT + 32 + TOKEN_ID_HEX / 2];

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return err_sys(errno, "draw a token");
	memcpy(row->salt, random, TOKEN_SALT);
	for (size_t i = 0; i < TOKEN_ID_HEX / 2; i++)
		(void)snprintf(row->id + 2 * i, 3, "%02x", random[TOKEN_SALT + 32 + i]);
	write_token(row->id, random + TOKEN_SALT, ret_token);
	digest_of(row->salt, ret_token, TOKEN_TEXT, row->hash);
	OPENSSL_cleanse(random, sizeof(random));
	return 0;
}

int tokens_add(struct tokens *t, const struct token_row *row, char ret_token[TOKEN_TEXT + 1])
{
	struct token_row fresh = *row;
	char now[CLOCK_TEXT];
	int r = 0;

	ret_token[0] = 0;
	fresh.allow = fresh.deny = (struct option_list) { 0 };
	clock_format(clock_wall_ns(), now);
	(void)snprintf(fresh.created, sizeof(fresh.created), "%.19sZ", now);
	if (!fresh.cn[0])
		r = draw(&fresh, ret_token);
	if (r == 0 && (!types_copy(&row->allow, &fresh.allow) || !types_copy(&row->deny, &fresh.deny)))
		r = err_new(-ENOMEM, "no memory for a list");
	if (r == 0)
		r = add_row(t, &fresh);
	if (r < 0)
		row_clear(&fresh);
	return r;
}

int tokens_revoke(struct tokens *t, const char *name)
{
	for (size_t i = 0; i < t->n; i++) {
		if (strcmp(t->rows[i].name, name) != 0)
			continue;
		row_clear(&t->rows[i]);
		t->n--;
		memmove(&t->rows[i], &t->rows[i + 1], (t->n - i) * sizeof(*t->rows));
		return 0;
	}
	return err_new(-ENOENT, "there is no token \"%s\"", name);
}

const struct token_row *tokens_find(const struct tokens *t, const char *token, size_t n)
{
	static const struct token_row nobody;
	const struct token_row *row = &nobody;
	unsigned char digest[SHA256_SIZE];

	if (n != TOKEN_TEXT || memcmp(token, "shr_", 4) != 0 || token[4 + TOKEN_ID_HEX] != '_')
		return NULL;
	/* The id is no secret: it stands in listings. */
	for (size_t i = 0; i < t->n; i++)
		if (t->rows[i].id[0] && !memcmp(t->rows[i].id, token + 4, TOKEN_ID_HEX))
			row = &t->rows[i];
	digest_of(row->salt, token, n, digest);
	return CRYPTO_memcmp(digest, row->hash, sizeof(digest)) == 0 && row != &nobody ? row : NULL;
}

const struct token_row *tokens_find_cn(const struct tokens *t, const char *cn)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->rows[i].cn[0] && !strcmp(t->rows[i].cn, cn))
			return &t->rows[i];
	return NULL;
}
