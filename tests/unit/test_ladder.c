/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The steps of a takeover, with real connections over loopback in a network namespace of its own, and a real repair
 * helper: requests and sockets go, the client's bytes go on; what passes is waited for while the web server still has
 * its own, what cannot be removed stays, and a helper that is stopped or dead costs a takeover, not the caller's time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/descriptor.h"
#include "base/timer.h"
#include "steering/endpoint.h"
#include "steering/ladder.h"
#include "steering/repair_helper.h"
#include "steering/server_socket.h"
#include "steering/takeover.h"
#include "system/netlink.h"
#include "unit/private_network.h"

#define HELLO  "a hello"
#define CLIENT 0x7f000009 /* 127.0.0.9 */

enum { REPAIR_OFF_SILENTLY = -1, REPAIR_ON = 1, QUEUE_RECEIVE = 1, QUEUE_SEND = 2 };

static struct removal removal;
static struct repair_helper helper;
static struct steer_state *state; /* shared with the helper, as the programs' is */
static int taken = NO_DESCRIPTOR;

struct visit {
	int listener, client, server;
	uint64_t begun; /* us */
	struct steer_takeover takeover;
	struct ladder ladder;
};

static void set(int fd, int option, int value)
{
	assert_int_equal(setsockopt(fd, IPPROTO_TCP, option, &value, sizeof(value)), 0);
}

static uint32_t sequence(int fd, int queue)
{
	socklen_t length = sizeof(uint32_t);
	uint32_t number;

	set(fd, TCP_REPAIR_QUEUE, queue);
	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, &number, &length), 0);
	return number;
}

static struct steer_endpoint end_of(int fd, bool remote)
{
	struct address address = {.len = sizeof(address.in6)};

	assert_int_equal(
		remote ? getpeername(fd, &address.sa, &address.len) : getsockname(fd, &address.sa, &address.len), 0);
	return steer_endpoint_from(&address);
}

/* What the watch would have recorded, from the client's point of view. */
static void describe(struct visit *visit, const char *bytes)
{
	struct steer_takeover *takeover = &visit->takeover;
	socklen_t length = sizeof(struct tcp_info);
	struct tcp_info info;
	uint32_t sent;

	assert_int_equal(getsockopt(visit->client, IPPROTO_TCP, TCP_INFO, &info, &length), 0);
	set(visit->client, TCP_REPAIR, REPAIR_ON);
	sent = sequence(visit->client, QUEUE_SEND);
	takeover->acknowledged = sequence(visit->client, QUEUE_RECEIVE);
	set(visit->client, TCP_REPAIR, REPAIR_OFF_SILENTLY);
	takeover->ends =
		(struct steer_connection){.from = end_of(visit->client, false), .to = end_of(visit->client, true)};
	takeover->ifindex = if_nametoindex("lo");
	takeover->length = (uint16_t)strlen(bytes);
	memcpy(takeover->bytes, bytes, takeover->length);
	takeover->first = sent - takeover->length;
	takeover->passed = sent;
	takeover->window = 65535;
	takeover->agreed = (struct steer_agreed){.expected = sent,
						 .next = takeover->acknowledged,
						 .receive_window = 65535,
						 .receive_from = takeover->first,
						 .mss = 1400,
						 .sack = (info.tcpi_options & TCPI_OPT_SACK) != 0,
						 .window_scaling = (info.tcpi_options & TCPI_OPT_WSCALE) != 0,
						 .send_scale = info.tcpi_rcv_wscale,
						 .receive_scale = info.tcpi_snd_wscale,
						 .deferred = *bytes == '\0'};
	takeover->taken = STEER_TAKEN;
	assert_true(takeover_is_sound(takeover, sizeof(*takeover)));
}

/* What the watch would have entered. */
static void enter(const struct steer_takeover *takeover)
{
	assert_int_equal(bpf_map_update_elem(taken, &takeover->ends, takeover, BPF_ANY), 0);
}

static bool is_entered(const struct steer_takeover *takeover)
{
	static struct steer_takeover entry;

	return bpf_map_lookup_elem(taken, &takeover->ends, &entry) == 0;
}

