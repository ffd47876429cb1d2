/* SPDX-License-Identifier: Apache-2.0 */
/* Packets that the kernel dropped in a network of the test's own, as the sensor recorded them. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/err.h"
#include "base/mem.h"
#include "base/test.h"
#include "sensors/drop/drop.event.h"
#include "sensors/drop/drop.map.h"
#include "tests/sandbox/observe.h"

extern const struct sensor sensor_drop;

static bool observe_drop(struct observer *ob, struct sandbox *sb, const char *netns, const char *option,
			 const char *value)
{
	static char options[64] __attribute__((aligned(8)));
	bool opened;

	memset(options, 0, sizeof(options));
	if (netns)
		(void)snprintf(sb->scope, sizeof(sb->scope), "netns:%s", netns);
	if (option_defaults(sensor_drop.options, sensor_drop.n_options, options) < 0) {
		test_fail(T_HERE, "%s", err_trail());
		return false;
	}
	for (size_t i = 0; i < sensor_drop.n_options; i++)
		if (option && !strcmp(sensor_drop.options[i].name, option) &&
		    option_set(&sensor_drop.options[i], value, options) < 0)
			test_fail(T_HERE, "%s", err_trail());
	opened = observe_open(ob, sb, &sensor_drop, options);
	/* What the sensor needs of its lists stands in its maps by now. */
	options_clear(sensor_drop.options, sensor_drop.n_options, options);
	return opened;
}

static void settle(void)
{
	(void)usleep(30000);
}

static const struct ev_drop *find_reason(const struct observer *ob, const char *reason)
{
	const struct ev_drop *e;

	for (size_t i = 0; (e = observe_find(ob, EV_DROP_PACKET, i)); i++)
		if (!strcmp(observe_str(e, e->reason_name), reason))
			return e;
	return NULL;
}

/* 10 bytes to port 9 of `arg`, where nobody listens. The port that it came from is 4009. */
static int to_nobody(const struct sandbox *sb, void *arg)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(9) },
			   from4 = { .sin_family = AF_INET, .sin_port = htons(4009) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(9) },
			    from6 = { .sin6_family = AF_INET6, .sin6_port = htons(4009) };
	bool is_v4 = inet_pton(AF_INET, arg, &v4.sin_addr) == 1;
	char bytes[10] = { 0 };
	int fd = socket(is_v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool bound = is_v4 ? !bind(fd, (struct sockaddr *)&from4, sizeof(from4))
			   : !bind(fd, (struct sockaddr *)&from6, sizeof(from6));

	(void)sb;
	if (fd < 0 || !bound || (!is_v4 && inet_pton(AF_INET6, arg, &v6.sin6_addr) != 1))
		return 1;
	/* A firewall that drops what leaves says EPERM. */
	if ((is_v4 ? sendto(fd, bytes, 10, 0, (struct sockaddr *)&v4, sizeof(v4))
		   : sendto(fd, bytes, 10, 0, (struct sockaddr *)&v6, sizeof(v6))) < 0 &&
	    errno != EPERM)
		return 2;
	settle();
	return 0;
}

/*
 * Of what to_nobody() sent, the drop that was recorded last, and how many there are. A network that was just made drops
 * things of its own, too (neighbours, multicast).
 */
static const struct ev_drop *last_of_ours(const struct observer *ob, size_t *ret_n)
{
	const struct ev_drop *e, *last = NULL;

	*ret_n = 0;
	for (size_t i = 0; (e = observe_find(ob, EV_DROP_PACKET, i)); i++)
		if (e->flow.destination_port == 9) {
			last = e;
			++*ret_n;
		}
	return last;
}

static const unsigned char *mapped(const char *text)
{
	static struct in6_addr a;
	char full[64];

	(void)snprintf(full, sizeof(full), "%s%s", strchr(text, ':') ? "" : "::ffff:", text);
	(void)inet_pton(AF_INET6, full, &a);
	return a.s6_addr;
}

