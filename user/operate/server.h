/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Small servers of the main thread: the control socket and the metrics. Clients ask once, get an answer, and are
 * closed; only followers stay. Everything is bounded: clients, the length of a request, the time for it and for taking
 * the answer. Nothing here blocks, and sessions know nothing of it.
 */
#ifndef ALPNBPF_OPERATE_SERVER_H
#define ALPNBPF_OPERATE_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

enum { SERVERS_MAX = 2, SERVER_CLIENTS = 12, SERVER_FOLLOWERS = 4, SERVER_REQUEST_MAX = 4096 };

#define SERVER_PATIENCE_MS 5000                   /* for a request, and then for taking the answer */
#define SERVER_BACKLOG_MAX ((size_t)(256 * 1024)) /* what a follower may have unread before lines are dropped */

struct server_client;

struct server {
	const char *what;       /* "the control socket", for the log */
	const char *terminator; /* of a request */
	/* May this peer ask? NULL: everybody. False has put a refusal into the answer. */
	bool (*admit)(struct server *server, struct server_client *client, int fd);
	/* The request is complete and NUL-terminated; its answer goes into server_answer(client). */
	void (*answer)(struct server *server, struct server_client *client, char *request);
	/* It was longer than SERVER_REQUEST_MAX. */
	void (*refuse)(struct server *server, struct server_client *client);
	void *context;
	int fd; /* listening; -1: none. Owned by whoever opened it */
};

struct server_client {
	int fd; /* -1: free */
	uint32_t generation;
	struct server *server;
	uint64_t since, deadline; /* us */
	size_t received, sent;
	bool answered, follows;
	uint32_t followed; /* what it follows, in the words of its server */
	unsigned long dropped;
	struct text answer;
	char request[SERVER_REQUEST_MAX + 1];
};

struct servers {
	int epoll; /* -1: not open */
	struct server *servers[SERVERS_MAX];
	unsigned int count;
	uint64_t paused_until; /* us; accepting had failed */
	struct server_client clients[SERVER_CLIENTS];
};

/* 0 or -errno. */
int servers_open(struct servers *servers);
/* A server whose fd listens. 0 or -errno. */
int servers_add(struct servers *servers, struct server *server);
void servers_close(struct servers *servers);

/* Does what can be done now. Whenever the descriptor `epoll` is readable, and at servers_next(). */
void servers_run(struct servers *servers);
/* When it wants to be called at the latest, us; UINT64_MAX: only for events. */
uint64_t servers_next(const struct servers *servers);

/* Where the answer of a client goes. */
struct text *server_answer(struct server_client *client);
/* It stays after its answer, for what server_send_line() has. False: there are enough. */
bool server_follow(struct servers *servers, struct server_client *client, uint32_t what);
/* It stays after its answer, to the end; nothing is told. */
void server_keep(struct server_client *client, uint32_t what);
/* Those who stay. */
unsigned int server_followers(const struct servers *servers);
/* A line for a follower; dropped and counted if it does not read. */
void server_send_line(struct server_client *client, const char *line, size_t length);

#endif