static void start_helper(bool destroys)
{
	static struct repair_duty duty;
	struct sentence why;

	repair_helper_stop(&helper);
	duty = (struct repair_duty){.removal = removal,
				    .injector = INJECTOR_CLOSED,
				    .taken = taken,
				    .state = state,
				    .cgroup = NO_DESCRIPTOR,
				    .programs = {NO_DESCRIPTOR, NO_DESCRIPTOR}};
	duty.removal.destroys = destroys;
	/* As the listeners of these tests have. */
	for (unsigned int port = 1024; port < 65536; port++)
		repair_duty_allow(&duty, port);
	assert_int_equal(repair_helper_start(&helper, &duty, NO_DESCRIPTOR, NULL, &why), 0);
}

/* A connection that is a request, or one whose hello the server has. */
static void begin(struct visit *visit, const char *bytes)
{
	struct address at = address_v4(INADDR_LOOPBACK, 0), from = address_v4(CLIENT, 0);

	*visit = (struct visit){.server = NO_DESCRIPTOR};
	visit->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (!*bytes)
		set(visit->listener, TCP_DEFER_ACCEPT, 5);
	assert_int_equal(bind(visit->listener, &at.sa, at.len), 0);
	assert_int_equal(listen(visit->listener, 8), 0);
	assert_int_equal(getsockname(visit->listener, &at.sa, &at.len), 0);
	visit->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(visit->client, &from.sa, from.len), 0);
	assert_int_equal(connect(visit->client, &at.sa, at.len), 0);
	if (*bytes) {
		visit->server = accept4(visit->listener, NULL, NULL, SOCK_CLOEXEC);
		assert_true(visit->server >= 0);
		assert_int_equal(send(visit->client, bytes, strlen(bytes), 0), strlen(bytes));
	}
	describe(visit, bytes);
	enter(&visit->takeover);
	visit->begun = monotonic_us();
	ladder_begin(&visit->ladder, visit->begun);
}

static void end(struct visit *visit)
{
	bpf_map_delete_elem(taken, &visit->takeover.ends);
	descriptor_close(&visit->ladder.fd);
	descriptor_close(&visit->server);
	descriptor_close(&visit->client);
	descriptor_close(&visit->listener);
}

static enum ladder_step climb(struct visit *visit, uint64_t after)
{
	return ladder_climb(&visit->ladder, &helper.worker, &visit->takeover, visit->begun + after);
}

static bool server_has_it(const struct visit *visit)
{
	struct server_socket found;

	return server_socket_find(removal.diag, &visit->takeover.ends, visit->takeover.ifindex, &found) == 0;
}

static void assert_reads(int fd, const char *expected)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	char bytes[64];

	assert_int_equal(poll(&wait, 1, 5000), 1);
	assert_int_equal(recv(fd, bytes, sizeof(bytes), 0), strlen(expected));
	assert_memory_equal(bytes, expected, strlen(expected));
}

/* Our socket has the connection, with all bytes so far; it goes on both ways. */
static void assert_continues(struct visit *visit)
{
	int fd = visit->ladder.fd;

	assert_false(is_entered(&visit->takeover));
	if (visit->takeover.length)
		assert_reads(fd, HELLO);
	assert_int_equal(send(visit->client, "more", 4, 0), 4);
	assert_reads(fd, "more");
	assert_int_equal(send(fd, "answer", 6, 0), 6);
	assert_reads(visit->client, "answer");
}

static void assert_server_goes_on(struct visit *visit)
{
	struct pollfd wait = {.fd = visit->listener, .events = POLLIN};

	assert_true(server_has_it(visit));
	assert_int_equal(visit->ladder.fd, NO_DESCRIPTOR);
	assert_int_equal(send(visit->client, HELLO, strlen(HELLO), 0), strlen(HELLO));
	assert_int_equal(poll(&wait, 1, 5000), 1);
	visit->server = accept4(visit->listener, NULL, NULL, SOCK_CLOEXEC);
	assert_reads(visit->server, HELLO);
}

