// SPDX-License-Identifier: BSD-2-Clause
/*
 * Makes packets from a record: an IP header and a TCP header. No state; on the thread of the worker that takes over,
 * except takeover_open_raw(), which the main thread calls at start-up.
 */
#include "steering/takeover_packets.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <unistd.h>

#include "base/address.h"
#include "steering/endpoint.h"
#include "steering/takeover.h"

#ifndef IPV6_HDRINCL
#define IPV6_HDRINCL 36
#endif

/* RFC 7323 section 3.2, aligned by two no-operations. */
struct timestamps {
	uint8_t padding[2], kind, length;
	uint32_t value, echo;
};

struct segment {
	struct tcphdr tcp;
	struct timestamps timestamps;
};

/* How a packet is routed: as those of the server's socket were. */
struct way {
	uint32_t device, mark;
};

/* IPPROTO_RAW receives nothing. A source that is not this machine's is allowed to it, for IPv6 if it is transparent. */
int takeover_open_raw(int family)
{
	int fd = socket(family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW), on = 1, nothing = 1, error;

	if (fd < 0)
		return -errno;
	if ((family == AF_INET6 && (setsockopt(fd, IPPROTO_IPV6, IPV6_HDRINCL, &on, sizeof(on)) ||
				    setsockopt(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, &on, sizeof(on)))) ||
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

/* RFC 1071. */
static uint16_t fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

/* RFC 9293 section 3.1, with the pseudo header of either IP. All lengths are even. */
static uint16_t checksum(const void *source, const void *destination, size_t address_length,
			 const struct segment *segment, size_t length)
{
	uint32_t sum = add_to_sum(IPPROTO_TCP + (uint32_t)length, segment, length);

	sum = add_to_sum(sum, source, address_length);
	return fold(add_to_sum(sum, destination, address_length));
}

/* Control data: the route's source address, interface and mark. */
union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(uint32_t))];
};

static void add_control(struct msghdr *message, int level, int type, const void *data, size_t length)
{
	struct cmsghdr *control = (struct cmsghdr *)((char *)message->msg_control + message->msg_controllen);

	*control = (struct cmsghdr){.cmsg_level = level, .cmsg_type = type, .cmsg_len = CMSG_LEN(length)};
	memcpy(CMSG_DATA(control), data, length);
	message->msg_controllen += CMSG_SPACE(length);
}

static void set_way(struct msghdr *message, const struct address *from, const struct way *way)
{
	if (from->sa.sa_family == AF_INET) {
		struct in_pktinfo source = {.ipi_ifindex = (int)way->device, .ipi_spec_dst = from->in.sin_addr};

		add_control(message, IPPROTO_IP, IP_PKTINFO, &source, sizeof(source));
	} else {
		struct in6_pktinfo source = {.ipi6_ifindex = way->device, .ipi6_addr = from->in6.sin6_addr};

		add_control(message, IPPROTO_IPV6, IPV6_PKTINFO, &source, sizeof(source));
	}
	if (way->mark)
		add_control(message, SOL_SOCKET, SO_MARK, &way->mark, sizeof(way->mark));
}

/* An IP header and a TCP header, as they are sent. */
struct packet {
	union {
		struct ip v4;
		struct ip6_hdr v6;
	} ip;
	size_t ip_length;
	struct segment segment;
	size_t length; /* of the segment */
};

/* `segment` has the fields that differ, and `length` says whether it has timestamps. The IPv4 header has no checksum.
 */
static struct packet make_packet(const struct address *from, const struct address *to, struct segment segment,
				 size_t length)
{
	struct packet packet = {.length = length};

	segment.tcp.th_sport = htons((uint16_t)address_port(from));
	segment.tcp.th_dport = htons((uint16_t)address_port(to));
	segment.tcp.th_off = length == sizeof(segment) ? sizeof(segment) / 4 : sizeof(segment.tcp) / 4;
	if (from->sa.sa_family == AF_INET) {
		packet.ip_length = sizeof(packet.ip.v4);
		packet.ip.v4 = (struct ip){.ip_v = 4,
					   .ip_hl = sizeof(packet.ip.v4) / 4,
					   .ip_len = htons((uint16_t)(sizeof(packet.ip.v4) + length)),
					   .ip_ttl = 64,
					   .ip_p = IPPROTO_TCP,
					   .ip_src = from->in.sin_addr,
					   .ip_dst = to->in.sin_addr};
		segment.tcp.th_sum =
			checksum(&from->in.sin_addr, &to->in.sin_addr, sizeof(from->in.sin_addr), &segment, length);
	} else {
		packet.ip_length = sizeof(packet.ip.v6);
		packet.ip.v6.ip6_flow = htonl(6U << 28);
		packet.ip.v6.ip6_plen = htons((uint16_t)length);
		packet.ip.v6.ip6_nxt = IPPROTO_TCP;
		packet.ip.v6.ip6_hlim = 64;
		packet.ip.v6.ip6_src = from->in6.sin6_addr;
		packet.ip.v6.ip6_dst = to->in6.sin6_addr;
		segment.tcp.th_sum = checksum(&from->in6.sin6_addr, &to->in6.sin6_addr, sizeof(from->in6.sin6_addr),
					      &segment, length);
	}
	packet.segment = segment;
	return packet;
}

