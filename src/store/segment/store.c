/* SPDX-License-Identifier: Apache-2.0 */
/* store - a recording that is read: which segments there are, and queries over them. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdalign.h>
#include <string.h>
#include <sys/stat.h>
#include "base/err.h"
#include "store/query.h"
#include "store/segment/segment.h"

enum { SLACK_S = 60 }; /* how far records of one boot may stand out of their order */

struct store {
	char *path;
	bool is_folder;
	__u64 *numbers; /* of a folder's segments; a file is number 0 */
	size_t n;
};

int store_open(const char *path, struct store **ret_store)
{
	AUTO(store) s = calloc(1, sizeof(*s));
	auto_close int dir = -1;
	struct stat st;

	if (!s)
		return err_new(-ENOMEM, "no memory for a recording");
	s->path = strdup(path);
	if (!s->path)
		return err_new(-ENOMEM, "no memory for a recording");
	if (stat(path, &st))
		return err_sys(errno, "open %s", path);
	s->is_folder = S_ISDIR(st.st_mode);
	if (s->is_folder) {
		int r;

		dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (dir < 0)
			return err_sys(errno, "open %s", path);
		r = segment_list(dir, &s->numbers, &s->n);
		if (r < 0)
			return err_wrap(r, "open %s", path);
	} else {
		struct segment file;
		int r;

		/* Whether it is a recording at all is told now, not when it is asked for something. */
		r = segment_open(path, &file);
		if (r < 0)
			return r;
		segment_close(&file);
		s->numbers = calloc(1, sizeof(*s->numbers));
		if (!s->numbers)
			return err_new(-ENOMEM, "no memory for a recording");
		s->n = 1;
	}
	*ret_store = take(s);
	return 0;
}

int store_open_named(const char *path, struct store **ret_store)
{
	AUTO(store) s = NULL;
	int r = store_open(path, &s);

	if (r < 0)
		return r;
	if (!s->n)
		return err_new(-ENOENT, "there is no recording in the folder %s", path);
	*ret_store = take(s);
	return 0;
}

void store_free(struct store *s)
{
	if (!s)
		return;
	free(s->numbers);
	free(s->path);
	free(s);
}

static int open_segment(const struct store *s, size_t i, struct segment *ret_segment)
{
	char path[4096 + SEGMENT_NAME_MAX], name[SEGMENT_NAME_MAX];

	if (!s->is_folder)
		return segment_open(s->path, ret_segment);
	segment_name(s->numbers[i], name);
	if (snprintf(path, sizeof(path), "%s/%s", s->path, name) >= (int)sizeof(path))
		return err_new(-ENAMETOOLONG, "open %s", name);
	return segment_open(path, ret_segment);
}

bool store_is_segment(const char *path)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char magic[8];

	return fd >= 0 && pread(fd, magic, sizeof(magic), 0) == sizeof(magic) &&
	       !memcmp(magic, SEGMENT_MAGIC, sizeof(magic));
}

static __s64 wall_of(const struct store_origin *o, __u64 time_ns)
{
	return (__s64)(time_ns + (__u64)o->wall_minus_boot_ns);
}

void store_summary(const struct store *s, struct store_summary *sum)
{
	memset(sum, 0, sizeof(*sum));
	for (size_t i = 0; i < s->n; i++) {
		struct segment f;

		/* One that was removed meanwhile, or is damaged, is told by a query. */
		if (open_segment(s, i, &f) < 0)
			continue;
		if (!sum->segments++)
			sum->origin = f.origin;
		sum->bytes += f.bytes;
		while (segment_next(&f) > 0) {
			const struct block_head *b = &f.block;

			if (b->flags & BLOCK_KNOWN)
				continue;
			if (!sum->records || wall_of(&f.origin, b->min_ns) < sum->first_ns)
				sum->first_ns = wall_of(&f.origin, b->min_ns);
			if (!sum->records || wall_of(&f.origin, b->max_ns) > sum->last_ns)
				sum->last_ns = wall_of(&f.origin, b->max_ns);
			sum->records += b->records;
			sum->lost += b->lost;
			sum->blocks++;
		}
		sum->torn_bytes += f.torn_bytes;
		segment_close(&f);
	}
}

