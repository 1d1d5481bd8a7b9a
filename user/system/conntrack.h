/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Connection tracking (nf_conntrack), asked by nfnetlink. Owns nothing: the caller owns the descriptor, from
 * conntrack_open(), which only one thread uses. Needs CAP_NET_ADMIN.
 */
#ifndef ALPNBPF_SYSTEM_CONNTRACK_H
#define ALPNBPF_SYSTEM_CONNTRACK_H

#include "base/address.h"

/* A descriptor, which the caller closes, or -errno: -EPROTONOSUPPORT without nfnetlink in the kernel. */
int conntrack_open(void);

/*
 * A TCP connection to this machine as it is on the wire, before address translation (DNAT, REDIRECT, or SNAT of what
 * comes in) changes its addresses. In: `from` and `to` as TCP has them. Out: as its client's packets have them; the
 * same, if nothing is translated or tracked. 0 or -errno; -EOPNOTSUPP: connections are tracked here, but the kernel
 * lacks nf_conntrack_netlink, or fd is -1. Only the default zone is looked at.
 */
int conntrack_on_wire(int fd, struct address *from, struct address *to);

#endif
