// SPDX-License-Identifier: BSD-2-Clause
/* Finds an instance, sends it a request, copies the answer. Owns nothing; a short-lived process with one thread. */
#include "commands/client.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "options/command_line.h"
#include "system/run_directory.h"
#include "system/user_number.h"

#define PATIENCE_S        10
#define PATIENCE_LATER_S  30
#define NAME_MAX_BYTES    64
#define STRANGER_TEXT_MAX 320

bool client_options(int argc, char **argv, const struct client_option *options, const char *usage, const char **name,
		    int *code)
{
	*code = EXIT_USAGE;
	for (int at = 1; at < argc; at++) {
		const struct client_option *option = options;
		const char **value = NULL;

		if (strcmp(argv[at], "--help") == 0) {
			fputs(usage, stdout);
			*code = EXIT_DONE;
			return false;
		}
		while (option->name && strcmp(option->name, argv[at]) != 0)
			option++;
		if (option->name)
			value = option->value;
		else if (strcmp(argv[at], "--name") == 0)
			value = name;
		if (!option->name && !value) {
			fprintf(stderr, "alpnbpf %s: unknown option \"%s\"; --help lists the options\n", argv[0],
				argv[at]);
			return false;
		}
		if (!value) {
			*option->flag = true;
		} else if (at + 1 >= argc || strncmp(argv[at + 1], "--", 2) == 0) {
			fprintf(stderr, "alpnbpf %s: %s needs a value\n", argv[0], argv[at]);
			return false;
		} else {
			*value = argv[++at];
		}
	}
	return true;
}

/* --- finding an instance --- */

/*
 * Is whoever listens there an instance that may be believed: root, this user, or the owner of the run directory? Others
 * may have been able to put a socket there: the directory's group, or everybody in one that is writable by all. The
 * kernel tells who called listen().
 */
static bool is_believed(int fd, uid_t *owner)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);
	struct stat directory;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length))
		return false;
	*owner = peer.uid;
	if (peer.uid == 0 || peer.uid == geteuid())
		return true;
	return stat(run_directory(), &directory) == 0 && directory.st_uid == peer.uid;
}

/* A descriptor, or -errno; -EPERM and *owner: it is not to be believed. */
static int connect_to(const char *path, uid_t *owner)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval patience = {.tv_sec = PATIENCE_S}; /* the instance's queue may be full */
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), error;

	*owner = 0;
	if (fd < 0)
		return -errno;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0) {
		if (is_believed(fd, owner))
			return fd;
		errno = EPERM;
	}
	error = -errno;
	close(fd);
	return error;
}

/* Fills name with the instance whose control socket this file is. False if it is no control socket. */
static bool name_of_socket(const char *file, char name[NAME_MAX_BYTES])
{
	static const char suffix[] = ".sock";
	size_t length = strlen(file), end = sizeof(suffix) - 1;

	if (length <= end || length - end >= NAME_MAX_BYTES || strcmp(file + length - end, suffix) != 0)
		return false;
	snprintf(name, NAME_MAX_BYTES, "%.*s", (int)(length - end), file);
	return true;
}

struct found {
	unsigned int count;
	int fd;          /* connected to the first, or NO_DESCRIPTOR */
	char names[256]; /* as many as fit; each after a blank */
	int error;       /* why an instance or the directory cannot be reached; 0: no error */
	uid_t stranger;  /* the owner of one that is not to be believed; 0: none */
};

/* "; its socket 443.sock belongs to uid 1000, ..." */
static const char *strangers_text(uid_t uid, char *out, size_t size)
{
	char user[USER_NUMBER_TEXT_MAX];

	*out = '\0';
	if (uid)
		snprintf(
			out, size,
			"; whoever listens there is %s: neither root, nor this user, nor the owner of %s, and is not asked",
			user_format(uid, user, sizeof(user)), run_directory());
	return out;
}

static void try_instance(struct found *found, const char *name)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	size_t length = strlen(found->names);
	uid_t owner;
	int fd;

	if (!run_directory_socket(name, path, sizeof(path)))
		return;
	fd = connect_to(path, &owner);
	if (fd < 0) {
		if (owner)
			found->stranger = owner;
		if (fd == -EACCES || fd == -EPERM) /* the file of a killed instance refuses */
			found->error = fd;
		return;
	}
	if (found->count++ == 0)
		found->fd = fd;
	else
		close(fd);
	snprintf(found->names + length, sizeof(found->names) - length, " %s", name);
}

