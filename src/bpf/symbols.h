/* SPDX-License-Identifier: Apache-2.0 */
/*
 * symbols - names for the return addresses of recorded stacks, looked up afterwards.
 *
 * Records keep raw addresses: those are what was seen. A name is what this host says about an
 * address now, so it is made late, for people, and stands in a field of its own:
 *
 *	do_syscall_64+0x5c              a function of the kernel
 *	nft_do_chain+0x8e [nf_tables]   of a module
 *	SSL_write+0x12 (libssl.so.3)    of a process
 *	(libfoo.so+0x1234)              the file is known, the function is not
 *	0x7f31c0001000                  nothing is known: no file (compiled at run time), or the process is gone
 *
 * Limits: kernel functions are those of the moment of loading, and are loaded again at most once a
 * minute when an address is unknown; an address of a module that came since may be put down
 * to its neighbour meanwhile. Names need the process to be alive. Files on file systems that
 * another program or machine serves (FUSE, NFS) are not opened, because they may never answer.
 * Reading a process's mappings can wait for that process: not for the path that records take.
 *
 * One thread at a time.
 */
#pragma once
#include <linux/types.h>
#include <stdbool.h>
#include "base/buf.h"
#include "base/mem.h"

enum {
	SYMBOLS_KERNEL_MAX = 1 << 19,    /* functions of the kernel */
	SYMBOLS_KERNEL_BYTES = 32 << 20, /* of their names */
	SYMBOLS_FILES_MAX = 64,          /* files whose functions are kept */
	SYMBOLS_FILES_BYTES = 64 << 20,  /* of all of these */
	SYMBOLS_MAPS_BYTES = 4 << 20,    /* of one process's list of mappings that are read */
	SYMBOLS_KERNEL_REACH = 64 << 10, /* a kernel function is no longer than this */
};

struct symbols;

/* Whose addresses. `start_ns` (ev_head) tells a pid that was used again; 0: do not ask. */
struct symbols_owner {
	__u32 pid;
	__u64 start_ns;
};

int symbols_open(struct symbols **ret_symbols);
void symbols_free(struct symbols *s);
DEFINE_AUTO(symbols)

/*
 * Appends one text an address to `out`, each with its NUL. `owner` NULL: kernel addresses. The first
 * address is where the code stood if `exact_first`, all others are return addresses. Returns how
 * many got the name of a function; never fails, since an address without a name prints as it is.
 */
int symbols_resolve(struct symbols *s, const struct symbols_owner *owner, const __u64 *addrs, size_t n,
		    bool exact_first, struct buf *out);

/* Why kernel functions have no names, or NULL. */
const char *symbols_kernel_why(struct symbols *s);

struct symbols_stats {
	__u64 files_read, files_refused, cache_hits, evicted, kernel_loads;
};
void symbols_stats(const struct symbols *s, struct symbols_stats *ret_stats);
