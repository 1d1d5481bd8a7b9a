// SPDX-License-Identifier: BSD-2-Clause
/* What became of each stage of the sandbox: see sandbox.h. Owns nothing. Main thread. */
#include "system/sandbox.h"

#include <stdarg.h>
#include <stdio.h>

const char *sandbox_stage_name(enum sandbox_stage stage)
{
	static const char *const names[SANDBOX_STAGES] = {"user", "capabilities", "files", "calls"};

	return names[stage];
}

void sandbox_report_set(struct sandbox_report *report, enum sandbox_stage stage, bool holds, const char *format, ...)
{
	va_list arguments;

	report->stages[stage].holds = holds;
	va_start(arguments, format);
	vsnprintf(report->stages[stage].text, sizeof(report->stages[stage].text), format, arguments);
	va_end(arguments);
}
