/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A worker in a laboratory: it has no thread and no steering, and its loop is driven round by round. Its clients and
 * backends are sockets of the test over loopback, in a network namespace of the test's own where it may have one. The
 * clock moves a little in each round and as far as lab_wait() says, so that deadlines of minutes pass at once and none
 * passes by itself.
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
	struct program program; /* its options, and an engine that has … */
	struct worker *worker;  /* … this one alone */
	char *argv[LAB_WORDS_MAX];
	bool operates;        /* lab_operate() */
	unsigned int port;    /* it listens there, on 127.0.0.1 */
	int over;             /* what worker_turn() said last */
	int backends[ROUTES]; /* by route: listening; NO_DESCRIPTOR: nobody does */
	unsigned int backend_ports[ROUTES];
	int peers[LAB_PEERS_MAX]; /* clients and backend connections that the test has not closed yet */
	int ahead;                /* a connection to --https that has come, and that lab_accept() has not given yet */
	unsigned int descriptors; /* of this process, before the lab was opened */
};

/* A ClientHello. */
struct lab_hello {
	const uint8_t *bytes;
	size_t length;
};

/* A client and its backend, once the hello has gone all the way. */
struct lab_pair {
	int client, backend;
};

/*
 * The labs to come have that data plane: DATAPLANE_USER or DATAPLANE_SOCKMAP. False, with a line, where BPF may not be
 * used.
 */
bool lab_use(enum dataplane_choice choice);
/* Which that is. */
enum dataplane_choice lab_used(void);
/* Tests for one data plane, and for both in turn: how many failed. */
#define lab_run_tests_with(choice, tests)                                                                              \
	(lab_use(choice)                                                                                               \
		 ? cmocka_run_group_tests_name((choice) == DATAPLANE_USER ? "user" : "sockmap", tests, NULL, NULL)     \
		 : 0)
#define lab_run_tests(tests) (lab_run_tests_with(DATAPLANE_USER, tests) + lab_run_tests_with(DATAPLANE_SOCKMAP, tests))

/*
 * A lab with the options LAB(...), NULL: none, beside --acme, --https, --listen and --dataplane; the last may be the
 * first of them. Backends listen for all routes that the options have; that of a rule is written as -> LAB.
 */
void lab_open(struct lab *lab, const char *const *words);
#define LAB(...) ((const char *const[]){__VA_ARGS__, NULL})
/* From now on the option and its value are not on the command line any more, which a reload reads again. */
void lab_drop_option(struct lab *lab, const char *option);
/* With the control socket, and the metrics if the options have them: their part of the main loop is run in each round.
 */
void lab_operate(struct lab *lab);
/* Backends alone, without a worker: for programs that lab_run() begins. `port` is one that nobody has. */
void lab_open_bare(struct lab *lab);
/* The worker is told to stop, and has to: no session and no descriptor may be left. */
void lab_close(struct lab *lab);

/* --- the worker --- */

void lab_turn(struct lab *lab);
/* As many rounds as it takes to do all that is due: before what must not have happened is looked at. */
void lab_settle(struct lab *lab);
/* The clock goes on, and what is due then is done. */
void lab_wait(struct lab *lab, uint64_t ms);
uint64_t lab_now(void); /* us */

