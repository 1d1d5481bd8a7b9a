// SPDX-License-Identifier: BSD-2-Clause
/* The servers: accept, read one request, write the answer, close. Owns the clients. Main thread. */
#include "operate/server.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "base/log.h"
#include "base/timer.h"

#define ACCEPT_AT_ONCE 16
#define PAUSE_US       (100 * US_PER_MS) /* after accept() failed, for example without free descriptors */
#define EVENTS         (SERVERS_MAX + SERVER_CLIENTS)

/* epoll data: the index, servers first, then clients; in the upper half, the generation of the client. */
static uint64_t mark_of_client(const struct servers *servers, const struct server_client *client)
{
	return (uint64_t)client->generation << 32 | (SERVERS_MAX + (uint64_t)(client - servers->clients));
}

int servers_open(struct servers *servers)
{
	*servers = (struct servers){.epoll = epoll_create1(EPOLL_CLOEXEC)};
	for (int i = 0; i < SERVER_CLIENTS; i++)
		servers->clients[i].fd = NO_DESCRIPTOR;
	return servers->epoll < 0 ? -errno : 0;
}

static int poll_listener(struct servers *servers, unsigned int index)
{
	const struct server *server = servers->servers[index];
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = index};

	return server && epoll_ctl(servers->epoll, EPOLL_CTL_ADD, server->fd, &event) ? -errno : 0;
}

int servers_add(struct servers *servers, struct server *server)
{
	servers->servers[servers->count] = server;
	return poll_listener(servers, servers->count++);
}

static void close_client(struct server_client *client)
{
	if (client->state == CLIENT_FREE)
		return;
	descriptor_close(&client->fd);
	text_free(&client->answer);
	client->state = CLIENT_FREE;
	client->generation++;
}

void servers_close(struct servers *servers)
{
	for (int i = 0; i < SERVER_CLIENTS; i++)
		close_client(&servers->clients[i]);
	descriptor_close(&servers->epoll);
}

struct text *server_answer(struct server_client *client)
{
	return &client->answer;
}

/* --- writing --- */

/* EPOLLERR and EPOLLHUP are always reported. */
static void set_events(struct servers *servers, struct server_client *client, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.u64 = mark_of_client(servers, client)};

	if (epoll_ctl(servers->epoll, EPOLL_CTL_MOD, client->fd, &event))
		close_client(client);
}

/*
 * Discards bytes after the request: closing with unread bytes would reset the connection, and the peer might lose the
 * answer.
 */
static void close_politely(struct server_client *client)
{
	char rest[512];

	shutdown(client->fd, SHUT_WR);
	for (int i = 0; i < 16 && recv(client->fd, rest, sizeof(rest), MSG_DONTWAIT) > 0;)
		i++;
	close_client(client);
}

static void write_answer(struct servers *servers, struct server_client *client)
{
	struct text *answer = &client->answer;

	while (client->sent < answer->length) {
		ssize_t sent = send(client->fd, answer->bytes + client->sent, answer->length - client->sent,
				    MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno == EAGAIN) {
			/* A client may shut down its side and wait for the answer; a follower that does is gone. */
			set_events(servers, client, client->state == CLIENT_FOLLOWS ? EPOLLOUT | EPOLLRDHUP : EPOLLOUT);
			return;
		}
		if (sent < 0) {
			close_client(client);
			return;
		}
		client->sent += (size_t)sent;
	}
	if (client->state != CLIENT_FOLLOWS) {
		close_politely(client);
		return;
	}
	answer->length = client->sent = 0;
	set_events(servers, client, EPOLLRDHUP);
}

static void send_answer(struct servers *servers, struct server_client *client)
{
	if (client->state != CLIENT_FOLLOWS)
		client->state = CLIENT_READS;
	client->deadline =
		client->state == CLIENT_FOLLOWS ? UINT64_MAX : monotonic_us() + SERVER_PATIENCE_MS * US_PER_MS;
	if (client->answer.failed)
		close_client(client);
	else
		write_answer(servers, client);
}

