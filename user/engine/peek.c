// SPDX-License-Identifier: BSD-2-Clause
/*
 * Peeks at the first bytes of a client. Owns worker->peeked: the description of one session's hello while its route is
 * being decided. Runs on the thread of the session's worker.
 */
#include "engine/peek.h"

#include <errno.h>
#include <sys/socket.h>

#include "engine/worker.h"

const struct clienthello_rules *peek_rules(const struct session *session)
{
	return dataplane_rules(&session->worker->engine->dataplane, session->flows[CLIENT].rules);
}

ssize_t peek_bytes(struct session *session)
{
	ssize_t count;

	do
		count = recv(session->sides[CLIENT].fd, session->worker->scratch, SCRATCH_BYTES,
			     MSG_PEEK | MSG_DONTWAIT);
	while (count < 0 && errno == EINTR);
	return count < 0 ? -errno : count;
}

void peek_describe(struct session *session, size_t count)
{
	struct worker *worker = session->worker;

	worker->peeked.of = session;
	hello_describe(&worker->peeked.hello, worker->scratch, count, peek_rules(session));
}

bool peek_hello(struct session *session, struct hello *hello)
{
	struct worker *worker = session->worker;
	ssize_t count;

	if (worker->peeked.of == session) { /* once the verdict has seen the bytes, MSG_PEEK may not find them */
		*hello = worker->peeked.hello;
		return true;
	}
	count = peek_bytes(session);
	if (count <= 0)
		return false;
	hello_describe(hello, worker->scratch, (size_t)count, peek_rules(session));
	return true;
}

void peek_forget(struct worker *worker)
{
	worker->peeked.of = NULL;
}
