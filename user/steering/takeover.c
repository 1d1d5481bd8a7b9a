// SPDX-License-Identifier: BSD-2-Clause
/*
 * Makes resets and sockets from a record. Packets consist of an IP header and a TCP header without options. No state;
 * on the thread of the worker that takes over, except takeover_open_raw(), which the main thread calls at start-up.
 */
#include "steering/takeover.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "steering/endpoint.h"

/* linux/tcp.h cannot be included together with netinet/tcp.h. */
#ifndef TCP_REPAIR_WINDOW
#define TCP_REPAIR_WINDOW 29
#endif
#ifndef IPV6_HDRINCL
#define IPV6_HDRINCL 36
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

/* --- resets --- */

int takeover_open_raw(int family)
{
	int fd = socket(family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW), on = 1, nothing = 1, error;

	if (fd < 0)
		return -errno;
	/* IPPROTO_RAW receives nothing. */
	if ((family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_HDRINCL, &on, sizeof(on))) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &nothing, sizeof(nothing))) {
		error = -errno;
		close(fd);
		return error;
	}
	return fd;
}

static uint32_t add_to_sum(uint32_t sum, const void *data, size_t length)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i + 1 < length; i += 2)
		sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
	return sum;
}

/* RFC 9293 section 3.1, with the pseudo header of either IP. All lengths are even. */
static uint16_t checksum(const void *source, const void *destination, size_t address_length, const struct tcphdr *tcp)
{
	uint32_t sum = add_to_sum(IPPROTO_TCP + sizeof(*tcp), tcp, sizeof(*tcp));

	sum = add_to_sum(sum, source, address_length);
	sum = add_to_sum(sum, destination, address_length);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

/* `tcp` has the fields that differ. */
static int send_segment(int raw, const struct address *from, const struct address *to, struct tcphdr tcp)
{
	union {
		struct ip v4;
		struct ip6_hdr v6;
	} ip = {0};
	uint8_t packet[sizeof(ip) + sizeof(tcp)];
	struct address target = *to;
	size_t length;

	tcp.th_sport = htons((uint16_t)address_port(from));
	tcp.th_dport = htons((uint16_t)address_port(to));
	tcp.th_off = sizeof(tcp) / 4;
	if (from->sa.sa_family == AF_INET) { /* the kernel fills in fields that are 0 */
		length = sizeof(ip.v4);
		ip.v4 = (struct ip){.ip_v = 4,
				    .ip_hl = sizeof(ip.v4) / 4,
				    .ip_ttl = 64,
				    .ip_p = IPPROTO_TCP,
				    .ip_src = from->in.sin_addr,
				    .ip_dst = to->in.sin_addr};
		tcp.th_sum = checksum(&ip.v4.ip_src, &ip.v4.ip_dst, sizeof(ip.v4.ip_src), &tcp);
		target.in.sin_port = 0;
	} else {
		length = sizeof(ip.v6);
		ip.v6.ip6_flow = htonl(6U << 28);
		ip.v6.ip6_plen = htons(sizeof(tcp));
		ip.v6.ip6_nxt = IPPROTO_TCP;
		ip.v6.ip6_hlim = 64;
		ip.v6.ip6_src = from->in6.sin6_addr;
		ip.v6.ip6_dst = to->in6.sin6_addr;
		tcp.th_sum = checksum(&ip.v6.ip6_src, &ip.v6.ip6_dst, sizeof(ip.v6.ip6_src), &tcp);
		target.in6.sin6_port = 0;
	}
	memcpy(packet, &ip, length);
	memcpy(packet + length, &tcp, sizeof(tcp));
	length += sizeof(tcp);
	return sendto(raw, packet, length, MSG_DONTWAIT, &target.sa, target.len) == (ssize_t)length ? 0 : -errno;
}

int takeover_reset_server(int raw, const struct steer_takeover *takeover, __u32 seq)
{
	struct address client = takeover_client(takeover), server = takeover_server(takeover);

	return send_segment(raw, &client, &server, (struct tcphdr){.th_seq = htonl(seq), .th_flags = TH_RST});
}

int takeover_reset_client(int raw, const struct steer_takeover *takeover)
{
	struct address client = takeover_client(takeover), server = takeover_server(takeover);

	return send_segment(raw, &server, &client,
			    (struct tcphdr){.th_seq = htonl(takeover->acknowledged), .th_flags = TH_RST});
}

int takeover_acknowledge(int raw, const struct steer_takeover *takeover)
{
	struct address client = takeover_client(takeover), server = takeover_server(takeover);
	uint32_t arrived = takeover->first + takeover->length;
	uint32_t left = takeover->agreed.receive_from + takeover->agreed.receive_window - arrived;
	uint32_t window = left >> (takeover->agreed.window_scaling ? takeover->agreed.receive_scale : 0);

	/* What is left of the window that the server offered. */
	if ((int32_t)left < 0)
		window = 0;
	return send_segment(raw, &server, &client,
			    (struct tcphdr){.th_seq = htonl(takeover->acknowledged),
					    .th_ack = htonl(arrived),
					    .th_flags = TH_ACK,
					    .th_win = htons((uint16_t)(window < UINT16_MAX ? window : UINT16_MAX))});
}

/* --- the socket that continues the connection --- */

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

int takeover_socket(const struct steer_takeover *takeover)
{
	struct address client = takeover_client(takeover), server = takeover_server(takeover);
	int fd = socket(client.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP), on = 1, error;

	if (fd < 0)
		return -errno;
	/* In this order: sequence numbers before connect(), everything else after it. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) || !set_int(fd, TCP_REPAIR, REPAIR_ON) ||
	    !set_transparent(fd, client.sa.sa_family) || bind(fd, &server.sa, server.len) ||
	    !set_sequence(fd, QUEUE_SEND, takeover->acknowledged) || !set_sequence(fd, QUEUE_RECEIVE, takeover->first))
		goto fail;
	if (connect(fd, &client.sa, client.len)) {
		if (errno ==
		    EADDRNOTAVAIL) /* another socket has the same addresses and ports: __inet_check_established */
			errno = EAGAIN;
		goto fail;
	}
	if (set_options(fd, takeover) && set_timestamps(fd, takeover) &&
	    refresh_segment_size(fd, client.sa.sa_family) && set_int(fd, TCP_REPAIR_QUEUE, QUEUE_RECEIVE) &&
	    fill_queue(fd, takeover->bytes, takeover->length) && set_window(fd, takeover) &&
	    set_int(fd, TCP_REPAIR, REPAIR_OFF) &&
	    /* TCP_REPAIR cleared it. Without it, the web server could not restart while this socket exists. */
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0)
		return fd;
fail:
	error = -errno;
	close(fd); /* still in repair mode: sends nothing */
	return error;
}
