/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Reads a TCP segment from an skb that starts with the IP header, as in cgroup_skb programs. Owns nothing. */
#ifndef ALPNBPF_TCP_SEGMENT_BPF_H
#define ALPNBPF_TCP_SEGMENT_BPF_H

#include <bpf/bpf_core_read.h>

#include "endpoint.bpf.h"

#define IPPROTO_TCP  6
#define TCPHDR_FIN   0x01
#define TCPHDR_SYN   0x02
#define TCPHDR_RST   0x04
#define TCPHDR_ACK   0x10
#define IPV6_VERSION 6
#define IPV4_HEADER  20 /* bytes, without options */
#define IPV6_HEADER  40
#define TCP_HEADER   20
#define OFFSET_MOST  0x3fff /* of the TCP header: the verifier limits offsets of packet pointers */

enum { VERIFIED_BY_DEVICE = 1, NOT_COMPUTED_YET = 3 }; /* CHECKSUM_UNNECESSARY, CHECKSUM_PARTIAL: skb->ip_summed */

/* The fields of a TCP segment that the watch needs. */
struct segment {
	struct steer_connection ends;
	__u32 header;         /* offset of the TCP header in the skb */
	__u32 offset, length; /* of the payload */
	__u32 seq, ack;
	__u16 window; /* not scaled */
	__u8 flags;
};

/* Returns `length`, which is from 1 to `most`, a power of two, in a form that every verifier understands. */
static __always_inline __u32 bounded(__u32 length, __u32 most)
{
	length--;
	asm volatile("" : "+r"(length));
	return (length & (most - 1)) + 1;
}

/* The offset of the TCP header from the IP header. IPv6 may have headers in between. */
static __always_inline __u32 transport_offset(struct __sk_buff *skb, const __u8 *ip)
{
	struct sk_buff *kernel_skb = (struct sk_buff *)skb;
	__u16 network = 0, transport = 0;

	if (ip[0] >> 4 != IPV6_VERSION)
		return (ip[0] & 15) * 4;
	if (ip[6] == IPPROTO_TCP)
		return IPV6_HEADER;
	bpf_probe_read_kernel(&network, sizeof(network), &kernel_skb->network_header);
	bpf_probe_read_kernel(&transport, sizeof(transport), &kernel_skb->transport_header);
	return (__u16)(transport - network);
}

/* Reads everything except the addresses. Direct access works, because TCP has made the headers linear (tcp_v4_rcv). */
static __always_inline bool read_segment(struct __sk_buff *skb, struct segment *segment)
{
	const __u8 *ip = (const __u8 *)(long)skb->data, *end = (const __u8 *)(long)skb->data_end, *tcp;
	__u32 at;

	if (ip + IPV4_HEADER + TCP_HEADER > end)
		return false;
	at = transport_offset(skb, ip);
	if (at > OFFSET_MOST)
		return false;
	tcp = ip + at;
	if (tcp + TCP_HEADER > end)
		return false;
	segment->ends.from.port = (__u16)(tcp[0] << 8 | tcp[1]);
	segment->ends.to.port = (__u16)(tcp[2] << 8 | tcp[3]);
	segment->seq = (__u32)tcp[4] << 24 | (__u32)tcp[5] << 16 | (__u32)tcp[6] << 8 | tcp[7];
	segment->ack = (__u32)tcp[8] << 24 | (__u32)tcp[9] << 16 | (__u32)tcp[10] << 8 | tcp[11];
	segment->flags = tcp[13];
	segment->window = (__u16)(tcp[14] << 8 | tcp[15]);
	segment->header = at;
	segment->offset = at + (__u32)(tcp[12] >> 4) * 4;
	segment->length = skb->len > segment->offset ? skb->len - segment->offset : 0;
	return true;
}

static __always_inline bool read_addresses(struct __sk_buff *skb, struct segment *segment)
{
	const __u8 *ip = (const __u8 *)(long)skb->data, *end = (const __u8 *)(long)skb->data_end;
	__be32 from, to;

	if (ip + IPV4_HEADER > end)
		return false;
	if (ip[0] >> 4 != IPV6_VERSION) {
		/* By bytes, because the addresses may not be aligned. */
		__builtin_memcpy(&from, ip + 12, sizeof(from));
		__builtin_memcpy(&to, ip + 16, sizeof(to));
		set_v4(&segment->ends.from, from);
		set_v4(&segment->ends.to, to);
		return true;
	}
	if (ip + IPV6_HEADER > end)
		return false;
	__builtin_memcpy(segment->ends.from.addr, ip + 8, 16);
	__builtin_memcpy(segment->ends.to.addr, ip + 24, 16);
	return true;
}

/* --- the checksum: TCP may verify it only later, and would drop a segment that we had trusted --- */

#define SUM_STEP 32

struct sum_loop {
	struct __sk_buff *skb;
	__u32 at, left;
	__u64 sum; /* of 32-bit words in network byte order, RFC 1071 */
};

static long sum_step(__u32 index, void *data)
{
	struct sum_loop *loop = data;
	__u32 words[SUM_STEP / 4] = {};

	(void)index;
	if (loop->left >= SUM_STEP) {
		if (bpf_skb_load_bytes(loop->skb, loop->at, words, sizeof(words)))
			return 1;
		for (int i = 0; i < SUM_STEP / 4; i++)
			loop->sum += words[i];
		loop->at += SUM_STEP;
		loop->left -= SUM_STEP;
	} else if (loop->left >= 2) {
		if (bpf_skb_load_bytes(loop->skb, loop->at, words, 2))
			return 1;
		loop->sum += words[0];
		loop->at += 2;
		loop->left -= 2;
	} else if (loop->left) {
		if (bpf_skb_load_bytes(loop->skb, loop->at, words, 1))
			return 1;
		loop->sum += words[0];
		loop->left = 0;
	}
	return !loop->left;
}

static __noinline bool is_intact(struct __sk_buff *skb, const struct segment *segment)
{
	struct sk_buff *kernel_skb = (struct sk_buff *)skb;
	__u32 by = BPF_CORE_READ_BITFIELD_PROBED(kernel_skb, ip_summed);
	struct sum_loop loop = {.skb = skb, .at = segment->header, .left = skb->len - segment->header};

	if (by == VERIFIED_BY_DEVICE || by == NOT_COMPUTED_YET || BPF_CORE_READ_BITFIELD_PROBED(kernel_skb, csum_valid))
		return true;
	loop.sum = bpf_htonl(IPPROTO_TCP) + (__u64)bpf_htonl(loop.left);
	if (is_v4(&segment->ends.to)) {
		loop.sum += (__u64)segment->ends.from.addr[3] + segment->ends.to.addr[3];
	} else {
		for (int i = 0; i < 4; i++)
			loop.sum += (__u64)segment->ends.from.addr[i] + segment->ends.to.addr[i];
	}
	bpf_loop(loop.left / SUM_STEP + SUM_STEP, sum_step, &loop, 0);
	for (int i = 0; i < 4; i++)
		loop.sum = (loop.sum & 0xffff) + (loop.sum >> 16);
	return !loop.left && loop.sum == 0xffff;
}

#endif
