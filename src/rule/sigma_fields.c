/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sigma_fields - what logsources and fields of Sigma's taxonomy are in events with ECS names.
 *
 * The tables of docs/sigma.md. A field that has no row keeps its name: events with such a field match, others do
 * not. Conditions are EQL, so that they read as what they mean.
 */
#include <string.h>
#include "rule/sigma_lower.h"

static const char *const file_fields[] = {
	"SourceFilename",
	"file.Ext.original.path",
	NULL,
	NULL,
};

static const char *const network_fields[] = {
	"DestinationIp",
	"destination.ip",
	"DestinationPort",
	"destination.port",
	"DestinationHostname",
	"destination.domain",
	"SourceIp",
	"source.ip",
	"SourcePort",
	"source.port",
	"SourceHostname",
	"source.domain",
	"Protocol",
	"network.transport",
	NULL,
	NULL,
};

static const char *const dns_fields[] = {
	"QueryName",    "dns.question.name",
	"query",        "dns.question.name",
	"record_type",  "dns.question.type",
	"QueryResults", "dns.answers.data",
	"answer",       "dns.answers.data",
	"QueryStatus",  "dns.response_code",
	NULL,           NULL,
};

static const char *const audit_fields[] = {
	"name",      "file.path",
	"exe",       "process.executable",
	"comm",      "process.name",
	"cwd",       "process.working_directory",
	"pid",       "process.pid",
	"ppid",      "process.parent.pid",
	"uid",       "user.id",
	"euid",      "user.effective.id",
	"gid",       "user.group.id",
	"proctitle", "process.command_line",
	NULL,        NULL,
};

/* Of all logsources with a category. */
const char *const sigma_common_fields[] = {
	"Image",
	"process.executable",
	"CommandLine",
	"process.command_line",
	"ParentImage",
	"process.parent.executable",
	"ParentCommandLine",
	"process.parent.command_line",
	"CurrentDirectory",
	"process.working_directory",
	"User",
	"user.name",
	"LogonId",
	"user.id",
	"ProcessId",
	"process.pid",
	"ParentProcessId",
	"process.parent.pid",
	"ProcessGuid",
	"process.entity_id",
	"ParentProcessGuid",
	"process.parent.entity_id",
	"TargetFilename",
	"file.path",
	"ImageLoaded",
	"file.path",
	"md5",
	"process.hash.md5",
	"sha1",
	"process.hash.sha1",
	"sha256",
	"process.hash.sha256",
	"ComputerName",
	"host.name",
	"Computer",
	"host.name",
	NULL,
	NULL,
};

#define BEGINS_A_PROGRAM                                                                                               \
	"event.category == \"process\" and event.type == \"start\" and not event.action in~ (\"fork\", \"clone\", "    \
	"\"vfork\", \"thread\")"

const struct sigma_source sigma_sources[] = {
	{ "process_creation", NULL, "process",
	  "event.type == \"start\" and not event.action in~ (\"fork\", \"clone\", \"vfork\", \"thread\")" },
	{ "process_termination", NULL, "process", "event.type == \"end\"" },
	{ "process_access", NULL, "process", "event.type == \"access\"" },
	{ "file_event", NULL, "file",
	  "event.type == \"creation\" or event.action in~ (\"open\", \"creation\", \"create\", \"overwrite\", "
	  "\"rename\")",
	  .fields = file_fields },
	{ "file_change", NULL, "file", "event.type == \"change\"", .fields = file_fields },
	{ "file_delete", NULL, "file", "event.type == \"deletion\"", .fields = file_fields },
	{ "file_rename", NULL, "file", "event.action in~ (\"rename\", \"moved\", \"renamed\")", .fields = file_fields },
	{ "file_access", NULL, "file", "event.type == \"access\"", .fields = file_fields },
	{ "network_connection", NULL, "network",
	  "event.type in (\"start\", \"connection\") and not event.action in~ (\"listen\", \"bind\", \"unix-socket\")",
	  .fields = network_fields },
	{ "firewall", NULL, "network", NULL, .fields = network_fields },
	{ "dns_query", NULL, "network", "dns.question.name != null", .fields = dns_fields },
	{ "dns", NULL, "network", "dns.question.name != null", .fields = dns_fields },
	{ "driver_load", NULL, "driver", "event.type == \"start\"" },
	{ NULL, "auditd", NULL, NULL, .is_audit = true, .fields = audit_fields },
	{ NULL, "auth", NULL, NULL, .is_log = true },
	{ NULL, "syslog", NULL, NULL, .is_log = true },
	{ NULL, "*", NULL, NULL, .is_log = true },
	{ NULL, NULL, NULL, NULL },
};
const size_t sigma_n_sources = countof(sigma_sources);

/* With a SYSCALL beside it, that one decides. */
static const struct sigma_word audit_types_of_calls[] = {
	{ "SYSCALL", NULL },
	{ NULL, NULL },
};

/* Records of the audit system that are events of sensors as well. */
static const struct sigma_word audit_types[] = {
	{ "EXECVE", BEGINS_A_PROGRAM },    { "PATH", "event.category == \"file\"" }, { "CWD", BEGINS_A_PROGRAM },
	{ "PROCTITLE", BEGINS_A_PROGRAM }, { "SYSCALL", BEGINS_A_PROGRAM },          { NULL, NULL },
};

