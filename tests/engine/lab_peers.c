// SPDX-License-Identifier: BSD-2-Clause
/* Clients and backends of the lab, and the bytes between them. See lab.h. */
#include "engine/lab.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "engine/loop.h"
#include "hellos.h"

/* --- backends --- */

static struct sockaddr_in loopback(unsigned int port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
}

static int new_socket(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP), on = 1;

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
	return fd;
}

unsigned int lab_port_of(int fd)
{
	struct sockaddr_in address = {0};
	socklen_t length = sizeof(address);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	return ntohs(address.sin_port);
}

int lab_bound_socket(unsigned int port)
{
	struct sockaddr_in address = loopback(port);
	int fd = new_socket();

	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

void lab_listen(struct lab *lab, enum route route)
{
	assert_int_equal(lab->backends[route], NO_DESCRIPTOR);
	lab->backends[route] = lab_bound_socket(lab->backend_ports[route]);
	assert_int_equal(listen(lab->backends[route], 64), 0);
	lab->backend_ports[route] = lab_port_of(lab->backends[route]);
}

void lab_unlisten(struct lab *lab, enum route route)
{
	descriptor_close(&lab->backends[route]);
}

/* --- peers --- */

int lab_keep(struct lab *lab, int fd)
{
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	for (int i = 0; i < LAB_PEERS_MAX; i++) {
		if (lab->peers[i] != NO_DESCRIPTOR)
			continue;
		lab->peers[i] = fd;
		return fd;
	}
	fail_msg("more than %d peers", LAB_PEERS_MAX);
	return fd;
}

void lab_hang_up(struct lab *lab, int fd)
{
	for (int i = 0; i < LAB_PEERS_MAX; i++)
		if (lab->peers[i] == fd)
			lab->peers[i] = NO_DESCRIPTOR;
	close(fd);
}

void lab_reset(struct lab *lab, int fd)
{
	struct linger linger = {.l_onoff = 1};

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	lab_hang_up(lab, fd);
}

static int dial(struct lab *lab, int fd)
{
	struct sockaddr_in address = loopback(lab->port);

	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)))
		assert_int_equal(errno, EINPROGRESS);
	return lab_keep(lab, fd);
}

int lab_dial(struct lab *lab)
{
	return dial(lab, new_socket());
}

int lab_dial_from(struct lab *lab, const char *from)
{
	struct sockaddr_in address = loopback(0);
	int fd = new_socket();

	assert_int_equal(inet_pton(AF_INET, from, &address.sin_addr), 1);
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	return dial(lab, fd);
}