static void test_request(void **test_state)
{
	struct visit visit;

	(void)test_state;
	begin(&visit, "");
	assert_int_equal(climb(&visit, 0), LADDER_READY);
	assert_int_equal(accept(visit.listener, NULL, NULL), -1);
	assert_false(ladder_left_trace(&visit.ladder, &visit.takeover));
	assert_continues(&visit);
	end(&visit);
}

static void test_socket(void **test_state)
{
	struct visit visit;
	char byte[16];

	(void)test_state;
	begin(&visit, HELLO);
	assert_reads(visit.server, HELLO);
	assert_int_equal(climb(&visit, 0), LADDER_READY);
	assert_int_equal(recv(visit.server, byte, sizeof(byte), MSG_DONTWAIT), -1);
	assert_int_equal(errno, ECONNRESET); /* by the reset, not by SOCK_DESTROY */
	assert_true(ladder_left_trace(&visit.ladder, &visit.takeover));
	assert_continues(&visit);
	end(&visit);
}

/* Without SOCK_DESTROY, resets remove both. */
static void test_resets_only(void **test_state)
{
	static const char *const bytes[] = {"", HELLO};

	(void)test_state;
	start_helper(false);
	for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
		struct visit visit;

		begin(&visit, bytes[i]);
		assert_int_equal(climb(&visit, 0), LADDER_READY);
		assert_continues(&visit);
		end(&visit);
	}
	start_helper(true);
}

/* No reset leaves the machine, or is sent where it would not arrive: the server keeps its connection. */
static void test_nothing_removes_it(void **test_state)
{
	struct visit visit;

	(void)test_state;
	start_helper(false);
	begin(&visit, "");
	visit.takeover.agreed.device = visit.takeover.ifindex;
	enter(&visit.takeover);
	assert_int_equal(climb(&visit, 0), LADDER_GIVE_BACK);
	assert_int_equal(visit.ladder.error, -EOPNOTSUPP);
	assert_server_goes_on(&visit);
	end(&visit);
	start_helper(true);
}

/* A route of type `unreachable` to the client, or its end. */
static void set_unreachable(bool unreachable)
{
	struct {
		struct nlmsghdr header;
		struct rtmsg route;
		char attributes[64];
	} message = {
		.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(message.route)),
			   .nlmsg_type = unreachable ? RTM_NEWROUTE : RTM_DELROUTE,
			   .nlmsg_flags = NLM_F_ACK | (unreachable ? NLM_F_CREATE : 0)},
		.route = {.rtm_family = AF_INET,
			  .rtm_dst_len = 32,
			  .rtm_table = RT_TABLE_LOCAL,
			  .rtm_protocol = RTPROT_BOOT,
			  .rtm_scope = RT_SCOPE_HOST,
			  .rtm_type = RTN_UNREACHABLE},
	};
	struct in_addr client = {.s_addr = htonl(CLIENT)};
	int fd = netlink_open(NETLINK_ROUTE);

	netlink_add(&message.header, RTA_DST, &client, sizeof(client));
	assert_int_equal(netlink_ask(fd, &message.header, NULL, NULL), 0);
	close(fd);
}

/* Nothing is removed while there is no route. */
static void test_route_is_gone(void **test_state)
{
	struct visit visit;

	(void)test_state;
	begin(&visit, "");
	set_unreachable(true);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(climb(&visit, LADDER_PATIENCE_US - 1), LADDER_WAIT);
		assert_int_equal(visit.ladder.error, -EHOSTUNREACH);
		assert_true(server_has_it(&visit));
	}
	set_unreachable(false);
	assert_int_equal(climb(&visit, LADDER_PATIENCE_US - 1), LADDER_READY);
	assert_continues(&visit);
	end(&visit);
}

