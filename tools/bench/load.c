// SPDX-License-Identifier: BSD-2-Clause
/*
 * The load generator of the benchmark: `load server PORT` and `load client ADDRESS PORT OPTION=NUMBER ...`, each with
 * one thread and one epoll set. The client prints one line of JSON. Every received byte is checked.
 *
 *   sessions=1 up=1 down=1 rounds=1     for each session; rounds=0 repeats until `seconds` have passed
 *   seconds=0                           ends the run
 *   reconnect=0                         replaces finished sessions by new ones, until there were so many
 *   pace=0                              bytes per second that each client reads
 *   rcvbuf=0 sndbuf=0                   of the client's sockets
 *   hold=0                              1: keep the sessions idle until standard input ends; 2: the server sends
 *                                       endlessly, the client reads nothing
 */
#include "load.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define DESCRIPTORS 65536
#define BATCH       256
#define TICK        0.02 /* seconds between two reads of paced readers */

struct connection {
	int fd;
	bool is_client, writing; /* EPOLLOUT is asked for */
	size_t preface;          /* bytes of hello and command sent or received so far */
	struct command command;
	uint64_t sent, received; /* of the pattern, each way */
	uint64_t send_to, receive_to;
	uint32_t round;
	double begun; /* of the round */
	double allowance;
};

static unsigned char hello[HELLO_BYTES], scratch[CHUNK];
static struct connection *pool; /* the server's by descriptor, the client's by number */
static int epoll;
static bool server_side;

static struct options {
	unsigned long long sessions, up, down, rounds, seconds, reconnect, pace, rcvbuf, sndbuf, hold;
} options = {.sessions = 1, .up = 1, .down = 1, .rounds = 1};

static struct sockaddr_storage target;
static socklen_t target_length;
static double now, deadline;
static uint64_t total_up, total_down, total_rounds, total_sessions;
static unsigned int active;
static float *latencies;
static size_t latency_count, latency_room;

static double clock_now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void watch(struct connection *connection, int operation)
{
	struct epoll_event event = {.events = EPOLLIN | (connection->writing ? (unsigned)EPOLLOUT : 0U),
				    .data.ptr = connection};

	if (epoll_ctl(epoll, operation, connection->fd, &event))
		die("epoll_ctl");
}

static void want_write(struct connection *connection, bool wanted)
{
	if (connection->writing == wanted)
		return;
	connection->writing = wanted;
	watch(connection, EPOLL_CTL_MOD);
}

static void begin_round(struct connection *connection)
{
	const struct command *command = &connection->command;

	connection->begun = now;
	connection->receive_to += connection->is_client ? command->down : command->up;
	if (connection->is_client)
		connection->send_to += command->up;
}

static void send_some(struct connection *connection)
{
	while (connection->sent < connection->send_to) {
		uint64_t left = connection->send_to - connection->sent;
		ssize_t sent = send(connection->fd, pattern_at(connection->sent), left < CHUNK ? left : CHUNK,
				    MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent < 0 && errno == EAGAIN) {
			want_write(connection, true);
			return;
		}
		if (sent < 0) {
			if (!connection->is_client) /* a client of a timed run has left */
				connection->send_to = connection->sent;
			else
				die("send");
			return;
		}
		connection->sent += (uint64_t)sent;
	}
	want_write(connection, false);
}

static void open_session(struct connection *connection)
{
	struct {
		unsigned char hello[HELLO_BYTES];
		unsigned char command[sizeof(struct command)];
	} preface;
	int on = 1, value;

	*connection = (struct connection){
		.fd = socket(target.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0),
		.is_client = true,
		.command = {options.up, options.down, (uint32_t)options.rounds, options.hold == 2},
	};
	if (connection->fd < 0)
		die("socket");
	setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	value = (int)options.rcvbuf;
	if (value)
		setsockopt(connection->fd, SOL_SOCKET, SO_RCVBUF, &value, sizeof(value));
	value = (int)options.sndbuf;
	if (value)
		setsockopt(connection->fd, SOL_SOCKET, SO_SNDBUF, &value, sizeof(value));
	if (connect(connection->fd, (struct sockaddr *)&target, target_length))
		die("connect");
	memcpy(preface.hello, hello, sizeof(preface.hello));
	memcpy(preface.command, &connection->command, sizeof(preface.command));
	/* Like a TLS client: first the hello alone, then the rest. */
	if (send(connection->fd, preface.hello, sizeof(preface.hello), MSG_NOSIGNAL) != sizeof(preface.hello) ||
	    send(connection->fd, preface.command, sizeof(preface.command), MSG_NOSIGNAL) != sizeof(preface.command))
		die("send of the preface");
	total_sessions++;
	active++;
	watch(connection, EPOLL_CTL_ADD);
	begin_round(connection);
	send_some(connection);
}

static void close_session(struct connection *connection)
{
	close(connection->fd);
	connection->fd = -1;
	if (!server_side) {
		total_up += connection->sent;
		total_down += connection->received;
		active--;
	}
}

