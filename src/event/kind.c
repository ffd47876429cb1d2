/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kind - the registry of record kinds, and what is worked out once for each: which field
 * answers to which id, and the order in which its fields print as nested JSON.
 */
#include <pthread.h>
#include <stdlib.h>
#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "event/internal.h"

static const struct field_name classes[] = {
	{ EV_CRITICAL, "critical" }, { EV_NORMAL, "normal" }, { EV_BULK, "bulk" }, { EV_PACKET, "packet" }, { 0, NULL },
};

static const struct field_name flags[] = {
	{ EV_F_TRUNCATED, "truncated" }, { EV_F_LATE, "late" }, { EV_F_SAMPLED, "sampled" },
	{ EV_F_SEEDED, "seeded" },       { 0, NULL },
};

const struct field event_head_fields[] = {
	FIELD(ev_head, time_ns, "@timestamp", FT_TIME, "when it happened"),
	FIELD(ev_head, time_ns, "shrike.boot_ns", FT_U64,
	      "when it happened, in nanoseconds since boot with sleep counted (CLOCK_BOOTTIME)"),
	FIELD(ev_head, cpu, "shrike.cpu", FT_U16, "processor that ran the hook"),
	FIELD(ev_head, class, "shrike.class", FT_ENUM, "ring that the record took, and loss counter that it belongs to",
	      .names = classes),
	FIELD(ev_head, flags, "shrike.flags", FT_FLAGS, "what is to be known of the record itself", .names = flags,
	      .zero_is_absent = true),
	FIELD(ev_head, pid, "process.pid", FT_U32, "process that acted"),
	FIELD(ev_head, tid, "process.thread.id", FT_U32, "thread that acted"),
	FIELD(ev_head, ns_pid, "process.ns_pid", FT_U32, "the process's number in its own pid namespace",
	      .zero_is_absent = true),
	FIELD(ev_head, start_ns, "process.start", FT_TIME, "when the process began: with the pid, its identity",
	      .zero_is_absent = true),
	FIELD(ev_head, comm, "process.name", FT_CHARS, "name of the thread that acted, as the kernel keeps it",
	      .zero_is_absent = true),
	FIELD(ev_head, uid, "user.id", FT_U32, "user that acts, in the initial user namespace"),
	FIELD(ev_head, gid, "group.id", FT_U32, "group that acts, in the initial user namespace"),
	FIELD(ev_head, cgroup_id, "process.cgroup.id", FT_U64, "cgroup (v2) of the process", .zero_is_absent = true),
	FIELD(ev_head, netns, "process.namespace.net", FT_U32, "network namespace of the process",
	      .zero_is_absent = true),
	FIELD(ev_head, kstack, "process.thread.kernel_stack", FT_STACK,
	      "return addresses in the kernel, innermost first"),
	FIELD(ev_head, ustack, "process.thread.user_stack", FT_STACK,
	      "return addresses in the program, innermost first"),
};
const size_t event_head_n_fields = countof(event_head_fields);

enum { NAME_SLOTS = 4096, KINDS_MAX = NAME_SLOTS / 2, FIXED = 6, FIXED_NAMES_MAX = 4 };

/* A kind's info and all that hangs on it: one allocation a registration, kept for good. */
struct kind_store {
	struct kind_info info;
	struct field fixed[FIXED];
	struct field_name fixed_names[FIXED][FIXED_NAMES_MAX + 1];
	char words[256]; /* of comma-separated categories and types, and of the module */
	size_t words_len;
	char text[FIXED][256]; /* the fixed values in JSON */
	const struct field *in_order[KIND_FIELDS_MAX];
	const struct plan_row *in_order_rows[KIND_FIELDS_MAX];
	const struct field *strings[KIND_FIELDS_MAX];
	struct plan_row rows[KIND_FIELDS_MAX];
};

static struct {
	const struct kind_info *_Atomic by_number[256][EV_KIND_MAX];
	const struct kind_info *_Atomic by_name[NAME_SLOTS];
	const struct kind_info *_Atomic in_order[KINDS_MAX];
	_Atomic size_t n;
	pthread_mutex_t writing;
} kinds = { .writing = PTHREAD_MUTEX_INITIALIZER };

static const struct kind_info *info_of(__u16 id)
{
	return EV_ID_NUMBER(id) < EV_KIND_MAX
		       ? atomic_load_explicit(&kinds.by_number[EV_ID_SENSOR(id)][EV_ID_NUMBER(id)],
					      memory_order_acquire)
		       : NULL;
}

const struct kind_info *kind_info(const struct event_kind *kind)
{
	const struct kind_info *info = kind ? info_of(kind->id) : NULL;

	return info && info->kind == kind ? info : NULL;
}

