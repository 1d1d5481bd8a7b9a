// SPDX-License-Identifier: BSD-2-Clause
/* What the options need of the machine: see needs.h. Owns nothing. Main thread, at start-up. */
#include "options/needs.h"

#include <limits.h>
#include <sched.h>

#include "steering.h"
#include "system/activation.h"
#include "system/capabilities.h"
#include "system/ports.h"

#define RESERVE_PROCESS 40 /* stdio, maps, programs, signals, notification, the control socket and its clients */
#define RESERVE_STEER   32 /* programs, maps and links for steering, the lock */
#define RESERVE_WORKER  6  /* epoll, wake-up, ring and its epoll, a connection to be rejected, one to spare */

uint64_t needs_to_listen(const struct options *options)
{
	unsigned int first = port_first_unprivileged();

	for (unsigned int i = 0; !options->activated && i < options->listener_count; i++)
		if (!options->in_place[i] && address_port(&options->listeners[i]) < first)
			return CAPABILITY(CAP_NET_BIND_SERVICE);
	return 0;
}

uint64_t needs_to_take_over(const struct options *options)
{
	unsigned int first = port_first_unprivileged();

	for (unsigned int i = 0; i < options->listener_count; i++)
		if (address_port(&options->listeners[i]) < first)
			return CAPABILITY(CAP_NET_BIND_SERVICE);
	return 0;
}

unsigned int needs_workers(const struct options *options)
{
	cpu_set_t set;

	if (options->workers)
		return options->workers;
	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		return (unsigned int)CPU_COUNT(&set);
	return 1;
}

rlim_t needs_descriptors(const struct options *options, unsigned int sessions)
{
	unsigned int listeners = options->listener_count - options->in_place_count, process = RESERVE_PROCESS;

	if (options->in_place_count)
		listeners += STEER_FAMILIES;
	if (options->in_place_count || options->bypass || options->client_address == CLIENT_ADDRESS_PEERNAME)
		process += RESERVE_STEER;
	if (options->activated) /* and each worker duplicates them */
		process += options->activated->count;
	return process + needs_workers(options) * (RESERVE_WORKER + listeners) + 2 * (rlim_t)sessions;
}

unsigned int needs_session_limit(const struct options *options, rlim_t nofile)
{
	rlim_t reserve = needs_descriptors(options, 0);

	if (nofile <= reserve)
		return 0;
	if ((nofile - reserve) / 2 > UINT_MAX)
		return UINT_MAX;
	return (unsigned int)((nofile - reserve) / 2);
}
