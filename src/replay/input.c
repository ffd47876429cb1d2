/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/input.h"
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include "base/err.h"
#include "base/mem.h"
#include "context/packet.h"
#include "event/json_event.h"
#include "hunt/lines.h"
#include "hunt/schema.h"
#include "replay/pcap.h"
#include "store/store.h"

enum { BOOT_ID_SIZE = sizeof(((struct input_origin *)0)->boot_id) };
_Static_assert(BOOT_ID_SIZE == sizeof(((struct store_origin *)0)->boot_id), "one id of a boot is like another");
static const char no_boot[BOOT_ID_SIZE] = "00000000-0000-0000-0000-000000000000";

/* Lines of a running agent say their context; its clock is corrected now and then, and they say exactly when. */
static const __s64 clock_slack_ns = 1000000;

struct input {
	enum input_format format;
	struct input_origin origin;
	bool begun;
	int64_t wall_ns; /* of the last item */
	struct input_stats stats;

	struct store *store;
	struct store_query *query;

	struct lines *lines;
	struct schema *schema;
	struct schema_reader reader;
	bool reader_is_open;
	struct json_event event; /* of the fields that are asked for below */
	field_id dataset, boot, wall, entity;
	field_id note_boot, note_lost, note_known; /* of lines that speak of the recording which the others were */
	char noted_boot[37];
	struct buf record;

	struct pcap *pcap;
	FILE *file; /* the capture's */
	union {
		struct ev_packet e;
		unsigned char bytes[EV_LEN_MAX];
	} packet;
};

/* Is the item of another origin than the one before it? */
static bool set_origin(struct input *in, const char boot_id[BOOT_ID_SIZE], __s64 wall_minus_boot_ns, __s64 slack_ns)
{
	struct input_origin *o = &in->origin;
	__s64 apart = o->wall_minus_boot_ns - wall_minus_boot_ns;

	if (in->begun && !memcmp(o->boot_id, boot_id, BOOT_ID_SIZE) && apart <= slack_ns && apart >= -slack_ns)
		return false;
	memcpy(o->boot_id, boot_id, BOOT_ID_SIZE);
	o->wall_minus_boot_ns = wall_minus_boot_ns;
	in->begun = true;
	return true;
}

/* ---- recordings --------------------------------------------------------------------------------- */

static int open_recording(struct input *in, const char *path)
{
	const struct store_query_spec all = { .with_known = true };
	struct store_summary sum;
	int r = store_open_named(path, &in->store);

	if (r < 0)
		return r;
	store_summary(in->store, &sum);
	in->stats.size = sum.records;
	return store_query_open(in->store, &all, &in->query);
}

static int next_record(struct input *in, struct input_item *item)
{
	const struct store_origin *from;
	int r = store_query_next(in->query, &item->rec);

	if (r <= 0)
		return r;
	from = store_query_origin(in->query);
	item->origin_is_new = set_origin(in, from->boot_id, from->wall_minus_boot_ns, 0);
	item->wall_ns = (int64_t)(item->rec->time_ns + (__u64)from->wall_minus_boot_ns);
	in->stats.done++;
	return 1;
}

/* ---- JSON lines ----------------------------------------------------------------------------------- */

static field_id name(const char *text)
{
	return field_intern(text, strlen(text));
}

static int open_json(struct input *in, const char *path, const char *schema)
{
	int r = schema_named(schema, &in->schema);

	if (r < 0)
		return r;
	r = schema_reader_init(&in->reader, in->schema, false);
	if (r < 0)
		return r;
	in->reader_is_open = true;
	json_event_init(&in->event, true);
	in->dataset = name("event.dataset");
	in->boot = name("shrike.boot_ns");
	in->wall = name("@timestamp");
	in->entity = name("process.entity_id");
	in->note_boot = name("shrike.recording.boot_id");
	in->note_lost = name("shrike.recording.lost");
	in->note_known = name("shrike.recording.known");
	if (!in->dataset || !in->boot || !in->wall || !in->entity || !in->note_boot || !in->note_lost ||
	    !in->note_known)
		return err_new(-ENOSPC, "no room for names of fields");
	r = lines_open(path, &in->lines);
	if (r == 0)
		in->stats.size = in->lines->size;
	return r;
}

static struct str text_of(const struct input *in, field_id id)
{
	const struct value *v = json_event_find(&in->event, id);

