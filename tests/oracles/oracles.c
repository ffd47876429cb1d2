/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/oracles/oracles.h"
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/mem.h"

enum { FILE_MAX = 256 << 20 };

static int run(const char *const argv[])
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		(void)execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void oracle_close(struct oracle *o)
{
	json_free(&o->doc);
	free(o->text);
	o->text = NULL;
	if (o->unpacked)
		(void)run((const char *const[]) { "rm", "-rf", o->folder, NULL });
}

static bool find_folder(struct oracle *o)
{
	static const char packed[] = SHRIKE_SOURCE_DIR "/../shared/oracles/detect.tar.zst";
	const char *env = getenv("SHRIKE_ORACLES");

	if (env) {
		(void)snprintf(o->folder, sizeof(o->folder), "%s", env);
		return access(o->folder, R_OK) == 0;
	}
	if (access(packed, R_OK) != 0)
		return false;
	(void)snprintf(o->folder, sizeof(o->folder), "/tmp/shrike-oracles-XXXXXX");
	o->unpacked = mkdtemp(o->folder) != NULL;
	return o->unpacked && run((const char *const[]) { "tar", "--zstd", "-C", o->folder, "-xf", packed, NULL }) == 0;
}

bool oracle_next(struct oracle *o, const char *name)
{
	char path[512];
	auto_file FILE *f = NULL;
	long size;

	free(o->text);
	o->text = NULL;
	(void)snprintf(path, sizeof(path), "%s/%s", o->folder, name);
	f = fopen(path, "re");
	if (!f || fseek(f, 0, SEEK_END) < 0 || (size = ftell(f)) < 0 || size > FILE_MAX || fseek(f, 0, SEEK_SET) < 0)
		return false;
	o->text = malloc((size_t)size + 1);
	if (!o->text)
		return false;
	o->n = fread(o->text, 1, (size_t)size, f);
	o->text[o->n] = 0;
	return true;
}

bool oracle_open(struct oracle *o, const char *name)
{
	static const struct json_limits limits = { .len_max = FILE_MAX, .nodes_max = 8 << 20, .depth_max = 64 };

	*o = (struct oracle) { 0 };
	json_init(&o->doc, &limits);
	return find_folder(o) && oracle_next(o, name);
}

const struct json_node *oracle_json(struct oracle *o)
{
	const struct json_node *root = NULL;

	return json_parse(&o->doc, o->text, o->n, &root) < 0 ? NULL : root;
}

const char *oracle_string(const struct json_node *object, const char *name)
{
	const struct json_node *v = json_get(object, name);

	return v && v->type == JSON_STRING ? v->s : "";
}

void oracle_put(const struct json_node *n, struct buf *out)
{
	const struct json_node *name;

	switch (n->type) {
	case JSON_NULL:
		buf_str(out, "null");
		break;
	case JSON_BOOL:
		buf_str(out, n->b ? "true" : "false");
		break;
	case JSON_INT:
		buf_i64(out, n->i);
		break;
	case JSON_UINT:
		buf_u64(out, n->u);
		break;
	case JSON_DOUBLE:
		json_write_double(out, n->d);
		break;
	case JSON_STRING:
		(void)json_write_str(out, n->s, n->len);
		break;
	case JSON_ARRAY:
	case JSON_OBJECT:
		buf_char(out, n->type == JSON_ARRAY ? '[' : '{');
		for (const struct json_node *first = json_first(n, &name), *c = first; c; c = json_next(n, c, &name)) {
			buf_str(out, c == first ? "" : ", ");
			if (name) {
				(void)json_write_str(out, name->s, name->len);
				buf_str(out, ": ");
			}
			oracle_put(c, out);
		}
		buf_char(out, n->type == JSON_ARRAY ? ']' : '}');
	}
}
