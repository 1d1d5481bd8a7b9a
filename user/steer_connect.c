// SPDX-License-Identifier: BSD-2-Clause
/*
 * Our own connections to the web server, as steering knows them: not to be steered back to us, and to be shown as the
 * client they are made for. Called by the workers; the maps are what synchronises them.
 */
#include "steer.h"

#include <errno.h>
#include <sys/socket.h>

#include <bpf/bpf.h>

#include "sockaddr.h"

/* Without sock_ops: take the source the kernel would, whose port is then known before the SYN leaves. */
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

int steer_connect_begin(struct steer *steer, int fd, const struct address *client, const struct address *to,
			struct steer_endpoint *ours)
{
	struct steer_connecting entry = {.client = steer_endpoint_from(client)};
	socklen_t length = sizeof(uint64_t);
	struct address from;
	uint64_t cookie;

	*ours = (struct steer_endpoint){0};
	if (!steer->tracks)
		return 0;
	if (steer->by_cgroup) {
		if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &length))
			return -errno;
		return bpf_map_update_elem(steer->connecting, &cookie, &entry, BPF_ANY) ? -errno : 0;
	}
	from.len = sizeof(from.in6);
	if (getsockname(fd, &from.sa, &from.len))
		return -errno;
	if (address_port(&from) == 0) {
		int error = bind_source(fd, to, &from);

		if (error)
			return error;
	}
	*ours = steer_endpoint_from(&from);
	return bpf_map_update_elem(steer->ours, ours, &entry.client, BPF_ANY) ? -errno : 0;
}

int steer_connect_end(struct steer *steer, int fd, struct steer_endpoint *ours)
{
	struct steer_connecting entry;
	socklen_t length = sizeof(uint64_t);
	uint64_t cookie;

	if (!steer->tracks || !steer->by_cgroup)
		return 0;
	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &length) ||
	    bpf_map_lookup_and_delete_elem(steer->connecting, &cookie, &entry))
		return -errno;
	*ours = entry.from;
	return ours->port ? 0 : -ENOBUFS;
}

void steer_forget(struct steer *steer, struct steer_endpoint *ours)
{
	if (ours->port)
		bpf_map_delete_elem(steer->ours, ours);
	ours->port = 0;
}
