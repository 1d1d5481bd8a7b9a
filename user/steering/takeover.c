// SPDX-License-Identifier: BSD-2-Clause
/*
 * Makes sockets from records, in two steps: what may fail for lack of something comes first, while the web server still
 * has the connection. No state; in the repair helper, but for what reads a record alone.
 */
#include "steering/takeover.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "steering/endpoint.h"

/* linux/tcp.h cannot be included together with netinet/tcp.h. */
#ifndef TCP_REPAIR_WINDOW
#define TCP_REPAIR_WINDOW 29
#endif
#ifndef SO_BINDTOIFINDEX
#define SO_BINDTOIFINDEX 62
#endif
enum { REPAIR_OFF = 0, REPAIR_ON = 1 };
enum { QUEUE_RECEIVE = 1, QUEUE_SEND = 2 };
#define SCALE_MOST 14                                                               /* RFC 7323 section 2.3 */
enum { OPTION_MSS = 2, OPTION_WINDOW = 3, OPTION_SACK = 4, OPTION_TIMESTAMPS = 8 }; /* RFC 9293, 7323, 2018 */

struct repair_option {
	uint32_t code, value;
};

struct repair_window { /* struct tcp_repair_window */
	uint32_t snd_wl1, snd_wnd, max_window, rcv_wnd, rcv_wup;
};

bool takeover_is_sound(const struct steer_takeover *takeover, size_t size)
{
	if (size < offsetof(struct steer_takeover, bytes) || takeover->length > STEER_BYTES_MAX ||
	    takeover->length > size - offsetof(struct steer_takeover, bytes) ||
	    takeover->kept_length > takeover->length)
		return false;
	return takeover->agreed.send_scale <= SCALE_MOST && takeover->agreed.receive_scale <= SCALE_MOST;
}

struct address takeover_client(const struct steer_takeover *takeover)
{
	return steer_endpoint_address(&takeover->ends.from, takeover->ifindex);
}

struct address takeover_server(const struct steer_takeover *takeover)
{
	return steer_endpoint_address(&takeover->ends.to, takeover->ifindex);
}

static bool set_option(int fd, int option, const void *value, size_t size)
{
	return setsockopt(fd, IPPROTO_TCP, option, value, (socklen_t)size) == 0;
}

static bool set_int(int fd, int option, int value)
{
	return set_option(fd, option, &value, sizeof(value));
}

static bool set_sequence(int fd, int queue, uint32_t seq)
{
	return set_int(fd, TCP_REPAIR_QUEUE, queue) && set_option(fd, TCP_QUEUE_SEQ, &seq, sizeof(seq));
}

static bool set_options(int fd, const struct steer_takeover *takeover)
{
	struct repair_option options[4];
	size_t count = 0;

	options[count++] = (struct repair_option){OPTION_MSS, takeover->agreed.mss};
	/* Set it also without an agreed scale, because connect() has chosen one. */
	options[count] = (struct repair_option){OPTION_WINDOW, 0};
	if (takeover->agreed.window_scaling)
		options[count].value = takeover->agreed.send_scale | (uint32_t)takeover->agreed.receive_scale << 16;
	count++;
	if (takeover->agreed.sack)
		options[count++] = (struct repair_option){OPTION_SACK, 0};
	if (takeover->agreed.timestamps)
		options[count++] = (struct repair_option){OPTION_TIMESTAMPS, 0};
	return set_option(fd, TCP_REPAIR_OPTIONS, options, count * sizeof(options[0]));
}

/*
 * Our timestamps continue the server's. A new socket has no offset, so it reports the clock itself. Newer kernels use
 * the lowest bit for the unit: clear it by rounding up, because timestamps must never go back (RFC 7323 section 5).
 */
static bool set_timestamps(int fd, const struct steer_takeover *takeover)
{
	socklen_t length = sizeof(uint32_t);
	uint32_t clock = 0;

	if (!takeover->agreed.timestamps)
		return true;
	if (getsockopt(fd, IPPROTO_TCP, TCP_TIMESTAMP, &clock, &length))
		return false;
	clock = (clock + takeover->agreed.timestamp_offset + 1) & ~1U;
	return set_option(fd, TCP_TIMESTAMP, &clock, sizeof(clock));
}

