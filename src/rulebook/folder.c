/* SPDX-License-Identifier: Apache-2.0 */
/*
 * folder - finds the files of a book, and gives each to who can read it.
 *
 * Files are read in the order of their paths, so that what is said of a folder does not depend on the file system.
 * Links to files are followed, links to folders only where they stand in the folder that was named: there is no way
 * round in circles. What cannot be read is a problem of that file, and the others are read: who tries a checkout of
 * thousands wants to hear of all of them. A link that leads nowhere is a warning.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include "base/err.h"
#include "rulebook/maker.h"

struct paths {
	char **path;
	size_t n, cap;
};

static void paths_free(struct paths *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->path[i]);
	free(p->path);
}

typedef void reader_fn(struct maker *m);

static const struct {
	const char *ending;
	reader_fn *read;
} readers[] = {
	{ ".yml", own_read },      { ".yaml", own_read },     { ".json", own_read },
	{ ".ndjson", lines_read }, { ".toml", elastic_read },
};

static reader_fn *reader_of(const char *name)
{
	const char *slash = strrchr(name, '/'), *dot = strrchr(slash ? slash : name, '.');

	if (definitions_is(name))
		return definitions_read;
	for (size_t i = 0; dot && i < countof(readers); i++)
		if (!strcmp(dot, readers[i].ending))
			return readers[i].read;
	return NULL;
}

/* A file that somebody named, whatever its ending: lines of JSON begin with a brace, and nothing else does here. */
static reader_fn *guess_reader(const char *name, const char *text, size_t n)
{
	reader_fn *read = reader_of(name);
	size_t i = 0;

	if (read)
		return read;
	while (i < n && (unsigned char)text[i] <= ' ')
		i++;
	return i == n || text[i] == '{' ? lines_read : own_read;
}

/* Of a file, or folder, as a whole. */
static void problem_of(struct maker *m, const char *path, const char *why)
{
	m->file = maker_str(m, path, strlen(path));
	if (m->file)
		maker_problem(m, (struct place) { 0 }, NULL, "%s", why);
}

static void read_text(struct maker *m, const char *name, const char *text, size_t n)
{
	reader_fn *read = guess_reader(name, text, n);

	m->file = maker_str(m, name, strlen(name));
	m->text = text;
	m->n = n;
	if (!m->file)
		return;
	m->book->n_files++;
	if (n > BOOK_FILE_MAX && read != lines_read)
		maker_problem(m, (struct place) { 0 }, NULL, "larger than %d MiB", BOOK_FILE_MAX >> 20);
	else
		read(m);
}

static int read_file(struct maker *m, const char *path)
{
	auto_free char *text = NULL;
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	size_t n = 0;
	struct stat st;
	ssize_t got;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(errno, "open the rules in %s", path);
	if (!S_ISREG(st.st_mode))
		return err_new(-EINVAL, "%s: rules are a file or a folder", path);
	if (st.st_size > BOOK_LINES_MAX)
		return err_new(-EFBIG, "%s: a file of rules has at most %d MiB", path, BOOK_LINES_MAX >> 20);
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return err_new(-ENOMEM, "no memory for %s", path);
	while (n < (size_t)st.st_size && (got = read(fd, text + n, (size_t)st.st_size - n)) != 0) {
		if (got < 0 && errno != EINTR)
			return err_sys(errno, "read %s", path);
		n += got > 0 ? (size_t)got : 0;
	}
	text[n] = 0;
	read_text(m, path, text, n);
	return 0;
}

static int add_path(struct paths *p, const char *path)
{
	if (p->n == BOOK_FILES_MAX)
		return err_new(-E2BIG, "more than %d files of rules", BOOK_FILES_MAX);
	if (p->n == p->cap) {
		size_t cap = p->cap ? p->cap * 2 : 64;
		char **more = reallocarray(p->path, cap, sizeof(*more));

		if (!more)
			return err_new(-ENOMEM, "no memory for rules");
		p->path = more;
		p->cap = cap;
	}
	p->path[p->n] = strdup(path);
	return p->path[p->n] ? (p->n++, 0) : err_new(-ENOMEM, "no memory for rules");
}

