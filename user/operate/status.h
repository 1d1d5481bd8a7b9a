/* SPDX-License-Identifier: BSD-2-Clause */
/* What a running attach says of itself, as text and as JSON; the same facts in both. Main thread only. */
#ifndef ALPNBPF_OPERATE_STATUS_H
#define ALPNBPF_OPERATE_STATUS_H

#include "operate/program.h"
#include "engine/snapshot.h"

/* A snapshot of the workers' counters, with program_add_counters(). */
void status_write(struct text *out, struct program *program, const struct snapshot *snapshot, bool json);
/* A snapshot of sessions. */
void sessions_write(struct text *out, const struct snapshot *snapshot, bool json);

/* Open descriptors of this process; 0 if they cannot be counted. */
unsigned int status_descriptors(void);

#endif
