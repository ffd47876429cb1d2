/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any YAML as a Sigma rule: a query whose nodes are whole, that comes out the same when it is compiled again and comes
 * to the same of an event by tree and by program; or a refusal with its place.
 */
#include <stdlib.h>
#include <string.h>
#include "rule/fuzz_event.h"
#include "rule/sigma.h"

/* libfyaml 0.7.12 leaks where a quoted text has many escapes; what we leak ourselves is not below it. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libfyaml.so\n";
}

static const char event[] = "{\"a\":\"abc\",\"b\":4,\"c\":true,\"d\":null,\"e\":[\"x\",\"y\"],\"Image\":\"/bin/"
			    "sh\",\"type\":\"EXECVE\",\"process\":{"
			    "\"args\":[\"sh\",\"-c\",\"id\"],\"executable\":\"/bin/"
			    "sh\"},\"event\":{\"category\":\"process\",\"type\":\"start\"}}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_buf struct buf out = { .max = 32 << 20 };
	struct sigma_options options = { 0 };
	const char *text = (const char *)data + 1;
	struct sigma_problem problem;
	AUTO(query) q = NULL;
	AUTO(query) again = NULL;
	int r;

	if (!size--)
		return 0;
	options.names = data[0] & 1 ? SIGMA_OWN : SIGMA_ECS;
	options.sql = data[0] & 2;
	r = sigma_compile_text(text, size, &options, &problem, &q);
	err_clear();
	if (r < 0) {
		must(problem.diag.line && problem.diag.column && problem.diag.message[0] && problem.diag.at <= size);
		diag_write(&problem.diag, "fuzz", text, size, &out);
		return 0;
	}
	fuzz_check_query(q);
	query_print(q, &out);
	must(sigma_compile_text(text, size, &options, &problem, &again) == 0);
	must(ir_same(q, q->stage->condition, again, again->stage->condition));
	fuzz_check_event(q, event, sizeof(event) - 1);
	return 0;
}