/* ---- queries --------------------------------------------------------------------------------------- */

/* A place in a recording: the segment's number, the block's, and how many of its records are done. */
struct place {
	__u64 segment, block_at;
	unsigned row;
};

struct segment_query {
	struct store_query q;
	const struct store *store;
	size_t next_segment;
	bool is_open, has_block;
	struct segment file;
	struct block *block;
	unsigned row; /* the next of the block */
	bool known;   /* the block tells what was known */
	bool show_known, gap;
	struct place after; /* answers begin behind this place */
	struct place last;  /* of the last answer */
	__u64 lost;         /* before the next record */
	bool *who_wanted;   /* of the block's actors */
	bool kind_wanted[BLOCK_KINDS_MAX];
	alignas(8) unsigned char rec[EV_LEN_MAX], wide[EV_LEN_MAX];
};

static struct segment_query *of(struct store_query *q)
{
	return container_of(q, struct segment_query, q);
}

static bool wants_head(const struct store_query *q, const struct block_head *b)
{
	__s64 min = wall_of(&q->origin, b->min_ns), max = wall_of(&q->origin, b->max_ns);
	bool kind = b->flags & BLOCK_MANY_IDS;

	if (max < q->from_ns || min >= q->to_ns)
		return false;
	if (q->pid && !block_may_have_pid(b, q->pid))
		return false;
	if (q->has_comm && !block_may_have_comm(b, q->comm))
		return false;
	for (unsigned i = 0; i < BLOCK_IDS_MAX && b->ids[i] && !kind; i++)
		kind = filter_wants_kind(q->filter, b->ids[i]);
	return kind;
}

static bool teaches(const struct block_head *b)
{
	if (b->flags & BLOCK_MANY_IDS)
		return true;
	for (unsigned i = 0; i < BLOCK_IDS_MAX && b->ids[i]; i++)
		if (query_teaches(b->ids[i]))
			return true;
	return false;
}

/* The places before the cursor are only looked at for what they teach. */
static bool is_behind(const struct segment_query *s)
{
	__u64 number = s->store->numbers[s->next_segment - 1];

	if (number != s->after.segment)
		return number < s->after.segment;
	return s->file.block_at < s->after.block_at;
}

/* Is there anything in this block for us? By its head alone. */
static bool needs_block(struct segment_query *s)
{
	const struct block_head *b = &s->file.block;

	if (b->flags & BLOCK_KNOWN)
		return s->show_known || s->q.context;
	/* Nothing that happened later bears on the answer. */
	if (s->q.context && wall_of(&s->q.origin, b->min_ns) < s->q.to_ns && teaches(b))
		return true;
	return !is_behind(s) && wants_head(&s->q, b);
}

static bool wants_who(const struct store_query *q, const struct block_who *who)
{
	return (!q->pid || who->pid == q->pid) && (!q->has_comm || !strncmp(who->comm, q->comm, sizeof(q->comm)));
}

/* Which of the block's actors and kinds may be in the answer. False: none. */
static bool want_rows(struct segment_query *s)
{
	bool who = false, kind = false;

	for (unsigned i = 0; i < s->block->n_who; i++)
		who |= s->who_wanted[i] = wants_who(&s->q, &s->block->who[i]);
	for (unsigned i = 0; i < s->block->n_kinds; i++)
		kind |= s->kind_wanted[i] = filter_wants_kind(s->q.filter, s->block->kinds[i].id);
	return who && kind;
}

/* Reads the block that the file stands at. 1; 0: there is nothing in it for us. */
static int read_block(struct segment_query *s)
{
	bool some;
	int r = segment_read_heads(&s->file, s->block);

	if (r < 0)
		return r;
	some = want_rows(s);
	if (!some && !s->q.context && !s->known)
		return 0;
	r = segment_read_bodies(&s->file, s->block);
	return r < 0 ? r : 1;
}

