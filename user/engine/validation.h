/* SPDX-License-Identifier: BSD-2-Clause */
/* The outcome of an ACME validation: its log line and its counter. Runs on the thread of the session's worker. */
#ifndef ALPNBPF_ENGINE_VALIDATION_H
#define ALPNBPF_ENGINE_VALIDATION_H

#include "engine/session.h"

/* Call it when the session of a validation has ended: counts and logs the outcome. */
void validation_end(const struct session *session);

#endif
