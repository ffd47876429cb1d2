/* SPDX-License-Identifier: Apache-2.0 */
#include "api/http1.h"
#include <string.h>
#include <strings.h>

/* What a method, a header's name, and a coding may be made of: "token" of RFC 9110. */
static bool is_token_char(unsigned char c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* Printable ASCII: all that may stand in a target. */
static bool is_target_char(unsigned char c)
{
	return c > 0x20 && c < 0x7f;
}

static bool is_value_char(unsigned char c)
{
	return c == '\t' || (c >= 0x20 && c != 0x7f);
}

ssize_t http1_find_end(const char *bytes, size_t n, size_t *scanned)
{
	size_t at = *scanned;
	const char *lf;

	while (at < n && (lf = memchr(bytes + at, '\n', n - at))) {
		size_t i = (size_t)(lf - bytes);

		if (!i || bytes[i - 1] != '\r')
			return -400;
		if (i == 1)
			return -400; /* an empty line where a request should begin */
		if (i >= 3 && bytes[i - 2] == '\n')
			return (ssize_t)i + 1;
		at = i + 1;
	}
	*scanned = n;
	return HTTP1_MORE;
}

static const char *version_of(const char *text, size_t n, enum http_version *ret_version)
{
	if (n != 8 || memcmp(text, "HTTP/", 5) != 0 || text[6] != '.')
		return "the request line does not end with HTTP/1.1";
	if (memcmp(text + 5, "1.1", 3) == 0)
		*ret_version = HTTP_1_1;
	else if (memcmp(text + 5, "1.0", 3) == 0)
		*ret_version = HTTP_1_0;
	else
		return "";
	return NULL;
}

/* "METHOD SP TARGET SP VERSION", exactly. */
static unsigned parse_request_line(char *line, size_t n, struct http1_head *head, const char **ret_why)
{
	char *end = line + n, *space = memchr(line, ' ', n), *version;

	*ret_why = "malformed request line";
	if (!space || space == line)
		return 400;
	for (char *p = line; p < space; p++)
		if (!is_token_char((unsigned char)*p))
			return 400;
	head->method = line;
	*space = 0;
	head->target = space + 1;
	version = memchr(head->target, ' ', (size_t)(end - head->target));
	if (!version || version == head->target)
		return 400;
	for (char *p = head->target; p < version; p++)
		if (!is_target_char((unsigned char)*p))
			return 400;
	*version++ = 0;
	*ret_why = version_of(version, (size_t)(end - version), &head->version);
	if (*ret_why && !**ret_why) {
		*ret_why = "only HTTP/1.0 and HTTP/1.1 are spoken here, and HTTP/2";
		return 505;
	}
	return *ret_why ? 400 : 0;
}

static const char *parse_length(const char *value, uint64_t *ret_length)
{
	uint64_t v = 0;
	size_t n = strlen(value);

	/* 18 digits cannot overflow. */
	if (!n || n > 18)
		return "Content-Length is no length";
	for (size_t i = 0; i < n; i++) {
		if (value[i] < '0' || value[i] > '9')
			return "Content-Length is no length";
		v = v * 10 + (uint64_t)(value[i] - '0');
	}
	*ret_length = v;
	return NULL;
}

bool http1_has_token(const char *list, const char *token)
{
	size_t want = strlen(token);

	while (*list) {
		size_t n;

		list += strspn(list, ", \t");
		n = strcspn(list, ", \t");
		if (n == want && !strncasecmp(list, token, n))
			return true;
		list += n;
	}
	return false;
}

struct seen {
	bool length, coding;
};

/* Headers that decide where the request ends, and whom it is for. */
static unsigned look_at(struct http1_head *head, const struct http_header *h, struct seen *seen, const char **ret_why)
{
	const char *value = h->value;

	if (!strcmp(h->name, "content-length")) {
		*ret_why = seen->length ? "several Content-Length" : parse_length(value, &head->length);
		seen->length = true;
	} else if (!strcmp(h->name, "transfer-encoding")) {
		*ret_why = seen->coding ? "several Transfer-Encoding" : NULL;
		seen->coding = head->chunked = true;
		if (!*ret_why && strcasecmp(value, "chunked") != 0) {
			*ret_why = "the only transfer coding taken is chunked";
			return 501;
		}
	} else if (!strcmp(h->name, "host")) {
		*ret_why = head->host ? "several Host" : NULL;
		head->host = (char *)(uintptr_t)value;
		for (const char *p = value; *p && !*ret_why; p++)
			if (!is_target_char((unsigned char)*p) || strchr("/?#@\\,", *p))
				*ret_why = "malformed Host";
	} else if (!strcmp(h->name, "connection")) {
		if (http1_has_token(value, "close"))
			head->keep_alive = false;
	} else if (!strcmp(h->name, "expect")) {
		if (strcasecmp(value, "100-continue") != 0) {
			*ret_why = "Expect knows only 100-continue";
			return 417;
		}
		head->expects_continue = true;
	}
	return *ret_why ? 400 : 0;
}

/* One "name: value" line; the CR at `end` becomes its NUL. */
static unsigned parse_header(char *line, char *end, struct http1_head *head, struct seen *seen, const char **ret_why)
{
	struct http_header *h = &head->headers[head->n_headers];
	char *colon = memchr(line, ':', (size_t)(end - line)), *value, *last = end;

	*ret_why = "malformed header";
	if (!colon || colon == line)
		return 400;
	for (char *p = line; p < colon; p++) {
		if (!is_token_char((unsigned char)*p))
			return 400;
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p | 0x20);
	}
	value = colon + 1;
	while (value < last && (*value == ' ' || *value == '\t'))
		value++;
	while (last > value && (last[-1] == ' ' || last[-1] == '\t'))
		last--;
	for (char *p = value; p < last; p++)
		if (!is_value_char((unsigned char)*p))
			return 400;
	*colon = *last = 0;
	if (head->n_headers == HTTP_HEADERS_MAX) {
		*ret_why = "too many headers";
		return 431;
	}
	*h = (struct http_header) { line, value };
	head->n_headers++;
	*ret_why = NULL;
	return look_at(head, h, seen, ret_why);
}

