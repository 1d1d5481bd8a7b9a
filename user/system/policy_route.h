/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The routing that transparent connections need, so that the web server's answers, from loopback to a client's address,
 * come back to this machine instead of leaving it: a rule "from 127.0.0.0/8 iif lo" (and ::1) to a table of our own,
 * whose only route is "local default dev lo". Owns nothing. Main thread, at start-up and at the end.
 */
#ifndef ALPNBPF_SYSTEM_POLICY_ROUTE_H
#define ALPNBPF_SYSTEM_POLICY_ROUTE_H

#include "base/sentence.h"

/*
 * Removes what a killed process left behind, and sets up the routing. 0, or -errno and why. After 0, why is empty or
 * says which family has no routing.
 */
int policy_route_add(struct sentence *why);
void policy_route_remove(void);

#endif
