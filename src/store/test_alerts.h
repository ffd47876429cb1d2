/* SPDX-License-Identifier: Apache-2.0 */
/* test_alerts - alerts that tests make up: each is known by its number. */
#pragma once
#include "store/alerts.h"

/*
 * The n-th: its id begins with the number, in eight hexadecimal digits; it happened n seconds after the first; its
 * severity is n % 5, its rule "even" or "odd". By ann's sh, on web-1.
 */
struct alert test_alert(unsigned n);
/* Puts those from `from` on, up to `to`, and waits until they are kept. False: one of them was not taken. */
bool test_alerts_put(struct alerts *store, unsigned from, unsigned to);
