/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state_file - a file of ours that nobody else is to read: alerts, logs.
 *
 * Made with mode 0600, and the folder that it is in with 0700 where there is none. A symbolic link, something that is
 * no file, or a file that others can read or write is refused: somebody else may have laid it there.
 */
#pragma once

/* Opened with these flags (O_WRONLY | O_APPEND and the like). Returns the descriptor, or an error with a trail. */
int state_file_open(const char *path, int flags);
