/* SPDX-License-Identifier: Apache-2.0 */
/*
 * own - reads our own rule files: YAML, or JSON, one rule or a list under `rules`.
 *
 * docs/rules.md is the guide. All that is wrong with a rule is told, not only the first; then the rule is left out.
 */
#include "rulebook/own_read.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/nearest.h"
#include "config/option.h"
#include "predicate/predicate.h"
#include "rulebook/attack.h"

enum { SHORT_TEXT_MAX = 256 };

static const uint64_t content_seed = 0x6f776eULL;
/* When the first event of a test happens, where it does not say: any moment will do. */
static const int64_t test_begin_ns = 1704067200LL * (int64_t)NS_PER_S; /* 2024-01-01 */

#define TEXT(member, n, sentence, most, ...)                                                                           \
	{ .name = n,                                                                                                   \
	  .doc = sentence,                                                                                             \
	  .type = OWN_TEXT,                                                                                            \
	  .max = most,                                                                                                 \
	  .off = offsetof(struct book_rule, member),                                                                   \
	  ##__VA_ARGS__ }

static const struct own_key attack_keys[] = {
	{ "tactic", "id of a tactic, as in TA0003", OWN_TEXT, .max = 16 },
	{ "technique", "id of a technique or of a part of one, as in T1053.003", OWN_TEXT, .max = 16 },
	{ 0 },
};
static const struct own_key throttle_keys[] = {
	{ "by", "fields: alerts that are equal in all of them are folded into the first", OWN_TEXTS, .max = 512 },
	{ "for", "for so long after it: 30s, 10m, 1h", OWN_DURATION, .required = true },
	{ 0 },
};
static const struct own_key lists_keys[] = {
	{ "name", "what the script calls it", OWN_TEXT, .required = true, .max = SHORT_TEXT_MAX },
	{ "items", "the texts that are in it", OWN_TEXTS, .required = true, .max = BOOK_TEXT_MAX,
	  .most = BOOK_LIST_ITEMS_MAX },
	{ 0 },
};
static const struct own_key exception_keys[] = {
	{ "name", "what the exception is called", OWN_TEXT, .required = true, .max = SHORT_TEXT_MAX },
	{ "reason", "why it is right to look away", OWN_TEXT, .max = BOOK_TEXT_MAX },
	{ "where", "an EQL condition: true of an event of the match, there is no alert", OWN_TEXT, .required = true,
	  .max = RULE_TEXT_MAX },
	{ 0 },
};
static const struct own_key test_keys[] = {
	{ "name", "what the test shows", OWN_TEXT, .required = true, .max = SHORT_TEXT_MAX },
	{ "match", "so many times the rule is to match; 0: it must not", OWN_NUMBER, .required = true, .max = 1000 },
	{ "events",
	  "what happens, in order: fields with dotted or nested names, and perhaps @timestamp, or `after`: so long "
	  "after "
	  "the event before",
	  OWN_ANY_MAPS, .required = true },
	{ 0 },
};

const struct own_key own_rule_keys[] = {
	{ "id", "unique in a folder; small letters, digits and hyphens", OWN_ID, .required = true, .max = BOOK_ID_MAX },
	TEXT(name, "name", "what people call it", SHORT_TEXT_MAX, .required = true),
	TEXT(version, "version", "raised when what it finds changes", 64),
	TEXT(description, "description", "what was seen, and why it matters", BOOK_TEXT_MAX),
	{ "severity", "how bad it is when it is true", OWN_WORD, .required = true, .words = book_severity_names },
	{ "risk", "the same as a number; from the severity when not said", OWN_NUMBER, .min = 1, .max = 100 },
	TEXT(author, "author", "who wrote it: said with each alert", 1024),
	TEXT(license, "license", "its licence, as an SPDX name", SHORT_TEXT_MAX),
	{ "attack", "what of MITRE ATT&CK it shows", OWN_MAPS, .max = BOOK_LIST_MAX, .keys = attack_keys },
	{ "references", "addresses of what to read about it", OWN_TEXTS, .max = 2048,
	  .off = offsetof(struct book_rule, references) },
	{ "tags", "words to find it by", OWN_TEXTS, .max = SHORT_TEXT_MAX, .off = offsetof(struct book_rule, tags) },
	TEXT(false_positives, "false_positives", "what an innocent match looks like", BOOK_TEXT_MAX),
	TEXT(next, "next", "what to look at when it has matched", BOOK_TEXT_MAX),
	{ "mode",
	  "detect: tell it; inline: asked before the action goes on, and told as well (for now it is only told); off: "
	  "not "
	  "run",
	  OWN_WORD, .words = book_mode_names },
	{ "eql", "what it looks for, in EQL: an event, or a sequence", OWN_TEXT, .max = RULE_TEXT_MAX },
	{ "kql", "or in KQL: an event", OWN_TEXT, .max = RULE_TEXT_MAX },
	{ "sigma", "or in Sigma: logsource and detection", OWN_ANY_MAP },
	{ "lua", "or in Lua, a predicate on single events", OWN_TEXT, .max = BOOK_FILE_MAX },
	{ "wasm", "or in Wasm: a file beside this one, or the text of a module", OWN_TEXT, .max = BOOK_FILE_MAX },
	{ "when", "with lua and wasm: EQL that says of which events the script is asked", OWN_TEXT,
	  .max = RULE_TEXT_MAX },
	{ "lists", "with lua and wasm: lists that the script may look values up in", OWN_MAPS, .max = BOOK_LIST_MAX,
	  .keys = lists_keys },
	{ "actions", "names of responders, beside the alert; today only \"alert\"", OWN_TEXTS, .max = 64,
	  .off = offsetof(struct book_rule, actions) },
	{ "throttle", "folds alerts that say the same", OWN_MAP, .keys = throttle_keys },
	{ "exceptions", "matches that are no alerts", OWN_MAPS, .max = BOOK_LIST_MAX, .keys = exception_keys },
	{ "tests", "events for which it must match, and for which it must not", OWN_MAPS, .max = BOOK_LIST_MAX,
	  .keys = test_keys },
	{ 0 },
};

static const char *const truths[] = { "false", "true", NULL };

const struct own_key own_macro_keys[] = {
	{ "parameters", "names that stand for what it is called with", OWN_TEXTS, .max = MACRO_NAME_MAX,
	  .most = MACRO_PARAMETERS_MAX },
	{ "description", "what it is true of", OWN_TEXT, .max = BOOK_TEXT_MAX },
	{ "replaces",
	  "true: it stands in the place of the macro of its name in another file, which it may call by that name",
	  OWN_TRUTH, .words = truths },
	{ "eql", "an expression in EQL, mostly a condition", OWN_TEXT, .required = true, .max = RULE_TEXT_MAX },
	{ 0 },
};

const char *const own_query_keys[] = { "eql", "kql", "sigma", "lua", "wasm", NULL };

/* ---- what every key needs --------------------------------------------------------------------- */

struct place own_place(const struct yaml_node *n)
{
	return (struct place) { n->line, n->column };
}

const char *own_text(struct own *o, const struct yaml_node *n, const char *name, unsigned max)
{
	if (n->type != YAML_SCALAR || !n->len) {
		own_wrong(o, n, "%s: is to be a text, not %s", name,
			  n->type == YAML_SCALAR ? "an empty one" : yaml_type_name(n));
		return NULL;
	}
	if (n->len > max) {
		own_wrong(o, n, "%s: more than %u bytes", name, max);
		return NULL;
	}
	if (strlen(n->text) != n->len) {
		own_wrong(o, n, "%s: a NUL character", name);
		return NULL;
	}
	return n->text;
}

const char *own_copy(struct own *o, const struct yaml_node *n, const char *name, unsigned max)
{
	const char *text = own_text(o, n, name, max);

	return text ? maker_str(o->m, text, n->len) : NULL;
}

static bool number_of(struct own *o, const struct yaml_node *n, const struct own_key *key, unsigned *ret_value)
{
	unsigned long v;
	char *end;

	if (n->type == YAML_SCALAR && n->len && n->len < 8 && *n->text >= '0' && *n->text <= '9') {
		v = strtoul(n->text, &end, 10);
		if (!*end && v >= key->min && v <= key->max) {
			*ret_value = (unsigned)v;
			return true;
		}
	}
	own_wrong(o, n, "%s: is to be a number from %u to %u", key->name, key->min, key->max);
	return false;
}

bool own_word(struct own *o, const struct yaml_node *n, const struct own_key *key, unsigned *ret_index)
{
	auto_buf struct buf all = { .max = 512 };

	for (unsigned i = 0; key->words[i]; i++) {
		if (n->type == YAML_SCALAR && !strcmp(n->text, key->words[i])) {
			*ret_index = i;
			return true;
		}
		buf_printf(&all, "%s%s", i ? ", " : "", key->words[i]);
	}
	own_wrong(o, n, "%s: is to be one of %s", key->name, buf_text(&all));
	return false;
}

static bool duration_of(struct own *o, const struct yaml_node *n, const char *name, uint64_t *ret_ns)
{
	static const struct option row = { .name = "duration", .type = OPT_DURATION, .max = 366ULL * 86400 * NS_PER_S };

	if (n->type == YAML_SCALAR && option_set(&row, n->text, ret_ns) == 0)
		return true;
	own_wrong(o, n, "%s: is to be a time such as 30s, 10m or 1h", name);
	return false;
}

static const struct own_key *key_find(const struct own_key *keys, const char *name)
{
	for (; keys->name; keys++)
		if (!strcmp(keys->name, name))
			return keys;
	return NULL;
}

bool own_check_keys(struct own *o, const struct yaml_node *map, const char *what, const struct own_key *keys)
{
	bool good = map->type == YAML_MAP;

	if (!good) {
		own_wrong(o, map, "%s: is to be a mapping, not %s", what, yaml_type_name(map));
		return false;
	}
	for (const struct yaml_node *c = map->first; c; c = c->next) {
		struct nearest near = { .word = c->key->text };

		if (key_find(keys, c->key->text))
			continue;
		for (const struct own_key *k = keys; k->name; k++)
			nearest_offer(&near, k->name);
		own_wrong(o, c->key, "%s: no such key%s%s%s", c->key->text, near.best ? "; did you mean \"" : "",
			  near.best ? near.best : "", near.best ? "\"?" : "");
		good = false;
	}
	for (const struct own_key *k = keys; k->name; k++)
		if (k->required && !yaml_child(map, k->name)) {
			own_wrong(o, map, "%s: \"%s\" is missing", what, k->name);
			good = false;
		}
	return good;
}

bool own_texts(struct own *o, const struct yaml_node *n, const struct own_key *key, const char *const **ret_texts,
	       size_t *ret_n)
{
	size_t count = n->type == YAML_LIST ? n->n : 1, at = 0;
	const char **texts;

	if (n->type == YAML_MAP || n->type == YAML_NOTHING) {
		own_wrong(o, n, "%s: is to be a list of texts, not %s", key->name, yaml_type_name(n));
		return false;
	}
	if (count > (key->most ?: BOOK_LIST_MAX)) {
		own_wrong(o, n, "%s: more than %u", key->name, key->most ?: BOOK_LIST_MAX);
		return false;
	}
	texts = maker_zeroed(o->m, count, sizeof(*texts));
	for (const struct yaml_node *c = n->type == YAML_LIST ? n->first : n; texts && c; c = c->next) {
		texts[at] = own_copy(o, c, key->name, key->max);
		if (!texts[at++])
			return false;
		if (n->type != YAML_LIST)
			break;
	}
	*ret_texts = texts;
	*ret_n = texts ? count : 0;
	return texts;
}

/* The maps of a list; NULL after a message. */
static const struct yaml_node *maps_of(struct own *o, const struct yaml_node *n, const struct own_key *key)
{
	if (n->type != YAML_LIST) {
		own_wrong(o, n, "%s: is to be a list, not %s", key->name, yaml_type_name(n));
		return NULL;
	}
	if (n->n > BOOK_LIST_MAX) {
		own_wrong(o, n, "%s: more than %d", key->name, BOOK_LIST_MAX);
		return NULL;
	}
	return n->first;
}

/* ---- queries ---------------------------------------------------------------------------------- */

/* The start of a line of the file, or NULL. */
static const char *line_at(const struct maker *m, unsigned line)
{
	const char *p = m->text, *stop = m->text + m->n;

	for (unsigned l = 1; p && l < line; l++) {
		p = memchr(p, '\n', (size_t)(stop - p));
		if (p)
			p++;
	}
	return p;
}

struct place own_text_place(const struct maker *m, const struct yaml_node *n, unsigned *ret_indent)
{
	const char *stop = m->text + m->n, *p = line_at(m, n->line);
	struct place at = own_place(n);

	*ret_indent = 0;
	for (unsigned c = 1; p && c < at.column && p < stop && *p != '\n'; c++)
		do
			p++;
		while (p < stop && ((unsigned char)*p & 0xc0) == 0x80);
	if (!p || p == stop)
		return at;
	if (n->plain || *p == '"' || *p == '\'') {
		at.column += !n->plain;
		*ret_indent = at.column - 1;
		return at;
	}
	/* A block: its place is that of its sign, or of its first line. */
	at.line += *p == '|' || *p == '>';
	for (p = line_at(m, at.line); p && p < stop; p++) {
		const char *in = p;

		while (in < stop && *in == ' ')
			in++;
		if (in < stop && *in != '\n' && *in != '\r') {
			*ret_indent = (unsigned)(in - p);
			break;
		}
		p = memchr(p, '\n', (size_t)(stop - p));
		if (!p)
			break;
	}
	at.column = *ret_indent + 1;
	return at;
}

static struct query *query_of(struct own *o, const struct yaml_node *n, const char *name, bool is_condition)
{
	const char *text = own_text(o, n, name, RULE_TEXT_MAX);
	struct query *q;
	unsigned indent;
	struct place at;

	if (!text)
		return NULL;
	at = own_text_place(o->m, n, &indent);
	q = maker_query(o->m, at, indent, o->id, is_condition, text, n->len);
	o->bad |= !q;
	return q;
}

static void take_kql(struct own *o, const struct yaml_node *n)
{
	const char *text = own_text(o, n, "kql", RULE_TEXT_MAX);
	unsigned indent;
	struct place at;

	if (!text)
		return;
	at = own_text_place(o->m, n, &indent);
	o->rule.query = maker_kql(o->m, at, indent, o->id, NULL, text, n->len);
	o->bad |= !o->rule.query;
}

/* Which events a script is asked about: all, unless the rule says so. */
static void take_when(struct own *o, const struct yaml_node *when, const struct yaml_node *script)
{
	static const char any[] = "any where true";
	struct query *q = when ? query_of(o, when, "when", false)
			       : maker_query(o->m, own_place(script), 0, o->id, false, any, sizeof(any) - 1);

	o->rule.query = q;
	o->bad |= !q;
	if (q && (q->kind != QUERY_EVENT || q->n_pipes))
		own_wrong(o, when, "when: a script is asked about single events: no sequence, and no pipe");
}

/* A module in a file beside the rule's own, and not elsewhere. */
static int read_beside(struct own *o, const struct yaml_node *n, struct buf *out)
{
	const char *slash = strrchr(o->m->file, '/');
	char path[PATH_MAX], part[4096];
	auto_close int fd = -1;
	struct stat st;
	ssize_t got;

	if (!o->m->is_file || *n->text == '/' || strstr(n->text, "..")) {
		own_wrong(o, n, "wasm: is to be a file beside this one, or the text of a module");
		return -EINVAL;
	}
	(void)snprintf(path, sizeof(path), "%.*s%s", slash ? (int)(slash + 1 - o->m->file) : 0, o->m->file, n->text);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		own_wrong(o, n, "wasm: %s: %s", path, fd < 0 ? strerror(errno) : "no file");
		return -EINVAL;
	}
	while ((got = read(fd, part, sizeof(part))) > 0)
		buf_add(out, part, (size_t)got);
	if (got < 0 || out->failed) {
		own_wrong(o, n, "wasm: %s: %s", path, got < 0 ? strerror(errno) : "larger than 1 MiB");
		return -EINVAL;
	}
	o->rule.content = hash_bytes(buf_text(out), out->len, o->rule.content);
	o->rule.module = maker_str(o->m, n->text, n->len);
	return 0;
}

