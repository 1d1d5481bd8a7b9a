// SPDX-License-Identifier: BSD-2-Clause
/* Hints for log lines: see hints.h. Owns nothing. On the thread of a worker. */
#include "engine/hints.h"

#include "base/log.h"
#include "engine/configuration.h"
#include "engine/worker.h"

static bool said_nothing(const struct session *session)
{
	const struct flow *down = &session->flows[BACKEND];

	return session->state == SESSION_CLOSING && session->sides[BACKEND].connected &&
	       down->redirected + down->passed + down->forwarded == 0;
}

static bool had_whole_hello(const struct session *session)
{
	enum clienthello_result result = (enum clienthello_result)session->flows[CLIENT].hello_result;

	return result == CLIENTHELLO_HTTPS || result == CLIENTHELLO_ACME || result == CLIENTHELLO_RULE;
}

void hint_unanswered(const struct session *session)
{
	static struct log_limit limits[2];
	const struct options *options = session_options(session);
	bool reset = session->cause == CAUSE_BACKEND_RESET;
	unsigned long suppressed;

	if (!reset && !(session->cause == CAUSE_DONE && session->backend_first))
		return;
	if (!said_nothing(session) || !had_whole_hello(session))
		return;
	if (!log_limit_pass(&limits[session->connecting.header_sent], &suppressed))
		return;
	log_warn(
		"%s -> %s %s a connection without sending a byte, %s (%lu more suppressed)", route_name(session->route),
		options->backends[session->route].text, reset ? "reset" : "closed",
		session->connecting.header_sent
			? "right after a PROXY header: is it configured to expect one (nginx: listen ... proxy_protocol; HAProxy: "
			  "accept-proxy)?"
			: "after a complete ClientHello: if it expects a PROXY header, use --proxy-protocol",
		suppressed);
}