static struct found find_instances(void)
{
	struct found found = {.fd = NO_DESCRIPTOR};
	DIR *directory = opendir(run_directory());
	struct dirent *entry;
	char name[NAME_MAX_BYTES];

	if (!directory)
		found.error = errno == ENOENT ? 0 : -errno;
	while (directory && (entry = readdir(directory)))
		if (name_of_socket(entry->d_name, name))
			try_instance(&found, name);
	if (directory)
		closedir(directory);
	return found;
}

/* A descriptor, or -errno and why. */
static int connect_to_only(struct sentence *why)
{
	struct found found = find_instances();
	char text[STRANGER_TEXT_MAX];

	if (found.count == 1)
		return found.fd;
	descriptor_close(&found.fd);
	if (found.count)
		return sentence_error(why, -EEXIST, "several instances are running; choose one with --name:%s",
				      found.names);
	return sentence_error(why, found.error ? found.error : -ESRCH, "no instance found in %s: %s%s", run_directory(),
			      found.error ? strerror(-found.error) : "none is running",
			      strangers_text(found.stranger, text, sizeof(text)));
}

static int connect_to_named(const char *name, struct sentence *why)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)], text[STRANGER_TEXT_MAX];
	uid_t owner;
	int fd;

	if (strchr(name, '/') || !run_directory_socket(name, path, sizeof(path)))
		return sentence_error(why, -EINVAL, "--name %s: not the name of an instance", name);
	fd = connect_to(path, &owner);
	if (fd >= 0)
		return fd;
	return sentence_error(why, fd, "cannot reach the instance \"%s\" at %s: %s%s%s", name, path, strerror(-fd),
			      strangers_text(owner, text, sizeof(text)),
			      fd == -ENOENT || fd == -ECONNREFUSED ? "; is an instance with this --name running?" : "");
}

/* --- asking --- */

/* Reads the first line: "ok", or an error. */
static int read_verdict(FILE *answer, struct sentence *why)
{
	char line[SENTENCE_MAX + 16];

	if (!fgets(line, sizeof(line), answer))
		return sentence_error(why, -EIO, "no answer: %s",
				      ferror(answer) && errno == EAGAIN ? "the instance is still starting, or hangs"
									: "the connection was closed");
	if (strcmp(line, "ok\n") == 0)
		return 0;
	line[strcspn(line, "\n")] = '\0';
	return sentence_error(why, -EREMOTEIO, "%s", strncmp(line, "error: ", 7) == 0 ? line + 7 : line);
}

FILE *client_ask(const char *name, const char *request, enum client_answer how, struct sentence *why)
{
	struct timeval patience = {.tv_sec = how == CLIENT_LATER ? PATIENCE_LATER_S : PATIENCE_S}, forever = {0};
	int fd = name ? connect_to_named(name, why) : connect_to_only(why);
	FILE *answer;

	if (fd < 0)
		return NULL;
	answer = fdopen(fd, "r");
	if (!answer) {
		sentence_set(why, "cannot send the request: %s", strerror(errno));
		close(fd);
		return NULL;
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	/* The instance may have refused and closed before it read the request. */
	if (send(fd, request, strlen(request), MSG_NOSIGNAL) < 0 && errno != EPIPE) {
		sentence_set(why, "cannot send the request: %s", strerror(errno));
	} else if (read_verdict(answer, why) == 0) {
		if (how == CLIENT_FOLLOWED)
			setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &forever, sizeof(forever));
		return answer;
	}
	fclose(answer);
	return NULL;
}

int client_copy(FILE *answer, struct sentence *why)
{
	char *line = NULL;
	size_t size = 0;
	int error = 0;

	while (!error && getline(&line, &size, answer) > 0)
		if (fputs(line, stdout) < 0 || fflush(stdout))
			error = sentence_error(why, -EIO, "cannot write the output: %s", strerror(errno));
	if (!error && ferror(answer))
		error = sentence_error(why, -EIO, "the answer is incomplete: %s", strerror(errno));
	free(line);
	fclose(answer);
	return error;
}