/* The lists of a script; NULL when there are none, or they are wrong. */
static struct host_named_list *lists_of(struct own *o, const struct yaml_node *n, size_t *ret_n)
{
	static const struct own_key key = { "lists" };
	struct host_named_list *lists = maker_zeroed(o->m, n->n + 1, sizeof(*lists));
	size_t at = 0;

	*ret_n = 0;
	for (const struct yaml_node *c = maps_of(o, n, &key); c && lists; c = c->next) {
		if (!own_check_keys(o, c, "lists", lists_keys))
			return NULL;
		lists[at].name = own_copy(o, yaml_child(c, "name"), "name", SHORT_TEXT_MAX);
		if (!lists[at].name ||
		    !own_texts(o, yaml_child(c, "items"), &lists_keys[1], &lists[at].items, &lists[at].n))
			return NULL;
		at++;
	}
	*ret_n = at;
	return lists;
}

static void take_script(struct own *o, const struct yaml_node *n, const struct yaml_node *named)
{
	size_t n_lists = 0;
	const struct host_named_list *lists = named ? lists_of(o, named, &n_lists) : NULL;
	const struct script_options options = { .limits = o->m->options.limits, .lists = lists, .n_lists = n_lists };
	const enum script_kind kind = !strcmp(n->key->text, "lua") ? SCRIPT_LUA : SCRIPT_WASM;
	const char *text = own_text(o, n, n->key->text, BOOK_FILE_MAX);
	auto_buf struct buf module = { .max = SCRIPT_TEXT_MAX };
	const bool is_file = text && kind == SCRIPT_WASM && !memchr(text, '(', n->len);
	struct place at = own_place(n);
	struct diag d = { 0 };
	unsigned indent = 0;
	int r;

	if (!text || (named && !lists) || (is_file && read_beside(o, n, &module) < 0))
		return;
	r = is_file ? script_compile(kind, o->id ? o->id : "rule", buf_text(&module), module.len, &options, &d,
				     &o->rule.script)
		    : script_compile(kind, o->id ? o->id : "rule", text, n->len, &options, &d, &o->rule.script);
	if (r == 0)
		return;
	o->bad = true;
	if (r == -ENOMEM) {
		o->m->failed = true;
	} else if (r == -ENOTSUP) {
		maker_missing(o->m, at, o->id, n->key->text, "%s: %s", n->key->text, err_trail());
	} else if (is_file || !d.line) {
		maker_problem(o->m, at, o->id, "%s: %s", n->key->text, d.message[0] ? d.message : err_trail());
	} else {
		at = own_text_place(o->m, n, &indent);
		at.column = d.line == 1 ? at.column + d.column - 1 : indent + d.column;
		at.line += d.line - 1;
		maker_problem(o->m, at, o->id, "%s: %s", n->key->text, d.message);
	}
	err_clear();
}

