/* SPDX-License-Identifier: BSD-2-Clause */
/* Network namespaces. Owns nothing. Main thread, before there is another one. */
#ifndef ALPNBPF_SYSTEM_NETNS_H
#define ALPNBPF_SYSTEM_NETNS_H

#include "base/sentence.h"

/*
 * Moves this process into a network namespace: of a process, by its PID; by the path of a file; or by the name that
 * ip-netns(8) gave it. Everything else, as files and cgroups, stays what it is. Needs CAP_SYS_ADMIN. 0 or -errno and
 * why.
 */
int netns_enter(const char *which, struct sentence *why);

#endif
