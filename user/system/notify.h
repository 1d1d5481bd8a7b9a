/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages to the service manager, by the protocol of sd_notify(3). Never waits for it: while it does not read its
 * socket, a few messages wait here. Owns one socket and these messages. Main thread.
 */
#ifndef ALPNBPF_SYSTEM_NOTIFY_H
#define ALPNBPF_SYSTEM_NOTIFY_H

/*
 * Connects to the service manager in advance, if there is one: later, this process may be a user that may not. Without
 * it, the first message connects.
 */
void notify_open(void);
/* Sends a datagram ("READY=1") to $NOTIFY_SOCKET, if that is set, or later: notify_flush(). Logs a failure. */
void notify_service_manager(const char *message);
/* Sends STATUS=, for `systemctl status`: one line, cut if it is too long. */
void notify_status(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Writable when messages that wait can be sent. NO_DESCRIPTOR: none waits. */
int notify_fd(void);
/* Sends messages that wait, as far as possible. */
void notify_flush(void);
/* At the end of the program: the same, and logs those that are lost. */
void notify_close(void);

#endif
