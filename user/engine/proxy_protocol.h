/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PROXY protocol headers, versions 1 and 2 (haproxy.org, proxy-protocol.txt), to be sent before the client's first
 * byte. Owns nothing; any thread.
 */
#ifndef ALPNBPF_ENGINE_PROXY_PROTOCOL_H
#define ALPNBPF_ENGINE_PROXY_PROTOCOL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/address.h"
#include "options/options.h"

/* Longest header built here: v2 with an ALPN TLV (255) and an AUTHORITY TLV (255). v1 needs 107. */
#define PROXY_HEADER_MAX 600

/* The values of the TLVs; NULL or length 0 omits a TLV. Not owned. */
struct proxy_tlvs {
	const uint8_t *alpn; /* first protocol name the client offered */
	size_t alpn_length;
	const char *authority; /* SNI host name */
	size_t authority_length;
};

/*
 * Encodes the header for the client's connection, from source to destination. Mapped IPv6 addresses are sent as IPv4.
 * Families that differ, or AF_UNIX, become "PROXY UNKNOWN" or AF_UNSPEC. Returns the length in bytes, or -ENOSPC if
 * that exceeds size, or the format's limit.
 */
ssize_t proxy_header_encode(uint8_t *out, size_t size, enum proxy_version version, const struct address *source,
			    const struct address *destination, const struct proxy_tlvs *tlvs);

#endif
