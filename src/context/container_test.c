/* SPDX-License-Identifier: Apache-2.0 */
/* Paths of cgroups as runtimes write them, as strangers would like them read, and near misses. */
#include "context/container.h"
#include <string.h>
#include "base/test.h"

#define A    "3f4ba3c1d2e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f"
#define B    "aaaaaaaabbbbbbbbccccccccddddddddeeeeeeeeffffffff0000000011111111"
#define UID  "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
#define UID_ "0f1e2d3c_4b5a_6978_8796_a5b4c3d2e1f0"

static const struct {
	const char *name, *path, *runtime, *id, *pod, *unit, *user, *session;
} rows[] = {
	/* Docker */
	{ "docker, systemd", "/system.slice/docker-" A ".scope", "docker", A, "", "system.slice" },
	{ "docker, cgroupfs", "/docker/" A, "docker", A, "", "" },
	{ "docker, folder of the container's own", "/docker/" A "/init", "docker", A, "", "" },
	{ "docker, parent given", "/batch.slice/docker-" A ".scope", "docker", A, "", "batch.slice" },
	{ "docker, rootless", "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-" A ".scope", "docker",
	  A, "", "user.slice", "1000" },
	{ "docker, from another cgroup namespace", "/../../docker/" A, "docker", A, "", "" },
	{ "docker in docker: the outer one", "/docker/" A "/docker/" B, "docker", A, "", "" },
	{ "docker, v1 under its own manager", "/system.slice/docker.service/docker/" A, "docker", A, "",
	  "docker.service" },
	{ "ecs", "/ecs/0123456789abcdef0123456789abcdef/" A, "docker", A, "", "" },
	/* containerd */
	{ "containerd, kubelet, systemd",
	  "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" UID_ ".slice/cri-containerd-" A ".scope",
	  "containerd", A, UID, "kubepods-burstable-pod" UID_ ".slice" },
	{ "containerd, besteffort",
	  "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" UID_ ".slice/cri-containerd-" A ".scope",
	  "containerd", A, UID, "kubepods-besteffort-pod" UID_ ".slice" },
	{ "containerd, guaranteed", "/kubepods.slice/kubepods-pod" UID_ ".slice/cri-containerd-" A ".scope",
	  "containerd", A, UID, "kubepods-pod" UID_ ".slice" },
	{ "containerd, static pod",
	  "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0123456789abcdef0123456789abcdef.slice/"
	  "cri-containerd-" A ".scope",
	  "containerd", A, "0123456789abcdef0123456789abcdef",
	  "kubepods-burstable-pod0123456789abcdef0123456789abcdef.slice" },
	{ "containerd, kind",
	  "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod" UID_
	  ".slice/cri-containerd-" A ".scope",
	  "containerd", A, UID, "kubelet-kubepods-burstable-pod" UID_ ".slice" },
	{ "containerd, systemd spelling under cgroupfs",
	  "/system.slice/containerd.service/kubepods-burstable-pod" UID_ ".slice:cri-containerd:" A, "containerd", A,
	  UID, "containerd.service" },
	{ "containerd, the same at the top", "/kubepods-pod" UID_ ".slice:cri-containerd:" A, "containerd", A, UID,
	  "" },
	{ "containerd, cgroupfs", "/kubepods/burstable/pod" UID "/" A, "unknown", A, UID, "" },
	{ "containerd, cgroupfs, guaranteed", "/kubepods/pod" UID "/" A, "unknown", A, UID, "" },
	{ "containerd, its own namespace", "/k8s.io/" A, "containerd", A, "", "" },
	{ "containerd, default namespace", "/default/" A, "containerd", A, "", "" },
	{ "nerdctl", "/system.slice/nerdctl-" A ".scope", "containerd", A, "", "system.slice" },
	/* CRI-O */
	{ "cri-o", "/kubepods.slice/kubepods-pod" UID_ ".slice/crio-" A ".scope", "cri-o", A, UID,
	  "kubepods-pod" UID_ ".slice" },
	{ "cri-o, below", "/kubepods.slice/kubepods-pod" UID_ ".slice/crio-" A ".scope/container", "cri-o", A, UID,
	  "kubepods-pod" UID_ ".slice" },
	{ "cri-o, cgroupfs", "/kubepods/besteffort/pod" UID "/crio-" A, "cri-o", A, UID, "" },
	{ "cri-o's monitor is no container", "/kubepods.slice/kubepods-pod" UID_ ".slice/crio-conmon-" A ".scope", "",
	  "", UID, "crio-conmon-" A ".scope" },
	/* Podman */
	{ "podman", "/machine.slice/libpod-" A ".scope", "podman", A, "", "machine.slice" },
	{ "podman, payload", "/machine.slice/libpod-" A ".scope/container", "podman", A, "", "machine.slice" },
	{ "podman, rootless", "/user.slice/user-1001.slice/user@1001.service/user.slice/libpod-" A ".scope/container",
	  "podman", A, "", "user.slice", "1001" },
	{ "podman, cgroupfs", "/libpod_parent/libpod-" A, "podman", A, "", "" },
	{ "podman's monitor is no container", "/machine.slice/libpod-conmon-" A ".scope", "", "", "",
	  "libpod-conmon-" A ".scope" },
	/* LXC, nspawn */
	{ "lxc, v1", "/lxc/web1", "lxc", "web1", "", "" },
	{ "lxc, v2", "/lxc.payload.web1/system.slice/nginx.service", "lxc", "web1", "", "" },
	{ "lxc, v2 older", "/lxc.payload/web1", "lxc", "web1", "", "" },
	{ "lxc's monitor is no container", "/lxc.monitor.web1", "", "", "", "" },
	{ "nspawn", "/machine.slice/machine-deb\\x2d12.scope/payload", "systemd-nspawn", "deb-12", "",
	  "machine.slice" },
	{ "nspawn as a service", "/machine.slice/systemd-nspawn@web.service/payload", "systemd-nspawn", "web", "",
	  "machine.slice" },
	{ "a virtual machine is none", "/machine.slice/machine-qemu\\x2d1\\x2dwin.scope/libvirt/emulator", "", "", "",
	  "machine-qemu\\x2d1\\x2dwin.scope" },
	{ "nspawn's name in another slice", "/system.slice/machine-web.scope", "", "", "", "machine-web.scope" },
	/* A pod's own folder, before its containers */
	{ "pod", "/kubepods.slice/kubepods-pod" UID_ ".slice", "", "", UID, "kubepods-pod" UID_ ".slice" },
	{ "pod, cgroupfs", "/kubepods/burstable/pod" UID, "", "", UID, "" },
	/* systemd */
	{ "root", "/", "", "", "", "" },
	{ "nothing", "", "", "", "", "" },
	{ "init", "/init.scope", "", "", "", "init.scope" },
	{ "service", "/system.slice/ssh.service", "", "", "", "ssh.service" },
	{ "template", "/system.slice/system-getty.slice/getty@tty1.service", "", "", "", "getty@tty1.service" },
	{ "session", "/user.slice/user-1000.slice/session-42.scope", "", "", "", "session-42.scope", "1000", "42" },
	{ "session of a greeter", "/user.slice/user-107.slice/session-c1.scope", "", "", "", "session-c1.scope", "107",
	  "c1" },
	{ "user's manager", "/user.slice/user-1000.slice/user@1000.service/init.scope", "", "", "", "init.scope",
	  "1000" },
	{ "user's service", "/user.slice/user-1000.slice/user@1000.service/app.slice/foo.service", "", "", "",
	  "foo.service", "1000" },
	{ "user's manager itself", "/user.slice/user-1000.slice/user@1000.service", "", "", "", "user@1000.service",
	  "1000" },
	{ "slice alone", "/system.slice", "", "", "", "system.slice" },
	/* Near misses and hostile ones */
	{ "a unit that a service made up", "/system.slice/web.service/root.service", "", "", "", "web.service" },
	{ "a unit below a plain folder", "/web/ssh.service", "", "", "", "" },
	{ "a user slice elsewhere", "/system.slice/user-0.slice/session-1.scope", "", "", "", "session-1.scope" },
	{ "a user by name", "/user.slice/user-root.slice/session-1.scope", "", "", "", "session-1.scope" },
	{ "a user manager outside", "/system.slice/user@0.service/a.service", "", "", "", "user@0.service" },
	{ "a container below a container", "/system.slice/docker-" A ".scope/docker-" B ".scope", "docker", A, "",
	  "system.slice" },
	{ "a pod inside a container", "/docker/" A "/kubelet/kubepods/pod" UID "/" B, "docker", A, "", "" },
	{ "63 digits", "/docker/3f4ba3c1d2e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8", "", "", "", "" },
	{ "65 digits", "/docker/" A "0", "", "", "", "" },
	{ "capitals", "/docker/3F4BA3C1D2E5F60718293A4B5C6D7E8F90A1B2C3D4E5F60718293A4B5C6D7E8F", "", "", "", "" },
	{ "no hex", "/docker/zzzba3c1d2e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f", "", "", "", "" },
	{ "64 digits that stand nowhere", "/" A, "", "", "", "" },
	{ "64 digits in some service", "/system.slice/ci.service/" A, "", "", "", "ci.service" },
	{ "default, but not at the top", "/system.slice/default/" A, "", "", "", "system.slice" },
	{ "a runtime's name with an empty id", "/system.slice/docker-.scope", "", "", "", "docker-.scope" },
	{ "two runtimes in one name", "/system.slice/docker-crio-" A ".scope", "", "", "", "docker-crio-" A ".scope" },
	{ "an unknown runtime", "/system.slice/evil-" A ".scope", "", "", "", "evil-" A ".scope" },
	{ "mount of docker", "/system.slice/var-lib-docker.mount", "", "", "", "system.slice" },
	{ "pod without kubepods", "/burstable/pod" UID "/" A, "", "", "", "" },
	{ "pod uid too short", "/kubepods/pod0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f/" A, "", "", "", "" },
	{ "pod uid with dots for dashes", "/kubepods/pod0f1e2d3c.4b5a.6978.8796.a5b4c3d2e1f0/" A, "", "", "", "" },
	{ "colons without a runtime", "/a:b:" A, "", "", "", "" },
	{ "colons without an id", "/kubepods-pod" UID_ ".slice:cri-containerd:", "", "", "", "" },
	{ "lxc without a name", "/lxc/", "", "", "", "" },
	{ "lxc.payload. without a name", "/lxc.payload.", "", "", "", "" },
	{ "doubled slashes", "//system.slice///docker-" A ".scope//", "docker", A, "", "system.slice" },
	{ "bytes that are no text", "/\xff\xfe/\x01", "", "", "", "" },
	{ "a user id too long to be one", "/user.slice/user-12345678901.slice/session-1.scope", "", "", "",
	  "session-1.scope" },
};

