// SPDX-License-Identifier: BSD-2-Clause
/*
 * Replaces the C library's resolver and list of interfaces for the parsers of addresses: no fuzzer asks a name server,
 * and a name always has the same answer. Names have none, one or many addresses, some of them twice, in unexpected
 * families, or cannot be resolved.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

static unsigned int hash(const char *name)
{
	unsigned int value = 5381;

	while (*name)
		value = value * 33 ^ (unsigned char)*name++;
	return value;
}

static struct addrinfo *new_answer(int family, const void *address, size_t size, unsigned int scope)
{
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} * to;
	struct addrinfo *answer = calloc(1, sizeof(*answer) + sizeof(*to));

	assert(answer);
	to = (void *)(answer + 1);
	to->sa.sa_family = (sa_family_t)family;
	answer->ai_family = family;
	answer->ai_socktype = SOCK_STREAM;
	answer->ai_addr = &to->sa;
	answer->ai_addrlen = family == AF_INET6 ? sizeof(to->in6) : sizeof(to->in);
	if (family == AF_INET6) {
		memcpy(&to->in6.sin6_addr, address, size);
		to->in6.sin6_scope_id = scope;
	} else {
		memcpy(&to->in.sin_addr, address, size);
	}
	return answer;
}

static struct addrinfo *numeric(const char *name, int family)
{
	char host[INET6_ADDRSTRLEN];
	const char *percent = strchr(name, '%');
	size_t length = percent ? (size_t)(percent - name) : strlen(name);
	struct in6_addr v6;
	struct in_addr v4;

	if (family != AF_INET6 && inet_aton(name, &v4))
		return new_answer(AF_INET, &v4, sizeof(v4), 0);
	if (length >= sizeof(host))
		return NULL;
	memcpy(host, name, length);
	host[length] = '\0';
	if (family == AF_INET || inet_pton(AF_INET6, host, &v6) != 1)
		return NULL;
	return new_answer(AF_INET6, &v6, sizeof(v6), percent ? hash(percent) : 0);
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **answers)
{
	unsigned int count = hash(name) % 12;

	assert(!service);
	*answers = numeric(name, hints->ai_family);
	if (*answers)
		return 0;
	if (hints->ai_flags & AI_NUMERICHOST || count == 11)
		return EAI_NONAME;
	if (count == 10)
		return EAI_SYSTEM;
	for (unsigned int i = 0; i < count; i++) {
		static const int families[] = {AF_INET, AF_INET6, AF_UNIX, AF_INET};
		uint8_t address[16] = {192, 0, 2, (uint8_t)(hash(name) >> i & 3)};
		int family = families[(hash(name) >> i) % 4];
		struct addrinfo *answer = new_answer(family, address, family == AF_INET6 ? sizeof(address) : 4, 0);

		answer->ai_next = *answers;
		*answers = answer;
	}
	return 0;
}

void freeaddrinfo(struct addrinfo *answers)
{
	while (answers) {
		struct addrinfo *next = answers->ai_next;

		free(answers);
		answers = next;
	}
}

/* This machine has 192.0.2.1, 2001:db8::1, and an interface without an address. */
int getifaddrs(struct ifaddrs **list)
{
	static struct sockaddr_in v4 = {.sin_family = AF_INET};
	static struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	static struct ifaddrs interfaces[3] = {{.ifa_next = &interfaces[1]}, {.ifa_next = &interfaces[2]}};

	inet_pton(AF_INET, "192.0.2.1", &v4.sin_addr);
	inet_pton(AF_INET6, "2001:db8::1", &v6.sin6_addr);
	interfaces[1].ifa_addr = (struct sockaddr *)&v4;
	interfaces[2].ifa_addr = (struct sockaddr *)&v6;
	*list = interfaces;
	return 0;
}

void freeifaddrs(struct ifaddrs *list)
{
	(void)list;
}
