/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oracles - cases that others wrote, which lie outside of the tree because of their licences.
 *
 * SHRIKE_ORACLES names a folder with them; else ../shared/oracles/detect.tar.zst beside the sources is unpacked
 * into a folder for temporary files, which goes when the last file is closed.
 */
#pragma once
#include <stdbool.h>
#include <stdio.h>
#include "base/json.h"

struct oracle {
	char folder[256];
	bool unpacked;
	char *text;
	size_t n;
	struct json_doc doc;
};

/* Reads a file of cases as text. False: there are none here; the test is skipped for "no-oracles". */
bool oracle_open(struct oracle *o, const char *name);
/* Another file of the same folder, in the place of the one before. */
bool oracle_next(struct oracle *o, const char *name);
/* The text as JSON; NULL, and a trail, when it is none. */
const struct json_node *oracle_json(struct oracle *o);
void oracle_close(struct oracle *o);
#define auto_oracle __attribute__((cleanup(oracle_close)))

/* A member that is a string, or "". */
const char *oracle_string(const struct json_node *object, const char *name);
/* Appends a value as it is written in JSON. */
void oracle_put(const struct json_node *n, struct buf *out);
