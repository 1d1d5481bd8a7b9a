/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The resumable ClientHello parser: does a TLS client ask for ALPN `acme-tls/1` (RFC 8737), or for a name in a table of
 * rules? No I/O, no memory of its own. Compiled for BPF (bpf/clienthello.bpf.h feeds it an skb) and natively
 * (clienthello_feed). The caller owns struct clienthello, and feeds it the bytes of a connection once, in order, in
 * pieces of any size.
 */
#ifndef CLIENTHELLO_H
#define CLIENTHELLO_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#include "clienthello_rules.h"

/* The result for the bytes so far. Every result except MORE is final: later bytes are ignored. */
enum clienthello_result {
	CLIENTHELLO_MORE = 0,  /* undecided, feed more */
	CLIENTHELLO_HTTPS,     /* well-formed as far as read: no ALPN, or a list without acme-tls/1; no rule matches */
	CLIENTHELLO_ACME,      /* a complete, consistent hello whose first ALPN list contains acme-tls/1 */
	CLIENTHELLO_NOT_TLS,   /* does not start with a ClientHello in a TLS record */
	CLIENTHELLO_MALFORMED, /* starts like one, but lengths or records are inconsistent */
	CLIENTHELLO_TOO_LARGE, /* announces more than CLIENTHELLO_BODY_MAX bytes */
	CLIENTHELLO_RULE,      /* a complete, consistent hello without acme-tls/1 that matches rule number `rule` */
	CLIENTHELLO_RESULTS,
};

#define CLIENTHELLO_BODY_MAX   16384 /* longest message body accepted; real ones reach 2 KiB (post-quantum) */
#define CLIENTHELLO_RECORD_MAX 16384 /* longest TLSPlaintext.fragment, RFC 8446 section 5.1 */
#define CLIENTHELLO_FIELD_MAX  4     /* longest field read in one step */
/* Every result is reached within these wire bytes: the longest message, cut into records of one byte. */
#define CLIENTHELLO_WIRE_MAX ((5 + 1) * (4 + CLIENTHELLO_BODY_MAX))

/*
 * The wire field that comes next, in order of appearance: Handshake and ClientHello in RFC 8446 sections 4 and 4.1.2,
 * ProtocolNameList in RFC 7301 section 3.1, ServerNameList in RFC 6066 section 3. Fields in between (versions, random,
 * session id, suites, other extensions; without rules also server_name) are skipped.
 */
enum clienthello_field {
	CLIENTHELLO_AT_START = 0,           /* no byte of the message yet */
	CLIENTHELLO_AT_MESSAGE_TYPE,        /* 1 byte: msg_type */
	CLIENTHELLO_AT_MESSAGE_LENGTH,      /* 3 bytes */
	CLIENTHELLO_AT_SESSION_ID_LENGTH,   /* 1 byte */
	CLIENTHELLO_AT_CIPHERS_LENGTH,      /* 2 bytes */
	CLIENTHELLO_AT_COMPRESSIONS_LENGTH, /* 1 byte */
	CLIENTHELLO_AT_EXTENSIONS_LENGTH,   /* 2 bytes */
	CLIENTHELLO_AT_EXTENSION,           /* 4 bytes: type and length */
	CLIENTHELLO_AT_ALPN_LENGTH,         /* 2 bytes: length of the ProtocolNameList */
	CLIENTHELLO_AT_NAME_LENGTH,         /* 1 byte */
	CLIENTHELLO_AT_NAME,                /* with rules: the name, one byte per step */
	CLIENTHELLO_AT_NAME_ACME,           /* without rules: 4 bytes, `acme` of acme-tls/1 */
	CLIENTHELLO_AT_NAME_TLS,            /* 4 bytes, `-tls` */
	CLIENTHELLO_AT_NAME_1,              /* 2 bytes, `/1` */
	CLIENTHELLO_AT_HOSTS_LENGTH,        /* 2 bytes: length of the ServerNameList */
	CLIENTHELLO_AT_HOST_HEADER,         /* 3 bytes: name_type and length */
	CLIENTHELLO_AT_HOST,                /* the host_name, one byte per step */
	CLIENTHELLO_AT_END,                 /* 0 bytes: the message is complete */
};