/* Does the segment end before the range begins? The next one of the same boot says when it began. */
static bool is_too_early(const struct segment_query *s, const struct segment *f)
{
	const __u64 slack = SLACK_S * 1000000000ULL;
	struct segment next;
	bool early;

	if (s->q.from_ns == INT64_MIN || s->q.needs_context || s->next_segment == s->store->n ||
	    open_segment(s->store, s->next_segment, &next) < 0)
		return false;
	early = !strcmp(next.origin.boot_id, f->origin.boot_id) && next.head.began_ns &&
		wall_of(&f->origin, next.head.began_ns + slack) < s->q.from_ns;
	segment_close(&next);
	return early;
}

static int next_segment(struct segment_query *s)
{
	while (s->next_segment < s->store->n) {
		struct store_origin before = s->q.origin;
		int r = open_segment(s->store, s->next_segment, &s->file);

		s->next_segment++;
		if (r == -ENOENT)
			continue; /* removed meanwhile, for its age */
		if (r == -EBADMSG && s->store->is_folder) {
			s->q.stats.damaged++;
			continue;
		}
		if (r < 0)
			return r;
		if ((s->store->numbers[s->next_segment - 1] < s->after.segment && !s->q.needs_context) ||
		    is_too_early(s, &s->file)) {
			segment_close(&s->file);
			continue;
		}
		s->is_open = true;
		r = query_begin(&s->q, &s->file.origin);
		if (r < 0)
			return r;
		s->show_known = s->q.with_known && (s->gap || strcmp(before.boot_id, s->q.origin.boot_id) != 0);
		s->gap = false;
		return 1;
	}
	return 0;
}

static void end_segment(struct segment_query *s)
{
	s->q.stats.torn_bytes += s->file.torn_bytes;
	segment_close(&s->file);
	s->is_open = false;
}

/* A block that does not read back is left out, and its records are lost to the reader. */
static void leave_out(struct segment_query *s)
{
	s->q.stats.damaged++;
	err_clear();
	s->gap = true;
	if (!(s->file.block.flags & BLOCK_KNOWN))
		s->lost += s->file.block.records;
}

/* Goes on until there is a block to look through. 1, 0 at the end of all. */
static int next_block(struct segment_query *s)
{
	int r;

	for (;;) {
		if (!s->is_open) {
			r = next_segment(s);
			if (r <= 0)
				return r;
		}
		if (segment_next(&s->file) == 0) {
			end_segment(s);
			continue;
		}
		s->q.stats.blocks++;
		s->known = s->file.block.flags & BLOCK_KNOWN;
		if (s->file.block.lost && !is_behind(s)) {
			s->lost += s->file.block.lost;
			s->gap = true;
			s->show_known |= s->q.with_known && s->known;
		}
		if (!needs_block(s))
			continue;
		s->q.stats.blocks_read++;
		r = read_block(s);
		if (r == -ENOMEM)
			return r;
		if (r < 0)
			leave_out(s);
		if (r <= 0)
			continue;
		s->row = 0;
		s->has_block = true;
		return 1;
	}
}

/* Record `row` of the block, as long as its kind is today. NULL: it is none that we know. */
static const struct event_kind *make_record(struct segment_query *s, unsigned row, const struct ev_head **ret_rec)
{
	struct ev_head *rec = (struct ev_head *)(void *)s->rec;
	const struct event_kind *kind;
	size_t len = block_record(s->block, row, rec);
	size_t fixed = s->block->kinds[s->block->kind[row]].fixed;

	kind = event_kind_of(rec->id);
	*ret_rec = rec;
	if (kind && fixed < kind->size) {
		kind = event_widen(rec, len, fixed, s->wide);
		*ret_rec = (const struct ev_head *)(const void *)s->wide;
	} else if (kind) {
		kind = event_check(rec, len);
	}
	if (!kind)
		s->q.stats.refused++;
	return kind;
}

