/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/alert_source.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>
#include "agent/control.h"
#include "base/clock.h"
#include "base/err.h"
#include "cli/text.h"
#include "cli/view.h"
#include "hunt/lines.h"
#include "rulebook/book.h"

enum { ID_PREFIX_MIN = 8, NODES_MAX = 1 << 20, DEPTH_MAX = 64 };

struct alert_source {
	struct cli *cli;
	const char *from;
	struct client *client; /* one of the three */
	struct alerts *store;
	struct lines *lines;
	struct json_doc doc;
	struct buf line;
};

static const struct json_limits log_limits = { LINE_BYTES_MAX, NODES_MAX, DEPTH_MAX };

/* ---- opening ------------------------------------------------------------------------------------------------- */

static enum exit_code open_file(struct alert_source *s)
{
	static const char sqlite[] = "SQLite format 3"; /* and its NUL */
	const struct alerts_options options = { .path = s->from, .read_only = true };
	char head[sizeof(sqlite)] = "";
	auto_close int fd = -1;
	int r;

	if (strcmp(s->from, "-") != 0) {
		fd = open(s->from, O_RDONLY | O_CLOEXEC);
		if (fd < 0) {
			cli_say(s->cli, "cannot read %s: %s", s->from, strerror(errno));
			return EXIT_NO;
		}
		/* What a pipe has given cannot be read again; a store is no pipe. */
		if (pread(fd, head, sizeof(head), 0) == (ssize_t)sizeof(head) && !memcmp(head, sqlite, sizeof(sqlite)))
			return alerts_open(&options, &s->store) < 0 ? cli_failed(s->cli) : EXIT_OK;
	}
	r = lines_open(s->from, &s->lines);
	return r < 0 ? cli_failed(s->cli) : EXIT_OK;
}

enum exit_code alert_source_open(struct cli *cli, const char *socket, const char *from,
				 struct alert_source **ret_source)
{
	AUTO(alert_source) s = calloc(1, sizeof(*s));
	enum exit_code code;

	if (!s) {
		cli_say(cli, "out of memory");
		return EXIT_NO;
	}
	s->cli = cli;
	s->from = from && *from ? from : NULL;
	buf_init(&s->line, CONTROL_ANSWER_MAX + ALERT_JSON_MAX);
	json_init(&s->doc, s->from ? &log_limits : &client_json_limits);
	code = s->from ? open_file(s) : client_open(cli, socket, &s->client);
	if (code == EXIT_OK)
		*ret_source = take(s);
	return code;
}

void alert_source_free(struct alert_source *s)
{
	if (!s)
		return;
	client_free(s->client);
	alerts_free(s->store);
	lines_free(s->lines);
	json_free(&s->doc);
	buf_free(&s->line);
	free(s);
}

int alert_words_read(const struct alert_words *words, struct alerts_ask *ret_ask)
{
	int r = 0;

	*ret_ask = (struct alerts_ask) { 0 };
	for (size_t i = 0; i < words->n && r == 0; i++)
		r = alerts_ask_set(ret_ask, words->word[i], words->value[i]);
	return r;
}

/* ---- of an agent ------------------------------------------------------------------------------------------------ */

static void put_member(struct buf *out, const char *name, const char *text)
{
	buf_printf(out, ",\"%s\":", name);
	(void)json_write_str(out, text, strlen(text));
}

static void put_ask(const struct alert_words *words, bool follow, struct buf *out)
{
	buf_str(out, "{\"cmd\":\"alerts\",\"ask\":{");
	for (size_t i = 0; i < words->n; i++) {
		buf_printf(out, "%s\"%s\":", i ? "," : "", words->word[i]);
		(void)json_write_str(out, words->value[i], strlen(words->value[i]));
	}
	buf_printf(out, "},\"follow\":%s}", follow ? "true" : "false");
}

