// SPDX-License-Identifier: BSD-2-Clause
/* Configurations come with a reload, and go when nobody uses them. Main thread. */
#include "engine/configuration.h"

#include <stdlib.h>

struct configuration *configuration_new(const struct options *options, unsigned int max_sessions, unsigned int workers)
{
	struct configuration *configuration = calloc(1, sizeof(*configuration));

	if (!configuration)
		return NULL;
	configuration->options = *options;
	configuration->max_sessions = max_sessions;
	atomic_store(&configuration->users, workers);
	return configuration;
}

struct configuration *configuration_prune(struct configuration *newest, const struct configuration *keep)
{
	struct configuration **at = &newest;

	while (*at) {
		struct configuration *configuration = *at;

		if (configuration == keep || atomic_load_explicit(&configuration->users, memory_order_acquire)) {
			at = &configuration->older;
			continue;
		}
		*at = configuration->older;
		free(configuration->opened);
		free(configuration);
	}
	return newest;
}
