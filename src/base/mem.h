/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mem - ownership you can see: a local that owns carries an auto_ attribute, a value
 * that leaves its owner goes through take().
 */
#pragma once
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define take(p)                                                                                                        \
	({                                                                                                             \
		__auto_type took_ = (p);                                                                               \
		(p) = NULL;                                                                                            \
		took_;                                                                                                 \
	})
#define take_fd(fd)                                                                                                    \
	({                                                                                                             \
		int took_ = (fd);                                                                                      \
		(fd) = -1;                                                                                             \
		took_;                                                                                                 \
	})

static inline void mem_freep(void *p)
{
	free(*(void **)p);
	*(void **)p = NULL;
}

static inline void fd_closep(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

static inline void file_closep(FILE **f)
{
	if (*f)
		(void)fclose(*f);
	*f = NULL;
}

static inline void dir_closep(DIR **d)
{
	if (*d)
		(void)closedir(*d);
	*d = NULL;
}

#define auto_free  __attribute__((cleanup(mem_freep)))
#define auto_close __attribute__((cleanup(fd_closep)))
#define auto_file  __attribute__((cleanup(file_closep)))
#define auto_dir   __attribute__((cleanup(dir_closep)))

/* AUTO(x) declares an owned `struct x *`, whose destructor is `void x_free(struct x *)`. */
#define DEFINE_AUTO(x)                                                                                                 \
	static inline void x##_freep(struct x **p)                                                                     \
	{                                                                                                              \
		x##_free(*p);                                                                                          \
		*p = NULL;                                                                                             \
	}
#define AUTO(x) __attribute__((cleanup(x##_freep))) struct x *

#define countof(a)                      (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))
