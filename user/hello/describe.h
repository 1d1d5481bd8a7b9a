/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fields of a ClientHello, for outputs and PROXY TLVs: names, versions, sizes. The route is the one that the shared
 * parser found. Reads a buffer of raw TLS records; no allocation, no I/O. Owns nothing. Any thread.
 */
#ifndef ALPNBPF_HELLO_DESCRIBE_H
#define ALPNBPF_HELLO_DESCRIBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alpnbpf.h"

#define HELLO_VERSIONS_MAX    16
#define HELLO_ALPN_MAX        256
#define HELLO_SERVER_NAME_MAX 255

/* Fields that have not arrived, or are malformed, are zero or empty. */
struct hello {
	enum clienthello_result result;
	enum route route;                      /* of a connection with this hello; https while undecided */
	bool complete;                         /* the whole message is in the buffer */
	bool grease;                           /* a GREASE value (RFC 8701) among suites, extensions or versions */
	bool alpn_truncated;                   /* the client offered more names than fit into alpn */
	uint16_t legacy_version;               /* ClientHello.legacy_version */
	uint16_t versions[HELLO_VERSIONS_MAX]; /* supported_versions without GREASE, in the client's order */
	unsigned int version_count;
	uint32_t size;        /* of the message and its header of 4 bytes, as announced; 0: unknown */
	unsigned int records; /* that the message spans, as far as seen */
	uint16_t alpn_length;
	uint8_t alpn[HELLO_ALPN_MAX];                /* whole names of the first list, as on the wire: length, bytes */
	char server_name[HELLO_SERVER_NAME_MAX + 1]; /* host_name: printable ASCII without blanks, or empty */
};

/* rules: the compiled rules to match; NULL: none. */
void hello_describe(struct hello *hello, const uint8_t *bytes, size_t length, const struct clienthello_rules *rules);

/* Iterates over the names offered: start with *position = 0; false after the last. *name points into hello. */
bool hello_alpn_next(const struct hello *hello, size_t *position, const uint8_t **name, size_t *length);

/* Is it NUL-terminated within `size`, printable ASCII without blanks, or empty: as server_name is? */
bool hello_is_name(const char *name, size_t size);

/* "not_tls": the name of a result in logs, traces, JSON, metrics and totals. */
const char *hello_result_name(enum clienthello_result result);
/* What a result means, as a clause: "the first bytes are not a TLS ClientHello". */
const char *hello_result_reason(enum clienthello_result result);

/* "TLS 1.3"; NULL for an unknown version. */
const char *hello_version_name(uint16_t version);

/*
 * Escapes bytes for a log line, a list and a JSON string: blanks, commas, quotes, backslashes and everything that is
 * not printable ASCII become \xNN. Always NUL-terminated; never cut within an escape. Returns the length.
 */
size_t hello_escape(char *out, size_t size, const uint8_t *bytes, size_t length);

#endif