const struct event_kind *event_kind_of(__u16 id)
{
	const struct kind_info *info = info_of(id);

	return info ? info->kind : NULL;
}

const struct event_kind *event_kind_at(size_t i)
{
	return i < atomic_load_explicit(&kinds.n, memory_order_acquire)
		       ? atomic_load_explicit(&kinds.in_order[i], memory_order_acquire)->kind
		       : NULL;
}

static const struct kind_info *by_name(const char *name, size_t n, size_t *ret_slot)
{
	size_t i = hash_bytes(name, n, hash_seed()) % NAME_SLOTS;
	const struct kind_info *info;

	for (; (info = atomic_load_explicit(&kinds.by_name[i], memory_order_acquire)); i = (i + 1) % NAME_SLOTS)
		if (strlen(info->kind->name) == n && !memcmp(info->kind->name, name, n))
			return info;
	if (ret_slot)
		*ret_slot = i;
	return NULL;
}

const struct event_kind *event_kind_by_name(const char *name, size_t n)
{
	const struct kind_info *info = by_name(name, n, NULL);

	return info ? info->kind : NULL;
}

/* ---- looking a field up by id --------------------------------------------------------- */

static unsigned id_slot(field_id id, unsigned mask)
{
	return (id * 0x9e3779b1U >> 16) & mask;
}

const struct plan_row *kind_row(const struct kind_info *info, field_id id)
{
	for (unsigned i = id_slot(id, info->id_mask); info->by_id[i].id; i = (i + 1) & info->id_mask)
		if (info->by_id[i].id == id)
			return &info->rows[info->by_id[i].row];
	return NULL;
}

const struct field *event_kind_field(const struct event_kind *kind, field_id id)
{
	const struct kind_info *info = kind_info(kind);
	const struct plan_row *row = info ? kind_row(info, id) : NULL;

	return row ? row->field : NULL;
}

size_t event_kind_fields(const struct event_kind *kind, const struct field *const **ret_fields)
{
	const struct kind_info *info = kind_info(kind);

	*ret_fields = info ? info->in_order : NULL;
	return info ? info->n_in_order : 0;
}

static int index_ids(struct kind_info *info)
{
	unsigned size = 16;

	while (size < 4 * info->n_rows)
		size *= 2;
	info->by_id = calloc(size, sizeof(*info->by_id));
	if (!info->by_id)
		return err_new(-ENOMEM, "out of memory");
	info->id_mask = size - 1;
	for (size_t r = 0; r < info->n_rows; r++) {
		unsigned i = id_slot(info->rows[r].id, info->id_mask);

		while (info->by_id[i].id)
			i = (i + 1) & info->id_mask;
		info->by_id[i].id = info->rows[r].id;
		info->by_id[i].row = (__u16)r;
	}
	return 0;
}

/* ---- what is the same in every record of a kind ---------------------------------------- */

static const char *keep_word(struct kind_store *s, const char *p, size_t n)
{
	char *to = s->words + s->words_len;

	if (s->words_len + n + 1 > sizeof(s->words))
		return NULL;
	memcpy(to, p, n);
	to[n] = 0;
	s->words_len += n + 1;
	return to;
}

/* "network,process" becomes two names; their lengths go where other rows keep numbers. */
static bool split_words(struct kind_store *s, const char *words, struct field_name *names)
{
	size_t n = 0;

	while (n < FIXED_NAMES_MAX) {
		size_t len = strcspn(words, ",");
		const char *word = keep_word(s, words, len);

		if (!word || !len)
			return false;
		names[n++] = (struct field_name) { len, word };
		if (!words[len])
			return true;
		words += len + 1;
	}
	return false;
}

static bool render_fixed(struct kind_store *s, size_t i, bool list)
{
	auto_buf struct buf b;

	buf_init(&b, sizeof(s->text[i]) - 1);
	if (list)
		buf_char(&b, '[');
	for (const struct field_name *n = s->fixed_names[i]; n->name; n++) {
		if (n != s->fixed_names[i])
			buf_char(&b, ',');
		json_write_str(&b, n->name, n->value);
	}
	if (list)
		buf_char(&b, ']');
	if (b.failed)
		return false;
	memcpy(s->text[i], buf_text(&b), b.len + 1);
	return true;
}

