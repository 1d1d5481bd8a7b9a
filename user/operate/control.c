// SPDX-License-Identifier: BSD-2-Clause
/* The control socket: creates, locks and removes it, and checks its peers. Owns both files. Main thread. */
#include "operate/control.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <nss.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "system/run_directory.h"

#define BACKLOG    64
#define GROUPS_MAX 1024

/*
 * Takes the lock for the life of this process. Between our open() and flock() its previous holder may have removed the
 * file; then we locked a file that no other process can find, and try again.
 */
static int take_lock(struct control *control)
{
	for (;;) {
		int fd = open(control->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600), error;
		struct stat ours, found;

		if (fd < 0)
			return -errno;
		if (flock(fd, LOCK_EX | LOCK_NB)) {
			error = errno == EWOULDBLOCK ? -EADDRINUSE : -errno;
			close(fd);
			return error;
		}
		if (fstat(fd, &ours) == 0 && stat(control->lock_path, &found) == 0 && ours.st_ino == found.st_ino &&
		    ours.st_dev == found.st_dev) {
			control->lock = fd;
			return 0;
		}
		close(fd);
	}
}

static int take_name(struct control *control, const char *name)
{
	snprintf(control->name, sizeof(control->name), "%s", name);
	if (!run_directory_socket(name, control->path, sizeof(control->path)) ||
	    !run_directory_path(name, "lock", control->lock_path, sizeof(control->lock_path)))
		return -ENAMETOOLONG;
	return take_lock(control);
}

/*
 * Root owns the file, so that root can use it without CAP_DAC_OVERRIDE too. Its group is --control-group, or that of
 * the user that this process becomes.
 */
static int listen_there(struct control *control, const struct user *user)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	gid_t own = getegid();
	mode_t mask;
	int error, bound;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", control->path);
	unlink(control->path); /* stale: we hold the lock */
	control->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (control->fd < 0)
		return -errno;
	descriptor_refuse_passed(control->fd);
	mask = umask(0117); /* 0660 from the start; no other thread runs yet that could create a file */
	bound = user->changes ? setegid(user->gid) : 0;
	if (!bound)
		bound = bind(control->fd, (const struct sockaddr *)&address, sizeof(address));
	if (user->changes && setegid(own))
		bound = -1;
	umask(mask);
	/*
	 * No client can connect before listen(), and by then the group is set. The folder may belong to another user:
	 * follow no links.
	 */
	if (bound ||
	    (control->has_group && fchownat(AT_FDCWD, control->path, (uid_t)-1, control->group, AT_SYMLINK_NOFOLLOW)) ||
	    listen(control->fd, BACKLOG)) {
		error = -errno;
		descriptor_close(&control->fd);
		return error;
	}
	return 0;
}

static bool find_group(struct control *control, const char *name)
{
	const struct group *group;
	char *end;
	unsigned long number;

#ifdef ALPNBPF_STATIC
	__nss_configure_lookup("group", "files"); /* as for host names, in base/address.c */
#endif
	group = getgrnam(name);
	if (group) {
		control->group = group->gr_gid;
		control->has_group = true;
		return true;
	}
	number = strtoul(name, &end, 10);
	if (*end || end == name || number >= (gid_t)-1)
		return false;
	control->group = (gid_t)number;
	control->has_group = true;
	return true;
}

/* A default name may be in use, by an alpnbpf of another network namespace with the same port and run directory. */
static int take_some_name(struct control *control, const struct options *options)
{
	char name[sizeof(control->name)];
	int error;

	if (*options->name)
		return take_name(control, options->name);
	snprintf(name, sizeof(name), "%u", address_port(&options->listeners[0]));
	error = take_name(control, name);
	if (error != -EADDRINUSE)
		return error;
	snprintf(name, sizeof(name), "%u-%d", address_port(&options->listeners[0]), (int)getpid());
	return take_name(control, name);
}

static int explain_error(const struct control *control, const struct options *options, int error, struct sentence *why)
{
	if (error == -EADDRINUSE && control->lock == NO_DESCRIPTOR)
		return sentence_error(
			why, error,
			"the name \"%s\" is in use by another alpnbpf (%s is locked); choose another --name",
			control->name, control->lock_path);
	if (error == -EPERM && control->has_group)
		return sentence_error(why, error, "--control-group %s: cannot change the group of %s: %s",
				      options->control_group, control->path, strerror(-error));
	return sentence_error(why, error, "cannot create the control socket %s: %s", control->path, strerror(-error));
}

int control_open(struct control *control, const struct options *options, const struct user *user, struct sentence *why)
{
	int error;

	*control = (struct control){.fd = NO_DESCRIPTOR, .lock = NO_DESCRIPTOR};
	if (*options->control_group && !find_group(control, options->control_group))
		return sentence_error(why, -EINVAL, "--control-group %s: no such group", options->control_group);
	error = run_directory_make(user->changes ? user->gid : getegid());
	if (error)
		return sentence_error(why, error, "cannot create the run directory %s: %s", run_directory(),
				      strerror(-error));
	error = take_some_name(control, options);
	if (!error)
		error = listen_there(control, user);
	if (!error)
		return 0;
	explain_error(control, options, error, why);
	control_close(control);
	return error;
}

void control_close(struct control *control)
{
	if (control->fd != NO_DESCRIPTOR)
		unlink(control->path);
	descriptor_close(&control->fd);
	if (control->lock != NO_DESCRIPTOR)
		unlink(control->lock_path);
	descriptor_close(&control->lock);
}

bool control_admits(const struct control *control, int fd)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);
	gid_t groups[GROUPS_MAX];

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length))
		return false;
	if (peer.uid == 0 || peer.uid == geteuid())
		return true;
	if (!control->has_group)
		return false;
	if (peer.gid == control->group)
		return true;
	length = sizeof(groups);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &length))
		return false;
	for (size_t i = 0; i < length / sizeof(gid_t); i++)
		if (groups[i] == control->group)
			return true;
	return false;
}
