/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log - for people at the edge: one event, then facts.
 *
 *	log_notice("blocked source", "addr=%s for_s=%u", addr, seconds);
 *	-> 2024-05-06T07:08:09.123Z notice blocked source addr=192.0.2.1 for_s=60
 *
 * Each place in the code may write LOG_BURST lines at once and one a second after that; what
 * it kept back is counted, and the next line of that place says how many. Control characters
 * and what is no UTF-8 are written as \xNN, so no fact can forge a line. One write a line.
 * Not for hot paths: count there, and log at the edge.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_NOTICE, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum { LOG_BURST = 10, LOG_LINE_MAX = 2048 };

/* A place that logs. */
struct log_site {
	_Atomic uint64_t full_at_ns; /* when it may write a whole burst again */
	_Atomic uint64_t kept_back;
};

/* Lines of this level and above are written; LOG_LEVEL_INFO at start. */
void log_set_level(enum log_level level);
bool log_wants(enum log_level level);
/* Reads "error", "warning", "notice", "info" or "debug". */
bool log_level_parse(const char *name, enum log_level *ret_level);
/* Where lines go: stderr at start. The file stays the caller's. */
void log_set_file(FILE *file);

void log_write(struct log_site *site, enum log_level level, const char *event, const char *facts, ...)
	__attribute__((format(printf, 4, 5)));

#define LOG_AT_(level, event, ...)                                                                                     \
	do {                                                                                                           \
		static struct log_site log_site_;                                                                      \
		if (log_wants(level))                                                                                  \
			log_write(&log_site_, level, event, __VA_ARGS__);                                              \
	} while (0)

/* log_notice(event, format of the facts, ...): the facts may be "" */
#define log_error(event, ...)   LOG_AT_(LOG_LEVEL_ERROR, event, __VA_ARGS__)
#define log_warning(event, ...) LOG_AT_(LOG_LEVEL_WARNING, event, __VA_ARGS__)
#define log_notice(event, ...)  LOG_AT_(LOG_LEVEL_NOTICE, event, __VA_ARGS__)
#define log_info(event, ...)    LOG_AT_(LOG_LEVEL_INFO, event, __VA_ARGS__)
#define log_debug(event, ...)   LOG_AT_(LOG_LEVEL_DEBUG, event, __VA_ARGS__)
