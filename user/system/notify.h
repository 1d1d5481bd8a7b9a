/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages to the service manager, by the protocol of sd_notify(3). Owns nothing. Main thread. */
#ifndef ALPNBPF_SYSTEM_NOTIFY_H
#define ALPNBPF_SYSTEM_NOTIFY_H

/* Sends one datagram ("READY=1") to $NOTIFY_SOCKET, if that is set. Logs a failure. */
void notify_service_manager(const char *message);
/* Sends STATUS=, for `systemctl status`: one line, cut if it is too long. */
void notify_status(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
