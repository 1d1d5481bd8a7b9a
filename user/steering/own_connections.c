// SPDX-License-Identifier: BSD-2-Clause
/* Enters our connections in the maps, and removes them later. Threads: see own_connections.h. */
#include "steering/own_connections.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <bpf/bpf.h>

#include "steering/endpoint.h"

/* Entries of connections that have ended, the oldest at `first`. */
struct own_ended {
	unsigned int first, count;
	struct own_connection connections[OWN_ENDED_MAX];
};

int own_connections_open(struct own_connections *own, const struct steer_maps *maps, unsigned int workers)
{
	pthread_rwlockattr_t attributes;

	own->maps = maps;
	own->ended = calloc(workers, sizeof(*own->ended));
	if (!own->ended)
		return -ENOMEM;
	pthread_rwlockattr_init(&attributes);
	/* A writer must not starve while workers connect all the time. */
	pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&own->reuse, &attributes);
	pthread_rwlockattr_destroy(&attributes);
	return 0;
}

void own_connections_close(struct own_connections *own)
{
	if (!own->ended)
		return;
	pthread_rwlock_destroy(&own->reuse);
	free(own->ended);
	own->ended = NULL;
}

/* Without sock_ops: binds the source address that the kernel would choose, so that the port is known before the SYN. */
static int bind_source(int fd, const struct address *to, struct address *from)
{
	int on = 1;

	*from = *to;
	if (from->sa.sa_family == AF_INET)
		from->in.sin_port = 0;
	else
		from->in6.sin6_port = 0;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, &from->sa, from->len) || getsockname(fd, &from->sa, &from->len))
		return -errno;
	return 0;
}

/* Enters the connection before it exists: once the socket is bound, both ends are known. */
static int enter_bound(struct own_connections *own, int fd, const struct steer_client *client, const struct address *to,
		       struct own_connection *connection)
{
	struct address from = {.len = sizeof(from.in6)};
	int error = 0;

	if (getsockname(fd, &from.sa, &from.len))
		return -errno;
	if (address_port(&from) == 0)
		error = bind_source(fd, to, &from);
	if (error)
		return error;
	connection->ends.from = steer_endpoint_from(&from);
	connection->ends.to = steer_endpoint_from(to);
	if (bpf_map_update_elem(own->maps->own_connections, &connection->ends, client, BPF_ANY))
		return -errno;
	connection->cookie = client->cookie;
	return 0;
}

int own_connection_begin(struct own_connections *own, int fd, const struct address *client, const struct address *to,
			 struct own_connection *connection)
{
	struct steer_client value = {.client = steer_endpoint_from(client)};
	struct steer_connecting connecting = {.client = value.client};
	socklen_t length = sizeof(value.cookie);

	*connection = (struct own_connection){0};
	if (!own->are_tracked)
		return 0;
	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &value.cookie, &length))
		return -errno;
	if (!own->by_sock_ops)
		return enter_bound(own, fd, &value, to, connection);
	if (bpf_map_update_elem(own->maps->own_connecting, &value.cookie, &connecting, BPF_ANY))
		return -errno;
	connection->cookie = value.cookie;
	pthread_rwlock_rdlock(&own->reuse);
	return 0;
}

int own_connection_end(struct own_connections *own, struct own_connection *connection)
{
	struct steer_connecting connecting;
	uint64_t cookie = connection->cookie;

	if (!own->are_tracked || !own->by_sock_ops)
		return 0;
	pthread_rwlock_unlock(&own->reuse);
	connection->cookie = 0;
	if (bpf_map_lookup_and_delete_elem(own->maps->own_connecting, &cookie, &connecting))
		return -errno;
	if (!connecting.made.from.port)
		return -ENOBUFS;
	connection->ends = connecting.made;
	connection->cookie = cookie;
	return 0;
}

/*
 * Unless a later connection has the same ends. No worker may add one at the same time: `reuse` is held, or sock_ops is
 * not used.
 */
static void remove_entry(struct own_connections *own, const struct own_connection *connection)
{
	struct steer_client found;

	if (bpf_map_lookup_elem(own->maps->own_connections, &connection->ends, &found) == 0 &&
	    found.cookie == connection->cookie)
		bpf_map_delete_elem(own->maps->own_connections, &connection->ends);
}

static void remove_oldest(struct own_connections *own, struct own_ended *ended)
{
	pthread_rwlock_wrlock(&own->reuse);
	for (unsigned int i = 0; i < OWN_ENDED_AT_ONCE; i++) {
		remove_entry(own, &ended->connections[ended->first]);
		ended->first = (ended->first + 1) % OWN_ENDED_MAX;
	}
	pthread_rwlock_unlock(&own->reuse);
	ended->count -= OWN_ENDED_AT_ONCE;
}

void own_connection_forget(struct own_connections *own, unsigned int worker, struct own_connection *connection)
{
	struct own_ended *ended;

	if (!connection->cookie)
		return;
	if (own->by_sock_ops) {
		ended = &own->ended[worker];
		if (ended->count == OWN_ENDED_MAX)
			remove_oldest(own, ended);
		ended->connections[(ended->first + ended->count++) % OWN_ENDED_MAX] = *connection;
	} else { /* without sock_ops nothing shows that another program reuses the port */
		bpf_map_delete_elem(own->maps->own_connections, &connection->ends);
	}
	connection->cookie = 0;
}
