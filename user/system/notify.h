/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages to the service manager, by the protocol of sd_notify(3). Owns one socket. Main thread. */
#ifndef ALPNBPF_SYSTEM_NOTIFY_H
#define ALPNBPF_SYSTEM_NOTIFY_H

/*
 * Connects to the service manager in advance, if there is one: later, this process may be a user that may not. Without
 * it, each message connects anew.
 */
void notify_open(void);
/* Sends one datagram ("READY=1") to $NOTIFY_SOCKET, if that is set. Logs a failure. */
void notify_service_manager(const char *message);
/* Sends STATUS=, for `systemctl status`: one line, cut if it is too long. */
void notify_status(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
