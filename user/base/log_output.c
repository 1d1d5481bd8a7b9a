// SPDX-License-Identifier: BSD-2-Clause
/*
 * Writes log lines to stderr: see log_output.h. Owns an open file description of stderr's pipe or terminal, and the
 * counts of lines that were not written.
 *
 * How a line is written depends on what stderr is:
 *
 *     a socket (the journal)      send() with MSG_DONTWAIT
 *     a pipe, FIFO or terminal    write() to a description of our own, which is non-blocking. O_NONBLOCK on stderr
 *                                 itself would be set for all processes that share it
 *     the same, if it cannot be   pwritev2() with RWF_NOWAIT, which Linux knows for pipes since 6.4. Else write() if
 *     opened (another user's)     poll() says that there is room: for one line there is, unless another process
 *                                 fills the pipe in between, and then the write may wait
 *     a file or another device    write(). A disk is not a reader, but a file system that hangs (NFS) would be waited
 *                                 for: docs/OPERATIONS.md
 *
 * One thread of a process writes at a time. A line fits into PIPE_BUF, so those of several processes do not mix in a
 * pipe, nor in a unix socket. Only a terminal or a TCP socket may take a part of a line: its rest is written first.
 */
#include "base/log_output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "base/timer.h"

#define PATIENCE_MS 1000 /* for all lines between two calls of log_output_wait() */

enum way { WAY_WRITE, WAY_SEND, WAY_OWN, WAY_NOWAIT, WAY_POLL };

/* Shared with the processes forked later. */
struct counts {
	_Atomic uint64_t lost;       /* lines that could not be written, in all */
	_Atomic uint64_t untold;     /* of these, not yet told by a line */
	_Atomic uint64_t suppressed; /* by a limit, in all */
	_Atomic int error;           /* why the last one was lost */
};

static struct counts counts_before_sharing;
static struct counts *counts = &counts_before_sharing;

static pthread_mutex_t writing = PTHREAD_MUTEX_INITIALIZER; /* protects all below, and writes to stderr */
static enum way way = WAY_WRITE;
static int own = NO_DESCRIPTOR; /* WAY_OWN */
static dev_t device;            /* of stderr, as last seen */
static ino_t inode;
static bool was_opened;
static char rest[LOG_LINE_MAX]; /* of the last line, which was written in part */
static size_t rest_length;
static bool may_wait = true;
static uint64_t waited_us; /* since log_output_wait() */

/* --- opening --- */

static void share_counts(void)
{
	struct counts *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (shared != MAP_FAILED)
		counts = shared;
}

static bool is_terminal(const struct stat *status)
{
	return S_ISCHR(status->st_mode) && isatty(STDERR_FILENO) == 1;
}

static enum way find_way(const struct stat *status)
{
	if (S_ISSOCK(status->st_mode))
		return WAY_SEND;
	if (!S_ISFIFO(status->st_mode) && !is_terminal(status))
		return WAY_WRITE;
	own = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return own < 0 ? WAY_NOWAIT : WAY_OWN;
}

void log_output_open(void)
{
	struct stat status = {0};

	pthread_mutex_lock(&writing);
	if (!was_opened)
		share_counts();
	if (fstat(STDERR_FILENO, &status) || !was_opened || status.st_dev != device || status.st_ino != inode) {
		descriptor_close(&own);
		device = status.st_dev;
		inode = status.st_ino;
		rest_length = 0;
		way = find_way(&status);
		was_opened = true;
	}
	pthread_mutex_unlock(&writing);
}

int log_output_descriptor(void)
{
	return own;
}

/* --- writing --- */

static int log_descriptor(void)
{
	return way == WAY_OWN ? own : STDERR_FILENO;
}

static ssize_t write_with_room(const void *bytes, size_t length)
{
	struct pollfd reader = {.fd = STDERR_FILENO, .events = POLLOUT};
	int ready = poll(&reader, 1, 0);

	if (ready > 0) /* also if the reader is gone: write() reports that */
		return write(STDERR_FILENO, bytes, length);
	if (ready == 0)
		errno = EAGAIN;
	return -1;
}

static ssize_t write_now(const void *bytes, size_t length)
{
	struct iovec vector = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = length};
	ssize_t written;

	switch (way) {
	case WAY_SEND:
		return send(STDERR_FILENO, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
	case WAY_NOWAIT:
		written = pwritev2(STDERR_FILENO, &vector, 1, -1, RWF_NOWAIT);
		if (written >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS))
			return written;
		way = WAY_POLL;
		return write_with_room(bytes, length);
	case WAY_POLL:
		return write_with_room(bytes, length);
	case WAY_WRITE:
	case WAY_OWN:
		break;
	}
	return write(log_descriptor(), bytes, length);
}

/* Only while nobody is served: see log_wait_for_reader(). */
static bool wait_for_room(void)
{
	struct pollfd reader = {.fd = log_descriptor(), .events = POLLOUT};
	uint64_t begin = monotonic_us(), most = PATIENCE_MS * US_PER_MS;
	int ready;

	if (!may_wait || waited_us >= most)
		return false;
	ready = poll(&reader, 1, (int)((most - waited_us) / US_PER_MS) + 1);
	waited_us += monotonic_us() - begin;
	return ready > 0;
}

/* Returns how many bytes were written. */
static size_t write_some(const char *bytes, size_t length)
{
	size_t done = 0;

	while (done < length) {
		ssize_t written = write_now(bytes + done, length - done);

		if (written > 0)
			done += (size_t)written;
		else if (written == 0 || (errno != EINTR && !(errno == EAGAIN && wait_for_room())))
			break;
	}
	if (done < length)
		atomic_store(&counts->error, errno);
	return done;
}

static bool write_rest(void)
{
	size_t done = write_some(rest, rest_length);

	rest_length -= done;
	memmove(rest, rest + done, rest_length);
	return rest_length == 0;
}

static bool write_whole(const char *line, size_t length)
{
	size_t done;

	if (!write_rest())
		return false;
	done = write_some(line, length);
	if (done == 0 || done == length)
		return done == length;
	rest_length = length - done;
	memcpy(rest, line + done, rest_length);
	return true; /* in time */
}

void log_output_write(const char *line, size_t length, size_t (*make_lost)(char *out, uint64_t lines, int error))
{
	uint64_t untold;
	bool written = true;

	pthread_mutex_lock(&writing);
	untold = atomic_exchange(&counts->untold, 0);
	if (untold) {
		char text[LOG_LINE_MAX];

		written = write_whole(text, make_lost(text, untold, atomic_load(&counts->error)));
		if (!written)
			atomic_fetch_add(&counts->untold, untold);
	}
	if (!written || !write_whole(line, length)) {
		atomic_fetch_add(&counts->lost, 1);
		atomic_fetch_add(&counts->untold, 1);
	}
	pthread_mutex_unlock(&writing);
}

void log_output_wait(bool may)
{
	pthread_mutex_lock(&writing);
	may_wait = may;
	waited_us = 0;
	pthread_mutex_unlock(&writing);
}

uint64_t log_output_lost(void)
{
	return atomic_load(&counts->lost);
}

void log_output_suppress(void)
{
	atomic_fetch_add(&counts->suppressed, 1);
}

uint64_t log_output_suppressed(void)
{
	return atomic_load(&counts->suppressed);
}
