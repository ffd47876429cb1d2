/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server - sockets: listening, accepting, reading and writing for the connections of each loop.
 *
 * A loop is a thread with an epoll of its own; each takes connections from both listening sockets. No call here waits
 * but epoll_wait. One turn gives every connection that has something to do a bounded share of it.
 */
#include <arpa/inet.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include "api/internal.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/ip.h"
#include "base/log.h"
#include "base/peer.h"

enum {
	EVENTS_MAX = 64,
	ACCEPTS_MAX = 64, /* a turn */
	READS_MAX = 4,    /* a connection and turn */
	FILLS_MAX = 4,    /* the same */
	READ_BYTES = 64 << 10,
	SEND_BUFFER = 256 << 10, /* a client that does not read holds so much of the kernel's memory, not megabytes */
	LINGER_BYTES_MAX = 1 << 20,
	BACKLOG = 128,
};

static const uint64_t linger_ns = 2 * NS_PER_S;

struct slot {
	struct conn conn;
	struct server_loop *server;
	struct slot *prev, *next;
	int fd;
	struct tls_conn *tls;
	bool shaking;             /* hands, still */
	bool wants_write;         /* it waits for room */
	bool unread;              /* it was not read to the end */
	bool closed;              /* to be freed at the end of the turn */
	uint32_t asked;           /* of epoll */
	uint64_t linger_until_ns; /* all was sent: only the client's end is waited for */
	size_t lingered;
};

struct server_loop {
	struct loop loop;
	pthread_t thread;
	int epoll;
	_Atomic bool stop;
	bool running;
	struct slot *slots, *closed;
	uint64_t checked_ns;
	char read_buffer[READ_BYTES];
};

/* What epoll's data points to, where it is no slot. */
static char tcp_mark, unix_mark, box_mark;

/* ---- one connection --------------------------------------------------------------------------------------- */

static void close_slot(struct slot *s)
{
	struct server_loop *server = s->server;

	if (s->closed)
		return;
	s->closed = true;
	conn_clear(&s->conn);
	if (s->tls)
		tls_shutdown(s->tls);
	tls_conn_free(take(s->tls));
	/* By name: a child that is between its fork and its exec has the descriptor too, and epoll would go on with it.
	 */
	(void)epoll_ctl(server->epoll, EPOLL_CTL_DEL, s->fd, NULL);
	(void)close(s->fd);
	(void)atomic_fetch_sub(&server->loop.api->counters.connections_open, 1);
	if (s->prev)
		s->prev->next = s->next;
	else
		server->slots = s->next;
	if (s->next)
		s->next->prev = s->prev;
	/* An event of this turn may still point to it. */
	s->next = server->closed;
	server->closed = s;
}

static void free_closed(struct server_loop *server)
{
	struct slot *next;

	for (struct slot *s = take(server->closed); s; s = next) {
		next = s->next;
		free(s);
	}
}

static void ask(struct slot *s)
{
	uint32_t want = EPOLLRDHUP;
	struct epoll_event e = { .data.ptr = s };

	if (s->shaking || s->linger_until_ns || conn_wants_input(&s->conn))
		want |= EPOLLIN;
	/* Half of a connection that does not read us is not told again and again. */
	if (s->conn.eof)
		want = 0;
	if (s->wants_write)
		want |= EPOLLOUT;
	if (want == s->asked)
		return;
	s->asked = want;
	e.events = want;
	if (epoll_ctl(s->server->epoll, EPOLL_CTL_MOD, s->fd, &e))
		close_slot(s);
}

static ssize_t receive(struct slot *s, char *to, size_t n)
{
	ssize_t got;

	if (s->tls)
		return tls_read(s->tls, to, n);
	got = recv(s->fd, to, n, MSG_DONTWAIT);
	if (got > 0)
		return got;
	if (got == 0)
		return TLS_CLOSED;
	return errno == EAGAIN || errno == EINTR ? TLS_AGAIN : TLS_FAILED;
}

static ssize_t transmit(struct slot *s, const char *bytes, size_t n)
{
	ssize_t sent;

	if (s->tls)
		return tls_write(s->tls, bytes, n);
	sent = send(s->fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent >= 0)
		return sent;
	return errno == EAGAIN || errno == EINTR ? TLS_AGAIN : TLS_FAILED;
}