/*
 * The state of the parser. All zero is the start.
 *
 * Bytes are reserved before they arrive: a scheduled field or skip is subtracted from `body_left` at once, so a length
 * that overruns its container is detected when it is announced, and never used. Enclosing lengths must match exactly
 * (RFC 8446 section 3), so two counters are enough: `body_left` for the extension block, `list_left` for the ALPN or
 * server name list.
 */
struct clienthello {
	__u64 alive;                      /* with rules: names that the current one may still match */
	__u64 matched[CLIENTHELLO_KINDS]; /* names that were matched */
	__u32 value;                      /* bytes of the current field so far, big-endian */
	__u16 record_left;                /* payload bytes left in the current record; 0: a record header comes next */
	__u16 record_length;              /* length in the record header being read */
	__u16 body_left;                  /* message bytes after the current skip and field */
	__u16 list_left;                  /* bytes of the list after the current name */
	__u16 skip;                       /* message bytes to skip before the field */
	__u8 need;                        /* bytes of the field still to come */
	__u8 record_seen;                 /* bytes of the record header seen, 0 to 4 */
	__u8 field;                       /* enum clienthello_field */
	__u8 result;                      /* enum clienthello_result */
	__u8 alpn_seen;                   /* an ALPN extension was found; only the first counts */
	__u8 acme_offered;                /* acme-tls/1 was in its list */
	__u8 sni_seen;                    /* a server_name extension was found; only the first counts */
	__u8 host_seen;                   /* a host_name was found in it; only the first counts */
	__u8 rule;                        /* with CLIENTHELLO_RULE */
	__u8 pad;
};

static inline void clienthello_decide(struct clienthello *ch, enum clienthello_result result)
{
	ch->result = (__u8)result;
}

/* Schedules the next bytes of the message: `skip` bytes to ignore, then `field` of `need` bytes. */
static inline void clienthello_expect(struct clienthello *ch, enum clienthello_field field, __u32 skip, __u32 need)
{
	if (skip + need > ch->body_left) {
		clienthello_decide(ch, CLIENTHELLO_MALFORMED);
		return;
	}
	ch->body_left = (__u16)(ch->body_left - skip - need);
	ch->skip = (__u16)skip;
	ch->need = (__u8)need;
	ch->field = (__u8)field;
	ch->value = 0;
}

/* The same, but the body may also end after `skip` bytes, RFC 8446 section 4.1.2. */
static inline void clienthello_expect_or_end(struct clienthello *ch, enum clienthello_field field, __u32 skip,
					     __u32 need)
{
	if (skip == ch->body_left)
		clienthello_expect(ch, CLIENTHELLO_AT_END, skip, 0);
	else
		clienthello_expect(ch, field, skip, need);
}

/*
 * After `skip` bytes, the rest of the current name, comes the next name or the end of the list. Without rules, a list
 * without acme-tls/1 decides the route, and the rest of the hello cannot change that. Otherwise the rest must be a
 * complete hello.
 */
static inline void clienthello_next_name(struct clienthello *ch, __u32 skip, const struct clienthello_rules *rules)
{
	if (ch->list_left) {
		ch->list_left--;
		clienthello_expect(ch, CLIENTHELLO_AT_NAME_LENGTH, skip, 1);
	} else if (rules || ch->acme_offered) {
		clienthello_expect_or_end(ch, CLIENTHELLO_AT_EXTENSION, skip, 4);
	} else {
		clienthello_decide(ch, CLIENTHELLO_HTTPS);
	}
}

/* The same for a list of server names. */
static inline void clienthello_next_host(struct clienthello *ch, __u32 skip)
{
	if (!ch->list_left) {
		clienthello_expect_or_end(ch, CLIENTHELLO_AT_EXTENSION, skip, 4);
	} else if (ch->list_left < 3) {
		clienthello_decide(ch, CLIENTHELLO_MALFORMED);
	} else {
		ch->list_left = (__u16)(ch->list_left - 3);
		clienthello_expect(ch, CLIENTHELLO_AT_HOST_HEADER, skip, 3);
	}
}

/* Begins an extension of `length` bytes that is a list of names with its length in front. */
static inline void clienthello_list(struct clienthello *ch, enum clienthello_field field, __u32 length)
{
	if (length < 2 || length > ch->body_left) {
		clienthello_decide(ch, CLIENTHELLO_MALFORMED);
		return;
	}
	ch->list_left = (__u16)(length - 2);
	clienthello_expect(ch, field, 0, 2);
}