void server_wait(struct server_client *client, uint32_t subject, uint64_t turn)
{
	client->state = CLIENT_WAITS;
	client->subject = subject;
	client->turn = turn;
	client->deadline = UINT64_MAX;
}

struct server_client *servers_waiting(struct servers *servers, uint32_t subject, uint64_t turn)
{
	for (int i = 0; i < SERVER_CLIENTS; i++) {
		struct server_client *client = &servers->clients[i];

		if (client->state == CLIENT_WAITS && client->subject == subject && client->turn == turn)
			return client;
	}
	return NULL;
}

void server_reply(struct servers *servers, struct server_client *client)
{
	send_answer(servers, client);
}

unsigned int server_followers(const struct servers *servers)
{
	unsigned int followers = 0;

	for (int i = 0; i < SERVER_CLIENTS; i++)
		followers += servers->clients[i].state == CLIENT_FOLLOWS;
	return followers;
}

void server_keep(struct server_client *client, uint32_t subject)
{
	client->state = CLIENT_FOLLOWS;
	client->subject = subject;
}

bool server_follow(struct servers *servers, struct server_client *client, uint32_t subject)
{
	if (server_followers(servers) >= SERVER_FOLLOWERS)
		return false;
	server_keep(client, subject);
	return true;
}

void server_send_line(struct server_client *client, const char *line, size_t length)
{
	if (client->answer.length - client->sent + length > SERVER_BACKLOG_MAX) {
		client->dropped++;
		return;
	}
	if (client->dropped) {
		text_add(&client->answer, "(%lu lines dropped: reader too slow)\n", client->dropped);
		client->dropped = 0;
	}
	if (client->sent) {
		client->answer.length -= client->sent;
		memmove(client->answer.bytes, client->answer.bytes + client->sent, client->answer.length);
		client->sent = 0;
	}
	text_add_bytes(&client->answer, line, length);
}

/* --- reading --- */

static void read_request(struct servers *servers, struct server_client *client)
{
	size_t room = SERVER_REQUEST_MAX - client->received;
	ssize_t count = recv(client->fd, client->request + client->received, room, MSG_DONTWAIT);
	char *end;

	if (count < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (count <= 0) { /* closed before it sent a request */
		close_client(client);
		return;
	}
	client->received += (size_t)count;
	client->request[client->received] = '\0';
	end = memmem(client->request, client->received, client->server->terminator, strlen(client->server->terminator));
	if (end) {
		*end = '\0';
		client->server->answer(client->server, client, client->request);
	} else if (client->received < SERVER_REQUEST_MAX) {
		return;
	} else {
		client->server->refuse(client->server, client);
	}
	if (client->state == CLIENT_WAITS)
		set_events(servers, client, 0);
	else
		send_answer(servers, client);
}

/* --- accepting --- */

/*
 * Finds a free entry. If this server has all of its places taken, closes the oldest client that has sent no request, or
 * else the oldest that does not read its answer. Clients that wait for an answer stay, because it comes soon. NULL if
 * all do.
 */
static struct server_client *make_room(struct servers *servers, const struct server *server)
{
	struct server_client *oldest = NULL, *free_one = NULL;
	unsigned int count = 0;

	for (int i = 0; i < SERVER_CLIENTS; i++) {
		struct server_client *client = &servers->clients[i];

		if (client->state == CLIENT_FREE)
			free_one = client;
		if (client->state == CLIENT_FREE || client->server != server)
			continue;
		count++;
		if (client->state != CLIENT_ASKS && client->state != CLIENT_READS)
			continue;
		if (!oldest || client->state < oldest->state ||
		    (client->state == oldest->state && client->since < oldest->since))
			oldest = client;
	}
	if (count < SERVER_PLACES)
		return free_one;
	if (oldest)
		close_client(oldest);
	return oldest;
}

/* False if accept() failed in a way that affects further connections. */
static bool accept_client(struct servers *servers, struct server *server)
{
	int fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct server_client *client;
	struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP};

	if (fd < 0)
		return errno == EAGAIN || errno == EINTR || errno == ECONNABORTED;
	client = make_room(servers, server);
	if (!client) {
		close(fd);
		return true;
	}
	client->fd = fd;
	client->server = server;
	client->since = monotonic_us();
	client->deadline = client->since + SERVER_PATIENCE_MS * US_PER_MS;
	client->received = client->sent = 0;
	client->state = CLIENT_ASKS;
	client->dropped = 0;
	event.data.u64 = mark_of_client(servers, client);
	if (epoll_ctl(servers->epoll, EPOLL_CTL_ADD, fd, &event))
		close_client(client);
	else if (server->admit && !server->admit(server, client, fd))
		send_answer(servers, client);
	return true;
}