static int add_fixed(struct kind_store *s, const struct event_kind *kind)
{
	char module[64];
	const struct {
		const char *name, *words, *doc;
		bool list;
	} fixed[FIXED] = {
		{ "event.kind", "event", "what sort of document it is: \"event\" for a record", false },
		{ "event.module", module, "sensor that made it", false },
		{ "event.dataset", kind->name, "kind of record", false },
		{ "event.category", kind->category, "what the event is about, in ECS terms", true },
		{ "event.type", kind->type, "what it did, in ECS terms", true },
		{ "event.action", kind->action, "what happened", false },
	};

	(void)snprintf(module, sizeof(module), "%.*s", (int)strcspn(kind->name, "."), kind->name);
	for (size_t i = 0; i < FIXED; i++) {
		if (!fixed[i].words || !split_words(s, fixed[i].words, s->fixed_names[i]) ||
		    !render_fixed(s, i, fixed[i].list))
			return err_new(-EINVAL, "%s: %s is missing, or not one to four words with commas", kind->name,
				       fixed[i].name);
		s->fixed[i] = (struct field) {
			.name = fixed[i].name, .type = FT_CONST, .doc = fixed[i].doc, .names = s->fixed_names[i]
		};
	}
	return 0;
}

/* ---- the plan ---------------------------------------------------------------------------- */

static bool size_fits(const struct field *f)
{
	switch (f->type) {
	case FT_BOOL:
	case FT_U8:
		return f->size == 1;
	case FT_U16:
		return f->size == 2;
	case FT_U32:
	case FT_I32:
	case FT_ERRNO:
		return f->size == 4;
	case FT_U64:
	case FT_I64:
	case FT_TIME:
	case FT_DURATION:
		return f->size == 8;
	case FT_HEX:
	case FT_OCTAL:
	case FT_ENUM:
	case FT_FLAGS:
		return f->size == 1 || f->size == 2 || f->size == 4 || f->size == 8;
	case FT_CHARS:
		return f->size > 0;
	case FT_STR:
	case FT_STRS:
	case FT_BYTES:
	case FT_STACK:
		return f->size == sizeof(struct ev_str);
	case FT_ADDR:
		return f->size == sizeof(struct ev_addr);
	case FT_CONST:
		return true;
	}
	return false;
}

/* A name of an enum must read back as the number that it stood for. */
static int check_names(const struct event_kind *kind, const struct field *f)
{
	if (f->type != FT_ENUM && f->type != FT_FLAGS)
		return 0;
	for (const struct field_name *a = f->names; a->name; a++)
		for (const struct field_name *b = a + 1; b->name; b++)
			if (!strcmp(a->name, b->name) || (f->type == FT_ENUM && a->value == b->value))
				return err_new(-EEXIST, "%s: %s: \"%s\" and \"%s\" are the same", kind->name, f->name,
					       a->name, b->name);
	return 0;
}

static int check_row(const struct event_kind *kind, const struct field *f)
{
	if (!f->name || !f->doc || !*f->doc)
		return err_new(-EINVAL, "%s: a field without a name or without a sentence", kind->name);
	if (!size_fits(f))
		return err_new(-EINVAL, "%s: %s: %u bytes do not fit its type", kind->name, f->name, f->size);
	if (f->type != FT_CONST && (size_t)f->off + f->size > kind->size)
		return err_new(-EINVAL, "%s: %s stands outside of the record", kind->name, f->name);
	if ((f->type == FT_ENUM || f->type == FT_FLAGS) != (f->names != NULL) && f->type != FT_CONST)
		return err_new(-EINVAL, "%s: %s: enums and flags have names, and only they", kind->name, f->name);
	return check_names(kind, f);
}

static int add_row(struct kind_store *s, const struct event_kind *kind, const struct field *f)
{
	struct plan_row *row = &s->rows[s->info.n_rows];
	char bytes_name[FIELD_NAME_MAX + 16];
	int r, n;

	if (s->info.n_rows == KIND_FIELDS_MAX)
		return err_new(-E2BIG, "%s: more than %d fields", kind->name, KIND_FIELDS_MAX);
	r = check_row(kind, f);
	if (r < 0)
		return r;
	*row = (struct plan_row) { .field = f, .id = field_intern(f->name, strlen(f->name)) };
	row->path = field_path(row->id);
	if (!row->path)
		return err_new(-EINVAL, "%s: no name for a field: \"%s\"", kind->name, f->name);
	if (f->type == FT_CONST) {
		row->fixed_text = s->text[f - s->fixed];
		row->fixed_len = strlen(row->fixed_text);
	}
	if (f->type == FT_STR || f->type == FT_STRS || f->type == FT_CHARS) {
		n = snprintf(bytes_name, sizeof(bytes_name), "shrike.bytes.%s", f->name);
		row->bytes_id = field_intern(bytes_name, (size_t)n);
		if (!row->bytes_id)
			return err_new(-EINVAL, "%s: no name for a field: \"%s\"", kind->name, bytes_name);
	}
	s->info.n_rows++;
	return 0;
}

static int by_path(const void *a, const void *b)
{
	return field_path_compare(((const struct plan_row *)a)->path, ((const struct plan_row *)b)->path);
}