static const char *or_empty(const char *s)
{
	return s ? s : "";
}

TEST(a_path_says_whose_cgroup_it_is)
{
	for_each_row (r, rows) {
		struct container_info c;

		container_of_path(r->path, strlen(r->path), &c);
		check_str(container_runtime_names[c.runtime], r->runtime);
		check_str(c.id, r->id);
		check_str(c.pod_uid, r->pod);
		check_str(c.unit, r->unit);
		check_str(c.user_uid, or_empty(r->user));
		check_str(c.session, or_empty(r->session));
	}
}

TEST(a_name_longer_than_its_place_is_no_name)
{
	struct container_info c;
	char path[512];

	(void)snprintf(path, sizeof(path), "/lxc/%065d", 1);
	container_of_path(path, strlen(path), &c);
	check_int(c.runtime, RUNTIME_NONE);
	(void)snprintf(path, sizeof(path), "/system.slice/%0200d.service", 1);
	container_of_path(path, strlen(path), &c);
	check_str(c.unit, "");
}

TEST(a_path_ends_at_a_nul)
{
	static const char path[] = "/lxc/web\0\0x/docker/" A;
	struct container_info c, want;

	container_of_path(path, sizeof(path) - 1, &c);
	container_of_path("/lxc/web", 8, &want);
	check_str(c.id, "web");
	check(!memcmp(&c, &want, sizeof(c)));
}

TEST(a_path_deeper_than_the_bound_is_read_to_the_bound)
{
	struct container_info c;
	char path[4096] = "";

	for (int i = 0; i < 70; i++)
		(void)strcat(path, "/a");
	(void)strcat(path, "/docker/" A);
	container_of_path(path, strlen(path), &c);
	check_int(c.runtime, RUNTIME_NONE);
}
