/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/test_place.h"
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

bool place_make(struct place *p)
{
	(void)snprintf(p->dir, sizeof(p->dir), "/tmp/shrike-cli-XXXXXX");
	if (mkdtemp(p->dir))
		return true;
	p->dir[0] = 0;
	return false;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void place_close(struct place *p)
{
	if (p->dir[0])
		(void)nftw(p->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *place_at(const struct place *p, const char *name)
{
	static char paths[8][128];
	static int next;
	char *path = paths[next++ % 8];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", p->dir, name);
	return path;
}
