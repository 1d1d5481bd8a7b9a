// SPDX-License-Identifier: BSD-2-Clause
/* Reads the local routes, and listens for their changes: see local_addresses.h. Owns struct local_watch. Main thread.
 */
#include "system/local_addresses.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/descriptor.h"
#include "base/log.h"
#include "base/timer.h"
#include "system/netlink.h"

#define MAPPED_BITS    96 /* of ::ffff:0:0/96 */
#define ADDRESS_BITS   128
#define READ_EVERY_US  (50 * US_PER_MS)   /* at most */
#define AGAIN_US       (1000 * US_PER_MS) /* after an error */
#define EVENTS_AT_ONCE 256
#define TRIES          4

/* --- reading, on any thread --- */

static void words_of(const struct address *address, uint64_t *high, uint64_t *low)
{
	const uint8_t *bytes = address->in6.sin6_addr.s6_addr;

	*high = *low = 0;
	if (address->sa.sa_family == AF_INET) {
		*low = UINT64_C(0xffff) << 32 | ntohl(address->in.sin_addr.s_addr);
		return;
	}
	for (int i = 0; i < 8; i++) {
		*high = *high << 8 | bytes[i];
		*low = *low << 8 | bytes[8 + i];
	}
}

/* The first `bits` of 64. */
static uint64_t mask_of(uint64_t bits)
{
	return bits == 0 ? 0 : bits >= 64 ? UINT64_MAX : UINT64_MAX << (64 - bits);
}

static bool is_in(const struct local_prefix *shared, uint64_t high, uint64_t low)
{
	struct local_prefix prefix;
	uint64_t bits;

	published_copy(&prefix, shared, sizeof(prefix));
	bits = prefix.bits;
	return ((prefix.high ^ high) & mask_of(bits)) == 0 &&
	       ((prefix.low ^ low) & mask_of(bits > 64 ? bits - 64 : 0)) == 0;
}

static int list_has(const struct local_list *list, uint64_t high, uint64_t low)
{
	uint64_t count = __atomic_load_n(&list->count, __ATOMIC_RELAXED);

	for (uint64_t i = 0; i < count && i < LOCAL_PREFIXES_MAX; i++)
		if (is_in(&list->prefixes[i], high, low))
			return 1;
	return (int)__atomic_load_n(&list->error, __ATOMIC_RELAXED);
}

int local_addresses_has(const struct local_addresses *addresses, const struct address *address)
{
	struct address plain = address_unmapped(address);
	uint64_t high, low;

	words_of(&plain, &high, &low);
	for (int tries = 0; tries < TRIES; tries++) {
		uint32_t number = published_read(&addresses->published);
		int has = list_has(&addresses->lists[number & 1], high, low);

		if (published_was_whole(&addresses->published, number))
			return has;
	}
	return -EAGAIN;
}

/* --- the list --- */

static void note_route(void *context, const struct nlmsghdr *header)
{
	const struct rtmsg *route = NLMSG_DATA(header);
	const struct rtattr *attribute = RTM_RTA(route);
	struct local_list *list = context;
	struct local_prefix *prefix;
	struct address to = {0};
	size_t left;

	if (header->nlmsg_type != RTM_NEWROUTE || header->nlmsg_len < NLMSG_LENGTH(sizeof(*route)) ||
	    route->rtm_type != RTN_LOCAL || route->rtm_table != RT_TABLE_LOCAL ||
	    (route->rtm_family != AF_INET && route->rtm_family != AF_INET6))
		return;
	if (list->count == LOCAL_PREFIXES_MAX) {
		list->error = -E2BIG;
		return;
	}
	to.sa.sa_family = route->rtm_family;
	left = header->nlmsg_len - NLMSG_LENGTH(sizeof(*route));
	for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
		if (attribute->rta_type != RTA_DST)
			continue;
		if (route->rtm_family == AF_INET && RTA_PAYLOAD(attribute) >= sizeof(to.in.sin_addr))
			memcpy(&to.in.sin_addr, RTA_DATA(attribute), sizeof(to.in.sin_addr));
		else if (RTA_PAYLOAD(attribute) >= sizeof(to.in6.sin6_addr))
			memcpy(&to.in6.sin6_addr, RTA_DATA(attribute), sizeof(to.in6.sin6_addr));
	}
	prefix = &list->prefixes[list->count++];
	words_of(&to, &prefix->high, &prefix->low);
	prefix->bits = route->rtm_dst_len + (route->rtm_family == AF_INET ? MAPPED_BITS : 0U);
	if (prefix->bits > ADDRESS_BITS)
		prefix->bits = ADDRESS_BITS;
}

/* A machine without IPv6 has no such table. */
static bool has_no_such_family(int error)
{
	return error == -ENOENT || error == -EAFNOSUPPORT || error == -EOPNOTSUPP;
}

