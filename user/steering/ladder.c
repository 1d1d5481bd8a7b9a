// SPDX-License-Identifier: BSD-2-Clause
/* The steps of a takeover: see ladder.h. Owns ladder->fd until LADDER_READY. On the thread that takes over. */
#include "steering/ladder.h"

#include <errno.h>

#include "base/descriptor.h"
#include "steering/takeover.h"

#define REMOVALS_MOST    12 /* with pauses of 0.1 ms to 0.1 s in between: half a second */
#define FIRST_PAUSE_US   100
#define LONGEST_PAUSE_US 100000

void ladder_begin(struct ladder *ladder, uint64_t now)
{
	*ladder = (struct ladder){.fd = NO_DESCRIPTOR, .until = now + LADDER_PATIENCE_US};
}

/* Errors that time may mend: of routes, interfaces, memory and descriptors. */
static bool passes(int error)
{
	switch (-error) {
	case ENETUNREACH:
	case EHOSTUNREACH:
	case ENETDOWN:
	case EHOSTDOWN:
	case ENODEV:
	case EACCES: /* a route of type prohibit, while a route is replaced */
	case EINVAL: /* blackhole, likewise */
	case ENOBUFS:
	case ENOMEM:
	case EMFILE:
	case ENFILE:
	case EAGAIN:
		return true;
	default:
		return false;
	}
}

/*
 * connect() looks for a route before it looks for a socket with the same ends: so nothing is removed before there is a
 * route. 0 if our socket has the connection; -EADDRNOTAVAIL if something of the server's is left; else -errno.
 */
static int connect_and_remove(struct ladder *ladder, const struct removal *removal,
			      const struct steer_takeover *takeover)
{
	unsigned int end = ladder->removed + removal_tries_at_once(removal);
	int error = takeover_connect(ladder->fd, takeover);

	while (error == -EADDRNOTAVAIL && ladder->removed < end && ladder->removed < REMOVALS_MOST) {
		error = removal_try(removal, takeover, ladder->removed++);
		if (!error)
			error = takeover_connect(ladder->fd, takeover);
	}
	return error;
}

static int make_socket(struct ladder *ladder, const struct removal *removal, const struct steer_takeover *takeover)
{
	int error;

	if (ladder->fd < 0) {
		int fd = takeover_prepare(takeover);

		if (fd < 0)
			return fd;
		ladder->fd = fd;
	}
	error = connect_and_remove(ladder, removal, takeover);
	if (error)
		return error;
	error = takeover_fill(ladder->fd, takeover);
	if (error) /* half filled, it can only be made anew */
		descriptor_close(&ladder->fd);
	return error;
}

static bool should_wait(const struct ladder *ladder, uint64_t now)
{
	if (ladder->error == -EADDRNOTAVAIL && ladder->removed < REMOVALS_MOST)
		return true;
	return passes(ladder->error) && now < ladder->until;
}

enum ladder_step ladder_climb(struct ladder *ladder, const struct removal *removal,
			      const struct steer_takeover *takeover, uint64_t now)
{
	ladder->error = make_socket(ladder, removal, takeover);
	if (!ladder->error)
		return LADDER_READY;
	if (should_wait(ladder, now)) {
		ladder->waited++;
		return LADDER_WAIT;
	}
	descriptor_close(&ladder->fd); /* still in repair: sends nothing */
	if (ladder->error != -EADDRNOTAVAIL && removal_is_done(removal, takeover))
		return LADDER_LOST;
	return LADDER_GIVE_BACK;
}

uint64_t ladder_pause(const struct ladder *ladder)
{
	unsigned int doublings = ladder->waited < 10 ? ladder->waited : 10;
	uint64_t pause = (uint64_t)FIRST_PAUSE_US << doublings;

	return pause < LONGEST_PAUSE_US ? pause : LONGEST_PAUSE_US;
}

bool ladder_left_trace(const struct ladder *ladder, const struct steer_takeover *takeover)
{
	return !takeover->agreed.deferred || ladder->removed > 1;
}