/* A folder that is missing below the one that was named is a problem, not the end. */
static int open_folder(struct maker *m, const char *folder, unsigned depth, DIR **ret_dir)
{
	*ret_dir = opendir(folder);
	if (*ret_dir || (depth && errno == ENOENT))
		return 0;
	if (!depth)
		return err_sys(errno, "open the rules in %s", folder);
	problem_of(m, folder, strerror(errno));
	return 0;
}

static void warn_of_link(struct maker *m, const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0 || !S_ISLNK(st.st_mode))
		return; /* gone in between */
	m->file = maker_str(m, path, strlen(path));
	if (m->file)
		maker_warning(m, (struct place) { 0 }, NULL, "a link that leads nowhere");
}

static int walk(struct maker *m, struct paths *p, const char *folder, unsigned depth)
{
	auto_dir DIR *dir = NULL;
	const struct dirent *e;
	size_t length = strlen(folder);
	int r = open_folder(m, folder, depth, &dir);

	while (length > 1 && folder[length - 1] == '/')
		length--;
	if (!dir)
		return r;
	if (depth > BOOK_FOLDER_DEPTH_MAX)
		return err_new(-E2BIG, "%s: folders within each other deeper than %d", folder, BOOK_FOLDER_DEPTH_MAX);
	while (r == 0 && (errno = 0, e = readdir(dir))) {
		char path[PATH_MAX];
		struct stat st;

		if (*e->d_name == '.')
			continue;
		if (snprintf(path, sizeof(path), "%.*s/%s", (int)length, folder, e->d_name) >= (int)sizeof(path))
			return err_new(-ENAMETOOLONG, "%s/%s: too long a path", folder, e->d_name);
		/* The folder that was named may be made of links to others; further down links could lead in circles.
		 */
		if (fstatat(dirfd(dir), e->d_name, &st, depth ? AT_SYMLINK_NOFOLLOW : 0) < 0)
			warn_of_link(m, path);
		else if (S_ISDIR(st.st_mode))
			r = walk(m, p, path, depth + 1);
		else if (reader_of(path) && stat(path, &st) < 0)
			warn_of_link(m, path);
		else if (reader_of(path) && S_ISREG(st.st_mode))
			r = add_path(p, path);
	}
	return r == 0 && errno ? err_sys(errno, "read %s", folder) : r;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The files of macros, or all others. */
static int read_each(struct maker *m, const struct paths *paths, bool definitions)
{
	for (size_t i = 0; i < paths->n; i++) {
		const char *path = paths->path[i];
		int r = definitions_is(path) == definitions ? read_file(m, path) : 0;

		/* An editor's temporary file may be gone by now; that is no reason to have no rules. */
		if (r == -ENOMEM)
			return r;
		if (r < 0 && r != -ENOENT)
			problem_of(m, path, strerror(-r));
		err_clear();
	}
	return 0;
}

static int read_folder(struct maker *m, const char *path)
{
	__attribute__((cleanup(paths_free))) struct paths paths = { 0 };
	int r = walk(m, &paths, path, 0);

	if (r == 0 && paths.n)
		qsort(paths.path, paths.n, sizeof(*paths.path), by_name);
	if (r == 0)
		r = read_each(m, &paths, true);
	if (r == 0)
		r = definitions_finish(m);
	return r < 0 ? r : read_each(m, &paths, false);
}

static int read_around(void *ctx, const char *file)
{
	return read_file(ctx, file);
}

/* A file that was named by itself. */
static int read_alone(struct maker *m, const char *path)
{
	int r = definitions_around(path, read_around, m);

	m->is_alone = true;
	if (r == 0)
		r = definitions_finish(m);
	return r < 0 || definitions_is(path) ? r : read_file(m, path);
}

int book_read(const char *path, const struct book_options *options, struct book **ret_book)
{
	struct maker m;
	struct stat st;
	int r = maker_open(&m, options);

	if (r < 0)
		return r;
	m.is_file = true;
	if (stat(path, &st) < 0)
		r = err_sys(errno, "open the rules in %s", path);
	else
		r = S_ISDIR(st.st_mode) ? read_folder(&m, path) : read_alone(&m, path);
	return maker_close(&m, r, ret_book);
}

int book_read_text(const char *name, const char *text, size_t n, const struct book_options *options,
		   struct book **ret_book)
{
	struct maker m;
	int r = maker_open(&m, options);

	if (r < 0)
		return r;
	read_text(&m, name, text, n);
	return maker_close(&m, definitions_finish(&m), ret_book);
}
