/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Recognizes known configuration mistakes, and says how to correct them. Only for log lines that are about to be
 * written, at most one per second. Runs on the thread of the session's worker.
 */
#ifndef ALPNBPF_ENGINE_HINTS_H
#define ALPNBPF_ENGINE_HINTS_H

#include "base/sentence.h"
#include "engine/session.h"

/*
 * Why a backend on this machine may refuse: what listens on its port at another address, or that nothing does. A clause
 * that begins with "; ", or "" where there is nothing to say. acme: it is the ACME client's.
 */
void hint_refused(const struct endpoint *backend, bool acme, struct sentence *hint);

/*
 * Call it before the session is closed. If the backend ended the connection without answering a complete ClientHello,
 * it may not agree with us about the PROXY header: logs a warning.
 */
void hint_unanswered(const struct session *session);

#endif
