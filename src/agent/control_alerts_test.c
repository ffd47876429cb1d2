/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/control_alerts.h"
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/test.h"
#include "store/test_alerts.h"

enum { HEARD_MAX = 4 << 20, PATIENCE_MS = 20000, MANY = 300 };

struct stage {
	char dir[64], file[96];
	struct alerts *store;
	_Atomic bool stop;
	int fds[2]; /* the agent's side, the client's */
	/* Of the thread that answers. */
	pthread_t thread;
	const char *request;
	int result;
};

static void put(struct stage *s, unsigned from, unsigned to)
{
	check(test_alerts_put(s->store, from, to));
}

/* `queue_bytes` 0: as usual. */
static bool stage_open_with(struct stage *s, uint64_t queue_bytes)
{
	*s = (struct stage) { .dir = "/tmp/shrike-control-XXXXXX", .fds = { -1, -1 } };
	if (!mkdtemp(s->dir) || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s->fds)) {
		test_fail(T_HERE, "no folder, or no sockets");
		return false;
	}
	(void)snprintf(s->file, sizeof(s->file), "%s/alerts.db", s->dir);
	if (alerts_open(&(struct alerts_options) { .path = s->file, .queue_bytes = queue_bytes }, &s->store) == 0)
		return true;
	test_fail(T_HERE, "%s", err_trail());
	return false;
}

static bool stage_open(struct stage *s)
{
	return stage_open_with(s, 0);
}

static void stage_close(struct stage *s)
{
	fd_closep(&s->fds[0]);
	fd_closep(&s->fds[1]);
	alerts_free(s->store);
	(void)unlink(s->file);
	(void)rmdir(s->dir);
}
#define auto_stage __attribute__((cleanup(stage_close)))

static int answer(struct stage *s, struct alerts *store, const char *request)
{
	static const struct json_limits limits = { 4096, 256, 8 };
	const struct talk_peer peer = { .fd = s->fds[0], .uid = 17, .pid = 1, .stop = &s->stop };
	auto_json struct json_doc doc;
	const struct json_node *root;
	const char *cmd;

	json_init(&doc, &limits);
	if (json_parse(&doc, request, strlen(request), &root) < 0) {
		test_fail(T_HERE, "%s", err_trail());
		return -EINVAL;
	}
	cmd = json_get(root, "cmd")->s;
	return !strcmp(cmd, "alerts")  ? control_alerts_list(peer, store, root)
	       : !strcmp(cmd, "alert") ? control_alerts_one(peer, store, root)
				       : control_alerts_set(peer, store, root);
}

static void *answer_thread(void *arg)
{
	struct stage *s = arg;

	s->result = answer(s, s->store, s->request);
	return NULL;
}

static bool begin(struct stage *s, const char *request)
{
	s->request = request;
	return pthread_create(&s->thread, NULL, answer_thread, s) == 0;
}

static unsigned count(const char *text, const char *part)
{
	unsigned n = 0;

	for (const char *p = text; (p = strstr(p, part)); p += strlen(part))
		n++;
	return n;
}

/* What comes, until it has `until` so many times. */
static void hear_some(const struct stage *s, const char *until, unsigned times, struct buf *out)
{
	char chunk[4096];

	buf_clear(out);
	while (count(buf_text(out), until) < times) {
		struct pollfd p = { .fd = s->fds[1], .events = POLLIN };
		ssize_t n = poll(&p, 1, PATIENCE_MS) == 1 ? recv(s->fds[1], chunk, sizeof(chunk), 0) : -1;

		if (n <= 0) {
			test_fail(T_HERE, "\"%s\" did not come: %s", until, buf_text(out));
			return;
		}
		buf_add(out, chunk, (size_t)n);
	}
}

static void hear(const struct stage *s, const char *until, struct buf *out)
{
	hear_some(s, until, 1, out);
}

