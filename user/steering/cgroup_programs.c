// SPDX-License-Identifier: BSD-2-Clause
/* See steer_cgroup.h. */
#include "steering/cgroup_programs.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "system/cgroup.h"
#include "steering/watch.h"
#include "base/log.h"

/* bpftool's output is not written for -Wconversion. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include "steer.skel.h"
#pragma GCC diagnostic pop

void steer_do_without_watch(struct steer *steer, const char *why)
{
	log_info("while armed, all connections go through alpnbpf: hellos cannot be read as they pass: %s", why);
	steer->why_not_watched = "as said above";
	snprintf(steer->cannot_watch, sizeof(steer->cannot_watch), "%.250s", why);
}

static int attach_cgroup(struct steer *steer, const struct bpf_program *program, int cgroup)
{
	struct bpf_link *link = bpf_program__attach_cgroup(program, cgroup);

	if (!link)
		return -errno;
	steer->links[steer->link_count++] = link;
	return 0;
}

/* Both families or none. */
static int attach_peername(struct steer *steer, int cgroup)
{
	int error = attach_cgroup(steer, steer->skel->progs.alpnbpf_peer4, cgroup);

	if (error)
		return error;
	error = attach_cgroup(steer, steer->skel->progs.alpnbpf_peer6, cgroup);
	if (error)
		bpf_link__destroy(steer->links[--steer->link_count]);
	return error;
}

/*
 * Does sock_ops see what this process does? A container may be shown a cgroup that is not its own. Asked with a
 * connection to a port that nobody listens on, or whoever does.
 */
static bool sees_us(struct steer *steer)
{
	struct address nobody = {.len = sizeof(nobody.in)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	struct steer_entry entry;
	bool tracks = steer->tracks, seen = false;

	if (fd < 0)
		return true; /* IPv6 alone: taken on trust */
	nobody.in.sin_family = AF_INET;
	nobody.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	nobody.in.sin_port = htons(1);
	steer->tracks = true;
	if (steer_connect_begin(steer, fd, &nobody, &nobody, &entry) == 0) {
		bool unreachable = connect(fd, &nobody.sa, nobody.len) && errno == ENETUNREACH;

		/* Loopback is down: nothing to see. */
		seen = steer_connect_end(steer, &entry) == 0 || unreachable;
		steer_forget(steer, 0, &entry);
	}
	steer->tracks = tracks;
	close(fd);
	return seen;
}

static int watch_hellos(struct steer *steer, const struct options *options, int cgroup, struct sentence *why)
{
	struct sentence cannot;
	int error = hello_watch_open(steer, options, cgroup, &cannot);

	if (!error)
		return 0;
	if (options->inspect == INSPECT_WATCH)
		return sentence_error(why, error, "--inspect watch: %s; use auto or steer", cannot.text);
	steer_do_without_watch(steer, cannot.text);
	return 0;
}

int steer_use_cgroup(struct steer *steer, const struct options *options, struct sentence *why)
{
	char path[1024];
	int cgroup = cgroup_open_root(path, sizeof(path), why), error;

	if (cgroup < 0)
		return cgroup;
	error = attach_cgroup(steer, steer->skel->progs.alpnbpf_events, cgroup);
	steer->by_cgroup = !error;
	if (!error && !sees_us(steer)) {
		steer->by_cgroup = false;
		bpf_link__destroy(steer->links[--steer->link_count]);
		close(cgroup);
		return sentence_error(why, -ESRCH, "cgroup %s does not hold this process", path);
	}
	if (!error && steer->peername)
		error = attach_peername(steer, cgroup);
	if (error)
		sentence_set(why, "cgroup %s: %s", path, strerror(-error));
	else if (!steer->why_not_watched)
		error = watch_hellos(steer, options, cgroup, why);
	close(cgroup);
	return error;
}