static void take_query(struct own *o, const struct yaml_node *map)
{
	const struct yaml_node *found = NULL, *when = yaml_child(map, "when"), *lists = yaml_child(map, "lists");

	for (const char *const *k = own_query_keys; *k; k++) {
		const struct yaml_node *n = yaml_child(map, *k);

		if (n && found)
			own_wrong(o, n->key, "%s: the rule has \"%s\" already; one of them", *k, found->key->text);
		if (n && !found)
			found = n;
	}
	if (!found) {
		own_wrong(o, map, "one of eql, kql, sigma, lua and wasm is to say what the rule looks for");
		return;
	}
	if (when && strcmp(found->key->text, "lua") && strcmp(found->key->text, "wasm"))
		own_wrong(o, when->key, "when: only a script is asked of some events alone");
	if (lists && strcmp(found->key->text, "lua") && strcmp(found->key->text, "wasm"))
		own_wrong(o, lists->key, "lists: only a script looks values up in them");
	if (!strcmp(found->key->text, "eql")) {
		o->rule.query = query_of(o, found, "eql", false);
	} else if (!strcmp(found->key->text, "kql")) {
		take_kql(o, found);
	} else if (!strcmp(found->key->text, "sigma")) {
		o->rule.query = maker_sigma(o->m, own_place(found), o->id, found, NULL, NULL);
		o->bad |= !o->rule.query;
	} else {
		take_when(o, when, found);
		take_script(o, found, lists);
	}
}