/* Handles a complete extension header. */
static inline void clienthello_extension(struct clienthello *ch, __u32 type, __u32 length,
					 const struct clienthello_rules *rules)
{
	if (type == 16 /* application_layer_protocol_negotiation, RFC 7301 */ && !ch->alpn_seen) {
		ch->alpn_seen = 1;
		clienthello_list(ch, CLIENTHELLO_AT_ALPN_LENGTH, length);
	} else if (rules && type == 0 /* server_name, RFC 6066 */ && !ch->sni_seen) {
		ch->sni_seen = 1;
		clienthello_list(ch, CLIENTHELLO_AT_HOSTS_LENGTH, length);
	} else {
		clienthello_expect_or_end(ch, CLIENTHELLO_AT_EXTENSION, length, 4);
	}
}

/* Begins a name of 1 to 255 bytes, read as `field`. */
static inline void clienthello_name(struct clienthello *ch, enum clienthello_field field, __u32 length,
				    const struct clienthello_rules *rules)
{
	ch->alive = rules->start[clienthello_start(field == CLIENTHELLO_AT_HOST, length)];
	clienthello_expect(ch, field, 0, length);
}

/* Handles a complete header of an entry in the list of server names. */
static inline void clienthello_host(struct clienthello *ch, __u32 type, __u32 length,
				    const struct clienthello_rules *rules)
{
	/* HostName<1..2^16-1> is the only defined type; an unknown one may be empty */
	if (length > ch->list_left || (type == 0 && !length)) {
		clienthello_decide(ch, CLIENTHELLO_MALFORMED);
		return;
	}
	ch->list_left = (__u16)(ch->list_left - length);
	if (type != 0 /* host_name */ || ch->host_seen) {
		clienthello_next_host(ch, length);
		return;
	}
	ch->host_seen = 1;
	if (length < CLIENTHELLO_LENGTHS)
		clienthello_name(ch, CLIENTHELLO_AT_HOST, length, rules);
	else
		clienthello_next_host(ch, length);
}

