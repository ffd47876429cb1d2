/* SPDX-License-Identifier: Apache-2.0 */
#include "bpf/elf_symbols.h"
#include <elf.h>
#include <string.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/err.h"

enum { CHUNK_ROWS = 512 };

static const unsigned char byte_order = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB;

/* All `n` bytes, or false. */
static bool read_at(const struct elf_source *src, uint64_t off, void *to, size_t n)
{
	if (off > src->size || n > src->size - off)
		return false;
	if (src->bytes) {
		memcpy(to, src->bytes + off, n);
		return true;
	}
	for (size_t done = 0; done < n;) {
		ssize_t got = pread(src->fd, (char *)to + done, n - done, (off_t)(off + done));

		if (got <= 0)
			return false;
		done += (size_t)got;
	}
	return true;
}

void elf_symbols_free(struct elf_symbols *s)
{
	if (!s)
		return;
	free(s->rows);
	free(s->names);
	free(s);
}

size_t elf_symbols_bytes(const struct elf_symbols *s)
{
	return sizeof(*s) + s->n * sizeof(*s->rows) + s->names_len;
}

static void read_segments(const struct elf_source *src, const Elf64_Ehdr *head, struct elf_symbols *s)
{
	for (unsigned i = 0; i < head->e_phnum && s->n_segments < ELF_SEGMENTS_MAX; i++) {
		Elf64_Phdr ph;

		if (!read_at(src, head->e_phoff + (uint64_t)i * sizeof(ph), &ph, sizeof(ph)))
			return;
		if (ph.p_type == PT_LOAD && ph.p_filesz)
			s->segments[s->n_segments++] =
				(struct elf_segment) { .off = ph.p_offset, .size = ph.p_filesz, .addr = ph.p_vaddr };
	}
}

/* The table to read, and its strings. False: the file has none. */
static bool find_tables(const struct elf_source *src, const Elf64_Ehdr *head, Elf64_Shdr *ret_table,
			Elf64_Shdr *ret_strings)
{
	unsigned n = head->e_shnum < ELF_SECTIONS_MAX ? head->e_shnum : ELF_SECTIONS_MAX;
	bool found = false;

	for (unsigned i = 0; i < n; i++) {
		Elf64_Shdr sh;

		if (!read_at(src, head->e_shoff + (uint64_t)i * sizeof(sh), &sh, sizeof(sh)))
			break;
		/* .symtab holds all that .dynsym does. */
		if (sh.sh_type != SHT_SYMTAB && (sh.sh_type != SHT_DYNSYM || found))
			continue;
		*ret_table = sh;
		found = true;
		if (sh.sh_type == SHT_SYMTAB)
			break;
	}
	return found && ret_table->sh_link < head->e_shnum &&
	       read_at(src, head->e_shoff + (uint64_t)ret_table->sh_link * sizeof(*ret_strings), ret_strings,
		       sizeof(*ret_strings));
}

/* Of two names for one address: the longer function, then the name that people know. */
static int by_address(const void *a, const void *b, void *names)
{
	const struct elf_symbol *x = a, *y = b;
	const char *xn = (const char *)names + x->name, *yn = (const char *)names + y->name;

	if (x->addr != y->addr)
		return x->addr < y->addr ? -1 : 1;
	if (x->size != y->size)
		return x->size > y->size ? -1 : 1;
	if ((xn[0] == '_') != (yn[0] == '_'))
		return xn[0] == '_' ? 1 : -1;
	if (strlen(xn) != strlen(yn))
		return strlen(xn) < strlen(yn) ? -1 : 1;
	return strcmp(xn, yn);
}

static bool add_function(struct elf_symbols *s, const Elf64_Sym *sym, const char *strings, size_t strings_len,
			 struct buf *names)
{
	unsigned type = ELF64_ST_TYPE(sym->st_info);
	size_t len, at = names->len;

	if ((type != STT_FUNC && type != STT_GNU_IFUNC) || sym->st_shndx == SHN_UNDEF || sym->st_name >= strings_len)
		return true;
	len = strnlen(strings + sym->st_name, strings_len - sym->st_name);
	if (!len)
		return true;
	if (len > ELF_NAME_MAX)
		len = ELF_NAME_MAX;
	if (s->n == ELF_SYMBOLS_MAX || names->len + len + 1 > ELF_NAMES_MAX)
		return false;
	buf_add(names, strings + sym->st_name, len);
	buf_add(names, "", 1);
	if (names->failed)
		return false;
	/* It ends up in front of people. */
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)names->data[at + i] < ' ' || (unsigned char)names->data[at + i] > '~')
			names->data[at + i] = '?';
	s->rows[s->n++] = (struct elf_symbol) {
		.addr = sym->st_value,
		.size = sym->st_size > UINT32_MAX ? UINT32_MAX : (uint32_t)sym->st_size,
		.name = (uint32_t)at,
	};
	return true;
}

