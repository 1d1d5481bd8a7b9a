// SPDX-License-Identifier: BSD-2-Clause
/*
 * The self-test of the sockmap: a data plane of one slot, two loopback connections, and bytes that must arrive:
 * redirected in one direction, redirected in the other, and passed to user space. Leaves nothing behind. Main thread,
 * at start-up.
 */
#include "dataplane/dataplane.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/descriptor.h"

#define DEADLINE_MS 5000 /* a kernel worker moves the bytes, which on a busy machine has to wait its turn */

/* Not TLS, so that the verdict decides at once. */
static const char question[] = "GET / HTTP/1.0\r\n\r\n", answer[] = "HTTP/1.0 200 OK\r\n\r\nself-test";

/* Two connections; the verdict redirects between their inner ends. */
struct bench {
	int client, backend; /* the outer ends */
	int inner[SIDES];    /* ours: CLIENT, BACKEND */
	uint64_t cookies[SIDES];
	struct dataplane dataplane;
	struct sentence *why; /* the step that failed */
};

/*
 * A TCP connection over loopback: ends[0] was connected, ends[1] accepted. Where loopback was taken down, nothing
 * answers, and connect() would wait for two minutes.
 */
static int connect_pair(int ends[2])
{
	const struct timeval patience = {.tv_sec = 1};
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP), error = 0;

	ends[0] = ends[1] = NO_DESCRIPTOR;
	if (listener < 0)
		return -errno;
	ends[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
	if (bind(listener, (struct sockaddr *)&address, length) || listen(listener, 1) ||
	    getsockname(listener, (struct sockaddr *)&address, &length) || ends[0] < 0 ||
	    setsockopt(ends[0], SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) ||
	    connect(ends[0], (struct sockaddr *)&address, length) ||
	    (ends[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) < 0)
		error = errno == EINPROGRESS ? -ETIMEDOUT : -errno;
	close(listener);
	return error;
}

static int open_bench(struct bench *bench)
{
	int outer[2], inner[2], error = connect_pair(outer);

	bench->client = outer[0];
	bench->inner[CLIENT] = outer[1];
	if (error)
		return sentence_error(bench->why, -EIO, "the self-test cannot connect over loopback: %s",
				      strerror(-error));
	error = connect_pair(inner);
	bench->inner[BACKEND] = inner[0];
	bench->backend = inner[1];
	if (error)
		return sentence_error(bench->why, -EIO, "the self-test cannot connect over loopback: %s",
				      strerror(-error));
	for (uint32_t side = CLIENT; side < SIDES; side++) {
		error = dataplane_insert(&bench->dataplane, SIDE_KEY(0, side), bench->inner[side],
					 &bench->cookies[side]);
		if (error)
			return sentence_error(bench->why, -EIO,
					      "the self-test cannot put a socket into the sockmap: %s",
					      strerror(-error));
	}
	return 0;
}

static void close_bench(struct bench *bench)
{
	for (int side = CLIENT; side < SIDES; side++)
		descriptor_close(&bench->inner[side]);
	descriptor_close(&bench->client);
	descriptor_close(&bench->backend);
}

/* Sends bytes at one end; exactly these must arrive at the other. */
static int carry_bytes(const struct bench *bench, int from, int to, const char *bytes, size_t length, const char *what)
{
	struct pollfd wait = {.fd = to, .events = POLLIN};
	char buffer[256];
	size_t got = 0;

	if (send(from, bytes, length, MSG_NOSIGNAL) != (ssize_t)length)
		return sentence_error(bench->why, -EIO, "the self-test cannot send: %s", strerror(errno));
	while (got < length) {
		ssize_t count;

		if (poll(&wait, 1, DEADLINE_MS) <= 0)
			return sentence_error(bench->why, -EIO, "%s did not arrive within %d ms: %zu of %zu bytes",
					      what, DEADLINE_MS, got, length);
		count = recv(to, buffer + got, sizeof(buffer) - got, MSG_DONTWAIT);
		if (count <= 0)
			return sentence_error(bench->why, -EIO, "%s ended after %zu of %zu bytes", what, got, length);
		got += (size_t)count;
	}
	if (got != length || memcmp(buffer, bytes, length) != 0)
		return sentence_error(bench->why, -EIO, "%s arrived altered", what);
	return 0;
}

static int carry_both_ways(struct bench *bench)
{
	struct flow *flows = bench->dataplane.flows;
	size_t asked = sizeof(question) - 1, answered = sizeof(answer) - 1;

	if (open_bench(bench))
		return -EIO;
	flows[CLIENT].mode = flows[BACKEND].mode = FLOW_LIVE;
	flows[CLIENT].rules = bench->dataplane.rules ? 1 : 0;
	if (carry_bytes(bench, bench->client, bench->backend, question, asked, "a redirected request") ||
	    carry_bytes(bench, bench->backend, bench->client, answer, answered, "a redirected answer"))
		return -EIO;
	if (__atomic_load_n(&flows[CLIENT].redirected, __ATOMIC_ACQUIRE) != asked ||
	    __atomic_load_n(&flows[BACKEND].redirected, __ATOMIC_ACQUIRE) != answered)
		return sentence_error(bench->why, -EIO, "bytes arrived, but the verdict did not redirect them");
	if (flows[CLIENT].route != ROUTE_HTTPS)
		return sentence_error(bench->why, -EIO, "the verdict did not read the first bytes");

	__atomic_store_n(&flows[CLIENT].mode, FLOW_USER, __ATOMIC_SEQ_CST);
	if (carry_bytes(bench, bench->client, bench->inner[CLIENT], question, asked, "a passed request"))
		return -EIO;
	if (__atomic_load_n(&flows[CLIENT].passed, __ATOMIC_ACQUIRE) != asked)
		return sentence_error(bench->why, -EIO, "bytes were passed, but the verdict did not count them");
	return 0;
}

int dataplane_selftest(bool with_rules, struct sentence *why)
{
	struct bench bench = {
		.client = NO_DESCRIPTOR, .backend = NO_DESCRIPTOR, .inner = {NO_DESCRIPTOR, NO_DESCRIPTOR}, .why = why};
	int error = dataplane_open_sockmap(&bench.dataplane, 1, 1, with_rules, why);

	if (error)
		return error;
	error = carry_both_ways(&bench);
	close_bench(&bench);
	dataplane_close(&bench.dataplane);
	return error;
}
