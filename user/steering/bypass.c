// SPDX-License-Identifier: BSD-2-Clause
/* Reports the listeners of the web server that the bypass cannot use. Owns nothing. Main thread. */
#include "steering/bypass.h"

#include "base/log.h"

void bypass_note_untracked(const struct listener_tracker *tracker, const struct address *at)
{
	static struct log_limit limit;
	char name[ADDRESS_TEXT_MAX];
	unsigned long suppressed;

	if (log_limit_pass(&limit, &suppressed))
		log_warn("no bypass to %s: its listener cannot be tracked (%s); its connections go through alpnbpf",
			 address_format(at, name, sizeof(name)), listeners_why_untracked(tracker, STEER_HTTPS));
}

int bypass_find(struct listener_tracker *tracker)
{
	struct listeners found;
	int error = listeners_find(tracker, STEER_HTTPS, &found);

	if (!error && found.untracked)
		bypass_note_untracked(tracker, &found.first);
	return error;
}

bool bypass_has_untracked(const struct listener_tracker *tracker, struct address *at)
{
	struct listeners now;

	if (!tracker->plan || !tracker->plan->bypass || listeners_look(tracker, STEER_HTTPS, &now) || !now.untracked)
		return false;
	*at = now.first;
	return true;
}
