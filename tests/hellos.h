/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ClientHellos for the unit, BPF and fuzz tests: a builder that writes one wire field per line, and the table of cases
 * with the expected results. A case is a handshake message, to be cut into any records, or a whole stream.
 */
#ifndef HELLOS_H
#define HELLOS_H

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "clienthello.h"

/* Room for the longest message in records of one byte, and a few bytes more. */
struct wire {
	uint32_t length;
	uint8_t bytes[CLIENTHELLO_WIRE_MAX + 4096];
};

static inline void put_bytes(struct wire *w, const void *bytes, size_t count)
{
	assert(count <= sizeof(w->bytes) - w->length);
	memcpy(w->bytes + w->length, bytes, count);
	w->length += (uint32_t)count;
}

static inline void put_fill(struct wire *w, uint8_t byte, size_t count)
{
	assert(count <= sizeof(w->bytes) - w->length);
	memset(w->bytes + w->length, byte, count);
	w->length += (uint32_t)count;
}

static inline void put_number(struct wire *w, unsigned int width, uint32_t value)
{
	while (width--)
		put_fill(w, (uint8_t)(value >> (8 * width)), 1);
}

/* A vector with its length in front: `at = begin(w, width)`, its content, `end(w, width, at)`. */
static inline uint32_t begin(struct wire *w, unsigned int width)
{
	put_fill(w, 0, width);
	return w->length;
}

static inline void end(struct wire *w, unsigned int width, uint32_t at)
{
	uint32_t end_length = w->length;

	w->length = at - width;
	put_number(w, width, end_length - at);
	w->length = end_length;
}

/* Cuts a handshake message into records of at most `fragment` bytes, RFC 8446 section 5.1. */
static inline void put_records(struct wire *w, const struct wire *message, uint32_t fragment)
{
	for (uint32_t at = 0; at < message->length; at += fragment) {
		uint32_t count = message->length - at < fragment ? message->length - at : fragment;

		put_number(w, 1, 22);     /* type: handshake */
		put_number(w, 2, 0x0301); /* legacy_record_version, as most clients write it in a first hello */
		put_number(w, 2, count);  /* length */
		put_bytes(w, message->bytes + at, count);
	}
}

/* Everything before the extension block. `message` and `extensions` are closed by hello_end(). */
struct hello_open {
	uint32_t message, extensions;
};

static inline void hello_head(struct wire *w)
{
	put_number(w, 2, 0x0303); /* legacy_version: TLS 1.2 */
	put_fill(w, 0x52, 32);    /* random */
	put_number(w, 1, 32);     /* legacy_session_id<0..32> */
	put_fill(w, 0x1d, 32);
	put_number(w, 2, 8);      /* cipher_suites<2..2^16-2> */
	put_number(w, 2, 0x1301); /* TLS_AES_128_GCM_SHA256 */
	put_number(w, 2, 0x1302); /* TLS_AES_256_GCM_SHA384 */
	put_number(w, 2, 0xc02b); /* TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 */
	put_number(w, 2, 0xc02f); /* TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 */
	put_number(w, 1, 1);      /* legacy_compression_methods<1..2^8-1> */
	put_number(w, 1, 0);      /* null */
}

static inline struct hello_open hello_begin(struct wire *w)
{
	struct hello_open open;

	put_number(w, 1, 1); /* msg_type: client_hello */
	open.message = begin(w, 3);
	hello_head(w);
	open.extensions = begin(w, 2);
	return open;
}

static inline void hello_end(struct wire *w, struct hello_open open)
{
	end(w, 2, open.extensions);
	end(w, 3, open.message);
}

/* An extension whose content does not matter. */
static inline void put_extension(struct wire *w, uint16_t type, uint8_t fill, uint16_t length)
{
	put_number(w, 2, type);
	put_number(w, 2, length);
	put_fill(w, fill, length);
}

