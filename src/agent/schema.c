/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/schema.h"
#include <string.h>
#include "alert/alert.h"
#include "base/err.h"
#include "api/api.h"
#include "config/settings.h"
#include "context/context.h"
#include "engines/engine.h"
#include "senders/sender.h"
#include "sensors/sensor.h"

enum { SECTION_PATH_MAX = 64 };

static struct config_section sections[CONFIG_SECTIONS_MAX];
static char paths[CONFIG_SECTIONS_MAX][SECTION_PATH_MAX];

static bool is_kind(const char *name)
{
	for (const struct sensor *const *s = sensor_table; *s; s++)
		for (size_t i = 0; i < (*s)->n_kinds; i++)
			if (!strcmp((*s)->kinds[i].name, name))
				return true;
	return false;
}

static void check_stacks(const struct config *config, struct config_report *report)
{
	const struct option_map *stacks = &((const struct settings *)config_section(config, ""))->stacks;

	for (size_t i = 0; i < stacks->n; i++)
		if (!is_kind(stacks->items[i].key))
			config_problem_in(config, report, false, "", "stacks", stacks->items[i].key,
					  "no event has this name");
}

static void check_sensors(const struct config *config, struct config_report *report)
{
	for (const struct sensor *const *s = sensor_table; *s; s++) {
		char path[SECTION_PATH_MAX];
		const char *option = NULL;

		(void)snprintf(path, sizeof(path), "sensors.%s", (*s)->name);
		if ((*s)->check && config_is_enabled(config, path) &&
		    (*s)->check(config_section(config, path), &option) < 0)
			config_problem(config, report, false, path, option, "%s", err_trail());
	}
}

static config_check_fn *const checks[] = { settings_check, api_check, check_stacks, check_sensors, NULL };
static struct config_schema schema = { .sections = sections, .checks = checks };

static bool add(const char *group, const char *name, const struct config_section *section)
{
	size_t n = schema.n_sections;

	if (n == CONFIG_SECTIONS_MAX)
		return false;
	(void)snprintf(paths[n], sizeof(paths[n]), "%s%s%s", group, *group ? "." : "", name);
	sections[n] = *section;
	sections[n].path = paths[n];
	schema.n_sections++;
	return true;
}

static bool add_context(void)
{
	const struct config_section one = {
		.summary = "what the agent knows about processes, beyond single events",
		.rows = context_option_rows,
		.n_rows = context_n_option_rows,
		.size = sizeof(struct context_limits),
	};

	return add("", "context", &one);
}

static bool add_sensors(void)
{
	const struct config_section all = { .summary = "what the kernel is asked to report" };
	bool good = add("", "sensors", &all);

	for (const struct sensor *const *s = sensor_table; *s; s++) {
		const struct config_section one = {
			.summary = (*s)->summary,
			.rows = (*s)->options,
			.n_rows = (*s)->n_options,
			.size = (*s)->options_size,
			.can_disable = true,
			.off_by_default = (*s)->off_by_default,
		};

		good &= add("sensors", (*s)->name, &one);
	}
	return good;
}

static bool add_engines(void)
{
	const struct config_section all = { .summary = "what events are judged by" };
	bool good = !engine_table[0] || add("", "engines", &all);

	for (const struct engine *const *e = engine_table; *e; e++) {
		/* Opened with the pipeline: their changes wait for the next start. */
		const struct config_section one = {
			.summary = (*e)->summary,
			.rows = (*e)->options,
			.n_rows = (*e)->n_options,
			.size = (*e)->options_size,
		};

		good &= add("engines", (*e)->name, &one);
	}
	return good;
}

static bool add_alerts(void)
{
	const struct config_section alerts = {
		.summary = "what becomes of what rules find; see docs/alerts.md",
		.rows = alert_option_rows,
		.n_rows = alert_n_option_rows,
		.size = sizeof(struct alert_settings),
	};
	const struct config_section all = { .summary = "who is told of alerts" };
	bool good = add("", "alerts", &alerts) && add("", "senders", &all);

	for (const struct sender *const *s = sender_table; *s; s++) {
		const struct config_section one = {
			.summary = (*s)->summary,
			.rows = (*s)->options,
			.n_rows = (*s)->n_options,
			.size = (*s)->options_size,
			.can_disable = true,
			.off_by_default = (*s)->off_by_default,
		};

		good &= add("senders", (*s)->name, &one);
	}
	return good;
}

const struct config_schema *agent_schema(void)
{
	bool good = true;

	if (schema.n_sections)
		return &schema;
	for (size_t i = 0; i < settings_n_sections; i++)
		good &= add("", settings_sections[i].path, &settings_sections[i]);
	good &= add("", api_section.path, &api_section) && add_context() && add_sensors() && add_engines() &&
		add_alerts();
	return good ? &schema : NULL;
}
