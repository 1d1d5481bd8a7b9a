// SPDX-License-Identifier: BSD-2-Clause
/* The steps of a takeover: see ladder.h. Owns nothing. On the thread of the worker that takes over. */
#include "steering/ladder.h"

#include <errno.h>

#include "base/descriptor.h"

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

static bool should_wait(const struct ladder *ladder, uint64_t now)
{
	if (ladder->error == -EADDRNOTAVAIL && ladder->removed < REMOVALS_MOST)
		return true;
	return passes(ladder->error) && now < ladder->until;
}

enum ladder_step ladder_climb(struct ladder *ladder, struct repair *repair, const struct steer_takeover *takeover,
			      uint64_t now)
{
	int fd = ladder->asked || ladder->removed < REMOVALS_MOST
			 ? repair_take(repair, takeover, ladder->until, &ladder->removed, &ladder->asked)
			 : -EADDRNOTAVAIL;

	if (fd >= 0) {
		ladder->fd = fd;
		return LADDER_READY;
	}
	ladder->error = fd;
	if (should_wait(ladder, now)) {
		ladder->waited++;
		return LADDER_WAIT;
	}
	ladder_abandon(ladder, repair);
	if (ladder->error == -ENOTRECOVERABLE)
		return LADDER_LOST;
	struct repair_entry entry = repair_entry_of(takeover);

	return ladder->error != -EADDRNOTAVAIL && repair_is_gone(repair, &entry) ? LADDER_LOST : LADDER_GIVE_BACK;
}

/* An answer that is late may have the socket of a connection that nobody continues: make_way() closes it. */
void ladder_abandon(struct ladder *ladder, struct repair *repair)
{
	repair_forget(repair, &ladder->asked);
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
