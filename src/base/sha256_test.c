/* SPDX-License-Identifier: Apache-2.0 */
/* sha256: the examples of FIPS 180-4, lengths around a block's edges, and bytes that come in pieces. */
#include "base/sha256.h"
#include <string.h>
#include "base/mem.h"
#include "base/test.h"

static const struct {
	const char *name, *text, *want;
} texts[] = {
	{ "nothing", "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
	{ "abc", "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
	{ "two blocks", "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
	  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
	{ "two blocks and 112 bytes",
	  "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopq"
	  "rstu",
	  "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1" },
};

/* So many times the letter a. */
static const struct {
	const char *name;
	size_t n;
	const char *want;
} lengths[] = {
	{ "1 times a", 1, "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb" },
	{ "55 times a", 55, "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318" },
	{ "56 times a", 56, "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a" },
	{ "57 times a", 57, "f13b2d724659eb3bf47f2dd6af1accc87b81f09f59f2b75e5c0bed6589dfe8c6" },
	{ "63 times a", 63, "7d3e74a05d7db15bce4ad9ec0658ea98e3f06eeecf16b4c6fff2da457ddc2f34" },
	{ "64 times a", 64, "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb" },
	{ "65 times a", 65, "635361c48bb9eab14198e76ea8ab7f1a41685d6ad62aa9146d301d4f17eb0ae0" },
	{ "119 times a", 119, "31eba51c313a5c08226adf18d4a359cfdfd8d2e816b13f4af952f7ea6584dcfb" },
	{ "120 times a", 120, "2f3d335432c70b580af0e8e1b3674a7c020d683aa5f73aaaedfdc55af904c21c" },
	{ "127 times a", 127, "c57e9278af78fa3cab38667bef4ce29d783787a2f731d4e12200270f0c32320a" },
	{ "128 times a", 128, "6836cf13bac400e9105071cd6af47084dfacad4e5e302c94bfed24e013afb73e" },
	{ "1000 times a", 1000, "41edece42d63e8d9bf515a9ba6932e1c20cbc9f5a5d134645adb5db1b9737ea3" },
	{ "1000000 times a", 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0" },
};

static const char *hex_of(const char *p, size_t n, size_t piece)
{
	static char hex[SHA256_HEX_SIZE];
	unsigned char digest[SHA256_SIZE];
	struct sha256 s;

	sha256_init(&s);
	for (size_t i = 0; i < n; i += piece)
		sha256_add(&s, p + i, n - i < piece ? n - i : piece);
	sha256_end(&s, digest);
	sha256_hex(digest, hex);
	return hex;
}

TEST(digests_are_those_of_the_standard)
{
	for_each_row (r, texts)
		check_str(hex_of(r->text, strlen(r->text), 4096), r->want);
}

TEST(every_length_around_a_block_is_padded_right_however_it_comes)
{
	static const size_t pieces[] = { 1, 7, 63, 64, 65, 4096 };
	auto_free char *bytes = malloc(1000000);

	require(bytes != NULL);
	memset(bytes, 'a', 1000000);
	for_each_row (r, lengths)
		for (size_t i = 0; i < countof(pieces); i++)
			check_str(hex_of(bytes, r->n, pieces[i]), r->want);
}

TEST(adding_nothing_changes_nothing)
{
	unsigned char digest[SHA256_SIZE];
	char hex[SHA256_HEX_SIZE];
	struct sha256 s;

	sha256_init(&s);
	sha256_add(&s, NULL, 0);
	sha256_add(&s, "ab", 2);
	sha256_add(&s, NULL, 0);
	sha256_add(&s, "c", 1);
	sha256_end(&s, digest);
	sha256_hex(digest, hex);
	check_str(hex, texts[1].want);
}