static void accept_clients(struct servers *servers, struct server *server)
{
	static struct log_limit limit;
	unsigned long suppressed;

	for (int i = 0; i < ACCEPT_AT_ONCE; i++) {
		if (accept_client(servers, server))
			continue;
		if (log_limit_pass(&limit, &suppressed))
			log_warn("cannot accept connections to %s: %s; pausing for a moment (%lu more suppressed)",
				 server->what, strerror(errno), suppressed);
		for (unsigned int index = 0; index < servers->count; index++)
			epoll_ctl(servers->epoll, EPOLL_CTL_DEL, servers->servers[index]->fd, NULL);
		servers->paused_until = monotonic_us() + PAUSE_US;
		return;
	}
}

static void resume_accepting(struct servers *servers)
{
	servers->paused_until = 0;
	for (unsigned int index = 0; index < servers->count; index++)
		if (poll_listener(servers, index) && errno != EEXIST)
			servers->paused_until = monotonic_us() + PAUSE_US;
}

/* --- the loop --- */

static void client_event(struct servers *servers, uint64_t mark, uint32_t events)
{
	struct server_client *client = &servers->clients[(uint32_t)mark - SERVERS_MAX];

	if (mark_of_client(servers, client) != mark) /* closed by an earlier event of this batch */
		return;
	if (client->state == CLIENT_ASKS && events & EPOLLIN)
		read_request(servers, client);
	else if (events & (EPOLLERR | EPOLLHUP) || client->state == CLIENT_ASKS ||
		 (client->state == CLIENT_FOLLOWS && events & EPOLLRDHUP))
		close_client(client);
	else if (client->state != CLIENT_WAITS)
		write_answer(servers, client);
}

void servers_run(struct servers *servers)
{
	struct epoll_event events[EVENTS];
	int count = epoll_wait(servers->epoll, events, EVENTS, 0); /* fails if servers_open() failed */
	uint64_t now = monotonic_us();

	for (int i = 0; i < count; i++) {
		uint64_t mark = events[i].data.u64;

		if (mark < SERVERS_MAX)
			accept_clients(servers, servers->servers[mark]);
		else
			client_event(servers, mark, events[i].events);
	}
	if (servers->paused_until && now >= servers->paused_until)
		resume_accepting(servers);
	for (int i = 0; i < SERVER_CLIENTS; i++) {
		struct server_client *client = &servers->clients[i];

		if (client->state != CLIENT_FREE && now >= client->deadline)
			close_client(client);
		else if (client->state == CLIENT_FOLLOWS && client->sent < client->answer.length)
			write_answer(servers, client);
	}
}

uint64_t servers_next(const struct servers *servers)
{
	uint64_t next = servers->paused_until ? servers->paused_until : UINT64_MAX;

	for (int i = 0; i < SERVER_CLIENTS; i++)
		if (servers->clients[i].state != CLIENT_FREE && servers->clients[i].deadline < next)
			next = servers->clients[i].deadline;
	return next;
}
