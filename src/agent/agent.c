/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/agent.h"
#include <bpf/bpf.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/utsname.h>
#include <time.h>
#include "agent/alerting.h"
#include "agent/control.h"
#include "agent/manager.h"
#include "agent/pipeline.h"
#include "agent/recorder.h"
#include "agent/schema.h"
#include "agent/service.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "bpf/kernel_probe.h"
#include "config/config.h"
#include "config/settings.h"
#include "sensors/sensor.h"

enum { SETS_MAX = 256, SENSORS_MAX = 64 };

struct agent {
	struct agent_options options;
	char *sets[SETS_MAX]; /* those of the command line, then those of operators */
	size_t n_sets;
	struct config *config;
	/* A sensor's options live in the configuration that it was last started with. */
	struct config *sensor_config[SENSORS_MAX];
	struct scope scope;
	struct bpf_core *core;
	struct alerting *alerting;
	struct pipeline *pipeline;
	struct recorder *recorder;
	struct manager *manager;
	struct control *control;
	struct service *service;
	pthread_mutex_t lock; /* of reloads, and of what follows */
	unsigned reloads;
	unsigned statistics_wanted;
	int statistics_fd;
	int health_timer;
	__u64 started_ns;
};

static __u64 clock_ns(clockid_t clock)
{
	struct timespec t;

	(void)clock_gettime(clock, &t);
	return (__u64)t.tv_sec * 1000000000 + (__u64)t.tv_nsec;
}

/* ---- configuration --------------------------------------------------------------------------------- */

static int load_config(const struct agent *a, struct config **ret_config, struct config_report *report)
{
	const struct config_schema *schema = agent_schema();

	if (!schema)
		return err_new(-E2BIG, "too many sections in the configuration's schema");
	return config_load_with(a->options.config_path, (const char *const *)a->sets, a->n_sets, schema, ret_config,
				report);
}

static int add_set(struct agent *a, const char *set)
{
	if (a->n_sets == SETS_MAX)
		return err_new(-E2BIG, "more than %d settings on top of the files", SETS_MAX);
	a->sets[a->n_sets] = strdup(set);
	if (!a->sets[a->n_sets])
		return err_new(-ENOMEM, "no memory for a setting");
	a->n_sets++;
	return 0;
}

static void drop_sets(struct agent *a, size_t keep)
{
	while (a->n_sets > keep)
		free(a->sets[--a->n_sets]);
}

static bool same_key(const char *x, const char *y)
{
	size_t n = strcspn(x, "=");

	return n == strcspn(y, "=") && !memcmp(x, y, n);
}

/* Of the first `before` settings, those that a later one covers go: operators may set something for ever. */
static void drop_covered(struct agent *a, size_t before)
{
	size_t kept = 0;

	for (size_t i = 0; i < a->n_sets; i++) {
		bool covered = false;

		for (size_t k = before; i < before && k < a->n_sets; k++)
			covered |= same_key(a->sets[i], a->sets[k]);
		if (covered)
			free(a->sets[i]);
		else
			a->sets[kept++] = a->sets[i];
	}
	a->n_sets = kept;
}

/* Which stacks the kinds of one sensor carry. */
static void stacks_of(const struct config *config, const struct sensor *sensor, __u8 ret_stacks[EV_KIND_MAX])
{
	const struct settings *top = config_section(config, "");

	memset(ret_stacks, 0, EV_KIND_MAX);
	for (size_t i = 0; i < top->stacks.n; i++)
		for (size_t k = 0; k < sensor->n_kinds; k++)
			if (!strcmp(top->stacks.items[i].key, sensor->kinds[k].name))
				ret_stacks[EV_ID_NUMBER(sensor->kinds[k].id)] = (__u8)top->stacks.items[i].words;
}

