// SPDX-License-Identifier: BSD-2-Clause
/*
 * The services of a worker to its parts, such as a session's turn or a pause of accepting, and its interface to the
 * main thread. On the worker's own thread, except worker_wake(), worker_tell(), worker_loops() and worker_live(), which
 * any thread may call.
 */
#include "engine/worker.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/log.h"

#define RESUME_AGAIN_US (100 * US_PER_MS)

void worker_mark(struct session *session)
{
	struct worker *worker = session->worker;

	if (session->runnable || session->state == SESSION_FREE || session->state == SESSION_CLOSING)
		return;
	session->runnable = true;
	session->next_runnable = worker->runnable;
	worker->runnable = session;
}

void worker_pause_accept(struct worker *worker, uint64_t until)
{
	if (worker->accepting.polled)
		for (unsigned int i = 0; i < worker->accepting.count; i++)
			epoll_ctl(worker->epoll, EPOLL_CTL_DEL, worker->accepting.listeners[i].fd, NULL);
	worker->accepting.polled = false;
	if (until)
		timer_set(&worker->timers, &worker->accepting.timer, until);
}

void worker_resume_accept(struct worker *worker)
{
	bool failed = false;

	if (worker->accepting.polled || worker->accepting.over)
		return;
	for (unsigned int i = 0; i < worker->accepting.count; i++) {
		union event_source source = {.kind = SOURCE_LISTENER, .index = i};
		struct epoll_event event = {.events = EPOLLIN, .data.u64 = source.bits};

		if (worker->accepting.listeners[i].shared) /* a connection wakes one of the workers, not all */
			event.events |= EPOLLEXCLUSIVE;
		if (epoll_ctl(worker->epoll, EPOLL_CTL_ADD, worker->accepting.listeners[i].fd, &event) &&
		    errno != EEXIST) {
			log_error("cannot wait for connections: %s; trying again", strerror(errno));
			failed = true;
		}
	}
	worker->accepting.polled = true;
	if (failed)
		worker_pause_accept(worker, worker->now + RESUME_AGAIN_US);
}

void worker_wake(struct worker *worker)
{
	uint64_t one = 1;

	if (write(worker->wake, &one, sizeof(one)) < 0)
		log_error("cannot wake worker %u: %s", worker->index, strerror(errno));
}

void worker_answered(const struct worker *worker)
{
	uint64_t one = 1;

	if (write(worker->engine->answered, &one, sizeof(one)) < 0)
		log_error("worker %u: cannot report its answer: %s", worker->index, strerror(errno));
}

void worker_tell(struct worker *worker, enum worker_command command)
{
	atomic_store(&worker->shared->command, command);
	worker_wake(worker);
}

uint64_t worker_loops(const struct worker *worker)
{
	return worker->engine->process.has_ended ? WORKER_ENDED : atomic_load(&worker->shared->loops);
}

bool worker_has_said_last(const struct worker *worker)
{
	return atomic_load(&worker->shared->loops) == WORKER_ENDED;
}

unsigned int worker_live(const struct worker *worker)
{
	return atomic_load(&worker->shared->live);
}
