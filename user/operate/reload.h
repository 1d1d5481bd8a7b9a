/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `alpnbpf reload` and SIGHUP: parses the command line and the configuration file again. All or nothing: after a
 * mistake, or a change that needs a restart, the running configuration stays, and the log says why. A state machine of
 * the main loop, which waits for nothing: a thread of its own looks up host names, the first worker takes the options,
 * and each worker adopts them on its next turn. Main thread.
 */
#ifndef ALPNBPF_OPERATE_RELOAD_H
#define ALPNBPF_OPERATE_RELOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "steering/owners.h"
#include "base/sentence.h"

struct program;
struct parsing;

enum reload_state {
	RELOAD_IDLE,    /* no reload is in progress */
	RELOAD_PARSES,  /* waits for the thread of `parsing`, until `until` at most */
	RELOAD_HANDED,  /* waits for the workers to take the options, until `until` at most */
	RELOAD_ADOPTED, /* the options are in force: waits for each worker to adopt them, until `until` at most */
};

struct reload {
	enum reload_state state;
	uint64_t until;          /* us; not RELOAD_IDLE */
	bool asked;              /* another turn follows */
	uint64_t turn;           /* turns begun so far */
	struct parsing *parsing; /* its thread may outlast RELOAD_PARSES. NULL: there is none */
	struct parsing *handed;  /* its thread has ended, and the options are with the workers. NULL: there is none */
	unsigned short rules;    /* with these options: as in struct configuration */
	struct backend_owners owners; /* the same */
	bool failed;                  /* the last turn that ended */
	struct sentence result;       /* what it changed, or why it failed */
	uint64_t done_count, failed_count;
};

/*
 * Asks for a reload. If one is in progress, another follows it, because the first may have read the file before its
 * last change. Returns the number of the turn.
 */
uint64_t reload_ask(struct reload *reload);
/* Continues as far as possible without waiting. True: the turn reload->turn has ended. */
bool reload_step(struct program *program);
/* Readable when reload_step() can continue. NO_DESCRIPTOR: only `answered` of the engine shows that. */
int reload_fd(const struct reload *reload);
/* When to call reload_step() at the latest, in us; UINT64_MAX: only on these events. */
uint64_t reload_next(const struct reload *reload);

#endif