/* Reads what is there, up to a share. */
static void read_slot(struct slot *s)
{
	struct server_loop *server = s->server;

	s->unread = false;
	for (unsigned i = 0; conn_wants_input(&s->conn); i++) {
		ssize_t n;

		if (i == READS_MAX) {
			s->unread = true;
			conn_kick(&s->conn);
			return;
		}
		n = receive(s, server->read_buffer, sizeof(server->read_buffer));
		if (n == TLS_AGAIN)
			return;
		if (n == TLS_FAILED) {
			s->conn.broken = true;
			conn_kick(&s->conn);
			return;
		}
		if (n == TLS_CLOSED) {
			conn_eof(&s->conn);
			return;
		}
		conn_feed(&s->conn, server->read_buffer, (size_t)n);
	}
	/* What is left may be in TLS's own buffer, of which epoll knows nothing. */
	s->unread = true;
}

/* Sends until the socket is full; false: it is. */
static bool write_slot(struct slot *s)
{
	struct conn *c = &s->conn;

	while (conn_pending(c)) {
		ssize_t n = transmit(s, c->out.data + c->out_at, conn_pending(c));

		if (n == TLS_AGAIN)
			return false;
		if (n < 0) {
			c->broken = true;
			return true;
		}
		conn_sent(c, (size_t)n);
	}
	return true;
}

/*
 * Bytes of the client's that nobody has read turn a close into a reset, which may overtake our last answer: so our
 * side is closed first, and the client's is waited for, for a while.
 */
static void finish_slot(struct slot *s)
{
	if (s->conn.broken || s->conn.eof || s->conn.out.failed) {
		close_slot(s);
		return;
	}
	if (s->linger_until_ns)
		return;
	if (s->tls)
		tls_shutdown(s->tls);
	(void)shutdown(s->fd, SHUT_WR);
	s->linger_until_ns = s->server->loop.now_ns + linger_ns;
	ask(s);
}

static void linger(struct slot *s)
{
	ssize_t n;

	while ((n = recv(s->fd, s->server->read_buffer, READ_BYTES, MSG_DONTWAIT)) > 0) {
		s->lingered += (size_t)n;
		if (s->lingered > LINGER_BYTES_MAX)
			break;
	}
	if (n >= 0 || (errno != EAGAIN && errno != EINTR))
		close_slot(s);
}

/* Makes and sends what there is, up to a share. */
static void pump(struct slot *s)
{
	struct conn *c = &s->conn;
	unsigned i;

	if (s->closed || s->shaking || s->linger_until_ns)
		return;
	s->wants_write = false;
	for (i = 0; i < FILLS_MAX && !s->wants_write; i++) {
		conn_fill(c);
		if (!conn_pending(c))
			break;
		s->wants_write = !write_slot(s);
		if (c->broken)
			break;
	}
	if (conn_is_over(c)) {
		finish_slot(s);
		return;
	}
	if (s->unread && conn_wants_input(c))
		read_slot(s);
	if (i == FILLS_MAX && !s->wants_write)
		conn_kick(c);
	ask(s);
}

static void shake(struct slot *s)
{
	int r = tls_handshake(s->tls, &s->wants_write);

	if (r == TLS_AGAIN) {
		ask(s);
		return;
	}
	if (r < 0) {
		COUNT(s->conn.api->counters.tls_failed);
		close_slot(s);
		return;
	}
	s->shaking = false;
	s->wants_write = false;
	tls_peer_cn(s->tls, s->conn.peer.cn, sizeof(s->conn.peer.cn));
	if (tls_speaks_http2(s->tls))
		conn_set_protocol(&s->conn, PROTOCOL_HTTP2);
	conn_kick(&s->conn);
	read_slot(s);
}

static void on_slot(struct slot *s, uint32_t events)
{
	if (s->closed)
		return;
	if (events & (EPOLLERR | EPOLLHUP)) {
		close_slot(s);
		return;
	}
	if (s->shaking) {
		shake(s);
		return;
	}
	if (s->linger_until_ns) {
		linger(s);
		return;
	}
	if (events & EPOLLIN)
		read_slot(s);
	else if (events & EPOLLRDHUP)
		conn_eof(&s->conn); /* it is not read, but who has gone need not be served */
	conn_kick(&s->conn);
}

/* ---- accepting -------------------------------------------------------------------------------------------- */

static void refuse_fd(int fd, const char *text)
{
	(void)send(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
	(void)close(fd);
}

static bool identify_unix(const struct api *api, int fd, struct peer *peer)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		return false;
	peer->is_unix = true;
	peer->uid = cred.uid;
	if (cred.uid == 0 || cred.uid == geteuid())
		peer->unix_role = ROLE_ADMIN;
	else if (peer_in_group(fd, &cred, (gid_t)api->socket_group))
		peer->unix_role = ROLE_VIEWER;
	(void)snprintf(peer->text, sizeof(peer->text), "pid:%d uid:%u", (int)cred.pid, cred.uid);
	return true;
}

