// SPDX-License-Identifier: BSD-2-Clause
/* Compares options, one row of the table after another: see changes.h. Owns nothing. Any thread. */
#include "options/changes.h"

#include <stdio.h>

#include "options/table.h"

unsigned int options_list_changes(const struct options *old, const struct options *new, bool fixed, char *out,
				  size_t size)
{
	unsigned int count = 0;
	size_t length = 0;

	*out = '\0';
	for (size_t i = 0; i < option_spec_count; i++) {
		if (option_specs[i].fixed != fixed || option_is_same(&option_specs[i], old, new))
			continue;
		if (length < size)
			length += (size_t)snprintf(out + length, size - length, "%s%s", count ? ", " : "",
						   option_specs[i].name);
		count++;
	}
	return count;
}
