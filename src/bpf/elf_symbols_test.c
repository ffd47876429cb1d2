/* SPDX-License-Identifier: Apache-2.0 */
/* A small ELF file, made here, and what its reader finds in it; then the same file damaged. */
#include <elf.h>
#include <string.h>
#include "base/err.h"
#include "base/test.h"
#include "bpf/elf_symbols.h"

static const char strings[] = "\0main\0_alias\0alias\0inner\0data\0far\0bad\x01name\0unsized\0";

enum { S_MAIN = 1, S_ALIAS_ = 6, S_ALIAS = 13, S_INNER = 19, S_DATA = 25, S_FAR = 30, S_BAD = 34, S_UNSIZED = 43 };

#define FUNC(name_, addr, size)                                                                                        \
	{ .st_name = name_,                                                                                            \
	  .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC),                                                              \
	  .st_shndx = 1,                                                                                               \
	  .st_value = addr,                                                                                            \
	  .st_size = size }

struct sample {
	Elf64_Ehdr head;
	Elf64_Phdr load[2];
	Elf64_Shdr sections[3];
	Elf64_Sym symbols[10];
	char text[sizeof(strings)];
};

static struct sample sample(void)
{
	struct sample s = {
		.head = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
			  .e_phoff = offsetof(struct sample, load),
			  .e_phentsize = sizeof(Elf64_Phdr),
			  .e_phnum = 2,
			  .e_shoff = offsetof(struct sample, sections),
			  .e_shentsize = sizeof(Elf64_Shdr),
			  .e_shnum = 3 },
		.load = { { .p_type = PT_LOAD, .p_offset = 0, .p_vaddr = 0, .p_filesz = 0x1000 },
			  { .p_type = PT_LOAD, .p_offset = 0x1000, .p_vaddr = 0x401000, .p_filesz = 0x2000 } },
		.sections = { { 0 },
			      { .sh_type = SHT_SYMTAB,
				.sh_offset = offsetof(struct sample, symbols),
				.sh_size = sizeof(s.symbols),
				.sh_entsize = sizeof(Elf64_Sym),
				.sh_link = 2 },
			      { .sh_type = SHT_STRTAB,
				.sh_offset = offsetof(struct sample, text),
				.sh_size = sizeof(strings) } },
		.symbols = { { 0 },
			     FUNC(S_FAR, 0x402000, 0),
			     FUNC(S_MAIN, 0x401000, 0x40),
			     FUNC(S_ALIAS_, 0x401100, 0x20),
			     FUNC(S_ALIAS, 0x401100, 0x20),
			     FUNC(S_INNER, 0x401108, 0x4),
			     FUNC(S_BAD, 0x401200, 0x10),
			     FUNC(S_UNSIZED, 0x401300, 0),
			     { .st_name = S_DATA,
			       .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT),
			       .st_shndx = 1,
			       .st_value = 0x401050,
			       .st_size = 8 },
			     { .st_name = S_MAIN, .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC), .st_value = 0 } },
	};

	memcpy(s.text, strings, sizeof(strings));
	return s;
}

static int read_sample(const struct sample *s, size_t size, struct elf_symbols **ret_symbols)
{
	const struct elf_source source = { .bytes = (const unsigned char *)s, .size = size, .fd = -1 };

	return elf_symbols_read(&source, ret_symbols);
}

