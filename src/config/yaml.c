/* SPDX-License-Identifier: Apache-2.0 */
#include "config/yaml.h"
#include <libfyaml.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/mem.h"
#include "event/value.h"

struct reader {
	const char *name, *text;
	size_t len;
	struct config_report *report;
	bool foreign; /* the outermost collection is the list of documents */
	struct fy_parser *parser;
	struct fy_diag *diag;
	struct yaml_node *root;
	struct yaml_node *open[YAML_DEPTH_MAX + 1]; /* the collections that we are in */
	unsigned depth;
	struct yaml_node *key; /* of a mapping, waiting for its value */
	size_t n_nodes;
	unsigned n_documents;
	unsigned line, column; /* of the last token that had a place */
};

static const unsigned char utf8_bom[] = { 0xef, 0xbb, 0xbf };

/* ---- nodes -------------------------------------------------------------------------- */

/* The depth is bounded where nodes are made, so this may call itself. */
void yaml_node_free(struct yaml_node *node)
{
	if (!node)
		return;
	for (struct yaml_node *c = node->first, *next; c; c = next) {
		next = c->next;
		yaml_node_free(c);
	}
	free(node->key);
	free(node);
}

struct yaml_node *yaml_child(const struct yaml_node *map, const char *key)
{
	for (struct yaml_node *c = map ? map->first : NULL; c; c = c->next)
		if (c->key && !strcmp(c->key->text, key))
			return c;
	return NULL;
}

const char *yaml_type_name(const struct yaml_node *node)
{
	static const char *const names[] = {
		[YAML_NOTHING] = "nothing",
		[YAML_SCALAR] = "a text",
		[YAML_LIST] = "a list",
		[YAML_MAP] = "a mapping",
	};

	return names[node->type];
}

/* ---- problems ----------------------------------------------------------------------- */

static int refuse(struct reader *y, unsigned line, unsigned column, const char *message)
{
	const struct config_spot spot = { y->name, y->text, y->len, line, column };

	config_report_add(y->report, false, &spot, "%s", message);
	return -EINVAL;
}

static int refuse_here(struct reader *y, const char *message)
{
	return refuse(y, y->line, y->column, message);
}

/* NULL: there is no such line. */
static const char *line_at(const struct reader *y, unsigned line)
{
	const char *p = y->text, *end = y->text + y->len;

	for (unsigned l = 1; p && l < line; l++) {
		p = memchr(p, '\n', (size_t)(end - p));
		if (p)
			p++;
	}
	return p;
}

/* Does white space before the first word of this line have a tab? Its column, or 0. */
static unsigned tab_column(const struct reader *y, unsigned line)
{
	const char *p = line_at(y, line), *end = y->text + y->len;

	for (unsigned col = 1; p && p < end && (*p == ' ' || *p == '\t'); col++)
		if (*p++ == '\t')
			return col;
	return 0;
}

/* Is this the colon of "key: text: more"? Queries in EQL have such colons. */
static bool is_colon(const struct reader *y, unsigned line, unsigned column)
{
	const char *p = line_at(y, line), *end = y->text + y->len;

	for (unsigned c = 1; p && p < end && *p != '\n' && c < column; c++, p++)
		while (p + 1 < end && ((unsigned char)p[1] & 0xc0) == 0x80)
			p++; /* columns are characters */
	return p && p < end && *p == ':';
}

/* What libfyaml found, in its words; where a tab or a colon is the likely cause, in ours. */
static int refuse_syntax(struct reader *y)
{
	void *at = NULL;
	const struct fy_diag_error *e;
	bool any = false;

	while ((e = fy_diag_errors_iterate(y->diag, &at))) {
		unsigned line = e->line > 0 ? (unsigned)e->line : 1, column = e->column > 0 ? (unsigned)e->column : 1;

		if (e->type < FYET_ERROR)
			continue;
		for (unsigned l = line; !any && l <= line + 1; l++)
			if (tab_column(y, l)) {
				(void)refuse(y, l, tab_column(y, l), "a tab before a word: YAML wants spaces there");
				any = true;
			}
		if (!any && is_colon(y, line, column)) {
			(void)refuse(y, line, column,
				     "not YAML: a second colon in this line: put the text in quotes, or in "
				     "lines of its own below a \"|\"");
		} else if (!any) {
			const struct config_spot spot = { y->name, y->text, y->len, line, column };

			config_report_add(y->report, false, &spot, "not YAML: %s", e->msg ? e->msg : "cannot be read");
		}
		any = true;
		/* The first says it; what follows is mostly its consequence. */
		break;
	}
	return any ? -EINVAL : refuse_here(y, "not YAML: cannot be read");
}

