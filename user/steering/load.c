// SPDX-License-Identifier: BSD-2-Clause
/* Loads and attaches the steering programs; the only file that uses their skeleton. Main thread. */
#include "steering/load.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "steering/own_connections.h"
#include "steering/skeleton.h"
#include "system/bpf.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

#define WIND_TRIES 16

static int get_netns_cookie(uint64_t *cookie)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP), error = 0;
	socklen_t length = sizeof(*cookie);

	if (fd < 0) /* a machine without IPv4 */
		fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
	if (fd < 0)
		return -errno;
	if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, cookie, &length))
		error = -errno;
	close(fd);
	return error;
}

static int set_sizes(struct alpnbpf_steer *skel, const struct steer_plan *plan, bool with_watch)
{
	unsigned int entries = plan->max_sessions + plan->workers * OWN_ENDED_MAX;
	int error = bpf_map__set_max_entries(skel->maps.alpnbpf_own, entries);

	if (!error)
		error = bpf_map__set_max_entries(skel->maps.alpnbpf_private, STEER_PRIVATE(plan->workers, STEER_V4));
	if (!error) /* a worker connects one at a time; this is more than enough */
		error = bpf_map__set_max_entries(skel->maps.alpnbpf_connect, plan->max_sessions);
	if (!error && !with_watch) /* their rings stay empty */
		error = bpf_map__set_max_entries(skel->maps.alpnbpf_takeovr, (unsigned int)sysconf(_SC_PAGESIZE));
	if (!error && !with_watch)
		error = bpf_map__set_max_entries(skel->maps.alpnbpf_idle, (unsigned int)sysconf(_SC_PAGESIZE));
	if (!error && !with_watch)
		error = bpf_map__set_max_entries(skel->maps.alpnbpf_held, 1);
	if (!error && !with_watch)
		error = bpf_map__set_max_entries(skel->maps.alpnbpf_freed, 1);
	if (!error && !with_watch)
		error = bpf_map__set_max_entries(skel->maps.alpnbpf_due, 1);
	return error;
}

/* A test run of a tc program needs a packet. Returns the program's result, or -errno. */
static int run(const struct bpf_program *program)
{
	char packet[64] = {0};
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet, .data_size_in = sizeof(packet));

	return bpf_prog_test_run_opts(bpf_program__fd(program), &options) ? -errno : (int)options.retval;
}

/* The kernel may have no memory for the timer at this very moment (kmalloc_nolock, since 6.18). */
static int wind_clock(const struct alpnbpf_steer *skel)
{
	int error = -ENOMEM;

	for (int tries = 0; error == -ENOMEM && tries < WIND_TRIES; tries++)
		error = run(skel->progs.alpnbpf_wind);
	return error;
}

static struct steer_maps maps_of(const struct alpnbpf_steer *skel)
{
	return (struct steer_maps){
		.state = &skel->bss->state,
		.watched_ports = skel->bss->watched_ports,
		.addresses = bpf_map__fd(skel->maps.alpnbpf_address),
		.named = bpf_map__fd(skel->maps.alpnbpf_named),
		.private_listeners = bpf_map__fd(skel->maps.alpnbpf_private),
		.acme_listeners = bpf_map__fd(skel->maps.alpnbpf_acme),
		.https_listeners = bpf_map__fd(skel->maps.alpnbpf_https),
		.own_connections = bpf_map__fd(skel->maps.alpnbpf_own),
		.own_connecting = bpf_map__fd(skel->maps.alpnbpf_connect),
		.arrivals = bpf_map__fd(skel->maps.alpnbpf_arrival),
		.takeovers = bpf_map__fd(skel->maps.alpnbpf_takeovr),
		.idle = bpf_map__fd(skel->maps.alpnbpf_idle),
		.inject = bpf_program__fd(skel->progs.alpnbpf_inject),
		.being_taken = bpf_map__fd(skel->maps.alpnbpf_taken),
		.silent_listeners = bpf_map__fd(skel->maps.alpnbpf_silent),
		.own_sockets = bpf_map__fd(skel->maps.alpnbpf_ownsock),
	};
}

