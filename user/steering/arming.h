/* SPDX-License-Identifier: BSD-2-Clause */
/* Armed or not: struct steer_state says how the kernel knows. Start-up and main thread only. */
#ifndef ALPNBPF_STEERING_ARMING_H
#define ALPNBPF_STEERING_ARMING_H

#include "steering/steer.h"

/* After sock_ops is attached: keep the listeners that are there already. ring: of struct steer_arrival. 0 or -errno. */
int arming_start(struct steer *steer, int ring);
/* The port has changed: forget the listeners of the old one, and look for those of the new. 0 or -errno. */
int arming_find_anew(struct steer *steer, enum steer_kind kind);
void arming_stop(struct steer *steer);

/* The descriptor that is readable when somebody listens on the ACME port, or -1; arming_look() logs it. */
int arming_fd(const struct steer *steer);
/* Logs what has changed. True when only another look, after a second, would see the next change: a listener that goes.
 */
bool arming_look(struct steer *steer);
/*
 * Are new connections looked into? While somebody listens on the ACME port, or always: as options and this machine have
 * it, and where nothing is steered. (For each packet the programs ask themselves: is_armed() in bpf/steer.bpf.c.)
 */
bool arming_is_armed(const struct steer *steer);
/* Why; NULL: it is not armed. */
const char *arming_reason(const struct steer *steer);

#endif