/* ---- attack, throttle, exceptions ------------------------------------------------------------- */

static void take_attack(struct own *o, const struct yaml_node *n, const struct own_key *key)
{
	struct book_attack *attack = maker_zeroed(o->m, n->n + 1, sizeof(*attack));
	const struct yaml_node *c = maps_of(o, n, key);

	o->rule.attack = attack;
	for (; c && attack; c = c->next) {
		const struct yaml_node *tactic, *technique;
		struct book_attack *a = &attack[o->rule.n_attack];
		const char *id;

		if (!own_check_keys(o, c, "attack", key->keys))
			continue;
		tactic = yaml_child(c, "tactic");
		technique = yaml_child(c, "technique");
		if (!tactic && !technique)
			own_wrong(o, c, "attack: a tactic or a technique is to be said");
		if (tactic && (id = own_text(o, tactic, "tactic", 16))) {
			if (attack_tactic_name(id))
				attack_set_tactic(o->m, a, id);
			else
				own_wrong(o, tactic, "tactic: \"%s\" is none: ids are written as in TA0003", id);
		}
		if (technique && (id = own_text(o, technique, "technique", 16))) {
			if (attack_is_technique(id))
				attack_set_technique(o->m, a, id);
			else
				own_wrong(o, technique,
					  "technique: \"%s\" is none: ids are written as in T1053 or T1053.003", id);
		}
		o->rule.n_attack++;
	}
}

