/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/control.h"
#include <grp.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include "agent/agent.h"
#include "agent/control_alerts.h"
#include "agent/pipeline.h"
#include "agent/recorder.h"
#include "agent/stream.h"
#include "agent/talk.h"
#include "base/err.h"
#include "base/json.h"
#include "base/peer.h"
#include "base/log.h"
#include "config/option.h"
#include "context/file_hash.h"

/* How long a client may take to read what it asked for before it is let go. */
static const struct timeval send_timeout = { .tv_sec = 10 };
/* How often a stream looks whether its client is still there. */
enum { STREAM_LOOK_MS = 500 };

struct client {
	struct control *control;
	int fd;
	pthread_t thread;
	bool used;
	_Atomic bool done; /* its thread has ended and can be joined */
	bool may_write;
	struct ucred peer;
	_Atomic(struct stream *) stream;
	_Atomic __u64 sent, lost;
	bool statistics;
};

struct control {
	struct agent *agent;
	struct file_hash *hashes;
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	bool made_dir, bound;
	dev_t dev; /* of what was bound: another agent may stand at the path when this one ends */
	ino_t ino;
	int fd;
	gid_t group; /* (gid_t)-1: none */
	pthread_t thread;
	bool running;
	_Atomic bool stop;
	pthread_mutex_t lock; /* of the clients' places */
	struct client clients[CONTROL_CLIENTS_MAX];
};

/* ---- answering ------------------------------------------------------------------------------------- */

static const char *get_text(const struct json_node *object, const char *name)
{
	const struct json_node *v = object ? json_get(object, name) : NULL;

	return v && v->type == JSON_STRING ? v->s : NULL;
}

static bool get_bool(const struct json_node *object, const char *name)
{
	const struct json_node *v = object ? json_get(object, name) : NULL;

	return v && v->type == JSON_BOOL && v->b;
}

static __u64 get_number(const struct json_node *object, const char *name)
{
	const struct json_node *v = object ? json_get(object, name) : NULL;

	return v && v->type == JSON_INT && v->i > 0 ? (__u64)v->i : 0;
}

static int do_status(struct client *c)
{
	auto_buf struct buf out;

	buf_init(&out, CONTROL_ANSWER_MAX);
	agent_status(c->control->agent, c->control, &out);
	if (out.failed)
		return talk_error(c->fd, "the status does not fit into an answer");
	return talk_send(c->fd, buf_text(&out), out.len);
}

/* ---- events ------------------------------------------------------------------------------------------ */

/* A condition that is misspelt, or of the wrong type, must not pass for none: it would show everything. */
static int check_filter(const struct json_node *f)
{
	static const struct {
		const char *name;
		enum json_type type;
	} conditions[] = {
		{ "kinds", JSON_ARRAY },    { "pid", JSON_INT },          { "descendants", JSON_BOOL },
		{ "comm", JSON_STRING },    { "container", JSON_STRING }, { "path", JSON_STRING },
		{ "address", JSON_STRING }, { "expr", JSON_STRING },
	};
	const struct json_node *name;
	size_t n = 0;

	if (f->type != JSON_OBJECT)
		return err_new(-EINVAL, "filter: not an object");
	for (const struct json_node *v = json_first(f, &name); v; v = json_next(f, v, &name)) {
		size_t i = 0;

		while (i < countof(conditions) && strcmp(conditions[i].name, name->s) != 0)
			i++;
		if (i == countof(conditions))
			return err_new(-EINVAL, "filter: there is no condition \"%.64s\"", name->s);
		if (v->type != conditions[i].type)
			return err_new(-EINVAL, "filter: %s is of the wrong type", name->s);
		if (v->type == JSON_INT && (v->i < 1 || v->i > INT_MAX))
			return err_new(-EINVAL, "filter: %s is out of range", name->s);
		if (v->type != JSON_ARRAY)
			continue;
		for (const struct json_node *k = json_first(v, &name); k; k = json_next(v, k, &name))
			if (k->type != JSON_STRING || ++n > FILTER_KINDS_MAX)
				return err_new(-EINVAL, "filter: kinds are at most %d names", FILTER_KINDS_MAX);
	}
	return 0;
}

