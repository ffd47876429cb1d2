/* SPDX-License-Identifier: Apache-2.0 */
/* schema - all that may stand in the configuration: the agent's own sections, each sensor's, each engine's. */
#pragma once
#include "config/config.h"

/* Made on the first call; lives as long as the process. NULL when there are more than CONFIG_SECTIONS_MAX. Not for two
 * threads at once. */
const struct config_schema *agent_schema(void);