/* server_name, RFC 6066 section 3 */
static inline void put_sni(struct wire *w, const char *name)
{
	uint32_t extension, list, host;

	put_number(w, 2, 0);
	extension = begin(w, 2);
	list = begin(w, 2);
	put_number(w, 1, 0); /* name_type: host_name */
	host = begin(w, 2);
	put_bytes(w, name, strlen(name));
	end(w, 2, host);
	end(w, 2, list);
	end(w, 2, extension);
}

/* supported_versions, RFC 8446 section 4.2.1; a GREASE value (RFC 8701) in front when asked for */
static inline void put_versions(struct wire *w, uint16_t grease)
{
	uint32_t extension, list;

	put_number(w, 2, 43);
	extension = begin(w, 2);
	list = begin(w, 1);
	if (grease)
		put_number(w, 2, grease);
	put_number(w, 2, 0x0304); /* TLS 1.3 */
	put_number(w, 2, 0x0303); /* TLS 1.2 */
	end(w, 1, list);
	end(w, 2, extension);
}

/* key_share with one entry, RFC 8446 section 4.2.8 */
static inline void put_key_share(struct wire *w, uint16_t group, uint16_t length)
{
	uint32_t extension, shares, key;

	put_number(w, 2, 51);
	extension = begin(w, 2);
	shares = begin(w, 2);
	put_number(w, 2, group);
	key = begin(w, 2);
	put_fill(w, 0x4b, length);
	end(w, 2, key);
	end(w, 2, shares);
	end(w, 2, extension);
}

struct name {
	const char *bytes;
	uint8_t length;
};
#define NAME(literal)                                                                                                  \
	{                                                                                                              \
		literal, sizeof(literal) - 1                                                                           \
	}
#define NAMES_MAX 8

/* application_layer_protocol_negotiation, RFC 7301 section 3.1; the list ends at a NULL */
static inline void put_alpn(struct wire *w, const struct name *names)
{
	uint32_t extension, list;

	put_number(w, 2, 16);
	extension = begin(w, 2);
	list = begin(w, 2);
	for (; names->bytes; names++) {
		put_number(w, 1, names->length);
		put_bytes(w, names->bytes, names->length);
	}
	end(w, 2, list);
	end(w, 2, extension);
}

static const struct name only_acme[] = {NAME("acme-tls/1"), {NULL, 0}};
static const struct name only_web[] = {NAME("h2"), NAME("http/1.1"), {NULL, 0}};

/* --- handshake messages ------------------------------------------------------------------------------------- */

/* What a CA sends, RFC 8737 section 3: the validated name as SNI, and an ALPN list of one protocol. */
static inline void message_acme(struct wire *w)
{
	struct hello_open open = hello_begin(w);

	put_sni(w, "example.org");
	put_alpn(w, only_acme);
	put_versions(w, 0);
	put_key_share(w, 0x001d /* x25519 */, 32);
	hello_end(w, open);
}

static inline void message_web(struct wire *w)
{
	struct hello_open open = hello_begin(w);

	put_sni(w, "www.example.org");
	put_versions(w, 0);
	put_alpn(w, only_web);
	put_key_share(w, 0x001d, 32);
	hello_end(w, open);
}

static inline void message_no_alpn(struct wire *w)
{
	struct hello_open open = hello_begin(w);

	put_sni(w, "acme-tls/1"); /* the name does not count in another extension */
	put_extension(w, 10, 0x1d, 8);
	hello_end(w, open);
}

/* TLS 1.2 without extensions: the body ends after compression_methods. */
static inline void message_no_extensions(struct wire *w)
{
	uint32_t message;

	put_number(w, 1, 1);
	message = begin(w, 3);
	hello_head(w);
	end(w, 3, message);
}

static inline void message_empty_extensions(struct wire *w)
{
	hello_end(w, hello_begin(w));
}

/* Extension types, versions and an ALPN name from RFC 8701, at the ends and between, as browsers do it. */
static inline void message_grease(struct wire *w, const struct name *names)
{
	struct hello_open open = hello_begin(w);

	put_extension(w, 0x7a7a, 0, 0);
	put_sni(w, "grease.example");
	put_versions(w, 0xbaba);
	put_alpn(w, names);
	put_extension(w, 0xeaea, 0, 1);
	hello_end(w, open);
}

