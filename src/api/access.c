/* SPDX-License-Identifier: Apache-2.0 */
#include "api/access.h"
#include <pthread.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

/* Names of rows that came and went are kept for their sums, and for the streams that still count on them. */
enum { USAGES_MAX = 4096, UNIX_USERS_MAX = 64 };

struct access {
	struct access_options options;
	char *path;
	pthread_mutex_t lock; /* of all that follows, but the counters */
	struct tokens *tokens;
	struct consumer **consumers; /* at the index of tokens->rows */
	struct stat seen;            /* the file that was read */
	uint64_t looked_ns;
	struct consumer *anonymous, *unix_users[UNIX_USERS_MAX];
	size_t n_unix_users;
	struct consumer_usage *usages[USAGES_MAX];
	size_t n_usages;
	struct access_counters counters;
};

static struct consumer_usage *usage_of(struct access *a, const char *name)
{
	struct consumer_usage *usage;

	for (size_t i = 0; i < a->n_usages; i++)
		if (!strcmp(a->usages[i]->name, name))
			return a->usages[i];
	if (a->n_usages == USAGES_MAX)
		return NULL;
	usage = calloc(1, sizeof(*usage));
	if (!usage)
		return NULL;
	(void)snprintf(usage->name, sizeof(usage->name), "%s", name);
	a->usages[a->n_usages++] = usage;
	return usage;
}

static struct consumer *make_consumer(struct access *a, const char *name, enum role role)
{
	struct consumer *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->refs = 1;
	c->role = role;
	c->streams_max = a->options.streams;
	(void)snprintf(c->name, sizeof(c->name), "%s", name);
	c->usage = usage_of(a, name);
	if (!c->usage) {
		consumer_free(c);
		return NULL;
	}
	return c;
}

static struct consumer *consumer_of_row(struct access *a, const struct token_row *row)
{
	struct consumer *c = make_consumer(a, row->name, row->role);

	if (!c)
		return NULL;
	c->events_per_s = row->events_per_s;
	c->requests_per_s = row->requests_per_s;
	if (row->streams)
		c->streams_max = row->streams;
	if (!types_copy(&row->allow, &c->allow) || !types_copy(&row->deny, &c->deny)) {
		consumer_free(c);
		return NULL;
	}
	return c;
}

/* ---- the file --------------------------------------------------------------------------------------------- */

static bool same_list(const struct option_list *a, const struct option_list *b)
{
	for (size_t i = 0; a->n == b->n && i < a->n; i++)
		if (strcmp(a->items[i], b->items[i]) != 0)
			return false;
	return a->n == b->n;
}

static bool same_row(const struct token_row *a, const struct token_row *b)
{
	return !strcmp(a->name, b->name) && a->role == b->role && !strcmp(a->cn, b->cn) && !strcmp(a->id, b->id) &&
	       !memcmp(a->hash, b->hash, sizeof(a->hash)) && a->events_per_s == b->events_per_s &&
	       a->requests_per_s == b->requests_per_s && a->streams == b->streams && same_list(&a->allow, &b->allow) &&
	       same_list(&a->deny, &b->deny);
}

static void drop_consumers(struct consumer **consumers, size_t n)
{
	for (size_t i = 0; consumers && i < n; i++) {
		if (!consumers[i])
			continue;
		consumers[i]->revoked = true;
		consumer_free(consumers[i]);
	}
	free(consumers);
}

/* Rows that stayed as they are keep their consumer, so that what they have open goes on. */
static int take_tokens(struct access *a, struct tokens *fresh)
{
	struct consumer **consumers = calloc(fresh->n + 1, sizeof(struct consumer *));

	for (size_t i = 0; consumers && i < fresh->n; i++) {
		for (size_t k = 0; a->tokens && k < a->tokens->n && !consumers[i]; k++)
			if (a->consumers[k] && same_row(&fresh->rows[i], &a->tokens->rows[k]))
				consumers[i] = take(a->consumers[k]);
		if (!consumers[i])
			consumers[i] = consumer_of_row(a, &fresh->rows[i]);
		if (!consumers[i]) {
			drop_consumers(consumers, i);
			return err_new(-ENOMEM, "no memory for consumers");
		}
	}
	if (!consumers)
		return err_new(-ENOMEM, "no memory for consumers");
	drop_consumers(a->consumers, a->tokens ? a->tokens->n : 0);
	tokens_free(a->tokens);
	a->consumers = consumers;
	a->tokens = fresh;
	return 0;
}

static int read_file(struct access *a)
{
	AUTO(tokens) fresh = NULL;
	struct stat st = { 0 };
	int r;

	/* Looked at first: a change while it is read is seen as one next time. */
	(void)stat(a->path, &st);
	a->seen = st;
	r = tokens_load(a->path, &fresh);
	if (r == 0)
		r = take_tokens(a, fresh);
	if (r == 0)
		fresh = NULL;
	return r;
}

static bool has_changed(const struct access *a)
{
	struct stat st = { 0 };

	(void)stat(a->path, &st);
	return st.st_ino != a->seen.st_ino || st.st_size != a->seen.st_size ||
	       st.st_mtim.tv_sec != a->seen.st_mtim.tv_sec || st.st_mtim.tv_nsec != a->seen.st_mtim.tv_nsec ||
	       st.st_mode != a->seen.st_mode || st.st_uid != a->seen.st_uid;
}

