/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Removes what the web server has of a connection that is being taken over, by the means that this machine allows:
 *
 *     a request    SOCK_DESTROY: no packet, no log line
 *     a socket     a reset as if from the client, which servers log less loudly; if that does not arrive, SOCK_DESTROY,
 *                  whose reset bpf/hush.bpf.h holds back
 *
 * A reset is sent only if the server's address is this machine's, so that none leaves it. The main thread opens it,
 * sets `why_trace`, and closes it once the repair helper has it, which alone uses the descriptors.
 */
#ifndef ALPNBPF_STEERING_REMOVAL_H
#define ALPNBPF_STEERING_REMOVAL_H

#include <stdbool.h>

#include "base/descriptor.h"
#include "base/sentence.h"
#include "steering.h"

struct removal {
	int diag;                /* for server_socket.h */
	int routes;              /* for system/route.h */
	int raw[STEER_FAMILIES]; /* for takeover_packets.h; NO_DESCRIPTOR for a family that the machine lacks */
	bool destroys;           /* SOCK_DESTROY is to be had */
	char why_trace[200];     /* why takeovers leave a trace, or may, and what to do; "": they leave none */
};

#define REMOVAL_CLOSED                                                                                                 \
	(struct removal)                                                                                               \
	{                                                                                                              \
		.diag = NO_DESCRIPTOR, .routes = NO_DESCRIPTOR, .raw = { NO_DESCRIPTOR, NO_DESCRIPTOR }                \
	}

/* Opens it, and tries SOCK_DESTROY with connections of its own (removal_proof.h). 0, or -errno and why. */
int removal_open(struct removal *removal, struct sentence *why);
/* Closes the descriptors; what was found out stays. */
void removal_close(struct removal *removal);
/* If why_trace is set: what is not certain of takeovers, why, and what happens instead, for the log and `check`. */
void removal_describe_trace(const struct removal *removal, struct sentence *said);
/* Do takeovers leave traces, or may they, since SOCK_DESTROY could not be tried? Its beginning. */
const char *removal_traces(const struct removal *removal);

/*
 * The next try, the first one with `tries` 0. 0 if takeover_connect() may succeed now; -EOPNOTSUPP if nothing here can
 * remove it; else -errno.
 */
int removal_try(const struct removal *removal, const struct steer_takeover *takeover, unsigned int tries);
/* How many tries make sense before the connection has had time to react. */
unsigned int removal_tries_at_once(const struct removal *removal);
/* Is there nothing left of it? False also if that cannot be found out. */
bool removal_is_done(const struct removal *removal, const struct steer_takeover *takeover);

#endif
