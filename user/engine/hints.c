// SPDX-License-Identifier: BSD-2-Clause
/* Hints for log lines: see hints.h. Lists the listeners of this machine; owns nothing. On the thread of a worker. */
#include "engine/hints.h"

#include <stdio.h>

#include "base/log.h"
#include "engine/configuration.h"
#include "engine/worker.h"
#include "system/listening.h"

#define LISTENERS_LOOKED_AT 8

/* A wildcard that takes IPv4 as well would have answered. */
static const char *kind_of(const struct listening *listener)
{
	bool v6 = listener->address.sa.sa_family == AF_INET6;

	return v6 && !listener->dual_stack && address_is_wildcard(&listener->address) ? ", IPv6 only (V6ONLY)" : "";
}

static bool is_among(const struct endpoint *backend, const struct address *address)
{
	for (unsigned int i = 0; i < backend->count; i++)
		if (address_equal(&backend->addresses[i], address))
			return true;
	return false;
}

void hint_refused(const struct endpoint *backend, bool acme, struct sentence *hint)
{
	unsigned int port = address_port(&backend->addresses[0]);
	struct listening listeners[LISTENERS_LOOKED_AT];
	char name[ADDRESS_TEXT_MAX];
	int count;

	*hint = (struct sentence){0};
	for (unsigned int i = 0; i < backend->count; i++)
		if (backend->addresses[i].sa.sa_family == AF_UNIX || !address_is_local(&backend->addresses[i]))
			return;
	count = listening_on(port, listeners, LISTENERS_LOOKED_AT);
	if (count == 0 && acme)
		sentence_set(hint,
			     "; nothing listens on port %u: is the ACME client's responder running, with that port "
			     "(acme.sh --tlsport %u, lego --tls.port :%u)?",
			     port, port, port);
	else if (count == 0)
		sentence_set(hint, "; nothing listens on port %u", port);
	for (int i = 0; i < count && i < LISTENERS_LOOKED_AT; i++) {
		if (is_among(backend, &listeners[i].address))
			continue;
		sentence_set(hint, "; the listener on port %u is bound to %s%s: use that address, or the port alone",
			     port, address_format(&listeners[i].address, name, sizeof(name)), kind_of(&listeners[i]));
		return;
	}
}

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
