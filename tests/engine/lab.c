// SPDX-License-Identifier: BSD-2-Clause
/* The lab of the engine's tests: one thread, for the worker and for its peers. See lab.h. */
#include "engine/lab.h"

#include <dirent.h>
#include <fcntl.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "base/log.h"
#include "engine/loop.h"
#include "operate/operate.h"

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

void lab_enter_command(void)
{
	is_command = true;
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
	int argc = 0, listener = lab_bound_socket(0);

	lab->port = lab_port_of(listener);
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
	listener = lab_bound_socket(0);
	lab->port = lab_port_of(listener);
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
	engine_answer(&lab->program.engine, &lab->program.options);
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
