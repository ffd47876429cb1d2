/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include <stdatomic.h>
#include <string.h>
#include "base/mem.h"
#include "base/test.h"

/* What was logged by `act`, without the dates. */
static void logged(void (*act)(void), char *to, size_t size)
{
	auto_file FILE *f = tmpfile();
	char line[LOG_LINE_MAX + 1];
	size_t n = 0;

	to[0] = 0;
	require(f != NULL);
	log_set_file(f);
	act();
	log_set_file(NULL);
	rewind(f);
	while (fgets(line, sizeof(line), f)) {
		check(strlen(line) > 25 && line[10] == 'T' && line[23] == 'Z');
		n += (size_t)snprintf(to + n, size - n, "%s", line + 25);
	}
}

static void log_hostile(void)
{
	log_notice("blocked source", "addr=%s n=%d", "1.2.3.4\n2024 error forged\x1b[31m\xff\xc3\xa9", 5);
	log_debug("nobody asked", "x=1");
	log_error("bare", "%s", "");
}

TEST(a_fact_cannot_forge_a_line)
{
	char text[4096];

	logged(log_hostile, text, sizeof(text));
	check_str(text,
		  "notice blocked source addr=1.2.3.4\\x0a2024 error forged\\x1b[31m\\xff\xc3\xa9 n=5\nerror bare\n");
}

static void log_much(void)
{
	static struct log_site site;

	for (int i = 0; i < 100; i++)
		log_write(&site, LOG_LEVEL_INFO, "flood", "i=%d", i);
	/* As if ten seconds had passed. */
	atomic_store(&site.full_at_ns, 0);
	log_write(&site, LOG_LEVEL_INFO, "later", "x=1");
	log_write(&site, LOG_LEVEL_INFO, "later", "x=2");
}

TEST(a_place_that_floods_is_kept_back_and_counted)
{
	char text[8192];

	logged(log_much, text, sizeof(text));
	check_has(text, "info flood i=9\ninfo later x=1 kept_back=90\ninfo later x=2\n");
	check(!strstr(text, "i=10"));
}

static void log_long(void)
{
	char much[3 * LOG_LINE_MAX];

	memset(much, 'a', sizeof(much) - 1);
	much[sizeof(much) - 1] = 0;
	log_info("long", "a=%s", much);
	memset(much, 1, sizeof(much) - 1);
	log_info("long", "a=%s", much);
}

TEST(a_long_line_is_cut)
{
	char text[8192];

	logged(log_long, text, sizeof(text));
	check_int(strlen(text), 2 * (LOG_LINE_MAX - 25));
}

TEST(levels_have_names)
{
	enum log_level level = LOG_LEVEL_ERROR;

	check(log_level_parse("debug", &level));
	check_int(level, LOG_LEVEL_DEBUG);
	check(!log_level_parse("loud", &level));
	check(log_wants(LOG_LEVEL_INFO) && !log_wants(LOG_LEVEL_DEBUG));
}
