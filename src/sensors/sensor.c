/* SPDX-License-Identifier: Apache-2.0 */
#include "sensors/sensor.h"
#include "context/context.h"

int sensor_kinds_register(void)
{
	int r = 0;

	for (size_t i = 0; i < context_n_kinds && r == 0; i++)
		r = event_kind_register(&context_kinds[i]);
	for (const struct sensor *const *s = sensor_table; *s && r == 0; s++)
		for (size_t k = 0; k < (*s)->n_kinds && r == 0; k++)
			r = event_kind_register(&(*s)->kinds[k]);
	return r;
}