TEST(requests_about_alerts_are_answered)
{
	static const struct {
		const char *name, *request, *says;
		unsigned alerts;
	} rows[] = {
		{ "all", "{\"cmd\":\"alerts\"}", "\"more\":false", 10 },
		{ "the newest two", "{\"cmd\":\"alerts\",\"ask\":{\"limit\":\"2\"}}", "\"more\":true", 2 },
		{ "of a rule", "{\"cmd\":\"alerts\",\"ask\":{\"rule\":\"odd\",\"severity\":\"high\"}}",
		  "\"more\":false", 2 },
		{ "none", "{\"cmd\":\"alerts\",\"ask\":{\"rule\":\"x\"}}", "\"more\":false", 0 },
		{ "a wrong word", "{\"cmd\":\"alerts\",\"ask\":{\"rulez\":\"x\"}}",
		  "alerts are not asked for by \\\"rulez\\\"", 0 },
		{ "a number", "{\"cmd\":\"alerts\",\"ask\":{\"limit\":2}}", "ask: limit is no text", 0 },
		{ "no object", "{\"cmd\":\"alerts\",\"ask\":7}", "ask: not an object", 0 },
		{ "one", "{\"cmd\":\"alert\",\"id\":\"00000003\"}", "\"state\":\"open\"", 1 },
		{ "nobody", "{\"cmd\":\"alert\",\"id\":\"ffffffff\"}", "there is no alert ffffffff", 0 },
		{ "too short", "{\"cmd\":\"alert\",\"id\":\"0000\"}", "is no alert's id", 0 },
		{ "no id", "{\"cmd\":\"alert\"}", "alert wants an id", 0 },
		{ "a state", "{\"cmd\":\"alert_state\",\"id\":\"00000003\",\"state\":\"closed\",\"comment\":\"no\"}",
		  "\"who\":\"uid:17\",\"comment\":\"no\"", 1 },
		{ "no such state", "{\"cmd\":\"alert_state\",\"id\":\"00000003\",\"state\":\"shut\"}",
		  "wants an id and a state", 0 },
		{ "no state", "{\"cmd\":\"alert_state\",\"id\":\"00000003\"}", "wants an id and a state", 0 },
		{ "nobody's", "{\"cmd\":\"alert_state\",\"id\":\"ffffffff\",\"state\":\"open\"}", "there is no alert",
		  0 },
	};
	auto_stage struct stage s;
	auto_buf struct buf out = { .max = HEARD_MAX };

	if (!stage_open(&s))
		return;
	put(&s, 0, 10);
	for_each_row (r, rows) {
		check_int(answer(&s, s.store, r->request), 0);
		hear(&s, strstr(r->says, "more") ? "\"end\":true" : "}\n", &out);
		check_has(buf_text(&out), r->says);
		check_int(count(buf_text(&out), "\"kind\":\"alert\""), r->alerts);
	}
	check_int(answer(&s, NULL, "{\"cmd\":\"alerts\"}"), 0);
	hear(&s, "}\n", &out);
	check_has(buf_text(&out), "this agent keeps no alerts");
}

TEST(a_long_list_comes_whole_and_oldest_first)
{
	auto_stage struct stage s;
	auto_buf struct buf out = { .max = HEARD_MAX };

	if (!stage_open(&s))
		return;
	put(&s, 0, 2 * MANY);
	require(begin(&s, "{\"cmd\":\"alerts\",\"ask\":{\"limit\":\"600\"}}"));
	hear(&s, "\"end\":true", &out);
	(void)pthread_join(s.thread, NULL);
	check_int(s.result, 0);
	check_int(count(buf_text(&out), "\"kind\":\"alert\""), 2 * MANY);
}

TEST(who_follows_hears_what_comes_and_what_changes)
{
	auto_stage struct stage s;
	auto_buf struct buf out = { .max = HEARD_MAX };

	if (!stage_open(&s))
		return;
	put(&s, 0, 3);
	require(begin(&s, "{\"cmd\":\"alerts\",\"follow\":true,\"ask\":{\"limit\":\"1\",\"rule\":\"even\"}}"));
	hear(&s, "\"folded\":0", &out);
	check_int(count(buf_text(&out), "\"kind\":\"alert\""), 1);
	put(&s, 3, 3 + MANY);
	/* The first of them is odd. */
	hear_some(&s, "\"kind\":\"alert\"", MANY / 2, &out);
	require_ok(alerts_set_state(s.store, test_alert(0).id, ALERT_CLOSED, "ann", "done"));
	hear(&s, "\"comment\":\"done\"", &out);
	s.stop = true;
	hear(&s, "\"end\":true", &out);
	(void)pthread_join(s.thread, NULL);
	check_int(s.result, 0);
}

TEST(who_follows_and_hangs_up_is_let_go)
{
	auto_stage struct stage s;
	auto_buf struct buf out = { .max = HEARD_MAX };

	if (!stage_open(&s))
		return;
	require(begin(&s, "{\"cmd\":\"alerts\",\"follow\":true}"));
	hear(&s, "{\"ok\":true}\n", &out);
	fd_closep(&s.fds[1]);
	(void)pthread_join(s.thread, NULL);
	check_int(s.result, -EPIPE);
}

TEST(who_follows_is_told_what_the_store_lost)
{
	static char large[64 << 10];
	auto_stage struct stage s;
	auto_buf struct buf out = { .max = HEARD_MAX };
	struct alert a = test_alert(0);

	if (!stage_open_with(&s, 4096))
		return;
	memset(large, ' ', sizeof(large));
	a.body = large;
	a.body_n = sizeof(large);
	require(begin(&s, "{\"cmd\":\"alerts\",\"follow\":true}"));
	/* The one that comes through says that it follows by now. */
	hear(&s, "{\"ok\":true}\n", &out);
	put(&s, 1, 2);
	hear(&s, "\"kind\":\"alert\"", &out);
	check(!alerts_put(s.store, &a));
	check(!alerts_put(s.store, &a));
	hear(&s, "\"lost\":", &out);
	s.stop = true;
	hear(&s, "\"end\":true", &out);
	(void)pthread_join(s.thread, NULL);
}