/* Brings one sensor to what the configuration says; on failure it goes on as it was. */
static int apply_sensor(struct agent *a, size_t i, struct config *config)
{
	const struct sensor *sensor = sensor_table[i];
	__u8 stacks[EV_KIND_MAX];
	char path[80];
	int r;

	(void)snprintf(path, sizeof(path), "sensors.%s", sensor->name);
	stacks_of(config, sensor, stacks);
	r = manager_set(a->manager, sensor->name, config_is_enabled(config, path), config_section(config, path),
			stacks);
	/* One that has never run keeps the options that a later try will use. */
	if (r == 0 || manager_state(a->manager, sensor->name) == LEAF_FAILED) {
		config_free(a->sensor_config[i]);
		a->sensor_config[i] = config_ref(config);
	}
	return r;
}

static bool sensor_differs(const struct config *before, const struct config *after, const struct sensor *sensor)
{
	__u8 stacks[2][EV_KIND_MAX];
	char path[80];

	(void)snprintf(path, sizeof(path), "sensors.%s", sensor->name);
	stacks_of(before, sensor, stacks[0]);
	stacks_of(after, sensor, stacks[1]);
	return memcmp(stacks[0], stacks[1], EV_KIND_MAX) != 0 ||
	       config_section_effect(before, after, path) != CONFIG_SAME;
}

/* ---- status ------------------------------------------------------------------------------------------ */

static void put_text(struct buf *out, const char *name, const char *text)
{
	buf_printf(out, "\"%s\":", name);
	json_write_str(out, text, strlen(text));
	buf_char(out, ',');
}

static size_t rss_bytes(void)
{
	auto_file FILE *f = fopen("/proc/self/statm", "re");
	size_t size, resident = 0;

	if (!f || fscanf(f, "%zu %zu", &size, &resident) != 2)
		return 0;
	return resident * (size_t)sysconf(_SC_PAGESIZE);
}

void agent_status_for(struct agent *a, struct control *asked, bool with_api, struct buf *out)
{
	struct utsname u;

	(void)uname(&u);
	buf_str(out, "{\"ok\":true,\"agent\":{");
	put_text(out, "version", SHRIKE_VERSION);
	put_text(out, "scope", a->scope.text);
	put_text(out, "kernel", u.release);
	put_text(out, "config", a->options.config_path ? a->options.config_path : CONFIG_PATH);
	(void)pthread_mutex_lock(&a->lock);
	buf_printf(out,
		   "\"pid\":%d,\"uptime_s\":%llu,\"reloads\":%u,\"rss_bytes\":%zu,\"cpu_ms\":%llu,\"statistics\":%s}",
		   (int)getpid(), (clock_ns(CLOCK_BOOTTIME) - a->started_ns) / 1000000000, a->reloads, rss_bytes(),
		   clock_ns(CLOCK_PROCESS_CPUTIME_ID) / 1000000, a->statistics_wanted ? "true" : "false");
	(void)pthread_mutex_unlock(&a->lock);
	buf_str(out, ",\"sensors\":");
	manager_status(a->manager, out);
	buf_char(out, ',');
	pipeline_status(a->pipeline, out);
	buf_str(out, ",\"alerts\":");
	alerting_status(a->alerting, out);
	buf_str(out, ",\"record\":");
	recorder_status(a->recorder, out);
	buf_str(out, ",\"streams\":");
	if (asked)
		control_status(asked, out);
	else
		buf_str(out, "[]");
	if (with_api) {
		buf_str(out, ",\"api\":");
		service_status(a->service, out);
	}
	buf_str(out, "}\n");
}

void agent_status(struct agent *a, struct control *asked, struct buf *out)
{
	agent_status_for(a, asked, true, out);
}

bool agent_is_at_work(struct agent *a)
{
	unsigned states[LEAF_FALLBACK + 1];

	manager_summary(a->manager, states);
	return states[LEAF_RUNNING] || states[LEAF_DEGRADED];
}

struct streams *agent_streams(struct agent *a)
{
	return pipeline_streams(a->pipeline);
}

struct alerts *agent_alerts(struct agent *a)
{
	return alerting_store(a->alerting);
}

struct pipeline *agent_pipeline(struct agent *a)
{
	return a->pipeline;
}

