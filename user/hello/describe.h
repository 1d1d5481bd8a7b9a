/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a ClientHello says, for outputs and PROXY TLVs: names, versions, sizes. The route is the shared parser's answer,
 * never a second opinion. Reads a buffer of raw TLS records; no allocation, no I/O. Owns nothing. Any thread.
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

/* Fields that the buffer does not reach, or that contradict themselves, are zero or empty. */
struct hello {
	enum clienthello_result result;
	enum route route;        /* of a connection with this hello; one that stalls undecided gets https */
	bool complete;           /* the whole message is in the buffer */
	bool grease;             /* a GREASE value (RFC 8701) among suites, extensions or versions */
	bool alpn_truncated;     /* more names were offered than alpn holds */
	uint16_t legacy_version; /* ClientHello.legacy_version */
	uint16_t versions[HELLO_VERSIONS_MAX]; /* supported_versions without GREASE, as ordered by the client */
	unsigned int version_count;
	uint32_t size;        /* of the message with its header of 4 bytes, as announced; 0: unknown */
	unsigned int records; /* records the message takes, as far as seen */
	uint16_t alpn_length;
	uint8_t alpn[HELLO_ALPN_MAX];                /* whole names of the first list, as on the wire: length, bytes */
	char server_name[HELLO_SERVER_NAME_MAX + 1]; /* host_name: printable ASCII without blanks, or empty */
};

/* rules: the table the hello is held against; NULL: none. */
void hello_describe(struct hello *hello, const uint8_t *bytes, size_t length, const struct clienthello_rules *rules);

/* The names offered, one a call: start with *position = 0; false after the last. The name is not owned. */
bool hello_alpn_next(const struct hello *hello, size_t *position, const uint8_t **name, size_t *length);

/* "not_tls": the name of an outcome in logs, traces, JSON, metrics and totals alike. */
const char *hello_result_name(enum clienthello_result result);
/* Why, as a clause: "the ALPN list holds acme-tls/1". */
const char *hello_result_reason(enum clienthello_result result);

/* "TLS 1.3"; NULL for a value without a name. */
const char *hello_version_name(uint16_t version);

/*
 * Text that is safe in a log line, a list and a JSON string: what is not printable ASCII, and blank, comma, quote and
 * backslash, becomes \xNN. Always terminated; cut at a whole character. Returns the text's length.
 */
size_t hello_escape(char *out, size_t size, const uint8_t *bytes, size_t length);

#endif
