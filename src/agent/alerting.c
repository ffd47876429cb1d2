/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/alerting.h"
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "senders/sender.h"

enum { SENDERS_MAX = 16, PATH_MAX_TEXT = 64, HOST_MAX = 256 };

/* A shard's; the lock is its own but for a reload. */
struct desk {
	pthread_mutex_t lock;
	struct alert_maker *maker;
	uint64_t found, excepted, failed;
};

struct alerting {
	struct desk *desks;
	unsigned n_desks;
	struct alerts *store; /* NULL: none */
	char *store_path;

	pthread_mutex_t lock; /* of what follows */
	struct alert_folds *folds;
	void *sender[SENDERS_MAX]; /* at the index of the table; NULL: off */
};

static const struct alert_settings *settings_of(const struct config *config)
{
	return config_section(config, "alerts");
}

static struct alerts_options store_options(const struct alert_settings *s)
{
	return (struct alerts_options) {
		.path = s->store, .max_age_ns = s->age, .max_count = s->count, .max_bytes = s->size
	};
}

/* ---- senders ------------------------------------------------------------------------------------------------ */

static const char *section_of(const struct sender *sender, char path[PATH_MAX_TEXT])
{
	(void)snprintf(path, PATH_MAX_TEXT, "senders.%s", sender->name);
	return path;
}

static int open_sender(const struct sender *sender, const struct config *config, void **ret_state)
{
	char path[PATH_MAX_TEXT];
	int r = sender->open(ret_state, config_section(config, section_of(sender, path)));

	return r < 0 ? err_wrap(r, "start the sender %s", sender->name) : 0;
}

static void close_sender(const struct sender *sender, void *state)
{
	if (state)
		sender->close(state);
}

/* Puts another state in the place of one, which then is closed: whoever puts has the lock. */
static void replace_sender(struct alerting *a, size_t i, void *state)
{
	void *old;

	(void)pthread_mutex_lock(&a->lock);
	old = a->sender[i];
	a->sender[i] = state;
	(void)pthread_mutex_unlock(&a->lock);
	close_sender(sender_table[i], old);
}

static int reload_sender(struct alerting *a, size_t i, const struct config *before, const struct config *after)
{
	const struct sender *sender = sender_table[i];
	char path[PATH_MAX_TEXT];
	const bool is_on = config_is_enabled(after, section_of(sender, path));
	void *state = NULL;
	int r;

	/* Nobody else changes which senders there are. */
	if (is_on && a->sender[i] && config_section_effect(before, after, path) < CONFIG_REOPEN) {
		r = sender->reload(a->sender[i], config_section(after, path));
		return r < 0 ? err_wrap(r, "reload the sender %s", sender->name) : 0;
	}
	if (!is_on && !a->sender[i])
		return 0;
	r = is_on ? open_sender(sender, after, &state) : 0;
	if (r == 0)
		replace_sender(a, i, state);
	return r;
}

/* ---- opening and closing -------------------------------------------------------------------------------------- */

static int open_desks(struct alerting *a, const struct alert_settings *settings, unsigned shards)
{
	char host[HOST_MAX] = "";
	struct alert_defaults defaults;

	alert_defaults_of(settings, &defaults);
	if (gethostname(host, sizeof(host) - 1))
		host[0] = 0;
	a->desks = calloc(shards, sizeof(*a->desks));
	if (!a->desks)
		return err_new(-ENOMEM, "no memory for alerts");
	for (; a->n_desks < shards; a->n_desks++) {
		struct desk *d = &a->desks[a->n_desks];
		int r = alert_maker_open(&defaults, host, &d->maker);

		if (r < 0)
			return r;
		(void)pthread_mutex_init(&d->lock, NULL);
	}
	return 0;
}

static int open_store(struct alerting *a, const struct alert_settings *settings)
{
	const struct alerts_options o = store_options(settings);

	if (!settings->store[0])
		return 0;
	a->store_path = strdup(settings->store);
	return a->store_path ? alerts_open(&o, &a->store) : err_new(-ENOMEM, "no memory for the alerts");
}

int alerting_open(const struct config *config, unsigned shards, struct alerting **ret_alerting)
{
	AUTO(alerting) a = calloc(1, sizeof(*a));
	char path[PATH_MAX_TEXT];
	int r;

	if (!a)
		return err_new(-ENOMEM, "no memory for alerts");
	(void)pthread_mutex_init(&a->lock, NULL);
	r = alert_folds_open(ALERT_FOLDS_MAX, &a->folds);
	if (r == 0)
		r = open_desks(a, settings_of(config), shards);
	if (r == 0)
		r = open_store(a, settings_of(config));
	for (size_t i = 0; r == 0 && i < SENDERS_MAX && sender_table[i]; i++)
		if (config_is_enabled(config, section_of(sender_table[i], path)))
			r = open_sender(sender_table[i], config, &a->sender[i]);
	if (r < 0)
		return r;
	*ret_alerting = take(a);
	return 0;
}

void alerting_free(struct alerting *a)
{
	if (!a)
		return;
	if (a->folds)
		alerting_tick(a);
	for (size_t i = 0; i < SENDERS_MAX && sender_table[i]; i++)
		close_sender(sender_table[i], a->sender[i]);
	alerts_free(a->store);
	for (unsigned i = 0; i < a->n_desks; i++) {
		alert_maker_free(a->desks[i].maker);
		(void)pthread_mutex_destroy(&a->desks[i].lock);
	}
	free(a->desks);
	free(a->store_path);
	alert_folds_free(a->folds);
	(void)pthread_mutex_destroy(&a->lock);
	free(a);
}