bool agent_has_sensor(struct agent *a, const char *name)
{
	return manager_has(a->manager, name);
}

int agent_statistics(struct agent *a, bool on)
{
	int r = 0;

	(void)pthread_mutex_lock(&a->lock);
	if (on && a->statistics_wanted++ == 0) {
		a->statistics_fd = bpf_enable_stats(BPF_STATS_RUN_TIME);
		if (a->statistics_fd < 0) {
			a->statistics_wanted--;
			r = err_sys(-a->statistics_fd, "switch the kernel's run statistics on");
		}
	} else if (!on && --a->statistics_wanted == 0) {
		fd_closep(&a->statistics_fd);
	}
	(void)pthread_mutex_unlock(&a->lock);
	return r;
}

/* All engines with their options; returns how many. */
static size_t list_engines(const struct config *config, struct pipeline_engine ret_engines[PIPELINE_ENGINES_MAX])
{
	size_t n = 0;

	for (; n < PIPELINE_ENGINES_MAX && engine_table[n]; n++) {
		char path[64];

		(void)snprintf(path, sizeof(path), "engines.%s", engine_table[n]->name);
		ret_engines[n] = (struct pipeline_engine) { engine_table[n], config_section(config, path) };
	}
	return n;
}

/* ---- reload -------------------------------------------------------------------------------------------- */

static const char *const effect_names[] = {
	[CONFIG_SAME] = "none",     [CONFIG_LIVE] = "live",       [CONFIG_SWITCH] = "switch",
	[CONFIG_REOPEN] = "reopen", [CONFIG_RESTART] = "restart",
};

struct changes {
	struct buf *out;
	size_t n;
};

static void tell_change(void *ctx, const struct config_change *change)
{
	struct changes *c = ctx;
	const char *path = change->section->path;

	buf_printf(c->out, "%s{\"option\":\"%s%s%s\",\"effect\":\"%s\"}", c->n++ ? "," : "", path, *path ? "." : "",
		   change->row ? change->row->name : "enabled", effect_names[change->effect]);
}

/* What takes effect without starting anything anew. */
static int apply_live(struct agent *a)
{
	const struct settings_agent *agent = config_section(a->config, "agent");
	__u64 every_ns = ((const struct settings_health *)config_section(a->config, "health"))->canary_ns;
	const struct timespec t = { .tv_sec = (time_t)(every_ns / 1000000000),
				    .tv_nsec = (long)(every_ns % 1000000000) };

	log_set_level((enum log_level)agent->log_level);
	return timerfd_settime(a->health_timer, 0, &(struct itimerspec) { t, t }, NULL);
}

/* Brings every sensor that differs between the two to `to`. The first failure, with its trail. */
static int apply_sensors(struct agent *a, struct config *from, struct config *to)
{
	char trail[1024] = "";
	int first_error = 0;

	for (size_t i = 0; sensor_table[i]; i++) {
		int r = sensor_differs(from, to, sensor_table[i]) ? apply_sensor(a, i, to) : 0;

		if (r < 0 && !first_error) {
			first_error = r;
			(void)snprintf(trail, sizeof(trail), "%s", err_trail());
		}
	}
	/* What was done since the failure may have left words of its own. */
	return first_error ? err_new(first_error, "%s", trail) : 0;
}

/* Rules and the like. What is wrong with them changes nothing. */
static int apply_engines(struct agent *a, const struct config *config)
{
	struct pipeline_engine engines[PIPELINE_ENGINES_MAX];
	size_t n = list_engines(config, engines);

	return pipeline_reload(a->pipeline, engines, n);
}

/* The throttle of rules, the bounds of the store, and the senders. What is wrong with them changes nothing. */
static int apply_alerts(struct agent *a, const struct config *before, const struct config *after)
{
	return alerting_reload(a->alerting, before, after);
}

