// SPDX-License-Identifier: BSD-2-Clause
/* The small servers: accept, read one request, write the answer, close. Owned by the main thread. */
#include "operate/server.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/timer.h"

#define ACCEPT_AT_ONCE 16
#define PAUSE_US       (100 * MS) /* after accept() failed for want of something */
#define EVENTS         (SERVICES_MAX + SERVICE_CLIENTS)

/* epoll data: services come first, clients after them; above, which of the clients that had this place. */
static uint64_t mark_of_client(const struct services *services, const struct service_client *client)
{
	return (uint64_t)client->generation << 32 | (SERVICES_MAX + (uint64_t)(client - services->clients));
}

int services_open(struct services *services)
{
	*services = (struct services){.epoll = epoll_create1(EPOLL_CLOEXEC)};
	for (int i = 0; i < SERVICE_CLIENTS; i++)
		services->clients[i].fd = -1;
	return services->epoll < 0 ? -errno : 0;
}

static int watch_listener(struct services *services, unsigned int index)
{
	const struct service *service = services->services[index];
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = index};

	return service && epoll_ctl(services->epoll, EPOLL_CTL_ADD, service->fd, &event) ? -errno : 0;
}

int services_add(struct services *services, struct service *service)
{
	services->services[services->count] = service;
	return watch_listener(services, services->count++);
}

static void close_client(struct service_client *client)
{
	if (client->fd < 0)
		return;
	close(client->fd);
	text_free(&client->answer);
	client->fd = -1;
	client->generation++;
}

void services_close(struct services *services)
{
	if (services->epoll <= 0)
		return;
	for (int i = 0; i < SERVICE_CLIENTS; i++)
		close_client(&services->clients[i]);
	close(services->epoll);
	services->epoll = -1;
}

struct text *service_answer(struct service_client *client)
{
	return &client->answer;
}

/* --- writing --- */

static void set_events(struct services *services, struct service_client *client, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.u64 = mark_of_client(services, client)};

	if (epoll_ctl(services->epoll, EPOLL_CTL_MOD, client->fd, &event))
		close_client(client);
}

/*
 * What was asked beyond the request is read and forgotten: closing with unread bytes would reset the connection, and
 * the peer might lose our answer.
 */
static void close_politely(struct service_client *client)
{
	char rest[512];

	shutdown(client->fd, SHUT_WR);
	for (int i = 0; i < 16 && recv(client->fd, rest, sizeof(rest), MSG_DONTWAIT) > 0;)
		i++;
	close_client(client);
}

static void write_answer(struct services *services, struct service_client *client)
{
	struct text *answer = &client->answer;

	while (client->sent < answer->length) {
		ssize_t sent = send(client->fd, answer->bytes + client->sent, answer->length - client->sent,
				    MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno == EAGAIN) {
			/* Who asks and shuts down its side waits for the answer; a watcher that does so has gone. */
			set_events(services, client, client->watches ? EPOLLOUT | EPOLLRDHUP : EPOLLOUT);
			return;
		}
		if (sent < 0) {
			close_client(client);
			return;
		}
		client->sent += (size_t)sent;
	}
	if (!client->watches) {
		close_politely(client);
		return;
	}
	answer->length = client->sent = 0;
	set_events(services, client, EPOLLRDHUP);
}

static void begin_answer(struct services *services, struct service_client *client)
{
	client->answered = true;
	client->deadline = client->watches ? UINT64_MAX : monotonic_us() + SERVICE_PATIENCE_MS * MS;
	if (client->answer.failed)
		close_client(client);
	else
		write_answer(services, client);
}

unsigned int service_watchers(const struct services *services)
{
	unsigned int watchers = 0;

	for (int i = 0; i < SERVICE_CLIENTS; i++)
		watchers += services->clients[i].fd >= 0 && services->clients[i].watches;
	return watchers;
}

void service_keep(struct service_client *client, uint32_t what)
{
	client->watches = true;
	client->watched = what;
}

bool service_watch(struct services *services, struct service_client *client, uint32_t what)
{
	if (service_watchers(services) >= SERVICE_WATCHERS)
		return false;
	service_keep(client, what);
	return true;
}

void service_tell(struct service_client *client, const char *line, size_t length)
{
	if (client->answer.length - client->sent + length > SERVICE_BACKLOG_MAX) {
		client->left_out++;
		return;
	}
	if (client->left_out) {
		text_add(&client->answer, "(%lu lines left out: they were not read in time)\n", client->left_out);
		client->left_out = 0;
	}
	if (client->sent) {
		client->answer.length -= client->sent;
		memmove(client->answer.bytes, client->answer.bytes + client->sent, client->answer.length);
		client->sent = 0;
	}
	text_add_bytes(&client->answer, line, length);
	/* Sent by services_run(), which the caller's loop comes to next. */
}

/* --- reading --- */