/* {"shrike":{"alerts":{...}}} and nothing else is no alert. True: it was that. */
static bool take_note(struct alert_source *s, struct str line, bool *ret_end, bool *ret_more, bool *ret_failed)
{
	static const char begin[] = "{\"shrike\":{\"alerts\":";
	const struct json_node *root, *note;
	uint64_t lost;

	if (line.n < sizeof(begin) - 1 || memcmp(line.p, begin, sizeof(begin) - 1) != 0)
		return false;
	if (json_parse(&s->doc, line.p, line.n, &root) < 0)
		return false;
	note = view_field(root, "shrike.alerts");
	*ret_end = node_bool(note, "end");
	*ret_more = *ret_end && node_bool(note, "more");
	lost = node_u64(note, "lost");
	if (lost)
		cli_say(s->cli, "%" PRIu64 " alert%s lost here: the agent's store could not keep %s", lost,
			lost == 1 ? "" : "s", lost == 1 ? "it" : "them");
	*ret_failed = *node_text(note, "error");
	if (*ret_failed)
		cli_say(s->cli, "the agent ended this early: %s", node_text(note, "error"));
	return true;
}

static enum exit_code follow_agent(struct alert_source *s, bool follow, alert_fn fn, void *arg, bool *ret_more)
{
	bool end = false, failed = false;

	client_watch_output(s->client);
	for (;;) {
		enum client_result result;
		struct str line;

		if (!client_has_line(s->client) && !cli_flush(s->cli))
			return EXIT_OK;
		result = client_line(s->client, follow ? -1 : s->cli->patience_ms, &line);
		if (result == CLIENT_STOPPED || result == CLIENT_UNREAD)
			return EXIT_OK;
		if (result != CLIENT_LINE)
			return client_gone(s->cli, result);
		if (take_note(s, line, &end, ret_more, &failed)) {
			if (end && follow && !failed)
				cli_say(s->cli, "the agent has ended");
			if (end && failed)
				return EXIT_NO;
			if (end)
				return follow ? EXIT_NO_AGENT : EXIT_OK;
			continue;
		}
		if (!fn(arg, line))
			return EXIT_OK;
	}
}

static enum exit_code list_agent(struct alert_source *s, const struct alert_words *words, bool follow, alert_fn fn,
				 void *arg, bool *ret_more)
{
	auto_buf struct buf request = { .max = CONTROL_LINE_MAX };
	const struct json_node *answer;
	enum exit_code code;

	put_ask(words, follow, &request);
	code = client_ask(s->cli, s->client, buf_text(&request), &s->doc, &answer, NULL);
	return code == EXIT_OK ? follow_agent(s, follow, fn, arg, ret_more) : code;
}

/* {"ok":true,"alert":{...}}: the alert as it was sent. */
static enum exit_code hand_on(struct alert_source *s, struct str line, alert_fn fn, void *arg)
{
	static const char begin[] = "{\"ok\":true,\"alert\":";
	size_t n = sizeof(begin) - 1;

	if (line.n <= n + 1 || memcmp(line.p, begin, n) != 0 || line.p[line.n - 1] != '}') {
		cli_say(s->cli, "the agent's answer has no alert");
		return EXIT_NO;
	}
	(void)fn(arg, (struct str) { line.p + n, line.n - n - 1 });
	return EXIT_OK;
}

static enum exit_code ask_for_one(struct alert_source *s, const char *request, alert_fn fn, void *arg)
{
	const struct json_node *answer;
	enum exit_code code;
	struct str line;

	code = client_ask(s->cli, s->client, request, &s->doc, &answer, &line);
	return code == EXIT_OK ? hand_on(s, line, fn, arg) : code;
}

enum exit_code alert_source_set(struct alert_source *s, const char *id, const char *state, const char *comment,
				alert_fn fn, void *arg)
{
	auto_buf struct buf request = { .max = CONTROL_LINE_MAX };

	buf_str(&request, "{\"cmd\":\"alert_state\"");
	put_member(&request, "id", id);
	put_member(&request, "state", state);
	put_member(&request, "comment", comment);
	buf_char(&request, '}');
	return ask_for_one(s, buf_text(&request), fn, arg);
}