/* Acts on the value of the completed field, and schedules what comes next. */
static inline void clienthello_field_complete(struct clienthello *ch, const struct clienthello_rules *rules)
{
	__u32 value = ch->value;

	switch (ch->field) {
	case CLIENTHELLO_AT_MESSAGE_TYPE:
		if (value != 1 /* client_hello */)
			clienthello_decide(ch, CLIENTHELLO_NOT_TLS);
		else
			clienthello_expect(ch, CLIENTHELLO_AT_MESSAGE_LENGTH, 0, 3);
		break;
	case CLIENTHELLO_AT_MESSAGE_LENGTH:
		if (value > CLIENTHELLO_BODY_MAX) {
			clienthello_decide(ch, CLIENTHELLO_TOO_LARGE);
			break;
		}
		ch->body_left = (__u16)value;
		/* skips legacy_version and random */
		clienthello_expect(ch, CLIENTHELLO_AT_SESSION_ID_LENGTH, 2 + 32, 1);
		break;
	case CLIENTHELLO_AT_SESSION_ID_LENGTH:
		if (value > 32)
			clienthello_decide(ch, CLIENTHELLO_MALFORMED);
		else
			clienthello_expect(ch, CLIENTHELLO_AT_CIPHERS_LENGTH, value, 2);
		break;
	case CLIENTHELLO_AT_CIPHERS_LENGTH:
		if (value < 2 || value % 2)
			clienthello_decide(ch, CLIENTHELLO_MALFORMED);
		else
			clienthello_expect(ch, CLIENTHELLO_AT_COMPRESSIONS_LENGTH, value, 1);
		break;
	case CLIENTHELLO_AT_COMPRESSIONS_LENGTH:
		if (value < 1)
			clienthello_decide(ch, CLIENTHELLO_MALFORMED);
		else /* a TLS 1.2 hello may have no extension block at all */
			clienthello_expect_or_end(ch, CLIENTHELLO_AT_EXTENSIONS_LENGTH, value, 2);
		break;
	case CLIENTHELLO_AT_EXTENSIONS_LENGTH:
		if (value != ch->body_left)
			clienthello_decide(ch, CLIENTHELLO_MALFORMED);
		else
			clienthello_expect_or_end(ch, CLIENTHELLO_AT_EXTENSION, 0, 4);
		break;
	case CLIENTHELLO_AT_EXTENSION:
		clienthello_extension(ch, value >> 16, value & 0xffff, rules);
		break;
	case CLIENTHELLO_AT_ALPN_LENGTH:
		if (value < 1 || value != ch->list_left)
			clienthello_decide(ch, CLIENTHELLO_MALFORMED);
		else
			clienthello_next_name(ch, 0, rules);
		break;
	case CLIENTHELLO_AT_NAME_LENGTH:
		if (value < 1 || value > ch->list_left) {
			clienthello_decide(ch, CLIENTHELLO_MALFORMED);
			break;
		}
		ch->list_left = (__u16)(ch->list_left - value);
		if (rules)
			clienthello_name(ch, CLIENTHELLO_AT_NAME, value, rules);
		else if (value == 10 /* acme-tls/1 */)
			clienthello_expect(ch, CLIENTHELLO_AT_NAME_ACME, 0, 4);
		else
			clienthello_next_name(ch, value, rules);
		break;
	case CLIENTHELLO_AT_NAME_ACME:
		if (value == 0x61636d65 /* acme */)
			clienthello_expect(ch, CLIENTHELLO_AT_NAME_TLS, 0, 4);
		else
			clienthello_next_name(ch, 4 + 2, rules);
		break;
	case CLIENTHELLO_AT_NAME_TLS:
		if (value == 0x2d746c73 /* -tls */)
			clienthello_expect(ch, CLIENTHELLO_AT_NAME_1, 0, 2);
		else
			clienthello_next_name(ch, 2, rules);
		break;
	case CLIENTHELLO_AT_NAME_1:
		if (value == 0x2f31 /* /1 */)
			ch->acme_offered = 1;
		clienthello_next_name(ch, 0, rules);
		break;
	case CLIENTHELLO_AT_HOSTS_LENGTH:
		if (value < 1 || value != ch->list_left)
			clienthello_decide(ch, CLIENTHELLO_MALFORMED);
		else
			clienthello_next_host(ch, 0);
		break;
	case CLIENTHELLO_AT_HOST_HEADER:
		if (rules)
			clienthello_host(ch, value >> 16, value & 0xffff, rules);
		break;
	}
}

/* Is a name being matched? */
static inline int clienthello_in_name(const struct clienthello *ch)
{
	return ch->field == CLIENTHELLO_AT_NAME || ch->field == CLIENTHELLO_AT_HOST;
}

/* Matches one byte of a name; after the last one, the matches are known. */
static inline void clienthello_match(struct clienthello *ch, __u32 byte, const struct clienthello_rules *rules)
{
	__u32 kind = ch->field == CLIENTHELLO_AT_HOST;

	ch->need--;
	ch->alive &= rules->accept[clienthello_accept(kind, (__u32)ch->need, byte)];
	if (ch->need)
		return;
	if (kind == CLIENTHELLO_SNI) {
		ch->matched[CLIENTHELLO_SNI] |= ch->alive;
		clienthello_next_host(ch, 0);
	} else {
		ch->matched[CLIENTHELLO_ALPN] |= ch->alive;
		if (ch->alive & CLIENTHELLO_ACME_BIT)
			ch->acme_offered = 1;
		clienthello_next_name(ch, 0, rules);
	}
}

/* The hello is complete. ACME takes precedence over all rules, and an earlier rule over a later one. */
static inline void clienthello_complete(struct clienthello *ch, const struct clienthello_rules *rules)
{
	clienthello_decide(ch, ch->acme_offered ? CLIENTHELLO_ACME : CLIENTHELLO_HTTPS);
	if (!rules || ch->acme_offered)
		return;
	for (__u32 i = 0; i < CLIENTHELLO_RULES_MAX; i++) {
		__u64 alpn = rules->rules[i].any_of[CLIENTHELLO_ALPN], sni = rules->rules[i].any_of[CLIENTHELLO_SNI];

		if (i >= rules->count)
			break;
		if ((alpn && !(alpn & ch->matched[CLIENTHELLO_ALPN])) || (sni && !(sni & ch->matched[CLIENTHELLO_SNI])))
			continue;
		ch->rule = (__u8)i;
		clienthello_decide(ch, CLIENTHELLO_RULE);
		break;
	}
}

