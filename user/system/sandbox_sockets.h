/* SPDX-License-Identifier: BSD-2-Clause */
/* The socket calls of the seccomp filter, by their arguments. For sandbox_calls.c only. Main thread, once. */
#ifndef ALPNBPF_SYSTEM_SANDBOX_SOCKETS_H
#define ALPNBPF_SYSTEM_SANDBOX_SOCKETS_H

#include <seccomp.h>

#include "system/sandbox.h"

/* Adds socket(), setsockopt() and getsockopt() to a filter. 0, or -errno of libseccomp. */
int sandbox_allow_sockets(const struct sandbox *sandbox, scmp_filter_ctx filter);

#endif
