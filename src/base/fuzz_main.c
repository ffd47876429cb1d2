/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_main - feeds the files of a folder to a fuzz target, so that its corpus runs as an ordinary test. */
#include <dirent.h>
#include <stdint.h>
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int feed(const char *dir, const char *name)
{
	static uint8_t bytes[1 << 20];
	char path[4096];
	auto_file FILE *f = NULL;
	size_t n;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "re");
	if (!f)
		return 0;
	n = fread(bytes, 1, sizeof(bytes), f);
	(void)LLVMFuzzerTestOneInput(bytes, n);
	return 1;
}

int main(int argc, char **argv)
{
	auto_dir DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
	int fed = 0;

	if (!dir) {
		(void)fprintf(stderr, "usage: %s CORPUS_FOLDER\n", argv[0]);
		return 2;
	}
	for (struct dirent *d; (d = readdir(dir));)
		if (d->d_name[0] != '.')
			fed += feed(argv[1], d->d_name);
	printf("%d inputs\n", fed);
	return fed ? 0 : 1;
}
