// SPDX-License-Identifier: BSD-2-Clause
/*
 * Which sockets and socket options the seccomp filter allows: those that this program uses, by family, type and
 * protocol, and by level and name. What changes rules of the firewall or of multicast routing, hooks a filter or an
 * upper protocol into a socket, or opens a kind of socket that is not used, is refused whatever capability is left.
 * Owns nothing. Main thread, once.
 */
#include "system/sandbox_sockets.h"

#include <linux/netlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

/* Who needs an option. */
enum needs { ALL, TO_BE_TRANSPARENT };

static const struct {
	int level, name;
	enum needs needs;
} options[] = {
	/* listeners and sessions */
	{SOL_SOCKET, SO_REUSEADDR, ALL},
	{SOL_SOCKET, SO_REUSEPORT, ALL},
	{SOL_SOCKET, SO_LINGER, ALL},
	{SOL_SOCKET, SO_OOBINLINE, ALL},
	{SOL_SOCKET, SO_SNDBUF, ALL},
	{SOL_SOCKET, SO_RCVBUF, ALL},
	{SOL_SOCKET, SO_SNDBUFFORCE, ALL},
	{SOL_SOCKET, SO_RCVBUFFORCE, ALL},
	{SOL_SOCKET, SO_KEEPALIVE, ALL},
	{IPPROTO_TCP, TCP_NODELAY, ALL},
	{IPPROTO_TCP, TCP_MAXSEG, ALL},
	{IPPROTO_TCP, TCP_DEFER_ACCEPT, ALL},
	{IPPROTO_TCP, TCP_CONGESTION, ALL},
	{IPPROTO_TCP, TCP_WINDOW_CLAMP, ALL},
	{IPPROTO_TCP, TCP_KEEPIDLE, ALL},
	{IPPROTO_TCP, TCP_KEEPINTVL, ALL},
	{IPPROTO_TCP, TCP_KEEPCNT, ALL},
	{IPPROTO_IPV6, IPV6_V6ONLY, ALL},
	/* the resolver */
	{IPPROTO_IP, IP_RECVERR, ALL},
	{IPPROTO_IPV6, IPV6_RECVERR, ALL},
	{IPPROTO_IP, IP_TRANSPARENT, TO_BE_TRANSPARENT},
	{IPPROTO_IPV6, IPV6_TRANSPARENT, TO_BE_TRANSPARENT},
};

/* Options that are read. */
static const int levels[] = {SOL_SOCKET, IPPROTO_TCP};

/* UDP for the resolver; not MPTCP, nor a raw protocol. */
static const struct {
	int family, type, protocol;
} sockets[] = {
	{AF_INET, SOCK_STREAM, 0},
	{AF_INET, SOCK_STREAM, IPPROTO_TCP},
	{AF_INET6, SOCK_STREAM, 0},
	{AF_INET6, SOCK_STREAM, IPPROTO_TCP},
	{AF_INET, SOCK_DGRAM, 0},
	{AF_INET, SOCK_DGRAM, IPPROTO_UDP},
	{AF_INET6, SOCK_DGRAM, 0},
	{AF_INET6, SOCK_DGRAM, IPPROTO_UDP},
	{AF_UNIX, SOCK_STREAM, 0},
	{AF_UNIX, SOCK_DGRAM, 0},
	{AF_NETLINK, SOCK_RAW, NETLINK_ROUTE},
	{AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG},
	{AF_NETLINK, SOCK_DGRAM, NETLINK_ROUTE},
};

/* Of arguments of 32 bits, the upper half of the register may hold anything. */
#define EQUALS(argument, value) SCMP_CMP32(argument, SCMP_CMP_EQ, (uint32_t)(value))

static bool is_needed(const struct sandbox *sandbox, enum needs needs)
{
	return needs == ALL || sandbox->transparent;
}

int sandbox_allow_sockets(const struct sandbox *sandbox, scmp_filter_ctx filter)
{
	int error = 0;

	for (size_t i = 0; !error && i < sizeof(sockets) / sizeof(sockets[0]); i++)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 3, EQUALS(0, sockets[i].family),
					 SCMP_A1(SCMP_CMP_MASKED_EQ, 0xf, (uint32_t)sockets[i].type),
					 EQUALS(2, sockets[i].protocol));
	for (size_t i = 0; !error && i < sizeof(options) / sizeof(options[0]); i++)
		if (is_needed(sandbox, options[i].needs))
			error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(setsockopt), 2,
						 EQUALS(1, options[i].level), EQUALS(2, options[i].name));
	for (size_t i = 0; !error && i < sizeof(levels) / sizeof(levels[0]); i++)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(getsockopt), 1, EQUALS(1, levels[i]));
	return error;
}