/* Before a record is made whole: may it be in the answer, or teach the context? */
static bool needs_row(const struct segment_query *s, unsigned row, bool *ret_wanted)
{
	const struct block *b = s->block;
	__u8 kind = b->kind[row];

	*ret_wanted = s->kind_wanted[kind] && s->who_wanted[b->who_of[row]] && query_wants_time(&s->q, b->time_ns[row]);
	if (is_behind(s) || (s->file.block_at == s->after.block_at && row < s->after.row &&
			     s->store->numbers[s->next_segment - 1] == s->after.segment))
		*ret_wanted = false;
	return *ret_wanted || (s->q.context && query_teaches(b->kinds[kind].id));
}

/* The next record of the block that is in the answer. */
static bool next_row(struct segment_query *s, const struct ev_head **ret_rec)
{
	while (s->row < s->block->head.records) {
		unsigned row = s->row++;
		const struct event_kind *kind;
		bool wanted = false;

		if (!s->known && !needs_row(s, row, &wanted))
			continue;
		kind = make_record(s, row, ret_rec);
		if (!kind)
			continue;
		if (s->known) {
			query_learn(&s->q, *ret_rec);
			s->q.event = (struct event) { .rec = *ret_rec, .kind = kind };
			if (s->show_known)
				return true;
			continue;
		}
		if (query_test(&s->q, *ret_rec, kind) && wanted)
			return true;
	}
	return false;
}

static int segment_query_next(struct store_query *q, const struct ev_head **ret_rec)
{
	struct segment_query *s = of(q);

	while (!s->has_block || !next_row(s, ret_rec)) {
		int r;

		s->has_block = false;
		r = next_block(s);
		if (r <= 0)
			return r;
	}
	s->last = (struct place) { s->store->numbers[s->next_segment - 1], s->file.block_at, s->row };
	q->is_known = s->known;
	q->lost = s->lost;
	q->stats.lost += s->lost;
	s->lost = 0;
	return 1;
}

static void segment_query_cursor(const struct store_query *q, char ret_cursor[STORE_CURSOR_MAX])
{
	const struct segment_query *s = container_of(q, const struct segment_query, q);

	(void)snprintf(ret_cursor, STORE_CURSOR_MAX, "s%" PRIx64 "-%" PRIx64 "-%x", (uint64_t)s->last.segment,
		       (uint64_t)s->last.block_at, s->last.row);
}

static int read_cursor(const char *text, struct place *ret_place)
{
	uint64_t segment, at;
	unsigned row;
	int used = 0;

	if (sscanf(text, "s%" SCNx64 "-%" SCNx64 "-%x%n", &segment, &at, &row, &used) != 3 || text[used] ||
	    row > BLOCK_RECORDS)
		return err_new(-EINVAL, "\"%.*s\" is no cursor that a query of a recording gave", STORE_CURSOR_MAX,
			       text);
	*ret_place = (struct place) { segment, at, row };
	return 0;
}

static void segment_query_free(struct store_query *q)
{
	struct segment_query *s = of(q);

	if (s->is_open)
		segment_close(&s->file);
	block_free(s->block);
	free(s->who_wanted);
	query_close(q);
	free(s);
}

int store_query_open(struct store *store, const struct store_query_spec *spec, struct store_query **ret_query)
{
	static const struct store_query_ops ops = { segment_query_next, segment_query_cursor, segment_query_free };
	struct segment_query *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_new(-ENOMEM, "no memory for a query");
	s->store = store;
	r = query_init(&s->q, &ops, spec);
	if (r == 0 && spec->cursor && spec->cursor[0])
		r = read_cursor(spec->cursor, &s->after);
	s->last = s->after;
	if (r == 0)
		r = block_open(&s->block);
	s->who_wanted = calloc(BLOCK_RECORDS, sizeof(*s->who_wanted));
	if (r == 0 && !s->who_wanted)
		r = err_new(-ENOMEM, "no memory for a query");
	if (r < 0) {
		segment_query_free(&s->q);
		return r;
	}
	*ret_query = &s->q;
	return 0;
}
