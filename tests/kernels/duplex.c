// SPDX-License-Identifier: BSD-2-Clause
/*
 * Traffic for the guests of tests/kernels/run: sessions through the program with both directions full, where each end
 * reads in bursts, so that flows leave the kernel and return to it all the time. Both ends of each session are here,
 * and every byte is compared.
 *
 *   duplex PORT BACKEND_PORT SESSIONS BYTES     (BYTES each way; exits with 1 and a message if anything is wrong)
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CHUNK    32768
#define SESSIONS 64
#define BURST    (256 * 1024)
#define LIMIT_S  90
#define NO_HELLO 'G' /* not a TLS record: the route is https, at the first byte */

struct end {
	int fd;
	uint64_t sent, received;
	bool shut, ended;
};

static uint64_t bytes;

static void die(const char *what, uint64_t at)
{
	fprintf(stderr, "duplex: %s at %llu: %s\n", what, (unsigned long long)at, strerror(errno));
	exit(1);
}

/* Byte `at` of a stream; both directions have the same bytes, of which every one is checked. */
static unsigned char byte_at(uint64_t at)
{
	uint64_t x = (at >> 3) * 0x9E3779B97F4A7C15ULL;

	return at == 0 ? NO_HELLO : (unsigned char)((x ^ (x >> 29)) >> (8 * (at & 7)));
}

static int tcp(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0)
		die("socket", 0);
	return fd;
}

static struct sockaddr_in loopback(const char *port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons((uint16_t)atoi(port)),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void send_some(struct end *end)
{
	unsigned char buffer[CHUNK];
	size_t count = bytes - end->sent < CHUNK ? (size_t)(bytes - end->sent) : CHUNK;
	ssize_t sent;

	for (size_t i = 0; i < count; i++)
		buffer[i] = byte_at(end->sent + i);
	sent = send(end->fd, buffer, count, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent < 0 && errno != EAGAIN)
		die("send", end->sent);
	if (sent > 0)
		end->sent += (uint64_t)sent;
	if (end->sent == bytes && !end->shut) {
		shutdown(end->fd, SHUT_WR);
		end->shut = true;
	}
}

static void read_burst(struct end *end)
{
	unsigned char buffer[CHUNK];

	for (uint64_t burst = 0; burst < BURST;) {
		ssize_t count = recv(end->fd, buffer, sizeof(buffer), MSG_DONTWAIT);

		if (count < 0 && errno == EAGAIN)
			return;
		if (count < 0)
			die("recv", end->received);
		if (count == 0) {
			if (end->received != bytes)
				die("an early end", end->received);
			end->ended = true;
			return;
		}
		for (ssize_t i = 0; i < count; i++)
			if (buffer[i] != byte_at(end->received + (uint64_t)i))
				die("a wrong byte", end->received + (uint64_t)i);
		end->received += (uint64_t)count;
		burst += (uint64_t)count;
	}
}

/* One round over all ends: sends as much as possible; at random, reads a burst. Returns how many are not done. */
static int turn(struct end *ends, int count)
{
	int open = 0;

	for (int i = 0; i < count; i++) {
		struct end *end = &ends[i];

		if (!end->shut)
			send_some(end);
		if (!end->ended && rand() % 4 == 0)
			read_burst(end);
		open += !end->shut || !end->ended;
	}
	return open;
}

int main(int argc, char **argv)
{
	static struct end ends[2 * SESSIONS];
	struct sockaddr_in front, backend;
	int sessions, listener, on = 1;
	time_t begin = time(NULL);

	if (argc != 5)
		die("usage: PORT BACKEND_PORT SESSIONS BYTES", 0);
	front = loopback(argv[1]);
	backend = loopback(argv[2]);
	sessions = atoi(argv[3]);
	bytes = strtoull(argv[4], NULL, 10);
	if (sessions < 1 || sessions > SESSIONS)
		die("1 to 64 sessions", 0);
	listener = tcp();
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&backend, sizeof(backend)) || listen(listener, SESSIONS))
		die("listen", 0);
	for (int i = 0; i < sessions; i++) {
		ends[2 * i].fd = tcp();
		if (connect(ends[2 * i].fd, (struct sockaddr *)&front, sizeof(front)))
			die("connect", 0);
		send_some(&ends[2 * i]);
		ends[2 * i + 1].fd = accept(listener, NULL, NULL);
		if (ends[2 * i + 1].fd < 0)
			die("accept", 0);
	}
	while (turn(ends, 2 * sessions))
		if (time(NULL) - begin > LIMIT_S)
			die("no end", (uint64_t)LIMIT_S);
	printf("duplex: %d sessions, %llu bytes each way, all as sent, %ld s\n", sessions, (unsigned long long)bytes,
	       (long)(time(NULL) - begin));
	return 0;
}