/* What the request's filter says. `names` has room for FILTER_KINDS_MAX, and all of it is the request's. */
static int read_filter(const struct json_node *request, const char **names, struct filter_spec *ret_spec)
{
	const struct json_node *f = json_get(request, "filter"), *kinds = f ? json_get(f, "kinds") : NULL, *name;
	int r = f ? check_filter(f) : 0;

	if (r < 0)
		return r;
	*ret_spec = (struct filter_spec) {
		.kinds = names,
		.pid = (__u32)get_number(f, "pid"),
		.descendants = get_bool(f, "descendants"),
		.comm = get_text(f, "comm"),
		.container = get_text(f, "container"),
		.path = get_text(f, "path"),
		.address = get_text(f, "address"),
		.expr = get_text(f, "expr"),
	};
	if (kinds)
		for (const struct json_node *v = json_first(kinds, &name); v; v = json_next(kinds, v, &name))
			names[ret_spec->n_kinds++] = v->s;
	return 0;
}

static int compile_filter(const struct json_node *request, struct filter **ret_filter)
{
	const char *names[FILTER_KINDS_MAX];
	struct filter_spec spec;
	int r = read_filter(request, names, &spec);

	return r < 0 ? r : filter_compile(&spec, ret_filter);
}

static int tell_loss(struct client *c, struct stream *st, __u64 *told)
{
	struct stream_counts counts = stream_counts(st);
	char note[96];
	int n;

	c->sent = counts.sent;
	c->lost = counts.lost;
	if (counts.lost == *told)
		return 0;
	n = snprintf(note, sizeof(note), "{\"shrike\":{\"stream\":{\"lost\":%llu}}}\n", counts.lost - *told);
	*told = counts.lost;
	return talk_send(c->fd, note, (size_t)n);
}

static int pump(struct client *c, struct stream *st)
{
	auto_buf struct buf out;
	__u64 told = 0;
	int r;

	buf_init(&out, CONTROL_ANSWER_MAX);
	for (;;) {
		buf_clear(&out);
		/* Several events a write, as long as they are there at once. */
		do
			r = stream_next(st, out.len ? 0 : STREAM_LOOK_MS, &out);
		while (r == 1 && out.len < 64 << 10);
		if (talk_send(c->fd, buf_text(&out), out.len) < 0 || tell_loss(c, st, &told) < 0)
			return -EPIPE;
		if (r == -ENODATA)
			return 0;
		if (c->control->stop || talk_has_hung_up(c->fd))
			return 0;
	}
}

static int do_events(struct client *c, const struct json_node *request)
{
	struct filter *filter;
	struct stream *st;
	struct stream_counts counts;
	char end[128];
	int r, n;

	r = compile_filter(request, &filter);
	if (r < 0)
		return talk_error(c->fd, err_trail());
	r = stream_open(agent_streams(c->control->agent), filter, get_number(request, "last"),
			get_bool(request, "follow"), &st);
	if (r < 0)
		return talk_error(c->fd, err_trail());
	c->stream = st;
	r = talk_ok(c->fd);
	if (r == 0)
		r = pump(c, st);
	counts = stream_counts(st);
	c->stream = NULL;
	stream_close(st);
	n = snprintf(end, sizeof(end), "{\"shrike\":{\"stream\":{\"end\":true,\"sent\":%llu,\"lost\":%llu}}}\n",
		     counts.sent, counts.lost);
	return r < 0 ? r : talk_send(c->fd, end, (size_t)n);
}

static bool capture_is_over(void *arg)
{
	const struct client *c = arg;

	return c->control->stop || talk_has_hung_up(c->fd);
}

/* What follows the answer is a segment; the end of the connection is its end. */
static int do_record(struct client *c, const struct json_node *request)
{
	struct pipeline *pipeline = agent_pipeline(c->control->agent);
	const char *names[FILTER_KINDS_MAX];
	struct capture_spec spec = {
		.max_ns = get_number(request, "for_ms") * 1000000,
		.max_records = get_number(request, "records"),
		.is_over = capture_is_over,
		.arg = c,
	};
	AUTO(filter) filter = NULL;
	int r = read_filter(request, names, &spec.filter);

	/* Compiled here only to tell what is wrong with it, as long as there can be an answer. */
	if (r == 0)
		r = filter_compile(&spec.filter, &filter);
	if (r == 0 && !pipeline_raw(pipeline))
		r = err_new(-ENOTSUP, "there is no raw ring to record from: set raw.ring in the configuration");
	if (r < 0)
		return talk_error(c->fd, err_trail());
	r = talk_ok(c->fd);
	if (r == 0 && recorder_capture(pipeline, &spec, c->fd) < 0 && !talk_has_hung_up(c->fd))
		log_warning("a recording for a client ended early", "pid=%d why=\"%s\"", (int)c->peer.pid, err_trail());
	return -EPIPE;
}

