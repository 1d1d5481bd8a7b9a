/* SPDX-License-Identifier: BSD-2-Clause */
/* What a running attach says of itself, as text and as JSON; the same facts in both. Main thread only. */
#ifndef ALPNBPF_OPERATE_STATUS_H
#define ALPNBPF_OPERATE_STATUS_H

#include "operate/program.h"
#include "engine/report.h"

void status_write(struct text *out, struct program *program, bool json);
/* False: these are not all. */
bool sessions_write(struct text *out, struct program *program, bool json);

/* Open descriptors of this process; 0 if they cannot be counted. */
unsigned int status_descriptors(void);
/* Armed, for whatever reason? */
bool status_is_armed(struct program *program);

#endif
