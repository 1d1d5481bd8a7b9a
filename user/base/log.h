/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Log lines on stderr: text, or one JSON object a line; "<N>" priorities when the journal reads us. Any thread may log;
 * the main thread alone calls log_init(), also while others log. A reader that does not read costs lines, which are
 * counted; nobody waits for it for longer than a second.
 */
#ifndef ALPNBPF_BASE_LOG_H
#define ALPNBPF_BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

void log_init(enum log_level level, enum log_format format);
bool log_enabled(enum log_level level);
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_write(LOG_LEVEL_INFO, __VA_ARGS__)
/* The arguments of a debug line are not evaluated unless debug lines are wanted. */
#define log_debug(...)                                                                                                 \
	do {                                                                                                           \
		if (log_enabled(LOG_LEVEL_DEBUG))                                                                      \
			log_write(LOG_LEVEL_DEBUG, __VA_ARGS__);                                                       \
	} while (0)

/*
 * At most one line a second for a repeated failure: returns true when the caller may log now, and how many were left
 * out since the last line. One static struct a kind of failure; thread-safe.
 */
struct log_limit {
	long long last_ms;
	unsigned long suppressed;
};
bool log_limit_pass(struct log_limit *limit, unsigned long *suppressed);

#endif