/* ---- changing ------------------------------------------------------------------------------------------ */

static int reload_with(struct client *c, const char *const *sets, size_t n)
{
	auto_buf struct buf changed, out;
	int r;

	buf_init(&changed, CONTROL_ANSWER_MAX / 4);
	buf_init(&out, CONTROL_ANSWER_MAX);
	r = agent_reload(c->control->agent, sets, n, &changed);
	log_notice("configuration changed by request", "uid=%u pid=%d setting=\"%s\" done=%s", c->peer.uid,
		   (int)c->peer.pid, n ? sets[0] : "read again", r < 0 ? "no" : "yes");
	if (r < 0) {
		buf_str(&out, "{\"ok\":false,\"error\":");
		json_write_str(&out, err_trail(), strlen(err_trail()));
		buf_str(&out, ",\"problems\":");
		json_write_str(&out, buf_text(&changed), changed.len);
	} else {
		buf_printf(&out, "{\"ok\":true,\"changed\":%s", buf_text(&changed));
	}
	buf_str(&out, "}\n");
	return talk_send(c->fd, buf_text(&out), out.len);
}

static int unknown_sensor(struct client *c, const char *name)
{
	char text[256];

	(void)snprintf(text, sizeof(text), "there is no sensor \"%.100s\"", name ? name : "");
	return talk_error(c->fd, text);
}

static int do_switch(struct client *c, const char *sensor, bool on)
{
	char set[256];
	const char *sets[] = { set };

	if (!sensor || !agent_has_sensor(c->control->agent, sensor))
		return unknown_sensor(c, sensor);
	(void)snprintf(set, sizeof(set), "sensors.%s.enabled=%s", sensor, on ? "true" : "false");
	return reload_with(c, sets, 1);
}

static int do_set(struct client *c, const struct json_node *request)
{
	enum { SETS_MAX = 32 };
	const struct json_node *options = json_get(request, "options"), *name;
	const char *sensor = get_text(request, "sensor"), *sets[SETS_MAX];
	auto_buf struct buf text;
	size_t n = 0, at[SETS_MAX];

	if (!sensor || !agent_has_sensor(c->control->agent, sensor))
		return unknown_sensor(c, sensor);
	if (!options || options->type != JSON_OBJECT)
		return talk_error(c->fd, "set wants options");
	buf_init(&text, SETS_MAX * OPTION_TEXT_MAX);
	for (const struct json_node *v = json_first(options, &name); v; v = json_next(options, v, &name)) {
		if (v->type != JSON_STRING || n == SETS_MAX)
			return talk_error(c->fd, "options are at most 32 texts, as one would write them in YAML");
		at[n++] = text.len;
		buf_printf(&text, "sensors.%s.%s=%s", sensor, name->s, v->s);
		buf_char(&text, 0);
	}
	if (text.failed)
		return talk_error(c->fd, "options are too long");
	for (size_t i = 0; i < n; i++)
		sets[i] = text.data + at[i];
	return reload_with(c, sets, n);
}

static int do_statistics(struct client *c, bool on)
{
	if (on != c->statistics) {
		int r = agent_statistics(c->control->agent, on);

		if (r < 0)
			return talk_error(c->fd, err_trail());
		c->statistics = on;
	}
	return talk_ok(c->fd);
}

/* On the client's own thread: a large file keeps nobody else waiting. */
static int do_hash(struct client *c, const struct json_node *request)
{
	const struct json_node *pid = json_get(request, "pid");
	char hex[SHA256_HEX_SIZE], path[PATH_MAX];
	unsigned char digest[SHA256_SIZE];
	auto_buf struct buf out;

	buf_init(&out, CONTROL_ANSWER_MAX);
	if (!pid || pid->type != JSON_INT || pid->i < 1 || pid->i > INT_MAX)
		return talk_error(c->fd, "hash wants the pid of a process");
	if (file_hash_pid(c->control->hashes, (uint32_t)pid->i, digest, path, sizeof(path)) < 0)
		return talk_error(c->fd, err_trail());
	sha256_hex(digest, hex);
	buf_printf(&out, "{\"ok\":true,\"sha256\":\"%s\",\"path\":", hex);
	(void)json_write_str(&out, path, strlen(path));
	buf_str(&out, "}\n");
	return talk_send(c->fd, buf_text(&out), out.len);
}