/* ---- of a store's file ------------------------------------------------------------------------------------------ */

struct handing {
	struct alert_source *s;
	alert_fn fn;
	void *arg;
};

static bool hand_out(void *arg, const struct alert *a)
{
	struct handing *h = arg;

	buf_clear(&h->s->line);
	alert_write(a, &h->s->line);
	return h->fn(h->arg, (struct str) { buf_text(&h->s->line), h->s->line.len });
}

static enum exit_code list_store(struct alert_source *s, struct alerts_ask *ask, alert_fn fn, void *arg, bool *ret_more)
{
	struct handing h = { .s = s, .fn = fn, .arg = arg };
	struct alerts_page page;
	int r = alerts_ask_turn(s->store, ask, ret_more);

	if (r > 0)
		r = alerts_ask_list(s->store, ask, hand_out, &h, &page);
	return r < 0 ? cli_failed(s->cli) : EXIT_OK;
}

/* ---- of a log ------------------------------------------------------------------------------------------------------
 */

static int64_t time_at(const struct json_node *alert, const char *path)
{
	const struct json_node *v = view_field(alert, path);
	int64_t ns = 0;

	if (v && v->type == JSON_STRING)
		(void)clock_parse(v->s, v->len, &ns);
	return ns;
}

static const char *text_at(const struct json_node *alert, const char *path, const char *other)
{
	const struct json_node *v = view_field(alert, path);

	if (v && v->type == JSON_STRING)
		return v->s;
	return other ? text_at(alert, other, NULL) : "";
}

static unsigned index_of(const char *const *names, const char *name)
{
	for (unsigned i = 0; names[i]; i++)
		if (!strcmp(names[i], name))
			return i;
	return 0;
}

/* What conditions look at. Borrows from the document and the line. False: it is no alert. */
static bool read_alert(struct alert_source *s, const char *p, size_t n, struct alert *ret_alert)
{
	const struct json_node *root, *own;

	if (json_parse(&s->doc, p, n, &root) < 0) {
		err_clear();
		return false;
	}
	own = view_field(root, "shrike.alert");
	if (!own || own->type != JSON_OBJECT || !*node_text(own, "id"))
		return false;
	*ret_alert = (struct alert) {
		.time_ns = time_at(root, "@timestamp"),
		.severity = (uint8_t)index_of(book_severity_names, node_text(own, "severity")),
		.state = (enum alert_state)index_of(alert_state_names, node_text(own, "state")),
		.rule = text_at(root, "rule.id", NULL),
		.process = text_at(root, "process.name", "process.executable"),
		.user = text_at(root, "user.name", NULL),
		.container = text_at(root, "container.id", NULL),
		.body = p,
		.body_n = n,
	};
	(void)snprintf(ret_alert->id, sizeof(ret_alert->id), "%s", node_text(own, "id"));
	return true;
}

/* Where a line lies that fits. */
struct place {
	uint64_t offset;
	size_t n;
};

static void tell_unread(struct alert_source *s, uint64_t unread)
{
	if (unread)
		cli_say(s->cli, "%" PRIu64 " line%s of %s could not be read as alerts", unread, unread == 1 ? "" : "s",
			s->from);
	if (s->lines->too_long)
		cli_say(s->cli, "%" PRIu64 " line%s of %s %s passed over: more than %d KiB", s->lines->too_long,
			s->lines->too_long == 1 ? "" : "s", s->from, s->lines->too_long == 1 ? "was" : "were",
			LINE_BYTES_MAX >> 10);
}

static int read_place(struct alert_source *s, const struct place *at)
{
	buf_clear(&s->line);
	if (!buf_reserve(&s->line, at->n))
		return err_new(-ENOMEM, "out of memory");
	s->line.len = at->n;
	s->line.data[at->n] = 0;
	return lines_reread(s->lines, at->offset, at->n, s->line.data);
}