/* Rounds until the condition holds; the test fails if it does not come true in time. */
#define lab_until(lab, condition)                                                                                      \
	do {                                                                                                           \
		for (uint64_t lab_since = lab_real_ms(); !(condition); lab_turn(lab))                                  \
			if (lab_real_ms() - lab_since > 10000)                                                         \
				fail_msg("%s:%d: does not come true: %s", __FILE__, __LINE__, #condition);             \
	} while (0)
/* The same, while the clock goes on by `ms` a round: the kernel may move bytes late, which puts deadlines off. */
#define lab_wait_until(lab, ms, condition) lab_until(lab, (lab_advance(ms), condition))
void lab_advance(uint64_t ms);
uint64_t lab_real_ms(void);

/* Has a line with `part` in it been logged since the lab was opened? With LAB_LOG in the environment they are shown. */
bool lab_has_logged(const char *part);

unsigned int lab_live(const struct lab *lab);
/* The only session there is. */
struct session *lab_session(struct lab *lab);
/* How many sessions have ended so. */
uint64_t lab_ended(const struct lab *lab, enum session_cause cause);

/* --- commands: another process, with the kernel's clock --- */

struct lab_process {
	pid_t pid;
	int output;        /* what it writes to stdout and stderr, the log included */
	char text[262144]; /* so far; ends with a NUL */
	size_t length;
	int code; /* of its exit, or 128 and the signal; -1: it runs */
};

/*
 * Begins main(argc, argv) in a process of its own, which inherits none of the lab's descriptors; input: its stdin, and
 * listener, if it is not NO_DESCRIPTOR, a socket of the service manager's for it.
 */
void lab_run(struct lab *lab, struct lab_process *process, int (*main)(int argc, char **argv), const char *const *words,
	     const char *input, int listener);
/* Reads what it has written, in a round. True once it has ended. */
bool lab_process_ends(struct lab *lab, struct lab_process *process);
/* Rounds until it has written `part`. */
void lab_process_says(struct lab *lab, struct lab_process *process, const char *part);
/* Its whole life: the exit code. */
int lab_run_to_end(struct lab *lab, struct lab_process *process, int (*main)(int argc, char **argv),
		   const char *const *words);

/* --- clients and backends: sockets that do not block --- */

/* A socket of the test's becomes one of the lab's: it does not block, and lab_close() closes it. */
int lab_keep(struct lab *lab, int fd);
int lab_dial(struct lab *lab);
/* From that address of this machine. */
int lab_dial_from(struct lab *lab, const char *address);
/*
 * The next connection to the backend of a route; not one that ends without a byte: made ahead of a hello that is for
 * another one, or taken over from the web server.
 */
int lab_accept(struct lab *lab, enum route route);
/* It does not get one; but that of --https may get one ahead of the hello, without a byte, where the kernel moves them.
 */
void lab_expect_no_connection(struct lab *lab, enum route route);
/* The backend goes away, and comes back to the same port. */
void lab_unlisten(struct lab *lab, enum route route);
void lab_listen(struct lab *lab, enum route route);

void lab_send(struct lab *lab, int fd, const void *bytes, size_t length);
/* The next bytes that come are these. */
void lab_expect(struct lab *lab, int fd, const void *bytes, size_t length);
void lab_expect_nothing(struct lab *lab, int fd);
/* The pattern of a stream that lab_move() and the others send, from there on. */
void lab_pattern(uint8_t *out, size_t length, uint64_t offset);
/* So many bytes of a pattern, which goes on from where the stream is by now; each is looked at where it arrives. */
void lab_move(struct lab *lab, int from, int to, size_t length, uint64_t *offset);
/* As much of the pattern as goes, until nobody has room for more. How much that was. */
size_t lab_fill(struct lab *lab, int from, uint64_t offset);
/* The next bytes that come are those of the pattern from there on. */
void lab_expect_pattern(struct lab *lab, int fd, size_t length, uint64_t offset);
/* An end comes next, or a reset. */
void lab_expect_end(struct lab *lab, int fd);
void lab_expect_reset(struct lab *lab, int fd);
void lab_hang_up(struct lab *lab, int fd);
void lab_reset(struct lab *lab, int fd);

/* server_name, alpn: NULL: without. Valid until the next one is made. */
struct lab_hello lab_hello(const char *server_name, const char *alpn);
/* One that goes to that route; to a rule if it has sni=route-N. */
struct lab_hello lab_hello_for(enum route route);
struct lab_pair lab_pair(struct lab *lab, enum route route);

#endif
