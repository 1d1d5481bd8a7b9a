/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel types the programs read, reduced to the fields in use. Offsets come from the running kernel's BTF.
 * UAPI types (struct __sk_buff, the helpers' constants) come from linux/bpf.h.
 */
#ifndef ALPNBPF_VMLINUX_H
#define ALPNBPF_VMLINUX_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct sock_common {
	struct {
		__s64 counter;
	} skc_cookie; /* 0 until somebody has asked for it */
};

struct sock {
	struct sock_common __sk_common;
	struct {
		int len; /* bytes of truesize that came while a process held the lock */
	} sk_backlog;
	int sk_rcvbuf;        /* bytes of truesize the receive queue may hold */
	int sk_sndbuf;        /* bytes of truesize the send queue may hold */
	int sk_wmem_queued;   /* bytes of truesize it holds */
	__u32 sk_ack_backlog; /* of a listener: connections not accepted yet */
};

struct inet_sock {
	struct sock sk;
	__be16 inet_sport;
};

struct request_sock_queue {
	struct {
		int counter;
	} qlen; /* connections whose handshake is under way, or that are deferred */
};

struct inet_connection_sock {
	struct inet_sock icsk_inet;
	struct request_sock_queue icsk_accept_queue;
};

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	__u32 copied_seq; /* head of yet unread data */
	__u32 write_seq;  /* tail(+1) of data held in the TCP send buffer */
	__u32 max_window; /* largest window the peer has advertised */
};

struct sk_buff {
	char cb[48];
};

/* Lives in sk_buff.cb while TCP owns the skb (include/net/tcp.h). */
struct tcp_skb_cb {
	__u32 end_seq;
	__u8 tcp_flags; /* 16 bits wide since 6.18: read with its own size */
};

#pragma clang attribute pop

#endif