static int refuse(struct client *c)
{
	return talk_error(c->fd, "not allowed: only root and the agent's user may change it");
}

static struct talk_peer peer_of(const struct client *c)
{
	return (struct talk_peer) { .fd = c->fd, .uid = c->peer.uid, .pid = c->peer.pid, .stop = &c->control->stop };
}

static struct alerts *store_of(const struct client *c)
{
	return agent_alerts(c->control->agent);
}

static int handle(struct client *c, const struct json_node *request)
{
	const char *cmd = get_text(request, "cmd");

	if (!cmd)
		return talk_error(c->fd, "a request is an object with \"cmd\"");
	if (!strcmp(cmd, "status"))
		return do_status(c);
	if (!strcmp(cmd, "events"))
		return do_events(c, request);
	if (!strcmp(cmd, "record"))
		return do_record(c, request);
	if (!strcmp(cmd, "alerts"))
		return control_alerts_list(peer_of(c), store_of(c), request);
	if (!strcmp(cmd, "alert"))
		return control_alerts_one(peer_of(c), store_of(c), request);
	if (!strcmp(cmd, "alert_state"))
		return c->may_write ? control_alerts_set(peer_of(c), store_of(c), request) : refuse(c);
	if (!strcmp(cmd, "statistics"))
		return do_statistics(c, get_bool(request, "on"));
	if (!strcmp(cmd, "on") || !strcmp(cmd, "off"))
		return c->may_write ? do_switch(c, get_text(request, "sensor"), cmd[1] == 'n') : refuse(c);
	if (!strcmp(cmd, "set"))
		return c->may_write ? do_set(c, request) : refuse(c);
	if (!strcmp(cmd, "reload"))
		return c->may_write ? reload_with(c, NULL, 0) : refuse(c);
	if (!strcmp(cmd, "hash"))
		return c->may_write ? do_hash(c, request) : refuse(c);
	return talk_error(c->fd, "unknown command");
}

/* ---- connections ------------------------------------------------------------------------------------------ */

static int handle_line(struct client *c, const char *line, size_t n)
{
	static const struct json_limits limits = { CONTROL_LINE_MAX, 4096, 8 };
	auto_json struct json_doc doc;
	const struct json_node *root;

	json_init(&doc, &limits);
	if (json_parse(&doc, line, n, &root) < 0)
		return talk_error(c->fd, err_trail());
	return handle(c, root);
}

static void serve(struct client *c)
{
	auto_free char *line = malloc(CONTROL_LINE_MAX);
	size_t used = 0;

	while (line && !c->control->stop) {
		ssize_t n = recv(c->fd, line + used, CONTROL_LINE_MAX - used, 0);
		char *end;

		if (n <= 0 && !(n < 0 && errno == EINTR))
			return;
		used += n > 0 ? (size_t)n : 0;
		while ((end = memchr(line, '\n', used))) {
			if (handle_line(c, line, (size_t)(end - line)) < 0)
				return;
			used -= (size_t)(end + 1 - line);
			memmove(line, end + 1, used);
		}
		if (used == CONTROL_LINE_MAX) {
			(void)talk_error(c->fd, "a request is longer than 64 KiB");
			return;
		}
	}
}

static void *client_main(void *arg)
{
	struct client *c = arg;

	serve(c);
	if (c->statistics)
		(void)agent_statistics(c->control->agent, false);
	c->statistics = false;
	(void)shutdown(c->fd, SHUT_RDWR);
	c->done = true;
	return NULL;
}

/* Frees the places of clients that have gone. */
static void reap(struct control *ctl, bool all)
{
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct client *c = &ctl->clients[i];

		if (!c->used || !(all || c->done))
			continue;
		if (all)
			(void)shutdown(c->fd, SHUT_RDWR);
		(void)pthread_join(c->thread, NULL);
		(void)pthread_mutex_lock(&ctl->lock);
		(void)close(c->fd);
		c->used = false;
		(void)pthread_mutex_unlock(&ctl->lock);
	}
}