/* Reads `count` bytes of a record header: TLSPlaintext, RFC 8446 section 5.1. Type and major version come singly. */
static inline void clienthello_record_header(struct clienthello *ch, __u32 value, __u32 count)
{
	__u32 seen = ch->record_seen + count;

	if (seen <= 2) {
		/* handshake, then major version 3; in a later record another value makes the hello malformed */
		if (value != (seen == 1 ? 22 : 3))
			clienthello_decide(ch, ch->field == CLIENTHELLO_AT_START ? CLIENTHELLO_NOT_TLS
										 : CLIENTHELLO_MALFORMED);
	} else { /* minor version, shifted out, and length */
		ch->record_length = (__u16)(((__u64)ch->record_length << (8 * count)) | value);
	}
	if (seen < 5) {
		ch->record_seen = (__u8)seen;
		return;
	}

	ch->record_seen = 0;
	ch->record_left = ch->record_length;
	if (ch->record_length < 1 || ch->record_length > CLIENTHELLO_RECORD_MAX) {
		clienthello_decide(ch, CLIENTHELLO_MALFORMED);
	} else if (ch->field == CLIENTHELLO_AT_START) {
		ch->body_left = 1 + 3; /* the message header; it has the length of the rest */
		clienthello_expect(ch, CLIENTHELLO_AT_MESSAGE_TYPE, 0, 1);
	}
}

/* Does the next step skip bytes without reading them? */
static inline int clienthello_skips(const struct clienthello *ch)
{
	return ch->record_left && ch->skip;
}

/*
 * The number of bytes that the next step can take, at least 1 while undecided: any number of a skip, 1 of a name, at
 * most CLIENTHELLO_FIELD_MAX of a field. Fewer bytes give the same result.
 */
static inline __u32 clienthello_span(const struct clienthello *ch)
{
	__u32 span;

	if (!ch->record_left)
		return ch->record_seen < 2 ? 1 : 5 - (__u32)ch->record_seen;
	span = ch->skip ? ch->skip : clienthello_in_name(ch) ? 1 : ch->need;
	return span < ch->record_left ? span : ch->record_left;
}

/*
 * One step, in the kernel and in user space: takes the next `count` wire bytes, 1 to clienthello_span(). `value` is
 * those bytes, big-endian; if clienthello_skips(), it is ignored. rules: the same in all steps of a hello; NULL: there
 * are none.
 */
static inline void clienthello_step(struct clienthello *ch, __u32 value, __u32 count,
				    const struct clienthello_rules *rules)
{
	if (!ch->record_left) {
		clienthello_record_header(ch, value, count);
		return;
	}
	ch->record_left = (__u16)(ch->record_left - count);
	if (ch->skip) {
		ch->skip = (__u16)(ch->skip - count);
	} else if (rules && clienthello_in_name(ch)) {
		clienthello_match(ch, value, rules);
	} else {
		/* 64 bits, because a field of 4 bytes shifts by 32 */
		ch->value = (__u32)(((__u64)ch->value << (8 * count)) | value);
		ch->need = (__u8)(ch->need - count);
		if (!ch->need)
			clienthello_field_complete(ch, rules);
	}
	if (ch->result == CLIENTHELLO_MORE && ch->field == CLIENTHELLO_AT_END && !ch->skip)
		clienthello_complete(ch, rules);
}

#ifndef __bpf__
/* Feeds the next bytes of the connection, any number; bytes after the decision are ignored. */
static inline enum clienthello_result clienthello_feed(struct clienthello *ch, const __u8 *bytes, __u32 length,
						       const struct clienthello_rules *rules)
{
	while (ch->result == CLIENTHELLO_MORE && length) {
		__u32 count = clienthello_span(ch);
		__u32 value = 0;

		if (count > length)
			count = length;
		if (!clienthello_skips(ch))
			for (__u32 i = 0; i < count; i++)
				value = value << 8 | bytes[i];
		clienthello_step(ch, value, count, rules);
		bytes += count;
		length -= count;
	}
	return (enum clienthello_result)ch->result;
}
#endif

#endif