static void name_peer(const struct sockaddr_storage *addr, struct peer *peer)
{
	const struct sockaddr_in6 *six = (const void *)addr;
	const struct sockaddr_in *four = (const void *)addr;
	char text[INET6_ADDRSTRLEN] = "?";

	if (addr->ss_family == AF_INET6) {
		(void)inet_ntop(AF_INET6, &six->sin6_addr, text, sizeof(text));
		(void)snprintf(peer->text, sizeof(peer->text), "[%s]:%u", text, ntohs(six->sin6_port));
	} else {
		(void)inet_ntop(AF_INET, &four->sin_addr, text, sizeof(text));
		(void)snprintf(peer->text, sizeof(peer->text), "%s:%u", text, ntohs(four->sin_port));
	}
}

static void set_tcp_options(int fd)
{
	const int one = 1, idle_s = 60, buffer = SEND_BUFFER;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
}

static void admit(struct server_loop *server, int fd, const struct peer *peer)
{
	struct api *api = server->loop.api;
	struct slot *s = calloc(1, sizeof(*s));
	struct epoll_event e = { .events = EPOLLIN | EPOLLRDHUP };

	if (!s) {
		(void)close(fd);
		return;
	}
	s->server = server;
	s->fd = fd;
	s->asked = e.events;
	conn_init(&s->conn, api, &server->loop, peer);
	COUNT(api->counters.connections);
	COUNT(api->counters.connections_open);
	s->next = server->slots;
	if (s->next)
		s->next->prev = s;
	server->slots = s;
	e.data.ptr = s;
	s->shaking = api->tls && !peer->is_unix;
	s->conn.peer.is_tls = s->shaking;
	if ((s->shaking && tls_conn_open(api->tls, fd, &s->tls) < 0) || epoll_ctl(server->epoll, EPOLL_CTL_ADD, fd, &e))
		close_slot(s);
}

static void accept_from(struct server_loop *server, int listener, bool is_unix)
{
	struct api *api = server->loop.api;

	for (unsigned i = 0; i < ACCEPTS_MAX; i++) {
		struct sockaddr_storage addr = { 0 };
		socklen_t len = sizeof(addr);
		struct peer peer = { 0 };
		int fd = accept4(listener, (struct sockaddr *)&addr, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0)
			return;
		if (atomic_load(&api->counters.connections_open) >= api->settings.connections) {
			COUNT(api->counters.connections_refused);
			/* Over TLS there is no way to say so that is worth a handshake. */
			refuse_fd(fd, api->tls && !is_unix ? ""
							   : "HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\n"
							     "content-length: 0\r\nconnection: close\r\n\r\n");
			continue;
		}
		if (is_unix && !identify_unix(api, fd, &peer)) {
			(void)close(fd);
			continue;
		}
		if (!is_unix) {
			name_peer(&addr, &peer);
			set_tcp_options(fd);
		}
		admit(server, fd, &peer);
	}
}

/* ---- the loop --------------------------------------------------------------------------------------------- */

static void run_kicked(struct server_loop *server)
{
	struct conn *next, *c = take(server->loop.kicked);

	/* Those that are kicked while this runs have their turn in the next one. */
	for (; c; c = next) {
		next = c->kick_next;
		c->kicked = false;
		c->kick_next = NULL;
		pump(container_of(c, struct slot, conn));
	}
}

static void check_times(struct server_loop *server)
{
	uint64_t now_ns = server->loop.now_ns;
	struct slot *next;

	if (now_ns < server->checked_ns + NS_PER_S / 2)
		return;
	server->checked_ns = now_ns;
	access_refresh(server->loop.api->access, now_ns);
	for (struct slot *s = server->slots; s; s = next) {
		next = s->next;
		if (s->linger_until_ns) {
			if (now_ns > s->linger_until_ns)
				close_slot(s);
			continue;
		}
		conn_check_time(&s->conn, now_ns);
		if (s->shaking && (s->conn.finishing || s->conn.broken))
			close_slot(s);
	}
}

static int timeout_ms(const struct server_loop *server)
{
	uint64_t next = loop_next_ns(&server->loop), now = server->loop.now_ns, ms = NS_PER_S / NS_PER_MS;

	if (server->loop.kicked)
		return 0;
	if (!server->slots && !next)
		return -1;
	if (next) {
		uint64_t until = next > now ? (next - now + NS_PER_MS - 1) / NS_PER_MS : 0;

		ms = until < ms ? until : ms;
	}
	return (int)ms;
}

