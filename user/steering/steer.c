// SPDX-License-Identifier: BSD-2-Clause
/*
 * Loads the steering programs and owns their maps and links. What is steered is decided here, from the options and from
 * what this machine allows; each decision that is not what was asked for is said.
 */
#include "steering/steer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "steering/arming.h"
#include "steering/listeners.h"
#include "system/bpf.h"
#include "steering/watch.h"
#include "base/log.h"
#include "base/address.h"
#include "steering/cgroup_programs.h"

/* bpftool's output is not written for -Wconversion. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include "steer.skel.h"
#pragma GCC diagnostic pop

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

/* --- what is asked for --- */

const char *steer_why_always(const struct options *options)
{
	if (options->arm == ARM_ALWAYS)
		return "--arm always";
	if (options->routes.count)
		return "--route is given";
	if (!options_is_local_tcp(&options->backends[ROUTE_ACME]))
		return "--acme is no TCP port of this machine: nothing tells when it listens";
	return NULL;
}

bool steer_wants_bypass(const struct options *options)
{
	return options->bypass && options->in_place_count < options->listener_count &&
	       options->proxy[ROUTE_HTTPS] == PROXY_NONE && options_is_local_tcp(&options->backends[ROUTE_HTTPS]) &&
	       !steer_why_always(options);
}

enum steer_family steer_family_of(const struct address *address)
{
	return address->sa.sa_family == AF_INET ? STEER_V4 : STEER_V6;
}

struct steer_endpoint steer_endpoint_from(const struct address *address)
{
	struct steer_endpoint endpoint = {.port = (__u16)address_port(address)};

	if (address->sa.sa_family == AF_INET) {
		endpoint.addr[2] = htonl(0xffff);
		endpoint.addr[3] = address->in.sin_addr.s_addr;
	} else {
		memcpy(endpoint.addr, &address->in6.sin6_addr, sizeof(endpoint.addr));
	}
	return endpoint;
}

/* --- loading --- */

static int netns_cookie(uint64_t *cookie)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP), error = 0;
	socklen_t length = sizeof(*cookie);

	if (fd < 0) /* a machine with IPv6 alone */
		fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
	if (fd < 0)
		return -errno;
	if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, cookie, &length))
		error = -errno;
	close(fd);
	return error;
}

static int load_programs(struct steer *steer, unsigned int max_sessions)
{
	struct alpnbpf_steer *skel = alpnbpf_steer__open();
	int error;

	if (!skel)
		return -errno;
	steer->skel = skel;
	error = netns_cookie(&steer->netns_cookie);
	if (error)
		return error;
	skel->rodata->netns_cookie = steer->netns_cookie;
	skel->bss->state.acme_port = (__u16)steer->acme_port;
	skel->bss->state.https_port = (__u16)steer->https_port;
	skel->rodata->with_bypass = steer->bypass;
	skel->rodata->with_watch = !steer->why_not_watched;
	bpf_program__set_autoload(skel->progs.alpnbpf_watch, !steer->why_not_watched);
	bpf_program__set_autoload(skel->progs.alpnbpf_peer4, steer->peername);
	bpf_program__set_autoload(skel->progs.alpnbpf_peer6, steer->peername);
	error = bpf_map__set_max_entries(skel->maps.alpnbpf_own, max_sessions + steer->workers * STEER_ENDED_MAX);
	if (!error)
		error = bpf_map__set_max_entries(skel->maps.alpnbpf_private, STEER_PRIVATE(steer->workers, STEER_V4));
	if (!error) /* a worker has one connection on its way at a time; as many as there can be */
		error = bpf_map__set_max_entries(skel->maps.alpnbpf_connect, max_sessions);
	if (!error && steer->why_not_watched) /* its maps stay empty */
		error = bpf_map__set_max_entries(skel->maps.alpnbpf_takeovr, (unsigned int)sysconf(_SC_PAGESIZE));
	if (!error)
		error = alpnbpf_steer__load(skel);
	/* libbpf takes one map that could not be made for a kernel without mmap() of maps, and leaves this out. */
	return !error && !skel->bss ? -ENOMEM : error;
}

