// SPDX-License-Identifier: BSD-2-Clause
/*
 * The process of the repair helper: see repair_helper.h. Drops what it does not need (system/confine.h), then answers
 * one request after another. It waits for nothing but the next one. It writes no log: what goes wrong is in an answer.
 */
#include "steering/repair_helper.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "system/confine.h"

#define STOP_TRIES        1000 /* of a millisecond */
#define START_PATIENCE_MS 5000
#define RELEASED_AT_ONCE  32 /* held connections; a takeover that is asked for meanwhile waits a millisecond */

enum { WAIT_MAIN, WAIT_WORKER, WAIT_IDLE, WAITS };

struct server {
	struct repair_duty *duty;
	struct ring_buffer *idle;
	pid_t parent;
	unsigned int released;  /* on this turn */
	int sockets[WAIT_IDLE]; /* by WAIT_... */
};

/* --- messages --- */

union passed {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int))];
};

struct incoming {
	struct repair_request request;
	uint8_t bytes[STEER_BYTES_MAX + 1]; /* one more shows that it was too long */
};

/*
 * 1 and the request, and how many bytes are behind it; 0: no more now, or not a request; -1: the other end is closed.
 * A descriptor that comes with it, the kernel closes.
 */
static int read_request(int socket, struct incoming *incoming, size_t *behind)
{
	ssize_t received = recv(socket, incoming, sizeof(*incoming), MSG_DONTWAIT);

	if (received < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	if (received == 0)
		return -1;
	if ((size_t)received < offsetof(struct incoming, bytes))
		return 0;
	*behind = (size_t)received - offsetof(struct incoming, bytes);
	return 1;
}

/* An answer that does not fit into the queue is lost: whoever asks that much without reading is at fault. */
static void send_answer(int socket, const struct repair_answer *answer, int fd)
{
	union passed passed = {.header = {.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
	struct iovec part = {.iov_base = (void *)answer, .iov_len = sizeof(*answer)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	if (fd >= 0) {
		passed.header.cmsg_len = CMSG_LEN(sizeof(fd));
		message.msg_control = &passed;
		message.msg_controllen = sizeof(passed);
		memcpy(CMSG_DATA(&passed.header), &fd, sizeof(fd));
	}
	sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void serve_worker(struct server *server)
{
	static struct incoming incoming; /* the helper has one thread */
	struct repair_answer answer;
	size_t behind;
	int passed, result = read_request(server->sockets[WAIT_WORKER], &incoming, &behind);

	if (result < 0)
		descriptor_close(&server->sockets[WAIT_WORKER]);
	if (result <= 0)
		return;
	if (repair_duty_worker(server->duty, &incoming.request, incoming.bytes, behind, &answer, &passed))
		send_answer(server->sockets[WAIT_WORKER], &answer, passed);
	descriptor_close(&passed);
}

static void serve_main(struct server *server)
{
	static struct incoming incoming;
	struct repair_answer answer;
	size_t behind;
	int result = read_request(server->sockets[WAIT_MAIN], &incoming, &behind);

	if (result < 0)
		_exit(0); /* detaches the watch */
	if (result > 0 && !behind && repair_duty_main(server->duty, &incoming.request, &answer))
		send_answer(server->sockets[WAIT_MAIN], &answer, NO_DESCRIPTOR);
}

static int idle_seen(void *context, void *data, size_t size)
{
	struct server *server = context;
	struct repair_answer note = {.kind = REPAIR_NOT_RELEASED};
	const struct steer_idle *held = data;

	if (size < sizeof(*held))
		return 0;
	note.result = repair_duty_release(server->duty, held);
	note.client = held->ends.from;
	note.value = held->ifindex;
	if (note.result)
		send_answer(server->sockets[WAIT_MAIN], &note, NO_DESCRIPTOR);
	return ++server->released < RELEASED_AT_ONCE ? 0 : -ECANCELED; /* the rest keeps the ring readable */
}

static void __attribute__((noreturn)) serve(struct server *server)
{
	for (;;) {
		struct pollfd wait[WAITS] = {
			[WAIT_MAIN] = {.fd = server->sockets[WAIT_MAIN], .events = POLLIN},
			[WAIT_WORKER] = {.fd = server->sockets[WAIT_WORKER], .events = POLLIN},
			[WAIT_IDLE] = {.fd = server->idle ? ring_buffer__epoll_fd(server->idle) : NO_DESCRIPTOR,
				       .events = POLLIN},
		};

		if (poll(wait, WAITS, repair_duty_again(server->duty)) < 0 && errno != EINTR)
			_exit(1);
		if (wait[WAIT_MAIN].revents)
			serve_main(server);
		if (wait[WAIT_WORKER].revents)
			serve_worker(server);
		server->released = 0;
		if (wait[WAIT_IDLE].revents)
			ring_buffer__consume(server->idle);
	}
}

/* --- the process --- */

static void __attribute__((noreturn)) become_helper(struct server *server, int idle, const struct user *user)
{
	struct repair_duty *duty = server->duty;
	int keep[24];
	unsigned int count = 0;

	if (idle >= 0)
		server->idle = ring_buffer__new(idle, idle_seen, server, NULL);
	keep[count++] = server->sockets[WAIT_MAIN];
	keep[count++] = server->sockets[WAIT_WORKER];
	keep[count++] = duty->taken;
	keep[count++] = duty->cgroup;
	keep[count++] = duty->removal.diag;
	keep[count++] = duty->removal.routes;
	keep[count++] = duty->injector.program;
	keep[count++] = duty->injector.links;
	keep[count++] = duty->injector.conntrack;
	for (int family = 0; family < STEER_FAMILIES; family++)
		keep[count++] = duty->removal.raw[family];
	for (int hook = 0; hook < WATCH_HOOKS; hook++)
		keep[count++] = duty->programs[hook];
	if (server->idle) {
		keep[count++] = ring_buffer__epoll_fd(server->idle);
		keep[count++] = idle;
	}
	if ((idle >= 0 && !server->idle) || !confine_helper(user, server->parent, keep, count))
		_exit(1);
	send_answer(server->sockets[WAIT_MAIN], &(struct repair_answer){.kind = REPAIR_PORT}, NO_DESCRIPTOR);
	serve(server);
}

static int open_pair(int *ours, int *its)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair))
		return -errno;
	*ours = pair[0];
	*its = pair[1];
	descriptor_refuse_passed(*its);
	return 0;
}

/* It tells when it is ready: a helper that cannot drop its rights ends instead. */
static int await_start(struct repair_helper *helper)
{
	struct repair_answer answer;
	int result;

	do
		result = repair_read(&helper->main, &answer, START_PATIENCE_MS);
	while (result == 1 && answer.kind != REPAIR_PORT);
	return result == 1 ? 0 : result ? result : -ETIMEDOUT;
}

int repair_helper_start(struct repair_helper *helper, struct repair_duty *duty, int idle, const struct user *user,
			struct sentence *why)
{
	struct server server = {.duty = duty, .sockets = {NO_DESCRIPTOR, NO_DESCRIPTOR}, .parent = getpid()};
	int error;

	*helper = REPAIR_HELPER_CLOSED;
	for (int hook = 0; hook < WATCH_HOOKS; hook++)
		duty->links[hook] = NO_DESCRIPTOR;
	error = open_pair(&helper->main.socket, &server.sockets[WAIT_MAIN]);
	if (!error)
		error = open_pair(&helper->worker.socket, &server.sockets[WAIT_WORKER]);
	if (!error) {
		helper->pid = fork();
		if (helper->pid == 0)
			become_helper(&server, idle, user);
		if (helper->pid < 0) {
			error = -errno;
			helper->pid = 0;
		}
	}
	descriptor_close(&server.sockets[WAIT_MAIN]);
	descriptor_close(&server.sockets[WAIT_WORKER]);
	if (!error)
		error = await_start(helper);
	if (!error)
		return 0;
	repair_helper_stop(helper);
	return sentence_error(why, error, "cannot start the repair helper: %s", strerror(-error));
}

void repair_helper_stop(struct repair_helper *helper)
{
	const struct timespec pause = {.tv_nsec = 1000000};

	descriptor_close(&helper->main.socket);
	descriptor_close(&helper->worker.socket);
	/* One that is stopped ends with this process (PR_SET_PDEATHSIG). */
	for (int tries = 0; helper->pid && tries < STOP_TRIES && waitpid(helper->pid, NULL, WNOHANG) == 0; tries++)
		nanosleep(&pause, NULL);
	*helper = REPAIR_HELPER_CLOSED;
}
