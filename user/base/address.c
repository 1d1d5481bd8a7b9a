// SPDX-License-Identifier: BSD-2-Clause
/*
 * Addresses as users write them and as log lines show them. Owns nothing. Any thread; parsing a host name calls the
 * resolver and blocks until it answers.
 */
#include "base/address.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <nss.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNIX_PREFIX "unix:"

/* A host and a port as written; the host is not checked yet. */
struct host_port {
	char host[256]; /* "" when there was none */
	bool bracketed;
	uint16_t port;
};

static bool all_of(const char *text, const char *set)
{
	return text[strspn(text, set)] == '\0';
}

static bool parse_port(uint16_t *port, const char *text, struct sentence *why)
{
	unsigned long value = 0;

	if (!*text)
		return sentence_refuse(why, "the port is missing; write a number from 1 to 65535");
	/* Five digits cannot overflow; strtoul alone would accept signs and blanks. */
	if (all_of(text, "0123456789") && strlen(text) <= 5)
		value = strtoul(text, NULL, 10);
	if (value < 1 || value > 65535)
		return sentence_refuse(why, "\"%s\" is not a port; write a number from 1 to 65535", text);
	*port = (uint16_t)value;
	return true;
}

/* PORT, HOST:PORT, :PORT or [V6]:PORT. */
static bool split_host_port(struct host_port *out, const char *text, struct sentence *why)
{
	const char *host = text, *port = text;
	size_t length = 0;

	memset(out, 0, sizeof(*out));
	if (*text == '[') {
		const char *close = strchr(text, ']');

		if (!close || close[1] != ':')
			return sentence_refuse(why,
					       "an address in brackets needs a port after it, as in [2001:db8::1]:443");
		out->bracketed = true;
		host = text + 1;
		length = (size_t)(close - host);
		port = close + 2;
		if (length == 0)
			return sentence_refuse(why, "the brackets are empty");
	} else if (strchr(text, ':')) {
		port = strrchr(text, ':') + 1;
		length = (size_t)(port - 1 - text);
		if (memchr(text, ':', length))
			return sentence_refuse(
				why, "write an IPv6 address in brackets before the port, as in [2001:db8::1]:443");
	} else if (*text && !all_of(text, "0123456789")) {
		return sentence_refuse(why, "the port is missing; write %s:PORT", text);
	}
	if (length >= sizeof(out->host))
		return sentence_refuse(why, "the host name is longer than %zu characters", sizeof(out->host) - 1);
	memcpy(out->host, host, length);
	return parse_port(&out->port, port, why);
}

static struct address address_from(const struct sockaddr *sa, socklen_t length, uint16_t port)
{
	struct address address = {.len = length};

	memcpy(&address.sa, sa, length);
	if (sa->sa_family == AF_INET6)
		address.in6.sin6_port = htons(port);
	else
		address.in.sin_port = htons(port);
	return address;
}

struct address address_v4(uint32_t host, uint16_t port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(host)};

	return address_from((const struct sockaddr *)&in, sizeof(in), port);
}

struct address address_v6(const struct in6_addr *host, uint16_t port)
{
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = *host};

	return address_from((const struct sockaddr *)&in6, sizeof(in6), port);
}

static bool parse_unix(struct address *out, const char *path, struct sentence *why)
{
	size_t length = strlen(path);

	if (length == 0)
		return sentence_refuse(why, "the socket's path is missing; write unix:/path/of/the/socket");
	if (length >= sizeof(out->un.sun_path))
		return sentence_refuse(why, "a unix socket's path can have %zu bytes at most; this one has %zu",
				       sizeof(out->un.sun_path) - 1, length);
	memset(out, 0, sizeof(*out));
	out->un.sun_family = AF_UNIX;
	memcpy(out->un.sun_path, path, length + 1);
	out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
	return true;
}

/* All addresses of a host in the resolver's order, without duplicates. Numeric hosts are not looked up. */
static bool resolve_host(struct address *out, unsigned int most, unsigned int *count, const struct host_port *from,
			 bool numeric, struct sentence *why)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list = NULL;
	struct in_addr strict;
	int rc;

	/* The resolver accepts "443" and "127.1" as historic forms of IPv4 addresses, which no one means here. */
	if (!from->bracketed && all_of(from->host, "0123456789.") && inet_pton(AF_INET, from->host, &strict) != 1)
		return sentence_refuse(why, "\"%s\" is not an IPv4 address", from->host);
	if (from->bracketed)
		hints.ai_family = AF_INET6;
	if (from->bracketed || numeric)
		hints.ai_flags = AI_NUMERICHOST;