static int load(struct steer *steer, const struct options *options, unsigned int max_sessions)
{
	struct sentence why;
	int error = load_programs(steer, max_sessions);
	struct alpnbpf_steer *skel;

	/* The one program that older kernels might find too much. */
	if (error && !steer->why_not_watched && options->inspect != INSPECT_WATCH) {
		bpf_explain(error, "loading the programs with it", &why);
		alpnbpf_steer__destroy(steer->skel);
		steer->skel = NULL;
		steer->why_not_watched = "as said above";
		error = load_programs(steer, max_sessions);
		if (!error)
			steer_do_without_watch(steer, why.text);
	}
	if (!error)
		error = steer_ended_open(steer, steer->workers);
	if (error)
		return error;
	skel = steer->skel;
	steer->state = &skel->bss->state;
	steer->watched_ports = skel->bss->watched_ports;
	steer->pending = bpf_program__fd(skel->progs.alpnbpf_pending);
	steer->listened = bpf_map__fd(skel->maps.alpnbpf_address);
	steer->acme_listeners = bpf_map__fd(skel->maps.alpnbpf_acme);
	steer->https_listeners = bpf_map__fd(skel->maps.alpnbpf_https);
	steer->https_addresses = bpf_map__fd(skel->maps.alpnbpf_webhost);
	steer->ours = bpf_map__fd(skel->maps.alpnbpf_own);
	steer->connecting = bpf_map__fd(skel->maps.alpnbpf_connect);
	steer->takeovers = bpf_map__fd(skel->maps.alpnbpf_takeovr);
	steer->taken = bpf_map__fd(skel->maps.alpnbpf_taken);
	steer->own_sockets = bpf_map__fd(skel->maps.alpnbpf_ownsock);
	return 0;
}

/* Is there a listener of the web server that is not bypassed to? */
static bool find_unbypassed(const struct steer *steer, struct address *address)
{
	struct listeners https;

	if (!steer->bypass || !steer->arms || listeners_look(steer, STEER_HTTPS, &https) || !https.untracked)
		return false;
	*address = https.first;
	return true;
}

bool steer_bypasses_all(const struct steer *steer)
{
	struct address address;

	return !find_unbypassed(steer, &address);
}

const char *steer_mode(const struct steer *steer, char *out, size_t size)
{
	const char *rule = steer->in_place && steer->bypass ? "in place and with bypass"
			   : steer->in_place                ? "in place"
			   : steer->bypass                  ? "with bypass"
							    : "front";
	char armed[160] = "", missing[256] = "", name[ADDRESS_TEXT_MAX];
	struct address unbypassed;

	if (steer->armed_always)
		snprintf(armed, sizeof(armed), ", armed always (%s)", steer->armed_always);
	else if (steer->skel)
		snprintf(armed, sizeof(armed), ", armed while port %u is listened on", steer->acme_port);
	if (find_unbypassed(steer, &unbypassed))
		snprintf(missing, sizeof(missing), ", but no bypass to %s: its listener cannot be tracked (%s)",
			 address_format(&unbypassed, name, sizeof(name)), listeners_why_untracked(steer, STEER_HTTPS));
	snprintf(out, size, "%s%s%s%s%s", rule, armed, missing, steer->watches ? ", hellos read in passing" : "",
		 steer->peername      ? ", clients shown by peername"
		 : steer->transparent ? ", clients shown by transparent connections"
				      : "");
	return out;
}

/* All but sk_lookup. */
static int set_up(struct steer *steer, const struct options *options, unsigned int max_sessions, struct sentence *why)
{
	const char *always = steer_why_always(options);
	int error = load(steer, options, max_sessions);

	if (error)
		return bpf_explain(error, "loading the steering programs", why);
	error = steer_use_cgroup(steer, options, why);
	if (error && options->inspect == INSPECT_WATCH) {
		if (strncmp(why->text, "--", 2) != 0)
			sentence_set(why, "--inspect watch: %s; use auto or steer", why->text);
		return error;
	}
	if (error && options->client_address == CLIENT_ADDRESS_PEERNAME)
		return sentence_error(why, error, "--client-address peername: %s; use none or transparent", why->text);
	if (error) {
		steer->peername = false;
		steer->why_not_watched = "the cgroup cannot be used";
		if (!steer->by_cgroup && !always) {
			log_warn(
				"nothing tells when the ACME client listens (%s): all connections come through alpnbpf, always",
				why->text);
			always = "the cgroup cannot be used";
			steer->bypass = false;
		} else {
			log_warn("the web server is not shown the clients' addresses: %s", why->text);
		}
	}
	steer->arms = !always;
	steer->armed_always = always;
	steer->tracks = steer->in_place || steer->peername;
	if (always)
		steer->state->always = 1;
	error = steer_fill_maps(steer, NULL, options);
	if (error)
		return bpf_explain(error, "filling the steering maps", why);
	if (steer->arms) {
		error = arming_start(steer, bpf_map__fd(steer->skel->maps.alpnbpf_arrival));
		if (error)
			return bpf_explain(error, "looking for listeners", why);
	}
	return 0;
}