static const struct sigma_word audit_calls[] = {
	{ "execve", BEGINS_A_PROGRAM },
	{ "execveat", BEGINS_A_PROGRAM },
	{ "connect", "event.category == \"network\" and event.action == \"connect\"" },
	{ "accept", "event.category == \"network\" and event.action == \"accept\"" },
	{ "accept4", "event.category == \"network\" and event.action == \"accept\"" },
	{ "bind", "event.category == \"network\" and event.action == \"bind\"" },
	{ "listen", "event.category == \"network\" and event.action == \"listen\"" },
	{ "mknod", "event.category == \"file\" and event.action == \"mknod\"" },
	{ "mknodat", "event.category == \"file\" and event.action == \"mknod\"" },
	{ "mkdir", "event.category == \"file\" and event.action == \"mkdir\"" },
	{ "mkdirat", "event.category == \"file\" and event.action == \"mkdir\"" },
	{ "unlink", "event.category == \"file\" and event.action == \"unlink\"" },
	{ "unlinkat", "event.category == \"file\" and event.action == \"unlink\"" },
	{ "rename", "event.category == \"file\" and event.action == \"rename\"" },
	{ "renameat", "event.category == \"file\" and event.action == \"rename\"" },
	{ "renameat2", "event.category == \"file\" and event.action == \"rename\"" },
	{ "link", "event.category == \"file\" and event.action == \"link\"" },
	{ "linkat", "event.category == \"file\" and event.action == \"link\"" },
	{ "symlink", "event.category == \"file\" and event.action == \"symlink\"" },
	{ "symlinkat", "event.category == \"file\" and event.action == \"symlink\"" },
	{ "chmod", "event.category == \"file\" and event.action == \"chmod\"" },
	{ "fchmod", "event.category == \"file\" and event.action == \"chmod\"" },
	{ "fchmodat", "event.category == \"file\" and event.action == \"chmod\"" },
	{ "chown", "event.category == \"file\" and event.action == \"chown\"" },
	{ "fchown", "event.category == \"file\" and event.action == \"chown\"" },
	{ "lchown", "event.category == \"file\" and event.action == \"chown\"" },
	{ "fchownat", "event.category == \"file\" and event.action == \"chown\"" },
	{ "setxattr", "event.category == \"file\" and event.action == \"xattr\"" },
	{ "lsetxattr", "event.category == \"file\" and event.action == \"xattr\"" },
	{ "fsetxattr", "event.category == \"file\" and event.action == \"xattr\"" },
	{ "truncate", "event.category == \"file\" and event.action == \"truncate\"" },
	{ "ftruncate", "event.category == \"file\" and event.action == \"truncate\"" },
	{ "mount", "event.category == \"file\" and event.action == \"mount\"" },
	{ "umount2", "event.category == \"file\" and event.action == \"umount\"" },
	{ "init_module", "event.category == \"driver\" and event.action == \"module-load\"" },
	{ "finit_module", "event.category == \"driver\" and event.action == \"module-load\"" },
	{ "delete_module", "event.category == \"driver\" and event.action == \"module-free\"" },
	{ "ptrace", "event.category == \"process\" and event.action == \"ptrace\"" },
	{ "memfd_create", "event.category == \"process\" and event.action == \"memfd-create\"" },
	{ NULL, NULL },
};

static const struct sigma_word initiated[] = {
	{ "true", "network.direction in~ (\"egress\", \"outgoing\", \"outbound\")" },
	{ "false", "network.direction in~ (\"ingress\", \"incoming\", \"inbound\")" },
	{ NULL, NULL },
};

static bool is(struct str s, const char *word)
{
	return s.n == strlen(word) && !memcmp(s.p, word, s.n);
}

static bool look_up(const char *const *pairs, struct str field, struct sigma_field *ret_field)
{
	for (; pairs && pairs[0]; pairs += 2)
		if (is(field, pairs[0])) {
			ret_field->name = (struct str) { pairs[1], strlen(pairs[1]) };
			return true;
		}
	return false;
}

/* a0, a1 and so on. */
static bool is_argument(struct str field, unsigned *ret_i)
{
	unsigned i = 0;

	if (field.n < 2 || field.n > 4 || field.p[0] != 'a')
		return false;
	for (size_t at = 1; at < field.n; at++) {
		if (field.p[at] < '0' || field.p[at] > '9')
			return false;
		i = 10 * i + (unsigned)(field.p[at] - '0');
	}
	*ret_i = i;
	return true;
}

static void audit_field(struct str field, enum sigma_call call, struct sigma_field *to)
{
	unsigned i;

	if (is(field, "type"))
		to->words = call == CALL_NAMED ? audit_types_of_calls : audit_types;
	else if (is(field, "SYSCALL") || is(field, "syscall"))
		to->words = audit_calls;
	else if (is_argument(field, &i) && call == CALL_NONE)
		*to = (struct sigma_field) { .look = LOOK_ARGUMENT, .i = i };
	else
		(void)look_up(audit_fields, field, to);
}

void sigma_field_of(const struct sigma_source *source, enum sigma_names names, struct str field, enum sigma_call call,
		    struct sigma_field *ret_field)
{
	*ret_field = (struct sigma_field) { .name = field };
	if (names == SIGMA_OWN || !source || source->is_log)
		return;
	if (source->is_audit)
		audit_field(field, call, ret_field);
	else if (source->fields == network_fields && is(field, "Initiated"))
		ret_field->words = initiated;
	else if (!look_up(source->fields, field, ret_field))
		(void)look_up(sigma_common_fields, field, ret_field);
}