/* ---- from events to the tree ---------------------------------------------------------- */

static bool is_null(const char *text, size_t n)
{
	return n == 0 || (n == 1 && *text == '~') || (n == 4 && !memcmp(text, "null", 4));
}

static struct yaml_node *node_new(struct reader *y, enum yaml_type type, const char *text, size_t n)
{
	struct yaml_node *node = calloc(1, sizeof(*node) + n + 1);

	if (!node)
		return NULL;
	node->type = type;
	node->line = y->line;
	node->column = y->column;
	node->len = n;
	if (n)
		memcpy(node->text, text, n);
	return node;
}

static int take_key(struct reader *y, struct yaml_node *map, struct yaml_node *node)
{
	char message[YAML_FOREIGN_KEY_MAX + 64];
	const struct yaml_node *twin;
	int r = 0;

	if (node->type != YAML_SCALAR)
		r = refuse_here(y, "a key must be a word");
	else if (!node->len)
		r = refuse_here(y, "a key without a name");
	else if (node->len > (y->foreign ? YAML_FOREIGN_KEY_MAX : YAML_KEY_MAX))
		r = refuse_here(y, y->foreign ? "a key of more than 512 bytes" : "a key of more than 128 bytes");
	else if (strlen(node->text) != node->len)
		r = refuse_here(y, "a key with a NUL character");
	else if (map->n >= YAML_KEYS_MAX)
		r = refuse_here(y, "a mapping of more than 512 keys");
	if (r < 0) {
		yaml_node_free(node);
		return r;
	}
	twin = yaml_child(map, node->text);
	if (twin) {
		/* The file is refused, but the rest of it may still be judged. */
		(void)snprintf(message, sizeof(message), "%s: a key twice, first on line %u", node->text,
			       twin->key->line);
		(void)refuse_here(y, message);
	}
	y->key = node;
	return 0;
}

/* Puts a new node where it belongs; from then on the tree owns it. */
static int place(struct reader *y, struct yaml_node *node)
{
	struct yaml_node *in = y->depth ? y->open[y->depth - 1] : NULL;

	if (++y->n_nodes > (y->foreign ? YAML_FOREIGN_NODES_MAX : YAML_NODES_MAX)) {
		yaml_node_free(node);
		return refuse_here(y, y->foreign ? "more than 131072 nodes" : "more than 32768 nodes");
	}
	if (!in) {
		yaml_node_free(y->root);
		y->root = node;
		return 0;
	}
	if (in->type == YAML_MAP && !y->key)
		return take_key(y, in, node);
	node->key = take(y->key);
	if (in->last)
		in->last->next = node;
	else
		in->first = node;
	in->last = node;
	in->n++;
	return 0;
}

static int take_collection(struct reader *y, enum yaml_type type)
{
	bool as_key = y->depth && y->open[y->depth - 1]->type == YAML_MAP && !y->key;
	struct yaml_node *node;
	int r;

	if (as_key)
		return refuse_here(y, "a key must be a word");
	if (y->depth == YAML_DEPTH_MAX + (unsigned)y->foreign)
		return refuse_here(y, "nested deeper than 16");
	node = node_new(y, type, NULL, 0);
	if (!node)
		return err_new(-ENOMEM, "no memory for a configuration");
	r = place(y, node);
	if (r < 0)
		return r;
	y->open[y->depth++] = node;
	return 0;
}

/* libfyaml 0.7.12 takes quadratic time over the blank lines of a text: a file of them would hold us for minutes. */
static bool is_long(struct fy_token *token)
{
	const struct fy_mark *start = fy_token_start_mark(token), *end = fy_token_end_mark(token);

	return start && end && end->line - start->line >= YAML_LINES_MAX;
}