static inline void message_grease_acme(struct wire *w)
{
	static const struct name names[] = {NAME("\x1a\x1a"), NAME("acme-tls/1"), {NULL, 0}};

	message_grease(w, names);
}

static inline void message_grease_web(struct wire *w)
{
	static const struct name names[] = {NAME("\x1a\x1a"), NAME("h2"), NAME("http/1.1"), {NULL, 0}};

	message_grease(w, names);
}

/* X25519MLKEM768: a share of 1216 bytes takes the hello past one segment. */
static inline void message_post_quantum(struct wire *w, const struct name *names)
{
	struct hello_open open = hello_begin(w);

	put_sni(w, "post-quantum.example");
	put_key_share(w, 0x11ec, 1216);
	put_versions(w, 0);
	put_extension(w, 21 /* padding */, 0, 400);
	put_alpn(w, names);
	hello_end(w, open);
}

static inline void message_post_quantum_acme(struct wire *w)
{
	message_post_quantum(w, only_acme);
}

static inline void message_post_quantum_web(struct wire *w)
{
	message_post_quantum(w, only_web);
}

/* The outer hello of ECH: the inner ALPN is ciphertext, the outer one counts. */
static inline void message_ech(struct wire *w)
{
	struct hello_open open = hello_begin(w);

	put_sni(w, "public.example");
	put_extension(w, 0xfe0d, 0xec, 281);
	put_alpn(w, only_acme);
	put_versions(w, 0);
	hello_end(w, open);
}

static inline void message_alpn(struct wire *w, const struct name *names)
{
	struct hello_open open = hello_begin(w);

	put_alpn(w, names);
	put_extension(w, 10 /* supported_groups */, 0x1d, 6);
	hello_end(w, open);
}

/* A message function for each list: MESSAGE_ALPN(suffix, names...). */
#define MESSAGE_ALPN(suffix, ...)                                                                                      \
	static inline void message_##suffix(struct wire *w)                                                            \
	{                                                                                                              \
		static const struct name names[] = {__VA_ARGS__, {NULL, 0}};                                           \
		message_alpn(w, names);                                                                                \
	}

MESSAGE_ALPN(acme_first, NAME("acme-tls/1"), NAME("h2"), NAME("http/1.1"))
MESSAGE_ALPN(acme_middle, NAME("h2"), NAME("acme-tls/1"), NAME("http/1.1"))
MESSAGE_ALPN(acme_last, NAME("h2"), NAME("http/1.1"), NAME("acme-tls/1"))
MESSAGE_ALPN(acme_twice, NAME("acme-tls/1"), NAME("acme-tls/1"))
MESSAGE_ALPN(acme_after_look_alikes, NAME("acme-tls/2"), NAME("acme_tls/1"), NAME("Acme-tls/1"), NAME("acme-tls/1"))
MESSAGE_ALPN(prefixed, NAME("x-acme-tls/1"))
MESSAGE_ALPN(suffixed, NAME("acme-tls/1.1"))
MESSAGE_ALPN(with_nul, NAME("acme-tls/1\0x"))
MESSAGE_ALPN(shorter, NAME("acme-tls/"))
MESSAGE_ALPN(wrong_start, NAME("bcme-tls/1"))
MESSAGE_ALPN(wrong_middle, NAME("acme-tlsv1"))
MESSAGE_ALPN(wrong_dash, NAME("acme_tls/1"))
MESSAGE_ALPN(wrong_end, NAME("acme-tls/2"))
MESSAGE_ALPN(upper_case, NAME("ACME-TLS/1"))
/* The list contains the ten bytes, but across two names: the lengths count. */
MESSAGE_ALPN(inside_names, NAME("h2\nacme-tls/1"), NAME("acme"), NAME("-tls/1"))
MESSAGE_ALPN(longest_name, {"........................................................................................"
			    "........................................................................................"
			    "...............................................................................",
			    255})

