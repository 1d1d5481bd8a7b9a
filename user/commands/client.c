// SPDX-License-Identifier: BSD-2-Clause
/* Finds an instance and asks it. A short-lived process: may block, for some seconds at most before an answer begins. */
#include "commands/client.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "commands/commands.h"
#include "options/command_line.h"
#include "system/run_directory.h"

#define PATIENCE_S 10
#define NAMES_MAX  16

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
			fprintf(stderr, "alpnbpf %s: \"%s\" is not an option; --help lists them\n", argv[0], argv[at]);
			return false;
		}
		if (!value) {
			*option->flag = true;
		} else if (at + 1 >= argc || strncmp(argv[at + 1], "--", 2) == 0) {
			fprintf(stderr, "alpnbpf %s: %s: its value is missing\n", argv[0], argv[at]);
			return false;
		} else {
			*value = argv[++at];
		}
	}
	return true;
}

/* A descriptor, or -errno. */
static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval patience = {.tv_sec = PATIENCE_S};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), error;

	if (fd < 0)
		return -errno;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)); /* for a place in its queue, too */
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	error = -errno;
	close(fd);
	return error;
}

struct found {
	unsigned int count; /* may be more than there are names */
	char names[NAMES_MAX][64];
	int fd; /* to the first */
};

/* Those that answer; a killed one leaves its file. */
static int find_instances(struct found *found)
{
	static const char suffix[] = ".sock";
	DIR *directory = opendir(run_directory());
	struct dirent *entry;
	int denied = 0;

	*found = (struct found){.fd = -1};
	if (!directory)
		return -errno;
	while ((entry = readdir(directory))) {
		size_t length = strlen(entry->d_name);
		char path[sizeof(((struct sockaddr_un *)0)->sun_path)], name[64];
		int fd;

		if (length <= sizeof(suffix) - 1 || length - (sizeof(suffix) - 1) >= sizeof(name) ||
		    strcmp(entry->d_name + length - (sizeof(suffix) - 1), suffix) != 0)
			continue;
		snprintf(name, sizeof(name), "%.*s", (int)(length - (sizeof(suffix) - 1)), entry->d_name);
		if (!run_directory_socket(name, path, sizeof(path)))
			continue;
		fd = connect_to(path);
		if (fd == -EACCES || fd == -EPERM)
			denied = fd;
		if (fd < 0)
			continue;
		if (found->count == 0)
			found->fd = fd;
		else
			close(fd);
		if (found->count < NAMES_MAX)
			memcpy(found->names[found->count], name, sizeof(name));
		found->count++;
	}
	closedir(directory);
	return found->count ? 0 : denied ? denied : -ESRCH;
}

static void print_several(const char *command, const struct found *found)
{
	fprintf(stderr, "alpnbpf %s: several are running; say which with --name:", command);
	for (unsigned int i = 0; i < found->count && i < NAMES_MAX; i++)
		fprintf(stderr, " %s", found->names[i]);
	fputc('\n', stderr);
}

/* A descriptor, or -1 after an error was printed. */
static int find(const char *command, const char *name, bool quiet)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct found found;
	int fd;

	if (name) {
		if (strchr(name, '/') || !run_directory_socket(name, path, sizeof(path))) {
			if (!quiet)
				fprintf(stderr, "alpnbpf %s: --name %s: is not the name of an instance\n", command,
					name);
			return -1;
		}
		fd = connect_to(path);
		if (fd < 0 && !quiet)
			fprintf(stderr, "alpnbpf %s: cannot reach the instance \"%s\" at %s: %s%s\n", command, name,
				path, strerror(-fd),
				fd == -ENOENT || fd == -ECONNREFUSED ? "; is it running, as this --name?" : "");
		return fd < 0 ? -1 : fd;
	}
	fd = find_instances(&found);
	if (fd) {
		if (!quiet)
			fprintf(stderr, "alpnbpf %s: no instance found in %s: %s\n", command, run_directory(),
				fd == -ESRCH || fd == -ENOENT ? "none is running" : strerror(-fd));
		return -1;
	}
	if (found.count > 1) {
		if (!quiet)
			print_several(command, &found);
		close(found.fd);
		return -1;
	}
	return found.fd;
}

FILE *client_ask(const char *command, const char *name, const char *request, bool last, bool quiet)
{
	int fd = find(command, name, quiet);
	struct timeval forever = {0};
	char line[600];
	FILE *answer;

	if (fd < 0)
		return NULL;
	answer = fdopen(fd, "r");
	if (!answer) {
		close(fd);
		return NULL;
	}
	/* An answer may have come before the request: a refusal. */
	if (send(fd, request, strlen(request), MSG_NOSIGNAL) < 0 && errno != EPIPE) {
		if (!quiet)
			fprintf(stderr, "alpnbpf %s: cannot ask: %s\n", command, strerror(errno));
	} else if (!fgets(line, sizeof(line), answer)) {
		if (!quiet)
			fprintf(stderr, "alpnbpf %s: no answer: %s\n", command,
				errno == EAGAIN ? "it is busy starting, or stuck" : "the connection was closed");
	} else if (strcmp(line, "ok\n") != 0) {
		if (!quiet)
			fprintf(stderr, "alpnbpf %s: %s", command, strncmp(line, "error: ", 7) == 0 ? line + 7 : line);
	} else {
		if (last)
			setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &forever, sizeof(forever));
		return answer;
	}
	fclose(answer);
	return NULL;
}

bool client_copy(const char *command, FILE *answer)
{
	char *line = NULL;
	size_t size = 0;
	bool good;

	while (getline(&line, &size, answer) > 0)
		if (fputs(line, stdout) < 0 || fflush(stdout))
			break;
	good = !ferror(answer) && !ferror(stdout);
	if (ferror(answer))
		fprintf(stderr, "alpnbpf %s: the answer broke off: %s\n", command, strerror(errno));
	free(line);
	fclose(answer);
	return good;
}