/* NULL when no more than `reserve` places are free. */
static struct client *free_place(struct control *ctl, size_t reserve)
{
	struct client *free = NULL;
	size_t n = 0;

	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (!ctl->clients[i].used) {
			free = &ctl->clients[i];
			n++;
		}
	return n > reserve ? free : NULL;
}

static void refuse_fd(int fd, const char *line)
{
	(void)send(fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT);
	(void)close(fd);
}

static void admit(struct control *ctl, int fd)
{
	struct client *c;
	struct ucred peer;
	socklen_t len = sizeof(peer);
	bool trusted;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len)) {
		(void)close(fd);
		return;
	}
	trusted = peer.uid == 0 || peer.uid == geteuid();
	if (!trusted && !peer_in_group(fd, &peer, ctl->group)) {
		refuse_fd(fd, "{\"ok\":false,\"error\":\"not allowed: run as root, or join agent.socket_group\"}\n");
		return;
	}
	c = free_place(ctl, trusted ? 0 : CONTROL_RESERVED);
	if (!c) {
		refuse_fd(fd, "{\"ok\":false,\"error\":\"too many connections\"}\n");
		return;
	}
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &send_timeout, sizeof(send_timeout));
	(void)pthread_mutex_lock(&ctl->lock);
	*c = (struct client) { .control = ctl, .fd = fd, .may_write = trusted, .peer = peer, .used = true };
	(void)pthread_mutex_unlock(&ctl->lock);
	if (pthread_create(&c->thread, NULL, client_main, c)) {
		(void)pthread_mutex_lock(&ctl->lock);
		c->used = false;
		(void)pthread_mutex_unlock(&ctl->lock);
		(void)close(fd);
	}
}

static void *accept_main(void *arg)
{
	struct control *ctl = arg;

	while (!ctl->stop) {
		int fd = accept4(ctl->fd, NULL, NULL, SOCK_CLOEXEC);

		reap(ctl, false);
		if (fd >= 0)
			admit(ctl, fd);
		else if (errno == EMFILE || errno == ENFILE)
			(void)usleep(100000);
	}
	return NULL;
}

void control_status(struct control *ctl, struct buf *out)
{
	bool first = true;

	buf_char(out, '[');
	(void)pthread_mutex_lock(&ctl->lock);
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct client *c = &ctl->clients[i];

		if (!c->used || !c->stream)
			continue;
		buf_printf(out, "%s{\"pid\":%d,\"uid\":%u,\"sent\":%llu,\"lost\":%llu}", first ? "" : ",",
			   (int)c->peer.pid, c->peer.uid, c->sent, c->lost);
		first = false;
	}
	(void)pthread_mutex_unlock(&ctl->lock);
	buf_char(out, ']');
}

/* ---- opening and closing -------------------------------------------------------------------------------------- */

/* Does somebody answer at this path? One who is too busy (EAGAIN) is alive. */
static bool is_alive(const struct sockaddr_un *addr)
{
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd >= 0 && (!connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) || errno == EAGAIN);
}

static int make_address(const char *path, struct sockaddr_un *ret_addr)
{
	*ret_addr = (struct sockaddr_un) { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(ret_addr->sun_path))
		return err_new(-ENAMETOOLONG, "the control socket's path is longer than %zu bytes",
			       sizeof(ret_addr->sun_path) - 1);
	(void)snprintf(ret_addr->sun_path, sizeof(ret_addr->sun_path), "%s", path);
	return 0;
}

/* Nothing stands at the path, or a socket at which nobody answers. */
static int check_path(const struct sockaddr_un *addr)
{
	struct stat st;

	if (is_alive(addr))
		return err_new(-EADDRINUSE,
			       "another agent answers at %s: stop it, or choose another path with --socket",
			       addr->sun_path);
	if (lstat(addr->sun_path, &st) == 0 && !S_ISSOCK(st.st_mode))
		return err_new(-EEXIST, "%s is there and is no socket: remove it, or choose another path with --socket",
			       addr->sun_path);
	return 0;
}