static inline void message_two_lists(struct wire *w, const struct name *first, const struct name *second)
{
	struct hello_open open = hello_begin(w);

	put_alpn(w, first);
	put_alpn(w, second);
	hello_end(w, open);
}

static inline void message_second_acme(struct wire *w)
{
	message_two_lists(w, only_web, only_acme);
}

static inline void message_first_acme(struct wire *w)
{
	message_two_lists(w, only_acme, only_web);
}

/* Only the first list is read; a second one, even a malformed one, changes nothing. */
static inline void message_second_nonsense(struct wire *w)
{
	struct hello_open open = hello_begin(w);

	put_alpn(w, only_acme);
	put_extension(w, 16, 0xff, 5);
	hello_end(w, open);
}

/* A message whose body is `body` bytes, filled up by a padding extension. */
static inline void message_sized(struct wire *w, uint32_t body)
{
	struct hello_open open = hello_begin(w);
	uint32_t used;

	put_alpn(w, only_acme);
	used = w->length - open.message;
	put_extension(w, 21, 0, (uint16_t)(body - used - 4));
	hello_end(w, open);
}

static inline void message_largest(struct wire *w)
{
	message_sized(w, CLIENTHELLO_BODY_MAX);
}

static inline void message_one_too_large(struct wire *w)
{
	message_sized(w, CLIENTHELLO_BODY_MAX + 1);
}

static inline void message_16_mib(struct wire *w)
{
	put_number(w, 1, 1);
	put_number(w, 3, 0xffffff);
	put_fill(w, 0, 64);
}

/* --- messages with inconsistent lengths ------------------------------------------------------------ */

static inline void message_empty_body(struct wire *w)
{
	put_number(w, 1, 1);
	put_number(w, 3, 0);
	put_fill(w, 0, 64);
}

/* A body that ends inside a field: `cut` bytes after its start. */
static inline void message_cut(struct wire *w, uint32_t cut)
{
	message_acme(w);
	w->length = 1;
	put_number(w, 3, cut);
	w->length = 4 + cut;
}

static inline void message_cut_in_random(struct wire *w)
{
	message_cut(w, 20);
}

static inline void message_cut_in_session_id(struct wire *w)
{
	message_cut(w, 2 + 32 + 1 + 10);
}

static inline void message_cut_in_ciphers(struct wire *w)
{
	message_cut(w, 2 + 32 + 1 + 32 + 2 + 3);
}

static inline void message_cut_in_compressions(struct wire *w)
{
	message_cut(w, 2 + 32 + 1 + 32 + 2 + 8 + 1);
}

static inline void message_cut_in_extensions_length(struct wire *w)
{
	message_cut(w, 2 + 32 + 1 + 32 + 2 + 8 + 2 + 1);
}

static inline void message_long_session_id(struct wire *w)
{
	uint32_t message;

	put_number(w, 1, 1);
	message = begin(w, 3);
	put_number(w, 2, 0x0303);
	put_fill(w, 0x52, 32);
	put_number(w, 1, 33); /* legacy_session_id<0..32> */
	put_fill(w, 0x1d, 33);
	put_fill(w, 0, 32);
	end(w, 3, message);
}

static inline void message_ciphers_compressions(struct wire *w, uint16_t ciphers, uint8_t compressions)
{
	uint32_t message;

	put_number(w, 1, 1);
	message = begin(w, 3);
	put_number(w, 2, 0x0303);
	put_fill(w, 0x52, 32);
	put_number(w, 1, 0);
	put_number(w, 2, ciphers);
	put_fill(w, 0x13, ciphers);
	put_number(w, 1, compressions);
	put_fill(w, 0, compressions);
	put_number(w, 2, 4 + 4);
	put_extension(w, 23, 0, 4);
	end(w, 3, message);
}

static inline void message_smallest_head(struct wire *w)
{
	message_ciphers_compressions(w, 2, 1);
}

static inline void message_no_ciphers(struct wire *w)
{
	message_ciphers_compressions(w, 0, 1);
}