TEST(functions_are_found_by_address)
{
	static const struct {
		const char *name;
		uint64_t addr;
		const char *want;
		uint64_t offset;
	} rows[] = {
		{ "the first byte", 0x401000, "main", 0 },
		{ "the last byte", 0x40103f, "main", 0x3f },
		{ "one past it", 0x401040, NULL, 0 },
		{ "data is no function", 0x401050, NULL, 0 },
		{ "of two names the plain one", 0x401100, "alias", 0 },
		{ "a function inside another", 0x40110a, "inner", 2 },
		{ "a name that would upset a terminal", 0x401201, "bad?name", 1 },
		{ "without a size: up to the next", 0x401ffe, "unsized", 0xcfe },
		{ "before all", 0x400fff, NULL, 0 },
		{ "not past the segment", 0x403001, NULL, 0 },
		{ "after all", UINT64_MAX, NULL, 0 },
	};
	const struct sample s = sample();
	AUTO(elf_symbols) found = NULL;
	uint64_t addr = 0;

	require_ok(read_sample(&s, sizeof(s), &found));
	check_int(found->n, 6);
	for_each_row (r, rows) {
		uint64_t offset = 0;
		const char *name = elf_symbols_find(found, r->addr, &offset);

		if (r->want)
			check_str(name, r->want);
		else
			check(name == NULL);
		check_int(offset, r->offset);
	}
	check(elf_symbols_addr(found, 0x1234, &addr));
	check_int(addr, 0x401234);
	check(!elf_symbols_addr(found, 0x3000, &addr));
}

TEST(a_damaged_file_gives_what_is_left_of_it)
{
	const struct sample whole = sample();

	for (size_t size = 0; size <= sizeof(whole); size++) {
		AUTO(elf_symbols) found = NULL;
		int r = read_sample(&whole, size, &found);

		check_int(r < 0 ? r : 0, size < sizeof(Elf64_Ehdr) ? -ENOTSUP : 0);
		if (size < sizeof(Elf64_Ehdr))
			err_clear();
		else
			check(found->n <= 6);
	}
}

TEST(claims_of_a_file_are_not_believed)
{
	static const struct {
		const char *name;
		size_t at;
		uint64_t value;
		size_t bytes;
	} rows[] = {
		{ "symbols without end", offsetof(struct sample, sections[1].sh_size), UINT64_MAX, 8 },
		{ "symbols elsewhere", offsetof(struct sample, sections[1].sh_offset), UINT64_MAX - 8, 8 },
		{ "strings without end", offsetof(struct sample, sections[2].sh_size), UINT64_MAX, 8 },
		{ "strings elsewhere", offsetof(struct sample, sections[2].sh_offset), UINT64_MAX - 8, 8 },
		{ "strings of no section", offsetof(struct sample, sections[1].sh_link), 77, 4 },
		{ "sections elsewhere", offsetof(struct sample, head.e_shoff), UINT64_MAX - 8, 8 },
		{ "segments elsewhere", offsetof(struct sample, head.e_phoff), UINT64_MAX - 8, 8 },
		{ "very many sections", offsetof(struct sample, head.e_shnum), 0xffff, 2 },
		{ "very many segments", offsetof(struct sample, head.e_phnum), 0xffff, 2 },
		{ "rows of no size", offsetof(struct sample, sections[1].sh_entsize), 0, 8 },
		{ "a name past the strings", offsetof(struct sample, symbols[1].st_name), 0xffffffff, 4 },
		{ "a function around the world", offsetof(struct sample, symbols[1].st_size), UINT64_MAX, 8 },
	};

	for_each_row (r, rows) {
		struct sample s = sample();
		AUTO(elf_symbols) found = NULL;
		uint64_t offset;

		memcpy((char *)&s + r->at, &r->value, r->bytes);
		check_int(read_sample(&s, sizeof(s), &found), 0);
		if (found)
			(void)elf_symbols_find(found, 0x401000, &offset);
	}
}

TEST(other_kinds_of_files_are_refused)
{
	static const struct {
		const char *name;
		size_t at;
		unsigned char value;
	} rows[] = {
		{ "not ELF", 0, 'M' },
		{ "32 bits", EI_CLASS, ELFCLASS32 },
		{ "the other byte order", EI_DATA, ELFDATA2MSB },
	};

	for_each_row (r, rows) {
		struct sample s = sample();
		AUTO(elf_symbols) found = NULL;

		((unsigned char *)&s)[r->at] = r->value;
		check_int(read_sample(&s, sizeof(s), &found), -ENOTSUP);
		err_clear();
	}
}