/* What stands in the file from the beginning of a token to its end. */
static struct str source_of(const struct reader *y, struct fy_token *token)
{
	const struct fy_mark *start = fy_token_start_mark(token), *end = fy_token_end_mark(token);

	if (!start || !end || start->input_pos > end->input_pos || end->input_pos > y->len)
		return (struct str) { 0 };
	return (struct str) { y->text + start->input_pos, end->input_pos - start->input_pos };
}

/* Takes the next line from a text, without what ends it. */
static bool next_line(struct str *text, struct str *ret_line)
{
	const char *end = text->n ? memchr(text->p, '\n', text->n) : NULL;
	size_t n = end ? (size_t)(end - text->p) : text->n;

	if (!text->n)
		return false;
	*ret_line = (struct str) { text->p, n && text->p[n - 1] == '\r' ? n - 1 : n };
	text->p += n + (end != NULL);
	text->n -= n + (end != NULL);
	return true;
}

static size_t indent_of(struct str line)
{
	size_t n = 0;

	while (n < line.n && line.p[n] == ' ')
		n++;
	return n;
}

static int check_lines(struct reader *y, struct fy_token *token)
{
	struct str text = source_of(y, token), line;
	size_t lines = 0, blank = 0;

	if (!y->foreign)
		return is_long(token) ? refuse_here(y, "a text of more than 64 lines") : 0;
	while (next_line(&text, &line)) {
		lines++;
		blank += indent_of(line) == line.n;
	}
	if (lines > YAML_FOREIGN_LINES_MAX)
		return refuse_here(y, "a text of more than 4096 lines");
	return blank > YAML_LINES_MAX ? refuse_here(y, "a text with more than 64 blank lines") : 0;
}

/* Is there a - after the > in the line that stands before a text? */
static bool has_strip_sign(const struct reader *y, const char *text)
{
	const char *end = text && text > y->text ? text - 1 : y->text, *p = end;

	while (p > y->text && p[-1] != '\n')
		p--;
	while (p < end && (*p != '>' || (p > y->text && p[-1] != ' ')))
		p++;
	while (++p < end && (*p == '+' || *p == '-' || (*p >= '1' && *p <= '9')))
		if (*p == '-')
			return true;
	return false;
}

/*
 * Folds a text as YAML says, from its lines: libfyaml 0.7.12 gives some of these bytes at their end that nobody
 * wrote. A line break between two lines is a blank; blank lines are breaks, and so are those around lines that
 * are further in. One break ends the text, or none.
 */
static int fold_lines(const struct reader *y, struct str source, struct buf *out)
{
	struct str text = source, line;
	size_t indent = SIZE_MAX, breaks = 0;
	bool further = false, strip;

	strip = has_strip_sign(y, source.p);
	while (indent == SIZE_MAX && next_line(&text, &line))
		if (indent_of(line) < line.n)
			indent = indent_of(line);
	text = source;
	while (next_line(&text, &line)) {
		size_t in = indent_of(line);
		bool was_further = further;

		if (in == line.n) {
			breaks++;
			continue;
		}
		in = in < indent ? in : indent;
		further = line.p[in] == ' ' || line.p[in] == '\t';
		if (out->len && (further || was_further))
			breaks++;
		else if (out->len && !breaks)
			buf_char(out, ' ');
		for (; breaks; breaks--)
			buf_char(out, '\n');
		buf_add(out, line.p + in, line.n - in);
	}
	if (out->len && !strip)
		buf_char(out, '\n');
	return out->failed ? err_new(-ENOMEM, "no memory for a folded text") : 0;
}

