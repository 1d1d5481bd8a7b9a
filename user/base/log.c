// SPDX-License-Identifier: BSD-2-Clause
/*
 * Log lines. Owns the log settings, which are atomic: only the main thread writes them, in log_init(), at start-up and
 * at each reload, while any thread may log. A line is one write(2) and one thread writes at a time, so lines never
 * interleave.
 */
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"

#define MESSAGE_MAX    1024
#define LINE_MAX_BYTES (6 * MESSAGE_MAX + 128) /* every byte as \u00xx, plus the rest of the line */
#define LIMIT_MS       1000

#define STALL_MS        1000
#define STALLS_APART_MS 10000

static _Atomic enum log_level threshold = LOG_LEVEL_INFO;
static _Atomic enum log_format line_format = LOG_FORMAT_TEXT;
static _Atomic bool journal; /* stderr goes to the journal */

static pthread_mutex_t writing = PTHREAD_MUTEX_INITIALIZER; /* protects the two below, and writes to stderr */
static unsigned long dropped_lines;                         /* since the last line written */
static long long stalled_ms;                                /* when waiting for the reader last timed out; 0: never */

static const struct {
	const char *name;
	char priority; /* syslog's number */
} levels[] = {
	[LOG_LEVEL_ERROR] = {"error", '3'},
	[LOG_LEVEL_WARN] = {"warn", '4'},
	[LOG_LEVEL_INFO] = {"info", '6'},
	[LOG_LEVEL_DEBUG] = {"debug", '7'},
};

struct line {
	char text[LINE_MAX_BYTES];
	size_t length;
};

/* Children inherit JOURNAL_STREAM even when their stderr is redirected: compare device and inode. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat status;
	char rest;

	return stream && sscanf(stream, "%llu:%llu%c", &device, &inode, &rest) == 2 &&
	       fstat(STDERR_FILENO, &status) == 0 && status.st_dev == device && status.st_ino == inode;
}

void log_init(enum log_level level, enum log_format format)
{
	threshold = level;
	line_format = format;
	journal = stderr_is_journal();
}

bool log_enabled(enum log_level level)
{
	return level <= threshold;
}

static void line_add(struct line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void line_add(struct line *line, const char *format, ...)
{
	size_t room = sizeof(line->text) - line->length;
	va_list arguments;
	int written;

	va_start(arguments, format);
	written = vsnprintf(line->text + line->length, room, format, arguments);
	va_end(arguments);
	if (written > 0)
		line->length += (size_t)written < room ? (size_t)written : room - 1;
}

/* Messages quote names that clients sent. Whatever bytes they hold, the output is one line of valid UTF-8. */
static void line_add_message(struct line *line, const char *message, enum text_escape how)
{
	char escaped[TEXT_ESCAPED_MAX];

	while (*message) {
		size_t length = text_escape(&message, how, escaped);

		line_add(line, "%.*s", (int)length, escaped);
	}
}

static void line_add_time(struct line *line)
{
	char text[TEXT_TIME_MAX];
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	line_add(line, "%s", text_time(&now, text));
}

static void line_make(struct line *line, enum log_level level, const char *message)
{
	line->length = 0;
	if (line_format == LOG_FORMAT_JSON) {
		line_add(line, "{\"time\":\"");
		line_add_time(line);
		line_add(line, "\",\"level\":\"%s\",\"message\":\"", levels[level].name);
		line_add_message(line, message, TEXT_ESCAPE_JSON);
		line_add(line, "\"}\n");
		return;
	}
	if (journal) {
		line_add(line, "<%c>", levels[level].priority);
	} else {
		line_add_time(line);
		line_add(line, " %s ", levels[level].name);
	}
	line_add_message(line, message, TEXT_ESCAPE_LINE);
	line_add(line, "\n");
}

/* --- writing --- */

static long long monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/*
 * A stalled reader costs lines, never connections: wait for it one second at most, and not again for ten seconds.
 * Called with the lock held; otherwise another thread's line could fill the room that poll() reported.
 */
static bool reader_takes_a_line(void)
{
	struct pollfd reader = {.fd = STDERR_FILENO, .events = POLLOUT};
	bool may_wait = !stalled_ms || monotonic_ms() - stalled_ms > STALLS_APART_MS;
	int ready;

	do
		ready = poll(&reader, 1, may_wait ? STALL_MS : 0);
	while (ready < 0 && errno == EINTR);
	if (ready) /* also if the reader is gone: write() reports that */
		return true;
	if (may_wait)
		stalled_ms = monotonic_ms();
	return false;
}

static bool line_write(const struct line *line)
{
	ssize_t written;

	if (!reader_takes_a_line())
		return false;
	do
		written = write(STDERR_FILENO, line->text, line->length);
	while (written < 0 && errno == EINTR);
	return true;
}

static void write_dropped(void)
{
	struct line line;
	char message[80];

	snprintf(message, sizeof(message), "%lu lines dropped: the reader of the log is too slow", dropped_lines);
	line_make(&line, LOG_LEVEL_WARN, message);
	if (line_write(&line))
		dropped_lines = 0;
}

void log_write(enum log_level level, const char *format, ...)
{
	int saved_errno = errno;
	char message[MESSAGE_MAX];
	struct line line;
	va_list arguments;

	if (!log_enabled(level))
		return;
	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	line_make(&line, level, message);
	pthread_mutex_lock(&writing);
	if (dropped_lines)
		write_dropped();
	if (dropped_lines || !line_write(&line))
		dropped_lines++;
	pthread_mutex_unlock(&writing);
	errno = saved_errno; /* callers log between a failure and its handling */
}

bool log_limit_pass(struct log_limit *limit, unsigned long *suppressed)
{
	/* 0 in last_ms means "never": the clock may be younger than a second when a machine boots. */
	long long now = monotonic_ms() + 1, last = __atomic_load_n(&limit->last_ms, __ATOMIC_RELAXED);

	/* If several threads see that the second is over, the one whose exchange succeeds logs. */
	if ((last == 0 || now - last >= LIMIT_MS) &&
	    __atomic_compare_exchange_n(&limit->last_ms, &last, now, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
		*suppressed = __atomic_exchange_n(&limit->suppressed, 0, __ATOMIC_RELAXED);
		return true;
	}
	__atomic_fetch_add(&limit->suppressed, 1, __ATOMIC_RELAXED);
	return false;
}