TEST(a_datagram_for_nobody_is_dropped_for_want_of_a_socket)
{
	static const struct {
		const char *name;
		char to[16];
		const char *device;
		int family;
	} rows[] = {
		{ "v4", "127.0.0.1", "lo", 4 },
		{ "v6", "::1", "lo", 6 },
		{ "own address v4", "10.211.0.1", "lo", 4 },
		{ "own address v6", "fd5a::1", "lo", 6 },
	};
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	struct stat st;

	if (!sandbox_open(&sb, SANDBOX_NET) || !observe_drop(&ob, &sb, sb.netns, NULL, NULL))
		return;
	for_each_row (r, rows) {
		const struct ev_drop *e;
		size_t n;
		char to[16], path[64];

		memcpy(to, r->to, sizeof(to));
		check_int(outside_run(&sb, to_nobody, to), 0);
		observe_drain(&ob);
		e = last_of_ours(&ob, &n);
		require(e != NULL);
		check_str(observe_str(e, e->reason_name), "NO_SOCKET");
		check(!memcmp(e->flow.destination.bytes, mapped(r->to), 16));
		check(!memcmp(e->flow.source.bytes, mapped(r->to), 16));
		check_int(e->flow.destination_port, 9);
		check_int(e->flow.source_port, 4009);
		check_int(e->flow.transport, IPPROTO_UDP);
		check_int(e->flow.family, r->family);
		check_int(e->flow.direction, FLOW_INGRESS);
		check_int(e->ethertype, r->family == 4 ? ETHERTYPE_IP : ETHERTYPE_IPV6);
		check_str(e->device, r->device);
		check_int(e->ifindex, 1);
		check(e->bytes >= 10 && e->bytes < 100);
		check(e->location >> 63);
		check_int(e->head.pid, 0);
		check(e->head.uid == ~0U); /* not root: nobody */
		(void)snprintf(path, sizeof(path), "/run/netns/%s", sb.netns);
		check(!stat(path, &st) && e->head.netns == st.st_ino);
	}
	test_row = NULL;
	observe_check_books(&ob);
}

TEST(a_drop_in_another_network_leaves_no_record)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	const struct ev_drop *e;
	size_t n;

	if (!sandbox_open(&sb, SANDBOX_NET) || !observe_drop(&ob, &sb, sb.netns_peer, NULL, NULL))
		return;
	check_int(outside_run(&sb, to_nobody, (char[]) { "127.0.0.1" }), 0);
	observe_drain(&ob);
	check(!last_of_ours(&ob, &n));
	/* It is the peer that drops this one. */
	check_int(outside_run(&sb, to_nobody, (char[]) { "10.211.0.2" }), 0);
	observe_drain(&ob);
	e = last_of_ours(&ob, &n);
	check_int(n, 1);
	require(e != NULL);
	check_str(e->device, "veth0");
}

TEST(reasons_and_loopback_can_be_left_out)
{
	static const struct {
		const char *name, *option, *value;
	} rows[] = {
		{ "the reason", "ignore", "NO_SOCKET" },
		{ "loopback", "loopback", "false" },
	};
	auto_sandbox struct sandbox sb = { 0 };

	if (!sandbox_open(&sb, SANDBOX_NET))
		return;
	for_each_row (r, rows) {
		auto_observer struct observer ob = { 0 };
		struct ev_counts c;

		if (!observe_drop(&ob, &sb, sb.netns, r->option, r->value))
			return;
		check_int(outside_run(&sb, to_nobody, (char[]) { "127.0.0.1" }), 0);
		observe_drain(&ob);
		check(!find_reason(&ob, "NO_SOCKET"));
		require_ok(object_counts(ob.object, EV_ID_NUMBER(EV_DROP_PACKET), &c));
		check(c.filtered > 0);
		observe_check_books(&ob);
		test_row = NULL;
	}
}

static bool netns_run(const char *netns, const char *command)
{
	char text[256];

	(void)snprintf(text, sizeof(text), "ip netns exec %s %s", netns, command);
	return system(text) == 0;
}

