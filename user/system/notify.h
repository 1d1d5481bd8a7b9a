/* SPDX-License-Identifier: BSD-2-Clause */
/* What the service manager is told, by the protocol of sd_notify(3). Owns nothing. Main thread. */
#ifndef ALPNBPF_SYSTEM_NOTIFY_H
#define ALPNBPF_SYSTEM_NOTIFY_H

/* One datagram to $NOTIFY_SOCKET ("READY=1"). Does nothing where there is none; what fails is logged. */
void notify_service_manager(const char *message);
/* STATUS=, for `systemctl status`: one line, cut where it is too long. */
void notify_status(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
