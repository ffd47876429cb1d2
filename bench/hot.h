/* SPDX-License-Identifier: Apache-2.0 */
/* hot - the one event that figures of a single condition, script or lens are taken on: a compiler that begins. */
#pragma once
#include "event/event.h"

/* Kinds are registered before. Its kind is NULL when they are not. Always the same record. */
struct event hot_exec(void);
