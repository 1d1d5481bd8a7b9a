/* SPDX-License-Identifier: BSD-2-Clause */
/* What `alpnbpf check` finds: one line each, printed at once, and counted. Main thread. */
#ifndef ALPNBPF_COMMANDS_FINDINGS_H
#define ALPNBPF_COMMANDS_FINDINGS_H

#include "options/options.h"
#include "steering/listener_owner.h"

enum verdict { VERDICT_OK, VERDICT_WARN, VERDICT_FAIL, VERDICTS };

struct findings {
	const struct options *options;
	unsigned int count[VERDICTS];
};

void add_finding(struct findings *findings, enum verdict verdict, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Whose listeners are used for which backend, and which of those that are there are not. */
void check_owners(struct findings *findings, const struct listener_asker *asker);

#endif