static void take_throttle(struct own *o, const struct yaml_node *n, const struct own_key *key)
{
	struct book_throttle *t = &o->rule.throttle;
	const struct yaml_node *by = yaml_child(n, "by"), *duration = yaml_child(n, "for");
	const char *const *names = NULL;
	size_t n_names = 0;
	field_id *ids;

	if (!own_check_keys(o, n, "throttle", key->keys))
		return;
	(void)duration_of(o, duration, "for", &t->for_ns);
	if (!by || !own_texts(o, by, &key->keys[0], &names, &n_names))
		return;
	ids = maker_zeroed(o->m, n_names, sizeof(*ids));
	for (size_t i = 0; ids && i < n_names; i++) {
		ids[i] = field_intern(names[i], strlen(names[i]));
		if (!ids[i])
			own_wrong(o, by, "by: \"%s\" is not the name of a field", names[i]);
	}
	t->by = ids;
	t->n_by = ids ? n_names : 0;
}

/* Once here, so that a pattern that is none is told of, and not with every match. */
static struct program *program_of(struct own *o, const struct yaml_node *where, const struct query *q)
{
	const ir_ref condition = q->stage[0].condition;
	struct program *program = NULL;

	if (predicate_uses_lineage(q, condition))
		own_wrong(o, where,
			  "where: what a process descends from cannot make an exception; process.ancestors can");
	else if (predicate_compile(q, condition, &program) < 0)
		own_wrong(o, where, "where: %s", err_trail());
	return program;
}

