/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * In place: another address by which the web server is reached that a client's connection was for, where the address
 * the client had connected to is not this machine's (TPROXY), or a packet filter lets no connection to it through.
 * Never an address where another server listens, such as the origin behind a filter. Owns nothing. Any thread.
 */
#ifndef ALPNBPF_ENGINE_ELSEWHERE_H
#define ALPNBPF_ENGINE_ELSEWHERE_H

#include <stdbool.h>

#include "base/address.h"
#include "system/listening.h"

/*
 * listeners: all those on the port of the destination; destination: where the client connected to; is_local: it is this
 * machine's. False if there is no such address.
 */
bool elsewhere_among(const struct listening *listeners, unsigned int count, const struct address *destination,
		     bool is_local, struct address *elsewhere);

#endif
