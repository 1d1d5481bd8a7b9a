/* SPDX-License-Identifier: BSD-2-Clause */
/* Encodes PROXY protocol headers, field by field as in HAProxy's proxy-protocol.txt. Owns nothing; any thread. */
#include "engine/proxy_protocol.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define V2_VERSION_COMMAND 0x21 /* version 2, command PROXY */
#define V2_UNSPEC          0x00
#define V2_TCP4            0x11
#define V2_TCP6            0x21
#define V2_TYPE_ALPN       0x01
#define V2_TYPE_AUTHORITY  0x02
#define V2_HEADER_BYTES    16

static const uint8_t v2_signature[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

/* The two addresses of a header, unmapped; AF_UNSPEC unless both are of one IP family. */
struct pair {
	sa_family_t family;
	struct address source, destination;
};

static struct pair pair_of(const struct address *source, const struct address *destination)
{
	struct pair pair = {
		.family = AF_UNSPEC,
		.source = address_unmapped(source),
		.destination = address_unmapped(destination),
	};
	sa_family_t family = pair.source.sa.sa_family;

	if (family == pair.destination.sa.sa_family && (family == AF_INET || family == AF_INET6))
		pair.family = family;
	return pair;
}

/* IPv6 without a dotted end, which version 1 forbids, and inet_ntop() writes for ::192.0.2.1. */
static void format_v6(const struct in6_addr *address, char *out, size_t size)
{
	const uint8_t *byte = address->s6_addr;
	size_t length = 0;

	inet_ntop(AF_INET6, address, out, (socklen_t)size);
	if (!strchr(out, '.'))
		return;
	for (int i = 0; i < 16; i += 2)
		length += (size_t)snprintf(out + length, size - length, "%s%x", i ? ":" : "",
					   (unsigned int)(byte[i] << 8 | byte[i + 1]));
}

static ssize_t encode_v1(uint8_t *out, size_t size, const struct pair *pair)
{
	char source[INET6_ADDRSTRLEN], destination[INET6_ADDRSTRLEN], line[108];
	int length;

	if (pair->family == AF_INET) {
		inet_ntop(AF_INET, &pair->source.in.sin_addr, source, sizeof(source));
		inet_ntop(AF_INET, &pair->destination.in.sin_addr, destination, sizeof(destination));
	} else if (pair->family == AF_INET6) {
		format_v6(&pair->source.in6.sin6_addr, source, sizeof(source));
		format_v6(&pair->destination.in6.sin6_addr, destination, sizeof(destination));
	}
	if (pair->family == AF_UNSPEC)
		length = snprintf(line, sizeof(line), "PROXY UNKNOWN\r\n");
	else
		length = snprintf(line, sizeof(line), "PROXY %s %s %s %u %u\r\n",
				  pair->family == AF_INET ? "TCP4" : "TCP6", source, destination,
				  address_port(&pair->source), address_port(&pair->destination));
	if (length < 0 || (size_t)length > size || (size_t)length >= sizeof(line))
		return -ENOSPC;
	memcpy(out, line, (size_t)length);
	return length;
}

/* Where the next bytes go; `full` after something did not fit. */
struct cursor {
	uint8_t *out;
	size_t size, length;
	bool full;
};

static void put_bytes(struct cursor *cursor, const void *bytes, size_t length)
{
	if (cursor->full || length > cursor->size - cursor->length) {
		cursor->full = true;
		return;
	}
	memcpy(cursor->out + cursor->length, bytes, length);
	cursor->length += length;
}

static void put_u16(struct cursor *cursor, size_t value)
{
	uint8_t bytes[2] = {(uint8_t)(value >> 8), (uint8_t)value};

	put_bytes(cursor, bytes, sizeof(bytes));
}

static void put_tlv(struct cursor *cursor, uint8_t type, const void *value, size_t length)
{
	if (!value || length == 0)
		return;
	put_bytes(cursor, &type, 1);
	put_u16(cursor, length);
	put_bytes(cursor, value, length);
	if (length > UINT16_MAX)
		cursor->full = true;
}

static void put_addresses(struct cursor *cursor, const struct pair *pair)
{
	if (pair->family == AF_INET) {
		put_bytes(cursor, &pair->source.in.sin_addr, 4);
		put_bytes(cursor, &pair->destination.in.sin_addr, 4);
	} else if (pair->family == AF_INET6) {
		put_bytes(cursor, &pair->source.in6.sin6_addr, 16);
		put_bytes(cursor, &pair->destination.in6.sin6_addr, 16);
	} else {
		return; /* AF_UNSPEC has no address block */
	}
	put_u16(cursor, address_port(&pair->source));
	put_u16(cursor, address_port(&pair->destination));
}

static ssize_t encode_v2(uint8_t *out, size_t size, const struct pair *pair, const struct proxy_tlvs *tlvs)
{
	uint8_t family = pair->family == AF_INET ? V2_TCP4 : pair->family == AF_INET6 ? V2_TCP6 : V2_UNSPEC;
	uint8_t start[2] = {V2_VERSION_COMMAND, family};
	struct cursor cursor = {.out = out, .size = size};
	size_t payload;

	put_bytes(&cursor, v2_signature, sizeof(v2_signature));
	put_bytes(&cursor, start, sizeof(start));
	put_u16(&cursor, 0); /* the length, set below */
	put_addresses(&cursor, pair);
	if (tlvs) {
		put_tlv(&cursor, V2_TYPE_ALPN, tlvs->alpn, tlvs->alpn_length);
		put_tlv(&cursor, V2_TYPE_AUTHORITY, tlvs->authority, tlvs->authority_length);
	}
	if (cursor.full || cursor.length - V2_HEADER_BYTES > UINT16_MAX)
		return -ENOSPC;
	payload = cursor.length - V2_HEADER_BYTES;
	out[14] = (uint8_t)(payload >> 8);
	out[15] = (uint8_t)payload;
	return (ssize_t)cursor.length;
}

ssize_t proxy_header_encode(uint8_t *out, size_t size, enum proxy_version version, const struct address *source,
			    const struct address *destination, const struct proxy_tlvs *tlvs)
{
	struct pair pair = pair_of(source, destination);

	switch (version) {
	case PROXY_NONE:
		return 0;
	case PROXY_V1:
		return encode_v1(out, size, &pair);
	case PROXY_V2:
		return encode_v2(out, size, &pair, tlvs);
	}
	return -EINVAL;
}
