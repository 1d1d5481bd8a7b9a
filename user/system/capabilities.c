// SPDX-License-Identifier: BSD-2-Clause
/* Capabilities of this process, by name: see capabilities.h. Owns nothing. Any thread. */
#include "system/capabilities.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const struct {
	unsigned int number;
	const char *name;
	bool in_sys_admin; /* CAP_SYS_ADMIN includes it, for programs older than the capability */
} capabilities[] = {
	{CAP_BPF, "CAP_BPF", true},          {CAP_NET_ADMIN, "CAP_NET_ADMIN", false},
	{CAP_PERFMON, "CAP_PERFMON", true},  {CAP_NET_BIND_SERVICE, "CAP_NET_BIND_SERVICE", false},
	{CAP_NET_RAW, "CAP_NET_RAW", false}, {CAP_SETUID, "CAP_SETUID", false},
	{CAP_SETGID, "CAP_SETGID", false},   {CAP_KILL, "CAP_KILL", false},
};

static uint64_t effective_capabilities(void)
{
	FILE *file = fopen("/proc/self/status", "re");
	uint64_t effective = 0;
	char line[256];

	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "CapEff: %" SCNx64, &effective) == 1)
			break;
	fclose(file);
	return effective;
}

const char *capabilities_missing(uint64_t wanted, char *out, size_t size)
{
	uint64_t effective = effective_capabilities();
	size_t length = 0;

	for (size_t i = 0; i < sizeof(capabilities) / sizeof(capabilities[0]); i++) {
		uint64_t bit = CAPABILITY(capabilities[i].number);

		if (!(wanted & bit) || effective & bit)
			continue;
		if (capabilities[i].in_sys_admin && effective & CAPABILITY(CAP_SYS_ADMIN))
			continue;
		if (length < size)
			length += (size_t)snprintf(out + length, size - length, "%s%s", length ? ", " : "missing ",
						   capabilities[i].name);
	}
	return length ? out : NULL;
}

const char *capabilities_list(uint64_t set, char *out, size_t size)
{
	size_t length = 0;

	snprintf(out, size, "none");
	for (size_t i = 0; i < sizeof(capabilities) / sizeof(capabilities[0]); i++)
		if (set & CAPABILITY(capabilities[i].number) && length < size)
			length += (size_t)snprintf(out + length, size - length, "%s%s", length ? ", " : "",
						   capabilities[i].name);
	return out;
}

const char *capabilities_strerror(int error, uint64_t wanted, char *out, size_t size)
{
	char names[CAPABILITIES_TEXT_MAX];
	const char *missing = NULL;

	if (error == -EPERM || error == -EACCES)
		missing = capabilities_missing(wanted, names, sizeof(names));
	if (missing)
		snprintf(out, size, "%s (%s)", strerror(-error), missing);
	else
		snprintf(out, size, "%s", strerror(-error));
	return out;
}