static int order_rows(struct kind_store *s, const struct event_kind *kind)
{
	qsort(s->rows, s->info.n_rows, sizeof(s->rows[0]), by_path);
	for (size_t i = 1; i < s->info.n_rows; i++) {
		const struct field_path *before = s->rows[i - 1].path, *path = s->rows[i].path;

		s->rows[i].common = (__u8)field_path_common(before, path);
		if (s->rows[i].common == path->depth)
			return err_new(-EEXIST, "%s: two fields are named %s", kind->name, path->name);
		if (s->rows[i].common == before->depth)
			return err_new(-EEXIST, "%s: %s is a field and the parent of %s", kind->name, before->name,
				       path->name);
		if (path->depth > 1 && !strncmp(path->name, "shrike.bytes", 12) &&
		    (!path->name[12] || path->name[12] == '.'))
			return err_new(-EINVAL, "%s: %s is reserved", kind->name, path->name);
	}
	return 0;
}

static int plan(struct kind_store *s, const struct event_kind *kind)
{
	int r = add_fixed(s, kind);

	s->info.kind = kind;
	s->info.rows = s->rows;
	s->info.in_order = s->in_order;
	s->info.in_order_rows = s->in_order_rows;
	s->info.strings = s->strings;
	for (size_t i = 0; !r && i < FIXED; i++)
		r = add_row(s, kind, &s->fixed[i]);
	for (size_t i = 0; !r && i < event_head_n_fields + kind->n_fields; i++) {
		const struct field *f =
			i < event_head_n_fields ? &event_head_fields[i] : &kind->fields[i - event_head_n_fields];

		r = add_row(s, kind, f);
		if (!r)
			s->in_order[s->info.n_in_order++] = f;
		if (!r && field_is_ev_str(f))
			s->strings[s->info.n_strings++] = f;
	}
	if (!r)
		r = order_rows(s, kind);
	if (!r)
		r = index_ids(&s->info);
	for (size_t i = 0; !r && i < s->info.n_in_order; i++)
		s->in_order_rows[i] =
			kind_row(&s->info, field_find(s->in_order[i]->name, strlen(s->in_order[i]->name)));
	return r;
}

/* ---- registering --------------------------------------------------------------------------- */

static int check_kind(const struct event_kind *kind)
{
	const struct event_kind *other = event_kind_of(kind->id);

	if (!kind->name || !strchr(kind->name, '.') || !kind->summary)
		return err_new(-EINVAL, "record %#x: a kind needs a dotted name and a summary", kind->id);
	if (EV_ID_NUMBER(kind->id) < 1 || EV_ID_NUMBER(kind->id) >= EV_KIND_MAX)
		return err_new(-EINVAL, "%s: its number is not 1 to %d", kind->name, EV_KIND_MAX - 1);
	if (kind->size < sizeof(struct ev_head) || kind->size > EV_LEN_MAX || kind->class >= EV_CLASS_COUNT)
		return err_new(-EINVAL, "%s: no size or class for a record", kind->name);
	if (other)
		return err_new(-EEXIST, "%s: id %#x belongs to %s", kind->name, kind->id, other->name);
	if (event_kind_by_name(kind->name, strlen(kind->name)))
		return err_new(-EEXIST, "%s: another kind has that name", kind->name);
	if (atomic_load(&kinds.n) == KINDS_MAX)
		return err_new(-E2BIG, "more than %d kinds of records", KINDS_MAX);
	return 0;
}

static int add_kind(const struct event_kind *kind)
{
	auto_free struct kind_store *s = NULL;
	size_t slot, n = atomic_load(&kinds.n);
	const struct kind_info *info;
	int r;

	if (event_kind_of(kind->id) == kind)
		return 0;
	r = check_kind(kind);
	if (r < 0)
		return r;
	s = calloc(1, sizeof(*s));
	if (!s)
		return err_new(-ENOMEM, "out of memory");
	r = plan(s, kind);
	if (r < 0)
		return r;
	(void)by_name(kind->name, strlen(kind->name), &slot);
	info = &take(s)->info;
	atomic_store_explicit(&kinds.by_number[EV_ID_SENSOR(kind->id)][EV_ID_NUMBER(kind->id)], info,
			      memory_order_release);
	atomic_store_explicit(&kinds.by_name[slot], info, memory_order_release);
	atomic_store_explicit(&kinds.in_order[n], info, memory_order_release);
	atomic_store_explicit(&kinds.n, n + 1, memory_order_release);
	return 0;
}

int event_kind_register(const struct event_kind *kind)
{
	int r;

	(void)pthread_mutex_lock(&kinds.writing);
	r = add_kind(kind);
	(void)pthread_mutex_unlock(&kinds.writing);
	return r < 0 ? err_wrap(r, "register a kind of record") : 0;
}
