// SPDX-License-Identifier: BSD-2-Clause
/* The lab of the engine's tests: one thread, for the worker and for its peers. See lab.h. */
#include "engine/lab.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "base/log.h"
#include "engine/loop.h"
#include "operate/operate.h"
#include "hellos.h"

#define TURN_US  500  /* how far the clock moves in a round */
#define PATIENCE 1000 /* us; how long a round waits for events */
#define SESSIONS 16

/* --- the clock --- */

static uint64_t now = 1000000;
static bool is_command; /* this is a process of lab_run() */

/* Linked in place of monotonic_us(). */
uint64_t __real_monotonic_us(void);
uint64_t __wrap_monotonic_us(void);

uint64_t __wrap_monotonic_us(void)
{
	return is_command ? __real_monotonic_us() : now;
}

uint64_t lab_now(void)
{
	return now;
}

uint64_t lab_real_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

/* --- the log --- */

static struct {
	pthread_mutex_t lock;
	char text[65536]; /* the first lines, as many as fit */
	size_t length;
} lines = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Linked in place of log_write(): a test logs only with LAB_LOG. */
void __wrap_log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

void __wrap_log_write(enum log_level level, const char *format, ...)
{
	char line[1024];
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	if (is_command) {
		fprintf(stderr, "%s\n", line);
		return;
	}
	pthread_mutex_lock(&lines.lock);
	if (length > 0 && lines.length + (size_t)length + 2 < sizeof(lines.text))
		lines.length += (size_t)sprintf(lines.text + lines.length, "%s\n", line);
	pthread_mutex_unlock(&lines.lock);
	if (getenv("LAB_LOG"))
		print_message("%d %s\n", (int)level, line);
}

/* Linked in place of log_limit_pass(): a test gets its lines even if the one before it has just logged the same. */
bool __wrap_log_limit_pass(struct log_limit *limit, unsigned long *suppressed);

bool __wrap_log_limit_pass(struct log_limit *limit, unsigned long *suppressed)
{
	(void)limit;
	*suppressed = 0;
	return true;
}

bool lab_has_logged(const char *part)
{
	bool has;

	pthread_mutex_lock(&lines.lock);
	has = strstr(lines.text, part) != NULL;
	pthread_mutex_unlock(&lines.lock);
	return has;
}

/* --- the place --- */

static void raise_loopback(void)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &request), 0);
	close(fd);
}

static void enter(void)
{
	static bool entered;

	if (entered)
		return;
	entered = true;
	if (unshare(geteuid() == 0 ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET) == 0)
		raise_loopback();
}

static bool sockmap;

bool lab_use(enum dataplane_choice choice)
{
	struct dataplane dataplane;
	struct sentence why;

	enter();
	sockmap = choice == DATAPLANE_SOCKMAP;
	if (!sockmap)
		return true;
	if (dataplane_open_sockmap(&dataplane, 1, 1, false, &why)) {
		print_message("SKIPPED: sockmap: %s\n", why.text);
		return false;
	}
	dataplane_close(&dataplane);
	return true;
}

enum dataplane_choice lab_used(void)
{
	return sockmap ? DATAPLANE_SOCKMAP : DATAPLANE_USER;
}

static unsigned int count_descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	unsigned int count = 0;

	assert_non_null(directory);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

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

static unsigned int port_of(int fd)
{
	struct sockaddr_in address = {0};
	socklen_t length = sizeof(address);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	return ntohs(address.sin_port);
}

