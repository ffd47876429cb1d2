/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch - tells when a file or a folder of rules has changed.
 *
 * A thread of its own is woken by inotify, waits until nothing more happens for a moment (an editor, a package or a
 * checkout writes many files), and looks whether names, sizes, times or inodes are others than before. Where inotify
 * does not work (a network's file system, no watches left) it looks every few seconds; elsewhere now and then, for
 * inotify does not see what happens to the targets of links.
 */
#pragma once
#include "base/mem.h"

struct watch;

/*
 * `changed` is called on the watch's thread; the path may be none that exists. What has changed since book_read() and
 * before this call is not told: open the watch, then read.
 */
int watch_open(const char *path, void (*changed)(void *ctx), void *ctx, struct watch **ret_watch);
/* Returns once `changed` does not run any more. */
void watch_free(struct watch *w);
DEFINE_AUTO(watch)

const char *watch_path(const struct watch *w);