static int take_scalar(struct reader *y, struct fy_token *value)
{
	bool is_key = y->depth && y->open[y->depth - 1]->type == YAML_MAP && !y->key;
	enum fy_scalar_style style = fy_token_scalar_style(value);
	auto_buf struct buf folded = { .max = YAML_BYTES_MAX };
	struct yaml_node *node;
	size_t n = 0;
	const char *text;
	int r;

	if (style == FYSS_FOLDED && !y->foreign)
		return refuse_here(y, "a folded text is not taken: write it on one line");
	r = check_lines(y, value);
	if (r == 0 && style == FYSS_FOLDED)
		r = fold_lines(y, source_of(y, value), &folded);
	if (r < 0)
		return r;
	if (style == FYSS_FOLDED)
		text = buf_text(&folded), n = folded.len;
	else
		text = fy_token_get_text(value, &n);
	if (!text)
		n = 0;
	/* The mark of a quoted text stands after the quote. */
	if ((style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED) && y->column > 1)
		y->column--;
	node = node_new(y, style == FYSS_PLAIN && !is_key && is_null(text, n) ? YAML_NOTHING : YAML_SCALAR, text, n);
	if (!node)
		return err_new(-ENOMEM, "no memory for a configuration");
	node->plain = style == FYSS_PLAIN;
	return place(y, node);
}

/* Moves to a token; an anchor's mark stands after its sign. */
static void go_to(struct reader *y, struct fy_token *token, unsigned back)
{
	const struct fy_mark *mark = fy_token_start_mark(token);

	if (!mark || mark->line < 0 || mark->column < 0)
		return;
	y->line = (unsigned)mark->line + 1;
	y->column = (unsigned)mark->column + 1;
	if (y->column > back)
		y->column -= back;
}

static int refuse_anchor(struct reader *y, struct fy_token *anchor)
{
	go_to(y, anchor, 1);
	return refuse_here(y, "anchors and aliases are not taken: write it out");
}

static int refuse_extras(struct reader *y, struct fy_token *anchor, struct fy_token *tag)
{
	if (anchor)
		return refuse_anchor(y, anchor);
	if (!tag)
		return 0;
	go_to(y, tag, 0);
	return refuse_here(y, y->foreign ? "tags are not taken" : "tags are not taken: the option knows its type");
}

static int take_event(struct reader *y, struct fy_event *ev)
{
	int r;

	switch (ev->type) {
	case FYET_DOCUMENT_START:
		if (++y->n_documents > 1 && !y->foreign)
			return refuse_here(y, "a second document: one a file");
		return y->n_documents > YAML_DOCUMENTS_MAX ? refuse_here(y, "more than 1024 documents") : 0;
	case FYET_ALIAS:
		return refuse_anchor(y, ev->alias.anchor);
	case FYET_MAPPING_START:
		r = refuse_extras(y, ev->mapping_start.anchor, ev->mapping_start.tag);
		return r < 0 ? r : take_collection(y, YAML_MAP);
	case FYET_SEQUENCE_START:
		r = refuse_extras(y, ev->sequence_start.anchor, ev->sequence_start.tag);
		return r < 0 ? r : take_collection(y, YAML_LIST);
	case FYET_SCALAR:
		r = refuse_extras(y, ev->scalar.anchor, ev->scalar.tag);
		return r < 0 ? r : take_scalar(y, ev->scalar.value);
	case FYET_MAPPING_END:
	case FYET_SEQUENCE_END:
		if (y->depth)
			y->depth--;
		return 0;
	default:
		return 0;
	}
}

/* Is this the value that nobody wrote, as after "key:"? libfyaml 0.7 gives it no token, 0.8 one without bytes. */
static bool is_left_out(const struct fy_event *ev, struct fy_token *token)
{
	const struct fy_mark *start, *end;

	if (ev->type != FYET_SCALAR || fy_token_scalar_style(token) != FYSS_PLAIN)
		return false;
	start = fy_token_start_mark(token);
	end = fy_token_end_mark(token);
	return start && end && start->input_pos == end->input_pos;
}

/* What is left out has no place of its own: the last one stands for it. */
static void note_place(struct reader *y, struct fy_event *ev)
{
	struct fy_token *token = fy_event_get_token(ev);

	if (!token || is_left_out(ev, token))
		return;
	if (ev->type != FYET_MAPPING_END && ev->type != FYET_SEQUENCE_END && ev->type != FYET_DOCUMENT_END)
		go_to(y, token, 0);
}

