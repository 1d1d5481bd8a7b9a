// SPDX-License-Identifier: BSD-2-Clause
/*
 * Describes a ClientHello: reassembles the handshake message from its records, then reads it field by field through
 * slices that are checked against its bounds. The fields are for logs, TLVs and `inspect`; the routing result comes
 * from the shared parser. Owns nothing. Any thread.
 */
#include "hello/describe.h"

#include <string.h>

/* From RFC 8446, 6066 and 7301. */
enum { RECORD_HANDSHAKE = 22, NAME_HOST = 0, EXTENSION_SERVER_NAME = 0, EXTENSION_ALPN = 16, EXTENSION_VERSIONS = 43 };

/* Bytes that are still to be read; every read checks the length and shortens the slice. */
struct slice {
	const uint8_t *at;
	size_t left;
};

static bool take_bytes(struct slice *from, size_t count, struct slice *out)
{
	if (count > from->left)
		return false;
	*out = (struct slice){from->at, count};
	from->at += count;
	from->left -= count;
	return true;
}

static bool take_number(struct slice *from, unsigned int width, uint32_t *value)
{
	struct slice bytes;

	if (!take_bytes(from, width, &bytes))
		return false;
	*value = 0;
	for (unsigned int i = 0; i < width; i++)
		*value = *value << 8 | bytes.at[i];
	return true;
}

/* A vector, preceded by its length in `width` bytes: RFC 8446 section 3.4. */
static bool take_vector(struct slice *from, unsigned int width, struct slice *out)
{
	uint32_t length;

	return take_number(from, width, &length) && take_bytes(from, length, out);
}

/* RFC 8701 section 2: 0x0a0a, 0x1a1a … 0xfafa */
static bool is_grease(uint32_t value)
{
	return (value & 0x0f0f) == 0x0a0a && value >> 8 == (value & 0xff);
}

/* RFC 6066 section 3; the first host_name counts, and only if it is printable without escapes. */
static void describe_server_name(struct hello *hello, struct slice content)
{
	struct slice list, name;
	uint32_t type;

	if (!take_vector(&content, 2, &list))
		return;
	while (take_number(&list, 1, &type) && take_vector(&list, 2, &name)) {
		if (type != NAME_HOST)
			continue;
		if (name.left > HELLO_SERVER_NAME_MAX)
			return;
		for (size_t i = 0; i < name.left; i++)
			if (name.at[i] <= ' ' || name.at[i] > '~')
				return;
		memcpy(hello->server_name, name.at, name.left);
		return;
	}
}

/* RFC 7301 section 3.1; a malformed list is not used in part. */
static void describe_alpn(struct hello *hello, struct slice content)
{
	struct slice list, rest, name;
	uint16_t fits = 0;

	if (!take_vector(&content, 2, &list) || content.left)
		return;
	for (rest = list; rest.left;) {
		if (!take_vector(&rest, 1, &name) || !name.left)
			return;
		if (list.left - rest.left <= sizeof(hello->alpn))
			fits = (uint16_t)(list.left - rest.left);
	}
	memcpy(hello->alpn, list.at, fits);
	hello->alpn_length = fits;
	hello->alpn_truncated = fits < list.left;
}

/* RFC 8446 section 4.2.1 */
static void describe_versions(struct hello *hello, struct slice content)
{
	struct slice list;
	uint32_t version;

	if (hello->version_count || !take_vector(&content, 1, &list))
		return;
	while (take_number(&list, 2, &version)) {
		if (is_grease(version))
			hello->grease = true;
		else if (hello->version_count < HELLO_VERSIONS_MAX)
			hello->versions[hello->version_count++] = (uint16_t)version;
	}
}

/* The part of the body that has arrived, RFC 8446 section 4.1.2; stops at the first incomplete field. */
static void describe_body(struct hello *hello, struct slice body)
{
	struct slice ignored, ciphers, content;
	uint32_t version, type, length;
	bool alpn_seen = false, sni_seen = false; /* the first one counts, even if it is malformed */

	if (!take_number(&body, 2, &version))
		return;
	hello->legacy_version = (uint16_t)version;
	if (!take_bytes(&body, 32, &ignored) || !take_vector(&body, 1, &ignored) || !take_vector(&body, 2, &ciphers) ||
	    !take_vector(&body, 1, &ignored) || !take_number(&body, 2, &length))
		return;
	while (take_number(&ciphers, 2, &type))
		hello->grease |= is_grease(type);
	while (take_number(&body, 2, &type) && take_vector(&body, 2, &content)) {
		hello->grease |= is_grease(type);
		switch (type) {
		case EXTENSION_SERVER_NAME:
			if (!sni_seen)
				describe_server_name(hello, content);
			sni_seen = true;
			break;
		case EXTENSION_ALPN:
			if (!alpn_seen)
				describe_alpn(hello, content);
			alpn_seen = true;
			break;
		case EXTENSION_VERSIONS:
			describe_versions(hello, content);
			break;
		}
	}
}

/*
 * The next record's part of the message, RFC 8446 section 5.1: at most `wanted` bytes, fewer if the record or the
 * buffer ends before. False if no further record of this message follows.
 */