static void read_request(struct services *services, struct service_client *client)
{
	size_t room = SERVICE_REQUEST_MAX - client->received;
	ssize_t count = recv(client->fd, client->request + client->received, room, MSG_DONTWAIT);
	char *end;

	if (count < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (count <= 0) { /* it left without a question */
		close_client(client);
		return;
	}
	client->received += (size_t)count;
	client->request[client->received] = '\0';
	end = memmem(client->request, client->received, client->service->terminator,
		     strlen(client->service->terminator));
	if (end) {
		*end = '\0';
		client->service->answer(client->service, client, client->request);
	} else if (client->received < SERVICE_REQUEST_MAX) {
		return;
	} else {
		client->service->refuse(client->service, client);
	}
	begin_answer(services, client);
}

/* --- accepting --- */

/* Room for another: who has not asked yet has to go first, then who does not take its answer; the oldest of them. */
static struct service_client *make_room(struct services *services)
{
	struct service_client *oldest = NULL;

	for (int i = 0; i < SERVICE_CLIENTS; i++) {
		struct service_client *client = &services->clients[i];

		if (client->fd < 0)
			return client;
		if (client->watches)
			continue;
		if (!oldest || client->answered < oldest->answered ||
		    (client->answered == oldest->answered && client->since < oldest->since))
			oldest = client;
	}
	if (oldest)
		close_client(oldest);
	return oldest;
}

/* False when accept() has failed for more than this connection. */
static bool accept_one(struct services *services, struct service *service)
{
	int fd = accept4(service->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct service_client *client;
	struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP};

	if (fd < 0)
		return errno == EAGAIN || errno == EINTR || errno == ECONNABORTED;
	client = make_room(services);
	if (!client) {
		close(fd);
		return true;
	}
	client->fd = fd;
	client->service = service;
	client->since = monotonic_us();
	client->deadline = client->since + SERVICE_PATIENCE_MS * MS;
	client->received = client->sent = 0;
	client->answered = client->watches = false;
	client->left_out = 0;
	event.data.u64 = mark_of_client(services, client);
	if (epoll_ctl(services->epoll, EPOLL_CTL_ADD, fd, &event))
		close_client(client);
	else if (service->admit && !service->admit(service, client, fd))
		begin_answer(services, client);
	return true;
}

static void accept_clients(struct services *services, struct service *service)
{
	static struct log_limit limit;
	unsigned long suppressed;

	for (int i = 0; i < ACCEPT_AT_ONCE; i++) {
		if (accept_one(services, service))
			continue;
		if (log_limit_pass(&limit, &suppressed))
			log_warn("%s takes nobody for the moment: %s (%lu more since)", service->what, strerror(errno),
				 suppressed);
		for (unsigned int index = 0; index < services->count; index++)
			epoll_ctl(services->epoll, EPOLL_CTL_DEL, services->services[index]->fd, NULL);
		services->paused_until = monotonic_us() + PAUSE_US;
		return;
	}
}

static void resume(struct services *services)
{
	services->paused_until = 0;
	for (unsigned int index = 0; index < services->count; index++)
		if (watch_listener(services, index) && errno != EEXIST)
			services->paused_until = monotonic_us() + PAUSE_US;
}

/* --- the loop --- */

static void client_event(struct services *services, uint64_t mark, uint32_t events)
{
	struct service_client *client = &services->clients[(uint32_t)mark - SERVICES_MAX];

	if (client->fd < 0 || mark_of_client(services, client) != mark) /* closed in this batch */
		return;
	if (!client->answered && events & EPOLLIN)
		read_request(services, client);
	else if (events & (EPOLLERR | EPOLLHUP) || (client->watches && events & EPOLLRDHUP) || !client->answered)
		close_client(client);
	else
		write_answer(services, client);
}

void services_run(struct services *services)
{
	struct epoll_event events[EVENTS];
	int count = services->epoll > 0 ? epoll_wait(services->epoll, events, EVENTS, 0) : 0;
	uint64_t now = monotonic_us();

	for (int i = 0; i < count; i++) {
		uint64_t mark = events[i].data.u64;

		if (mark < SERVICES_MAX)
			accept_clients(services, services->services[mark]);
		else
			client_event(services, mark, events[i].events);
	}
	if (services->paused_until && now >= services->paused_until)
		resume(services);
	for (int i = 0; i < SERVICE_CLIENTS; i++) {
		struct service_client *client = &services->clients[i];

		if (client->fd >= 0 && now >= client->deadline)
			close_client(client);
		else if (client->fd >= 0 && client->watches && client->sent < client->answer.length)
			write_answer(services, client);
	}
}

uint64_t services_next(const struct services *services)
{
	uint64_t next = services->paused_until ? services->paused_until : UINT64_MAX;

	for (int i = 0; services->epoll > 0 && i < SERVICE_CLIENTS; i++)
		if (services->clients[i].fd >= 0 && services->clients[i].deadline < next)
			next = services->clients[i].deadline;
	return next;
}