/* The folder of the socket, made when it is not there. */
static int make_dir(struct control *ctl)
{
	char dir[sizeof(ctl->path)], *slash;

	(void)snprintf(dir, sizeof(dir), "%s", ctl->path);
	slash = strrchr(dir, '/');
	if (!slash || slash == dir)
		return 0;
	*slash = 0;
	if (mkdir(dir, 0755) == 0)
		ctl->made_dir = true;
	else if (errno != EEXIST)
		return err_sys(errno, "make the folder %s of the control socket", dir);
	return 0;
}

static int find_group(const char *name, gid_t *ret_group)
{
	struct group *g;

	*ret_group = (gid_t)-1;
	if (!name || !name[0])
		return 0;
	g = getgrnam(name);
	if (!g)
		return err_new(-ENOENT, "agent.socket_group: there is no group \"%s\"", name);
	*ret_group = g->gr_gid;
	return 0;
}

int control_check(const char *path, const char *group)
{
	struct sockaddr_un addr;
	gid_t gid;
	int r = make_address(path, &addr);

	if (r == 0)
		r = check_path(&addr);
	return r < 0 ? r : find_group(group, &gid);
}

static int listen_at(struct control *ctl, const struct sockaddr_un *addr)
{
	mode_t mode = ctl->group == (gid_t)-1 ? 0600 : 0660;
	struct stat st;
	mode_t old;
	int r;

	r = check_path(addr);
	if (r < 0)
		return r;
	(void)unlink(ctl->path);
	r = make_dir(ctl);
	if (r < 0)
		return r;
	ctl->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (ctl->fd < 0)
		return err_sys(errno, "make the control socket");
	old = umask(0777 & ~mode);
	r = bind(ctl->fd, (const struct sockaddr *)addr, sizeof(*addr)) ? errno : 0;
	(void)umask(old);
	if (r)
		return err_sys(r, "bind the control socket %s", ctl->path);
	ctl->bound = !lstat(ctl->path, &st);
	ctl->dev = st.st_dev;
	ctl->ino = st.st_ino;
	if ((ctl->group != (gid_t)-1 && chown(ctl->path, (uid_t)-1, ctl->group)) || listen(ctl->fd, 16))
		return err_sys(errno, "listen at %s", ctl->path);
	return 0;
}

int control_open(struct agent *agent, const char *path, const char *group, struct control **ret_control)
{
	AUTO(control) ctl = calloc(1, sizeof(*ctl));
	struct sockaddr_un addr;
	int r;

	if (!ctl)
		return err_new(-ENOMEM, "no memory for the control socket");
	ctl->fd = -1;
	ctl->agent = agent;
	(void)pthread_mutex_init(&ctl->lock, NULL);
	r = file_hash_open(NULL, &ctl->hashes);
	if (r < 0)
		return r;
	r = make_address(path, &addr);
	if (r < 0)
		return r;
	memcpy(ctl->path, addr.sun_path, sizeof(ctl->path));
	r = find_group(group, &ctl->group);
	if (r < 0)
		return r;
	r = listen_at(ctl, &addr);
	if (r < 0)
		return r;
	r = pthread_create(&ctl->thread, NULL, accept_main, ctl);
	if (r)
		return err_sys(r, "start the control thread");
	ctl->running = true;
	(void)pthread_setname_np(ctl->thread, "control");
	*ret_control = take(ctl);
	return 0;
}

/* Also what a half-opened control has made, and nothing that somebody else has. */
static void remove_socket(struct control *ctl)
{
	char *slash = strrchr(ctl->path, '/');
	struct stat st;

	if (ctl->bound && !lstat(ctl->path, &st) && st.st_dev == ctl->dev && st.st_ino == ctl->ino)
		(void)unlink(ctl->path);
	if (ctl->made_dir && slash) {
		*slash = 0;
		(void)rmdir(ctl->path);
	}
}

void control_free(struct control *ctl)
{
	if (!ctl)
		return;
	ctl->stop = true;
	if (ctl->fd >= 0)
		(void)shutdown(ctl->fd, SHUT_RDWR); /* ends accept4() */
	if (ctl->running)
		(void)pthread_join(ctl->thread, NULL);
	reap(ctl, true);
	remove_socket(ctl);
	fd_closep(&ctl->fd);
	file_hash_free(ctl->hashes);
	(void)pthread_mutex_destroy(&ctl->lock);
	free(ctl);
}
