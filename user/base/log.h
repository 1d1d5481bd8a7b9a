/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Log lines on stderr: text, or one JSON object per line, with "<N>" priorities when stderr is the journal. Any thread
 * may log, and none waits for the reader of stderr: a line that cannot be written at once is counted, and the next one
 * that can be says how many there were. In each process one thread calls log_init(), possibly while others log.
 */
#ifndef ALPNBPF_BASE_LOG_H
#define ALPNBPF_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

void log_init(enum log_level level, enum log_format format);
bool log_enabled(enum log_level level);
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_write(LOG_LEVEL_INFO, __VA_ARGS__)
/* The arguments of a debug line are not evaluated unless debug lines are enabled. */
#define log_debug(...)                                                                                                 \
	do {                                                                                                           \
		if (log_enabled(LOG_LEVEL_DEBUG))                                                                      \
			log_write(LOG_LEVEL_DEBUG, __VA_ARGS__);                                                       \
	} while (0)

/*
 * While nobody is served, at the start and the end, a line may wait for its reader: all lines together for a second.
 * True is the initial state. Main thread.
 */
void log_wait_for_reader(bool may_wait);

/* Lines that could not be written, and lines that a limit suppressed, so far. Any thread. */
uint64_t log_lines_lost(void);
uint64_t log_lines_suppressed(void);

/*
 * Limits lines that come again and again: log_limit_pass() to one a second; log_limit_burst() to one an interval, and
 * `burst` at once after a rest. Returns true if the caller may log now, with the number of lines suppressed since the
 * last one. One static struct per kind of line; thread-safe.
 */
struct log_limit {
	long long full_at_ms;
	unsigned long suppressed;
};
bool log_limit_pass(struct log_limit *limit, unsigned long *suppressed);
bool log_limit_burst(struct log_limit *limit, unsigned int burst, unsigned int interval_ms, unsigned long *suppressed);
/* Would log_limit_burst() return true now? Counts nothing. */
bool log_limit_has_room(const struct log_limit *limit, unsigned int burst, unsigned int interval_ms);

#endif
