/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a test writes to stderr, as text. It goes to a file in memory; a failing test still reports on the real stderr.
 */
#ifndef ALPNBPF_UNIT_CAPTURE_H
#define ALPNBPF_UNIT_CAPTURE_H

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define CAPTURE_MAX (1 << 20)

static char captured[CAPTURE_MAX];
static int real_stderr = -1, file = -1;

static void capture_begin(void)
{
	real_stderr = dup(STDERR_FILENO);
	file = memfd_create("stderr", 0);
	assert_true(real_stderr >= 0 && file >= 0);
	/* Unlike a file on disk, a file in memory does not serialise its position between threads. */
	assert_int_equal(fcntl(file, F_SETFL, O_APPEND), 0);
	assert_true(dup2(file, STDERR_FILENO) == STDERR_FILENO);
}

static const char *capture_end(void)
{
	ssize_t length = pread(file, captured, sizeof(captured) - 1, 0);

	dup2(real_stderr, STDERR_FILENO);
	close(real_stderr);
	close(file);
	assert_true(length >= 0);
	captured[length] = '\0';
	return captured;
}

#endif
