/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include "base/mem.h"
#include "base/test.h"
#include "event/event.h"

TEST(names_are_interned_once)
{
	static const struct {
		const char *name, *field;
		bool good;
	} rows[] = {
		{ "plain", "test.one", true },
		{ "no dot", "test", true },
		{ "dot at the end", "test.", true },
		{ "beyond ASCII", "test.\xc3\xa9", true },
		{ "sixteen deep", "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p", true },
		{ "seventeen deep", "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q", false },
		{ "empty", "", false },
		{ "no UTF-8", "test.\xff", false },
	};

	for_each_row (r, rows) {
		field_id id = field_intern(r->field, strlen(r->field));

		check((id != FIELD_NONE) == r->good);
		check_int(field_intern(r->field, strlen(r->field)), id);
		check_int(field_find(r->field, strlen(r->field)), id);
		if (id)
			check_str(field_name(id), r->field);
	}
	check_int(field_intern("a\0b", 3), FIELD_NONE);
	check_int(field_find("test.never", 10), FIELD_NONE);
	check(field_name(FIELD_NONE) == NULL);
	check(field_name(FIELD_MAX) == NULL);
	check(field_name((field_id)field_count()) == NULL);
}

enum { NAMES = 2000, READERS = 3 };

static atomic_bool done;

static int name_of(char *to, size_t size, unsigned i)
{
	return snprintf(to, size, "race.group%u.name%u", i % 7, i);
}

static void *write_names(void *arg)
{
	char name[64];

	for (unsigned i = 0; i < NAMES; i++)
		(void)field_intern(name, (size_t)name_of(name, sizeof(name), i));
	(void)arg;
	atomic_store(&done, true);
	return NULL;
}

/* A name that is found is whole, and stays where it is. */
static void *read_names(void *arg)
{
	field_id *ids = arg;
	size_t wrong = 0, n;
	char name[64];
	bool last;

	do {
		last = atomic_load(&done);
		for (unsigned i = 0; i < NAMES; i++) {
			field_id id = field_find(name, (size_t)name_of(name, sizeof(name), i));

			wrong += ids[i] && id != ids[i];
			wrong += id && strcmp(field_name(id), name) != 0;
			ids[i] = id;
		}
	} while (!last);
	n = 0;
	for (unsigned i = 0; i < NAMES; i++)
		n += ids[i] != FIELD_NONE;
	return (void *)(wrong + (NAMES - n));
}

TEST(names_are_read_while_others_are_added)
{
	field_id *ids[READERS];
	pthread_t readers[READERS], writers[2];

	for (int i = 0; i < READERS; i++) {
		ids[i] = calloc(NAMES, sizeof(*ids[i]));
		require(ids[i] && !pthread_create(&readers[i], NULL, read_names, ids[i]));
	}
	for (int i = 0; i < 2; i++)
		require(!pthread_create(&writers[i], NULL, write_names, NULL));
	for (int i = 0; i < 2; i++)
		check(!pthread_join(writers[i], NULL));
	for (int i = 0; i < READERS; i++) {
		void *wrong = NULL;

		check(!pthread_join(readers[i], &wrong));
		check(wrong == NULL);
		free(ids[i]);
	}
}

static struct event_kind racing[30];

static void *register_kinds(void *arg)
{
	for (size_t i = 1; i < countof(racing); i++)
		(void)event_kind_register(&racing[i]);
	return arg;
}

TEST(kinds_are_read_while_others_are_added)
{
	static char names[countof(racing)][32];
	pthread_t writer;
	size_t found;

	for (size_t i = 1; i < countof(racing); i++) {
		(void)snprintf(names[i], sizeof(names[i]), "race.kind%zu", i);
		racing[i] = (struct event_kind) { .id = (__u16)EV_ID(0xfd, i),
						  .name = names[i],
						  .size = sizeof(struct ev_head),
						  .category = "process",
						  .type = "info",
						  .action = "raced",
						  .summary = "a kind of a test" };
	}
	require(!pthread_create(&writer, NULL, register_kinds, NULL));
	do {
		found = 0;
		for (size_t i = 1; i < countof(racing); i++) {
			const struct event_kind *kind = event_kind_of(racing[i].id);

			check(!kind || kind == &racing[i]);
			check(!kind || event_kind_field(kind, field_find("process.pid", 11)) != NULL);
			found += event_kind_by_name(names[i], strlen(names[i])) == &racing[i];
		}
	} while (found < countof(racing) - 1);
	check(!pthread_join(writer, NULL));
}