int programs_load(struct steer_programs *programs, struct steer_maps *maps, const struct steer_plan *plan,
		  bool with_watch)
{
	struct alpnbpf_steer *skel = alpnbpf_steer__open();
	int error;

	if (!skel)
		return -errno;
	programs->skel = skel;
	error = get_netns_cookie(&programs->netns_cookie);
	if (error)
		return error;
	skel->rodata->netns_cookie = programs->netns_cookie;
	skel->rodata->with_bypass = plan->bypass;
	skel->rodata->with_watch = with_watch;
	skel->bss->state.https_port = (__u16)plan->https_port;
	bpf_program__set_autoload(skel->progs.alpnbpf_watch, with_watch);
	bpf_program__set_autoload(skel->progs.alpnbpf_hush, with_watch);
	bpf_program__set_autoload(skel->progs.alpnbpf_peer4, plan->peername);
	bpf_program__set_autoload(skel->progs.alpnbpf_peer6, plan->peername);
	error = set_sizes(skel, plan, with_watch);
	if (!error)
		error = alpnbpf_steer__load(skel);
	/* If a map fails to be created, libbpf may assume a kernel without mmap() of maps, and go on without .bss. */
	if (!error && !skel->bss)
		error = -ENOMEM;
	if (!error && with_watch)
		error = wind_clock(skel);
	if (!error)
		*maps = maps_of(skel);
	return error;
}

static void destroy_link(struct bpf_link **link)
{
	if (*link)
		bpf_link__destroy(*link);
	*link = NULL;
}

void programs_unload(struct steer_programs *programs)
{
	destroy_link(&programs->lookup);
	destroy_link(&programs->events);
	destroy_link(&programs->peer4);
	destroy_link(&programs->peer6);
	if (programs->skel)
		alpnbpf_steer__destroy(programs->skel);
	programs->skel = NULL;
}

int programs_attach_lookup(struct steer_programs *programs, struct sentence *why)
{
	int netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), error = 0;

	if (netns < 0)
		return bpf_explain(-errno, "opening the network namespace", why);
	programs->lookup = bpf_program__attach_netns(programs->skel->progs.alpnbpf_steer, netns);
	if (!programs->lookup)
		error = bpf_explain(-errno, "attaching to the network namespace", why);
	close(netns);
	return error;
}

void programs_detach_lookup(struct steer_programs *programs)
{
	destroy_link(&programs->lookup);
}

int programs_attach_events(struct steer_programs *programs, int cgroup)
{
	programs->events = bpf_program__attach_cgroup(programs->skel->progs.alpnbpf_events, cgroup);
	return programs->events ? 0 : -errno;
}

void programs_detach_events(struct steer_programs *programs)
{
	destroy_link(&programs->events);
}

int programs_attach_peername(struct steer_programs *programs, int cgroup)
{
	int error;

	programs->peer4 = bpf_program__attach_cgroup(programs->skel->progs.alpnbpf_peer4, cgroup);
	if (!programs->peer4)
		return -errno;
	programs->peer6 = bpf_program__attach_cgroup(programs->skel->progs.alpnbpf_peer6, cgroup);
	if (programs->peer6)
		return 0;
	error = -errno;
	destroy_link(&programs->peer4);
	return error;
}

void programs_of_watch(const struct steer_programs *programs, const struct bpf_program *hooks[WATCH_HOOKS])
{
	hooks[WATCH_HUSH] = programs->skel->progs.alpnbpf_hush;
	hooks[WATCH_LOOK] = programs->skel->progs.alpnbpf_watch;
}

unsigned int programs_count_pending(const struct steer_programs *programs, unsigned int index)
{
	int count;

	programs->skel->bss->state.asked_index = index;
	count = run(programs->skel->progs.alpnbpf_pending);
	return count < 0 ? 0 : (unsigned int)count;
}
