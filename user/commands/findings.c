// SPDX-License-Identifier: BSD-2-Clause
/* Prints findings. Owns nothing. Main thread. */
#include "commands/findings.h"

#include <stdarg.h>
#include <stdio.h>

void add_finding(struct findings *findings, enum verdict verdict, const char *format, ...)
{
	static const char *const prefixes[VERDICTS] = {"ok   ", "warn ", "FAIL "};
	va_list arguments;

	findings->count[verdict]++;
	fputs(prefixes[verdict], stdout);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
}
