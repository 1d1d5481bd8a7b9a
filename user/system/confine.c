// SPDX-License-Identifier: BSD-2-Clause
/* What the repair helper keeps: see confine.h. Owns nothing. In the process of the helper, once. */
#include "system/confine.h"

#include <linux/capability.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "system/capabilities.h"
#include "base/descriptor.h"
#include "system/sandbox.h"

static bool is_kept(int fd, const int *keep, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		if (keep[i] == fd)
			return true;
	return false;
}

static bool keep_descriptors(const int *keep, unsigned int count)
{
	int nothing = descriptor_open_nothing(), last = STDERR_FILENO;

	/* What the helper opens must not become its standard output. */
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (nothing < 0 || dup2(nothing, fd) < 0)
			return false;
	for (unsigned int i = 0; i < count; i++)
		last = keep[i] > last ? keep[i] : last;
	for (int fd = STDERR_FILENO + 1; fd <= last; fd++)
		if (!is_kept(fd, keep, count))
			close(fd);
	return syscall(SYS_close_range, (unsigned int)last + 1, ~0U, 0) == 0;
}

bool confine_helper(const struct user *user, pid_t parent, const int *keep, unsigned int count)
{
	static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2};
	struct sandbox sandbox = {.roles = SANDBOX_HELPER,
				  .user = user,
				  .capabilities = CAPABILITY(CAP_NET_ADMIN) | CAPABILITY(CAP_NET_BIND_SERVICE),
				  .parent = parent};
	struct sandbox_report report;
	struct sentence why;

	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
	prctl(PR_SET_NAME, "alpnbpf-repair", 0, 0, 0);
	return keep_descriptors(keep, count) && sandbox_enter(&sandbox, &report, &why) == 0;
}
