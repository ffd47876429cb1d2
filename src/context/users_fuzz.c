/* SPDX-License-Identifier: Apache-2.0 */
/* users_fuzz - any bytes as a passwd file: rows stay sorted, unique and bounded, and each is found by its number. */
#include <stdint.h>
#include <stdlib.h>
#include "context/users.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_row(const struct user *row)
{
	if (row->uid == UINT32_MAX || !row->name->n || row->name->n > USER_NAME_MAX || row->name->bytes[row->name->n])
		abort();
	/* A name must not forge a line where it is printed. */
	for (uint32_t i = 0; i < row->name->n; i++)
		if ((unsigned char)row->name->bytes[i] < 0x20 || row->name->bytes[i] == 0x7f)
			abort();
}

static void check_all(struct users *u)
{
	if (u->n > USERS_MAX)
		abort();
	for (size_t i = 0; i < u->n; i++) {
		check_row(&u->rows[i]);
		if ((i && u->rows[i - 1].uid >= u->rows[i].uid) || users_get(u, u->rows[i].uid) != &u->rows[i])
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct users u;
	size_t n;

	users_init(&u, NULL);
	if (users_parse(&u, (const char *)data, size) == 0) {
		check_all(&u);
		n = u.n;
		/* Read again over what is there, and change one: the same rows. */
		if (users_parse(&u, (const char *)data, size) == 0 && u.n != n)
			abort();
		if (n && (users_set(&u, u.rows[0].uid, "again", 5) < 0 || u.n != n))
			abort();
		(void)users_set(&u, 12345, "one more", 8);
		check_all(&u);
	}
	users_free(&u);
	return 0;
}