/* Back to what runs now, after a change that a sensor, or what comes before them, refused. Returns the refusal. */
static int take_back(struct agent *a, struct config *refused, bool with_sensors, int error)
{
	char trail[1024];

	(void)snprintf(trail, sizeof(trail), "%s", err_trail());
	if (with_sensors)
		(void)apply_sensors(a, refused, a->config);
	(void)apply_engines(a, a->config);
	(void)apply_alerts(a, refused, a->config);
	return err_new(error, "%s", trail);
}

static int reload_locked(struct agent *a, bool whole, struct buf *out)
{
	auto_report struct config_report report = { 0 };
	AUTO(config) fresh = NULL;
	struct changes changes = { .out = out };
	int r = load_config(a, &fresh, &report);

	if (r < 0) {
		config_report_write(&report, false, out);
		return r;
	}
	r = apply_engines(a, fresh);
	if (r < 0)
		return r;
	r = apply_alerts(a, a->config, fresh);
	if (r < 0)
		return take_back(a, fresh, false, r);
	r = apply_sensors(a, a->config, fresh);
	manager_rest(a->manager);
	if (r < 0 && whole)
		return take_back(a, fresh, true, r);
	buf_char(out, '[');
	(void)config_diff(a->config, fresh, tell_change, &changes);
	buf_char(out, ']');
	config_free(a->config);
	a->config = take(fresh);
	a->reloads++;
	(void)apply_live(a);
	return r;
}

int agent_reload(struct agent *a, const char *const *sets, size_t n_sets, struct buf *out)
{
	size_t before;
	AUTO(config) now = NULL;
	int r = 0;

	(void)pthread_mutex_lock(&a->lock);
	before = a->n_sets;
	for (size_t i = 0; i < n_sets && r == 0; i++)
		r = add_set(a, sets[i]);
	if (r == 0)
		r = reload_locked(a, n_sets > 0, out);
	if (r < 0)
		drop_sets(a, before);
	else
		drop_covered(a, before);
	now = config_ref(a->config);
	(void)pthread_mutex_unlock(&a->lock);
	if (r == 0)
		service_follow(a->service, now);
	return r;
}

/* ---- starting -------------------------------------------------------------------------------------------- */

static int open_core(struct agent *a)
{
	const struct settings *top = config_section(a->config, "");
	const struct settings_rings *rings = config_section(a->config, "rings");
	const struct settings_budgets *budgets = config_section(a->config, "budgets");
	const struct core_options core = {
		.ring_bytes = { [RING_CRITICAL] = rings->critical,
				[RING_BULK] = rings->bulk,
				[RING_PACKET] = rings->packet },
		.budget_per_s = { [EV_NORMAL] = budgets->normal, [EV_BULK] = budgets->bulk },
		.no_syscall_hooks = !top->syscall_hooks,
	};
	int r = scope_parse(top->scope, &a->scope);

	if (r < 0)
		return r;
	return bpf_core_open(&core, &a->scope, &a->core);
}

static int open_pipeline(struct agent *a)
{
	const struct settings_bus *bus = config_section(a->config, "bus");
	const struct settings_raw *raw = config_section(a->config, "raw");
	struct pipeline_engine engines[PIPELINE_ENGINES_MAX];
	const struct pipeline_options options = {
		.bus = { .shards = bus->shards,
			 .queue_bytes = bus->queue,
			 .wait_ns = bus->wait_ns,
			 .mark_ns = 10 * NS_PER_MS },
		.context = { .limits = *(const struct context_limits *)config_section(a->config, "context"),
			     .core = a->core },
		.raw_ring_bytes = raw->ring ? settings_ring_bytes(raw->ring, SETTINGS_RAW_RING_MIN) : 0,
		.engines = engines,
		.n_engines = list_engines(a->config, engines),
		.alerting = a->alerting,
	};

	return pipeline_open(a->core, &options, &a->pipeline);
}

/* Loading all sensors takes seconds: who changes their mind need not wait for it. */
static bool is_asked_to_end(void)
{
	sigset_t set;

	return !sigpending(&set) && (sigismember(&set, SIGINT) == 1 || sigismember(&set, SIGTERM) == 1);
}