static void test_descriptors_are_short(void **test_state)
{
	struct rlimit limit, none;
	struct visit visit;
	int lowest;

	(void)test_state;
	begin(&visit, "");
	lowest = dup(visit.client);
	close(lowest);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = (struct rlimit){.rlim_cur = (rlim_t)lowest, .rlim_max = limit.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(climb(&visit, 0), LADDER_WAIT);
	assert_int_equal(visit.ladder.error, -EMFILE);
	/* In the end the server keeps it. */
	assert_int_equal(climb(&visit, LADDER_PATIENCE_US), LADDER_GIVE_BACK);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_server_goes_on(&visit);
	end(&visit);
}

static void climb_to_ready(struct visit *visit)
{
	enum ladder_step step;

	while ((step = climb(visit, 0)) == LADDER_WAIT)
		usleep(1000);
	assert_int_equal(step, LADDER_READY);
}

static void wait_for_answer(void)
{
	struct pollfd wait = {.fd = helper.worker.socket, .events = POLLIN};

	assert_int_equal(poll(&wait, 1, 5000), 1);
}

static void assert_is_reset(int fd)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	char byte;

	assert_int_equal(poll(&wait, 1, 5000), 1);
	assert_true(recv(fd, &byte, 1, 0) <= 0);
}

/* Nothing waits longer than a fraction of a second, and what was asked is done once the helper goes on. */
static void test_helper_is_stopped(void **test_state)
{
	struct visit visit;

	(void)test_state;
	begin(&visit, "");
	kill(helper.pid, SIGSTOP);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(climb(&visit, 0), LADDER_WAIT);
		assert_int_equal(visit.ladder.error, -EAGAIN);
	}
	kill(helper.pid, SIGCONT);
	climb_to_ready(&visit);
	assert_continues(&visit);
	end(&visit);
}

/* Two takeovers at a time: one waits for the other's answer, and gets on when that has come or is no longer wanted. */
static void test_others_wait(void **test_state)
{
	(void)test_state;
	for (int round = 0; round < 2; round++) {
		struct visit first, second;

		begin(&first, "");
		begin(&second, "");
		kill(helper.pid, SIGSTOP);
		assert_int_equal(climb(&first, 0), LADDER_WAIT);
		assert_int_equal(climb(&second, 0), LADDER_WAIT);
		assert_true(first.ladder.asked && !second.ladder.asked);
		if (round == 1)
			ladder_abandon(&first.ladder, &helper.worker);
		kill(helper.pid, SIGCONT);
		if (round == 0) {
			wait_for_answer();
			assert_int_equal(climb(&second, 0), LADDER_WAIT);
			climb_to_ready(&first);
			assert_continues(&first);
		}
		climb_to_ready(&second);
		assert_continues(&second);
		if (round == 1) /* nobody continues it, so it ends */
			assert_is_reset(first.client);
		end(&first);
		end(&second);
	}
}

/* What was given up is not done afterwards. */
static void test_helper_is_stopped_for_long(void **test_state)
{
	struct visit visit;

	(void)test_state;
	begin(&visit, "");
	visit.ladder.until = visit.begun + 100000;
	kill(helper.pid, SIGSTOP);
	assert_int_equal(climb(&visit, 0), LADDER_WAIT);
	assert_int_equal(climb(&visit, 100000), LADDER_GIVE_BACK);
	while (monotonic_us() < visit.ladder.until)
		usleep(1000);
	kill(helper.pid, SIGCONT);
	wait_for_answer();
	assert_server_goes_on(&visit);
	end(&visit);
}

static void test_helper_is_killed(void **test_state)
{
	struct visit visit;

	(void)test_state;
	begin(&visit, "");
	kill(helper.pid, SIGKILL);
	waitpid(helper.pid, NULL, 0);
	helper.pid = 0;
	assert_int_equal(climb(&visit, 0), LADDER_GIVE_BACK);
	assert_int_equal(visit.ladder.error, -EPIPE);
	assert_server_goes_on(&visit);
	end(&visit);
	start_helper(true);
}

static void expect_nothing(const struct steer_takeover *takeover, int error)
{
	unsigned int removed = 0;
	uint32_t asked = 0;

	assert_int_equal(repair_take(&helper.worker, takeover, UINT64_MAX, &removed, &asked), error);
	assert_int_equal(removed, 0);
	assert_int_equal(asked, 0);
}

