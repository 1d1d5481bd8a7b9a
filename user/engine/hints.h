/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the known mistakes look like from here, and what to do about them. Only for log lines that are about to be
 * written: at most once a second each. Runs on the thread of the session's worker.
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
 * The session is about to be closed. A backend that ends a connection without a byte in answer to a whole ClientHello
 * may not agree with us about the PROXY header: says so.
 */
void hint_unanswered(const struct session *session);

#endif