/* Does not wait. A connection that was kept in `ahead` comes first. */
static int accept_one(struct lab *lab, enum route route)
{
	int fd = route == ROUTE_HTTPS ? lab->ahead : NO_DESCRIPTOR;

	if (fd != NO_DESCRIPTOR) {
		lab->ahead = NO_DESCRIPTOR;
		return fd;
	}
	fd = accept4(lab->backends[route], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	return fd >= 0 ? lab_keep(lab, fd) : fd;
}

int lab_accept(struct lab *lab, enum route route)
{
	ssize_t said;
	char byte;
	int fd;

	for (;;) {
		lab_until(lab, (fd = accept_one(lab, route)) >= 0);
		if (lab_used() == DATAPLANE_USER || route != ROUTE_HTTPS)
			return fd;
		lab_until(lab, (said = recv(fd, &byte, 1, MSG_PEEK)) >= 0 || errno != EAGAIN);
		if (said > 0)
			return fd;
		lab_hang_up(lab, fd);
	}
}

void lab_expect_no_connection(struct lab *lab, enum route route)
{
	char byte;
	int fd;

	lab_settle(lab);
	fd = accept_one(lab, route);
	if (fd < 0)
		return;
	assert_true(lab_used() == DATAPLANE_SOCKMAP && route == ROUTE_HTTPS);
	assert_true(recv(fd, &byte, 1, MSG_PEEK) <= 0);
	lab->ahead = fd;
}

void lab_send(struct lab *lab, int fd, const void *bytes, size_t length)
{
	const uint8_t *at = bytes;

	while (length) {
		ssize_t sent;

		lab_until(lab, (sent = send(fd, at, length, MSG_NOSIGNAL)) > 0);
		at += sent;
		length -= (size_t)sent;
	}
}

void lab_expect(struct lab *lab, int fd, const void *bytes, size_t length)
{
	uint8_t buffer[16384];
	const uint8_t *at = bytes;

	while (length) {
		size_t most = length < sizeof(buffer) ? length : sizeof(buffer);
		ssize_t count;

		lab_until(lab, (count = recv(fd, buffer, most, 0)) >= 0 || errno != EAGAIN);
		if (count <= 0)
			fail_msg("expected %zu more bytes, but %s", length,
				 count ? strerror(errno) : "the peer closed");
		assert_memory_equal(buffer, at, (size_t)count);
		at += count;
		length -= (size_t)count;
	}
}

/* --- many bytes --- */

#define CHUNK 65536

/* Its period is the size of no buffer. */
static uint8_t pattern_at(uint64_t offset)
{
	return (uint8_t)(offset % 251 + offset / 65521);
}

void lab_pattern(uint8_t *out, size_t length, uint64_t offset)
{
	for (size_t i = 0; i < length; i++)
		out[i] = pattern_at(offset + i);
}

/* Returns how many bytes were sent; 0: the socket is full. */
static size_t send_pattern(int fd, size_t length, uint64_t offset)
{
	static uint8_t bytes[CHUNK];
	size_t count = length < CHUNK ? length : CHUNK;
	ssize_t sent;

	lab_pattern(bytes, count, offset);
	sent = send(fd, bytes, count, MSG_NOSIGNAL);
	assert_true(sent > 0 || errno == EAGAIN);
	return sent > 0 ? (size_t)sent : 0;
}

/* Returns how many bytes came; 0: none yet. Checks each. */
static size_t receive_pattern(int fd, size_t length, uint64_t offset)
{
	static uint8_t bytes[CHUNK], expected[CHUNK];
	size_t most = length < CHUNK ? length : CHUNK;
	ssize_t count = recv(fd, bytes, most, 0);

	if (count < 0 && errno == EAGAIN)
		return 0;
	assert_true(count > 0);
	lab_pattern(expected, (size_t)count, offset);
	assert_memory_equal(bytes, expected, (size_t)count);
	return (size_t)count;
}

void lab_move(struct lab *lab, int from, int to, size_t length, uint64_t *offset)
{
	size_t sent = 0, received = 0;

	while (received < length) {
		size_t before = sent + received;

		if (sent < length)
			sent += send_pattern(from, length - sent, *offset + sent);
		received += receive_pattern(to, length - received, *offset + received);
		if (sent + received == before)
			lab_turn(lab);
		else if (lab->worker)
			worker_turn(lab->worker, 0);
	}
	*offset += length;
}

size_t lab_fill(struct lab *lab, int from, uint64_t offset)
{
	size_t total = 0;

	for (int idle = 0; idle < 5; idle++) {
		size_t sent;

		while ((sent = send_pattern(from, CHUNK, offset + total))) {
			total += sent;
			idle = 0;
		}
		lab_turn(lab);
	}
	return total;
}

void lab_expect_pattern(struct lab *lab, int fd, size_t length, uint64_t offset)
{
	for (size_t received = 0; received < length;) {
		size_t count;

		lab_until(lab, (count = receive_pattern(fd, length - received, offset + received)) > 0);
		received += count;
	}
}

void lab_expect_nothing(struct lab *lab, int fd)
{
	char byte;

	lab_settle(lab);
	assert_int_equal(recv(fd, &byte, 1, 0), -1);
	assert_int_equal(errno, EAGAIN);
}

void lab_expect_end(struct lab *lab, int fd)
{
	ssize_t count;
	char byte;

	lab_until(lab, (count = recv(fd, &byte, 1, 0)) >= 0 || errno != EAGAIN);
	assert_int_equal(count, 0);
}

void lab_expect_reset(struct lab *lab, int fd)
{
	ssize_t count;
	char byte;

	lab_until(lab, (count = recv(fd, &byte, 1, 0)) >= 0 || errno != EAGAIN);
	assert_int_equal(count, -1);
	assert_int_equal(errno, ECONNRESET);
}

/* --- hellos --- */

struct lab_hello lab_hello(const char *server_name, const char *alpn)
{
	static struct wire message, records;
	struct hello_open open;

	message.length = records.length = 0;
	open = hello_begin(&message);
	if (server_name)
		put_sni(&message, server_name);
	if (alpn) {
		const struct name list[] = {{alpn, (uint8_t)strlen(alpn)}, {NULL, 0}};

		put_alpn(&message, list);
	}
	hello_end(&message, open);
	put_records(&records, &message, CLIENTHELLO_RECORD_MAX);
	return (struct lab_hello){records.bytes, records.length};
}

struct lab_hello lab_hello_for(enum route route)
{
	if (route == ROUTE_ACME)
		return lab_hello("www.example.org", "acme-tls/1");
	return lab_hello(route == ROUTE_HTTPS ? "www.example.org" : route_name(route), "h2");
}

struct lab_pair lab_pair(struct lab *lab, enum route route)
{
	struct lab_hello hello = lab_hello_for(route);
	struct lab_pair pair = {.client = lab_dial(lab)};

	lab_send(lab, pair.client, hello.bytes, hello.length);
	pair.backend = lab_accept(lab, route);
	lab_expect(lab, pair.backend, hello.bytes, hello.length);
	return pair;
}
