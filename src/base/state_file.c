/* SPDX-License-Identifier: Apache-2.0 */
#include "base/state_file.h"
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include "base/err.h"
#include "base/mem.h"

static int make_folder(const char *path)
{
	char folder[PATH_MAX], *slash;

	if ((size_t)snprintf(folder, sizeof(folder), "%s", path) >= sizeof(folder))
		return err_new(-ENAMETOOLONG, "the path is too long");
	slash = strrchr(folder, '/');
	if (!slash || slash == folder)
		return 0;
	*slash = 0;
	if (mkdir(folder, 0700) && errno != EEXIST)
		return err_sys(errno, "make the folder %s", folder);
	return 0;
}

int state_file_open(const char *path, int flags)
{
	auto_close int fd = -1;
	struct stat st;
	int r = make_folder(path);

	if (r < 0)
		return r;
	/* Not blocking: what lies there may be a pipe. */
	fd = open(path, flags | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK, 0600);
	if (fd < 0)
		return err_sys(errno, "open %s", path);
	if (fstat(fd, &st))
		return err_sys(errno, "look at %s", path);
	if (!S_ISREG(st.st_mode))
		return err_new(-EINVAL, "%s is no file", path);
	if (st.st_mode & 077)
		return err_new(-EPERM, "%s can be read by others: chmod 600", path);
	return take_fd(fd);
}
