/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rules_copy - the files of rules that an import takes over, copied as they are, below the same names.
 *
 * A file comes whole or not at all: the agent may be watching the folder, and a full disk leaves no half of a rule
 * there. What is there already is never overwritten: the same bytes are well, others are told and left. In the end the
 * folder is read as the agent will: two rules of one id may have met there, of which neither import knows.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/err.h"
#include "cli/rules.h"

enum { PART = 16384 };

/* Are all rules of this file good? The rules of a book share the name of their file. */
static bool is_good(const struct book *b, const bool *can_run, const char *file)
{
	for (size_t i = 0; i < b->n_problems; i++)
		if (!b->problem[i].is_warning && b->problem[i].file == file)
			return false;
	for (size_t i = 0; i < b->n_rules; i++)
		if (!can_run[i] && b->rule[i].file == file)
			return false;
	return true;
}

/* The folders that a path needs, below one that is there. */
static int make_folders(char *path, size_t from)
{
	for (char *p = path + from; (p = strchr(p, '/')); p++) {
		int r;

		*p = 0;
		r = mkdir(path, 0755) < 0 && errno != EEXIST ? err_sys(errno, "make the folder %s", path) : 0;
		*p = '/';
		if (r < 0)
			return r;
	}
	return 0;
}

/* 1: both have the same bytes; 0: they differ. */
static int is_same(int in, const char *to)
{
	auto_close int fd = open(to, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char a[PART], b[PART];
	off_t at = 0;

	if (fd < 0)
		return err_sys(errno, "open %s", to);
	for (;;) {
		ssize_t n = pread(in, a, sizeof(a), at), m = pread(fd, b, sizeof(b), at);

		if (n < 0 || m < 0)
			return 0; /* a folder, or what cannot be read: something else */
		if (n != m || memcmp(a, b, (size_t)n) != 0)
			return 0;
		if (!n)
			return 1;
		at += n;
	}
}

static int write_whole(int in, const char *path)
{
	auto_close int out = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	char part[PART];
	ssize_t n;

	if (out < 0)
		return err_sys(errno, "write %s", path);
	while ((n = read(in, part, sizeof(part))) > 0)
		for (ssize_t at = 0, m; at < n; at += m) {
			m = write(out, part + at, (size_t)(n - at));
			if (m < 0)
				return err_sys(errno, "write %s", path);
		}
	return n < 0 ? err_sys(errno, "read what becomes %s", path) : 0;
}

/* Without a dot in front only when it is whole. */
static int copy_bytes(struct rules_run *r, const char *from, const char *to, struct rules_copied *copied)
{
	const char *slash = strrchr(to, '/');
	auto_close int in = open(from, O_RDONLY | O_CLOEXEC);
	char fresh[PATH_MAX];
	struct stat st;
	int res;

	if (in < 0)
		return err_sys(errno, "open %s", from);
	if (lstat(to, &st) == 0) {
		res = is_same(in, to);
		if (res < 0)
			return res;
		copied->same += res > 0;
		copied->other += res == 0;
		if (res == 0)
			cli_say(r->cli, "%s is there already and has other contents: it stays as it is", to);
		return 0;
	}
	if (snprintf(fresh, sizeof(fresh), "%.*s.%s.%d", (int)(slash + 1 - to), to, slash + 1, (int)getpid()) >=
	    (int)sizeof(fresh))
		return err_new(-ENAMETOOLONG, "%s: too long a path", to);
	res = write_whole(in, fresh);
	/* Not rename(): somebody else may have been quicker. */
	if (res == 0 && link(fresh, to) < 0)
		res = err_sys(errno, "write %s", to);
	(void)unlink(fresh);
	copied->fresh += res == 0;
	return res;
}

/* `name` below the folder that is imported, to the same name below the other. */
static int copy_file(struct rules_run *r, const char *name, struct rules_copied *copied)
{
	const char *into = r->o->into, *below = name, *slash = strrchr(name, '/');
	size_t n = strlen(r->path);
	char to[PATH_MAX];
	int res;

	if (!strncmp(name, r->path, n) && (name[n] == '/' || r->path[n - 1] == '/'))
		below += n + (name[n] == '/');
	else if (slash)
		below = slash + 1;
	if (snprintf(to, sizeof(to), "%s/%s", into, below) >= (int)sizeof(to))
		return err_new(-ENAMETOOLONG, "%s/%s: too long a path", into, below);
	res = mkdir(into, 0755) < 0 && errno != EEXIST ? err_sys(errno, "make the folder %s", into) : 0;
	if (res == 0)
		res = make_folders(to, strlen(into) + 1);
	return res < 0 ? res : copy_bytes(r, name, to, copied);
}

static bool has_module(const struct book_rule *a, const struct book_rule *b)
{
	return a->file == b->file && a->module && b->module && !strcmp(a->module, b->module);
}

/* The modules of a file's rules, each once: they are there before who names them. */
static int copy_modules(struct rules_run *r, size_t first, struct rules_copied *copied)
{
	const struct book *b = r->book;
	const char *file = b->rule[first].file, *slash = strrchr(file, '/');
	struct rules_copied modules = { 0 }; /* people count files of rules */
	char module[PATH_MAX];
	int res = 0;

	for (size_t i = first; res == 0 && i < b->n_rules; i++) {
		bool before = b->rule[i].file != file || !b->rule[i].module;

		for (size_t k = first; k < i && !before; k++)
			before = has_module(&b->rule[k], &b->rule[i]);
		if (before)
			continue;
		(void)snprintf(module, sizeof(module), "%.*s%s", slash ? (int)(slash + 1 - file) : 0, file,
			       b->rule[i].module);
		res = copy_file(r, module, &modules);
	}
	copied->other += modules.other;
	return res;
}

/* ---- macros ----------------------------------------------------------------------------------- */

static bool calls_macros(const struct book_rule *rule)
{
	bool any = rule->query->macros;

	for (size_t i = 0; i < rule->n_exceptions; i++)
		any |= rule->exception[i].where->macros != 0;
	return any;
}

static bool is_wrong(const struct book *b, const char *file)
{
	for (size_t i = 0; i < b->n_problems; i++)
		if (!b->problem[i].is_warning && !strcmp(b->problem[i].file, file))
			return true;
	return false;
}

/* Does this macro stand before all others of its file, in the order in which they are gone through? */
static bool is_first_of_macros(const struct macros *macros, const struct macro *m)
{
	const struct macro *other = NULL;

	for (size_t i = 0; (other = macros_at(macros, i)); i++)
		for (; other; other = other->replaced)
			if (!strcmp(other->file, m->file))
				return other == m;
	return false;
}

/* The files of macros, when any rule calls one: they are there before who calls them. */
static int copy_macros(struct rules_run *r, const bool *can_run, struct rules_copied *copied)
{
	const struct book *b = r->book;
	struct rules_copied macros = { 0 };
	const struct macro *m;
	bool any = false;
	int res = 0;

	for (size_t i = 0; i < b->n_rules; i++)
		any |= can_run[i] && calls_macros(&b->rule[i]);
	for (size_t i = 0; any && res == 0 && (m = macros_at(b->macros, i)); i++)
		for (; res == 0 && m; m = m->replaced)
			if (is_first_of_macros(b->macros, m) && !is_wrong(b, m->file))
				res = copy_file(r, m->file, &macros);
	copied->other += macros.other;
	return res;
}

/* ---- all -------------------------------------------------------------------------------------- */

static bool is_first_of_file(const struct book *b, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (b->rule[k].file == b->rule[i].file)
			return false;
	return true;
}

/* Would an agent take the folder as it is now? */
static int try_whole(const char *into)
{
	AUTO(book) book = NULL;
	int r = book_read(into, NULL, &book);

	if (r == 0)
		r = book_must_be_whole(book);
	return r < 0 ? err_wrap(r, "an agent will not take %s as it is now", into) : 0;
}

int rules_copy(struct rules_run *r, const bool *can_run, struct rules_copied *ret_copied)
{
	const struct book *b = r->book;
	int res = 0;

	*ret_copied = (struct rules_copied) { 0 };
	res = copy_macros(r, can_run, ret_copied);
	for (size_t i = 0; res == 0 && i < b->n_rules; i++) {
		if (!is_first_of_file(b, i) || !is_good(b, can_run, b->rule[i].file))
			continue;
		res = copy_modules(r, i, ret_copied);
		if (res == 0)
			res = copy_file(r, b->rule[i].file, ret_copied);
	}
	return res == 0 && (ret_copied->fresh || ret_copied->same) ? try_whole(r->o->into) : res;
}
