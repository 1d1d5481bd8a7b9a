/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two small servers: the control socket and the metrics. A client sends one request, gets an answer, at once or later,
 * and is closed; only followers stay. Everything is bounded: clients, the length of a request, the time to send it and
 * to read the answer. Nothing here blocks. Main thread.
 */
#ifndef ALPNBPF_OPERATE_SERVER_H
#define ALPNBPF_OPERATE_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

enum {
	SERVERS_MAX = 2,
	SERVER_PLACES = 8, /* clients of one server: those of the metrics, who may be anybody, take none from others */
	SERVER_CLIENTS = SERVERS_MAX * SERVER_PLACES,
	SERVER_FOLLOWERS = 4,
	SERVER_REQUEST_MAX = 4096
};

#define SERVER_PATIENCE_MS 5000                   /* to send a request, and then to read the answer */
#define SERVER_BACKLOG_MAX ((size_t)(256 * 1024)) /* unread bytes of a follower before lines are dropped */

struct server_client;

struct server {
	const char *what;       /* "the control socket", for the log */
	const char *terminator; /* that ends a request */
	/* May this peer send a request? NULL: any may. On false, the answer holds a refusal. */
	bool (*admit)(struct server *server, struct server_client *client, int fd);
	/*
	 * Handles a complete, NUL-terminated request. The answer goes into server_answer(client), at once or after
	 * server_wait().
	 */
	void (*answer)(struct server *server, struct server_client *client, char *request);
	/* Handles a request longer than SERVER_REQUEST_MAX. */
	void (*refuse)(struct server *server, struct server_client *client);
	void *context;
	int fd; /* listening, or NO_DESCRIPTOR; closed by the code that opened it */
};

enum server_client_state {
	CLIENT_FREE,    /* this entry is free */
	CLIENT_ASKS,    /* its request is incomplete */
	CLIENT_WAITS,   /* its answer is not ready */
	CLIENT_READS,   /* it is being sent its answer, and is closed then */
	CLIENT_FOLLOWS, /* it stays after its answer, for lines or until the program ends */
};

struct server_client {
	enum server_client_state state;
	int fd; /* NO_DESCRIPTOR: CLIENT_FREE */
	uint32_t generation;
	struct server *server;
	uint64_t since, deadline; /* us; UINT64_MAX: no deadline */
	size_t received, sent;
	uint32_t subject; /* CLIENT_WAITS, CLIENT_FOLLOWS: for what; the server defines it */
	uint64_t turn;    /* CLIENT_WAITS: for which turn of the subject */
	unsigned long dropped;
	struct text answer;
	char request[SERVER_REQUEST_MAX + 1];
};

struct servers {
	int epoll; /* NO_DESCRIPTOR: not open */
	struct server *servers[SERVERS_MAX];
	unsigned int count;
	uint64_t paused_until; /* us; after accept() failed. 0: not paused */
	struct server_client clients[SERVER_CLIENTS];
};

/* 0 or -errno. */
int servers_open(struct servers *servers);
/* Adds a server that listens. 0 or -errno. */
int servers_add(struct servers *servers, struct server *server);
/* Also if servers_open() failed. */
void servers_close(struct servers *servers);

/* Handles everything that is ready. Call it when `epoll` is readable, and at servers_next(). */
void servers_run(struct servers *servers);
/* When to call servers_run() at the latest, in us; UINT64_MAX: only on events. */
uint64_t servers_next(const struct servers *servers);

/* The text to write a client's answer to. */
struct text *server_answer(struct server_client *client);

/* The client's answer comes later: servers_waiting() finds the client, server_reply() sends the answer. */
void server_wait(struct server_client *client, uint32_t subject, uint64_t turn);
/* The first client that waits for this turn of the subject, or NULL. */
struct server_client *servers_waiting(struct servers *servers, uint32_t subject, uint64_t turn);
/* Sends the answer of a client that waited. */
void server_reply(struct servers *servers, struct server_client *client);

/* Keeps the client after its answer, for lines about the subject. False if there are SERVER_FOLLOWERS already. */
bool server_follow(struct servers *servers, struct server_client *client, uint32_t subject);
/* Keeps the client after its answer until the program ends, without lines. */
void server_keep(struct server_client *client, uint32_t subject);
/* The number of clients that stay. */
unsigned int server_followers(const struct servers *servers);
/* Queues a line for a follower, or drops and counts it if the follower does not read. servers_run() sends it. */
void server_send_line(struct server_client *client, const char *line, size_t length);

#endif