static void refresh_locked(struct access *a, uint64_t now_ns)
{
	int r;

	if (now_ns < a->looked_ns + NS_PER_S)
		return;
	a->looked_ns = now_ns;
	if (!has_changed(a))
		return;
	r = read_file(a);
	if (r == 0) {
		a->counters.reloads++;
		log_notice("tokens read again", "file=%s rows=%zu", a->path, a->tokens->n);
		return;
	}
	/* Who removes the file means that nobody may; a broken one is a slip, and those who could still can. */
	if (r == -ENOENT) {
		drop_consumers(take(a->consumers), a->tokens->n);
		tokens_free(take(a->tokens));
		a->tokens = calloc(1, sizeof(*a->tokens));
	}
	a->counters.bad_reloads++;
	log_error("tokens were not read again", "file=%s why=\"%s\"", a->path,
		  r == -ENOENT ? "it is gone: no token is valid any more" : err_trail());
}

void access_refresh(struct access *a, uint64_t now_ns)
{
	(void)pthread_mutex_lock(&a->lock);
	refresh_locked(a, now_ns);
	(void)pthread_mutex_unlock(&a->lock);
}

int access_open(const struct access_options *options, struct access **ret_access)
{
	AUTO(access) a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return err_new(-ENOMEM, "no memory for the API's consumers");
	a->options = *options;
	(void)pthread_mutex_init(&a->lock, NULL);
	a->path = strdup(options->path);
	a->anonymous = a->path ? make_consumer(a, "anonymous", options->anonymous) : NULL;
	if (!a->anonymous)
		return err_new(-ENOMEM, "no memory for the API's consumers");
	r = a->path[0] ? read_file(a) : 0;
	if (r < 0)
		return r;
	*ret_access = take(a);
	return 0;
}

void access_free(struct access *a)
{
	if (!a)
		return;
	drop_consumers(a->consumers, a->tokens ? a->tokens->n : 0);
	for (size_t i = 0; i < a->n_unix_users; i++)
		consumer_free(a->unix_users[i]);
	consumer_free(a->anonymous);
	for (size_t i = 0; i < a->n_usages; i++)
		free(a->usages[i]);
	tokens_free(a->tokens);
	free(a->path);
	(void)pthread_mutex_destroy(&a->lock);
	free(a);
}

/* ---- who asks --------------------------------------------------------------------------------------------- */

static struct consumer *by_row(struct access *a, const struct token_row *row)
{
	return row ? consumer_ref(a->consumers[row - a->tokens->rows]) : NULL;
}

static struct consumer *by_token(struct access *a, const char *authorization)
{
	size_t n = strlen(authorization);

	if (n < 8 || strncasecmp(authorization, "Bearer ", 7) != 0 || !a->tokens)
		return NULL;
	return by_row(a, tokens_find(a->tokens, authorization + 7, n - 7));
}

static struct consumer *by_user(struct access *a, const struct peer *peer)
{
	char name[CONSUMER_NAME_MAX + 1];
	struct consumer *c;

	(void)snprintf(name, sizeof(name), "uid:%u", peer->uid);
	for (size_t i = 0; i < a->n_unix_users; i++)
		if (!strcmp(a->unix_users[i]->name, name) && a->unix_users[i]->role == peer->unix_role)
			return consumer_ref(a->unix_users[i]);
	if (a->n_unix_users == UNIX_USERS_MAX)
		return NULL;
	c = make_consumer(a, name, peer->unix_role);
	if (!c)
		return NULL;
	a->unix_users[a->n_unix_users++] = c;
	return consumer_ref(c);
}

static unsigned identify_locked(struct access *a, const struct peer *peer, const char *authorization,
				struct consumer **ret_consumer, const char **ret_why)
{
	if (authorization) {
		*ret_consumer = by_token(a, authorization);
		*ret_why = "this token is not valid";
		if (!*ret_consumer)
			a->counters.bad_tokens++;
		return *ret_consumer ? 0 : 401;
	}
	if (peer->cn[0]) {
		*ret_consumer = a->tokens ? by_row(a, tokens_find_cn(a->tokens, peer->cn)) : NULL;
		*ret_why = "no consumer has this certificate's name";
		if (!*ret_consumer)
			a->counters.unknown_certificates++;
		return *ret_consumer ? 0 : 401;
	}
	*ret_why = "too many users";
	*ret_consumer = peer->is_unix ? by_user(a, peer) : consumer_ref(a->anonymous);
	return *ret_consumer ? 0 : 503;
}

unsigned access_identify(struct access *a, const struct peer *peer, const char *authorization, uint64_t now_ns,
			 struct consumer **ret_consumer, const char **ret_why)
{
	unsigned status;

	(void)pthread_mutex_lock(&a->lock);
	refresh_locked(a, now_ns);
	status = identify_locked(a, peer, authorization, ret_consumer, ret_why);
	(void)pthread_mutex_unlock(&a->lock);
	return status;
}

struct access_counters *access_counters(struct access *a)
{
	return &a->counters;
}

void access_each_usage(struct access *a, void (*fn)(void *ctx, const struct consumer_usage *usage), void *ctx)
{
	(void)pthread_mutex_lock(&a->lock);
	for (size_t i = 0; i < a->n_usages; i++)
		fn(ctx, a->usages[i]);
	(void)pthread_mutex_unlock(&a->lock);
}

size_t access_n_rows(struct access *a)
{
	size_t n;

	(void)pthread_mutex_lock(&a->lock);
	n = a->tokens ? a->tokens->n : 0;
	(void)pthread_mutex_unlock(&a->lock);
	return n;
}