/* The last of them are kept, by their places. */
static enum exit_code list_log(struct alert_source *s, const struct alerts_ask *ask, alert_fn fn, void *arg,
			       bool *ret_more)
{
	size_t limit = ask->limit ? ask->limit : ALERTS_PAGE_DEFAULT;
	auto_free struct place *places = calloc(limit, sizeof(*places));
	uint64_t n = 0, unread = 0;
	struct line line;
	int r = places ? 0 : err_new(-ENOMEM, "out of memory");

	while (r == 0 && (r = lines_next(s->lines, &line)) > 0) {
		struct alert a;

		r = 0;
		if (!read_alert(s, line.p, line.n, &a))
			unread++;
		else if (alerts_ask_fits(ask, &a))
			places[n++ % limit] = (struct place) { line.offset, line.n };
	}
	if (r < 0)
		return cli_failed(s->cli);
	*ret_more = n > limit;
	for (uint64_t i = n > limit ? n - limit : 0; i < n; i++) {
		if (read_place(s, &places[i % limit]) < 0)
			return cli_failed(s->cli);
		if (!fn(arg, (struct str) { buf_text(&s->line), s->line.len }))
			break;
	}
	tell_unread(s, unread);
	return EXIT_OK;
}

/* Two lines of one id are the same alert: the later one has more to say. */
static enum exit_code get_log(struct alert_source *s, const char *id, alert_fn fn, void *arg)
{
	char found[ALERT_ID_SIZE] = "";
	struct place at = { 0 };
	struct line line;
	int r;

	while ((r = lines_next(s->lines, &line)) > 0) {
		struct alert a;

		if (!read_alert(s, line.p, line.n, &a) || strncmp(a.id, id, strlen(id)) != 0)
			continue;
		if (found[0] && strcmp(found, a.id) != 0) {
			cli_say(s->cli, "several alerts' ids begin with %s: %s and %s", id, found, a.id);
			return EXIT_NO;
		}
		memcpy(found, a.id, sizeof(found));
		at = (struct place) { line.offset, line.n };
	}
	if (r == 0 && !found[0]) {
		cli_say(s->cli, "there is no alert %s in %s", id, s->from);
		return EXIT_NO;
	}
	if (r < 0 || read_place(s, &at) < 0)
		return cli_failed(s->cli);
	(void)fn(arg, (struct str) { buf_text(&s->line), s->line.len });
	return EXIT_OK;
}

/* ---- whatever it is -------------------------------------------------------------------------------------------------
 */

enum exit_code alert_source_list(struct alert_source *s, const struct alert_words *words, bool follow, alert_fn fn,
				 void *arg, bool *ret_more)
{
	struct alerts_ask ask;

	*ret_more = false;
	if (alert_words_read(words, &ask) < 0)
		return cli_failed(s->cli);
	if (s->client)
		return list_agent(s, words, follow, fn, arg, ret_more);
	return s->store ? list_store(s, &ask, fn, arg, ret_more) : list_log(s, &ask, fn, arg, ret_more);
}

enum exit_code alert_source_get(struct alert_source *s, const char *id, alert_fn fn, void *arg)
{
	auto_buf struct buf request = { .max = CONTROL_LINE_MAX };
	struct handing h = { .s = s, .fn = fn, .arg = arg };
	size_t n = strlen(id);

	if (n < ID_PREFIX_MIN || n >= ALERT_ID_SIZE || strspn(id, "0123456789abcdef") != n) {
		cli_say(s->cli, "\"%s\" is no alert's id: it has %d hex digits, of which the first %d will do", id,
			ALERT_ID_SIZE - 1, ID_PREFIX_MIN);
		return EXIT_NO;
	}
	if (s->store)
		return alerts_get(s->store, id, hand_out, &h) < 0 ? cli_failed(s->cli) : EXIT_OK;
	if (s->lines)
		return get_log(s, id, fn, arg);
	buf_str(&request, "{\"cmd\":\"alert\"");
	put_member(&request, "id", id);
	buf_char(&request, '}');
	return ask_for_one(s, buf_text(&request), fn, arg);
}
