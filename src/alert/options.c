/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "alert/alert.h"
#include "base/err.h"

static int check_field(const char *text)
{
	if (field_intern(text, strlen(text)) == FIELD_NONE)
		return err_new(-EINVAL, "\"%s\" is no name of a field", text);
	return 0;
}

const struct option alert_option_rows[] = {
	OPTION(alert_settings, throttle, OPT_DURATION, "1m",
	       "for so long, alerts of one rule that are equal in all fields of throttle_by are counted and not told; "
	       "for "
	       "rules that say nothing of it; 0: each is told",
	       .max = 7 * 86400000000000ULL, .live = true),
	OPTION(alert_settings, throttle_by, OPT_STRS, "process.entity_id",
	       "fields of the last event; an alert that lacks one of them is told in any case",
	       .max = ALERT_FOLD_BY_MAX, .check = check_field, .live = true),
	OPTION(alert_settings, store, OPT_PATH, "/var/lib/shrike/alerts.db",
	       "file in which alerts are kept, with what became of them; empty: they are not"),
	OPTION(alert_settings, age, OPT_DURATION, "90d", "alerts older than this go from the store; 0: no bound",
	       .live = true),
	OPTION(alert_settings, count, OPT_U64, "100000", "most alerts in the store: the oldest go; 0: no bound",
	       .live = true),
	OPTION(alert_settings, size, OPT_BYTES, "1GiB", "most that they may take: the oldest go; 0: no bound",
	       .live = true),
};
const size_t alert_n_option_rows = countof(alert_option_rows);

void alert_defaults_of(const struct alert_settings *settings, struct alert_defaults *ret_defaults)
{
	*ret_defaults = (struct alert_defaults) { .fold_ns = settings->throttle };
	for (size_t i = 0; i < settings->throttle_by.n && i < ALERT_FOLD_BY_MAX; i++)
		ret_defaults->fold_by[ret_defaults->n_fold_by++] =
			field_intern(settings->throttle_by.items[i], strlen(settings->throttle_by.items[i]));
}

int alert_defaults_usual(struct alert_defaults *ret_defaults)
{
	struct alert_settings settings = { 0 };
	int r = option_defaults(alert_option_rows, alert_n_option_rows, &settings);

	if (r == 0)
		alert_defaults_of(&settings, ret_defaults);
	options_clear(alert_option_rows, alert_n_option_rows, &settings);
	return r;
}
