// SPDX-License-Identifier: BSD-2-Clause
/* Creates and frees configurations. The main thread before the workers start, and after; in between the first worker.
 */
#include "engine/configuration.h"

#include <stdlib.h>

#include "base/descriptor.h"
#include "engine/listener.h"

struct configuration *configuration_new(const struct options *options, unsigned int max_sessions, unsigned int workers)
{
	struct configuration *configuration = calloc(1, sizeof(*configuration));

	if (!configuration)
		return NULL;
	configuration->options = *options;
	configuration->max_sessions = max_sessions;
	configuration->workers = workers;
	atomic_store(&configuration->users, workers);
	return configuration;
}

void configuration_free(struct configuration *configuration)
{
	if (!configuration)
		return;
	for (unsigned int i = 0; configuration->opened && i < configuration->workers * configuration->opened_count; i++)
		descriptor_close(&configuration->opened[i].fd);
	free(configuration->opened);
	free(configuration);
}

struct configuration *configuration_prune(struct configuration *newest)
{
	struct configuration **at = &newest;

	while (*at) {
		struct configuration *configuration = *at;

		if (atomic_load_explicit(&configuration->users, memory_order_acquire)) {
			at = &configuration->older;
			continue;
		}
		*at = configuration->older;
		configuration_free(configuration);
	}
	return newest;
}
