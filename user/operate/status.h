/* SPDX-License-Identifier: BSD-2-Clause */
/* The state of a running attach, as text and as JSON, with the same facts in both. Main thread. */
#ifndef ALPNBPF_OPERATE_STATUS_H
#define ALPNBPF_OPERATE_STATUS_H

#include "operate/program.h"
#include "engine/snapshot.h"

/* The snapshot includes program_add_counters(). */
void status_write(struct text *out, struct program *program, const struct snapshot *snapshot, bool json);
/* The snapshot has the sessions. */
void sessions_write(struct text *out, const struct snapshot *snapshot, bool json);

#endif