/* Starts every sensor that is wanted. It is an error only when none could be. */
static int start_sensors(struct agent *a)
{
	unsigned states[LEAF_FALLBACK + 1];
	int r, last = 0;

	r = manager_open(a->core, sensor_table, &a->manager);
	if (r < 0)
		return r;
	for (size_t i = 0; sensor_table[i] && !is_asked_to_end(); i++) {
		r = apply_sensor(a, i, a->config);
		if (r < 0)
			last = r;
	}
	if (is_asked_to_end())
		return -ECANCELED;
	manager_summary(a->manager, states);
	if (last < 0 && !states[LEAF_RUNNING] && !states[LEAF_DEGRADED])
		return err_wrap(last, "no sensor could be started");
	return 0;
}

/*
 * Records carry boot time. An agent is often started before the wall clock has been set; that is a step, and small
 * differences are not taken, because a process that began at one time should be told to have begun at one time.
 */
static void follow_wall_clock(void)
{
	static const __s64 step_ns = 100000000;
	__s64 now = (__s64)(clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_BOOTTIME));

	if (llabs(now - event_clock()) >= step_ns)
		event_clock_set(now);
}

static int start(struct agent *a)
{
	const struct settings_agent *settings = config_section(a->config, "agent");
	int r;

	r = control_check(settings->socket, settings->socket_group);
	if (r < 0)
		return r;
	follow_wall_clock();
	r = sensor_kinds_register();
	if (r < 0)
		return r;
	r = open_core(a);
	if (r < 0)
		return r;
	r = alerting_open(a->config, ((const struct settings_bus *)config_section(a->config, "bus"))->shards,
			  &a->alerting);
	if (r == 0)
		r = open_pipeline(a);
	if (r < 0)
		return r;
	r = start_sensors(a);
	if (r < 0)
		return r;
	/* Attached first, then seeded: the other way round, what begins between the two is never known. */
	r = pipeline_start(a->pipeline);
	if (r == 0 && config_is_enabled(a->config, "record"))
		r = recorder_open(a->pipeline, config_section(a->config, "record"), &a->recorder);
	if (r < 0)
		return r;
	manager_exercise(a->manager);
	manager_rest(a->manager);
	if (apply_live(a))
		return err_sys(errno, "set the timer of health checks");
	r = service_open(a, a->config, &a->service);
	if (r == 0)
		r = control_open(a, settings->socket, settings->socket_group, &a->control);
	/* The control socket has made the folder that the API's socket is in, too. */
	if (r == 0)
		service_start(a->service);
	return r;
}

static void stop(struct agent *a)
{
	/* Its clients ask for the API's status. */
	control_free(take(a->control));
	service_free(take(a->service));
	/* First the programs, so that nothing more comes; then what came is drained and delivered. */
	manager_free(take(a->manager));
	recorder_settle(a->recorder);
	if (a->pipeline)
		pipeline_settle(a->pipeline);
	recorder_free(take(a->recorder));
	pipeline_free(take(a->pipeline));
	alerting_free(take(a->alerting));
	bpf_core_free(take(a->core));
	scope_close(&a->scope);
	fd_closep(&a->statistics_fd);
	fd_closep(&a->health_timer);
	for (size_t i = 0; i < SENSORS_MAX; i++)
		config_free(a->sensor_config[i]);
	config_free(take(a->config));
	drop_sets(a, 0);
	(void)pthread_mutex_destroy(&a->lock);
}

/* Clients are served already, and may change the configuration. */
static void greet(struct agent *a)
{
	struct utsname u;
	struct buf text;

	(void)uname(&u);
	buf_init(&text, 1 << 20);
	buf_printf(&text, "shrike %s watches %s on Linux %s\n", SHRIKE_VERSION,
		   a->scope.kind == SCOPE_HOST ? "the whole host" : a->scope.text, u.release);
	manager_describe(a->manager, &text);
	pipeline_describe(a->pipeline, &text);
	if (!pipeline_seed_is_exact(a->pipeline))
		buf_str(&text, "  note     processes older than the agent are known to 10 ms: no task iterator here\n");
	(void)pthread_mutex_lock(&a->lock);
	buf_printf(&text, "see  shrike events, shrike alerts, shrike status, shrike top   (socket %s)   stop: Ctrl-C\n",
		   ((const struct settings_agent *)config_section(a->config, "agent"))->socket);
	(void)pthread_mutex_unlock(&a->lock);
	(void)fputs(buf_text(&text), stderr);
	buf_free(&text);
}

