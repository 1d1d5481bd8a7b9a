// SPDX-License-Identifier: BSD-2-Clause
/*
 * For coverage builds only, which write their counters when the process ends: another user and Landlock would not let
 * it open the files, nor the filter of system calls lock them. Linked in place of these; tests/unit covers their own
 * lines.
 */
#include "system/sandbox.h"

int __wrap_user_become(const struct user *user);
int __wrap_sandbox_files(const struct sandbox *sandbox, struct sandbox_report *report, struct sentence *why);
int __wrap_sandbox_calls(const struct sandbox *sandbox, struct sandbox_report *report, struct sentence *why);

int __wrap_sandbox_files(const struct sandbox *sandbox, struct sandbox_report *report, struct sentence *why)
{
	(void)sandbox;
	(void)report;
	(void)why;
	return 0;
}

int __wrap_sandbox_calls(const struct sandbox *sandbox, struct sandbox_report *report, struct sentence *why)
{
	(void)sandbox;
	(void)report;
	(void)why;
	return 0;
}

int __wrap_user_become(const struct user *user)
{
	(void)user;
	return 0;
}
