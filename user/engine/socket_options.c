// SPDX-License-Identifier: BSD-2-Clause
/* Options of sockets: see socket_options.h. Owns nothing; for the thread that owns the socket. */
#include "engine/socket_options.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "system/sysctl.h"

#define BUFFER_LEAST (32U * 1024)
/*
 * Of a validation, the kernel's overhead included: more than a hello with its answer. One that is served may send more,
 * which segments of loopback need (docs/KERNEL.md 6b); of those that wait there can be more.
 */
#define ACME_SENT     (32U * 1024)
#define ACME_RECEIVED (128U * 1024)
#define ACME_WAITING  (32U * 1024)
/*
 * Segments on loopback are 64 KiB: if the window is open but smaller than that, the sender waits 200 ms for its persist
 * timer (docs/KERNEL.md 6b). Segments larger than this cost slightly less CPU, but with small buffers they sometimes
 * stalled.
 */
#define SEGMENT_MOST 8192

static void set_buffer(int fd, int option, int forced, unsigned int bytes)
{
	/*
	 * SO_*BUFFORCE needs CAP_NET_ADMIN, which we have only at start-up, when listeners are opened: no thread gets
	 * it back. Without it, net.core.{r,w}mem_max limits the buffer.
	 */
	static atomic_bool cannot_force;
	int half = (int)(bytes / 2); /* the kernel doubles it */

	if (!atomic_load_explicit(&cannot_force, memory_order_relaxed)) {
		if (setsockopt(fd, SOL_SOCKET, forced, &half, sizeof(half)) == 0)
			return;
		if (errno == EPERM)
			atomic_store_explicit(&cannot_force, true, memory_order_relaxed);
	}
	setsockopt(fd, SOL_SOCKET, option, &half, sizeof(half));
}

/* Clients are far and need bytes in flight, backends are near: the client's side gets three quarters. */
unsigned int socket_buffer_share(enum side side, unsigned int buffer_bytes)
{
	unsigned int near = buffer_bytes / 4 > BUFFER_LEAST ? buffer_bytes / 4 : BUFFER_LEAST;

	return side == CLIENT ? buffer_bytes - near : near;
}

void socket_set_buffers(int fd, enum side side, const struct options *options)
{
	unsigned int share = socket_buffer_share(side, options->buffer_bytes);
	int segment = SEGMENT_MOST;

	set_buffer(fd, SO_SNDBUF, SO_SNDBUFFORCE, share);
	/* Not TCP_WINDOW_CLAMP: the kernel recomputes that from this buffer whenever the segment size changes. */
	set_buffer(fd, SO_RCVBUF, SO_RCVBUFFORCE, share);
	if (options->dataplane != DATAPLANE_USER)
		setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof(segment));
}

int socket_set_transparent(int fd, int family)
{
	int on = 1, result;

	if (family == AF_INET)
		result = setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &on, sizeof(on));
	else
		result = setsockopt(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, &on, sizeof(on));
	return result ? -errno : 0;
}

void socket_set_acme_buffers(int fd, bool waits)
{
	int segment = SEGMENT_MOST;

	set_buffer(fd, SO_SNDBUF, SO_SNDBUFFORCE, ACME_SENT);
	set_buffer(fd, SO_RCVBUF, SO_RCVBUFFORCE, waits ? ACME_WAITING : ACME_RECEIVED);
	setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof(segment));
}

int socket_set_defer_accept(int fd, const struct options *options)
{
	int defer = (int)(options->hello_timeout_ms / 1000);

	if (defer < 1)
		defer = 1;
	if (!options->defer_accept)
		defer = 0;
	return setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &defer, sizeof(defer)) ? -errno : 0;
}

int socket_set_client_options(int fd, const struct options *options)
{
	int on = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) ||
	    setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on,
		       sizeof(on))) /* because the verdict forwards urgent bytes inline */
		return -errno;
	socket_set_buffers(fd, CLIENT, options);
	return 0;
}

bool socket_buffers_can_grow(const struct options *options)
{
	unsigned int share = socket_buffer_share(CLIENT, options->buffer_bytes);

	return sysctl_number("net/core/rmem_max", UINT_MAX) >= share / 2 &&
	       sysctl_number("net/core/wmem_max", UINT_MAX) >= share / 2;
}

/* Only if needed: at start-up CAP_NET_ADMIN allowed more. */
void socket_change_buffers(int fd, const struct options *old, const struct options *new, bool can_grow)
{
	if (new->buffer_bytes < old->buffer_bytes || (new->buffer_bytes > old->buffer_bytes &&can_grow))
		socket_set_buffers(fd, CLIENT, new);
}

void socket_keep_tracked(int fd)
{
	static const int settings[][3] = {{SOL_SOCKET, SO_KEEPALIVE, 1},
					  {IPPROTO_TCP, TCP_KEEPIDLE, 5},
					  {IPPROTO_TCP, TCP_KEEPINTVL, 5},
					  {IPPROTO_TCP, TCP_KEEPCNT, 127}};

	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		setsockopt(fd, settings[i][0], settings[i][1], &settings[i][2], sizeof(settings[i][2]));
}