static void take_exceptions(struct own *o, const struct yaml_node *n, const struct own_key *key)
{
	struct book_exception *exception = maker_zeroed(o->m, n->n + 1, sizeof(*exception));
	const struct yaml_node *c = maps_of(o, n, key);

	o->rule.exception = exception;
	for (; c && exception; c = c->next) {
		struct book_exception *e = &exception[o->rule.n_exceptions];
		const struct yaml_node *reason;

		if (!own_check_keys(o, c, "exceptions", key->keys))
			continue;
		reason = yaml_child(c, "reason");
		e->name = own_copy(o, yaml_child(c, "name"), "name", SHORT_TEXT_MAX);
		e->reason = reason ? own_copy(o, reason, "reason", BOOK_TEXT_MAX) : NULL;
		e->where = query_of(o, yaml_child(c, "where"), "where", true);
		if (e->where)
			e->program = program_of(o, yaml_child(c, "where"), e->where);
		o->rule.n_exceptions++;
	}
}

/* ---- tests ------------------------------------------------------------------------------------ */

/* Is this word what JSON calls a number, true or false, and was it written without quotes? */
static bool is_bare(const struct yaml_node *n)
{
	static const struct json_limits limits = { .len_max = 64, .nodes_max = 1, .depth_max = 1 };
	const struct json_node *root;
	auto_json struct json_doc doc = { 0 };

	if (!n->plain || n->len > limits.len_max)
		return false;
	if (!strcmp(n->text, "true") || !strcmp(n->text, "false"))
		return true;
	if (*n->text != '-' && (*n->text < '0' || *n->text > '9'))
		return false;
	json_init(&doc, &limits);
	return json_parse(&doc, n->text, n->len, &root) == 0;
}

static void event_value(struct own *o, const struct yaml_node *n, struct buf *out)
{
	switch (n->type) {
	case YAML_NOTHING:
		buf_str(out, "null");
		break;
	case YAML_SCALAR:
		if (is_bare(n))
			buf_add(out, n->text, n->len);
		else
			(void)json_write_str(out, n->text, n->len);
		break;
	case YAML_LIST:
	case YAML_MAP:
		buf_char(out, n->type == YAML_LIST ? '[' : '{');
		for (const struct yaml_node *c = n->first; c; c = c->next) {
			buf_str(out, c == n->first ? "" : ",");
			if (c->key) {
				(void)json_write_str(out, c->key->text, c->key->len);
				buf_char(out, ':');
			}
			event_value(o, c, out);
		}
		buf_char(out, n->type == YAML_LIST ? ']' : '}');
		break;
	}
}

/* One event as a line of JSON; *time_ns is when the one before happened, and then when it does. */
static const char *event_of(struct own *o, const struct yaml_node *n, int64_t *time_ns, bool is_first)
{
	const struct yaml_node *stamp = yaml_child(n, "@timestamp"), *after = yaml_child(n, "after");
	auto_buf struct buf out = { .max = EVENT_JSON_MAX };
	uint64_t later = is_first ? 0 : NS_PER_S;
	char text[CLOCK_TEXT];

	if (n->type != YAML_MAP) {
		own_wrong(o, n, "events: each is to be a mapping of fields, not %s", yaml_type_name(n));
		return NULL;
	}
	if (stamp && after) {
		own_wrong(o, after->key, "after: the event has its @timestamp already");
		return NULL;
	}
	if (stamp && (stamp->type != YAML_SCALAR || !clock_parse(stamp->text, stamp->len, time_ns))) {
		own_wrong(o, stamp, "@timestamp: is to be a date as in 2024-02-29T12:34:56Z");
		return NULL;
	}
	if (after && !duration_of(o, after, "after", &later))
		return NULL;
	if (!stamp)
		*time_ns += (int64_t)later;
	clock_format(*time_ns, text);
	buf_printf(&out, "{\"@timestamp\":\"%.*s\"", CLOCK_TEXT, text);
	for (const struct yaml_node *c = n->first; c; c = c->next) {
		if (c == stamp || c == after)
			continue;
		buf_char(&out, ',');
		(void)json_write_str(&out, c->key->text, c->key->len);
		buf_char(&out, ':');
		event_value(o, c, &out);
	}
	buf_char(&out, '}');
	if (out.failed) {
		own_wrong(o, n, "events: one of more than %d bytes", EVENT_JSON_MAX);
		return NULL;
	}
	return maker_str(o->m, buf_text(&out), out.len);
}