/*
 * A new socket has the smallest segment size, and TCP_REPAIR_OPTIONS does not recompute it (tcp_repair_options_est).
 * Setting the IP options does, even to none.
 */
static bool refresh_segment_size(int fd, int family)
{
	if (family == AF_INET)
		return setsockopt(fd, IPPROTO_IP, IP_OPTIONS, NULL, 0) == 0;
	return setsockopt(fd, IPPROTO_IPV6, IPV6_2292PKTOPTIONS, NULL, 0) == 0;
}

/* Fills the queue that TCP_REPAIR_QUEUE has selected. */
static bool fill_queue(int fd, const uint8_t *bytes, size_t length)
{
	while (length) {
		ssize_t count = send(fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (count == 0)
			errno = ENOBUFS;
		if (count <= 0)
			return false;
		bytes += count;
		length -= (size_t)count;
	}
	return true;
}

/* After the queue is filled, because rcv_wup may be beyond the first byte. */
static bool set_window(int fd, const struct steer_takeover *takeover)
{
	struct repair_window window = {.snd_wl1 = takeover->first,
				       .snd_wnd = takeover->window,
				       .max_window = takeover->window,
				       .rcv_wnd = takeover->agreed.receive_window,
				       .rcv_wup = takeover->agreed.receive_from};

	return set_option(fd, TCP_REPAIR_WINDOW, &window, sizeof(window));
}

/* The server's address may not be assigned to this machine: a routed prefix, or TPROXY. */
static bool set_transparent(int fd, int family)
{
	int on = 1;

	if (family == AF_INET)
		return setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &on, sizeof(on)) == 0;
	return setsockopt(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, &on, sizeof(on)) == 0;
}

/* What the server's socket was bound to, besides its address; a link-local address is of its interface only. */
static bool set_device(int fd, const struct steer_takeover *takeover, const struct address *server)
{
	uint32_t device = takeover->agreed.device;

	if (!device && address_is_link_local(server))
		device = takeover->ifindex;
	return !device || setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &device, sizeof(device)) == 0;
}

static bool set_mark(int fd, const struct steer_takeover *takeover)
{
	uint32_t mark = takeover->agreed.mark;

	return !mark || setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) == 0;
}

int takeover_prepare(const struct steer_takeover *takeover)
{
	struct address server = takeover_server(takeover);
	int fd = socket(server.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP), on = 1, error;

	if (fd < 0)
		return -errno;
	/* Sequence numbers before connect(), everything else after it. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 && set_int(fd, TCP_REPAIR, REPAIR_ON) &&
	    set_transparent(fd, server.sa.sa_family) && set_device(fd, takeover, &server) && set_mark(fd, takeover) &&
	    bind(fd, &server.sa, server.len) == 0 && set_sequence(fd, QUEUE_SEND, takeover->acknowledged) &&
	    set_sequence(fd, QUEUE_RECEIVE, takeover->first))
		return fd;
	error = -errno;
	close(fd);
	return error;
}

int takeover_connect(int fd, const struct steer_takeover *takeover)
{
	struct address client = takeover_client(takeover);

	/* While another socket has the same ends, __inet_check_established() fails, after a route was found. */
	return connect(fd, &client.sa, client.len) ? -errno : 0;
}

int takeover_fill(int fd, const struct steer_takeover *takeover)
{
	if (set_options(fd, takeover) && set_timestamps(fd, takeover) &&
	    refresh_segment_size(fd, takeover_client(takeover).sa.sa_family) &&
	    set_int(fd, TCP_REPAIR_QUEUE, QUEUE_RECEIVE) && fill_queue(fd, takeover->bytes, takeover->length) &&
	    set_window(fd, takeover))
		return 0;
	return -errno;
}

bool takeover_is_closed(int fd)
{
	struct tcp_info info = {0};
	socklen_t length = sizeof(info);

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) == 0 && info.tcpi_state == TCP_CLOSE;
}

int takeover_finish(int fd)
{
	int on = 1;

	/* TCP_REPAIR cleared SO_REUSEADDR. Without it, the web server could not restart while this socket exists. */
	if (set_int(fd, TCP_REPAIR, REPAIR_OFF) && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0)
		return 0;
	return -errno;
}
