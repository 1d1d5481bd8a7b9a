// SPDX-License-Identifier: BSD-2-Clause
/* Attaches programs to the cgroup root, and checks that sock_ops sees this process there. Main thread, at start-up. */
#include "steering/cgroup_programs.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "system/cgroup.h"

/*
 * Does sock_ops see this process? A container may see a cgroup that is not its own. Tested by connecting to port 1;
 * whether anything listens there does not matter.
 */
static bool sees_this_process(struct own_connections *own)
{
	struct address target = {.len = sizeof(target.in)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	struct own_connection connection;
	bool tracked = own->are_tracked, seen = false;

	if (fd < 0)
		return true; /* no IPv4: cannot test */
	target.in.sin_family = AF_INET;
	target.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	target.in.sin_port = htons(1);
	own->are_tracked = true;
	if (own_connection_begin(own, fd, &target, &target, &connection) == 0) {
		bool unreachable = connect(fd, &target.sa, target.len) && errno == ENETUNREACH;

		/* If loopback is down, there was nothing to see. */
		seen = own_connection_end(own, &connection) == 0 || unreachable;
		own_connection_forget(own, 0, &connection);
	}
	own->are_tracked = tracked;
	close(fd);
	return seen;
}

static int open_watch(struct hello_watch *watch, const struct steer_programs *programs, const struct steer_maps *maps,
		      const struct options *options, int cgroup, struct sentence *why)
{
	const struct bpf_program *hooks[WATCH_HOOKS];
	struct sentence cannot;
	int error;

	programs_of_watch(programs, hooks);
	error = hello_watch_open(watch, maps, hooks, options, cgroup, &cannot);
	if (!error)
		return 0;
	if (options->inspect == INSPECT_WATCH)
		return sentence_error(why, error, "--inspect watch: %s; use auto or steer", cannot.text);
	hello_watch_do_without(watch, cannot.text);
	return 0;
}

int cgroup_programs_attach(struct steer_programs *programs, const struct steer_plan *plan,
			   const struct steer_maps *maps, struct own_connections *own, struct hello_watch *watch,
			   const struct options *options, struct sentence *why)
{
	char path[1024];
	int cgroup = cgroup_open_root(path, sizeof(path), why), error;

	if (cgroup < 0)
		return cgroup;
	error = programs_attach_events(programs, cgroup);
	own->by_sock_ops = !error;
	if (!error && !sees_this_process(own)) {
		own->by_sock_ops = false;
		programs_detach_events(programs);
		close(cgroup);
		return sentence_error(why, -ESRCH, "this process is not in cgroup %s", path);
	}
	if (!error && plan->peername)
		error = programs_attach_peername(programs, cgroup);
	if (error)
		sentence_set(why, "cgroup %s: %s", path, strerror(-error));
	else if (!watch->why_not)
		error = open_watch(watch, programs, maps, options, cgroup, why);
	close(cgroup);
	return error;
}
