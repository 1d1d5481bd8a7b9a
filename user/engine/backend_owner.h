/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whose listener a session's connection to its backend reaches. Any user of this machine can listen on a port from 1024
 * on: at the port of an ACME client that is between two names, or at an address where the web server is not. Such a
 * listener gets no byte: it is not connected to or, if it comes in that very moment, the connection is closed before
 * anything is sent. The listener is asked for before and after connect(). If it is the same one, it took the
 * connection, because no other can have had its address in between; unless a socket that was bound to the port before
 * has connected to ours in the same moment, which is looked for.
 *
 * In place, the listener at the address that the client had connected to may be anybody's: without alpnbpf, its
 * connection would have gone there, too.
 */
#ifndef ALPNBPF_ENGINE_BACKEND_OWNER_H
#define ALPNBPF_ENGINE_BACKEND_OWNER_H

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>

#include "engine/session.h"
#include "options/options.h"
#include "steering/owners.h"

struct engine;
struct listening;

/* The listener belongs to another user. No system call that a session makes fails with this number. */
#define BACKEND_STRANGER EKEYREJECTED
/* The listener was replaced while the connection was made. */
#define BACKEND_REPLACED ESTALE

/* In shared memory, one for each route. Workers write, the main thread resets. */
struct backend_stranger {
	_Atomic uint32_t uid;        /* the last one's */
	_Atomic unsigned long count; /* connections that were not made since the main thread has looked */
};

/* Before connect(). 0, or -BACKEND_STRANGER: do not connect; or -errno. */
int backend_owner_expect(struct session *session, const struct address *to);
/* Once connect() has succeeded, before a byte is sent: 0, or -BACKEND_STRANGER, -BACKEND_REPLACED, or -errno. */
int backend_owner_verify(struct session *session, const struct address *to);
/* May this listener be the route's? */
bool backend_owner_may_be(const struct session *session, const struct listening *listening);

/* Whose listeners are the backends' of new options; old: NULL at the start. Main thread. */
struct backend_owners backend_owners_after(const struct engine *engine, const struct options *old,
					   const struct options *new);
/* The options are in force with these. Main thread. */
void backend_owners_in_force(struct engine *engine, const struct backend_owners *owners);
/* Logs the strangers that workers have met. Main thread. */
void backend_owner_log(struct engine *engine, const struct options *options);

#endif