/* ---- the main loop ----------------------------------------------------------------------------------------- */

static void tell_reload(struct agent *a)
{
	auto_buf struct buf out;
	int r;

	buf_init(&out, 1 << 20);
	r = agent_reload(a, NULL, 0, &out);
	if (r < 0)
		log_error("the configuration was not changed", "why=\"%s\" problems=\"%s\"", err_trail(),
			  buf_text(&out));
	else
		log_notice("configuration read again", "changed=%s", buf_text(&out));
}

/* Until a signal says to stop. */
static int serve(struct agent *a, int signals)
{
	static const struct health_options health = { .silent_max = 2, .restarts_max = 3, .loss_percent = 10 };
	auto_close int epoll = epoll_create1(EPOLL_CLOEXEC);
	int timer = a->health_timer;

	if (epoll < 0 || timer < 0 ||
	    epoll_ctl(epoll, EPOLL_CTL_ADD, signals, &(struct epoll_event) { .events = EPOLLIN, .data.fd = signals }) ||
	    epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &(struct epoll_event) { .events = EPOLLIN, .data.fd = timer }))
		return err_sys(errno, "set up the main loop");
	for (;;) {
		struct epoll_event e;
		struct signalfd_siginfo info;
		__u64 ticks;

		if (epoll_wait(epoll, &e, 1, -1) < 1)
			continue;
		if (e.data.fd == timer && read(timer, &ticks, sizeof(ticks)) == sizeof(ticks)) {
			follow_wall_clock();
			manager_check(a->manager, &health);
		}
		if (e.data.fd != signals || read(signals, &info, sizeof(info)) != sizeof(info))
			continue;
		if (info.ssi_signo != SIGHUP)
			return 0;
		tell_reload(a);
	}
}

static int run(struct agent *a, int signals)
{
	auto_report struct config_report report = { 0 };
	int r;

	for (size_t i = 0; i < a->options.n_sets; i++) {
		r = add_set(a, a->options.sets[i]);
		if (r < 0)
			return r;
	}
	r = load_config(a, &a->config, &report);
	config_report_print(&report, stderr);
	if (r < 0 && report.n_errors)
		return err_new(r, "the configuration has %zu problem%s: nothing was started", report.n_errors,
			       report.n_errors == 1 ? "" : "s");
	if (r < 0)
		return r;
	r = kernel_check();
	if (r < 0)
		return r;
	r = start(a);
	if (r == -ECANCELED)
		return 0;
	if (r < 0)
		return r;
	if (!a->options.quiet)
		greet(a);
	r = serve(a, signals);
	/* The kernel waits for all CPUs before it lets go of a tracepoint: some tens of times in a row. */
	if (r == 0 && !a->options.quiet)
		(void)fputs("shrike ends: the kernel takes its programs out, which may take some seconds\n", stderr);
	return r;
}

int agent_run(const struct agent_options *options)
{
	struct agent a = { .options = *options, .scope = SCOPE_NONE, .statistics_fd = -1, .health_timer = -1 };
	auto_close int signals = -1;
	sigset_t set;
	int r;

	/* Before any thread begins, so that all of them inherit it. */
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGHUP);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	signals = signalfd(-1, &set, SFD_CLOEXEC);
	if (signals < 0)
		return err_sys(errno, "watch for signals");
	(void)pthread_mutex_init(&a.lock, NULL);
	a.started_ns = clock_ns(CLOCK_BOOTTIME);
	a.health_timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	r = run(&a, signals);
	stop(&a);
	return r;
}
