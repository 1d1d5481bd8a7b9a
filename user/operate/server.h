/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Small servers: the control socket and the metrics. A client asks once, gets an answer, now or when it is there, and
 * is closed; only followers stay. Everything is bounded: clients, the length of a request, the time for it and for
 * taking the answer. Nothing here blocks, and sessions know nothing of it. Main thread.
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
	/*
	 * The request is complete and NUL-terminated. Its answer goes into server_answer(client), at once, or after
	 * server_wait().
	 */
	void (*answer)(struct server *server, struct server_client *client, char *request);
	/* It was longer than SERVER_REQUEST_MAX. */
	void (*refuse)(struct server *server, struct server_client *client);
	void *context;
	int fd; /* listening, or NO_DESCRIPTOR. Its opener closes it */
};

enum server_client_state {
	CLIENT_FREE,    /* the place is */
	CLIENT_ASKS,    /* its request is not complete */
	CLIENT_WAITS,   /* its answer is not there yet */
	CLIENT_READS,   /* its answer is being sent; then it is closed */
	CLIENT_FOLLOWS, /* it stays after its answer, for lines or for the end */
};

struct server_client {
	enum server_client_state state;
	int fd; /* NO_DESCRIPTOR: CLIENT_FREE */
	uint32_t generation;
	struct server *server;
	uint64_t since, deadline; /* us; UINT64_MAX: no deadline */
	size_t received, sent;
	uint32_t subject; /* CLIENT_WAITS, CLIENT_FOLLOWS: of what, in the words of its server */
	uint64_t turn;    /* CLIENT_WAITS: which turn of that */
	unsigned long dropped;
	struct text answer;
	char request[SERVER_REQUEST_MAX + 1];
};

struct servers {
	int epoll; /* NO_DESCRIPTOR: not open */
	struct server *servers[SERVERS_MAX];
	unsigned int count;
	uint64_t paused_until; /* us; accepting had failed. 0: it has not */
	struct server_client clients[SERVER_CLIENTS];
};

/* 0 or -errno. */
int servers_open(struct servers *servers);
/* A server whose fd listens. 0 or -errno. */
int servers_add(struct servers *servers, struct server *server);
/* Also of servers that are not open. */
void servers_close(struct servers *servers);

/* Does what can be done now. Whenever the descriptor `epoll` is readable, and at servers_next(). */
void servers_run(struct servers *servers);
/* When it wants to be called at the latest, us; UINT64_MAX: only for events. */
uint64_t servers_next(const struct servers *servers);

/* Where the answer of a client goes. */
struct text *server_answer(struct server_client *client);

/* Its answer comes later, by server_reply(): servers_waiting() finds the clients of a subject. */
void server_wait(struct server_client *client, uint32_t subject, uint64_t turn);
/* The first client that waits for that turn of the subject, or NULL. */
struct server_client *servers_waiting(struct servers *servers, uint32_t subject, uint64_t turn);
/* The answer of one that waited is complete. */
void server_reply(struct servers *servers, struct server_client *client);

/* It stays after its answer, for lines about the subject. False: there are SERVER_FOLLOWERS already. */
bool server_follow(struct servers *servers, struct server_client *client, uint32_t subject);
/* It stays after its answer until the program ends; no lines. */
void server_keep(struct server_client *client, uint32_t subject);
/* Clients that stay. */
unsigned int server_followers(const struct servers *servers);
/* A line for a follower; dropped and counted if it does not read. servers_run() sends it. */
void server_send_line(struct server_client *client, const char *line, size_t length);

#endif
