/* SPDX-License-Identifier: Apache-2.0 */
#include "api/tokens.h"
#include <string.h>
#include <sys/stat.h>
#include "api/access.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/test.h"

static char dir[] = "/tmp/shrike-tokens-XXXXXX";

static const char *path_in_dir(const char *name)
{
	static char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static bool make_dir(void)
{
	(void)snprintf(dir, sizeof(dir), "/tmp/shrike-tokens-XXXXXX");
	return mkdtemp(dir);
}

static void remove_dir(void)
{
	(void)unlink(path_in_dir("tokens"));
	(void)rmdir(dir);
}

TEST(a_token_is_found_by_the_whole_of_it_alone)
{
	AUTO(tokens) t = calloc(1, sizeof(*t));
	const struct token_row row = { .name = "a", .role = ROLE_VIEWER };
	char token[TOKEN_TEXT + 1], other[TOKEN_TEXT + 1];

	require_ok(tokens_add(t, &row, token));
	check_int(strlen(token), TOKEN_TEXT);
	require(tokens_find(t, token, TOKEN_TEXT) == &t->rows[0]);
	for (size_t i = 0; i < TOKEN_TEXT; i++) {
		memcpy(other, token, sizeof(other));
		other[i] = other[i] == 'x' ? 'y' : 'x';
		check(!tokens_find(t, other, TOKEN_TEXT));
	}
	check(!tokens_find(t, token, TOKEN_TEXT - 1));
	check(!tokens_find(t, "", 0));
	check_int(tokens_add(t, &row, other), -EEXIST);
	require_ok(tokens_revoke(t, "a"));
	check(!tokens_find(t, token, TOKEN_TEXT));
	check_int(tokens_revoke(t, "a"), -ENOENT);
}

TEST(tokens_are_read_as_they_were_written)
{
	AUTO(tokens) t = calloc(1, sizeof(*t));
	AUTO(tokens) again = NULL;
	char process[] = "process.*", open[] = "file.open", end[] = "process.exit";
	char *allow[] = { process, open }, *deny[] = { end };
	const struct token_row row = { .name = "a",
				       .role = ROLE_OPERATOR,
				       .allow = { allow, 2 },
				       .deny = { deny, 1 },
				       .events_per_s = 5,
				       .requests_per_s = 6,
				       .streams = 7 };
	const struct token_row certificate = { .name = "b", .role = ROLE_VIEWER, .cn = "b \"x\".example" };
	char token[TOKEN_TEXT + 1], none[TOKEN_TEXT + 1];
	struct stat st;

	require(make_dir());
	require_ok(tokens_add(t, &row, token));
	require_ok(tokens_add(t, &certificate, none));
	check_str(none, "");
	require_ok(tokens_save(path_in_dir("tokens"), t));
	check(!stat(path_in_dir("tokens"), &st) && (st.st_mode & 0777) == 0600);
	require_ok(tokens_load(path_in_dir("tokens"), &again));
	require(again->n == 2);
	check(tokens_find(again, token, TOKEN_TEXT) == &again->rows[0]);
	check_int(again->rows[0].role, ROLE_OPERATOR);
	check_str(again->rows[0].allow.items[1], "file.open");
	check_str(again->rows[0].deny.items[0], "process.exit");
	check_int(again->rows[0].events_per_s * 100 + again->rows[0].requests_per_s * 10 + again->rows[0].streams, 567);
	check(tokens_find_cn(again, "b \"x\".example") == &again->rows[1]);
	check(!tokens_find_cn(again, ""));
	(void)chmod(path_in_dir("tokens"), 0640);
	tokens_free(take(again));
	check_int(tokens_load(path_in_dir("tokens"), &again), -EPERM);
	check_has(err_trail(), "chmod 600");
	remove_dir();
	check_int(tokens_load(path_in_dir("tokens"), &again), -ENOENT);
}

TEST(a_file_of_tokens_that_is_wrong_is_refused_with_its_line)
{
#define GOOD                                                                                                           \
	"\"id\":\"0123456789ab\",\"salt\":\"00112233445566778899aabbccddeeff\","                                       \
	"\"hash\":\"000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f\""
	static const struct {
		const char *name, *text, *why;
	} rows[] = {
		{ "good", "{\"name\":\"a\",\"role\":\"viewer\"," GOOD "}\n", NULL },
		{ "no JSON", "{\"name\":\"c\",\"role\":\"viewer\",\"cn\":\"c\"}\nhello\n", "t:2: " },
		{ "no object", "[]\n", "a row is an object" },
		{ "no role", "{\"name\":\"a\"," GOOD "}", "a role is" },
		{ "a role of its own", "{\"name\":\"a\",\"role\":\"root\"," GOOD "}", "\"role\"" },
		{ "no name", "{\"role\":\"viewer\"," GOOD "}", "no name" },
		{ "a name with a blank", "{\"name\":\"a b\",\"role\":\"viewer\"," GOOD "}", "no name" },
		{ "nothing to know it by", "{\"name\":\"a\",\"role\":\"viewer\"}", "salt and hash" },
		{ "a hash without salt", "{\"name\":\"a\",\"role\":\"viewer\",\"id\":\"0123456789ab\"}",
		  "salt and hash" },
		{ "a token and a certificate", "{\"name\":\"a\",\"role\":\"viewer\",\"cn\":\"x\"," GOOD "}",
		  "salt and hash" },
		{ "a short hash", "{\"name\":\"a\",\"role\":\"viewer\",\"hash\":\"00\"}", "\"hash\"" },
		{ "twice",
		  "{\"name\":\"a\",\"role\":\"viewer\",\"cn\":\"x\"}\n{\"name\":\"a\",\"role\":\"viewer\",\"cn\":"
		  "\"y\"}",
		  "t:2: \"a\" is there already" },
		{ "one certificate for two",
		  "{\"name\":\"a\",\"role\":\"viewer\",\"cn\":\"x\"}\n{\"name\":\"b\",\"role\":\"viewer\",\"cn\":"
		  "\"x\"}",
		  "t:2: " },
		{ "a member too many", "{\"name\":\"a\",\"role\":\"viewer\",\"cn\":\"x\",\"admin\":true}",
		  "\"admin\"" },
		{ "a type that is none", "{\"name\":\"a\",\"role\":\"viewer\",\"cn\":\"x\",\"allow\":[\"a b\"]}",
		  "event type" },
		{ "a rate below nothing", "{\"name\":\"a\",\"role\":\"viewer\",\"cn\":\"x\",\"events_per_s\":-1}",
		  "events_per_s" },
	};
#undef GOOD

	for_each_row (r, rows) {
		AUTO(tokens) t = NULL;
		int got = tokens_parse("t", r->text, strlen(r->text), &t);

		check_int(got < 0, r->why != NULL);
		if (r->why)
			check_has(err_trail(), r->why);
	}
}

static enum role ask(struct access *a, const char *authorization, uint64_t now_ns)
{
	const struct peer peer = { 0 };
	AUTO(consumer) c = NULL;
	const char *why;

	return access_identify(a, &peer, authorization, now_ns, &c, &why) ? ROLE_NONE : c->role;
}

TEST(a_token_that_is_revoked_ends_at_once_and_the_others_go_on)
{
	AUTO(tokens) t = calloc(1, sizeof(*t));
	AUTO(access) a = NULL;
	AUTO(consumer) kept = NULL;
	AUTO(consumer) gone = NULL;
	const struct token_row rows[] = { { .name = "a", .role = ROLE_VIEWER }, { .name = "b", .role = ROLE_ADMIN } };
	const struct peer peer = { 0 };
	char tokens[2][TOKEN_TEXT + 1], headers[2][TOKEN_TEXT + 16];
	const char *why;

	require(make_dir());
	for (int i = 0; i < 2; i++) {
		require_ok(tokens_add(t, &rows[i], tokens[i]));
		(void)snprintf(headers[i], sizeof(headers[i]), "bearer %s", tokens[i]);
	}
	require_ok(tokens_save(path_in_dir("tokens"), t));
	const struct access_options options = { .path = path_in_dir("tokens"), .streams = 3 };
	require_ok(access_open(&options, &a));
	check_int(access_identify(a, &peer, headers[0], NS_PER_S, &gone, &why), 0);
	check_int(access_identify(a, &peer, headers[1], NS_PER_S, &kept, &why), 0);
	check_int(kept->streams_max, 3);
	check_int(ask(a, "Bearer x", NS_PER_S), ROLE_NONE);
	check_int(access_counters(a)->bad_tokens, 1);

	require_ok(tokens_revoke(t, "a"));
	require_ok(tokens_save(path_in_dir("tokens"), t));
	access_refresh(a, 10 * NS_PER_S);
	check(gone->revoked && !kept->revoked);
	check_int(ask(a, headers[0], 10 * NS_PER_S), ROLE_NONE);
	check_int(ask(a, headers[1], 10 * NS_PER_S), ROLE_ADMIN);

	/* A slip in the file leaves what was; a file that has gone means that nobody may. */
	require_ok(tokens_write_secret(path_in_dir("tokens"), "garbage"));
	access_refresh(a, 20 * NS_PER_S);
	check_int(ask(a, headers[1], 20 * NS_PER_S), ROLE_ADMIN);
	remove_dir();
	access_refresh(a, 30 * NS_PER_S);
	check_int(ask(a, headers[1], 30 * NS_PER_S), ROLE_NONE);
	check(kept->revoked);
}

TEST(a_bucket_gives_what_it_holds)
{
	_Atomic uint64_t bucket = 0;
	uint64_t now = 100 * NS_PER_S;

	check_int(bucket_take(&bucket, 0, 1000000, now), 1000000);
	check_int(bucket_take(&bucket, 10, 4, now), 4);
	check_int(bucket_take(&bucket, 10, 10, now), 6);
	check_int(bucket_take(&bucket, 10, 1, now), 0);
	check_int(bucket_take(&bucket, 10, 10, now + NS_PER_S / 2), 5);
	check_int(bucket_take(&bucket, 10, 100, now + 10 * NS_PER_S), 10);
}

TEST(deny_wins_over_allow)
{
	char process[] = "process.*", end[] = "process.exit";
	char *allow[] = { process }, *deny[] = { end };
	const struct consumer all = { 0 }, some = { .allow = { allow, 1 }, .deny = { deny, 1 } };

	check(consumer_may_read(&all, "file.open"));
	check(consumer_may_read(&some, "process.exec"));
	check(!consumer_may_read(&some, "process.exit"));
	check(!consumer_may_read(&some, "file.open"));
}
