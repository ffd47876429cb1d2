/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/control_alerts.h"
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "agent/control.h"
#include "base/err.h"
#include "base/log.h"
#include "store/alerts_ask.h"

enum {
	LOT_BYTES = 64 << 10,                       /* of lines in one write, and one alert more */
	LINES_MAX = LOT_BYTES + 2 * ALERT_JSON_MAX, /* JSON escapes what people say of an alert */
	LOOK_MS = 500,                              /* how often a client is looked after that nothing is told */
};

/* Alerts on their way to a client. */
struct telling {
	const struct talk_peer *peer;
	struct buf lines;
};

static bool tell_alert(void *arg, const struct alert *a)
{
	struct telling *t = arg;

	if (t->lines.len >= LOT_BYTES)
		return false;
	alert_write(a, &t->lines);
	buf_char(&t->lines, '\n');
	return true;
}

static int send_lines(struct telling *t)
{
	int r = t->lines.failed ? talk_error(t->peer->fd, "an alert is too large to be told")
				: talk_send(t->peer->fd, buf_text(&t->lines), t->lines.len);

	buf_clear(&t->lines);
	return r;
}

/* What fits and is kept, oldest first. */
static int tell_kept(struct telling *t, struct alerts *store, const struct alerts_ask *asked, bool *ret_more)
{
	struct alerts_ask ask = *asked;
	struct alerts_page page = { .more = true };
	int r = alerts_ask_turn(store, &ask, ret_more);
	size_t left = r < 0 ? 0 : (size_t)r;

	for (r = r < 0 ? r : 0; r == 0 && left && page.more; left -= page.n < left ? page.n : left) {
		ask.limit = left;
		r = alerts_ask_list(store, &ask, tell_alert, t, &page);
		ask.cursor = page.cursor;
		r = r < 0 ? r : send_lines(t);
	}
	return r;
}

/* What wakes who follows. */
struct bell {
	int fd;
	_Atomic uint64_t revision; /* the highest that was told */
};

static void ring_bell(void *arg, uint64_t revision)
{
	static const uint64_t one = 1;
	struct bell *bell = arg;

	bell->revision = revision;
	(void)!write(bell->fd, &one, sizeof(one));
}

static int tell_new(struct telling *t, struct alerts *store, uint64_t revision, struct alerts_ask *ask,
		    uint64_t *io_lost)
{
	uint64_t lost = alerts_ask_lost(store);
	struct alerts_page page = { .more = true };
	int r = 0;

	if (lost != *io_lost)
		buf_printf(&t->lines, "{\"shrike\":{\"alerts\":{\"lost\":%llu}}}\n",
			   (unsigned long long)(lost - *io_lost));
	*io_lost = lost;
	while (r == 0 && page.more && !*t->peer->stop) {
		r = alerts_ask_list(store, ask, tell_alert, t, &page);
		ask->cursor = r == 0 ? page.cursor : ask->cursor;
		r = r < 0 ? r : send_lines(t);
	}
	/* Those that do not fit are not looked at again. */
	if (r == 0 && !page.more && revision > ask->cursor)
		ask->cursor = revision;
	return r;
}

static int follow_alerts(struct telling *t, struct alerts *store, struct alerts_ask *ask, uint64_t lost)
{
	struct bell bell = { .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .revision = ask->cursor };
	struct alerts_watcher watcher = { .changed = ring_bell, .arg = &bell };
	struct pollfd fds[] = { { .fd = bell.fd, .events = POLLIN }, { .fd = t->peer->fd, .events = POLLRDHUP } };
	uint64_t rung;
	int r = bell.fd < 0 ? err_sys(errno, "make an event") : alerts_watch(store, &watcher);

	if (r < 0) {
		fd_closep(&bell.fd);
		return r;
	}
	do {
		r = tell_new(t, store, bell.revision, ask, &lost);
		if (r == 0)
			(void)poll(fds, countof(fds), LOOK_MS);
		(void)!read(bell.fd, &rung, sizeof(rung));
	} while (r == 0 && !*t->peer->stop && !talk_has_hung_up(t->peer->fd));
	alerts_unwatch(store, &watcher);
	fd_closep(&bell.fd);
	return r;
}

static int read_ask(const struct json_node *request, struct alerts_ask *ask)
{
	const struct json_node *words = json_get(request, "ask"), *name;
	int r = 0;

	if (words && words->type != JSON_OBJECT)
		return err_new(-EINVAL, "ask: not an object");
	for (const struct json_node *v = words ? json_first(words, &name) : NULL; v && r == 0;
	     v = json_next(words, v, &name))
		r = v->type == JSON_STRING ? alerts_ask_set(ask, name->s, v->s)
					   : err_new(-EINVAL, "ask: %s is no text", name->s);
	return r;
}

