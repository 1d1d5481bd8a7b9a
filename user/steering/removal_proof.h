/* SPDX-License-Identifier: BSD-2-Clause */
/* Can SOCK_DESTROY be had on this machine? Tried with a connection of our own. No state. Main thread, at start-up. */
#ifndef ALPNBPF_STEERING_REMOVAL_PROOF_H
#define ALPNBPF_STEERING_REMOVAL_PROOF_H

#include "base/sentence.h"

/*
 * Makes a connection over loopback, in this network namespace, to a listener that defers it, and removes the request.
 * 0 if that works, or if the machine lacks the family; -EAGAIN and why if no connection could be made; else -errno and
 * why, with what to do. diag: from server_socket_open().
 */
int removal_prove(int diag, int family, struct sentence *why);

#endif
