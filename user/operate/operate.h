/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A running attach from outside: the control socket, the metrics server, reloads. The main loop calls operate_run()
 * when one of its descriptors is readable, or its time has come; nothing here waits. Main thread.
 */
#ifndef ALPNBPF_OPERATE_OPERATE_H
#define ALPNBPF_OPERATE_OPERATE_H

#include <poll.h>

#include "operate/program.h"

enum { OPERATE_SERVERS, OPERATE_TRACE, OPERATE_ANSWERS, OPERATE_RELOAD, OPERATE_DESCRIPTORS };

/*
 * Opens both servers, as the options say. 0, or -errno after an error was logged: what was asked for by name cannot be
 * had. A control socket that no option asks for may fail: that is a warning.
 */
int operate_open(struct program *program);
/* Does what can be done now. */
void operate_run(struct program *program);
/* What it waits for: as many as OPERATE_DESCRIPTORS; a descriptor of -1 is one that there is not. */
void operate_poll(const struct program *program, struct pollfd *wait);
/* When it wants to be called at the latest, us; UINT64_MAX: only for these. */
uint64_t operate_next(const struct program *program);
/* However far operate_open() came. */
void operate_close(struct program *program);

#endif
