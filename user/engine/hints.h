/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Recognizes known configuration mistakes, and says how to correct them. Only for log lines that are about to be
 * written, at most one per second. Runs on the thread of the session's worker.
 */
#ifndef ALPNBPF_ENGINE_HINTS_H
#define ALPNBPF_ENGINE_HINTS_H

#include "engine/session.h"

/*
 * Call it before the session is closed. If the backend ended the connection without answering a complete ClientHello,
 * it may not agree with us about the PROXY header: logs a warning.
 */
void hint_unanswered(const struct session *session);

#endif
