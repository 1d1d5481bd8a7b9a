/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TCP ports of this machine: whether one is free, which process holds it, and why we cannot have it. Changes nothing.
 * Main thread, at start-up and whenever a listener comes or goes; the search for a holder reads the descriptors of all
 * processes.
 */
#ifndef ALPNBPF_SYSTEM_PORTS_H
#define ALPNBPF_SYSTEM_PORTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/address.h"
#include "base/sentence.h"

/* Ports below this one need CAP_NET_BIND_SERVICE. */
unsigned int port_first_unprivileged(void);

/* Does a listener keep us from binding `address`? */
bool port_is_taken(const struct address *address);

/*
 * The process that holds the port: fills out, of PROCESS_TEXT_MAX, with "nginx (pid 123)". False if it is not visible
 * from here; out then says "a process of another user or namespace".
 */
bool port_find_holder(const struct address *address, char *out, size_t size);

/*
 * Is the holder, as port_find_holder() names it, the process by which a container engine keeps a published port? Then
 * a firewall rule brings what comes for the port to a container, past this machine's listeners.
 */
bool port_is_published(const char *holder);
#define PORT_PUBLISHED                                                                                                 \
	"a container's port, which a firewall rule brings there: connections from outside never come by here; attach " \
	"in the container: --netns \"$(docker inspect -f '{{.State.Pid}}' CONTAINER)\", with podman the same"

/* Why bind() or listen() on address failed with `error` (-errno), and the remedy. Returns error. */
int port_explain(const struct address *address, int error, struct sentence *why);

/* Binds as attach would, but does not listen, so that no client notices. 0, or -errno and why. */
int port_try_bind(const struct address *address, struct sentence *why);

/* Connects and closes. 0, or -errno (-ETIMEDOUT after timeout_ms). */
int port_try_connect(const struct address *address, unsigned int timeout_ms);

/*
 * Is the socket connected to itself? That can happen on connect() to a port without a listener, if the kernel picks the
 * same port as the source. Any thread.
 */
bool port_connected_to_itself(int fd, const struct address *address);

#endif
