/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Connections that the watch holds (bpf/hold.bpf.h), and whose ClientHello does not come: gives each back to the
 * kernel, by giving it the client's acknowledgement again, so that the web server accepts it. No state. In the process
 * of the repair helper.
 */
#ifndef ALPNBPF_STEERING_HELD_H
#define ALPNBPF_STEERING_HELD_H

#include "steering/inject.h"
#include "steering/removal.h"

/*
 * 0 or -errno: then the connection is the web server's a second after its beginning, because the kernel retransmits the
 * SYN-ACK, and the client answers.
 */
int held_release(const struct injector *injector, const struct removal *removal, const struct steer_idle *idle);

#endif
