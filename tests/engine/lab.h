/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A worker without a thread and without steering: the test drives its loop round by round. Its clients and backends are
 * sockets of the test, on loopback, in a private network namespace where the test may create one. The clock is the
 * test's: it moves a little in each round, and by lab_wait(). So deadlines of minutes pass at once, and none passes
 * unexpectedly.
 */
#ifndef ALPNBPF_ENGINE_LAB_H
#define ALPNBPF_ENGINE_LAB_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <sys/types.h>

#include "engine/worker.h"
#include "operate/program.h"

#define LAB_PEERS_MAX 64
#define LAB_WORDS_MAX 32

struct lab {
	struct program program; /* its engine has one worker, `worker` */
	struct worker *worker;
	char *argv[LAB_WORDS_MAX];
	bool operates;        /* lab_operate() was called */
	unsigned int port;    /* the worker listens there, on 127.0.0.1 */
	int over;             /* the last result of worker_turn() */
	int backends[ROUTES]; /* the listening sockets, by route; NO_DESCRIPTOR: none */
	unsigned int backend_ports[ROUTES];
	int peers[LAB_PEERS_MAX]; /* clients and backend connections that the test has not closed yet */
	int ahead;                /* an accepted connection to --https that lab_accept() has not returned yet */
	unsigned int descriptors; /* how many this process had open before lab_open() */
};

struct lab_hello {
	const uint8_t *bytes;
	size_t length;
};

/* A client and its backend connection, after the backend has received the hello. */
struct lab_pair {
	int client, backend;
};

/*
 * Sets the data plane of the labs opened from now on: DATAPLANE_USER or DATAPLANE_SOCKMAP. Prints why and returns false
 * where BPF is not permitted.
 */
bool lab_use(enum dataplane_choice choice);
enum dataplane_choice lab_used(void);
/* Run the tests with one data plane, and with each in turn; return how many failed. */
#define lab_run_tests_with(choice, tests)                                                                              \
	(lab_use(choice)                                                                                               \
		 ? cmocka_run_group_tests_name((choice) == DATAPLANE_USER ? "user" : "sockmap", tests, NULL, NULL)     \
		 : 0)
#define lab_run_tests(tests) (lab_run_tests_with(DATAPLANE_USER, tests) + lab_run_tests_with(DATAPLANE_SOCKMAP, tests))

/*
 * A lab with the options LAB(...) (NULL: none) added to --acme, --https, --listen and --dataplane. To choose another
 * data plane, give --dataplane first. A backend listens for each route; write the backend of a rule as "-> LAB".
 */
void lab_open(struct lab *lab, const char *const *words);
#define LAB(...) ((const char *const[]){__VA_ARGS__, NULL})
/* Removes the option and its value from the command line, which each reload reads again. */
void lab_drop_option(struct lab *lab, const char *option);
/*
 * Opens the control socket, and the metrics server if the options have it; each round then runs their part of the main
 * loop.
 */
void lab_operate(struct lab *lab);
/* Backends only, without a worker: for programs that lab_run() starts. `port` is a free one. */
void lab_open_bare(struct lab *lab);
/* Stops the worker and checks that no session and no descriptor is left. */
void lab_close(struct lab *lab);

/* --- the worker --- */

void lab_turn(struct lab *lab);
/* Rounds until nothing is left to do: before a check that something did not happen. */
void lab_settle(struct lab *lab);
/* Moves the clock, and runs what is due then. */
void lab_wait(struct lab *lab, uint64_t ms);
uint64_t lab_now(void); /* us */