static int read_rows(const struct elf_source *src, const Elf64_Shdr *table, const char *strings, size_t strings_len,
		     struct buf *names, struct elf_symbols *s)
{
	uint64_t n = table->sh_size / sizeof(Elf64_Sym), room;

	if (n > ELF_ENTRIES_MAX)
		n = ELF_ENTRIES_MAX;
	room = n < ELF_SYMBOLS_MAX ? n : ELF_SYMBOLS_MAX;
	s->rows = calloc(room ? room : 1, sizeof(*s->rows));
	if (!s->rows)
		return err_new(-ENOMEM, "no memory for symbols");
	for (uint64_t done = 0; done < n;) {
		Elf64_Sym chunk[CHUNK_ROWS];
		size_t rows = n - done < CHUNK_ROWS ? (size_t)(n - done) : CHUNK_ROWS;

		/* A table that is cut short keeps what there is. */
		if (!read_at(src, table->sh_offset + done * sizeof(*chunk), chunk, rows * sizeof(*chunk)))
			break;
		for (size_t i = 0; i < rows; i++)
			if (!add_function(s, &chunk[i], strings, strings_len, names))
				return 0;
		done += rows;
	}
	return 0;
}

static void sort_rows(struct elf_symbols *s)
{
	size_t kept = 0;

	qsort_r(s->rows, s->n, sizeof(*s->rows), by_address, s->names);
	for (size_t i = 0; i < s->n; i++)
		if (!kept || s->rows[i].addr != s->rows[kept - 1].addr)
			s->rows[kept++] = s->rows[i];
	s->n = kept;
}

static int read_functions(const struct elf_source *src, const Elf64_Ehdr *head, struct elf_symbols *s)
{
	auto_free char *strings = NULL;
	auto_buf struct buf names;
	Elf64_Shdr table, text;
	size_t strings_len;
	int r;

	buf_init(&names, ELF_NAMES_MAX);
	if (head->e_shentsize != sizeof(Elf64_Shdr) || !find_tables(src, head, &table, &text) ||
	    table.sh_entsize != sizeof(Elf64_Sym))
		return 0;
	strings_len = text.sh_size < ELF_STRINGS_MAX ? (size_t)text.sh_size : ELF_STRINGS_MAX;
	/* A claim is believed only as far as the file goes: no memory for what is not there. */
	if (strings_len > src->size)
		return 0;
	strings = malloc(strings_len + 1);
	if (!strings)
		return err_new(-ENOMEM, "no memory for symbols");
	if (!read_at(src, text.sh_offset, strings, strings_len))
		return 0;
	r = read_rows(src, &table, strings, strings_len, &names, s);
	if (r < 0)
		return r;
	s->names_len = names.len;
	s->names = take(names.data);
	if (s->n)
		sort_rows(s);
	return 0;
}

int elf_symbols_read(const struct elf_source *source, struct elf_symbols **ret_symbols)
{
	AUTO(elf_symbols) s = NULL;
	Elf64_Ehdr head;
	int r;

	if (!read_at(source, 0, &head, sizeof(head)) || memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 ||
	    head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_ident[EI_DATA] != byte_order)
		return err_new(-ENOTSUP, "no 64-bit ELF file of this machine");
	s = calloc(1, sizeof(*s));
	if (!s)
		return err_new(-ENOMEM, "no memory for symbols");
	if (head.e_phentsize == sizeof(Elf64_Phdr))
		read_segments(source, &head, s);
	r = read_functions(source, &head, s);
	if (r < 0)
		return r;
	*ret_symbols = take(s);
	return 0;
}

bool elf_symbols_addr(const struct elf_symbols *s, uint64_t off, uint64_t *ret_addr)
{
	for (size_t i = 0; i < s->n_segments; i++)
		if (off >= s->segments[i].off && off - s->segments[i].off < s->segments[i].size) {
			*ret_addr = off - s->segments[i].off + s->segments[i].addr;
			return true;
		}
	return false;
}

/* One without a size ends, at the latest, with what is loaded in one piece with it. */
static bool in_one_segment(const struct elf_symbols *s, uint64_t a, uint64_t b)
{
	for (size_t i = 0; i < s->n_segments; i++)
		if (a - s->segments[i].addr < s->segments[i].size && b - s->segments[i].addr < s->segments[i].size)
			return true;
	return false;
}

const char *elf_symbols_find(const struct elf_symbols *s, uint64_t addr, uint64_t *ret_offset)
{
	size_t low = 0, high = s->n;
	const struct elf_symbol *at;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (s->rows[mid].addr <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	if (!low)
		return NULL;
	at = &s->rows[low - 1];
	if (at->size ? addr - at->addr >= at->size : !in_one_segment(s, at->addr, addr))
		return NULL;
	*ret_offset = addr - at->addr;
	return s->names + at->name;
}
