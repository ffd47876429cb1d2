/* SPDX-License-Identifier: Apache-2.0 */
#include "store/alerts_ask.h"
#include <string.h>
#include <strings.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "config/option.h"
#include "rulebook/book.h"

const struct alerts_ask_word alerts_ask_words[] = {
	{ "severity", "those that are as severe, or more", book_severity_names, false, false },
	{ "state", "those in this state, or in one of these", alert_state_names, true, false },
	{ "rule", "those of the rule with this id", NULL, false, false },
	{ "process", "those whose last event is of a process of this name", NULL, false, false },
	{ "user", "those whose last event is of this user", NULL, false, false },
	{ "container", "those whose last event is of this container", NULL, false, false },
	{ "text", "those with this text anywhere in them, in whatever letters: a host, a path, an address", NULL, false,
	  false },
	{ "since", "those from this time on: a date (2024-02-29T12:34:56Z), or how long ago (2h)", NULL, false, false },
	{ "until", "those before this time, said in the same way", NULL, false, false },
	{ "limit", "how many at most; 100 unless said, 1000 at most", NULL, false, true },
	{ "cursor", "of the answer before: goes on behind it", NULL, false, true },
};
const size_t alerts_ask_n_words = countof(alerts_ask_words);

/* ---- reading --------------------------------------------------------------------------------------------- */

static int no_such_value(const char *name, const char *value, size_t n, const char *const *values)
{
	auto_buf struct buf list = { .max = 1024 };

	for (size_t i = 0; values[i]; i++)
		buf_printf(&list, "%s%s", i ? ", " : "", values[i]);
	return err_new(-EINVAL, "%s: \"%.*s\" is none of %s", name, (int)(n < 64 ? n : 64), value, buf_text(&list));
}

/* The index of the first n bytes among the values. */
static int read_word(const char *name, const char *value, size_t n, const char *const *values)
{
	for (int i = 0; values[i]; i++)
		if (strlen(values[i]) == n && !memcmp(values[i], value, n))
			return i;
	return no_such_value(name, value, n, values);
}

static int read_states(const char *value, uint32_t *io_states)
{
	for (const char *p = value;; p++) {
		size_t n = strcspn(p, ",");
		int state = read_word("state", p, n, alert_state_names);

		if (state < 0)
			return state;
		*io_states |= 1U << state;
		p += n;
		if (!*p)
			return 0;
	}
}

static int read_text(const char *name, const char *value, char *to, size_t size)
{
	if (strlen(value) >= size)
		return err_new(-EINVAL, "%s: more than %zu bytes", name, size - 1);
	memcpy(to, value, strlen(value) + 1);
	return 0;
}

static int read_number(const char *name, const char *value, uint64_t max, uint64_t *ret_number)
{
	uint64_t v = 0;

	for (const char *p = value; *p; p++) {
		if (*p < '0' || *p > '9' || __builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v) || v > max)
			return err_new(-EINVAL, "%s: wanted a number up to %llu", name, (unsigned long long)max);
	}
	if (!*value)
		return err_new(-EINVAL, "%s: wanted a number", name);
	*ret_number = v;
	return 0;
}

int alerts_ask_time(const char *text, int64_t *ret_ns)
{
	static const struct option ago = { .name = "ago", .type = OPT_DURATION, .min = 0, .max = INT64_MAX };
	uint64_t ns = 0;

	if (clock_parse(text, strlen(text), ret_ns))
		return 0;
	if (option_set(&ago, text, &ns) < 0 || ns > INT64_MAX)
		return err_new(-EINVAL, "\"%.64s\" is no date (2024-02-29T12:34:56Z) and no time ago (2h)", text);
	*ret_ns = clock_wall_ns() - (int64_t)ns;
	return 0;
}

static int read_time(const char *name, const char *value, int64_t *ret_ns)
{
	int r = alerts_ask_time(value, ret_ns);

	return r < 0 ? err_wrap(r, "%s", name) : 0;
}

int alerts_ask_set(struct alerts_ask *ask, const char *name, const char *value)
{
	uint64_t number;
	int r;

	if (!strcmp(name, "severity")) {
		r = read_word(name, value, strlen(value), book_severity_names);
		ask->severity_min = r < 0 ? 0 : (uint8_t)r;
		return r < 0 ? r : 0;
	}
	if (!strcmp(name, "state"))
		return read_states(value, &ask->states);
	if (!strcmp(name, "rule"))
		return read_text(name, value, ask->rule, sizeof(ask->rule));
	if (!strcmp(name, "process"))
		return read_text(name, value, ask->process, sizeof(ask->process));
	if (!strcmp(name, "user"))
		return read_text(name, value, ask->user, sizeof(ask->user));
	if (!strcmp(name, "container"))
		return read_text(name, value, ask->container, sizeof(ask->container));
	if (!strcmp(name, "text"))
		return read_text(name, value, ask->text, sizeof(ask->text));
	if (!strcmp(name, "since"))
		return read_time(name, value, &ask->from_ns);
	if (!strcmp(name, "until"))
		return read_time(name, value, &ask->to_ns);
	if (!strcmp(name, "cursor"))
		return read_number(name, value, INT64_MAX, &ask->cursor);
	if (strcmp(name, "limit") != 0)
		return err_new(-EINVAL, "alerts are not asked for by \"%.64s\"", name);
	r = read_number(name, value, ALERTS_PAGE_MAX, &number);
	if (r < 0)
		return r;
	if (!number)
		return err_new(-EINVAL, "limit: wanted 1 or more");
	ask->limit = (size_t)number;
	return 0;
}