TEST(what_a_firewall_drops_on_its_way_out_is_put_down_to_its_sender)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	const struct ev_drop *e;

	if (!sandbox_open(&sb, SANDBOX_NET))
		return;
	if (system("nft --version >/dev/null 2>&1") != 0)
		skip("no-nft");
	if (!observe_drop(&ob, &sb, NULL, NULL, NULL))
		return;
	require(netns_run(sb.netns, "nft 'add table ip t; add chain ip t out { type filter hook output priority 0; };"
				    " add rule ip t out udp dport 9 drop'"));
	check_int(sandbox_run(&sb, to_nobody, (char[]) { "10.211.0.2" }), 0);
	observe_drain(&ob);
	e = find_reason(&ob, "NETFILTER_DROP");
	require(e != NULL);
	check_int(e->flow.direction, FLOW_EGRESS);
	check_int(e->flow.destination_port, 9);
	check_int(e->flow.source_port, 4009);
	check(e->head.pid != 0 && e->head.cgroup_id != 0);
	check_has(e->head.comm, "unit");
	observe_check_books(&ob);
}

/* A frame with a VLAN tag, an extension header and UDP behind it, for a device whose other end is down. */
static int tagged(const struct sandbox *sb, void *arg)
{
	struct __attribute__((packed)) {
		struct ether_header eth;
		__be16 vlan, type;
		struct ip6_hdr ip;
		unsigned char options[8];
		struct udphdr udp;
		char bytes[10];
	} frame = {
		.eth = { .ether_dhost = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, .ether_type = htons(ETHERTYPE_VLAN) },
		.vlan = htons(10),
		.type = htons(ETHERTYPE_IPV6),
		.ip = { .ip6_flow = htonl(6U << 28), .ip6_plen = htons(26), .ip6_nxt = 0, .ip6_hlim = 64 },
		.options = { IPPROTO_UDP, 0, 1, 4 }, /* hop by hop: padding */
		.udp = { .uh_sport = htons(4009), .uh_dport = htons(9), .uh_ulen = htons(18) },
	};
	struct sockaddr_ll to = { .sll_family = AF_PACKET,
				  .sll_ifindex = (int)if_nametoindex("veth0"),
				  .sll_halen = 6 };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	(void)sb;
	(void)arg;
	(void)inet_pton(AF_INET6, "fd5a::1", &frame.ip.ip6_src);
	(void)inet_pton(AF_INET6, "fd5a::2", &frame.ip.ip6_dst);
	/* ENOBUFS: the drop is told to the sender. */
	if (fd < 0 ||
	    (sendto(fd, &frame, sizeof(frame), 0, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != ENOBUFS))
		return 1;
	settle();
	return 0;
}

TEST(a_tagged_packet_is_read_behind_its_tag_and_extension_headers)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	const struct ev_drop *e = NULL, *at;

	if (!sandbox_open(&sb, SANDBOX_NET) || !observe_drop(&ob, &sb, sb.netns, "ignore", "QUEUE_PURGE"))
		return;
	require(netns_run(sb.netns_peer, "ip link set veth0 down"));
	check_int(outside_run(&sb, tagged, NULL), 0);
	observe_drain(&ob);
	for (size_t i = 0; (at = observe_find(&ob, EV_DROP_PACKET, i)); i++)
		if (at->vlan == 10)
			e = at;
	require(e != NULL);
	check_str(e->device, "veth0");
	check_int(e->flow.family, 6);
	check(!memcmp(e->flow.source.bytes, mapped("fd5a::1"), 16));
	check(!memcmp(e->flow.destination.bytes, mapped("fd5a::2"), 16));
	check_int(e->flow.transport, IPPROTO_UDP);
	check_int(e->flow.source_port, 4009);
	check_int(e->flow.destination_port, 9);
	check_int(e->flow.direction, FLOW_EGRESS);
}

TEST(the_agent_s_own_drop_is_a_canary)
{
	auto_sandbox struct sandbox sb = { 0 };
	auto_observer struct observer ob = { 0 };
	struct ev_hook_counts c;

	if (!sandbox_open(&sb, SANDBOX_PLAIN) || !observe_drop(&ob, &sb, NULL, NULL, NULL))
		return;
	require_ok(sensor_drop.exercise(HOOK_DROP));
	settle();
	require_ok(object_hook_counts(ob.object, HOOK_DROP, &c));
	check(c.canary > 0);
	check_int(c.fired, 0);
	observe_drain(&ob);
	check_int(ob.n, 0);
}
