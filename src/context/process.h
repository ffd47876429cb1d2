/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process - what is known of one process at one moment, in an object that never changes.
 *
 * The context makes a new one when a process forks, runs another program, or changes its user or
 * cgroup. Whoever keeps one counts a reference, on any thread, and reads it without a
 * lock for as long as it likes: what an event says of its process is what was true then,
 * however late it is read.
 *
 * `parent` is the process that made this one, as it was when this one began or last ran
 * another program. Ancestors are kept to PROCESS_ANCESTORS_MAX generations, and at least
 * PROCESS_ANCESTORS_MIN of those that were known.
 */
#pragma once
#include <stdbool.h>
#include "context/container.h"
#include "event/value.h"

enum {
	PROCESS_ANCESTORS_MIN = 16,
	PROCESS_ANCESTORS_MAX = 32,
	PROCESS_ARGS_MAX_ITEMS = 512, /* arguments beyond are in command_line alone */
	PROCESS_ENTITY_ID_MAX = 48,
};

/* Bytes that several processes share: a working directory, a user's name. */
struct text {
	uint32_t refs;
	uint32_t n;
	char bytes[]; /* and a NUL */
};

/* What a process runs. A fork shares it with its parent. */
struct program {
	uint32_t refs;
	uint32_t dev; /* of the file, as the kernel counts: major << 20 | minor */
	uint64_t inode;
	uint64_t exec_ns; /* when it began to run it, in event time; 0: before the agent looked */
	uint16_t mode;
	bool truncated; /* arguments were cut */
	uint32_t argc;
	struct str executable, command_line; /* NUL-terminated */
	size_t size;                         /* of it all */
	size_t n_args;
	struct value args[]; /* slices of command_line */
};

/* A cgroup and what its path says of the container, pod or service that it is. */
struct cgroup_info {
	uint32_t refs;
	uint64_t id;
	bool known; /* false: it was gone before we could look */
	struct container_info container;
	size_t path_n;
	char path[]; /* below the cgroup mount */
};

enum process_flag {
	PROCESS_STUB = 1 << 0,      /* made from the head of a record: its program is not known */
	PROCESS_TICKS = 1 << 1,     /* start_ns is known to 10 ms only */
	PROCESS_KTHREAD = 1 << 2,   /* of the kernel */
	PROCESS_SEEDED = 1 << 3,    /* older than the agent */
	PROCESS_LATE = 1 << 4,      /* looked up in /proc when its first record came */
	PROCESS_FORK_SEEN = 1 << 5, /* its parent is told by the record of its birth */
	PROCESS_CUT = 1 << 6,       /* older ancestors were known and have been let go */
};

struct process {
	uint32_t refs;
	uint32_t pid, ns_pid;
	uint64_t start_ns; /* with pid, its identity */
	uint64_t since_ns; /* from when on this is how it was */
	uint64_t entity;   /* see context_entity() */
	uint64_t parent_start_ns;
	uint32_t parent_pid;              /* also where `parent` is NULL; 0: not known */
	uint32_t group_pid, session_pid;  /* as found at the start and inherited since; not known of a stub */
	uint64_t group_start_ns;          /* 0: not known */
	const struct process *parent;     /* NULL: not known, or cut */
	const struct program *program;    /* NULL: not known */
	const struct text *cwd;           /* NULL: not known */
	const struct text *user;          /* NULL: nameless, or in a container */
	const struct cgroup_info *cgroup; /* NULL: not known */
	uint32_t uid, gid, mntns, pidns;  /* namespaces: 0 is not known */
	uint16_t flags;                   /* enum process_flag */
	uint16_t depth;                   /* ancestors that hang on `parent` */
	char name[16];                    /* comm */
};

/* One more reference; NULL is let through. */
const struct process *process_ref(const struct process *p);
void process_unref(const struct process *p);

/* Is `pid` (begun at start_ns; 0: whenever) among the ancestors of p that are known? */
bool process_is_descendant(const struct process *p, uint32_t pid, uint64_t start_ns);

/* Writes the id of (boot, pid, start) for process.entity_id; returns its length. */
size_t process_entity_id(uint64_t boot, uint32_t pid, uint64_t start_ns, char ret_id[PROCESS_ENTITY_ID_MAX]);
