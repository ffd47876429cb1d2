/* SPDX-License-Identifier: Apache-2.0 */
#include "context/container.h"
#include <stdbool.h>
#include <string.h>
#include "base/mem.h"

enum { DEPTH_MAX = 64, HEX_ID = 64 };

const char *const container_runtime_names[RUNTIME_COUNT] = {
	[RUNTIME_NONE] = "",      [RUNTIME_UNKNOWN] = "unknown",       [RUNTIME_DOCKER] = "docker",
	[RUNTIME_CRIO] = "cri-o", [RUNTIME_CONTAINERD] = "containerd", [RUNTIME_PODMAN] = "podman",
	[RUNTIME_LXC] = "lxc",    [RUNTIME_NSPAWN] = "systemd-nspawn",
};

/* One component of a path. */
struct part {
	const char *p;
	size_t n;
};

static bool is(struct part a, const char *s)
{
	return a.n == strlen(s) && !memcmp(a.p, s, a.n);
}

static bool cut_prefix(struct part *a, const char *s)
{
	size_t n = strlen(s);

	if (a->n < n || memcmp(a->p, s, n) != 0)
		return false;
	*a = (struct part) { a->p + n, a->n - n };
	return true;
}

static bool cut_suffix(struct part *a, const char *s)
{
	size_t n = strlen(s);

	if (a->n < n || memcmp(a->p + a->n - n, s, n) != 0)
		return false;
	a->n -= n;
	return true;
}

static bool ends(struct part a, const char *s)
{
	return cut_suffix(&a, s);
}

static bool is_hex(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'a' && p[i] <= 'f')))
			return false;
	return n > 0;
}

static bool is_number(struct part a)
{
	for (size_t i = 0; i < a.n; i++)
		if (a.p[i] < '0' || a.p[i] > '9')
			return false;
	return a.n > 0;
}

static bool is_id(struct part a)
{
	return a.n == HEX_ID && is_hex(a.p, a.n);
}

static bool keep(struct part a, char *to, size_t max)
{
	if (!a.n || a.n > max)
		return false;
	memcpy(to, a.p, a.n);
	to[a.n] = 0;
	return true;
}

/* ---- pods ------------------------------------------------------------------------------------ */

/* A pod's uid is a UUID, whose dashes systemd turns into underscores, or for static pods 32 digits. */
static bool pod_uid(struct part a, char *ret_uid)
{
	char uid[37];

	if (a.n == 32 && is_hex(a.p, 32))
		return keep(a, ret_uid, 36);
	if (a.n != 36)
		return false;
	for (size_t i = 0; i < 36; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? a.p[i] != '-' && a.p[i] != '_' : !is_hex(a.p + i, 1))
			return false;
		uid[i] = dash ? '-' : a.p[i];
	}
	return keep((struct part) { uid, 36 }, ret_uid, 36);
}

/* "[kubelet-]kubepods[-burstable|-besteffort]-pod<uid>.slice" */
static bool pod_of_slice(struct part a, char *ret_uid)
{
	if (!cut_suffix(&a, ".slice"))
		return false;
	(void)cut_prefix(&a, "kubelet-");
	if (!cut_prefix(&a, "kubepods-"))
		return false;
	if (!cut_prefix(&a, "burstable-"))
		(void)cut_prefix(&a, "besteffort-");
	return cut_prefix(&a, "pod") && pod_uid(a, ret_uid);
}

/* ---- containers ------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	enum container_runtime runtime;
} prefixes[] = {
	{ "docker", RUNTIME_DOCKER },      { "cri-containerd", RUNTIME_CONTAINERD },
	{ "nerdctl", RUNTIME_CONTAINERD }, { "crio", RUNTIME_CRIO },
	{ "libpod", RUNTIME_PODMAN },
};

/* What stood before a component that looks like a container's. */
struct where {
	struct part up[2]; /* the parent and its parent; empty at the top */
	size_t depth;
	bool in_pod;
};

/* "<runtime>-<id>[.scope]" */
static bool named_container(struct part a, struct container_info *info)
{
	(void)cut_suffix(&a, ".scope");
	for (size_t i = 0; i < countof(prefixes); i++) {
		struct part id = a;

		if (cut_prefix(&id, prefixes[i].name) && cut_prefix(&id, "-") && is_id(id)) {
			info->runtime = prefixes[i].runtime;
			return keep(id, info->id, CONTAINER_ID_MAX);
		}
	}
	return false;
}

/* "<slice>:<runtime>:<id>": the systemd spelling, given to a runtime that was set up for cgroupfs. */
static bool colon_container(struct part a, struct container_info *info)
{
	struct part slice = a;
	const char *colon = memchr(a.p, ':', a.n);

	if (!colon)
		return false;
	slice.n = (size_t)(colon - a.p);
	a = (struct part) { colon + 1, a.n - slice.n - 1 };
	for (size_t i = 0; i < countof(prefixes); i++) {
		struct part id = a;

		if (!cut_prefix(&id, prefixes[i].name) || !cut_prefix(&id, ":") || !is_id(id))
			continue;
		info->runtime = prefixes[i].runtime;
		(void)pod_of_slice(slice, info->pod_uid);
		return keep(id, info->id, CONTAINER_ID_MAX);
	}
	return false;
}

