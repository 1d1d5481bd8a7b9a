/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One attempt of a session to connect to the backend it aims at; how often and when is decided in backend.c. Runs on
 * the thread of the session's worker.
 */
#ifndef ALPNBPF_ENGINE_CONNECT_H
#define ALPNBPF_ENGINE_CONNECT_H

#include <stdbool.h>

#include "base/address.h"
#include "engine/session.h"

/*
 * In place the web server is where the client wanted to go: the same address, so that it serves what it would have.
 * Then there is one address to try, and it is not one of the options'.
 */
bool connect_follows_client(const struct session *session);
unsigned int connect_address_count(const struct session *session);
/* The index to begin with: the one that answered last, or of the client's family where the server is to see that. */
unsigned int connect_first_address(const struct session *session);
/* The address to try now. */
struct address connect_address(const struct session *session);

/*
 * Opens the backend's socket, connects, and polls it while that is under way. 0 when it stands, -EALREADY while it is
 * under way, or why it failed: then side_close() is due.
 */
int connect_start(struct session *session, const struct address *address);
/* How the connection of that socket stands: as connect_start(). Asking again is harmless. */
int connect_result(int fd, const struct address *address);

#endif
