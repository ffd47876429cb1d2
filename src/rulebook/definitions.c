/* SPDX-License-Identifier: Apache-2.0 */
/*
 * definitions - reads files of macros: YAML, or JSON, a mapping of names under `macros`.
 *
 * They are known by what they are called, so that all of a folder's can be read before its rules without reading the
 * rules twice, and editors know which schema is theirs. docs/rules.md is the guide.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/err.h"
#include "rulebook/own_read.h"

enum { LABEL_MAX = 128 };

/* ---- which files ------------------------------------------------------------------------------ */

bool definitions_is(const char *path)
{
	static const char *const endings[] = { ".yml", ".yaml", ".json" };
	static const char word[] = "macros";
	static const size_t stem = sizeof(word) - 1;
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *dot = strrchr(name, '.');

	for (size_t i = 0; dot && i < countof(endings); i++)
		if (!strcmp(dot, endings[i]))
			return (size_t)(dot - name) >= stem && !memcmp(dot - stem, word, stem) &&
			       (dot - stem == name || dot[-(ptrdiff_t)stem - 1] == '.');
	return false;
}

static int is_chosen(const struct dirent *e)
{
	return *e->d_name != '.' && definitions_is(e->d_name);
}

/* In the order of their names. */
static int each_in(const char *folder, int (*each)(void *ctx, const char *file), void *ctx)
{
	struct dirent **name = NULL;
	const int n = scandir(folder, &name, is_chosen, alphasort);
	char path[PATH_MAX];
	int r = 0;

	for (int i = 0; i < n; i++) {
		struct stat st;

		if (r == 0 &&
		    snprintf(path, sizeof(path), "%s/%s", strcmp(folder, "/") ? folder : "", name[i]->d_name) <
			    (int)sizeof(path) &&
		    stat(path, &st) == 0 && S_ISREG(st.st_mode))
			r = each(ctx, path);
		free(name[i]);
	}
	free(name);
	return r;
}

int definitions_around(const char *path, int (*each)(void *ctx, const char *file), void *ctx)
{
	auto_free char *folder = realpath(path, NULL);
	struct stat st;
	int r = 0;

	for (unsigned up = 0; folder && strcmp(folder, "/") && up <= BOOK_FOLDER_DEPTH_MAX; up++) {
		char *slash = strrchr(folder, '/');

		slash[slash == folder] = 0;
		/* What anybody may put into /tmp is not for rules that are tried below it. */
		if (up && (stat(folder, &st) < 0 || st.st_mode & S_IWOTH))
			break;
		r = each_in(folder, each, ctx);
		if (r != 0)
			break;
	}
	return r;
}

/* ---- what is in them --------------------------------------------------------------------------- */

static void tell(void *ctx, const struct macro *macro, unsigned line, unsigned column, const char *message)
{
	struct maker *m = ctx;
	char label[LABEL_MAX];

	(void)snprintf(label, sizeof(label), "macro %s", macro->name);
	m->file = macro->file;
	maker_problem(m, (struct place) { line, column }, label, "%s", message);
}

static void read_macro(struct maker *m, const struct yaml_node *n)
{
	char label[LABEL_MAX];
	struct own o = { .m = m, .id = label };
	struct macro macro = { .name = n->key->text, .file = m->file, .line = n->key->line, .column = n->key->column };
	const struct yaml_node *parameters = yaml_child(n, "parameters"), *description = yaml_child(n, "description"),
			       *replaces = yaml_child(n, "replaces"), *eql;
	unsigned is_true = 0;
	struct place at;
	size_t count = 0;
	int r;

	(void)snprintf(label, sizeof(label), "macro %s", n->key->text);
	if (!own_check_keys(&o, n, "a macro", own_macro_keys))
		return;
	if (strlen(n->key->text) != n->key->len)
		own_wrong(&o, n->key, "a NUL character in its name");
	if (parameters && own_texts(&o, parameters, &own_macro_keys[0], &macro.parameter, &count))
		macro.n_parameters = (unsigned)count;
	if (description)
		macro.description = own_text(&o, description, "description", BOOK_TEXT_MAX);
	if (replaces && own_word(&o, replaces, &own_macro_keys[2], &is_true))
		macro.replaces = is_true;
	eql = yaml_child(n, "eql");
	macro.text = own_text(&o, eql, "eql", RULE_TEXT_MAX);
	if (!macro.text || o.bad)
		return;
	macro.n = eql->len;
	at = own_text_place(m, eql, &macro.indent);
	macro.text_line = at.line;
	macro.text_column = at.column;
	r = macros_add(m->macros, &macro, tell, m);
	if (r == -E2BIG)
		own_wrong(&o, n->key, "%s", err_trail());
	else if (r < 0)
		m->failed = true;
	err_clear();
}

static void read_document(struct maker *m, const struct yaml_node *root)
{
	const struct yaml_node *macros = yaml_child(root, "macros");

	if (!macros) {
		maker_problem(m, own_place(root), NULL,
			      "a file of this name defines macros: a mapping under \"macros\"");
		return;
	}
	for (const struct yaml_node *c = root->first; c; c = c->next)
		if (c != macros)
			maker_problem(m, own_place(c->key), NULL, "%s: nothing stands beside the macros", c->key->text);
	if (macros->type != YAML_MAP) {
		maker_problem(m, own_place(macros), NULL, "macros: is to be a mapping of names, not %s",
			      yaml_type_name(macros));
		return;
	}
	for (const struct yaml_node *c = macros->first; c; c = c->next)
		read_macro(m, c);
}

void definitions_read(struct maker *m)
{
	struct yaml_node *documents = own_documents(m);

	for (const struct yaml_node *c = documents ? documents->first : NULL; c; c = c->next)
		if (c->type != YAML_NOTHING)
			read_document(m, c);
	yaml_node_free(documents);
}

int definitions_finish(struct maker *m)
{
	return macros_finish(m->macros, tell, m);
}