static inline void message_odd_ciphers(struct wire *w)
{
	message_ciphers_compressions(w, 3, 1);
}

static inline void message_no_compressions(struct wire *w)
{
	message_ciphers_compressions(w, 2, 0);
}

/* An extension block whose length is `difference` bytes more than the body has. */
static inline void message_extensions_off(struct wire *w, int difference)
{
	struct hello_open open = hello_begin(w);
	uint32_t end_length;

	put_alpn(w, only_acme);
	put_extension(w, 23, 0, 0);
	hello_end(w, open);
	end_length = w->length;
	w->length = open.extensions - 2;
	put_number(w, 2, end_length - open.extensions + (uint32_t)difference);
	w->length = end_length;
}

static inline void message_extensions_short(struct wire *w)
{
	message_extensions_off(w, -1);
}

static inline void message_extensions_long(struct wire *w)
{
	message_extensions_off(w, 1);
}

/* An acme list, and after it a malformed extension block: must not be reported as ACME. */
static inline void message_acme_then_overrun(struct wire *w)
{
	struct hello_open open = hello_begin(w);

	put_alpn(w, only_acme);
	put_number(w, 2, 23);
	put_number(w, 2, 100); /* and no content */
	hello_end(w, open);
}

static inline void message_acme_then_stray(struct wire *w)
{
	struct hello_open open = hello_begin(w);

	put_alpn(w, only_acme);
	put_fill(w, 0, 3); /* less than an extension header */
	hello_end(w, open);
}

static inline void message_overrun(struct wire *w)
{
	struct hello_open open = hello_begin(w);

	put_sni(w, "example.org");
	put_number(w, 2, 51);
	put_number(w, 2, 0xffff);
	put_fill(w, 0x4b, 20);
	hello_end(w, open);
}

/* An ALPN extension of raw content. */
static inline void message_raw_alpn(struct wire *w, const void *bytes, uint16_t length)
{
	struct hello_open open = hello_begin(w);

	put_number(w, 2, 16);
	put_number(w, 2, length);
	put_bytes(w, bytes, length);
	put_extension(w, 23, 0, 0);
	hello_end(w, open);
}

#define MESSAGE_RAW_ALPN(suffix, literal)                                                                              \
	static inline void message_##suffix(struct wire *w)                                                            \
	{                                                                                                              \
		message_raw_alpn(w, literal, sizeof(literal) - 1);                                                     \
	}

MESSAGE_RAW_ALPN(alpn_empty, "")
MESSAGE_RAW_ALPN(alpn_one_byte, "\x00")
MESSAGE_RAW_ALPN(alpn_no_names, "\x00\x00")
MESSAGE_RAW_ALPN(alpn_empty_name, "\x00\x01\x00")
MESSAGE_RAW_ALPN(alpn_list_short, "\x00\x0a\x0a"
				  "acme-tls/1")
MESSAGE_RAW_ALPN(alpn_list_long, "\x00\x0c\x0a"
				 "acme-tls/1")
MESSAGE_RAW_ALPN(alpn_name_overrun, "\x00\x0b\x0b"
				    "acme-tls/1")
MESSAGE_RAW_ALPN(alpn_acme_then_empty, "\x00\x0c\x0a"
				       "acme-tls/1\x00")
MESSAGE_RAW_ALPN(alpn_acme_then_overrun, "\x00\x0c\x0a"
					 "acme-tls/1\x02")
MESSAGE_RAW_ALPN(alpn_web_then_overrun, "\x00\x05\x02"
					"h2\x02x")

static inline void message_alpn_beyond_body(struct wire *w)
{
	struct hello_open open = hello_begin(w);

	put_number(w, 2, 16);
	put_number(w, 2, 64);
	put_bytes(w,
		  "\x00\x3e\x0a"
		  "acme-tls/1",
		  13);
	hello_end(w, open);
}

/* The same, where only the last name is too long: no later length would show it. */
static inline void message_alpn_web_beyond_body(struct wire *w)
{
	struct hello_open open = hello_begin(w);

	put_number(w, 2, 16);
	put_number(w, 2, 64);
	put_bytes(w, "\x00\x3e\x3dhttp/1.1", 11);
	hello_end(w, open);
}