static void note_latency(double seconds)
{
	if (latency_count == latency_room) {
		latency_room = latency_room ? 2 * latency_room : 65536;
		latencies = realloc(latencies, latency_room * sizeof(*latencies));
		if (!latencies)
			die("memory");
	}
	latencies[latency_count++] = (float)seconds;
}

static void end_round(struct connection *connection)
{
	connection->round++;
	if (connection->is_client) {
		total_rounds++;
		note_latency(now - connection->begun);
	}
	if (connection->command.rounds == 0 || connection->round < connection->command.rounds) {
		begin_round(connection);
		if (connection->is_client)
			send_some(connection);
		return;
	}
	if (!connection->is_client || options.hold)
		return;
	close_session(connection);
	if (total_sessions < options.reconnect)
		open_session(connection);
}

/* False when the connection has ended. */
static bool receive_some(struct connection *connection, size_t most)
{
	while (most) {
		size_t want = most < CHUNK ? most : CHUNK;
		ssize_t count;

		if (!connection->is_client && connection->preface < HELLO_BYTES + sizeof(struct command)) {
			unsigned char preface[HELLO_BYTES + sizeof(struct command)];

			count = recv(connection->fd, preface + connection->preface,
				     sizeof(preface) - connection->preface, MSG_DONTWAIT);
			if (count <= 0)
				return count < 0 && errno == EAGAIN;
			if (connection->preface < HELLO_BYTES && connection->preface + (size_t)count > HELLO_BYTES)
				memcpy(&connection->command, preface + HELLO_BYTES,
				       connection->preface + (size_t)count - HELLO_BYTES);
			else if (connection->preface >= HELLO_BYTES)
				memcpy((char *)&connection->command + connection->preface - HELLO_BYTES,
				       preface + connection->preface, (size_t)count);
			for (size_t i = connection->preface; i < connection->preface + (size_t)count; i++)
				if (i < HELLO_BYTES && preface[i] != hello[i])
					die("the hello is not what was sent");
			connection->preface += (size_t)count;
			if (connection->preface < sizeof(preface))
				continue;
			if (connection->command.linger) {
				connection->send_to = UINT64_MAX;
				send_some(connection);
				return true;
			}
			begin_round(connection);
			continue;
		}
		if (!connection->is_client && connection->command.linger) {
			count = recv(connection->fd, scratch, CHUNK, MSG_DONTWAIT);
			return count > 0 || (count < 0 && errno == EAGAIN);
		}
		if (connection->receive_to && connection->receive_to - connection->received < want)
			want = connection->receive_to - connection->received;
		if (!want)
			want = 1; /* the end */
		count = recv(connection->fd, scratch, want, MSG_DONTWAIT);
		if (count < 0 && errno == EAGAIN)
			return true;
		if (count <= 0)
			return false;
		if (connection->received + (uint64_t)count > connection->receive_to ||
		    memcmp(scratch, pattern_at(connection->received), (size_t)count) != 0)
			die("bytes that were not sent");
		connection->received += (uint64_t)count;
		most -= (size_t)count < most ? (size_t)count : most;
		if (connection->received < connection->receive_to)
			continue;
		if (connection->is_client) {
			end_round(connection);
			return true;
		}
		connection->send_to += connection->command.down; /* the answer; the last one may still be under way */
		send_some(connection);
		end_round(connection);
	}
	return true;
}

/* --- the server --- */

static void accept_all(int listener)
{
	int fd, on = 1;

	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		struct connection *connection = &pool[fd];

		*connection = (struct connection){.fd = fd};
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		watch(connection, EPOLL_CTL_ADD);
	}
}

static void serve(const char *port)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)atoi(port))};
	int listener = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
	struct epoll_event events[BATCH], event = {.events = EPOLLIN, .data.ptr = NULL};

	pool = calloc(DESCRIPTORS, sizeof(*pool));
	if (!pool)
		die("memory");
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&any, sizeof(any)) || listen(listener, 8192))
		die("listen");
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event))
		die("epoll_ctl");
	for (;;) {
		int count = epoll_wait(epoll, events, BATCH, -1);

		for (int i = 0; i < count; i++) {
			struct connection *connection = events[i].data.ptr;

			if (!connection) {
				accept_all(listener);
				continue;
			}
			if (events[i].events & EPOLLOUT)
				send_some(connection);
			if (!(events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) ||
			    receive_some(connection, 4 * CHUNK))
				continue;
			close_session(connection);
		}
	}
}

/* --- the client --- */

static int by_size(const void *a, const void *b)
{
	float left = *(const float *)a, right = *(const float *)b;

	return (left > right) - (left < right);
}

static double percentile(double share)
{
	return latency_count ? (double)latencies[(size_t)((double)(latency_count - 1) * share)] : 0;
}

static void report(double seconds)
{
	qsort(latencies, latency_count, sizeof(*latencies), by_size);
	printf("{\"seconds\": %.6f, \"sessions\": %llu, \"rounds\": %llu, \"up\": %llu, \"down\": %llu, \"p50\": %.7f, "
	       "\"p99\": %.7f}\n",
	       seconds, (unsigned long long)total_sessions, (unsigned long long)total_rounds,
	       (unsigned long long)total_up, (unsigned long long)total_down, percentile(0.5), percentile(0.99));
}

