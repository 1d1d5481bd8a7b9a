// SPDX-License-Identifier: BSD-2-Clause
/*
 * Log lines: their levels, form and limits; log_output.c writes them. Owns the log settings, which are atomic: only the
 * main thread writes them, in log_init(), at start-up and at each reload, while any thread may log.
 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log_output.h"
#include "base/text.h"
#include "base/timer.h"

#define MESSAGE_MAX 1024
#define LIMIT_MS    1000

static _Atomic enum log_level threshold = LOG_LEVEL_INFO;
static _Atomic enum log_format line_format = LOG_FORMAT_TEXT;
static _Atomic bool journal; /* stderr goes to the journal */

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
	char *text; /* [LOG_LINE_MAX] */
	size_t length, room;
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
	log_output_open();
}

bool log_enabled(enum log_level level)
{
	return level <= threshold;
}

static void line_add(struct line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void line_add(struct line *line, const char *format, ...)
{
	size_t room = line->room - line->length;
	va_list arguments;
	int written;

	va_start(arguments, format);
	written = vsnprintf(line->text + line->length, room, format, arguments);
	va_end(arguments);
	if (written > 0)
		line->length += (size_t)written < room ? (size_t)written : room - 1;
}

/*
 * Messages quote names that clients sent. Whatever bytes they hold, the output is one line of valid UTF-8. What does
 * not fit is cut off between two characters, with room for `end`.
 */
static void line_add_message(struct line *line, const char *message, enum text_escape how, const char *end)
{
	char escaped[TEXT_ESCAPED_MAX];

	while (*message) {
		size_t length = text_escape(&message, how, escaped);

		if (line->length + length + strlen(end) >= line->room)
			break;
		line_add(line, "%.*s", (int)length, escaped);
	}
	line_add(line, "%s", end);
}

static void line_add_time(struct line *line)
{
	char text[TEXT_TIME_MAX];
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	line_add(line, "%s", text_time(&now, text));
}

/* Returns its length. */
static size_t line_make(char out[LOG_LINE_MAX], enum log_level level, const char *message)
{
	struct line line = {.text = out, .room = LOG_LINE_MAX};

	if (line_format == LOG_FORMAT_JSON) {
		line_add(&line, "{\"time\":\"");
		line_add_time(&line);
		line_add(&line, "\",\"level\":\"%s\",\"message\":\"", levels[level].name);
		line_add_message(&line, message, TEXT_ESCAPE_JSON, "\"}\n");
		return line.length;
	}
	if (journal) {
		line_add(&line, "<%c>", levels[level].priority);
	} else {
		line_add_time(&line);
		line_add(&line, " %s ", levels[level].name);
	}
	line_add_message(&line, message, TEXT_ESCAPE_LINE, "\n");
	return line.length;
}

/* --- writing --- */

static size_t make_lost(char *out, uint64_t lines, int error)
{
	char message[160];

	snprintf(message, sizeof(message), "%llu line%s of the log could not be written: %s", (unsigned long long)lines,
		 lines == 1 ? "" : "s", error == EAGAIN ? "its reader is too slow" : strerror(error));
	return line_make(out, LOG_LEVEL_WARN, message);
}

void log_write(enum log_level level, const char *format, ...)
{
	int saved_errno = errno;
	char message[MESSAGE_MAX], line[LOG_LINE_MAX];
	va_list arguments;

	if (!log_enabled(level))
		return;
	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	log_output_write(line, line_make(line, level, message), make_lost);
	errno = saved_errno; /* callers log between a failure and its handling */
}

void log_wait_for_reader(bool may_wait)
{
	log_output_wait(may_wait);
}

uint64_t log_lines_lost(void)
{
	return log_output_lost();
}

uint64_t log_lines_suppressed(void)
{
	return log_output_suppressed();
}

/* --- limits --- */

static long long now_ms(void)
{
	return (long long)(monotonic_us() / US_PER_MS);
}

/* Each line moves `full_at_ms` on by an interval, and it may be no more than `burst` intervals ahead of the clock. */
bool log_limit_burst(struct log_limit *limit, unsigned int burst, unsigned int interval_ms, unsigned long *suppressed)
{
	long long now = now_ms(), full_at = __atomic_load_n(&limit->full_at_ms, __ATOMIC_RELAXED), next;

	do {
		next = (full_at > now ? full_at : now) + interval_ms;
		if (next > now + (long long)burst * interval_ms) {
			__atomic_fetch_add(&limit->suppressed, 1, __ATOMIC_RELAXED);
			log_output_suppress();
			return false;
		}
	} while (!__atomic_compare_exchange_n(&limit->full_at_ms, &full_at, next, false, __ATOMIC_RELAXED,
					      __ATOMIC_RELAXED));
	*suppressed = __atomic_exchange_n(&limit->suppressed, 0, __ATOMIC_RELAXED);
	return true;
}

bool log_limit_has_room(const struct log_limit *limit, unsigned int burst, unsigned int interval_ms)
{
	return __atomic_load_n(&limit->full_at_ms, __ATOMIC_RELAXED) + interval_ms <=
	       now_ms() + (long long)burst * interval_ms;
}

bool log_limit_pass(struct log_limit *limit, unsigned long *suppressed)
{
	return log_limit_burst(limit, 1, LIMIT_MS, suppressed);
}