static void *loop_main(void *arg)
{
	struct server_loop *server = arg;
	struct api *api = server->loop.api;
	struct epoll_event events[EVENTS_MAX];

	while (!server->stop) {
		int n = epoll_wait(server->epoll, events, EVENTS_MAX, timeout_ms(server));

		server->loop.now_ns = clock_boot_ns();
		for (int i = 0; i < n; i++) {
			void *what = events[i].data.ptr;

			if (what == &tcp_mark)
				accept_from(server, api->tcp_fd, false);
			else if (what == &unix_mark)
				accept_from(server, api->unix_fd, true);
			else if (what == &box_mark)
				loop_take_woken(&server->loop);
			else
				on_slot(what, events[i].events);
		}
		loop_take_timed(&server->loop);
		run_kicked(server);
		check_times(server);
		free_closed(server);
	}
	return NULL;
}

/* ---- listening -------------------------------------------------------------------------------------------- */

int server_parse_address(const char *text, struct sockaddr_storage *ret_addr, socklen_t *ret_len)
{
	const struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
					.ai_socktype = SOCK_STREAM };
	const char *colon = strrchr(text, ':');
	struct addrinfo *found;
	char host[64];
	size_t n = colon ? (size_t)(colon - text) : 0;

	if (!colon || n >= sizeof(host) || !colon[1])
		return err_new(-EINVAL, "\"%s\" is no ADDRESS:PORT", text);
	(void)snprintf(host, sizeof(host), "%.*s", (int)n, text);
	if (host[0] == '[' && n > 2 && host[n - 1] == ']') {
		host[n - 1] = 0;
		memmove(host, host + 1, n - 1);
	} else if (strchr(host, ':')) {
		return err_new(-EINVAL, "\"%s\": an IPv6 address stands in brackets: [::1]:7070", text);
	}
	if (!strcmp(host, "localhost"))
		(void)snprintf(host, sizeof(host), "127.0.0.1");
	if (!host[0] || strtoul(colon + 1, NULL, 10) > 65535 || getaddrinfo(host, colon + 1, &hints, &found))
		return err_new(-EINVAL, "\"%s\" is no ADDRESS:PORT, such as 127.0.0.1:7070 or [::]:7070", text);
	memcpy(ret_addr, found->ai_addr, found->ai_addrlen);
	*ret_len = found->ai_addrlen;
	freeaddrinfo(found);
	return 0;
}

bool server_is_loopback(const struct sockaddr_storage *addr)
{
	const struct sockaddr_in6 *six = (const void *)addr;
	const struct sockaddr_in *four = (const void *)addr;

	if (addr->ss_family == AF_INET)
		return ntohl(four->sin_addr.s_addr) >> 24 == 127;
	return IN6_IS_ADDR_LOOPBACK(&six->sin6_addr) ||
	       (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr) && six->sin6_addr.s6_addr[12] == 127);
}

static int listen_tcp(struct api *api, const char *text)
{
	struct sockaddr_storage addr;
	struct peer self = { 0 };
	socklen_t len;
	const int one = 1;
	int r;

	if (!text[0])
		return 0;
	r = server_parse_address(text, &addr, &len);
	if (r < 0)
		return err_wrap(r, "api.listen");
	api->tcp_fd = socket(addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (api->tcp_fd < 0)
		return err_sys(errno, "make a socket for %s", text);
	(void)setsockopt(api->tcp_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(api->tcp_fd, (struct sockaddr *)&addr, len) || listen(api->tcp_fd, BACKLOG))
		return err_sys(errno, "listen at %s (api.listen)", text);
	len = sizeof(addr);
	if (getsockname(api->tcp_fd, (struct sockaddr *)&addr, &len))
		return err_sys(errno, "listen at %s", text);
	name_peer(&addr, &self);
	(void)snprintf(api->address, sizeof(api->address), "%s", self.text);
	return 0;
}

static int check_socket_path(const struct sockaddr_un *addr)
{
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat st;

	if (fd >= 0 && (!connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) || errno == EAGAIN))
		return err_new(-EADDRINUSE, "somebody answers at %s already: choose another api.socket",
			       addr->sun_path);
	if (lstat(addr->sun_path, &st) == 0 && !S_ISSOCK(st.st_mode))
		return err_new(-EEXIST, "%s is there and is no socket: choose another api.socket", addr->sun_path);
	(void)unlink(addr->sun_path);
	return 0;
}

static int make_socket_dir(struct api *api, const char *path)
{
	char dir[sizeof(api->socket_path)];
	const char *slash = strrchr(path, '/');

	if (slash == path)
		return 0;
	(void)snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
	api->made_dir = !mkdir(dir, 0755);
	return api->made_dir || errno == EEXIST ? 0 : err_sys(errno, "make the folder %s (api.socket)", dir);
}

