/* SPDX-License-Identifier: Apache-2.0 */
/*
 * err - error codes that remember where they came from.
 *
 * Functions return 0 or a negative errno. The code says what kind of failure, the
 * trail says what we were doing: each frame that passes an error up adds one line
 * with err_wrap(), and the outermost frame prints the trail once, outermost line
 * first. Code in between never logs.
 *
 * The trail is per thread and of fixed size, so it works when memory has run out.
 */
#pragma once
#include <errno.h>
#include <stdio.h>
#include <string.h>

void err_start(const char *where, const char *fmt, ...) __attribute__((format(printf, 2, 3), cold));
void err_add(const char *where, const char *fmt, ...) __attribute__((format(printf, 2, 3), cold));
/* For people: "shrike: <outermost>: ... : <innermost>", on one line. With SHRIKE_TRACE set, the places too. */
void err_print(FILE *out);
/* The trail as one line without places, outermost first. Valid until the next err_ call of this thread. */
const char *err_trail(void);
void err_clear(void);

#define ERR_STR_(x) #x
#define ERR_STR(x)  ERR_STR_(x)
#define ERR_HERE    __FILE__ ":" ERR_STR(__LINE__)

/* The result is negative for certain, which a compiler can see and a caller may rely on. */
#define ERR_NEGATIVE_(r)                                                                                               \
	({                                                                                                             \
		int err_r_ = (r);                                                                                      \
		err_r_ < 0 ? err_r_ : err_r_ > 0 ? -err_r_ : -EIO;                                                     \
	})
/* Raise a new error. `r` is looked at first: it may be -errno, or a call that leaves a trail. */
#define err_new(r, ...)                                                                                                \
	({                                                                                                             \
		int err_first_ = (r);                                                                                  \
		err_start(ERR_HERE, __VA_ARGS__);                                                                      \
		ERR_NEGATIVE_(err_first_);                                                                             \
	})
/* Raise a new error from errno's value, whose text is added. */
#define err_sys(e, fmt, ...)                                                                                           \
	({                                                                                                             \
		int err_e_ = (e);                                                                                      \
		err_start(ERR_HERE, fmt ": %s" __VA_OPT__(, ) __VA_ARGS__, strerror(err_e_));                          \
		ERR_NEGATIVE_(-err_e_);                                                                                \
	})
/* Pass an error up, saying what this frame was doing. */
#define err_wrap(r, ...)                                                                                               \
	({                                                                                                             \
		int err_first_ = (r);                                                                                  \
		err_add(ERR_HERE, __VA_ARGS__);                                                                        \
		ERR_NEGATIVE_(err_first_);                                                                             \
	})
