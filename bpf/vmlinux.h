/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel types that the programs read, reduced to the fields in use. Offsets come from the running kernel's BTF;
 * UAPI types (struct __sk_buff, constants of helpers) from linux/bpf.h.
 */
#ifndef ALPNBPF_VMLINUX_H
#define ALPNBPF_VMLINUX_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct netns_ipv4 {
	int sysctl_max_syn_backlog;
};

struct net {
	__u64 net_cookie;
	struct netns_ipv4 ipv4;
};

struct in6_addr {
	union {
		__be32 u6_addr32[4];
	} in6_u;
};

struct sock_common {
	__be32 skc_rcv_saddr; /* the local address, IPv4 */
	struct in6_addr skc_v6_rcv_saddr;
	__u16 skc_num; /* the local port, host order */
	__u16 skc_family;
	volatile unsigned char skc_state;
	unsigned char skc_ipv6only : 1;
	int skc_bound_dev_if;
	struct {
		__s64 counter;
	} skc_cookie; /* 0 until something asks for it */
	struct {
		struct net *net;
	} skc_net;
	__u32 skc_rcv_wnd; /* of a request: the offered window */
};

struct sock {
	struct sock_common __sk_common;
	struct {
		int len; /* bytes of truesize that arrived while a process held the lock */
	} sk_backlog;
	int sk_rcvbuf;            /* bytes of truesize the receive queue may hold */
	int sk_sndbuf;            /* bytes of truesize the send queue may hold */
	int sk_wmem_queued;       /* bytes of truesize it holds */
	__u32 sk_ack_backlog;     /* of a listener: connections not accepted yet */
	__u32 sk_max_ack_backlog; /* of a listener: how many may wait */
	__u16 sk_protocol;
	__u8 sk_userlocks : 4; /* what its user has chosen: SOCK_BINDPORT_LOCK (8) the port */
	struct {
		__u32 val;
	} sk_uid; /* the owner, in the initial user namespace */
};

struct socket {
	struct sock *sk;
};

struct inet_sock {
	struct sock sk;
	__be16 inet_sport;
};

struct request_sock_queue {
	struct {
		int counter;
	} qlen; /* connections in the handshake, or deferred */
};

struct inet_connection_sock {
	struct inet_sock icsk_inet;
	struct request_sock_queue icsk_accept_queue;
};

/* The options that the two SYNs agreed on. */
struct tcp_options_received {
	__u32 ts_recent; /* the peer's latest timestamp */
	__u16 tstamp_ok : 1, wscale_ok : 1, sack_ok : 3, snd_wscale : 4, rcv_wscale : 4;
	__u16 mss_clamp;
};

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	__u32 copied_seq; /* head of yet unread data */
	__u32 write_seq;  /* tail(+1) of data held in the TCP send buffer */
	__u32 max_window; /* largest window the peer has advertised */
	__u32 rcv_wnd;    /* the window we have advertised */
	__u32 rcv_wup;    /* the acknowledgement that advertised it */
	__u32 tsoffset;   /* offset of our timestamps */
	bool is_mptcp;    /* a subflow of MPTCP; the field may be missing */
	struct tcp_options_received rx_opt;
};

/* A connection in the handshake. */
struct request_sock {
	struct sock_common __req_common;
	__u16 mss;
	__u8 num_timeout : 7; /* retransmissions of the SYN-ACK */
	__u32 ts_recent;      /* the client's timestamp */
};

struct inet_request_sock {
	struct request_sock req;
	__u16 snd_wscale : 4, rcv_wscale : 4, tstamp_ok : 1, sack_ok : 1, wscale_ok : 1;
	__u32 ir_mark; /* the future socket's SO_MARK */
};

struct tcp_request_sock {
	struct inet_request_sock req;
	__u32 rcv_isn;
	__u32 snt_isn;
	__u32 ts_off;
	bool is_mptcp; /* the listener is MPTCP's; the field may be missing */
};

/* A request to an MPTCP listener. What the client's SYN asked for. */
struct mptcp_subflow_request_sock {
	struct tcp_request_sock sk;
	__u16 mp_capable : 1, mp_join : 1;
};

struct sk_buff {
	char cb[48];
	__u8 ip_summed : 2, csum_valid : 1;
	__u16 transport_header, network_header; /* from the buffer's head */
};

/* An open file of a process, as an iterator shows it; NULL at the end. */
struct file {
	unsigned int f_flags;
};

struct bpf_iter__task_file {
	struct file *file;
};

/* Lives in sk_buff.cb while TCP owns the skb (include/net/tcp.h). */
struct tcp_skb_cb {
	__u32 end_seq;
	__u8 tcp_flags; /* 16 bits wide since 6.18: read with its own size */
};

#pragma clang attribute pop

#endif
