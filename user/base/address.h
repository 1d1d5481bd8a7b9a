/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Addresses: parsing, resolving and printing them. Owns nothing. Any thread; parsing a host name blocks until the
 * resolver answers.
 */
#ifndef ALPNBPF_BASE_ADDRESS_H
#define ALPNBPF_BASE_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/sentence.h"

/* One socket address of any family this program speaks (AF_INET, AF_INET6, AF_UNIX). */
struct address {
	socklen_t len;
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
	};
};

#define ADDRESS_TEXT_MAX       128 /* enough for "unix:" and sun_path, or "[v6%scope]:port" */
#define ENDPOINT_ADDRESSES_MAX 8

/* The value of a BACKEND option: its text, and the addresses to try in order. */
struct endpoint {
	char text[300];
	unsigned int count;
	struct address addresses[ENDPOINT_ADDRESSES_MAX];
};

/*
 * Parses BACKEND: PORT (127.0.0.1, then ::1), HOST:PORT (resolved now, all addresses up to the maximum), [V6]:PORT or
 * unix:PATH. On false, why says what is wrong with the text, and names no option.
 */
bool endpoint_parse(struct endpoint *endpoint, const char *text, struct sentence *why);

/* Parses a numeric ADDR:PORT or [V6]:PORT, or PORT (also :PORT) for both wildcards. Fills out[], sets *count. */
bool listen_parse(struct address out[2], unsigned int *count, const char *text, struct sentence *why);

/* An address from a host and a port. The IPv4 host and the ports are in host byte order. */
struct address address_v4(uint32_t host, uint16_t port);
struct address address_v6(const struct in6_addr *host, uint16_t port);

/* "192.0.2.1:443", "[2001:db8::1]:443", "unix:/run/x". A v4-mapped IPv6 address prints as IPv4. Returns buffer. */
const char *address_format(const struct address *address, char *buffer, size_t size);

/* Is its length that of its family? Then the functions here stay within it, whoever wrote it. */
bool address_is_sound(const struct address *address);

/* ::ffff:a.b.c.d becomes a.b.c.d; any other address is copied. */
struct address address_unmapped(const struct address *address);

/* The port in host byte order; 0 for AF_UNIX. */
unsigned int address_port(const struct address *address);

/* Of internet addresses: do they differ in the port at most? */
bool address_same_host(const struct address *a, const struct address *b);
/* Same family, host, scope and port. */
bool address_equal(const struct address *a, const struct address *b);

/* 0.0.0.0 or ::, at any port. */
bool address_is_wildcard(const struct address *address);

/* 127.0.0.0/8 or ::1. */
bool address_is_loopback(const struct address *address);

/* fe80::/10. */
bool address_is_link_local(const struct address *address);

/* Would connecting to it stay on this machine: loopback, wildcard, an interface's own address, or AF_UNIX? */
bool address_is_local(const struct address *address);

#endif
