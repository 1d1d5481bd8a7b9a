// SPDX-License-Identifier: BSD-2-Clause
/*
 * Fuzzes PROXY headers. A header is read back here, as proxy-protocol.txt defines it, and must contain what it was made
 * from; in a buffer of any size it is complete or refused.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/proxy_protocol.h"
#include "fuzz/inputs.h"

enum { TLV_ALPN = 1, TLV_AUTHORITY = 2 };

/* The content of a header. */
struct said {
	sa_family_t family; /* AF_UNSPEC: no addresses */
	uint8_t source[16], destination[16];
	unsigned int source_port, destination_port;
	const uint8_t *tlv[3]; /* by type; NULL: none */
	size_t tlv_length[3];
};

/* --- version 1: a line --- */

static void read_v1(const uint8_t *header, size_t length, struct said *said)
{
	char line[108], family[5], source[64], destination[64], again[256];

	assert(length >= 2 && length < sizeof(line) && memcmp(header + length - 2, "\r\n", 2) == 0);
	memcpy(line, header, length - 2);
	line[length - 2] = '\0';
	assert(strlen(line) == length - 2);
	if (strcmp(line, "PROXY UNKNOWN") == 0)
		return;
	assert(sscanf(line, "PROXY %4s %63s %63s %u %u", family, source, destination, &said->source_port,
		      &said->destination_port) == 5);
	/* single blanks, and numbers without leading zeros */
	snprintf(again, sizeof(again), "PROXY %s %s %s %u %u", family, source, destination, said->source_port,
		 said->destination_port);
	assert(strcmp(line, again) == 0);
	said->family = strcmp(family, "TCP4") == 0 ? AF_INET : AF_INET6;
	assert(said->family == AF_INET || (strcmp(family, "TCP6") == 0 && !strchr(line, '.')));
	assert(inet_pton(said->family, source, said->source) == 1);
	assert(inet_pton(said->family, destination, said->destination) == 1);
}

/* --- version 2: bytes --- */

static unsigned int number_at(const uint8_t *at)
{
	return (unsigned int)at[0] << 8 | at[1];
}

static void read_v2(const uint8_t *header, size_t length, struct said *said)
{
	const uint8_t *at = header + 16, *end = header + length;
	size_t address_length;

	assert(length >= 16 && memcmp(header, "\r\n\r\n\0\r\nQUIT\n", 12) == 0);
	assert(header[12] == 0x21); /* version 2, PROXY */
	assert(number_at(header + 14) == length - 16);
	assert(header[13] == 0x00 || header[13] == 0x11 || header[13] == 0x21);
	if (header[13]) { /* over TCP */
		said->family = header[13] == 0x11 ? AF_INET : AF_INET6;
		address_length = said->family == AF_INET ? 4 : 16;
		assert((size_t)(end - at) >= 2 * address_length + 4);
		memcpy(said->source, at, address_length);
		memcpy(said->destination, at + address_length, address_length);
		at += 2 * address_length;
		said->source_port = number_at(at);
		said->destination_port = number_at(at + 2);
		at += 4;
	}
	while (at < end) {
		size_t value_length;

		assert(end - at >= 3 && (at[0] == TLV_ALPN || at[0] == TLV_AUTHORITY) && !said->tlv[at[0]]);
		value_length = number_at(at + 1);
		assert((size_t)(end - at) >= 3 + value_length);
		said->tlv[at[0]] = at + 3;
		said->tlv_length[at[0]] = value_length;
		at += 3 + value_length;
	}
}

/* --- its expected content --- */

static void check_end(const struct address *address, sa_family_t family, const uint8_t *bytes, unsigned int port)
{
	struct address plain = address_unmapped(address);

	assert(port == address_port(&plain));
	if (family == AF_INET)
		assert(memcmp(bytes, &plain.in.sin_addr, 4) == 0);
	else
		assert(memcmp(bytes, &plain.in6.sin6_addr, 16) == 0);
}

static void check_said(const struct said *said, const struct address *source, const struct address *destination)
{
	struct address from = address_unmapped(source), to = address_unmapped(destination);
	bool known = from.sa.sa_family == to.sa.sa_family && from.sa.sa_family != AF_UNIX;

	assert(said->family == (known ? from.sa.sa_family : AF_UNSPEC));
	if (!known)
		return;
	check_end(source, said->family, said->source, said->source_port);
	check_end(destination, said->family, said->destination, said->destination_port);
}

static void check_tlv(const struct said *said, int type, const void *value, size_t length)
{
	assert((said->tlv[type] != NULL) == (value && length));
	if (said->tlv[type])
		assert(said->tlv_length[type] == length && memcmp(said->tlv[type], value, length) == 0);
}

/* --- an input --- */

static struct address read_address(struct input *input)
{
	static const sa_family_t families[] = {AF_INET, AF_INET6, AF_INET6, AF_UNIX};
	unsigned int kind = input_number(input, 1) % 4;
	struct address address = {0};

	address.sa.sa_family = families[kind];
	if (kind == 0) {
		address.len = sizeof(address.in);
		input_bytes(input, &address.in.sin_addr, 4);
	} else if (kind < 3) {
		address.len = sizeof(address.in6);
		input_bytes(input, &address.in6.sin6_addr, 16);
		if (kind == 2) /* mapped */
			memcpy(&address.in6.sin6_addr, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
	} else {
		address.len = sizeof(address.un);
	}
	if (kind < 3) /* both have the port at the same offset */
		address.in.sin_port = (in_port_t)input_number(input, 2);
	return address;
}

/* A copy of exactly that size, so that a sanitizer finds an overrun; NULL: none. */
static uint8_t *read_value(struct input *input, size_t *length)
{
	uint8_t *value;

	*length = input_number(input, 2) % 300;
	if (*length == 299)
		return NULL;
	value = malloc(*length ? *length : 1);
	assert(value);
	input_bytes(input, value, *length);
	return value;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	enum proxy_version version = (enum proxy_version)(input_number(&input, 1) % 3);
	size_t room = input_number(&input, 2) % (PROXY_HEADER_MAX + 100);
	struct address source = read_address(&input), destination = read_address(&input);
	struct proxy_tlvs tlvs = {0};
	uint8_t *alpn = read_value(&input, &tlvs.alpn_length), *header = malloc(room ? room : 1);
	char *authority = (char *)read_value(&input, &tlvs.authority_length);
	struct said said = {0};
	bool with_tlvs = size % 2;
	ssize_t length;

	assert(header);
	tlvs.alpn = alpn;
	tlvs.authority = authority;
	length = proxy_header_encode(header, room, version, &source, &destination, with_tlvs ? &tlvs : NULL);
	if (version == PROXY_NONE)
		assert(length == 0);
	else if (length < 0)
		assert(room < PROXY_HEADER_MAX || tlvs.alpn_length > 255 || tlvs.authority_length > 255);
	else
		assert((size_t)length <= room);
	if (length > 0 && version == PROXY_V1)
		read_v1(header, (size_t)length, &said);
	if (length > 0 && version == PROXY_V2)
		read_v2(header, (size_t)length, &said);
	if (length > 0) {
		check_said(&said, &source, &destination);
		with_tlvs = with_tlvs && version == PROXY_V2;
		check_tlv(&said, TLV_ALPN, with_tlvs ? alpn : NULL, tlvs.alpn_length);
		check_tlv(&said, TLV_AUTHORITY, with_tlvs ? authority : NULL, tlvs.authority_length);
	}
	free(header);
	free(alpn);
	free(authority);
	return 0;
}
