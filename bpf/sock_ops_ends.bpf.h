/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Reads the ends of a connection, or of a listener, in sock_ops. */
#ifndef ALPNBPF_SOCK_OPS_ENDS_BPF_H
#define ALPNBPF_SOCK_OPS_ENDS_BPF_H

#include <bpf/bpf_endian.h>

#include "endpoint.bpf.h"

static __always_inline void local_end(struct bpf_sock_ops *ops, struct steer_endpoint *end)
{
	SET_ADDRESS(end, ops->family, ops->local_ip4, ops->local_ip6);
	end->port = (__u16)ops->local_port;
	end->pad = 0;
}

static __always_inline void remote_end(struct bpf_sock_ops *ops, struct steer_endpoint *end)
{
	SET_ADDRESS(end, ops->family, ops->remote_ip4, ops->remote_ip6);
	end->port = (__u16)bpf_ntohl(ops->remote_port);
	end->pad = 0;
}

#endif
