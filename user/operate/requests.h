/* SPDX-License-Identifier: BSD-2-Clause */
/* What is asked of a running attach: through the control socket, and by who collects metrics. Main thread only. */
#ifndef ALPNBPF_OPERATE_REQUESTS_H
#define ALPNBPF_OPERATE_REQUESTS_H

#include "operate/program.h"

/*
 * Opens both, as the options say. 0, or -errno after an error was logged: what was asked for by name cannot be had. A
 * control socket that nobody asked for and that cannot be made is only warned of.
 */
int operate_open(struct program *program);
void operate_close(struct program *program);

#endif
