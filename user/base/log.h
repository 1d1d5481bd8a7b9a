/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Log lines on stderr: text, or one JSON object per line, with "<N>" priorities when stderr is the journal. Any thread
 * may log. Only the main thread calls log_init(), possibly while others log. If the reader of stderr stalls, lines are
 * dropped and counted; no thread waits longer than a second for it.
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
/* The arguments of a debug line are not evaluated unless debug lines are enabled. */
#define log_debug(...)                                                                                                 \
	do {                                                                                                           \
		if (log_enabled(LOG_LEVEL_DEBUG))                                                                      \
			log_write(LOG_LEVEL_DEBUG, __VA_ARGS__);                                                       \
	} while (0)

/*
 * Limits a repeated failure to one log line per second. Returns true if the caller may log now, with the number of
 * lines suppressed since the last one. One static struct per kind of failure; thread-safe.
 */
struct log_limit {
	long long last_ms;
	unsigned long suppressed;
};
bool log_limit_pass(struct log_limit *limit, unsigned long *suppressed);

#endif
