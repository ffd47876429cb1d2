/* SPDX-License-Identifier: Apache-2.0 */
/* elf_symbols_fuzz - any bytes are a program; what is found in them stays inside what was read. */
#include <string.h>
#include "base/err.h"
#include "bpf/elf_symbols.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct elf_source source = { .bytes = data, .size = size, .fd = -1 };
	AUTO(elf_symbols) s = NULL;
	uint64_t addr, offset;

	if (!data || elf_symbols_read(&source, &s) < 0)
		return 0;
	must(s->n <= ELF_SYMBOLS_MAX && s->names_len <= ELF_NAMES_MAX && s->n_segments <= ELF_SEGMENTS_MAX);
	for (size_t i = 0; i < s->n; i++) {
		const char *name;

		must(!i || s->rows[i - 1].addr < s->rows[i].addr);
		must(s->rows[i].name < s->names_len);
		name = elf_symbols_find(s, s->rows[i].addr, &offset);
		must(name || !s->rows[i].size);
		must(!name || (offset == 0 && strlen(name) >= 1 && strlen(name) <= ELF_NAME_MAX));
		(void)elf_symbols_find(s, s->rows[i].addr + s->rows[i].size, &offset);
	}
	for (size_t i = 0; i < s->n_segments; i++)
		must(elf_symbols_addr(s, s->segments[i].off, &addr));
	(void)elf_symbols_find(s, 0, &offset);
	(void)elf_symbols_find(s, UINT64_MAX, &offset);
	return 0;
}
