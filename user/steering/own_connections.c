// SPDX-License-Identifier: BSD-2-Clause
/*
 * Our own connections to the web server, as steering knows them: not to be steered back to us, and to be shown as the
 * client they are made for. Called by the workers; the maps are what synchronises them.
 */
#include "steering/steer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <bpf/bpf.h>

#include "base/address.h"

/* Entries of connections that have ended, the oldest at `first`. */
struct steer_ended {
	unsigned int first, count;
	struct steer_entry entries[STEER_ENDED_MAX];
};

int steer_ended_open(struct steer *steer, unsigned int workers)
{
	pthread_rwlockattr_t attributes;

	steer->ended = calloc(workers, sizeof(*steer->ended));
	steer->reuse = calloc(1, sizeof(*steer->reuse));
	if (!steer->ended || !steer->reuse)
		return -ENOMEM;
	pthread_rwlockattr_init(&attributes);
	/* Connections are made all the time: who removes must not wait for a moment without any. */
	pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(steer->reuse, &attributes);
	pthread_rwlockattr_destroy(&attributes);
	return 0;
}

void steer_ended_close(struct steer *steer)
{
	if (steer->reuse)
		pthread_rwlock_destroy(steer->reuse);
	free(steer->reuse);
	free(steer->ended);
	steer->reuse = NULL;
	steer->ended = NULL;
}

/* Without sock_ops: take the source the kernel would, whose port is then known before the SYN leaves. */
static int bind_source(int fd, const struct address *to, struct address *from)
{
	int on = 1;

	*from = *to;
	if (from->sa.sa_family == AF_INET)
		from->in.sin_port = 0;
	else
		from->in6.sin6_port = 0;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, &from->sa, from->len) || getsockname(fd, &from->sa, &from->len))
		return -errno;
	return 0;
}

/* The entry as it will be: both ends are known once the socket is bound. */
static int enter_bound(struct steer *steer, int fd, const struct steer_client *client, const struct address *to,
		       struct steer_entry *entry)
{
	struct address from = {.len = sizeof(from.in6)};
	int error = 0;

	if (getsockname(fd, &from.sa, &from.len))
		return -errno;
	if (address_port(&from) == 0)
		error = bind_source(fd, to, &from);
	if (error)
		return error;
	entry->key.from = steer_endpoint_from(&from);
	entry->key.to = steer_endpoint_from(to);
	if (bpf_map_update_elem(steer->ours, &entry->key, client, BPF_ANY))
		return -errno;
	entry->cookie = client->cookie;
	return 0;
}

int steer_connect_begin(struct steer *steer, int fd, const struct address *client, const struct address *to,
			struct steer_entry *entry)
{
	struct steer_client value = {.client = steer_endpoint_from(client)};
	struct steer_connecting connecting = {.client = value.client};
	socklen_t length = sizeof(value.cookie);

	*entry = (struct steer_entry){0};
	if (!steer->tracks)
		return 0;
	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &value.cookie, &length))
		return -errno;
	if (!steer->by_cgroup)
		return enter_bound(steer, fd, &value, to, entry);
	if (bpf_map_update_elem(steer->connecting, &value.cookie, &connecting, BPF_ANY))
		return -errno;
	entry->cookie = value.cookie;
	pthread_rwlock_rdlock(steer->reuse);
	return 0;
}

int steer_connect_end(struct steer *steer, struct steer_entry *entry)
{
	struct steer_connecting connecting;
	uint64_t cookie = entry->cookie;

	if (!steer->tracks || !steer->by_cgroup)
		return 0;
	pthread_rwlock_unlock(steer->reuse);
	entry->cookie = 0;
	if (bpf_map_lookup_and_delete_elem(steer->connecting, &cookie, &connecting))
		return -errno;
	if (!connecting.made.from.port)
		return -ENOBUFS;
	entry->key = connecting.made;
	entry->cookie = cookie;
	return 0;
}

/* Unless a later connection has the same ends. Nobody may be making one: `reuse` is held, or sock_ops is not used. */
static void remove_entry(struct steer *steer, const struct steer_entry *entry)
{
	struct steer_client found;

	if (bpf_map_lookup_elem(steer->ours, &entry->key, &found) == 0 && found.cookie == entry->cookie)
		bpf_map_delete_elem(steer->ours, &entry->key);
}

static void remove_oldest(struct steer *steer, struct steer_ended *ended)
{
	pthread_rwlock_wrlock(steer->reuse);
	for (unsigned int i = 0; i < STEER_ENDED_AT_ONCE; i++) {
		remove_entry(steer, &ended->entries[ended->first]);
		ended->first = (ended->first + 1) % STEER_ENDED_MAX;
	}
	pthread_rwlock_unlock(steer->reuse);
	ended->count -= STEER_ENDED_AT_ONCE;
}

void steer_forget(struct steer *steer, unsigned int worker, struct steer_entry *entry)
{
	struct steer_ended *ended;

	if (!entry->cookie)
		return;
	if (steer->by_cgroup) {
		ended = &steer->ended[worker];
		if (ended->count == STEER_ENDED_MAX)
			remove_oldest(steer, ended);
		ended->entries[(ended->first + ended->count++) % STEER_ENDED_MAX] = *entry;
	} else { /* nobody would notice that its ends belong to another program */
		bpf_map_delete_elem(steer->ours, &entry->key);
	}
	entry->cookie = 0;
}
