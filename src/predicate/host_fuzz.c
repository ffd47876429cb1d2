/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any calls of the Host API, with any arguments of their types: each is refused with a reason or answers, what it gives
 * back is readable, and once what is named is sealed nothing is added to it. The bytes choose function and arguments.
 */
#include <stdlib.h>
#include <string.h>
#include "base/log.h"
#include "event/json_event.h"
#include "predicate/host.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char line[] =
	"{\"@timestamp\":1700000000000,\"event\":{\"category\":[\"process\",\"file\"]},\"process\":{\"name\":\"bash\","
	"\"pid\":42,\"args\":[\"bash\",\"-c\",null,\"id\"],\"ratio\":2.5},\"source\":{\"ip\":\"10.1.2.3\"},\"a\":{"
	"\"b\":"
	"[true,18446744073709551615,1e300]}}";

static const char *const texts[] = {
	"process.name", "process.args", "source.ip", "a.b",      "(a|b)*c", "*b?*",     "10.0.0.0/8 ::1",
	"sh\nbash",     "bash",         "BASH",      "10.1.2.3", "",        "\xff\xc3", "x"
};

struct bytes {
	const uint8_t *p, *end;
	uint32_t handle[16];
	size_t n_handles;
};

static unsigned pick(struct bytes *b, unsigned n)
{
	return b->p < b->end ? *b->p++ % n : 0;
}

static struct str pick_text(struct bytes *b)
{
	unsigned i = pick(b, countof(texts) + 1);
	size_t n;

	if (i < countof(texts))
		return (struct str) { texts[i], strlen(texts[i]) };
	n = pick(b, 256);
	n = n < (size_t)(b->end - b->p) ? n : (size_t)(b->end - b->p);
	b->p += n;
	return (struct str) { (const char *)b->p - n, n };
}

static union host_value pick_value(struct bytes *b, enum host_type type)
{
	union host_value v = { 0 };

	switch (type) {
	case HOST_NONE:
		break;
	case HOST_BOOL:
		v.b = pick(b, 2);
		break;
	case HOST_INT:
		v.i = pick(b, 4) ? (int64_t)pick(b, 8) - 2 : (int64_t)((uint64_t)pick(b, 256) << 56);
		break;
	case HOST_FLOAT:
		v.f = pick(b, 256) / 7.0;
		break;
	case HOST_TEXT:
		v.s = pick_text(b);
		break;
	default:
		if (b->n_handles && pick(b, 4))
			v.handle = b->handle[pick(b, (unsigned)b->n_handles)];
		else
			v.handle = (uint32_t)pick(b, 16) << 24 | pick(b, 8);
	}
	return v;
}

static void use(struct str s)
{
	static volatile char last;

	for (size_t i = 0; i < s.n; i++)
		last = s.p[i];
	(void)last;
}

static void call(struct host *h, struct bytes *b)
{
	const struct host_function *f = &host_functions[pick(b, (unsigned)host_n_functions)];
	union host_value arg[HOST_ARGS_MAX] = { 0 }, result = { 0 };

	for (size_t i = 0; i < HOST_ARGS_MAX && f->arg[i].type != HOST_NONE; i++)
		arg[i] = pick_value(b, f->arg[i].type);
	h->error[0] = 0;
	switch (host_call(h, f, arg, &result)) {
	case HOST_REFUSED:
		if (!h->error[0])
			abort();
		break;
	case HOST_ABSENT:
		if (!f->may_be_absent)
			abort();
		break;
	case HOST_OK:
		if (f->result == HOST_TEXT)
			use(result.s);
		if (f->result >= HOST_FIELD && b->n_handles < countof(b->handle))
			b->handle[b->n_handles++] = result.handle;
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const items[] = { "sh", "", "BASH" };
	static const struct host_named_list lists[] = { { "x", items, countof(items) } };
	static struct host h;
	struct bytes b = { .p = data, .end = data + size };
	auto_json_event struct json_event json;
	AUTO(host_code) code = NULL;
	struct event ev;
	size_t bytes;

	json_event_init(&json, false);
	log_set_level(LOG_LEVEL_ERROR);
	if (host_code_new(lists, countof(lists), &code) < 0)
		abort();
	host_init(&h, code, "fuzz");
	for (unsigned n = pick(&b, 16); n; n--)
		call(&h, &b);
	host_code_seal(code);
	bytes = host_code_size(code);
	if (json_event_parse(&json, line, strlen(line)) < 0)
		abort();
	ev = json_event_as_event(&json);
	host_begin(&h, &ev);
	while (b.p < b.end)
		call(&h, &b);
	if (host_code_size(code) != bytes)
		abort();
	return 0;
}