/* Of connections that the watch has not entered, or of other ports, there is nothing to be had. */
static void test_helper_refuses(void **test_state)
{
	static struct steer_takeover other;
	struct repair_answer answer;
	struct visit visit;

	(void)test_state;
	begin(&visit, "");
	other = visit.takeover;
	other.ends.from.port++;
	expect_nothing(&other, -ENOENT);
	other = visit.takeover;
	other.ends.to.port = 22;
	expect_nothing(&other, -EACCES);
	enter(&other);
	expect_nothing(&other, -EACCES);
	/* Even if it is entered. */
	other = visit.takeover;
	other.taken = STEER_LEFT;
	enter(&other);
	expect_nothing(&visit.takeover, -ENOENT);
	enter(&visit.takeover);
	/* Bytes that the watch has not seen. */
	other = visit.takeover;
	other.length = 1;
	expect_nothing(&other, -EBADMSG);
	other.length = STEER_BYTES_MAX;
	expect_nothing(&other, -EBADMSG);
	assert_true(is_entered(&visit.takeover));
	/* Messages of other sizes are ignored; what only the main thread may ask for is refused. */
	assert_int_equal(send(helper.worker.socket, &visit, 3, 0), 3);
	assert_int_equal(send(helper.worker.socket, &visit, 2000, 0), 2000);
	for (unsigned int kind = REPAIR_ATTACH; kind < REPAIR_NOT_RELEASED + 3; kind++) {
		assert_int_equal(repair_ask(&helper.worker, (enum repair_kind)kind, 22), 0);
		assert_int_equal(repair_read(&helper.worker, &answer, 5000), 1);
		assert_int_equal(answer.result, -EOPNOTSUPP);
	}
	assert_true(server_has_it(&visit));
	climb_to_ready(&visit);
	assert_continues(&visit);
	end(&visit);
}

static void test_pauses(void **test_state)
{
	struct ladder ladder = {.waited = 1};
	uint64_t all = 0;

	(void)test_state;
	for (uint64_t before = 0; ladder.waited < 1000; ladder.waited++) {
		uint64_t pause = ladder_pause(&ladder);

		assert_true(pause >= before && pause && pause <= 100000);
		before = pause;
		all += ladder.waited < 12 ? pause : 0;
	}
	assert_in_range(all, 200000, 600000); /* for the web server's socket to go away */
}

static int open_all(void **test_state)
{
	struct sentence why;

	(void)test_state;
	if (removal_open(&removal, &why))
		return -1;
	taken = bpf_map_create(BPF_MAP_TYPE_HASH, "taken", sizeof(struct steer_connection), STEER_TAKEN_SIZE, 16, NULL);
	state = mmap(NULL, sizeof(*state), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (taken < 0 || state == MAP_FAILED)
		return -1;
	start_helper(true);
	return 0;
}

static int close_all(void **test_state)
{
	(void)test_state;
	repair_helper_stop(&helper);
	removal_close(&removal);
	return 0;
}

static void test_proof(void **test_state)
{
	(void)test_state;
	assert_true(removal.destroys);
	assert_string_equal(removal.why_trace, "");
}

/* Timestamps have a secret offset, which the watch would have read. */
static bool without_timestamps(void)
{
	FILE *file = fopen("/proc/sys/net/ipv4/tcp_timestamps", "w");
	bool written = file && fputs("0", file) >= 0;

	return file && fclose(file) == 0 && written;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_proof),
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_socket),
		cmocka_unit_test(test_resets_only),
		cmocka_unit_test(test_nothing_removes_it),
		cmocka_unit_test(test_route_is_gone),
		cmocka_unit_test(test_descriptors_are_short),
		cmocka_unit_test(test_helper_is_stopped),
		cmocka_unit_test(test_others_wait),
		cmocka_unit_test(test_helper_is_stopped_for_long),
		cmocka_unit_test(test_helper_is_killed),
		cmocka_unit_test(test_helper_refuses),
		cmocka_unit_test(test_pauses),
	};

	if (!enter_private_network() || !without_timestamps()) {
		printf("SKIPPED: needs a network namespace of its own\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, open_all, close_all);
}
