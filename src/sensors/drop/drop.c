/* SPDX-License-Identifier: Apache-2.0 */
/* drop - user side: describes the record of a dropped packet, and names the reasons of the running kernel. */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include "base/err.h"
#include "base/mem.h"
#include "bpf/kernel_probe.h"
#include "sensors/drop/drop.event.h"
#include "sensors/drop/drop.map.h"
#include "sensors/sensor.h"

static const struct field_name tcp_flags[] = {
	{ 0x01, "fin" }, { 0x02, "syn" }, { 0x04, "rst" }, { 0x08, "psh" }, { 0x10, "ack" },
	{ 0x20, "urg" }, { 0x40, "ece" }, { 0x80, "cwr" }, { 0, NULL },
};

static const struct field drop_fields[] = {
	FLOW_FIELDS(ev_drop),
	FIELD(ev_drop, reason_name, "event.reason", FT_STR, "why, in the kernel's word for it"),
	FIELD(ev_drop, reason, "network.drop.code", FT_U32,
	      "the reason's number in the kernel that dropped the packet"),
	FIELD(ev_drop, location, "network.drop.location", FT_HEX, "address in the kernel's code that gave up on it"),
	FIELD(ev_drop, bytes, "network.bytes", FT_U32, "length of the packet, without headers already taken off"),
	FIELD(ev_drop, device, "network.interface.name", FT_CHARS, "network device", .zero_is_absent = true),
	FIELD(ev_drop, ifindex, "network.interface.id", FT_U32, "its number in its namespace", .zero_is_absent = true),
	FIELD(ev_drop, ethertype, "network.ethertype", FT_HEX, "protocol of the frame", .zero_is_absent = true),
	FIELD(ev_drop, vlan, "network.vlan.id", FT_U16, "VLAN, the outermost", .zero_is_absent = true),
	FIELD(ev_drop, tcp_flags, "network.tcp.flags", FT_FLAGS, "flags of a TCP segment", .names = tcp_flags,
	      .zero_is_absent = true),
	FIELD(ev_drop, icmp_type, "network.icmp.type", FT_U8, "type of an ICMP message", .zero_is_absent = true),
	FIELD(ev_drop, icmp_code, "network.icmp.code", FT_U8, "its code", .zero_is_absent = true),
};

static const struct event_kind kinds[] = {
	{ EV_DROP_PACKET, "drop.packet", "ev_drop", sizeof(struct ev_drop), EV_BULK, "network", "denied", "drop",
	  "the kernel dropped a packet", drop_fields, countof(drop_fields) },
};

static bool tells_socket(void)
{
	return kernel_tracepoint_args("kfree_skb") >= 4;
}

#define NOT_SEEN "what an XDP program drops in the driver never becomes a packet and is not seen"

static const struct hook hooks[] = {
	[HOOK_DROP] = { "drop",
			"a packet dropped",
			{ { .progs = { "drop_tp_socket" }, .cannot = NOT_SEEN, .possible = tells_socket },
			  { .progs = { "drop_tp" },
			    .cannot = NOT_SEEN
			    "; this kernel does not tell for which socket an arriving packet was" } } },
};
_Static_assert(countof(hooks) == DROP_HOOK_COUNT, "a row for each hook");

struct drop_options {
	struct option_list ignore;
	bool loopback;
};

static const struct option options[] = {
	OPTION(drop_options, ignore, OPT_STRS,
	       "NOT_SPECIFIED, QUEUE_PURGE, SOCKET_CLOSE, TCP_OFOMERGE, UNIX_DISCONNECT, UNIX_SKIP_OOB",
	       "reasons left out, by the kernel's names; those that a kernel does not have mean nothing to it",
	       .max = 64),
	OPTION(drop_options, loopback, OPT_BOOL, "true", "record drops on loopback devices, too"),
};

static int drop_prepare(struct object *obj, const void *opts)
{
	const struct drop_options *o = opts;
	const struct drop_config config = { .loopback = o->loopback };

	return object_set_const(obj, "config", &config, sizeof(config));
}

/* "SKB_DROP_REASON_NO_SOCKET" is known as NO_SOCKET. */
static const char *short_name(const char *name)
{
	static const char *const prefixes[] = { "SKB_DROP_REASON_", "SKB_" };

	for (size_t i = 0; i < countof(prefixes); i++)
		if (!strncmp(name, prefixes[i], strlen(prefixes[i])))
			return name + strlen(prefixes[i]);
	return name;
}

static bool is_ignored(const char *name, const struct drop_options *o)
{
	/* Not drops at all; some kernels let one through. */
	if (!strcmp(name, "CONSUMED") || !strcmp(name, "NOT_DROPPED_YET"))
		return true;
	for (size_t i = 0; i < o->ignore.n; i++)
		if (!strcmp(o->ignore.items[i], name))
			return true;
	return false;
}

static int fill_reasons(const struct btf *btf, int fd, const struct drop_options *o)
{
	int id = btf__find_by_name_kind(btf, "skb_drop_reason", BTF_KIND_ENUM);
	const struct btf_type *t = id < 0 ? NULL : btf__type_by_id(btf, (__u32)id);
	const struct btf_enum *e;

	if (!t)
		return err_new(-ENOENT, "the kernel's BTF does not name the reasons of drops");
	e = btf_enum(t);
	for (unsigned i = 0; i < btf_vlen(t); i++, e++) {
		const char *name = short_name(btf__name_by_offset(btf, e->name_off));
		struct drop_reason row = { .ignored = is_ignored(name, o) };
		__u32 number = (__u32)e->val;

		if (number >= DROP_REASONS_MAX)
			continue;
		(void)snprintf(row.name, sizeof(row.name), "%s", name);
		if (bpf_map_update_elem(fd, &number, &row, BPF_ANY))
			return err_sys(errno, "name the reason %s", name);
	}
	return 0;
}

static int drop_fill(struct object *obj, const void *opts)
{
	struct btf *btf = btf__load_vmlinux_btf();
	int r;

	if (!btf)
		return err_sys(errno, "read the kernel's BTF");
	r = fill_reasons(btf, object_map_fd(obj, "reasons"), opts);
	btf__free(btf);
	return r;
}

/* A datagram to a port of 127.0.0.1 that was free a moment ago: the kernel finds no socket for it. */
static int drop_exercise(size_t hook)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);
	auto_close int taken = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	auto_close int sender = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char byte = 0;

	(void)hook;
	if (taken < 0 || sender < 0 || bind(taken, (struct sockaddr *)&at, len) ||
	    getsockname(taken, (struct sockaddr *)&at, &len))
		return err_sys(errno, "find a free port of 127.0.0.1");
	fd_closep(&taken);
	if (sendto(sender, &byte, 1, 0, (struct sockaddr *)&at, sizeof(at)) != 1)
		return err_sys(errno, "send a datagram to nobody");
	return 0;
}

extern const struct bpf_image image_drop;

const struct sensor sensor_drop = {
	.name = "drop",
	.summary = "packets that the kernel dropped, and why",
	.byte = EV_DROP,
	.kinds = kinds,
	.n_kinds = countof(kinds),
	.hooks = hooks,
	.n_hooks = countof(hooks),
	.options = options,
	.n_options = countof(options),
	.options_size = sizeof(struct drop_options),
	.image = &image_drop,
	.prepare = drop_prepare,
	.fill = drop_fill,
	.exercise = drop_exercise,
};