static bool take_fragment(struct slice *stream, size_t wanted, struct slice *fragment)
{
	uint32_t type, version, length;

	if (!take_number(stream, 1, &type) || !take_number(stream, 2, &version) || !take_number(stream, 2, &length))
		return false;
	if (type != RECORD_HANDSHAKE || version >> 8 != 3 || length < 1 || length > CLIENTHELLO_RECORD_MAX)
		return false;
	if (length > stream->left)
		length = (uint32_t)stream->left;
	take_bytes(stream, length, fragment);
	if (fragment->left > wanted)
		fragment->left = wanted;
	return true;
}

void hello_describe(struct hello *hello, const uint8_t *bytes, size_t length, const struct clienthello_rules *rules)
{
	uint8_t message[4 + CLIENTHELLO_BODY_MAX];
	size_t wanted = 4, have = 0; /* wanted: the header first, then the whole message */
	struct slice stream = {bytes, length}, fragment;
	struct clienthello ch = {0};

	*hello = (struct hello){0};
	/* no decision needs more than CLIENTHELLO_WIRE_MAX bytes */
	hello->result = clienthello_feed(&ch, bytes,
					 length < CLIENTHELLO_WIRE_MAX ? (__u32)length : CLIENTHELLO_WIRE_MAX, rules);
	hello->route = hello->result == CLIENTHELLO_MORE ? ROUTE_HTTPS : (enum route)route_of_hello(&ch);
	if (hello->result == CLIENTHELLO_NOT_TLS)
		return;

	while (have < wanted && take_fragment(&stream, sizeof(message) - have, &fragment)) {
		memcpy(message + have, fragment.at, fragment.left);
		have += fragment.left;
		hello->records++;
		if (!hello->size && have >= 4) {
			hello->size = 4 + ((uint32_t)message[1] << 16 | (uint32_t)message[2] << 8 | message[3]);
			if (hello->size > sizeof(message))
				return; /* too large: only its size is known */
			wanted = hello->size;
		}
	}
	hello->complete = hello->size && have >= wanted;
	if (have > 4)
		describe_body(hello, (struct slice){message + 4, (have < wanted ? have : wanted) - 4});
}

bool hello_alpn_next(const struct hello *hello, size_t *position, const uint8_t **name, size_t *length)
{
	struct slice rest, found;

	if (*position >= hello->alpn_length)
		return false;
	rest = (struct slice){hello->alpn + *position, hello->alpn_length - *position};
	if (!take_vector(&rest, 1, &found))
		return false;
	*name = found.at;
	*length = found.left;
	*position = hello->alpn_length - rest.left;
	return true;
}

bool hello_is_name(const char *name, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (!name[i])
			return true;
		if (name[i] <= ' ' || name[i] > '~')
			return false;
	}
	return false;
}

/* Each result has one name in all outputs, and a clause that explains it. */
static const struct {
	const char *name, *reason;
} results[CLIENTHELLO_RESULTS] = {
	[CLIENTHELLO_MORE] =
		{"incomplete",
		 "the hello is incomplete and not decided yet; a connection that ends or stalls here goes to https"},
	[CLIENTHELLO_HTTPS] = {"https", "there is no ALPN list, or it does not contain acme-tls/1"},
	[CLIENTHELLO_ACME] = {"acme", "the hello is complete, and its ALPN list contains acme-tls/1"},
	[CLIENTHELLO_NOT_TLS] = {"not_tls", "the first bytes are not a TLS ClientHello"},
	[CLIENTHELLO_MALFORMED] = {"malformed",
				   "it starts like a ClientHello, but its record or field lengths are inconsistent"},
	[CLIENTHELLO_TOO_LARGE] = {"too_large", "the hello is longer than 16384 bytes, by its own length field"},
	[CLIENTHELLO_RULE] = {"rule", "the hello is complete, and this is the first rule that matches it"},
};

const char *hello_result_name(enum clienthello_result result)
{
	return results[result].name;
}

const char *hello_result_reason(enum clienthello_result result)
{
	return results[result].reason;
}

const char *hello_version_name(uint16_t version)
{
	switch (version) {
	case 0x0300:
		return "SSL 3.0";
	case 0x0301:
		return "TLS 1.0";
	case 0x0302:
		return "TLS 1.1";
	case 0x0303:
		return "TLS 1.2";
	case 0x0304:
		return "TLS 1.3";
	}
	return NULL;
}

size_t hello_escape(char *out, size_t size, const uint8_t *bytes, size_t length)
{
	static const char digits[] = "0123456789abcdef";
	size_t used = 0;

	for (size_t i = 0; i < length; i++) {
		uint8_t byte = bytes[i];

		if (byte > ' ' && byte <= '~' && !strchr(",\"\\", byte)) {
			if (used + 1 >= size)
				break;
			out[used++] = (char)byte;
		} else {
			if (used + 4 >= size)
				break;
			out[used++] = '\\';
			out[used++] = 'x';
			out[used++] = digits[byte >> 4];
			out[used++] = digits[byte & 0xf];
		}
	}
	if (size)
		out[used] = '\0';
	return used;
}