static void remove_socket(struct api *api)
{
	char *slash = strrchr(api->socket_path, '/');
	struct stat st;

	if (api->unix_bound && !lstat(api->socket_path, &st) && st.st_ino == api->socket_ino)
		(void)unlink(api->socket_path);
	if (api->made_dir && slash) {
		*slash = 0;
		(void)rmdir(api->socket_path);
	}
}

static int listen_unix(struct api *api, const char *path, const char *group_name)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct group *group = NULL;
	struct stat st;
	int r;

	api->socket_group = (uint32_t)-1;
	if (!path[0])
		return 0;
	if (strlen(path) >= sizeof(addr.sun_path))
		return err_new(-ENAMETOOLONG, "api.socket: the path is longer than %zu bytes",
			       sizeof(addr.sun_path) - 1);
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	if (group_name[0]) {
		group = getgrnam(group_name);
		if (!group)
			return err_new(-ENOENT, "api.socket_group: there is no group \"%s\"", group_name);
		api->socket_group = group->gr_gid;
	}
	(void)snprintf(api->socket_path, sizeof(api->socket_path), "%s", path);
	r = check_socket_path(&addr);
	if (r == 0)
		r = make_socket_dir(api, path);
	if (r < 0)
		return r;
	api->unix_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (api->unix_fd < 0)
		return err_sys(errno, "make a socket for %s", path);
	/* The file gets the mode that the socket has when it is bound: nobody can come in between. */
	(void)fchmod(api->unix_fd, group ? 0660 : 0600);
	if (bind(api->unix_fd, (struct sockaddr *)&addr, sizeof(addr)))
		return err_sys(errno, "bind %s (api.socket)", path);
	api->unix_bound = !lstat(path, &st);
	api->socket_ino = st.st_ino;
	if ((group && chown(path, (uid_t)-1, group->gr_gid)) || listen(api->unix_fd, BACKLOG))
		return err_sys(errno, "listen at %s (api.socket)", path);
	return 0;
}

/* ---- opening and closing ---------------------------------------------------------------------------------- */

static int watch(struct server_loop *server, int fd, void *mark, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = mark };

	if (fd >= 0 && epoll_ctl(server->epoll, EPOLL_CTL_ADD, fd, &e))
		return err_sys(errno, "watch a socket of the API");
	return 0;
}

static int open_loop(struct api *api)
{
	struct server_loop *server = calloc(1, sizeof(*server));
	int r;

	if (!server)
		return err_new(-ENOMEM, "no memory for a loop of the API");
	server->epoll = -1;
	api->loops[api->n_loops++] = &server->loop;
	r = loop_init(&server->loop, api);
	server->loop.server = server;
	if (r < 0)
		return r;
	server->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (server->epoll < 0)
		return err_sys(errno, "make an epoll for the API");
	r = watch(server, api->tcp_fd, &tcp_mark, EPOLLIN | EPOLLEXCLUSIVE);
	if (r == 0)
		r = watch(server, api->unix_fd, &unix_mark, EPOLLIN | EPOLLEXCLUSIVE);
	if (r == 0)
		r = watch(server, server->loop.box->event_fd, &box_mark, EPOLLIN);
	if (r < 0)
		return r;
	r = pthread_create(&server->thread, NULL, loop_main, server);
	if (r)
		return err_sys(r, "start a thread of the API");
	server->running = true;
	(void)pthread_setname_np(server->thread, "api");
	return 0;
}

int server_open(struct api *api, const struct api_settings *settings)
{
	int r = listen_tcp(api, settings->listen);

	if (r == 0)
		r = listen_unix(api, settings->socket, settings->socket_group);
	for (unsigned i = 0; i < settings->threads && i < LOOPS_MAX && r == 0; i++)
		r = open_loop(api);
	return r;
}

static void close_loop(struct server_loop *server)
{
	const uint64_t one = 1;

	server->stop = true;
	if (server->running) {
		(void)!write(server->loop.box->event_fd, &one, sizeof(one));
		(void)pthread_join(server->thread, NULL);
	}
	while (server->slots)
		close_slot(server->slots);
	free_closed(server);
	loop_clear(&server->loop);
	fd_closep(&server->epoll);
	free(server);
}

void server_close(struct api *api)
{
	for (unsigned i = 0; i < api->n_loops; i++)
		close_loop(api->loops[i]->server);
	api->n_loops = 0;
	remove_socket(api);
	fd_closep(&api->tcp_fd);
	fd_closep(&api->unix_fd);
}
