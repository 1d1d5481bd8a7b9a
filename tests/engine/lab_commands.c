// SPDX-License-Identifier: BSD-2-Clause
/* Commands of alpnbpf in processes of their own. See lab.h. */
#include "engine/lab.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/descriptor.h"

/* --- commands --- */

/* In the new process: closes all descriptors of the lab that the command must not have. */
static void become_command(const char *input, int output, int listener)
{
	int in = memfd_create("input", 0);
	char number[16];

	lab_enter_command();
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
