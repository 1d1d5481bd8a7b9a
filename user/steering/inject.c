// SPDX-License-Identifier: BSD-2-Clause
/* Makes packets come in: see inject.h. Owns its sockets. One thread. */
#include "steering/inject.h"

#include <errno.h>
#include <linux/bpf.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <string.h>

#include <bpf/bpf.h>

#include "steering/endpoint.h"
#include "steering/takeover_packets.h"
#include "system/conntrack.h"
#include "system/link.h"

/* The kernel drops the first header where the interface has none (bpf_clone_redirect). */
struct frame {
	struct ether_header link;
	unsigned char packet[TAKEOVER_HELD_MAX];
} __attribute__((packed));

int inject_open(struct injector *injector, int program)
{
	injector->links = link_open();
	if (injector->links < 0)
		return injector->links;
	injector->conntrack = conntrack_open();
	if (injector->conntrack < 0 && injector->conntrack != -EPROTONOSUPPORT) {
		int error = injector->conntrack;

		inject_close(injector);
		return error;
	}
	injector->program = program;
	return 0;
}

void inject_close(struct injector *injector)
{
	descriptor_close(&injector->links);
	descriptor_close(&injector->conntrack);
	*injector = INJECTOR_CLOSED;
}

/* Where a frame is for another machine, the kernel drops it. */
static int run_program(const struct injector *injector, __u32 ifindex, const struct frame *frame, size_t length)
{
	struct __sk_buff context = {.cb = {ifindex}};
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_size_in = (__u32)length, .ctx_in = &context,
		    .ctx_size_in = sizeof(context));

	if (bpf_prog_test_run_opts(injector->program, &run))
		return -errno;
	/* 1 is NET_RX_DROP: the interface is down, or the kernel's queue is full. */
	return run.retval == 1 ? -ENETDOWN : (int)run.retval;
}

int inject_held(const struct injector *injector, const struct steer_idle *idle)
{
	struct address client = steer_endpoint_address(&idle->ends.from, idle->ifindex);
	struct address server = steer_endpoint_address(&idle->ends.to, idle->ifindex);
	struct frame frame = {0};
	size_t length;
	int error = conntrack_on_wire(injector->conntrack, &client, &server);

	if (!error)
		error = link_address(injector->links, idle->ifindex, frame.link.ether_dhost);
	if (error)
		return error;
	frame.link.ether_type = htons(client.sa.sa_family == AF_INET ? ETHERTYPE_IP : ETHERTYPE_IPV6);
	length = takeover_make_held(idle, &client, &server, frame.packet);
	return run_program(injector, idle->ifindex, &frame, sizeof(frame.link) + length);
}