#ifdef ALPNBPF_STATIC
	/*
	 * A static glibc includes these two. Any other that nsswitch.conf names is a shared object of the machine's
	 * glibc, and can crash the process if its version differs from the one linked here.
	 */
	__nss_configure_lookup("hosts", "files dns");
#endif
	rc = getaddrinfo(from->host, NULL, &hints, &list);
	if (rc && from->bracketed)
		return sentence_refuse(why, "\"%s\" is not an IPv6 address", from->host);
	if (rc && numeric)
		return sentence_refuse(why, "\"%s\" is not a numeric address", from->host);
	if (rc)
		return sentence_refuse(why, "the host name \"%s\" cannot be resolved: %s", from->host,
				       rc == EAI_SYSTEM ? "the resolver failed" : gai_strerror(rc));

	*count = 0;
	for (const struct addrinfo *info = list; info && *count < most; info = info->ai_next) {
		struct address address;
		bool known = false;

		if (info->ai_family != AF_INET && info->ai_family != AF_INET6)
			continue;
		address = address_from(info->ai_addr, info->ai_addrlen, from->port);
		for (unsigned int i = 0; i < *count; i++)
			known = known || address_equal(&out[i], &address);
		if (!known)
			out[(*count)++] = address;
	}
	freeaddrinfo(list);
	if (*count == 0)
		return sentence_refuse(why, "the host name \"%s\" has no IPv4 or IPv6 address", from->host);
	return true;
}

bool endpoint_parse(struct endpoint *endpoint, const char *text, struct sentence *why)
{
	struct host_port from;

	memset(endpoint, 0, sizeof(*endpoint));
	if (!*text)
		return sentence_refuse(why, "is empty; write PORT, HOST:PORT, [V6]:PORT or unix:PATH");
	if (strlen(text) >= sizeof(endpoint->text))
		return sentence_refuse(why, "is longer than %zu characters", sizeof(endpoint->text) - 1);
	memcpy(endpoint->text, text, strlen(text) + 1);

	if (strncmp(text, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0) {
		endpoint->count = 1;
		return parse_unix(&endpoint->addresses[0], text + strlen(UNIX_PREFIX), why);
	}
	if (!split_host_port(&from, text, why))
		return false;
	if (*text == ':')
		return sentence_refuse(why, "the host is missing; write %s for this machine, or HOST%s", text + 1,
				       text);
	if (!*from.host) {
		endpoint->addresses[0] = address_v4(INADDR_LOOPBACK, from.port);
		endpoint->addresses[1] = address_v6(&in6addr_loopback, from.port);
		endpoint->count = 2;
		return true;
	}
	if (!resolve_host(endpoint->addresses, ENDPOINT_ADDRESSES_MAX, &endpoint->count, &from, false, why))
		return false;
	for (unsigned int i = 0; i < endpoint->count; i++) {
		struct address plain = address_unmapped(&endpoint->addresses[i]);

		/* The kernel would connect to loopback, and the mistake would go unnoticed. */
		if (address_is_wildcard(&plain))
			return sentence_refuse(
				why, "%s is an address to listen on, not to connect to; write %u for this machine",
				from.host, from.port);
	}
	return true;
}

bool listen_parse(struct address out[2], unsigned int *count, const char *text, struct sentence *why)
{
	struct host_port from;

	*count = 0;
	if (!*text)
		return sentence_refuse(why, "is empty; write ADDR:PORT, [V6]:PORT or PORT");
	if (!split_host_port(&from, text, why))
		return false;
	if (!*from.host) {
		out[0] = address_v4(INADDR_ANY, from.port);
		out[1] = address_v6(&in6addr_any, from.port);
		*count = 2;
		return true;
	}
	if (!resolve_host(out, 1, count, &from, true, why))
		return false;
	/* IPv6 listeners are V6ONLY, and those cannot bind a mapped address. */
	out[0] = address_unmapped(&out[0]);
	return true;
}

static const char *format_unix(const struct address *address, char *buffer, size_t size)
{
	size_t start = offsetof(struct sockaddr_un, sun_path);
	size_t length = address->len > start ? address->len - start : 0;
	const char *path = address->un.sun_path;

	if (length == 0)
		snprintf(buffer, size, UNIX_PREFIX);
	else if (path[0] == '\0') /* abstract: not NUL-terminated; shown with an @, as ss does */
		snprintf(buffer, size, UNIX_PREFIX "@%.*s", (int)(length - 1), path + 1);
	else
		snprintf(buffer, size, UNIX_PREFIX "%.*s", (int)strnlen(path, length), path);
	return buffer;
}

const char *address_format(const struct address *address, char *buffer, size_t size)
{
	struct address plain = address_unmapped(address);
	char host[INET6_ADDRSTRLEN];

	switch (plain.sa.sa_family) {
	case AF_INET:
		inet_ntop(AF_INET, &plain.in.sin_addr, host, sizeof(host));
		snprintf(buffer, size, "%s:%u", host, address_port(&plain));
		return buffer;
	case AF_INET6:
		inet_ntop(AF_INET6, &plain.in6.sin6_addr, host, sizeof(host));
		/* The scope as a number: its name would cost a system call per log line. */
		if (plain.in6.sin6_scope_id)
			snprintf(buffer, size, "[%s%%%u]:%u", host, plain.in6.sin6_scope_id, address_port(&plain));
		else
			snprintf(buffer, size, "[%s]:%u", host, address_port(&plain));
		return buffer;
	case AF_UNIX:
		return format_unix(address, buffer, size);
	default:
		snprintf(buffer, size, "(no address)");
		return buffer;
	}
}

bool address_is_sound(const struct address *address)
{
	switch (address->sa.sa_family) {
	case AF_INET:
		return address->len == sizeof(address->in);
	case AF_INET6:
		return address->len == sizeof(address->in6);
	case AF_UNIX:
		return address->len >= offsetof(struct sockaddr_un, sun_path) && address->len <= sizeof(address->un);
	default:
		return false;
	}
}

struct address address_unmapped(const struct address *address)
{
	uint32_t v4;

	if (address->sa.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&address->in6.sin6_addr))
		return *address;
	memcpy(&v4, &address->in6.sin6_addr.s6_addr[12], sizeof(v4));
	return address_v4(ntohl(v4), ntohs(address->in6.sin6_port));
}