static void take_test(struct own *o, const struct yaml_node *n, struct book_test *t)
{
	const struct yaml_node *events = yaml_child(n, "events");
	int64_t time_ns = test_begin_ns;
	const char **lines;
	bool is_first = true;

	t->line = n->line;
	t->column = n->column;
	t->name = own_copy(o, yaml_child(n, "name"), "name", SHORT_TEXT_MAX);
	(void)number_of(o, yaml_child(n, "match"), key_find(test_keys, "match"), &t->matches);
	if (events->type != YAML_LIST || !events->n) {
		own_wrong(o, events, "events: is to be a list of events");
		return;
	}
	if (events->n > BOOK_TEST_EVENTS_MAX) {
		own_wrong(o, events, "events: more than %d", BOOK_TEST_EVENTS_MAX);
		return;
	}
	lines = maker_zeroed(o->m, events->n, sizeof(*lines));
	for (const struct yaml_node *c = events->first; c && lines; c = c->next) {
		lines[t->n_events] = event_of(o, c, &time_ns, is_first);
		if (lines[t->n_events])
			t->n_events++;
		is_first = false;
	}
	t->events = lines;
}

static void take_tests(struct own *o, const struct yaml_node *n, const struct own_key *key)
{
	struct book_test *test = maker_zeroed(o->m, n->n + 1, sizeof(*test));
	const struct yaml_node *c = maps_of(o, n, key);

	o->rule.test = test;
	for (; c && test; c = c->next)
		if (own_check_keys(o, c, "tests", key->keys))
			take_test(o, c, &test[o->rule.n_tests++]);
}

/* ---- a rule ----------------------------------------------------------------------------------- */

static void take_id(struct own *o, const struct yaml_node *n)
{
	const char *id = n ? own_text(o, n, "id", BOOK_ID_MAX) : NULL;

	if (!id)
		return;
	if (strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789-") != n->len) {
		own_wrong(o, n, "id: \"%s\": small letters, digits and hyphens", id);
		return;
	}
	o->rule.id = o->id = maker_str(o->m, id, n->len);
}

static void take_actions(struct own *o, const struct yaml_node *n)
{
	for (size_t i = 0; i < o->rule.n_actions; i++)
		if (strcmp(o->rule.actions[i], "alert")) {
			o->bad = true;
			maker_missing(o->m, own_place(n), o->id, "actions", "actions: there is no responder \"%s\"",
				      o->rule.actions[i]);
		}
}

static void take_key(struct own *o, const struct yaml_node *n, const struct own_key *key)
{
	const char *const *texts;
	unsigned v;
	size_t count;

	if (key->type == OWN_TEXT && key->off) {
		*(const char **)((char *)&o->rule + key->off) = own_copy(o, n, key->name, key->max);
	} else if (key->type == OWN_TEXTS) {
		if (!own_texts(o, n, key, &texts, &count))
			return;
		/* The number follows in another member: there are three of them. */
		if (!strcmp(key->name, "references")) {
			o->rule.references = texts;
			o->rule.n_references = count;
		} else if (!strcmp(key->name, "tags")) {
			o->rule.tags = texts;
			o->rule.n_tags = count;
		} else {
			o->rule.actions = texts;
			o->rule.n_actions = count;
			take_actions(o, n);
		}
	} else if (!strcmp(key->name, "severity")) {
		if (own_word(o, n, key, &v))
			o->rule.severity = (enum book_severity)v;
	} else if (!strcmp(key->name, "mode")) {
		if (own_word(o, n, key, &v))
			o->rule.mode = (enum book_mode)v;
	} else if (!strcmp(key->name, "risk")) {
		if (number_of(o, n, key, &v))
			o->rule.risk = (uint8_t)v;
	} else if (!strcmp(key->name, "attack")) {
		take_attack(o, n, key);
	} else if (!strcmp(key->name, "throttle")) {
		take_throttle(o, n, key);
	} else if (!strcmp(key->name, "exceptions")) {
		take_exceptions(o, n, key);
	} else if (!strcmp(key->name, "tests") && o->m->options.keep_tests) {
		take_tests(o, n, key);
	}
}

