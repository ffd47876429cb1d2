/* SPDX-License-Identifier: Apache-2.0 */
/*
 * elf_symbols - the functions of a program or library, by address.
 *
 * Reads .symtab, or .dynsym where the file is stripped, of 64-bit files of this machine's byte
 * order. The file is a stranger's: nothing in it is believed, it is never mapped into memory (it
 * may shrink meanwhile), and every size has a maximum; what is beyond it is left out.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/mem.h"

enum {
	ELF_SECTIONS_MAX = 4096,
	ELF_SEGMENTS_MAX = 64,
	ELF_SYMBOLS_MAX = 1 << 18,  /* functions that are kept */
	ELF_ENTRIES_MAX = 1 << 21,  /* table rows that are looked at */
	ELF_STRINGS_MAX = 64 << 20, /* bytes of a string table that are used */
	ELF_NAMES_MAX = 16 << 20,   /* bytes of names that are kept */
	ELF_NAME_MAX = 255,         /* of one name; a longer one is cut */
};

/* Where the `size` bytes come from: memory, or a descriptor where `bytes` is NULL. */
struct elf_source {
	const unsigned char *bytes;
	size_t size;
	int fd;
};

struct elf_symbol {
	uint64_t addr;
	uint32_t size; /* 0: up to the next one, or the end of its segment */
	uint32_t name; /* offset into the names */
};

struct elf_segment {
	uint64_t off, size, addr;
};

struct elf_symbols {
	struct elf_symbol *rows; /* by address, one an address */
	size_t n;
	char *names;
	size_t names_len;
	struct elf_segment segments[ELF_SEGMENTS_MAX];
	size_t n_segments;
};

/* -ENOTSUP: no ELF file, or of another kind. A file without symbols is read, and has none. */
int elf_symbols_read(const struct elf_source *source, struct elf_symbols **ret_symbols);
void elf_symbols_free(struct elf_symbols *s);
DEFINE_AUTO(elf_symbols)

/* The address, as the file counts it, of what is mapped from this offset. */
bool elf_symbols_addr(const struct elf_symbols *s, uint64_t off, uint64_t *ret_addr);
/* The function that holds the address, or NULL. *ret_offset is how far into it. */
const char *elf_symbols_find(const struct elf_symbols *s, uint64_t addr, uint64_t *ret_offset);
/* Bytes of memory that it takes. */
size_t elf_symbols_bytes(const struct elf_symbols *s);