unsigned int address_port(const struct address *address)
{
	switch (address->sa.sa_family) {
	case AF_INET:
		return ntohs(address->in.sin_port);
	case AF_INET6:
		return ntohs(address->in6.sin6_port);
	default:
		return 0;
	}
}

/* Compares hosts, not ports. A mapped address differs from its IPv4 address unless it is unmapped first. */
bool address_same_host(const struct address *a, const struct address *b)
{
	if (a->sa.sa_family != b->sa.sa_family)
		return false;
	if (a->sa.sa_family == AF_INET)
		return a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
	return a->sa.sa_family == AF_INET6 && IN6_ARE_ADDR_EQUAL(&a->in6.sin6_addr, &b->in6.sin6_addr) &&
	       a->in6.sin6_scope_id == b->in6.sin6_scope_id;
}

bool address_equal(const struct address *a, const struct address *b)
{
	if (a->sa.sa_family == AF_UNIX)
		return b->sa.sa_family == AF_UNIX && a->len == b->len && memcmp(&a->un, &b->un, a->len) == 0;
	return address_same_host(a, b) && address_port(a) == address_port(b);
}

bool address_is_wildcard(const struct address *address)
{
	if (address->sa.sa_family == AF_INET)
		return address->in.sin_addr.s_addr == htonl(INADDR_ANY);
	return address->sa.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&address->in6.sin6_addr);
}

bool address_is_loopback(const struct address *address)
{
	if (address->sa.sa_family == AF_INET)
		return ntohl(address->in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	return address->sa.sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&address->in6.sin6_addr);
}

bool address_is_link_local(const struct address *address)
{
	return address->sa.sa_family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&address->in6.sin6_addr);
}

bool address_is_local(const struct address *address)
{
	struct address plain = address_unmapped(address);
	struct ifaddrs *list = NULL;
	bool found = false;

	if (plain.sa.sa_family == AF_UNIX || address_is_wildcard(&plain) || address_is_loopback(&plain))
		return true;
	if (getifaddrs(&list))
		return false;
	for (const struct ifaddrs *entry = list; entry && !found; entry = entry->ifa_next) {
		struct address own;

		if (!entry->ifa_addr || entry->ifa_addr->sa_family != plain.sa.sa_family)
			continue;
		if (plain.sa.sa_family != AF_INET && plain.sa.sa_family != AF_INET6)
			continue;
		own = address_from(entry->ifa_addr, plain.sa.sa_family == AF_INET ? sizeof(own.in) : sizeof(own.in6),
				   0);
		found = address_same_host(&own, &plain);
	}
	freeifaddrs(list);
	return found;
}
