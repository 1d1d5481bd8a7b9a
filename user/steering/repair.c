// SPDX-License-Identifier: BSD-2-Clause
/* The side that asks: see repair.h. Owns the sockets of struct repair. On the thread that owns the struct. */
#include "steering/repair.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/timer.h"

/* Control data: one descriptor. */
union passed {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int))];
};

static int send_request(struct repair *repair, struct repair_request *request, const void *bytes, size_t length)
{
	struct iovec parts[2] = {{.iov_base = request, .iov_len = sizeof(*request)},
				 {.iov_base = (void *)bytes, .iov_len = length}};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};

	if (repair->socket < 0)
		return -EPIPE;
	if (++repair->number == 0)
		repair->number = 1;
	request->number = repair->number;
	if (sendmsg(repair->socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)(sizeof(*request) + length))
		return 0;
	return errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM ? -EAGAIN : -EPIPE;
}

static int result_of(ssize_t received)
{
	if (received < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	return received == (ssize_t)sizeof(struct repair_answer) ? 1 : -EPIPE;
}

/* The next answer, without its descriptor. 1, 0: there is none, or -EPIPE. */
static int read_plain(struct repair *repair, struct repair_answer *answer)
{
	return result_of(recv(repair->socket, answer, sizeof(*answer), MSG_DONTWAIT));
}

/*
 * The next answer, with its descriptor in *fd, or NO_DESCRIPTOR. -EMFILE without room for that; then the answer can be
 * read later.
 */
static int read_with_descriptor(struct repair *repair, struct repair_answer *answer, int *fd)
{
	struct iovec part = {.iov_base = answer, .iov_len = sizeof(*answer)};
	union passed passed;
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = &passed, .msg_controllen = sizeof(passed)};
	struct cmsghdr *header;
	int result = result_of(recvmsg(repair->socket, &message, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC));

	*fd = NO_DESCRIPTOR;
	if (result <= 0)
		return result;
	header = CMSG_FIRSTHDR(&message);
	if (header && header->cmsg_type == SCM_RIGHTS && header->cmsg_len == CMSG_LEN(sizeof(*fd)))
		memcpy(fd, CMSG_DATA(header), sizeof(*fd));
	if (*fd < 0 && message.msg_flags & MSG_CTRUNC)
		return -EMFILE;
	return read_plain(repair, answer);
}

/* Reads answers until the one that is awaited. 1, 0 or -errno. */
static int await_answer(struct repair *repair, struct repair_answer *answer, int *fd, int patience_ms)
{
	struct pollfd wait = {.fd = repair->socket, .events = POLLIN};

	*fd = NO_DESCRIPTOR;
	if (patience_ms && poll(&wait, 1, patience_ms) == 0)
		return 0;
	for (;;) {
		int result = read_with_descriptor(repair, answer, fd);

		if (result == -EPIPE)
			repair->awaited = 0;
		if (result <= 0)
			return result;
		if (answer->number == repair->awaited) {
			repair->awaited = 0;
			return 1;
		}
		descriptor_close(fd);
	}
}

/* May something be asked? Drops an answer that nobody wants; a socket in it is closed. */
static int make_way(struct repair *repair)
{
	struct repair_answer answer;
	int result;

	if (repair->socket < 0)
		return -EPIPE;
	while (repair->awaited) {
		if (!repair->is_forgotten)
			return -EAGAIN;
		result = read_plain(repair, &answer);
		if (result <= 0)
			return result ? result : -EAGAIN;
		if (answer.number == repair->awaited)
			repair->awaited = 0;
	}
	return 0;
}

/* 0, or -errno; -EAGAIN with repair->awaited set to this request if the answer is late. */
static int ask(struct repair *repair, struct repair_request *request, const void *bytes, size_t length,
	       struct repair_answer *answer, int *fd)
{
	int result = send_request(repair, request, bytes, length);

	*fd = NO_DESCRIPTOR;
	if (result)
		return result;
	repair->awaited = request->number;
	repair->is_forgotten = false;
	repair->asked_us = monotonic_us();
	result = await_answer(repair, answer, fd, REPAIR_PATIENCE_MS);
	return result == 0 ? -EAGAIN : result < 0 ? result : 0;
}

/* Without room for another descriptor, nothing of the server's may be removed. */
static int check_room(const struct repair *repair)
{
	int fd = fcntl(repair->socket, F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int ask_to_take(struct repair *repair, struct repair_request *request, const struct steer_takeover *takeover,
		       struct repair_answer *answer, int *fd, uint32_t *asked)
{
	int error = make_way(repair);

	if (!error)
		error = check_room(repair);
	if (error)
		return error;
	error = ask(repair, request, takeover->bytes, takeover->length, answer, fd);
	if (error && repair->awaited)
		*asked = repair->awaited;
	return error;
}

static int ask_again(struct repair *repair, struct repair_answer *answer, int *fd, uint32_t *asked)
{
	int result = repair->socket < 0 ? -EPIPE : await_answer(repair, answer, fd, 0);

	if (result > 0)
		*asked = 0;
	return result == 0 ? -EAGAIN : result < 0 ? result : 0;
}

struct repair_entry repair_entry_of(const struct steer_takeover *takeover)
{
	return (struct repair_entry){.ends = takeover->ends, .first = takeover->first};
}

int repair_take(struct repair *repair, const struct steer_takeover *takeover, uint64_t until_us, unsigned int *removed,
		uint32_t *asked)
{
	struct repair_request request = {
		.kind = REPAIR_TAKE, .value = *removed, .until_us = until_us, .entry = repair_entry_of(takeover)};
	struct repair_answer answer;
	int fd = NO_DESCRIPTOR, error;

	error = *asked ? ask_again(repair, &answer, &fd, asked)
		       : ask_to_take(repair, &request, takeover, &answer, &fd, asked);
	if (error)
		return error;
	*removed = answer.value;
	if (answer.result) {
		descriptor_close(&fd);
		return answer.result;
	}
	return fd < 0 ? -EPROTO : fd;
}

void repair_forget(struct repair *repair, uint32_t *asked)
{
	if (*asked && *asked == repair->awaited)
		repair->is_forgotten = true;
	*asked = 0;
}

bool repair_is_gone(struct repair *repair, const struct repair_entry *entry)
{
	struct repair_request request = {.kind = REPAIR_IS_GONE, .entry = *entry};
	struct repair_answer answer;
	int fd, error = make_way(repair);

	if (error)
		return false;
	error = ask(repair, &request, NULL, 0, &answer, &fd);
	descriptor_close(&fd);
	repair->is_forgotten = true; /* if it is late */
	return !error && answer.result == 1;
}

int repair_tell(struct repair *repair, enum repair_kind kind, const struct repair_entry *entry)
{
	struct repair_request request = {.kind = kind, .entry = *entry};

	return send_request(repair, &request, NULL, 0);
}

int repair_ask(struct repair *repair, enum repair_kind kind, unsigned int value)
{
	struct repair_request request = {.kind = kind, .value = value};

	return send_request(repair, &request, NULL, 0);
}

int repair_read(struct repair *repair, struct repair_answer *answer, int patience_ms)
{
	struct pollfd wait = {.fd = repair->socket, .events = POLLIN};

	if (repair->socket < 0)
		return -EPIPE;
	if (patience_ms && poll(&wait, 1, patience_ms) == 0)
		return 0;
	return read_plain(repair, answer);
}
