/* SPDX-License-Identifier: BSD-2-Clause */
/* What libbpf says, in our log; and why a step of loading BPF failed. Owns nothing. Main thread, at start-up. */
#ifndef ALPNBPF_SYSTEM_BPF_H
#define ALPNBPF_SYSTEM_BPF_H

#include "base/sentence.h"

/* From now on libbpf speaks through our log, as debug lines: what it calls a warning is a reason that we word. */
void bpf_log_to_ours(void);

/* "STEP: why": why a step of loading BPF failed with `error` (-errno), and what is missing for it. Returns error. */
int bpf_explain(int error, const char *step, struct sentence *why);

#endif
