/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/service.h"
#include <pthread.h>
#include <string.h>
#include "agent/agent.h"
#include "agent/metrics.h"
#include "agent/pipeline.h"
#include "api/alerts_api.h"
#include "api/api.h"
#include "api/export.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "config/config.h"
#include "config/settings.h"

enum { STATUS_MAX = 8 << 20, WHY_MAX = 512 };

struct service {
	struct agent *agent;
	pthread_mutex_t lock;
	struct config *config; /* that the API was opened with */
	struct api *api;       /* NULL: off, or failed */
	struct export *export; /* NULL: there is no raw ring to hand out */
	struct alerts_api *alerts;
	char why[WHY_MAX]; /* it failed */
};

static void write_metrics(void *ctx, struct buf *out)
{
	struct service *s = ctx;
	auto_buf struct buf status = { .max = STATUS_MAX };

	agent_status_for(s->agent, NULL, false, &status);
	metrics_of_status(buf_text(&status), status.len, out);
}

static bool is_ready(void *ctx, struct buf *why)
{
	struct service *s = ctx;

	if (agent_is_at_work(s->agent))
		return true;
	buf_str(why, "no sensor runs: shrike status says why");
	return false;
}

static int tell_known(void *arg, struct buf *out, __u64 *ret_cursor)
{
	struct service *s = arg;

	return pipeline_known(agent_pipeline(s->agent), out, ret_cursor);
}

static int open_export(struct service *s)
{
	const struct settings_record *record = config_section(s->config, "record");
	const struct export_source source = {
		.ring = pipeline_raw(agent_pipeline(s->agent)),
		.store = config_is_enabled(s->config, "record") ? record->folder : NULL,
		.known = tell_known,
		.arg = s,
	};

	return source.ring ? export_open(&source, &s->export) : 0;
}

static int open_both(struct service *s)
{
	struct route_table tables[2];
	struct api_options options = {
		.settings = config_section(s->config, "api"),
		.ctx = s,
		.metrics = write_metrics,
		.ready = is_ready,
		.tables = tables,
	};
	int r = open_export(s);

	r = r < 0 ? r : alerts_api_open(agent_alerts(s->agent), &s->alerts);
	if (r < 0)
		return r;
	tables[options.n_tables++] = alerts_api_routes(s->alerts);
	if (s->export)
		tables[options.n_tables++] = export_routes(s->export);
	return api_open(&options, &s->api);
}

static void close_api(struct service *s)
{
	api_free(take(s->api));
	export_free(take(s->export));
	alerts_api_free(take(s->alerts));
}

static void open_api(struct service *s)
{
	s->why[0] = 0;
	if (!config_is_enabled(s->config, "api") || open_both(s) == 0)
		return;
	(void)snprintf(s->why, sizeof(s->why), "%s", err_trail());
	log_error("the API is not there", "why=\"%s\"", s->why);
	close_api(s);
}

int service_open(struct agent *agent, struct config *config, struct service **ret_service)
{
	struct service *s = calloc(1, sizeof(*s));

	if (!s)
		return err_new(-ENOMEM, "no memory for the API");
	s->agent = agent;
	(void)pthread_mutex_init(&s->lock, NULL);
	s->config = config_ref(config);
	*ret_service = s;
	return 0;
}

void service_start(struct service *s)
{
	(void)pthread_mutex_lock(&s->lock);
	open_api(s);
	(void)pthread_mutex_unlock(&s->lock);
}

void service_free(struct service *s)
{
	if (!s)
		return;
	close_api(s);
	config_free(s->config);
	(void)pthread_mutex_destroy(&s->lock);
	free(s);
}

void service_follow(struct service *s, struct config *config)
{
	struct config *old;

	(void)pthread_mutex_lock(&s->lock);
	if (!s->why[0] && config_section_effect(s->config, config, "api") == CONFIG_SAME) {
		if (s->api && api_reload(s->api) < 0)
			log_error("the API's certificate was not read again", "why=\"%s\"", err_trail());
	} else {
		close_api(s);
		old = s->config;
		s->config = config_ref(config);
		config_free(old);
		open_api(s);
	}
	(void)pthread_mutex_unlock(&s->lock);
}

void service_status(struct service *s, struct buf *out)
{
	(void)pthread_mutex_lock(&s->lock);
	buf_printf(out, "{\"state\":\"%s\"", s->api ? "running" : s->why[0] ? "failed" : "off");
	if (s->why[0]) {
		buf_str(out, ",\"why\":");
		(void)json_write_str(out, s->why, strlen(s->why));
	}
	if (s->api) {
		buf_char(out, ',');
		api_status(s->api, out);
	}
	buf_char(out, '}');
	(void)pthread_mutex_unlock(&s->lock);
}
