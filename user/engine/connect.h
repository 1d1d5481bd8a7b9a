/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One attempt of a session to connect to its backend; backend.c decides when and how often. Runs on the thread of the
 * session's worker.
 */
#ifndef ALPNBPF_ENGINE_CONNECT_H
#define ALPNBPF_ENGINE_CONNECT_H

#include <stdbool.h>

#include "base/address.h"
#include "engine/session.h"

/* In place, those that do not come from the options: session_follows_client(). */
unsigned int connect_address_count(const struct session *session);
/* The index to begin with: the address that answered last, or one of the client's family if the server sees that. */
unsigned int connect_first_address(const struct session *session);
/* The address to try now. */
struct address connect_address(const struct session *session);

/*
 * Opens the backend's socket, connects, and adds it to the epoll set if that takes time. 0 if it is connected,
 * -EALREADY if that takes time, -EINPROGRESS if the address is not known yet and this is to be called again in a
 * moment, or the error: then side_close() is due.
 */
int connect_start(struct session *session);
/* Call it once, on the main thread, before any worker runs. */
void connect_prepare(void);
/* The state of that connection, as for connect_start(). May be called again. */
int connect_result(struct session *session);

#endif
