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

#ifndef TCP_REPAIR_WINDOW
#define TCP_REPAIR_WINDOW 29
#endif
#ifndef IPV6_2292PKTOPTIONS
#define IPV6_2292PKTOPTIONS 6
#endif
#ifndef SO_BINDTOIFINDEX
#define SO_BINDTOIFINDEX 62
#endif

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

#define MAIN    SANDBOX_MAIN
#define WORKERS SANDBOX_WORKERS
#define HELPER  SANDBOX_HELPER
#define ALL     (MAIN | WORKERS | HELPER)

static const struct {
	unsigned int roles;
	int level, name;
} options[] = {
	{MAIN | HELPER, SOL_SOCKET, SO_REUSEADDR},
	{MAIN | WORKERS, SOL_SOCKET, SO_PASSRIGHTS},
	/* listeners */
	{MAIN, SOL_SOCKET, SO_REUSEPORT},
	{MAIN, IPPROTO_IPV6, IPV6_V6ONLY},
	{MAIN | WORKERS, IPPROTO_TCP, TCP_DEFER_ACCEPT},
	{MAIN | WORKERS, SOL_SOCKET, SO_SNDBUF},
	{MAIN | WORKERS, SOL_SOCKET, SO_RCVBUF},
	{MAIN | WORKERS, SOL_SOCKET, SO_SNDBUFFORCE},
	{MAIN | WORKERS, SOL_SOCKET, SO_RCVBUFFORCE},
	{MAIN | WORKERS, IPPROTO_TCP, TCP_MAXSEG},
	/* sessions, messages to the service manager */
	{MAIN | WORKERS, SOL_SOCKET, SO_LINGER},
	{MAIN, SOL_SOCKET, SO_SNDTIMEO},
	{MAIN | WORKERS, SOL_SOCKET, SO_OOBINLINE},
	{WORKERS, SOL_SOCKET, SO_KEEPALIVE},
	{MAIN | WORKERS, IPPROTO_TCP, TCP_NODELAY},
	{WORKERS, IPPROTO_TCP, TCP_CONGESTION},
	{WORKERS, IPPROTO_TCP, TCP_KEEPIDLE},
	{WORKERS, IPPROTO_TCP, TCP_KEEPINTVL},
	{WORKERS, IPPROTO_TCP, TCP_KEEPCNT},
	/* the resolver */
	{MAIN, IPPROTO_IP, IP_RECVERR},
	{MAIN, IPPROTO_IPV6, IPV6_RECVERR},
	/* connections that go on in a socket of ours */
	{HELPER, SOL_SOCKET, SO_BINDTOIFINDEX},
	{HELPER, SOL_SOCKET, SO_MARK},
	{HELPER, IPPROTO_TCP, TCP_REPAIR},
	{HELPER, IPPROTO_TCP, TCP_REPAIR_QUEUE},
	{HELPER, IPPROTO_TCP, TCP_QUEUE_SEQ},
	{HELPER, IPPROTO_TCP, TCP_REPAIR_OPTIONS},
	{HELPER, IPPROTO_TCP, TCP_REPAIR_WINDOW},
	{HELPER, IPPROTO_TCP, TCP_TIMESTAMP},
	{HELPER, IPPROTO_IP, IP_OPTIONS},
	{HELPER, IPPROTO_IPV6, IPV6_2292PKTOPTIONS},
	{HELPER, IPPROTO_IP, IP_TRANSPARENT},
	{HELPER, IPPROTO_IPV6, IPV6_TRANSPARENT},
};

/* With --client-address transparent, for sessions. */
static const struct {
	int level, name;
} transparent[] = {{IPPROTO_IP, IP_TRANSPARENT}, {IPPROTO_IPV6, IPV6_TRANSPARENT}};

/* Options that are read. */
static const int levels[] = {SOL_SOCKET, IPPROTO_TCP};

/* UDP for the resolver; not MPTCP, nor a raw protocol. */
static const struct {
	unsigned int roles;
	int family, type, protocol;
} sockets[] = {
	{MAIN, AF_INET, SOCK_STREAM, 0},
	{ALL, AF_INET, SOCK_STREAM, IPPROTO_TCP},
	{MAIN, AF_INET6, SOCK_STREAM, 0},
	{ALL, AF_INET6, SOCK_STREAM, IPPROTO_TCP},
	{MAIN, AF_INET, SOCK_DGRAM, 0},
	{MAIN, AF_INET, SOCK_DGRAM, IPPROTO_UDP},
	{MAIN, AF_INET6, SOCK_DGRAM, 0},
	{MAIN, AF_INET6, SOCK_DGRAM, IPPROTO_UDP},
	{MAIN | WORKERS, AF_UNIX, SOCK_STREAM, 0},
	{MAIN, AF_UNIX, SOCK_DGRAM, 0},
	{MAIN, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE},
	{MAIN, AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG},
	{MAIN, AF_NETLINK, SOCK_DGRAM, NETLINK_ROUTE},
};

/* Of arguments of 32 bits, the upper half of the register may hold anything. */
#define EQUALS(argument, value) SCMP_CMP32(argument, SCMP_CMP_EQ, (uint32_t)(value))

static int allow_option(scmp_filter_ctx filter, int level, int name)
{
	return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(setsockopt), 2, EQUALS(1, level), EQUALS(2, name));
}

int sandbox_allow_sockets(const struct sandbox *sandbox, scmp_filter_ctx filter)
{
	int error = 0;

	for (size_t i = 0; !error && i < sizeof(sockets) / sizeof(sockets[0]); i++)
		if (sandbox->roles & sockets[i].roles)
			error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 3,
						 EQUALS(0, sockets[i].family),
						 SCMP_A1(SCMP_CMP_MASKED_EQ, 0xf, (uint32_t)sockets[i].type),
						 EQUALS(2, sockets[i].protocol));
	for (size_t i = 0; !error && i < sizeof(options) / sizeof(options[0]); i++)
		if (sandbox->roles & options[i].roles)
			error = allow_option(filter, options[i].level, options[i].name);
	for (size_t i = 0; !error && sandbox->transparent && sandbox->roles & MAIN &&
			   i < sizeof(transparent) / sizeof(transparent[0]);
	     i++)
		error = allow_option(filter, transparent[i].level, transparent[i].name);
	/* Off for a socket that was taken over, it would keep the web server from its port. */
	if (!error && sandbox->binds && sandbox->roles & WORKERS)
		error = allow_option(filter, SOL_SOCKET, SO_REUSEADDR);
	for (size_t i = 0; !error && i < sizeof(levels) / sizeof(levels[0]); i++)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(getsockopt), 1, EQUALS(1, levels[i]));
	return error;
}