static int read_events(struct reader *y)
{
	struct fy_event *ev;
	int r = 0;

	while (r >= 0 && (ev = fy_parser_parse(y->parser))) {
		note_place(y, ev);
		r = take_event(y, ev);
		fy_parser_event_free(y->parser, ev);
	}
	if (r >= 0 && fy_parser_get_stream_error(y->parser))
		r = refuse_syntax(y);
	return r;
}

/* ---- bytes -------------------------------------------------------------------------- */

/* Length of the UTF-8 character at p, or 0. Overlong forms, surrogates and what is past U+10FFFF are none. */
static size_t utf8_length(const unsigned char *p, size_t left)
{
	size_t n = *p < 0x80 ? 1 : *p < 0xc2 ? 0 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : *p < 0xf5 ? 4 : 0;

	if (!n || n > left)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f) || (*p == 0xf0 && p[1] < 0x90) ||
	    (*p == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

static int check_bytes(struct reader *y)
{
	const unsigned char *p = (const unsigned char *)y->text;
	size_t n;

	y->line = y->column = 1;
	for (size_t i = 0; i < y->len; i += n) {
		n = utf8_length(p + i, y->len - i);
		if (!n)
			return refuse_here(y, "not UTF-8");
		if ((p[i] < 0x20 && p[i] != '\n' && p[i] != '\r' && p[i] != '\t') || p[i] == 0x7f)
			return refuse_here(y, "a control character");
		y->column++;
		if (p[i] == '\n') {
			y->line++;
			y->column = 1;
		}
	}
	y->line = y->column = 1;
	return 0;
}

static int open_parser(struct reader *y)
{
	struct fy_parse_cfg parse = { 0 };
	struct fy_diag_cfg quiet;

	fy_diag_cfg_default(&quiet);
	y->diag = fy_diag_create(&quiet);
	if (!y->diag)
		return err_new(-ENOMEM, "no memory for a YAML parser");
	fy_diag_set_collect_errors(y->diag, true);
	parse.diag = y->diag;
	y->parser = fy_parser_create(&parse);
	if (!y->parser || fy_parser_set_string(y->parser, y->text, y->len) < 0)
		return err_new(-ENOMEM, "no memory for a YAML parser");
	return 0;
}

static void reader_close(struct reader *y)
{
	if (y->parser)
		fy_parser_destroy(y->parser);
	if (y->diag)
		fy_diag_destroy(y->diag);
	yaml_node_free(y->key);
	yaml_node_free(y->root);
}

static int read_text(struct reader *y)
{
	size_t n_errors = y->report->n_errors;
	int r;

	if (y->len >= sizeof(utf8_bom) && !memcmp(y->text, utf8_bom, sizeof(utf8_bom))) {
		y->text += sizeof(utf8_bom);
		y->len -= sizeof(utf8_bom);
	}
	if (y->len > YAML_BYTES_MAX)
		return refuse(y, 0, 0, "larger than 1 MiB");
	r = check_bytes(y);
	/* libfyaml takes no empty string. */
	if (r >= 0 && y->len)
		r = open_parser(y);
	if (r >= 0 && y->len)
		r = read_events(y);
	if (r < 0)
		return r;
	return y->report->n_errors != n_errors && !y->root ? -EINVAL : 0;
}

int yaml_read(const char *name, const char *text, size_t len, struct config_report *report, struct yaml_node **ret_root)
{
	__attribute__((cleanup(reader_close))) struct reader y = { name, text, len, report };
	int r = read_text(&y);

	if (r < 0)
		return r;
	*ret_root = take(y.root);
	return 0;
}

int yaml_read_foreign(const char *name, const char *text, size_t len, struct config_report *report,
		      struct yaml_node **ret_documents)
{
	__attribute__((cleanup(reader_close))) struct reader y = { name, text, len, report, .foreign = true };
	size_t n_errors = report->n_errors;
	int r;

	y.line = y.column = 1;
	y.root = node_new(&y, YAML_LIST, NULL, 0);
	if (!y.root)
		return err_new(-ENOMEM, "no memory for a file");
	y.open[y.depth++] = y.root;
	r = read_text(&y);
	if (r == 0 && report->n_errors != n_errors)
		r = -EINVAL;
	if (r < 0)
		return r;
	*ret_documents = take(y.root);
	return 0;
}