/* A socket bound to the port; 0: to a free one. */
static int bound_socket(unsigned int port)
{
	struct sockaddr_in address = loopback(port);
	int fd = new_socket();

	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

void lab_listen(struct lab *lab, enum route route)
{
	assert_int_equal(lab->backends[route], NO_DESCRIPTOR);
	lab->backends[route] = bound_socket(lab->backend_ports[route]);
	assert_int_equal(listen(lab->backends[route], 64), 0);
	lab->backend_ports[route] = port_of(lab->backends[route]);
}

void lab_unlisten(struct lab *lab, enum route route)
{
	descriptor_close(&lab->backends[route]);
}

/* --- opening and closing --- */

static char *format_address(unsigned int port)
{
	char *text = NULL;

	assert_true(asprintf(&text, "127.0.0.1:%u", port) > 0);
	return text;
}

/* The word, with LAB replaced by the address of a backend, which listens from now on. */
static char *fill_in(struct lab *lab, const char *word, enum route *rule)
{
	const char *mark = strstr(word, "LAB");
	char *text = NULL;

	if (!mark)
		return strdup(word);
	lab_listen(lab, *rule);
	assert_true(asprintf(&text, "%.*s127.0.0.1:%u%s", (int)(mark - word), word, lab->backend_ports[*rule],
			     mark + strlen("LAB")) > 0);
	++*rule;
	return text;
}

static void parse_options(struct lab *lab, const char *const *words)
{
	enum route rule = ROUTE_RULE;
	struct sentence why = {0};
	char **argv = lab->argv;
	int argc = 0, listener = bound_socket(0);

	lab->port = port_of(listener);
	argv[argc++] = strdup("attach");
	argv[argc++] = strdup("--acme");
	argv[argc++] = format_address(lab->backend_ports[ROUTE_ACME]);
	argv[argc++] = strdup("--https");
	argv[argc++] = format_address(lab->backend_ports[ROUTE_HTTPS]);
	argv[argc++] = strdup("--listen");
	argv[argc++] = format_address(lab->port);
	if (!words || strncmp(*words, "--dataplane", strlen("--dataplane")) != 0)
		argv[argc++] = strdup(sockmap ? "--dataplane=sockmap" : "--dataplane=user");
	while (words && *words && argc < LAB_WORDS_MAX - 1)
		argv[argc++] = fill_in(lab, *words++, &rule);
	argv[argc] = NULL;
	close(listener); /* the backends have their ports now */
	if (options_parse(&lab->program.options, argc, argv, &why) != OPTIONS_OK)
		fail_msg("options: %s", why.text);
	lab->program.argc = argc;
}

static void open_dataplane(struct lab *lab)
{
	struct dataplane *dataplane = &lab->program.engine.dataplane;
	unsigned int slots = lab->program.engine.slots_per_worker;
	bool rules = lab->program.options.routes.count > 0;
	struct sentence why = {0};
	int error = sockmap ? dataplane_open_sockmap(dataplane, 1, slots, rules, &why)
			    : dataplane_open_user(dataplane, 1, slots, rules);

	if (error)
		fail_msg("data plane: %s", why.text);
}

static char directory[] = "/tmp/alpnbpf-lab-XXXXXX";

static void remove_directory(void)
{
	if (!is_command)
		rmdir(directory);
}

static void make_directory(void)
{
	static bool made;

	if (made)
		return;
	made = true;
	assert_non_null(mkdtemp(directory));
	assert_int_equal(atexit(remove_directory), 0);
	assert_int_equal(setenv("RUNTIME_DIRECTORY", directory, 1), 0);
}

static void open_backends(struct lab *lab)
{
	*lab = (struct lab){.descriptors = count_descriptors(), .ahead = NO_DESCRIPTOR};
	for (int route = 0; route < ROUTES; route++)
		lab->backends[route] = NO_DESCRIPTOR;
	for (int i = 0; i < LAB_PEERS_MAX; i++)
		lab->peers[i] = NO_DESCRIPTOR;
	lines.length = 0;
	lines.text[0] = '\0';
	lab_listen(lab, ROUTE_ACME);
	lab_listen(lab, ROUTE_HTTPS);
}

void lab_open_bare(struct lab *lab)
{
	int listener;

	open_backends(lab);
	listener = bound_socket(0);
	lab->port = port_of(listener);
	close(listener);
	make_directory();
}

void lab_open(struct lab *lab, const char *const *words)
{
	unsigned int sessions;
	struct sentence why = {0};

	open_backends(lab);
	program_init(&lab->program, 0, lab->argv);
	parse_options(lab, words);
	sessions = lab->program.options.max_connections ? lab->program.options.max_connections : SESSIONS;

	assert_int_equal(engine_open(&lab->program.engine), 0);
	engine_divide(&lab->program.engine, sessions, 1);
	open_dataplane(lab);
	assert_int_equal(engine_set_up(&lab->program.engine, &lab->program.options, &why), 0);
	lab->worker = &lab->program.engine.workers[0];
	lab->worker->now = now;
	if (listener_open(lab->worker, &lab->program.options.listeners[0], &why))
		fail_msg("%s", why.text);
	worker_resume_accept(lab->worker);
	lab->program.engine.running = 1;
	lab->program.phase = PROGRAM_RUNNING;
}

void lab_drop_option(struct lab *lab, const char *option)
{
	int at = 1;

	while (at < lab->program.argc && strcmp(lab->argv[at], option) != 0)
		at++;
	assert_true(at + 1 < lab->program.argc);
	free(lab->argv[at]);
	free(lab->argv[at + 1]);
	lab->program.argc -= 2;
	memmove(&lab->argv[at], &lab->argv[at + 2], (size_t)(lab->program.argc - at) * sizeof(char *));
}

void lab_operate(struct lab *lab)
{
	make_directory();
	lab->operates = operate_open(&lab->program) == 0;
	assert_true(lab->operates);
}

static void close_worker(struct lab *lab)
{
	worker_tell(lab->worker, WORKER_STOP);
	lab_until(lab, lab->over);
	assert_int_equal(lab_live(lab), 0);
	for (unsigned int i = 0; i < lab->program.engine.slots_per_worker; i++)
		assert_int_equal(lab->worker->slots.sessions[i].state, SESSION_FREE);
	if (lab->operates)
		operate_close(&lab->program);
	engine_close(&lab->program.engine);
	for (int i = 0; i < lab->program.argc; i++)
		free(lab->argv[i]);
}

void lab_close(struct lab *lab)
{
	if (lab->worker)
		close_worker(lab);
	for (int i = 0; i < LAB_PEERS_MAX; i++)
		descriptor_close(&lab->peers[i]);
	for (int route = 0; route < ROUTES; route++)
		descriptor_close(&lab->backends[route]);
	assert_int_equal(count_descriptors(), lab->descriptors);
}

/* --- the worker --- */

void lab_turn(struct lab *lab)
{
	const struct timespec pause = {.tv_nsec = PATIENCE * 1000};

	now += TURN_US;
	if (!lab->worker) {
		nanosleep(&pause, NULL);
		return;
	}
	lab->over = worker_turn(lab->worker, PATIENCE);
	assert_true(lab->over >= 0);
	if (lab->operates)
		operate_run(&lab->program);
}

void lab_settle(struct lab *lab)
{
	for (int i = 0; i < 5; i++)
		lab_turn(lab);
}

void lab_advance(uint64_t ms)
{
	now += ms * US_PER_MS;
}

void lab_wait(struct lab *lab, uint64_t ms)
{
	lab_advance(ms);
	lab_settle(lab);
}

unsigned int lab_live(const struct lab *lab)
{
	return worker_live(lab->worker);
}

struct session *lab_session(struct lab *lab)
{
	struct session *found = NULL;

	for (unsigned int i = 0; i < lab->program.engine.slots_per_worker; i++) {
		struct session *session = &lab->worker->slots.sessions[i];

		if (session->state == SESSION_FREE)
			continue;
		assert_null(found);
		found = session;
	}
	assert_non_null(found);
	return found;
}

uint64_t lab_ended(const struct lab *lab, enum session_cause cause)
{
	return lab->worker->counters.causes[cause];
}

/* --- commands --- */

/* In the new process: closes all descriptors of the lab that the command must not have. */
static void become_command(const char *input, int output, int listener)
{
	int in = memfd_create("input", 0);
	char number[16];

	is_command = true;
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* or a failing test would leave it running */
	if (listener != NO_DESCRIPTOR) {
		/* off the descriptors that are used first; it ends as SD_LISTEN_FDS_START */
		listener = fcntl(listener, F_DUPFD, 100);
		snprintf(number, sizeof(number), "%d", (int)getpid());
		setenv("LISTEN_PID", number, 1);
		setenv("LISTEN_FDS", "1", 1);
	}
	if (input && write(in, input, strlen(input)) != (ssize_t)strlen(input))
		_exit(99);
	lseek(in, 0, SEEK_SET);
	dup2(in, STDIN_FILENO);
	dup2(output, STDOUT_FILENO);
	dup2(output, STDERR_FILENO);
	if (listener != NO_DESCRIPTOR)
		dup2(listener, 3);
	close_range(listener == NO_DESCRIPTOR ? 3 : 4, ~0U, 0);
}

void lab_run(struct lab *lab, struct lab_process *process, int (*main)(int argc, char **argv), const char *const *words,
	     const char *input, int listener)
{
	int argc = 0, output[2];

	(void)lab;
	*process = (struct lab_process){.code = -1};
	while (words[argc])
		argc++;
	assert_int_equal(pipe2(output, O_CLOEXEC), 0);
	fflush(NULL);
	process->pid = fork();
	assert_true(process->pid >= 0);
	if (process->pid == 0) {
		char **argv = calloc((size_t)argc + 1, sizeof(*argv));

		for (int i = 0; argv && i < argc; i++)
			argv[i] = strdup(words[i]);
		become_command(input, output[1], listener);
		exit(argv ? main(argc, argv) : 99);
	}
	close(output[1]);
	process->output = output[0];
	assert_int_equal(fcntl(process->output, F_SETFL, O_NONBLOCK), 0);
}

bool lab_process_ends(struct lab *lab, struct lab_process *process)
{
	ssize_t count = 1;
	int status;

	if (process->code != -1)
		return true;
	lab_turn(lab);
	while (count > 0 && process->length < sizeof(process->text) - 1) {
		count = read(process->output, process->text + process->length,
			     sizeof(process->text) - 1 - process->length);
		if (count > 0)
			process->length += (size_t)count;
	}
	process->text[process->length] = '\0';
	if (count < 0 || waitpid(process->pid, &status, 0) != process->pid)
		return false;
	process->code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	close(process->output);
	return true;
}

void lab_process_says(struct lab *lab, struct lab_process *process, const char *part)
{
	for (uint64_t since = lab_real_ms(); !strstr(process->text, part);) {
		bool ended = lab_process_ends(lab, process);

		if (!strstr(process->text, part) && (ended || lab_real_ms() - since > 20000))
			fail_msg("did not print \"%s\", but: %s", part, process->text);
	}
}

int lab_run_to_end(struct lab *lab, struct lab_process *process, int (*main)(int argc, char **argv),
		   const char *const *words)
{
	lab_run(lab, process, main, words, NULL, NO_DESCRIPTOR);
	lab_until(lab, lab_process_ends(lab, process));
	return process->code;
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
		if (!sockmap || route != ROUTE_HTTPS)
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
	assert_true(sockmap && route == ROUTE_HTTPS);
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