int steer_open(struct steer *steer, const struct options *options, unsigned int workers, unsigned int max_sessions,
	       struct sentence *why)
{
	const struct endpoint *acme = &options->backends[ROUTE_ACME];
	bool asked;
	int error;

	*steer = (struct steer){
		.raw = {-1, -1},
		.pits = {-1, -1},
		.cgroup = -1,
		.why_not_watched = hello_watch_why_not(options),
		.workers = workers,
		.in_place = options->in_place_count > 0,
		.bypass = steer_wants_bypass(options),
		.transparent = options->client_address == CLIENT_ADDRESS_TRANSPARENT,
		.acme_port = options_is_local_tcp(acme) ? address_port(&acme->addresses[0]) : 0,
		.https_port = address_port(&options->backends[ROUTE_HTTPS].addresses[0]),
	};
	steer->peername = options->client_address == CLIENT_ADDRESS_PEERNAME ||
			  (options->client_address == CLIENT_ADDRESS_AUTO && (steer->in_place || steer->bypass));
	if (!steer->in_place && !steer->bypass && !steer->why_not_watched)
		steer->why_not_watched = "no connection is the web server's own, in place or by a bypass";
	if (options->inspect == INSPECT_WATCH && steer->why_not_watched)
		return sentence_error(why, -EINVAL, "--inspect watch: %s; use auto or steer", steer->why_not_watched);
	if (!steer->in_place && !steer->bypass && !steer->peername)
		return 0;
	error = set_up(steer, options, max_sessions, why);
	if (!error)
		return 0;
	asked = steer->in_place || options->client_address == CLIENT_ADDRESS_PEERNAME ||
		options->inspect == INSPECT_WATCH;
	steer_close(steer);
	if (asked)
		return error;
	log_info("no bypass, all connections go through alpnbpf: %s", why->text);
	return 0;
}

int steer_set_private(struct steer *steer, unsigned int worker, enum steer_family family, int fd)
{
	uint32_t key = STEER_PRIVATE(worker, family);
	uint64_t value = (uint64_t)fd;

	return bpf_map_update_elem(bpf_map__fd(steer->skel->maps.alpnbpf_private), &key, &value, BPF_ANY) ? -errno : 0;
}

int steer_start(struct steer *steer, struct sentence *why)
{
	int netns, error = 0;

	if (!steer->in_place && !steer->bypass)
		return 0;
	netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (netns < 0)
		return bpf_explain(-errno, "opening the network namespace", why);
	steer->lookup = bpf_program__attach_netns(steer->skel->progs.alpnbpf_steer, netns);
	if (!steer->lookup)
		error = bpf_explain(-errno, "attaching to the network namespace", why);
	else
		hello_watch_follow(steer, arming_is_armed(steer));
	close(netns);
	return error;
}

void steer_stop(struct steer *steer)
{
	hello_watch_stop(steer);
	if (steer->lookup)
		bpf_link__destroy(steer->lookup);
	steer->lookup = NULL;
}

/* Of a private listener. */
static unsigned int count_pending(struct steer *steer, unsigned int index)
{
	char packet[64] = {0}; /* a test run wants one */
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet, .data_size_in = sizeof(packet));

	steer->state->asked_index = index;
	return bpf_prog_test_run_opts(steer->pending, &options) ? 0 : options.retval;
}

unsigned int steer_pending(struct steer *steer)
{
	unsigned int pending;

	if (!steer->skel)
		return 0;
	pending = steer_takeovers_pending(steer->state);
	if (!steer->in_place)
		return pending;
	for (unsigned int index = 0; index < STEER_PRIVATE(steer->workers, STEER_V4); index++)
		pending += count_pending(steer, index);
	return pending;
}

void steer_close(struct steer *steer)
{
	steer_stop(steer);
	hello_watch_close(steer);
	for (unsigned int i = 0; i < steer->link_count; i++)
		bpf_link__destroy(steer->links[i]);
	arming_stop(steer);
	if (steer->skel)
		alpnbpf_steer__destroy(steer->skel);
	steer_ended_close(steer);
	*steer = (struct steer){0};
}