static int read_family(struct local_watch *watch, unsigned char family)
{
	struct {
		struct nlmsghdr header;
		struct rtmsg route;
	} message = {
		.header = {.nlmsg_len = sizeof(message), .nlmsg_type = RTM_GETROUTE, .nlmsg_flags = NLM_F_DUMP},
		.route = {.rtm_family = family, .rtm_table = RT_TABLE_LOCAL, .rtm_type = RTN_LOCAL},
	};
	int error = netlink_ask(watch->routes, &message.header, note_route, watch->found);

	return has_no_such_family(error) ? 0 : error;
}

static void publish(struct local_watch *watch)
{
	struct local_addresses *addresses = watch->addresses;
	struct local_list *list = &addresses->lists[published_begin(&addresses->published)];

	published_copy(list, watch->found, offsetof(struct local_list, prefixes[watch->found->count]));
	published_end(&addresses->published);
}

static void tell_of_failure(struct local_watch *watch, int error)
{
	if (error == -E2BIG && !watch->failed)
		log_warn(
			"this machine has more than %u local addresses and prefixes; a connection that alpnbpf forwards "
			"in place to one of the others is refused",
			LOCAL_PREFIXES_MAX);
	else if (error && !watch->failed)
		log_warn("cannot list this machine's addresses: %s; trying again every second, with those known before",
			 strerror(-error));
	watch->failed = error != 0;
}

/* After an error, the list that was published before stays. */
static int read_list(struct local_watch *watch)
{
	int error;

	watch->found->count = 0;
	watch->found->error = 0;
	error = read_family(watch, AF_INET);
	if (!error)
		error = read_family(watch, AF_INET6);
	if (!error)
		publish(watch);
	tell_of_failure(watch, error ? error : (int)watch->found->error);
	return error;
}

/* --- following it --- */

/* A router may have many routes that change all the time: only `local` ones wake us. */
static int filter_events(int fd)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_type)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_NEWROUTE), 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_DELROUTE), 0, 2),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, NLMSG_HDRLEN + offsetof(struct rtmsg, rtm_type)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, RTN_LOCAL, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) ? -errno : 0;
}

static int listen_for_events(int fd)
{
	struct sockaddr_nl groups = {.nl_family = AF_NETLINK,
				     .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
						  RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE};
	int error = filter_events(fd);

	if (error)
		return error;
	return bind(fd, (const struct sockaddr *)&groups, sizeof(groups)) ? -errno : 0;
}

/* A dump of one table: without this, the kernel would send those of a whole router. */
static int ask_strictly(int fd)
{
	int on = 1;

	return setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof(on)) ? -errno : 0;
}

int local_addresses_open(struct local_watch *watch, struct local_addresses *addresses, struct sentence *why)
{
	int error;

	*watch = LOCAL_WATCH_CLOSED;
	watch->addresses = addresses;
	watch->found = calloc(1, sizeof(*watch->found));
	watch->events = netlink_open(NETLINK_ROUTE);
	watch->routes = netlink_open(NETLINK_ROUTE);
	error = !watch->found ? -ENOMEM : watch->events < 0 ? watch->events : watch->routes < 0 ? watch->routes : 0;
	if (!error)
		error = listen_for_events(watch->events);
	if (!error)
		error = ask_strictly(watch->routes);
	if (!error)
		error = read_list(watch);
	if (!error)
		return 0;
	local_addresses_close(watch);
	return sentence_error(why, error, "cannot list this machine's addresses: %s", strerror(-error));
}

void local_addresses_close(struct local_watch *watch)
{
	free(watch->found);
	if (watch->events >= 0)
		descriptor_close(&watch->events);
	if (watch->routes >= 0)
		descriptor_close(&watch->routes);
	*watch = LOCAL_WATCH_CLOSED;
}

int local_addresses_fd(const struct local_watch *watch)
{
	return watch->events;
}

uint64_t local_addresses_next(const struct local_watch *watch)
{
	return watch->due;
}

/* Did anything come? Also if more came than the socket holds. */
static bool take_events(int fd)
{
	bool came = false;
	char bytes[256];

	for (int i = 0; i < EVENTS_AT_ONCE && (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) >= 0 || errno == ENOBUFS);
	     i++)
		came = true;
	return came;
}

void local_addresses_follow(struct local_watch *watch)
{
	uint64_t now, next;

	if (!watch->addresses)
		return;
	now = monotonic_us();
	next = watch->read_at + READ_EVERY_US;
	if (take_events(watch->events) && next < watch->due)
		watch->due = next;
	if (now < watch->due)
		return;
	watch->read_at = now;
	watch->due = read_list(watch) ? now + AGAIN_US : UINT64_MAX;
}
