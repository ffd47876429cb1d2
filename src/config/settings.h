/* SPDX-License-Identifier: Apache-2.0 */
/*
 * settings - the sections of the configuration that belong to the agent itself.
 *
 * Those of the context, of sensors and of engines come from their own tables;
 * src/agent/schema.c puts all of them together.
 */
#pragma once
#include "base/log.h"
#include "config/config.h"

/* Section "": the top of the file. */
struct settings {
	char *scope;
	bool syscall_hooks;
	struct option_map stacks; /* event kind -> bits of enum settings_stack */
};

enum settings_stack { SETTINGS_STACK_KERNEL = 1 << 0, SETTINGS_STACK_USER = 1 << 1 };

/* Section "agent". */
struct settings_agent {
	char *socket;
	char *socket_group;
	uint32_t log_level; /* enum log_level */
};

/* Section "rings". Bytes; the kernel wants a power of two of pages. */
struct settings_rings {
	uint64_t critical, bulk, packet;
};

/* Section "budgets". Records a second that one cgroup may send; 0: no bound. */
struct settings_budgets {
	uint32_t normal, bulk;
};

/* Section "bus". */
struct settings_bus {
	uint32_t shards;
	uint64_t queue;   /* bytes a shard */
	uint64_t wait_ns; /* `wait` */
};

/* Section "raw". */
struct settings_raw {
	uint64_t ring; /* bytes, a power of two; 0: none */
};

/* Section "record". */
struct settings_record {
	char *folder;
	uint64_t size, segment; /* bytes */
	uint64_t age_ns;        /* `age`; 0: no bound */
};

/* Section "health". */
struct settings_health {
	uint64_t canary_ns; /* `canary`; 0: never */
};

enum { SETTINGS_RAW_RING_MIN = 256 << 10 };
/* What a ring's size is rounded up to: `least` times a power of two. */
uint64_t settings_ring_bytes(uint64_t bytes, uint64_t least);

extern const struct config_section settings_sections[];
extern const size_t settings_n_sections;

/* Looks at what no single row can tell: the words of `scope`, the sizes of the rings. */
void settings_check(const struct config *config, struct config_report *report);