	return v && v->type == VALUE_STR ? v->s : (struct str) { NULL, 0 };
}

/* "8f3c2a1b9d4e4f00-...": an id of a process begins with the first half of its boot's. */
static void boot_of(struct str entity, char ret_boot[37])
{
	memcpy(ret_boot, no_boot, sizeof(no_boot));
	if (entity.n < 17 || entity.p[16] != '-' || strspn(entity.p, "0123456789abcdef") != 16)
		return;
	(void)snprintf(ret_boot, 37, "%.8s-%.4s-%.4s-0000-000000000000", entity.p, entity.p + 8, entity.p + 12);
}

/* What `shrike convert` says between the records of a recording. */
static bool take_note(struct input *in)
{
	const struct value *lost = json_event_find(&in->event, in->note_lost);
	struct str boot = text_of(in, in->note_boot);

	if (boot.n == sizeof(in->noted_boot) - 1)
		memcpy(in->noted_boot, boot.p, boot.n);
	if (lost && (lost->type == VALUE_UINT || (lost->type == VALUE_INT && lost->i > 0)))
		in->stats.lost += lost->u;
	return boot.p || lost || json_event_find(&in->event, in->note_known);
}

/* Did an agent print it? Then it is the record again. 0: no. */
static int own_line(struct input *in, struct input_item *item)
{
	struct str dataset = text_of(in, in->dataset), wall = text_of(in, in->wall), entity = text_of(in, in->entity);
	struct input_origin o = in->origin;

	if (!dataset.p || !event_kind_by_name(dataset.p, dataset.n) || !json_event_find(&in->event, in->boot) ||
	    !time_of_text(wall.p ?: "", wall.n, TIME_AUTO, &item->wall_ns))
		return 0;
	if (event_from_json(item->line.p, item->line.n, &in->record) < 0)
		return -EINVAL;
	item->rec = (const struct ev_head *)in->record.data;
	item->has_context = entity.p != NULL;
	if (in->noted_boot[0])
		memcpy(o.boot_id, in->noted_boot, sizeof(o.boot_id));
	else if (item->has_context || !in->begun)
		boot_of(entity, o.boot_id);
	o.wall_minus_boot_ns = (__s64)((__u64)item->wall_ns - item->rec->time_ns);
	item->origin_is_new = set_origin(in, o.boot_id, o.wall_minus_boot_ns, item->has_context ? clock_slack_ns : 0);
	return 1;
}

static void foreign_line(struct input *in, struct input_item *item)
{
	schema_apply(&in->reader, &in->event);
	item->wall_ns = in->reader.has_time ? in->reader.time_ns : in->wall_ns;
	/* Among lines of an agent it says nothing of boots. */
	item->origin_is_new = !in->begun;
	in->begun = true;
}

static int next_line(struct input *in, struct input_item *item)
{
	struct line line;
	int r;

	for (;;) {
		r = lines_next(in->lines, &line);
		in->stats.done = lines_done(in->lines);
		in->stats.too_long = in->lines->too_long;
		if (r <= 0)
			return r;
		item->line = (struct str) { line.p, line.n };
		r = json_event_parse(&in->event, line.p, line.n);
		if (r == -ENOMEM)
			return r;
		if (r == 0 && take_note(in))
			continue;
		if (r == 0)
			r = own_line(in, item);
		if (r >= 0) {
			if (r == 0)
				foreign_line(in, item);
			return 1;
		}
		in->stats.unreadable++;
	}
}

/* ---- captures --------------------------------------------------------------------------------------- */

static int next_packet(struct input *in, struct input_item *item)
{
	struct ev_packet *e = &in->packet.e;
	struct pcap_packet p;
	int r = pcap_next(in->pcap, &p);
	size_t n;

	if (r <= 0)
		return r;
	n = p.n < sizeof(in->packet) - sizeof(*e) ? p.n : sizeof(in->packet) - sizeof(*e);
	*e = (struct ev_packet) {
		.head = { .time_ns = p.wall_ns > 0 ? (__u64)p.wall_ns : 0,
			  .id = EV_PACKET_CAPTURED,
			  .len = (__u16)(sizeof(*e) + n),
			  .class = EV_PACKET,
			  .uid = ~0U, /* nobody's: 0 would be root's */
			  .gid = ~0U,
			  .flags = p.n > n || p.length > p.n ? EV_F_TRUNCATED : 0 },
		.bytes = p.length,
		.interface = p.interface,
		.link_type = p.link_type > UINT16_MAX ? UINT16_MAX : (__u16)p.link_type,
		.data = { n ? sizeof(*e) : 0, (__u16)n },
	};
	packet_read(e, p.bytes, p.n);
	if (n)
		memcpy(in->packet.bytes + sizeof(*e), p.bytes, n);
	item->rec = &e->head;
	item->wall_ns = (int64_t)e->head.time_ns;
	item->origin_is_new = set_origin(in, no_boot, 0, 0);
	in->stats.done = (uint64_t)ftell(in->file);
	return 1;
}