int alerting_reload(struct alerting *a, const struct config *before, const struct config *after)
{
	const struct alert_settings *settings = settings_of(after);
	const struct alerts_options o = store_options(settings);
	struct alert_defaults defaults;
	int r = 0;

	for (size_t i = 0; r == 0 && i < SENDERS_MAX && sender_table[i]; i++)
		r = reload_sender(a, i, before, after);
	if (r < 0)
		return r;
	alert_defaults_of(settings, &defaults);
	for (unsigned i = 0; i < a->n_desks; i++) {
		(void)pthread_mutex_lock(&a->desks[i].lock);
		alert_maker_set(a->desks[i].maker, &defaults);
		(void)pthread_mutex_unlock(&a->desks[i].lock);
	}
	if (a->store)
		alerts_limits(a->store, &o);
	return 0;
}

/* ---- finding ----------------------------------------------------------------------------------------------------- */

/* False: it is folded into another. */
static bool tell(struct alerting *a, struct alert *alert)
{
	bool passes;

	(void)pthread_mutex_lock(&a->lock);
	passes = alert_folds_pass(a->folds, alert);
	/* What is lost here the store and the senders count themselves. */
	if (passes && a->store)
		(void)alerts_put(a->store, alert);
	for (size_t i = 0; passes && i < SENDERS_MAX && sender_table[i]; i++)
		if (a->sender[i])
			(void)sender_table[i]->put(a->sender[i], alert);
	(void)pthread_mutex_unlock(&a->lock);
	return passes;
}

bool alerting_found(struct alerting *a, unsigned shard, const struct finding *f, char ret_id[ALERT_ID_SIZE])
{
	struct desk *d = &a->desks[shard];
	struct finding timed = *f;
	struct alert alert;
	bool told = false;
	int r;

	/* What no event and no engine dates is of now: trouble of the agent's own. */
	if (!timed.time_ns && !timed.event)
		timed.time_ns = clock_boot_ns();
	(void)pthread_mutex_lock(&d->lock);
	r = alert_make(d->maker, &timed, &alert);
	d->found++;
	d->excepted += r == ALERT_EXCEPTED;
	d->failed += r < 0;
	if (r == ALERT_MADE) {
		told = tell(a, &alert);
		memcpy(ret_id, alert.id, ALERT_ID_SIZE);
	}
	(void)pthread_mutex_unlock(&d->lock);
	if (r < 0)
		log_error("an alert could not be made", "rule=\"%s\" why=\"%s\"", f->rule, strerror(-r));
	return told;
}

static void fold_in_store(void *arg, const char *id, uint64_t more, int64_t last_ns)
{
	struct alerting *a = arg;

	if (a->store)
		(void)alerts_fold(a->store, id, more, last_ns);
}

void alerting_tick(struct alerting *a)
{
	(void)pthread_mutex_lock(&a->lock);
	alert_folds_told(a->folds, fold_in_store, a);
	(void)pthread_mutex_unlock(&a->lock);
}

/* ---- telling ------------------------------------------------------------------------------------ */

struct alerts *alerting_store(struct alerting *a)
{
	return a->store;
}

static void put_text(struct buf *out, const char *name, const char *text)
{
	buf_printf(out, "\"%s\":", name);
	(void)json_write_str(out, text, strlen(text));
}

static void store_status(struct alerting *a, struct buf *out)
{
	struct alerts_stats s;

	if (!a->store) {
		buf_str(out, "null");
		return;
	}
	alerts_stats(a->store, &s);
	buf_char(out, '{');
	put_text(out, "path", a->store_path);
	buf_printf(out,
		   ",\"put\":%" PRIu64 ",\"stored\":%" PRIu64 ",\"duplicates\":%" PRIu64 ",\"waiting\":%" PRIu64
		   ",\"lost_full\":%" PRIu64 ",\"lost_closed\":%" PRIu64 ",\"lost_disk\":%" PRIu64
		   ",\"removed\":%" PRIu64 ",\"kept\":%" PRIu64 ",\"bytes\":%" PRIu64 ",",
		   s.put, s.stored, s.duplicates, s.waiting, s.lost_full, s.lost_closed, s.lost_disk, s.removed, s.kept,
		   s.bytes);
	put_text(out, "error", s.error);
	buf_char(out, '}');
}

void alerting_status(struct alerting *a, struct buf *out)
{
	uint64_t found = 0, excepted = 0, failed = 0;
	struct alert_folds_stats folds;
	bool any = false;

	for (unsigned i = 0; i < a->n_desks; i++) {
		(void)pthread_mutex_lock(&a->desks[i].lock);
		found += a->desks[i].found;
		excepted += a->desks[i].excepted;
		failed += a->desks[i].failed;
		(void)pthread_mutex_unlock(&a->desks[i].lock);
	}
	(void)pthread_mutex_lock(&a->lock);
	alert_folds_stats(a->folds, &folds);
	buf_printf(out,
		   "{\"found\":%" PRIu64 ",\"excepted\":%" PRIu64 ",\"folded\":%" PRIu64 ",\"told\":%" PRIu64
		   ",\"failed\":%" PRIu64 ",\"keys\":%" PRIu64 ",\"keys_evicted\":%" PRIu64 ",\"store\":",
		   found, excepted, folds.folded, folds.passed, failed, folds.keys, folds.evicted);
	store_status(a, out);
	buf_str(out, ",\"senders\":[");
	for (size_t i = 0; i < SENDERS_MAX && sender_table[i]; i++) {
		if (!a->sender[i])
			continue;
		buf_printf(out, "%s{\"name\":\"%s\"", any ? "," : "", sender_table[i]->name);
		sender_table[i]->status(a->sender[i], out);
		buf_char(out, '}');
		any = true;
	}
	(void)pthread_mutex_unlock(&a->lock);
	buf_str(out, "]}");
}