/* ---- fitting --------------------------------------------------------------------------------------------- */

/* The text as JSON writes it, in letters of one case; false: no memory. */
static bool needle_of(const char *text, struct buf *out)
{
	auto_buf struct buf quoted = { .max = 8 * ALERT_TEXT_MAX };

	(void)json_write_str(&quoted, text, strlen(text));
	if (quoted.failed)
		return false;
	buf_add(out, quoted.data + 1, quoted.len - 2);
	return !out->failed;
}

static bool has_text(const char *p, size_t n, const struct buf *needle)
{
	const char *want = buf_text(needle);
	int first = want[0] >= 'A' && want[0] <= 'Z' ? want[0] | 0x20 : want[0];

	for (size_t i = 0; i + needle->len <= n; i++) {
		int c = p[i] >= 'A' && p[i] <= 'Z' ? p[i] | 0x20 : p[i];

		if (c == first && !strncasecmp(p + i, want, needle->len))
			return true;
	}
	return false;
}

static bool is(const char *want, const char *have)
{
	return !want[0] || !strcmp(want, have);
}

static bool fits(const struct alerts_ask *ask, const struct buf *needle, const struct alert *a)
{
	return a->severity >= ask->severity_min && (!ask->states || ask->states >> a->state & 1) &&
	       (!ask->from_ns || a->time_ns >= ask->from_ns) && (!ask->to_ns || a->time_ns < ask->to_ns) &&
	       is(ask->rule, a->rule) && is(ask->process, a->process) && is(ask->user, a->user) &&
	       is(ask->container, a->container) && (!needle->len || has_text(a->body, a->body_n, needle));
}

bool alerts_ask_fits(const struct alerts_ask *ask, const struct alert *alert)
{
	auto_buf struct buf needle = { .max = 8 * ALERT_TEXT_MAX };

	return needle_of(ask->text, &needle) && fits(ask, &needle, alert);
}

/* ---- listing --------------------------------------------------------------------------------------------- */

struct listing {
	const struct alerts_ask *ask;
	struct buf needle;
	bool (*fn)(void *arg, const struct alert *alert);
	void *arg;
	size_t limit, seen;
	struct alerts_page page;
};

static bool list_one(void *arg, const struct alert *a)
{
	struct listing *l = arg;
	uint64_t at = l->ask->order == ALERTS_REVISIONS ? a->revision : a->seq;

	l->seen++;
	if (fits(l->ask, &l->needle, a)) {
		if (l->page.n == l->limit || !l->fn(l->arg, a)) {
			l->page.more = true;
			return false;
		}
		l->page.n++;
	}
	l->page.cursor = at;
	return true;
}

int alerts_ask_list(struct alerts *store, const struct alerts_ask *ask,
		    bool (*fn)(void *arg, const struct alert *alert), void *arg, struct alerts_page *ret_page)
{
	struct listing l = {
		.ask = ask,
		.needle = { .max = 8 * ALERT_TEXT_MAX },
		.fn = fn,
		.arg = arg,
		.limit = ask->limit ? ask->limit : ALERTS_PAGE_DEFAULT,
		.page = { .cursor = ask->cursor },
	};
	const struct alerts_filter filter = {
		.from_ns = ask->from_ns,
		.to_ns = ask->to_ns,
		.severity_min = ask->severity_min,
		.states = ask->states,
		.rule = ask->rule[0] ? ask->rule : NULL,
		.process = ask->process[0] ? ask->process : NULL,
		.user = ask->user[0] ? ask->user : NULL,
		.container = ask->container[0] ? ask->container : NULL,
		.order = ask->order,
		.cursor = ask->cursor,
		/* One more than is wanted tells whether there is more. */
		.limit = ask->text[0] ? ALERTS_LIST_MAX : l.limit + 1,
	};
	int r = needle_of(ask->text, &l.needle) ? 0 : err_new(-ENOMEM, "no memory to look for alerts");

	if (r == 0)
		r = alerts_list(store, &filter, list_one, &l);
	buf_free(&l.needle);
	if (r < 0)
		return r;
	l.page.more |= l.seen == ALERTS_LIST_MAX;
	*ret_page = l.page;
	return 0;
}

/* They come the newest first: the last one stays. */
static bool keep_seq(void *arg, const struct alert *a)
{
	uint64_t *oldest = arg;

	*oldest = a->seq;
	return true;
}

int alerts_ask_turn(struct alerts *store, struct alerts_ask *ask, bool *ret_more)
{
	struct alerts_page page;
	uint64_t oldest = 0;
	int r;

	ask->order = ALERTS_NEWEST;
	r = alerts_ask_list(store, ask, keep_seq, &oldest, &page);
	if (r < 0)
		return r;
	*ret_more = page.more;
	ask->order = ALERTS_OLDEST;
	ask->cursor = oldest ? oldest - 1 : 0;
	ask->limit = page.n;
	return (int)page.n;
}

uint64_t alerts_ask_lost(struct alerts *store)
{
	struct alerts_stats stats;

	alerts_stats(store, &stats);
	return stats.lost_full + stats.lost_closed + stats.lost_disk;
}