static int open_capture(struct input *in, FILE *file, uint64_t size)
{
	in->file = file;
	in->stats.size = size;
	return pcap_open(file, &in->pcap);
}

/* ---- all ---------------------------------------------------------------------------------------------- */

/* By what it begins with; a name says nothing. */
static int open_by_content(struct input *in, const char *path, const char *schema)
{
	unsigned char first[16];
	auto_file FILE *f = NULL;
	struct stat st;
	size_t n;

	if (!strcmp(path, "-")) {
		in->format = INPUT_JSON;
		return open_json(in, path, schema);
	}
	if (stat(path, &st))
		return err_new(-errno, "%s", strerror(errno));
	if (S_ISDIR(st.st_mode) || (S_ISREG(st.st_mode) && store_is_segment(path))) {
		in->format = INPUT_RECORDING;
		return open_recording(in, path);
	}
	if (!S_ISREG(st.st_mode)) {
		in->format = INPUT_JSON;
		return open_json(in, path, schema);
	}
	f = fopen(path, "re");
	if (!f)
		return err_new(-errno, "%s", strerror(errno));
	n = fread(first, 1, sizeof(first), f);
	if (ferror(f))
		return err_sys(errno ?: EIO, "read");
	if (pcap_is(first, n)) {
		in->format = INPUT_CAPTURE;
		rewind(f);
		return open_capture(in, take(f), (uint64_t)st.st_size);
	}
	in->format = INPUT_JSON;
	for (size_t i = 0; i < n; i++) {
		if (strchr(" \t\r\n", first[i]) && first[i])
			continue;
		if (first[i] == '{')
			break;
		return err_new(-EINVAL, "neither a recording, nor JSON lines, nor a capture of packets");
	}
	return open_json(in, path, schema);
}

int input_open(const char *path, const char *schema, struct input **ret_input)
{
	AUTO(input) in = calloc(1, sizeof(*in));
	int r;

	if (!in)
		return err_new(-ENOMEM, "out of memory");
	buf_init(&in->record, EV_LEN_MAX);
	memcpy(in->origin.boot_id, no_boot, sizeof(no_boot));
	r = open_by_content(in, path, schema);
	if (r < 0)
		return err_wrap(r, "%s", path);
	*ret_input = take(in);
	return 0;
}

void input_free(struct input *in)
{
	if (!in)
		return;
	store_query_free(in->query);
	store_free(in->store);
	lines_free(in->lines);
	if (in->reader_is_open) {
		schema_reader_free(&in->reader);
		json_event_free(&in->event);
	}
	schema_free(in->schema);
	pcap_free(in->pcap);
	buf_free(&in->record);
	free(in);
}

enum input_format input_format(const struct input *in)
{
	return in->format;
}

const struct input_origin *input_origin(const struct input *in)
{
	return &in->origin;
}

int input_next(struct input *in, struct input_item *ret_item)
{
	int r;

	*ret_item = (struct input_item) { 0 };
	r = in->format == INPUT_RECORDING ? next_record(in, ret_item)
	    : in->format == INPUT_JSON    ? next_line(in, ret_item)
					  : next_packet(in, ret_item);
	if (r <= 0)
		return r;
	in->wall_ns = ret_item->wall_ns;
	in->stats.items++;
	return 1;
}

void input_stats(const struct input *in, struct input_stats *ret_stats)
{
	struct store_query_stats q;

	*ret_stats = in->stats;
	if (in->format == INPUT_CAPTURE)
		ret_stats->torn_bytes = pcap_torn(in->pcap);
	if (!in->query)
		return;
	store_query_stats(in->query, &q);
	ret_stats->unreadable = q.refused;
	ret_stats->torn_bytes = q.torn_bytes;
	ret_stats->damaged = q.damaged;
	ret_stats->lost = q.lost;
}