/* way: NULL, as any packet's. The kernel fills in the checksum of the IPv4 header. */
static int send_segment(int raw, const struct address *from, const struct address *to, struct segment segment,
			size_t length, const struct way *way)
{
	struct packet packet = make_packet(from, to, segment, length);
	struct address target = *to;
	union control control = {0};
	struct iovec parts[2] = {{.iov_base = &packet.ip, .iov_len = packet.ip_length},
				 {.iov_base = &packet.segment, .iov_len = length}};
	struct msghdr message = {.msg_name = &target.sa, .msg_namelen = target.len, .msg_iov = parts, .msg_iovlen = 2};
	ssize_t sent;

	if (target.sa.sa_family == AF_INET)
		target.in.sin_port = 0;
	else
		target.in6.sin6_port = 0;
	if (way) {
		message.msg_control = &control;
		set_way(&message, from, way);
	}
	sent = sendmsg(raw, &message, MSG_DONTWAIT);
	return sent == (ssize_t)(packet.ip_length + length) ? 0 : -errno;
}

static struct way way_of(const struct steer_takeover *takeover)
{
	return (struct way){.device = takeover->agreed.device, .mark = takeover->agreed.mark};
}

int takeover_reset_server(int raw, const struct steer_takeover *takeover, __u32 seq)
{
	struct address client = takeover_client(takeover), server = takeover_server(takeover);
	struct segment reset = {.tcp = {.th_seq = htonl(seq), .th_flags = TH_RST}};

	return send_segment(raw, &client, &server, reset, sizeof(reset.tcp), NULL);
}

static struct segment held_acknowledgement(const struct steer_idle *idle)
{
	return (struct segment){.tcp = {.th_seq = htonl(idle->seq),
					.th_ack = htonl(idle->acknowledged),
					.th_flags = TH_ACK,
					.th_win = htons(idle->window)}};
}

int takeover_send_held(int raw, const struct steer_idle *idle)
{
	struct address client = steer_endpoint_address(&idle->ends.from, idle->ifindex);
	struct address server = steer_endpoint_address(&idle->ends.to, idle->ifindex);

	return send_segment(raw, &client, &server, held_acknowledgement(idle), sizeof(struct tcphdr), NULL);
}

size_t takeover_make_held(const struct steer_idle *idle, const struct address *from, const struct address *to,
			  unsigned char out[TAKEOVER_HELD_MAX])
{
	struct packet packet = make_packet(from, to, held_acknowledgement(idle), sizeof(struct tcphdr));

	if (from->sa.sa_family == AF_INET)
		packet.ip.v4.ip_sum = fold(add_to_sum(0, &packet.ip.v4, packet.ip_length));
	memcpy(out, &packet.ip, packet.ip_length);
	memcpy(out + packet.ip_length, &packet.segment, packet.length);
	return packet.ip_length + packet.length;
}

int takeover_reset_client(int raw, const struct steer_takeover *takeover)
{
	struct address client = takeover_client(takeover), server = takeover_server(takeover);
	struct segment reset = {.tcp = {.th_seq = htonl(takeover->acknowledged), .th_flags = TH_RST}};
	struct way way = way_of(takeover);

	return send_segment(raw, &server, &client, reset, sizeof(reset.tcp), &way);
}

/* What is left of the window that the server offered, as a header has it. */
static uint16_t window_left(const struct steer_takeover *takeover, uint32_t arrived)
{
	uint32_t left = takeover->agreed.receive_from + takeover->agreed.receive_window - arrived;
	uint32_t window = left >> (takeover->agreed.window_scaling ? takeover->agreed.receive_scale : 0);

	if ((int32_t)left < 0)
		return 0;
	return (uint16_t)(window < UINT16_MAX ? window : UINT16_MAX);
}

int takeover_acknowledge(int raw, const struct steer_takeover *takeover, int fd)
{
	struct address client = takeover_client(takeover), server = takeover_server(takeover);
	uint32_t arrived = takeover->first + takeover->length, clock;
	struct segment segment = {.tcp = {.th_seq = htonl(takeover->acknowledged),
					  .th_ack = htonl(arrived),
					  .th_flags = TH_ACK,
					  .th_win = htons(window_left(takeover, arrived))}};
	struct way way = way_of(takeover);
	size_t length = sizeof(segment.tcp);
	socklen_t size = sizeof(clock);

	if (takeover->agreed.timestamps && getsockopt(fd, IPPROTO_TCP, TCP_TIMESTAMP, &clock, &size) == 0) {
		segment.timestamps = (struct timestamps){.padding = {TCPOPT_NOP, TCPOPT_NOP},
							 .kind = TCPOPT_TIMESTAMP,
							 .length = TCPOLEN_TIMESTAMP,
							 .value = htonl(clock),
							 .echo = htonl(takeover->agreed.timestamp_recent)};
		length = sizeof(segment);
	}
	return send_segment(raw, &server, &client, segment, length, &way);
}