/* "<id>", which means something only by where it stands. */
static bool bare_container(struct part a, const struct where *w, struct container_info *info)
{
	enum container_runtime runtime = RUNTIME_NONE;

	if (!is_id(a))
		return false;
	if (w->in_pod)
		runtime = RUNTIME_UNKNOWN;
	else if (is(w->up[0], "docker") || is(w->up[1], "ecs"))
		runtime = RUNTIME_DOCKER;
	else if (w->depth == 1 && (is(w->up[0], "k8s.io") || is(w->up[0], "default")))
		runtime = RUNTIME_CONTAINERD;
	if (!runtime)
		return false;
	info->runtime = runtime;
	return keep(a, info->id, CONTAINER_ID_MAX);
}

static bool lxc_container(struct part a, const struct where *w, struct container_info *info)
{
	bool found = w->depth == 1 && (is(w->up[0], "lxc") || is(w->up[0], "lxc.payload"));

	if (!found && !cut_prefix(&a, "lxc.payload."))
		return false;
	if (!keep(a, info->id, CONTAINER_ID_MAX))
		return false;
	info->runtime = RUNTIME_LXC;
	return true;
}

/* Undoes systemd's "\x2d"; false when it is longer than `max` then. */
static bool unescape(struct part a, char *ret_name, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < a.n; i++) {
		if (n == max)
			return false;
		if (a.p[i] == '\\' && i + 3 < a.n && !memcmp(a.p + i, "\\x2d", 4)) {
			ret_name[n++] = '-';
			i += 3;
		} else {
			ret_name[n++] = a.p[i];
		}
	}
	ret_name[n] = 0;
	return n > 0;
}

static bool nspawn_container(struct part a, const struct where *w, struct container_info *info)
{
	char name[CONTAINER_ID_MAX + 1] = ""; /* also behind the NUL: the whole of it is copied */

	if (!is(w->up[0], "machine.slice"))
		return false;
	if (!(cut_prefix(&a, "machine-") && cut_suffix(&a, ".scope")) &&
	    !(cut_prefix(&a, "systemd-nspawn@") && cut_suffix(&a, ".service")))
		return false;
	/* libvirt puts virtual machines in the same place. */
	if (!unescape(a, name, CONTAINER_ID_MAX) || !strncmp(name, "qemu-", 5))
		return false;
	info->runtime = RUNTIME_NSPAWN;
	memcpy(info->id, name, sizeof(name));
	return true;
}

static bool container(struct part a, const struct where *w, struct container_info *info)
{
	return named_container(a, info) || colon_container(a, info) || bare_container(a, w, info) ||
	       lxc_container(a, w, info) || nspawn_container(a, w, info);
}

/* ---- systemd ------------------------------------------------------------------------------------ */

/*
 * systemd nests slices, then one service or scope; what stands below is that unit's own
 * doing and names nothing. Only a user's manager (user@UID.service) goes on with units.
 */
struct units {
	bool over;
	bool in_user_slice;
};

static void unit(struct part a, size_t depth, struct units *u, struct container_info *info)
{
	struct part x = a;
	bool slice = ends(a, ".slice");

	if (u->over)
		return;
	if (!slice && !ends(a, ".service") && !ends(a, ".scope")) {
		u->over = true;
		return;
	}
	if (!keep(a, info->unit, CONTAINER_UNIT_MAX))
		info->unit[0] = 0;
	if (slice && depth == 0)
		u->in_user_slice = is(a, "user.slice");
	if (slice && depth == 1 && u->in_user_slice && cut_prefix(&x, "user-") && cut_suffix(&x, ".slice") &&
	    is_number(x))
		(void)keep(x, info->user_uid, sizeof(info->user_uid) - 1);
	if (slice)
		return;
	if (info->user_uid[0] && depth == 2 && cut_prefix(&x, "session-") && cut_suffix(&x, ".scope"))
		(void)keep(x, info->session, sizeof(info->session) - 1);
	u->over = !(info->user_uid[0] && depth == 2 && cut_prefix(&a, "user@") && ends(a, ".service"));
}

void container_of_path(const char *path, size_t n, struct container_info *ret_info)
{
	/* The kernel's paths have no NUL; those of a recording may, and what is shown would not be what is compared. */
	const char *nul = n ? memchr(path, 0, n) : NULL, *end = nul ? nul : path + n;
	struct units units = { 0 };
	struct where w = { 0 };
	bool kubepods = false;

	memset(ret_info, 0, sizeof(*ret_info));
	for (size_t i = 0; i < DEPTH_MAX && path < end; i++) {
		const char *slash = memchr(path, '/', (size_t)(end - path));
		struct part a = { path, (size_t)((slash ? slash : end) - path) }, uid = a;

		path += a.n + 1;
		/* "/../" is how a cgroup namespace shows what stands above it. */
		if (!a.n || is(a, ".."))
			continue;
		if (container(a, &w, ret_info))
			return;
		if (pod_of_slice(a, ret_info->pod_uid) ||
		    (kubepods && cut_prefix(&uid, "pod") && pod_uid(uid, ret_info->pod_uid)))
			w.in_pod = true;
		kubepods |= is(a, "kubepods");
		unit(a, w.depth, &units, ret_info);
		w.up[1] = w.up[0];
		w.up[0] = a;
		w.depth++;
	}
}
