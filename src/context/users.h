/* SPDX-License-Identifier: Apache-2.0 */
/*
 * users - names of users, from the passwd file alone.
 *
 * Not getpwuid(): it may ask the network, and would block the reader or call back into what
 * is being watched. Users that only a directory service knows stay numbers.
 *
 * Bounded: USERS_MAX rows of a file of at most USERS_FILE_MAX bytes; what does not fit or
 * is no row is counted. The file is looked at again at most once a second.
 */
#pragma once
#include <stdbool.h>
#include <sys/stat.h>
#include "context/process.h"

enum { USERS_MAX = 16384, USERS_FILE_MAX = 4 << 20, USER_NAME_MAX = 255 };

struct user {
	uint32_t uid;
	uint32_t row; /* in the file */
	bool told;    /* its record has been made, or is where it comes from */
	const struct text *name;
};

struct users {
	const char *path;  /* NULL: only what users_set() says */
	struct user *rows; /* by uid */
	size_t n, cap;
	struct stat seen;
	uint64_t looked_ns;
	uint64_t skipped;
};

void users_init(struct users *u, const char *path);
void users_free(struct users *u);
/* Reads the file again if it has changed. `now_ns` is any steady clock. */
void users_refresh(struct users *u, uint64_t now_ns);
/* Reads rows of passwd(5); replaces all. The first row of a uid counts. */
int users_parse(struct users *u, const char *bytes, size_t n);
/* NULL: nameless. Valid until the next change. */
struct user *users_get(struct users *u, uint32_t uid);
int users_set(struct users *u, uint32_t uid, const char *name, size_t n);