static void read_paced(struct connection *connections)
{
	struct timespec tick = {.tv_nsec = (long)(TICK * 1e9)};

	while (active && (!options.seconds || now < deadline)) {
		double last = now;

		nanosleep(&tick, NULL);
		now = clock_now();
		for (unsigned long long i = 0; i < options.sessions; i++) {
			struct connection *connection = &connections[i];
			uint64_t before = connection->received;

			if (connection->fd < 0)
				continue;
			connection->allowance += (double)options.pace * (now - last);
			if (connection->allowance < 1)
				continue;
			if (!receive_some(connection, (size_t)connection->allowance))
				die("an early end");
			if (connection->fd >= 0 && connection->received > before)
				connection->allowance -= (double)(connection->received - before);
			if (connection->allowance > (double)options.pace * 4 * TICK) /* an idle link saves nothing */
				connection->allowance = (double)options.pace * 4 * TICK;
		}
	}
}

static void read_at_once(void)
{
	struct epoll_event events[BATCH];

	while (active && (!options.seconds || now < deadline)) {
		int wait = options.seconds ? (int)((deadline - now) * 1000) + 1 : -1;
		int count = epoll_wait(epoll, events, BATCH, wait < 0 && options.seconds ? 100 : wait);

		now = clock_now();
		for (int i = 0; i < count; i++) {
			struct connection *connection = events[i].data.ptr;

			if (events[i].events & EPOLLOUT)
				send_some(connection);
			if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR) && !receive_some(connection, 4 * CHUNK))
				die("an early end");
		}
	}
}

static void hold(void)
{
	char byte;

	printf("{\"holding\": %llu}\n", options.sessions);
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
}

static void run_client(void)
{
	struct connection *connections = pool = calloc(options.sessions, sizeof(*pool));
	double begin;

	if (!connections)
		die("memory");
	now = begin = clock_now();
	deadline = begin + (double)options.seconds;
	for (unsigned long long i = 0; i < options.sessions; i++)
		open_session(&connections[i]);
	if (options.hold == 2) {
		hold();
		return;
	}
	if (options.hold) {
		while (total_rounds < options.sessions * options.rounds) {
			struct epoll_event events[BATCH];
			int count = epoll_wait(epoll, events, BATCH, 1000);

			now = clock_now();
			for (int i = 0; i < count; i++)
				receive_some(events[i].data.ptr, CHUNK);
		}
		hold();
		return;
	}
	if (options.pace)
		read_paced(connections);
	else
		read_at_once();
	for (unsigned long long i = 0; i < options.sessions; i++)
		if (connections[i].fd >= 0)
			close_session(&connections[i]);
	report(clock_now() - begin);
}

static void parse(int argc, char **argv)
{
	static const struct {
		const char *name;
		unsigned long long *value;
	} names[] = {{"sessions", &options.sessions}, {"up", &options.up},           {"down", &options.down},
		     {"rounds", &options.rounds},     {"seconds", &options.seconds}, {"reconnect", &options.reconnect},
		     {"pace", &options.pace},         {"rcvbuf", &options.rcvbuf},   {"sndbuf", &options.sndbuf},
		     {"hold", &options.hold}};

	for (int i = 0; i < argc; i++) {
		const char *equals = strchr(argv[i], '=');
		bool known = false;

		for (size_t n = 0; equals && n < sizeof(names) / sizeof(names[0]); n++)
			if (strlen(names[n].name) == (size_t)(equals - argv[i]) &&
			    strncmp(names[n].name, argv[i], (size_t)(equals - argv[i])) == 0) {
				*names[n].value = strtoull(equals + 1, NULL, 10);
				known = true;
			}
		if (!known) {
			fprintf(stderr, "load: unknown option %s\n", argv[i]);
			exit(2);
		}
	}
}

static void set_target(const char *address, const char *port)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&target;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&target;

	if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)atoi(port));
		target_length = sizeof(*v4);
	} else if (inet_pton(AF_INET6, address, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)atoi(port));
		target_length = sizeof(*v6);
	} else {
		die(address);
	}
}

int main(int argc, char **argv)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max < DESCRIPTORS ? limit.rlim_max : DESCRIPTORS;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	pattern_fill();
	hello_fill(hello);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (argc == 3 && strcmp(argv[1], "server") == 0) {
		server_side = true;
		serve(argv[2]);
	} else if (argc == 2 && strcmp(argv[1], "hello") == 0) {
		return fwrite(hello, sizeof(hello), 1, stdout) != 1;
	} else if (argc >= 4 && strcmp(argv[1], "client") == 0) {
		set_target(argv[2], argv[3]);
		parse(argc - 4, argv + 4);
		run_client();
		return 0;
	}
	fprintf(stderr, "usage: load server PORT | load client ADDRESS PORT [OPTION=NUMBER ...] | load hello\n");
	return 2;
}
