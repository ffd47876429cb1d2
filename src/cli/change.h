/* SPDX-License-Identifier: Apache-2.0 */
/* change - asks an agent to change something, and says what that did: for `sensor` and `reload`. */
#pragma once
#include "cli/cli.h"

enum exit_code change_ask(struct cli *cli, const char *socket, const char *request, uint32_t output);
