/* SPDX-License-Identifier: Apache-2.0 */
/* What `rules import --into` leaves in a folder, and what it leaves alone. */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/test.h"
#include "cli/fake_agent.h"
#include "cli/test_place.h"

enum { TEXT = 1 << 14 };

#define RULE(id) "id: " id "\nname: A rule\nseverity: low\neql: any where true\n"
#define MODULE   "(module (memory (export \"memory\") 1) (func (export \"match\") (result i32) (i32.const 1)))"

static void put(const struct place *p, const char *name, const char *text)
{
	auto_file FILE *f = fopen(place_at(p, name), "we");

	check(f && fputs(text, f) >= 0);
}

/* "" where there is none. */
static const char *text_of(const struct place *p, const char *name)
{
	static char text[TEXT];
	auto_file FILE *f = fopen(place_at(p, name), "re");
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

	text[n] = 0;
	return text;
}

/* A folder "from" with good files, a bad one, and one that is half good. */
static bool place_open(struct place *p)
{
	if (!place_make(p) || mkdir(place_at(p, "from"), 0755) || mkdir(place_at(p, "from/below"), 0755))
		return false;
	put(p, "from/one.yml", RULE("one"));
	put(p, "from/below/one.yml", RULE("two"));
	put(p, "from/below/bad.yml", "id: bad\nname: A rule\nseverity: low\neql: any whre true\n");
	put(p, "from/half.yml",
	    "rules:\n  - {id: good, name: A, severity: low, eql: any where true}\n"
	    "  - {id: half, name: A, severity: low, eql: any whre true}\n");
	put(p, "from/README.md", "No rule.\n");
	return true;
}

static struct ran import(const struct place *p, const char *output)
{
	struct cli cli = { .stop_fd = -1 };

	return cli_ran(&cli, (const char *const[]) { "shrike", "rules", "import", place_at(p, "from"), "--into",
						     place_at(p, "to"), "-o", output, NULL });
}

TEST(good_files_are_copied_below_their_names_and_others_are_not)
{
	auto_place struct place p = { 0 };
	auto_ran struct ran ran = { 0 };

	require(place_open(&p));
	ran = import(&p, "json");
	check_int(ran.code, EXIT_OK);
	check_has(ran.out, "\"loaded\":3,\"own\":3,\"sigma\":0,\"elastic\":0,\"refused\":2,\"warnings\":0,\"copied\":2,"
			   "\"unchanged\":0,\"kept\":0,");
	check_str(text_of(&p, "to/one.yml"), RULE("one"));
	check_str(text_of(&p, "to/below/one.yml"), RULE("two"));
	check(access(place_at(&p, "to/below/bad.yml"), F_OK) < 0 && access(place_at(&p, "to/half.yml"), F_OK) < 0);
	check(access(place_at(&p, "to/README.md"), F_OK) < 0);
}

/* A checkout is brought up to date, and imported again. */
TEST(what_is_there_already_stays_as_it_is_and_the_others_come)
{
	auto_place struct place p = { 0 };
	auto_ran struct ran first = { 0 }, again = { 0 };

	require(place_open(&p));
	first = import(&p, "table");
	check_int(first.code, EXIT_OK);
	check_has(first.out, "     2  files were copied into ");
	put(&p, "to/one.yml", RULE("one") "# mine\n");
	put(&p, "from/three.yml", RULE("three"));
	again = import(&p, "table");
	check_int(again.code, EXIT_OK);
	check_has(again.out, "     1  file was copied into ");
	check_has(again.out, "     1  was there already\n");
	check_has(again.out, "     1  was not: what is there has other contents\n");
	check_has(again.err, "/to/one.yml is there already and has other contents: it stays as it is\n");
	check_str(text_of(&p, "to/one.yml"), RULE("one") "# mine\n");
	check_str(text_of(&p, "to/three.yml"), RULE("three"));
}

/* Two files of rules may share one; it is there before who names it. */
TEST(modules_come_with_the_rules_that_name_them)
{
	auto_place struct place p = { 0 };
	auto_ran struct ran ran = { 0 };

	require(place_open(&p));
	put(&p, "from/m.wat", MODULE);
	put(&p, "from/a.yml",
	    "rules:\n  - {id: w-a, name: A, severity: low, when: any where true, wasm: m.wat}\n"
	    "  - {id: w-b, name: A, severity: low, when: any where true, wasm: m.wat}\n");
	put(&p, "from/b.yml", "id: w-c\nname: A\nseverity: low\nwhen: any where true\nwasm: m.wat\n");
	ran = import(&p, "table");
	if (strstr(ran.out, "need wasm")) {
		skip("no-wasmtime");
		return;
	}
	check_int(ran.code, EXIT_OK);
	check_str(ran.err, "");
	check_has(ran.out, "     4  files were copied into ");
	check_str(text_of(&p, "to/m.wat"), MODULE);
	check(access(place_at(&p, "to/a.yml"), F_OK) == 0 && access(place_at(&p, "to/b.yml"), F_OK) == 0);
}

/* Neither import knows of the other's rules, but the agent would refuse all of them. */
#define MACROS "macros: {is_one: {parameters: x, eql: x == 1}}\n"

TEST(macros_come_with_the_rules_that_call_them)
{
	auto_place struct place p = { 0 };
	auto_ran struct ran without = { 0 }, with = { 0 }, other = { 0 };

	require(place_open(&p));
	put(&p, "from/below/macros.yaml", MACROS);
	without = import(&p, "json");
	check_int(without.code, EXIT_OK);
	check(access(place_at(&p, "to/below/macros.yaml"), F_OK) < 0);
	put(&p, "from/calls.yml", "id: calls\nname: A rule\nseverity: low\neql: any where is_one(x)\n");
	with = import(&p, "json");
	check_int(with.code, EXIT_OK);
	check_str(text_of(&p, "to/below/macros.yaml"), MACROS);
	/* One of the name in another file of the folder: an agent takes neither. */
	put(&p, "to/my.macros.yaml", MACROS);
	other = import(&p, "table");
	check_int(other.code, EXIT_NO);
	check_has(other.err, "there is a macro \"is_one\" already");
}

TEST(a_folder_that_no_agent_would_take_afterwards_is_told)
{
	auto_place struct place p = { 0 };
	auto_ran struct ran ran = { 0 };

	require(place_open(&p) && mkdir(place_at(&p, "to"), 0755) == 0);
	put(&p, "to/mine.yml", RULE("two"));
	ran = import(&p, "table");
	check_int(ran.code, EXIT_NO);
	check_has(ran.out, "     2  files were copied into ");
	check_has(ran.err, "an agent will not take ");
	check_has(ran.err, "there is a rule \"two\" already");
}

TEST(what_cannot_be_written_is_told_after_all_that_was_found_out)
{
	auto_place struct place p = { 0 };
	auto_ran struct ran ran = { 0 };

	require(place_open(&p));
	put(&p, "to", "not a folder\n");
	ran = import(&p, "table");
	check_int(ran.code, EXIT_NO);
	check_has(ran.out, "3 loaded (3 own, 0 Sigma, 0 Elastic), 2 refused, from 4 files\n");
	check_has(ran.out, "     0  files were copied into ");
	check_has(ran.err, "/to/");
	check_has(ran.err, "Not a directory");
}
