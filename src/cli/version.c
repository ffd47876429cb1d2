/* SPDX-License-Identifier: Apache-2.0 */
/* version - which build this is, and with -v what one wants to know of it in a bug report. */
#include <bpf/libbpf.h>
#include <libfyaml.h>
#include <sys/utsname.h>
#include "cli/cli.h"

struct version_options {
	bool verbose;
};

static const struct verb_option options[] = {
	VERB_FLAG(version_options, verbose, "verbose", 'v', "also the libraries, the kernel and the compiler"),
};

static enum exit_code run(struct cli *cli, const void *opts, char **args, size_t n_args)
{
	const struct version_options *o = opts;
	struct utsname host;

	if (n_args)
		return cli_misused(cli, &verb_version, "\"%s\" is one word too many", args[0]);
	(void)fprintf(cli->out, "shrike %s\n", SHRIKE_VERSION);
	if (!o->verbose)
		return EXIT_OK;
	(void)fprintf(cli->out, "libbpf      %s\n", libbpf_version_string());
	(void)fprintf(cli->out, "libfyaml    %s\n", fy_library_version());
	if (uname(&host) == 0)
		(void)fprintf(cli->out, "kernel      %s %s\n", host.release, host.machine);
	(void)fprintf(cli->out, "kernel BTF  %s\n",
		      access("/sys/kernel/btf/vmlinux", R_OK) == 0 ? "yes"
								   : "no: the agent needs it to load its programs");
	(void)fprintf(cli->out, "compiler    %s\n",
#ifdef __clang__
		      __VERSION__
#else
		      "gcc " __VERSION__
#endif
	);
	(void)fprintf(cli->out, "sanitizers  %s\n", SHRIKE_SANITIZERS);
	return EXIT_OK;
}

const struct verb verb_version = {
	.name = "version",
	.summary = "which build of Shrike this is",
	.options = options,
	.n_options = countof(options),
	.options_size = sizeof(struct version_options),
	.run = run,
};
