/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Small servers of the main thread: the control socket and the metrics. Clients ask once, get an answer, and are
 * closed; only watchers stay. Everything is bounded: clients, the length of a request, the time for it and for taking
 * the answer. Nothing here blocks, and sessions know nothing of it.
 */
#ifndef ALPNBPF_OPERATE_SERVER_H
#define ALPNBPF_OPERATE_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

enum { SERVICES_MAX = 2, SERVICE_CLIENTS = 12, SERVICE_WATCHERS = 4, SERVICE_REQUEST_MAX = 4096 };

#define SERVICE_PATIENCE_MS 5000                   /* for a request, and then for taking the answer */
#define SERVICE_BACKLOG_MAX ((size_t)(256 * 1024)) /* what a watcher may owe us before lines are left out */

struct service_client;

struct service {
	const char *what;       /* "the control socket", for the log */
	const char *terminator; /* of a request */
	/* May this peer ask? NULL: everybody. False has put a refusal into the answer. */
	bool (*admit)(struct service *service, struct service_client *client, int fd);
	/* The request is complete and NUL-terminated; its answer goes into service_answer(client). */
	void (*answer)(struct service *service, struct service_client *client, char *request);
	/* It was longer than SERVICE_REQUEST_MAX. */
	void (*refuse)(struct service *service, struct service_client *client);
	void *context;
	int fd; /* listening; -1: none. Owned by whoever opened it */
};

struct service_client {
	int fd; /* -1: free */
	uint32_t generation;
	struct service *service;
	uint64_t since, deadline; /* us */
	size_t received, sent;
	bool answered, watches;
	uint32_t watched; /* what it watches, in the words of its service */
	unsigned long left_out;
	struct text answer;
	char request[SERVICE_REQUEST_MAX + 1];
};

struct services {
	int epoll; /* -1: not open */
	struct service *services[SERVICES_MAX];
	unsigned int count;
	uint64_t paused_until; /* us; accepting had failed */
	struct service_client clients[SERVICE_CLIENTS];
};

/* 0 or -errno. */
int services_open(struct services *services);
/* A service whose fd listens. 0 or -errno. */
int services_add(struct services *services, struct service *service);
void services_close(struct services *services);

/* Does what can be done now. Whenever the descriptor `epoll` is readable, and at services_next(). */
void services_run(struct services *services);
/* When it wants to be called at the latest, us; UINT64_MAX: only for events. */
uint64_t services_next(const struct services *services);

/* Where the answer of a client goes. */
struct text *service_answer(struct service_client *client);
/* It stays after its answer, for what service_tell() has. False: there are enough. */
bool service_watch(struct services *services, struct service_client *client, uint32_t what);
/* It stays after its answer, to the end; nothing is told. */
void service_keep(struct service_client *client, uint32_t what);
/* Those who stay. */
unsigned int service_watchers(const struct services *services);
/* A line for a watcher, or counted as left out if it does not read. */
void service_tell(struct service_client *client, const char *line, size_t length);

#endif
