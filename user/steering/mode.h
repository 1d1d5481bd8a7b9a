/* SPDX-License-Identifier: BSD-2-Clause */
/* The mode in words: how new connections are handled. No state; main thread. */
#ifndef ALPNBPF_STEERING_MODE_H
#define ALPNBPF_STEERING_MODE_H

#include "steering/steer.h"

#define STEER_MODE_MAX 640

/* Writes the current mode, with the reason. Returns out. */
const char *steer_mode(const struct steer *steer, char *out, size_t size);

#endif
