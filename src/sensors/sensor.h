/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sensor - the contract of a folder in sensors/: what it observes, the records it emits,
 * and the BPF object that does it.
 *
 * A sensor is nearly all declaration. The program manager opens its object, picks one
 * variant for each hook, loads, attaches and counts; the sensor only sets its constants
 * and says how to make its hooks fire.
 */
#pragma once
#include "bpf/object.h"
#include "config/option.h"
#include "event/event.h"

struct sensor {
	const char *name, *summary;
	__u8 byte; /* the sensor's half of its record ids */
	const struct event_kind *kinds;
	size_t n_kinds;
	const struct hook *hooks; /* at the index that hook_enter() gets in the kernel side */
	size_t n_hooks;
	const struct option *options; /* rows of OPTION(), into a struct of options_size */
	size_t n_options, options_size;
	const struct bpf_image *image;
	bool off_by_default;

	/*
	 * Do the options fit together? 0, or an error with a trail, and the option that it is about. What is wrong with
	 * one string is the row's own business (option.check). May be NULL.
	 */
	int (*check)(const void *options, const char **ret_option);
	/* Between open and load: set constants, size maps, switch hooks off. May be NULL. */
	int (*prepare)(struct object *obj, const void *options);
	/* After load, before attach: fill maps. May be NULL. */
	int (*fill)(struct object *obj, const void *options);
	/*
	 * Does, harmlessly and in a child of the agent where it must, what hook `i` observes, so
	 * that silence can be told from deafness. 0, or -EOPNOTSUPP where that cannot be done.
	 */
	int (*exercise)(size_t hook);
};

extern const struct sensor *const sensor_table[];

/* Makes all kinds of records known that there are: those of every sensor, and the context's. Again changes nothing. */
int sensor_kinds_register(void);