/* Rounds until the condition holds; the test fails after 10 s. */
#define lab_until(lab, condition)                                                                                      \
	do {                                                                                                           \
		for (uint64_t lab_since = lab_real_ms(); !(condition); lab_turn(lab))                                  \
			if (lab_real_ms() - lab_since > 10000)                                                         \
				fail_msg("%s:%d: not true within 10 s: %s", __FILE__, __LINE__, #condition);           \
	} while (0)
/* The same, and the clock moves by `ms` in each round: the kernel may move bytes late, which postpones deadlines. */
#define lab_wait_until(lab, ms, condition) lab_until(lab, (lab_advance(ms), condition))
void lab_advance(uint64_t ms);
uint64_t lab_real_ms(void);

/* Whether a line with `part` in it was logged since lab_open(). With LAB_LOG in the environment the log is printed. */
bool lab_has_logged(const char *part);

unsigned int lab_live(const struct lab *lab);
/* Fails unless there is exactly one session. */
struct session *lab_session(struct lab *lab);
/* How many sessions have ended for that cause. */
uint64_t lab_ended(const struct lab *lab, enum session_cause cause);

/* --- commands: another process, with the kernel's clock --- */

struct lab_process {
	pid_t pid;
	int output;        /* a pipe: its stdout and stderr, including the log */
	char text[262144]; /* its output so far, NUL-terminated */
	size_t length;
	int code; /* its exit code, or 128 + signal; -1: still running */
};

/*
 * Starts main(argc, argv) in a new process, which inherits none of the lab's descriptors. input: its stdin. listener:
 * the socket that a service manager would pass to it, or NO_DESCRIPTOR.
 */
void lab_run(struct lab *lab, struct lab_process *process, int (*main)(int argc, char **argv), const char *const *words,
	     const char *input, int listener);
/* One round, which also reads its output. True once it has ended. */
bool lab_process_ends(struct lab *lab, struct lab_process *process);
/* Rounds until its output contains `part`. */
void lab_process_says(struct lab *lab, struct lab_process *process, const char *part);
/* From its start to its end; returns the exit code. */
int lab_run_to_end(struct lab *lab, struct lab_process *process, int (*main)(int argc, char **argv),
		   const char *const *words);

/* --- clients and backends: non-blocking sockets --- */

/* Gives a socket to the lab: it becomes non-blocking, and lab_close() closes it. */
int lab_keep(struct lab *lab, int fd);
int lab_dial(struct lab *lab);
/* From that local address. */
int lab_dial_from(struct lab *lab, const char *address);
/*
 * The next connection to the backend of a route. Skips those that end without a byte: made before a hello that then
 * went elsewhere, or taken over from the web server.
 */
int lab_accept(struct lab *lab, enum route route);
/*
 * The backend gets no connection. With the sockmap, --https may get one without a byte, made before the hello is
 * complete.
 */
void lab_expect_no_connection(struct lab *lab, enum route route);
/* The backend closes its listener, and opens it again on the same port. */
void lab_unlisten(struct lab *lab, enum route route);
void lab_listen(struct lab *lab, enum route route);

void lab_send(struct lab *lab, int fd, const void *bytes, size_t length);
/* The next bytes received are these. */
void lab_expect(struct lab *lab, int fd, const void *bytes, size_t length);
void lab_expect_nothing(struct lab *lab, int fd);
/* The pattern that lab_move() and the others send, from `offset` on. */
void lab_pattern(uint8_t *out, size_t length, uint64_t offset);
/* Moves `length` bytes of the pattern, from *offset on, and checks each where it arrives. */
void lab_move(struct lab *lab, int from, int to, size_t length, uint64_t *offset);
/* Sends the pattern until all buffers on the way are full; returns how many bytes that were. */
size_t lab_fill(struct lab *lab, int from, uint64_t offset);
/* The next bytes received are those of the pattern from `offset` on. */
void lab_expect_pattern(struct lab *lab, int fd, size_t length, uint64_t offset);
/* The next event is an end of stream, or a reset. */
void lab_expect_end(struct lab *lab, int fd);
void lab_expect_reset(struct lab *lab, int fd);
void lab_hang_up(struct lab *lab, int fd);
void lab_reset(struct lab *lab, int fd);

/* server_name, alpn: NULL for none. Valid until the next call. */
struct lab_hello lab_hello(const char *server_name, const char *alpn);
/* A hello for that route; for a rule if the rule is sni=route-N. */
struct lab_hello lab_hello_for(enum route route);
struct lab_pair lab_pair(struct lab *lab, enum route route);

/* --- between the files of the lab --- */

/* A socket bound to the port; 0: to a free one. */
int lab_bound_socket(unsigned int port);
unsigned int lab_port_of(int fd);
/* This process is one of lab_run(): its clock and its log are the real ones. */
void lab_enter_command(void);

#endif