static const char *get_text(const struct json_node *object, const char *name)
{
	const struct json_node *v = json_get(object, name);

	return v && v->type == JSON_STRING ? v->s : NULL;
}

static int no_store(const struct talk_peer *peer)
{
	return talk_error(peer->fd, "this agent keeps no alerts: set alerts.store in its configuration");
}

/* The last line: an answer that was begun cannot become an error any more. */
static int tell_end(const struct talk_peer *peer, bool more, const char *error)
{
	auto_buf struct buf line = { .max = 1 << 16 };

	buf_printf(&line, "{\"shrike\":{\"alerts\":{\"end\":true,\"more\":%s", more ? "true" : "false");
	if (error) {
		buf_str(&line, ",\"error\":");
		(void)json_write_str(&line, error, strlen(error));
	}
	buf_str(&line, "}}}\n");
	return talk_send(peer->fd, buf_text(&line), line.len);
}

int control_alerts_list(struct talk_peer peer, struct alerts *store, const struct json_node *request)
{
	const struct json_node *follow_node = json_get(request, "follow");
	bool follow = follow_node && follow_node->type == JSON_BOOL && follow_node->b, more = false;
	struct telling t = { .peer = &peer, .lines = { .max = LINES_MAX } };
	struct alerts_totals totals = { .revision = 0 };
	struct alerts_ask ask = { 0 };
	uint64_t lost;
	int r;

	if (!store)
		return no_store(&peer);
	r = read_ask(request, &ask);
	/* Before the list: what comes meanwhile is told after it, perhaps twice, and not missed. */
	lost = alerts_ask_lost(store);
	r = r < 0 || !follow ? r : alerts_totals(store, &totals);
	if (r < 0)
		return talk_error(peer.fd, err_trail());
	r = talk_ok(peer.fd);
	r = r < 0 ? r : tell_kept(&t, store, &ask, &more);
	if (r == 0 && follow) {
		ask.order = ALERTS_REVISIONS;
		ask.cursor = totals.revision;
		ask.limit = 0;
		r = follow_alerts(&t, store, &ask, lost);
	}
	buf_free(&t.lines);
	return r == -EPIPE ? r : tell_end(&peer, more, r < 0 ? err_trail() : NULL);
}

static bool write_one(void *arg, const struct alert *a)
{
	alert_write(a, arg);
	return true;
}

static bool whole_id(void *arg, const struct alert *a)
{
	memcpy(arg, a->id, ALERT_ID_SIZE);
	return true;
}

static int answer_alert(const struct talk_peer *peer, struct alerts *store, const char *id)
{
	auto_buf struct buf out = { .max = LINES_MAX };
	int r;

	buf_str(&out, "{\"ok\":true,\"alert\":");
	r = alerts_get(store, id, write_one, &out);
	buf_str(&out, "}\n");
	if (r < 0 || out.failed)
		return talk_error(peer->fd, r < 0 ? err_trail() : "the alert does not fit into an answer");
	return talk_send(peer->fd, buf_text(&out), out.len);
}

int control_alerts_one(struct talk_peer peer, struct alerts *store, const struct json_node *request)
{
	const char *id = get_text(request, "id");

	if (!store)
		return no_store(&peer);
	return id ? answer_alert(&peer, store, id) : talk_error(peer.fd, "alert wants an id");
}

int control_alerts_set(struct talk_peer peer, struct alerts *store, const struct json_node *request)
{
	const char *id = get_text(request, "id"), *to = get_text(request, "state");
	const char *comment = get_text(request, "comment");
	char who[32], whole[ALERT_ID_SIZE];
	unsigned state = 0;
	int r;

	if (!store)
		return no_store(&peer);
	while (to && alert_state_names[state] && strcmp(alert_state_names[state], to) != 0)
		state++;
	if (!id || !to || !alert_state_names[state])
		return talk_error(peer.fd, "alert_state wants an id and a state");
	(void)snprintf(who, sizeof(who), "uid:%u", (unsigned)peer.uid);
	r = alerts_get(store, id, whole_id, whole);
	r = r < 0 ? r : alerts_set_state(store, whole, (enum alert_state)state, who, comment ? comment : "");
	if (r < 0)
		return talk_error(peer.fd, err_trail());
	log_notice("the state of an alert was set", "id=%s state=%s uid=%u pid=%d", whole, to, (unsigned)peer.uid,
		   (int)peer.pid);
	return answer_alert(&peer, store, whole);
}