static inline void message_server_hello(struct wire *w)
{
	message_acme(w);
	w->bytes[0] = 2;
}

/*
 * --- streams: cases that a message cut into records cannot express
 * --------------------------------------------------------
 */

#define STREAM(suffix, literal)                                                                                        \
	static inline void stream_##suffix(struct wire *w)                                                             \
	{                                                                                                              \
		put_bytes(w, literal, sizeof(literal) - 1);                                                            \
	}

STREAM(http, "GET / HTTP/1.1\r\nHost: example.org\r\n\r\n")
STREAM(ssh, "SSH-2.0-OpenSSH_9.2\r\n")
/* An SSLv2 hello: 2-byte length with the top bit set, CLIENT-HELLO, version 3.1 */
STREAM(sslv2,
       "\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10\x01\x00\x80\x03\x00\x80\x07\x00\xc0\x06\x00\x40\x02\x00\x80")
STREAM(zeros, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")
STREAM(alert, "\x15\x03\x01\x00\x02\x02\x28")
STREAM(major_2, "\x16\x02\x00\x00\x10\x01\x00\x00\x0c\x03\x03")
STREAM(empty_record, "\x16\x03\x01\x00\x00\x16\x03\x01\x00\x04\x01\x00\x00\x40")
STREAM(long_record, "\x16\x03\x01\x40\x01\x01\x00\x00\x40\x03\x03")

/* The acme hello in two records with something between them. */
static inline void stream_between(struct wire *w, const void *bytes, size_t count)
{
	struct wire message = {0}, records = {0};
	uint32_t first = 5 + 40;

	message_acme(&message);
	put_records(&records, &message, 40);
	put_bytes(w, records.bytes, first);
	put_bytes(w, bytes, count);
	put_bytes(w, records.bytes + first, records.length - first);
}

#define STREAM_BETWEEN(suffix, literal)                                                                                \
	static inline void stream_##suffix(struct wire *w)                                                             \
	{                                                                                                              \
		stream_between(w, literal, sizeof(literal) - 1);                                                       \
	}

STREAM_BETWEEN(alert_between, "\x15\x03\x01\x00\x02\x01\x00")
STREAM_BETWEEN(empty_between, "\x16\x03\x01\x00\x00")
STREAM_BETWEEN(long_between, "\x16\x03\x01\xff\xff")
STREAM_BETWEEN(version_between, "\x16\x04\x01\x00\x01\x00")

/* Bytes after the hello, in its record and in the next, belong to the backend. */
static inline void stream_acme_and_more(struct wire *w)
{
	struct wire message = {0};

	message_acme(&message);
	put_fill(&message, 0x16, 25);
	put_records(w, &message, CLIENTHELLO_RECORD_MAX);
	put_bytes(w, "\x17\x03\x03\x00\x00", 5);
	put_fill(w, 0xff, 50);
}

struct hello_case {
	const char *name;
	enum clienthello_result result;
	void (*message)(struct wire *w); /* a handshake message; or, if NULL: */
	void (*stream)(struct wire *w);
};

#define MESSAGE(suffix, result)                                                                                        \
	{                                                                                                              \
#suffix, CLIENTHELLO_##result, message_##suffix, NULL                                                  \
	}
#define RAW(suffix, result)                                                                                            \
	{                                                                                                              \
#suffix, CLIENTHELLO_##result, NULL, stream_##suffix                                                   \
	}

static const struct hello_case hello_cases[] = {
	MESSAGE(acme, ACME),
	MESSAGE(web, HTTPS),
	MESSAGE(no_alpn, HTTPS),
	MESSAGE(no_extensions, HTTPS),
	MESSAGE(empty_extensions, HTTPS),
	MESSAGE(smallest_head, HTTPS),
	MESSAGE(grease_acme, ACME),
	MESSAGE(grease_web, HTTPS),
	MESSAGE(post_quantum_acme, ACME),
	MESSAGE(post_quantum_web, HTTPS),
	MESSAGE(ech, ACME),
	MESSAGE(acme_first, ACME),
	MESSAGE(acme_middle, ACME),
	MESSAGE(acme_last, ACME),
	MESSAGE(acme_twice, ACME),
	MESSAGE(acme_after_look_alikes, ACME),
	MESSAGE(prefixed, HTTPS),
	MESSAGE(suffixed, HTTPS),
	MESSAGE(with_nul, HTTPS),
	MESSAGE(shorter, HTTPS),
	MESSAGE(wrong_start, HTTPS),
	MESSAGE(wrong_middle, HTTPS),
	MESSAGE(wrong_dash, HTTPS),
	MESSAGE(wrong_end, HTTPS),
	MESSAGE(upper_case, HTTPS),
	MESSAGE(inside_names, HTTPS),
	MESSAGE(longest_name, HTTPS),
	MESSAGE(second_acme, HTTPS),
	MESSAGE(first_acme, ACME),
	MESSAGE(second_nonsense, ACME),
	MESSAGE(largest, ACME),
	MESSAGE(one_too_large, TOO_LARGE),
	MESSAGE(16_mib, TOO_LARGE),
	MESSAGE(empty_body, MALFORMED),
	MESSAGE(cut_in_random, MALFORMED),
	MESSAGE(cut_in_session_id, MALFORMED),
	MESSAGE(cut_in_ciphers, MALFORMED),
	MESSAGE(cut_in_compressions, MALFORMED),
	MESSAGE(cut_in_extensions_length, MALFORMED),
	MESSAGE(long_session_id, MALFORMED),
	MESSAGE(no_ciphers, MALFORMED),
	MESSAGE(odd_ciphers, MALFORMED),
	MESSAGE(no_compressions, MALFORMED),
	MESSAGE(extensions_short, MALFORMED),
	MESSAGE(extensions_long, MALFORMED),
	MESSAGE(acme_then_overrun, MALFORMED),
	MESSAGE(acme_then_stray, MALFORMED),
	MESSAGE(overrun, MALFORMED),
	MESSAGE(alpn_empty, MALFORMED),
	MESSAGE(alpn_one_byte, MALFORMED),
	MESSAGE(alpn_no_names, MALFORMED),
	MESSAGE(alpn_empty_name, MALFORMED),
	MESSAGE(alpn_list_short, MALFORMED),
	MESSAGE(alpn_list_long, MALFORMED),
	MESSAGE(alpn_name_overrun, MALFORMED),
	MESSAGE(alpn_acme_then_empty, MALFORMED),
	MESSAGE(alpn_acme_then_overrun, MALFORMED),
	MESSAGE(alpn_web_then_overrun, MALFORMED),
	MESSAGE(alpn_beyond_body, MALFORMED),
	MESSAGE(alpn_web_beyond_body, MALFORMED),
	MESSAGE(server_hello, NOT_TLS),
	RAW(http, NOT_TLS),
	RAW(ssh, NOT_TLS),
	RAW(sslv2, NOT_TLS),
	RAW(zeros, NOT_TLS),
	RAW(alert, NOT_TLS),
	RAW(major_2, NOT_TLS),
	RAW(empty_record, MALFORMED),
	RAW(long_record, MALFORMED),
	RAW(alert_between, MALFORMED),
	RAW(empty_between, MALFORMED),
	RAW(long_between, MALFORMED),
	RAW(version_between, MALFORMED),
	RAW(acme_and_more, ACME),
};
#define HELLO_CASES (sizeof(hello_cases) / sizeof(hello_cases[0]))

/* The bytes of the case: its stream, or its message in records of at most `fragment` bytes. */
static inline void hello_stream(struct wire *w, const struct hello_case *c, uint32_t fragment)
{
	static struct wire message;

	w->length = 0;
	if (c->stream) {
		c->stream(w);
		return;
	}
	message.length = 0;
	c->message(&message);
	put_records(w, &message, fragment);
}

#endif