unsigned http1_parse(char *bytes, size_t n, struct http1_head *ret_head, const char **ret_why)
{
	struct http1_head *head = ret_head;
	struct seen seen = { 0 };
	char *line, *end = bytes + n - 2, *cr;
	unsigned status;

	*head = (struct http1_head) { .keep_alive = true };
	cr = memchr(bytes, '\r', n);
	*ret_why = "a carriage return within a line";
	if (cr[1] != '\n')
		return 400;
	status = parse_request_line(bytes, (size_t)(cr - bytes), head, ret_why);
	if (status)
		return status;
	head->keep_alive = head->version == HTTP_1_1;
	for (line = cr + 2; line < end; line = cr + 2) {
		cr = memchr(line, '\r', (size_t)(end + 2 - line));
		if (cr[1] != '\n') {
			*ret_why = "a carriage return within a line";
			return 400;
		}
		status = parse_header(line, cr, head, &seen, ret_why);
		if (status)
			return status;
	}
	if (seen.length && seen.coding) {
		*ret_why = "Content-Length beside Transfer-Encoding";
		return 400;
	}
	if (seen.coding && head->version != HTTP_1_1) {
		*ret_why = "HTTP/1.0 knows no Transfer-Encoding";
		return 400;
	}
	if (!head->host && head->version == HTTP_1_1) {
		*ret_why = "no Host";
		return 400;
	}
	return 0;
}

/* ---- chunks ----------------------------------------------------------------------------------------------- */

enum { AT_SIZE, AT_SIZE_LF, AT_DATA, AT_DATA_CR, AT_DATA_LF, AT_LAST_CR, AT_LAST_LF, AT_END };

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One byte that belongs to no chunk's data; false: it should not be there. */
static bool step(struct http1_chunks *c, char byte)
{
	int digit;

	switch (c->state) {
	case AT_SIZE:
		digit = hex_digit(byte);
		if (digit >= 0) {
			c->size = c->size << 4 | (unsigned)digit;
			return ++c->digits <= 8;
		}
		c->state = AT_SIZE_LF;
		return byte == '\r' && c->digits;
	case AT_SIZE_LF:
		c->left = c->size;
		c->state = c->size ? AT_DATA : AT_LAST_CR;
		c->size = c->digits = 0;
		return byte == '\n';
	case AT_DATA_CR:
	case AT_LAST_CR:
		c->state++;
		return byte == '\r';
	case AT_DATA_LF:
		c->state = AT_SIZE;
		return byte == '\n';
	case AT_LAST_LF:
		c->state = AT_END;
		return byte == '\n';
	default:
		return false;
	}
}

enum http1_chunk http1_chunk(struct http1_chunks *c, const char *bytes, size_t n, size_t *ret_used,
			     const char **ret_data, size_t *ret_n)
{
	size_t at = 0;

	for (; at < n && c->state != AT_DATA && c->state != AT_END; at++)
		if (!step(c, bytes[at]))
			return HTTP1_CHUNK_WRONG;
	*ret_used = at;
	if (c->state == AT_END)
		return HTTP1_CHUNK_END;
	if (at == n)
		return HTTP1_CHUNK_MORE;
	*ret_data = bytes + at;
	*ret_n = c->left < n - at ? (size_t)c->left : n - at;
	c->left -= *ret_n;
	*ret_used += *ret_n;
	if (!c->left)
		c->state = AT_DATA_CR;
	return HTTP1_CHUNK_DATA;
}
