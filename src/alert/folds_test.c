/* SPDX-License-Identifier: Apache-2.0 */
#include "alert/alert.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/test.h"

static const int64_t t0 = 1715000000000000000;

/* The n-th alert, of one of several keys; its time in seconds; folded for ten of them. */
static struct alert make(unsigned n, unsigned char key, int64_t s)
{
	struct alert a = { .time_ns = t0 + s * (int64_t)NS_PER_S, .fold_ns = 10 * NS_PER_S };

	a.fold_key[0] = key;
	(void)snprintf(a.id, sizeof(a.id), "%032x", n);
	return a;
}

static bool pass(struct alert_folds *f, unsigned n, unsigned char key, int64_t s)
{
	struct alert a = make(n, key, s);

	return alert_folds_pass(f, &a);
}

TEST(the_first_of_equal_alerts_passes_until_its_time_is_over)
{
	static const struct {
		const char *name;
		unsigned char key;
		int64_t s;
		bool want;
	} rows[] = {
		{ "the first", 1, 0, true },
		{ "at once", 1, 0, false },
		{ "another key", 2, 0, true },
		{ "just before the end", 1, 9, false },
		{ "at the end", 1, 10, true },
		{ "counted from there", 1, 19, false },
		{ "the other's end", 2, 11, true },
		{ "a little older", 1, 5, false },
		{ "much older is another", 1, 0, true },
	};
	AUTO(alert_folds) f = NULL;

	require_ok(alert_folds_open(16, &f));
	for_each_row (r, rows)
		check_int(pass(f, 1, r->key, r->s), r->want);
}

TEST(the_next_alert_says_what_the_one_before_stood_for)
{
	AUTO(alert_folds) f = NULL;
	struct alert a = make(9, 1, 20);

	require_ok(alert_folds_open(16, &f));
	check(pass(f, 7, 1, 0));
	check(!pass(f, 8, 1, 3) && !pass(f, 8, 1, 4));
	check(alert_folds_pass(f, &a));
	check_int(a.before_folded, 2);
	check_str(a.before_id, make(7, 1, 0).id);
	/* And one that stood for itself alone is not spoken of. */
	a = make(10, 1, 40);
	check(alert_folds_pass(f, &a));
	check_str(a.before_id, "");
}

TEST(what_is_folded_by_nothing_passes)
{
	AUTO(alert_folds) f = NULL;
	struct alert a = make(1, 1, 0);

	require_ok(alert_folds_open(16, &f));
	a.fold_ns = 0;
	check(alert_folds_pass(f, &a) && alert_folds_pass(f, &a));
}

struct told {
	char text[512];
};

static void note(void *arg, const char *id, uint64_t more, int64_t last_ns)
{
	struct told *t = arg;
	size_t n = strlen(t->text);

	(void)snprintf(t->text + n, sizeof(t->text) - n, "%s+%lu@%lu ", id + 31, (unsigned long)more,
		       (unsigned long)((last_ns - t0) / (int64_t)NS_PER_S));
}

TEST(what_was_folded_is_told_once)
{
	AUTO(alert_folds) f = NULL;
	struct told t = { .text = "" };

	require_ok(alert_folds_open(16, &f));
	check(pass(f, 1, 1, 0) && pass(f, 2, 2, 0) && pass(f, 3, 3, 0));
	check(!pass(f, 0, 1, 1) && !pass(f, 0, 1, 2) && !pass(f, 0, 2, 5));
	alert_folds_told(f, note, &t);
	check_str(t.text, "2+1@5 1+2@2 ");
	alert_folds_told(f, note, &t);
	check_str(t.text, "2+1@5 1+2@2 ");
	/* What begins anew before it was told of is not forgotten. */
	t.text[0] = 0;
	check(!pass(f, 0, 1, 9) && pass(f, 4, 1, 30) && !pass(f, 0, 1, 31));
	alert_folds_told(f, note, &t);
	check_str(t.text, "1+1@9 4+1@31 ");
}

TEST(the_key_that_began_first_goes_where_there_is_no_room)
{
	AUTO(alert_folds) f = NULL;
	struct alert_folds_stats stats;
	struct told t = { .text = "" };

	require_ok(alert_folds_open(3, &f));
	check(pass(f, 1, 1, 0) && pass(f, 2, 2, 1) && pass(f, 3, 3, 2));
	check(!pass(f, 0, 1, 3));
	/* The first is put by, with what it has to tell. */
	check(pass(f, 4, 4, 4));
	check(!pass(f, 0, 2, 5) && !pass(f, 0, 3, 5) && !pass(f, 0, 4, 5));
	alert_folds_told(f, note, &t);
	check_has(t.text, "1+1@3 ");
	check(pass(f, 5, 1, 6));
	alert_folds_stats(f, &stats);
	check_int(stats.evicted, 2);
	check_int(stats.keys, 3);
	check_int(stats.passed, 5);
	check_int(stats.folded, 4);
	/* One whose time is over is no loss. */
	check(pass(f, 6, 6, 100));
	alert_folds_stats(f, &stats);
	check_int(stats.evicted, 2);
}

/* Held against a list that is walked. */
TEST(a_long_run_of_alerts_is_folded_as_a_plain_list_would)
{
	struct plain {
		unsigned char key;
		int64_t first;
		bool used;
	} list[40];
	AUTO(alert_folds) f = NULL;
	unsigned long long random = 1;
	size_t n = 0;

	memset(list, 0, sizeof(list));
	require_ok(alert_folds_open(countof(list), &f));
	for (unsigned i = 0; i < 100000; i++) {
		unsigned char key;
		struct plain *found = NULL;
		bool want = true;

		random = random * 6364136223846793005ULL + 1442695040888963407ULL;
		key = (unsigned char)(random >> 33) % 60;
		for (size_t k = 0; k < n; k++)
			if (list[k].key == key)
				found = &list[k];
		if (found && i / 10 < found->first + 10) {
			want = false;
		} else if (found) {
			/* To the end of the list. */
			memmove(found, found + 1, (size_t)(list + n - found - 1) * sizeof(*found));
			list[n - 1] = (struct plain) { key, i / 10, true };
		} else {
			if (n == countof(list)) {
				memmove(list, list + 1, (n - 1) * sizeof(list[0]));
				n--;
			}
			list[n++] = (struct plain) { key, i / 10, true };
		}
		if (pass(f, i, key, i / 10) != want) {
			test_fail(T_HERE, "alert %u of key %u: want %d", i, key, want);
			return;
		}
	}
}
