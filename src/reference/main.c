/* SPDX-License-Identifier: Apache-2.0 */
/* main - writes the pages into a repository: shrike-reference ROOT. Says which ones have changed. */
#include <limits.h>
#include <string.h>
#include "base/err.h"
#include "base/mem.h"
#include "reference/reference.h"

static bool is_same(const char *path, const struct buf *text)
{
	auto_free char *have = malloc(text->len + 1);
	auto_file FILE *f = fopen(path, "re");

	return f && have && fread(have, 1, text->len + 1, f) == text->len && !memcmp(have, buf_text(text), text->len);
}

static int write_page(const char *root, const struct reference_page *page)
{
	auto_buf struct buf text = { .max = REFERENCE_PAGE_MAX };
	char path[PATH_MAX];
	FILE *f;
	int r = page->write(root, &text);

	if (r < 0 || text.failed)
		return err_wrap(r < 0 ? r : -E2BIG, "%s", page->path);
	(void)snprintf(path, sizeof(path), "%s/%s", root, page->path);
	if (is_same(path, &text))
		return 0;
	f = fopen(path, "we");
	if (!f)
		return err_sys(errno, "write %s", path);
	r = fwrite(buf_text(&text), 1, text.len, f) == text.len ? 0 : -EIO;
	if (fclose(f) != 0 || r < 0)
		return err_new(-EIO, "write %s", path);
	printf("%s\n", page->path);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		(void)fprintf(stderr, "usage: %s ROOT\n", argv[0]);
		return 2;
	}
	for (size_t i = 0; i < reference_n_pages; i++)
		if (write_page(argv[1], &reference_pages[i]) < 0) {
			err_print(stderr);
			return 1;
		}
	return 0;
}
