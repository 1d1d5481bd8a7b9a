/* SPDX-License-Identifier: BSD-2-Clause */
/* libbpf's messages in our log, and why a step of loading BPF failed. Owns nothing. Main thread, at start-up. */
#ifndef ALPNBPF_SYSTEM_BPF_H
#define ALPNBPF_SYSTEM_BPF_H

#include "base/sentence.h"

/* Sends libbpf's messages to our log, all as debug lines: the errors among them are reported by the caller. */
void bpf_log_to_ours(void);

/* "STEP: why": why a step of loading BPF failed with `error` (-errno), and what it lacks. Returns error. */
int bpf_explain(int error, const char *step, struct sentence *why);

#endif
