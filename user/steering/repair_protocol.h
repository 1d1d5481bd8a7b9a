/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the repair helper (repair_helper.c) and those who ask it (repair.c) say to each other, over a pair of
 * SOCK_SEQPACKET sockets for the main thread and one for the worker that takes over. A connection is named by its ends
 * and where it begins: everything else about it, the helper looks up in `alpnbpf_taken`, where the watch wrote it.
 * Messages have a fixed size, but for the client's bytes behind REPAIR_TAKE, which must be as many as are entered
 * there.
 */
#ifndef ALPNBPF_STEERING_REPAIR_PROTOCOL_H
#define ALPNBPF_STEERING_REPAIR_PROTOCOL_H

#include "steering.h"

enum repair_kind {
	/* From the worker. */
	REPAIR_TAKE = 1,     /* removes the server's socket, and ends the entry; the answer has ours, which goes on */
	REPAIR_IS_GONE,      /* is anything of the server's left? */
	REPAIR_RELEASE,      /* ends the entry; no answer */
	REPAIR_LEAVE,        /* gives the connection back to the server; no answer */
	REPAIR_RESET_CLIENT, /* resets the client, and ends the entry; no answer */
	/* From the main thread. */
	REPAIR_ATTACH, /* the programs of the watch */
	REPAIR_DETACH,
	REPAIR_PORT, /* connections of this port may be taken over from now on; no answer */
	/* To the main thread, unasked. */
	REPAIR_NOT_RELEASED, /* the held connection of `client` could not be released at once, because of `result` */
};

/* An entry of `alpnbpf_taken`. By its ends alone, it could be that of a later connection. */
struct repair_entry {
	struct steer_connection ends;
	__u32 first; /* steer_takeover.first */
	__u32 pad;
};

/* The client's bytes as the ring had them: the helper puts them into the socket's queue, and looks at none. */
struct repair_request {
	__u32 kind;   /* enum repair_kind */
	__u32 number; /* comes back with the answer */
	__u32 value;  /* REPAIR_TAKE: removals tried so far. REPAIR_PORT: the port */
	__u32 pad;
	__u64 until_us; /* REPAIR_TAKE: by CLOCK_MONOTONIC; later, whoever asks has given up */
	struct repair_entry entry;
};

struct repair_answer {
	__u32 kind, number;
	__s32 result; /* 0 or -errno. REPAIR_IS_GONE: 1 or 0 */
	__u32 value;  /* REPAIR_TAKE: removals tried so far. REPAIR_NOT_RELEASED: the interface it came in at */
	struct steer_endpoint client;
};

#endif
