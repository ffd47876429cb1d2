/* SPDX-License-Identifier: Apache-2.0 */
/* record - keeps what a running agent sees, as the kernel wrote it, in a file that replay and convert read. */
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include "agent/control.h"
#include "base/clock.h"
#include "base/err.h"
#include "cli/choice.h"
#include "cli/client.h"
#include "store/store.h"

struct record_options {
	struct choice choice;
	uint64_t for_ns, limit;
	char *file, *socket;
};

static const struct verb_option options[] = {
	VERB_OPTION_FULL(record_options, file, "output", 'o', "FILE", OPT_STR, "",
			 "where the recording goes, a file that is not there yet; - is stdout", COMPLETE_FILE),
	VERB_OPTION(record_options, for_ns, "for", 0, "TIME", OPT_DURATION, "0", "end after this time: 10s, 5m"),
	VERB_OPTION(record_options, limit, "limit", 0, "N", OPT_U64, "0", "end after N events"),
	CHOICE_OPTIONS(record_options),
	OPTION_SOCKET(record_options),
};

static enum exit_code check_options(struct cli *cli, const struct record_options *o, char **args, size_t n_args)
{
	if (n_args)
		return cli_misused(cli, &verb_record, "\"%s\" is no option; the file is named by --output %s", args[0],
				   args[0]);
	if (!o->file[0])
		return cli_misused(cli, &verb_record, "where to? Name a file: --output capture.shrike");
	if (!strcmp(o->file, "-") && cli->is_terminal)
		return cli_misused(cli, &verb_record, "a recording is no text: --output - wants a pipe or a file");
	return choice_check(cli, &verb_record, &o->choice);
}

static int open_output(const struct record_options *o)
{
	int fd;

	if (!strcmp(o->file, "-"))
		return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	fd = open(o->file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 && errno == EEXIST)
		return err_new(-EEXIST, "%s is there already: a recording is never written over", o->file);
	return fd < 0 ? err_sys(errno, "make %s", o->file) : fd;
}

static void take_back(const struct record_options *o)
{
	if (strcmp(o->file, "-") != 0)
		(void)unlink(o->file);
}

static bool write_all(int fd, struct str bytes)
{
	while (bytes.n) {
		ssize_t n = write(fd, bytes.p, bytes.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		bytes.p += n;
		bytes.n -= (size_t)n;
	}
	return true;
}

/* Copies until the agent has said all. After Ctrl-C it is asked to come to an end, which takes it a moment. */
static enum client_result copy(struct cli *cli, const struct record_options *o, struct client *client, int fd,
			       uint64_t *ret_bytes)
{
	bool asked = false;

	for (*ret_bytes = 0;;) {
		struct str bytes;
		enum client_result result = client_bytes(client, asked ? cli->patience_ms : -1, &bytes);

		if (result == CLIENT_STOPPED && !asked) {
			client_enough(client);
			cli->stop_fd = -1; /* it stays readable */
			asked = true;
			continue;
		}
		if (result != CLIENT_LINE)
			return result;
		*ret_bytes += bytes.n;
		if (!write_all(fd, bytes)) {
			(void)err_sys(errno, "write %s", o->file);
			return CLIENT_FAILED;
		}
	}
}

/* "1234 events, 56 KiB, none lost": what is in the file now. */
static enum exit_code tell(struct cli *cli, const struct record_options *o, uint64_t bytes)
{
	struct store_summary sum;
	AUTO(store) store = NULL;

	if (!strcmp(o->file, "-"))
		return EXIT_OK;
	if (!bytes) {
		take_back(o);
		cli_say(cli, "the agent sent no recording; its log says why");
		return EXIT_NO;
	}
	if (store_open(o->file, &store) < 0)
		return cli_failed(cli);
	store_summary(store, &sum);
	cli_say(cli, "%s: %" PRIu64 " record%s, %" PRIu64 " KiB, %" PRIu64 " lost on the way here%s", o->file,
		(uint64_t)sum.records, sum.records == 1 ? "" : "s", (uint64_t)(sum.bytes + 1023) / 1024,
		(uint64_t)sum.lost, sum.torn_bytes ? "; its end is torn" : "");
	return sum.records ? EXIT_OK : EXIT_NO;
}

static enum exit_code session(struct cli *cli, const struct record_options *o, struct client *client, int fd)
{
	auto_buf struct buf request = { .max = CONTROL_LINE_MAX };
	const struct json_node *answer;
	auto_json struct json_doc doc;
	enum client_result result;
	enum exit_code code;
	uint64_t bytes;

	json_init(&doc, &client_json_limits);
	buf_printf(&request, "{\"cmd\":\"record\",\"for_ms\":%" PRIu64 ",\"records\":%" PRIu64 ",\"filter\":",
		   (uint64_t)(o->for_ns / NS_PER_MS), o->limit);
	choice_write(&o->choice, &request);
	buf_char(&request, '}');
	code = client_ask(cli, client, buf_text(&request), &doc, &answer, NULL);
	if (code != EXIT_OK) {
		take_back(o);
		return code;
	}
	result = copy(cli, o, client, fd, &bytes);
	if (result == CLIENT_FAILED)
		(void)cli_failed(cli);
	if (result == CLIENT_TIMEOUT)
		(void)client_gone(cli, result);
	code = tell(cli, o, bytes);
	return result == CLIENT_CLOSED ? code : EXIT_NO;
}

static enum exit_code run(struct cli *cli, const void *opts, char **args, size_t n_args)
{
	const struct record_options *o = opts;
	enum exit_code code = check_options(cli, o, args, n_args);
	AUTO(client) client = NULL;
	auto_close int fd = -1;

	if (code != EXIT_OK)
		return code;
	fd = open_output(o);
	if (fd < 0)
		return cli_failed(cli);
	(void)cli_stop_fd(cli);
	code = client_open(cli, o->socket, &client);
	if (code == EXIT_OK)
		return session(cli, o, client, fd);
	take_back(o);
	return code;
}

static const struct exit_row exits[] = {
	{ EXIT_OK, "There is a recording, and there is something in it." },
	{ EXIT_NO, "Nothing was recorded, or something failed and was said on stderr." },
	{ EXIT_USAGE, "Called wrongly." },
	{ EXIT_NO_AGENT, "No agent could be talked to." },
};

static const struct verb_example examples[] = {
	{ "shrike record -o capture.shrike --for 10s", "all that happens in ten seconds" },
	{ "shrike record -o build.shrike --pid 1234 --descendants", "a process and what comes from it, until Ctrl-C" },
	{ "shrike record -o - --kind 'net.*' --for 1m | shrike convert - | jq .destination.ip",
	  "straight into another program" },
};

const struct verb verb_record = {
	.name = "record",
	.summary = "keep what a running agent sees in a file",
	.about =
		"Asks a running agent for the events as the kernel wrote them, from now on, and writes them into one "
		"segment: compressed, with what the agent knew before (processes, containers, users), so that the file "
		"can be understood on any machine. `shrike replay` and `shrike query` read it, and `shrike convert` "
		"turns "
		"it into JSON lines.\n\n"
		"Whatever the conditions, records that tell what the agent knows are part of it. Where the reader is "
		"too slow, the file says where how many events are missing. The agent itself keeps a recording of "
		"everything when `record.enabled` is set in its configuration.",
	.options = options,
	.n_options = countof(options),
	.options_size = sizeof(struct record_options),
	.examples = examples,
	.n_examples = countof(examples),
	.exits = exits,
	.n_exits = countof(exits),
	.run = run,
};
