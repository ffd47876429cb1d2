/* SPDX-License-Identifier: Apache-2.0 */
#include "reference/reference.h"
#include <ctype.h>
#include <string.h>
#include "agent/schema.h"
#include "base/err.h"

const struct reference_page reference_pages[] = {
	{ "config/shrike.yaml", reference_config_yaml },
	{ "config/shrike.schema.json", reference_schema_json },
	{ "config/rule.schema.json", reference_rule_schema },
	{ "config/macros.schema.json", reference_macros_schema },
	{ "docs/reference/config.md", reference_config_md },
	{ "docs/reference/events.md", reference_events_md },
	{ "docs/reference/hooks.md", reference_hooks_md },
	{ "docs/reference/rules.md", reference_rules_md },
	{ "docs/reference/openapi.json", reference_openapi_json },
	{ "proto/shrike/v1/alerts.proto", reference_alerts_proto },
	{ "proto/shrike/v1/export.proto", reference_export_proto },
	{ "docs/reference/host-api.md", reference_host_api_md },
	{ "sdk/shrike.h", reference_sdk_h },
	{ "src/api/proto_numbers.c", reference_proto_numbers },
};
const size_t reference_n_pages = countof(reference_pages);

int reference_config(const struct config_schema **ret_schema, struct config **ret_config)
{
	*ret_schema = agent_schema();
	return *ret_schema ? config_load_defaults(*ret_schema, ret_config) : err_new(-E2BIG, "too many sections");
}

void reference_wrap(struct buf *out, const char *prefix, size_t width, const char *text)
{
	size_t used = 0;

	while (*text) {
		size_t n = strcspn(text, " ");

		if (used && used + 1 + n > width) {
			buf_char(out, '\n');
			used = 0;
		}
		if (!used) {
			buf_str(out, prefix);
			used = strlen(prefix);
		} else {
			buf_char(out, ' ');
			used++;
		}
		buf_add(out, text, n);
		used += n;
		text += n + (text[n] == ' ');
	}
	if (used)
		buf_char(out, '\n');
}

void reference_md(struct buf *out, const char *text)
{
	for (; *text; text++) {
		if (strchr("|*<>[]`\\", *text))
			buf_char(out, '\\');
		buf_char(out, *text == '\n' ? ' ' : *text);
	}
}

void reference_sentence(struct buf *out, const char *text)
{
	size_t n = strlen(text);

	if (!n)
		return;
	buf_char(out, (char)toupper((unsigned char)text[0]));
	buf_str(out, text + 1);
	if (!strchr(".?!", text[n - 1]))
		buf_char(out, '.');
}

void reference_takes(const struct option *row, struct buf *out)
{
	auto_buf struct buf bounds = { .max = 256 };
	bool bounded = option_print_bounds(row, &bounds);

	/* Of a path list one wants to know how many at most; of a number, in what. */
	option_print_wanted(row, out);
	if (bounded)
		buf_printf(out, ", %s", buf_text(&bounds));
	if (row->unit && row->type != OPT_MAP)
		buf_printf(out, bounded ? " %s" : " (%s)", row->unit);
}

const char *reference_change(const struct config_section *section, const struct option *row)
{
	if (row->live)
		return "applies at once";
	return section->can_disable ? "opens it again" : "needs a restart";
}