static uint64_t content_of(const struct yaml_node *n, uint64_t h, bool is_rule)
{
	h = hash_u64(n->type, h);
	h = hash_bytes(n->text, n->len, h);
	for (const struct yaml_node *c = n->first; c; c = c->next) {
		if (is_rule && c->key && !strcmp(c->key->text, "tests"))
			continue;
		if (c->key)
			h = hash_bytes(c->key->text, c->key->len, h);
		h = content_of(c, h, false);
	}
	return h;
}

uint64_t maker_content(const struct yaml_node *rule, uint64_t seed)
{
	return content_of(rule, seed, true);
}

/* What the macros say that it calls. */
static uint64_t macros_of(const struct book_rule *rule, uint64_t h)
{
	if (rule->query && rule->query->macros)
		h = hash_u64(rule->query->macros, h);
	for (size_t i = 0; i < rule->n_exceptions; i++)
		if (rule->exception[i].where && rule->exception[i].where->macros)
			h = hash_u64(rule->exception[i].where->macros, h);
	return h;
}

static void read_rule(struct maker *m, const struct yaml_node *map)
{
	struct own o = { .m = m };

	o.rule = (struct book_rule) {
		.version = "1", .source = BOOK_OWN, .file = m->file, .line = map->line, .column = map->column
	};
	if (map->type == YAML_MAP)
		take_id(&o, yaml_child(map, "id"));
	(void)own_check_keys(&o, map, "a rule", own_rule_keys);
	if (map->type != YAML_MAP)
		return;
	for (const struct yaml_node *c = map->first; c; c = c->next) {
		const struct own_key *key = key_find(own_rule_keys, c->key->text);

		if (key)
			take_key(&o, c, key);
	}
	take_query(&o, map);
	if (!o.rule.risk)
		o.rule.risk = book_risk_of(o.rule.severity);
	o.rule.content = hash_u64(o.rule.content, maker_content(map, content_seed));
	o.rule.content = macros_of(&o.rule, o.rule.content);
	if (o.bad || m->failed)
		maker_drop(&o.rule);
	else
		maker_take(m, &o.rule);
}

static void tell_report(struct maker *m, const struct config_report *report)
{
	for (size_t i = 0; i < report->n; i++) {
		const struct config_problem *p = &report->problems[i];

		maker_problem(m, (struct place) { p->line, p->column }, NULL, "%s", p->message);
	}
}

/* Folders of rules hold other files of these endings, too: settings of tools, lists of packages. */
static bool is_meant_as_rule(const struct yaml_node *root)
{
	static const char *const keys[] = { "id", "severity", "eql", "kql", "sigma", "lua", "wasm" };

	for (size_t i = 0; i < countof(keys); i++)
		if (yaml_child(root, keys[i]))
			return true;
	return root->type != YAML_MAP;
}

static void read_document(struct maker *m, const struct yaml_node *root)
{
	const struct yaml_node *rules = yaml_child(root, "rules"), *macros = yaml_child(root, "macros");

	if (!rules && !macros && !is_meant_as_rule(root)) {
		maker_warning(m, own_place(root), NULL, "there is no rule in it");
		return;
	}
	if (macros) {
		maker_problem(m, own_place(macros->key), NULL,
			      "macros: they stand in a file of their own, called macros.yaml or NAME.macros.yaml");
		return;
	}
	if (!rules) {
		read_rule(m, root);
		return;
	}
	for (const struct yaml_node *c = root->first; c; c = c->next)
		if (c != rules)
			maker_problem(m, own_place(c->key), NULL, "%s: nothing stands beside a list of rules",
				      c->key->text);
	if (rules->type != YAML_LIST) {
		maker_problem(m, own_place(rules), NULL, "rules: is to be a list, not %s", yaml_type_name(rules));
		return;
	}
	for (const struct yaml_node *c = rules->first; c; c = c->next)
		read_rule(m, c);
}

struct yaml_node *own_documents(struct maker *m)
{
	auto_report struct config_report report = { 0 };
	struct yaml_node *documents = NULL;
	int r = yaml_read_foreign(m->file, m->text, m->n, &report, &documents);

	tell_report(m, &report);
	if (r == -ENOMEM)
		m->failed = true;
	if (r == 0 && !report.n_errors)
		return documents;
	yaml_node_free(documents);
	return NULL;
}

void own_read(struct maker *m)
{
	struct yaml_node *documents = own_documents(m);
	bool any = false;

	/* What is wrong with the whole was told. */
	if (!documents)
		return;
	if (!sigma_read_documents(m, documents)) {
		for (const struct yaml_node *c = documents->first; c; c = c->next) {
			any = true;
			if (c->type != YAML_NOTHING)
				read_document(m, c);
		}
		if (!any)
			maker_warning(m, (struct place) { 0 }, NULL, "there is no rule in it");
	}
	yaml_node_free(documents);
}
