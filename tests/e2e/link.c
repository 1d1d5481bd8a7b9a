// SPDX-License-Identifier: BSD-2-Clause
/*
 * A link between two network namespaces: a tun device in each, and this process between them, which delays, loses,
 * reorders and fragments packets. One thread. Prints `ready` first, and what it did when it is ended by SIGTERM.
 *
 *   link NAMESPACE DEVICE NAMESPACE DEVICE OPTION=NUMBER ...
 *   delay=0      milliseconds each way
 *   loss=0       percent of the packets that are lost
 *   reorder=0    percent of the packets that are late, so that others overtake them
 *   late=0       milliseconds by which they are late
 *   fragment=0   bytes of a fragment's payload, a multiple of 8; 0: packets stay whole
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define PACKET_MAX 2048 /* more than the device's MTU, and the header of a fragment */
#define ROOM       65536
#define BATCH      256

struct packet {
	double at;      /* when it leaves */
	uint64_t order; /* of those that leave at once */
	int to;
	size_t length;
	unsigned char bytes[PACKET_MAX];
};

static struct packet packets[ROOM];
static uint32_t heap[ROOM], unused[ROOM]; /* indices; the first of the heap leaves next */
static size_t count, unused_count;
static uint64_t taken; /* packets so far, fragments counted */
static uint32_t fragment_id;
static int devices[2];
static double last[2]; /* when the last packet that is in order leaves, each way */
static volatile sig_atomic_t ended;

static struct options {
	double delay, loss, reorder, late, fragment;
} options;

static struct totals {
	uint64_t packets, lost, reordered, refused;
} totals;

static void on_signal(int number)
{
	(void)number;
	ended = 1;
}

__attribute__((noreturn)) static void fail(const char *what)
{
	fprintf(stderr, "link: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double clock_now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static bool leaves_before(uint32_t a, uint32_t b)
{
	const struct packet *first = &packets[heap[a]], *second = &packets[heap[b]];

	return first->at < second->at || (first->at == second->at && first->order < second->order);
}

static void heap_swap(uint32_t a, uint32_t b)
{
	uint32_t index = heap[a];

	heap[a] = heap[b];
	heap[b] = index;
}

static void heap_push(uint32_t index)
{
	uint32_t at = (uint32_t)count++;

	heap[at] = index;
	for (; at && leaves_before(at, (at - 1) / 2); at = (at - 1) / 2)
		heap_swap(at, (at - 1) / 2);
}

static uint32_t heap_pop(void)
{
	uint32_t first = heap[0], at = 0;

	heap[0] = heap[--count];
	while (true) {
		uint32_t least = at;

		for (uint32_t child = 2 * at + 1; child <= 2 * at + 2; child++)
			if (child < count && leaves_before(child, least))
				least = child;
		if (least == at)
			return first;
		heap_swap(at, least);
		at = least;
	}
}

/* Of an IPv4 header whose checksum is not yet in it. */
static uint16_t header_checksum(const unsigned char *header, size_t length)
{
	uint32_t sum = 0;

	for (size_t at = 0; at < length; at += 2)
		sum += (uint32_t)header[at] << 8 | header[at + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

/* To leave at this time. */
static void put(double at, int to, const void *header, size_t header_length, const void *payload, size_t length)
{
	struct packet *packet;

	if (!unused_count || header_length + length > PACKET_MAX) {
		totals.refused++;
		return;
	}
	packet = &packets[unused[--unused_count]];
	*packet = (struct packet){.at = at, .order = taken, .to = to, .length = header_length + length};
	taken++;
	memcpy(packet->bytes, header, header_length);
	memcpy(packet->bytes + header_length, payload, length);
	heap_push((uint32_t)(packet - packets));
}

static void put_fragments4(double at, int to, const unsigned char *bytes, size_t length)
{
	size_t header_length = (size_t)(bytes[0] & 15) * 4, step = (size_t)options.fragment;
	struct iphdr header;

	fragment_id++;
	for (size_t offset = 0; header_length + offset < length; offset += step) {
		size_t left = length - header_length - offset, part = left < step ? left : step;
		unsigned char copy[60];

		memcpy(copy, bytes, header_length);
		memcpy(&header, bytes, sizeof(header));
		header.tot_len = htons((uint16_t)(header_length + part));
		header.id = htons((uint16_t)fragment_id);
		header.frag_off = htons((uint16_t)(offset / 8 | (part < left ? IP_MF : 0)));
		header.check = 0;
		memcpy(copy, &header, sizeof(header));
		header.check = header_checksum(copy, header_length);
		memcpy(copy, &header, sizeof(header));
		put(at, to, copy, header_length, bytes + header_length + offset, part);
	}
}

static void put_fragments6(double at, int to, const unsigned char *bytes, size_t length)
{
	size_t step = (size_t)options.fragment;
	struct {
		struct ip6_hdr ip;
		struct ip6_frag fragment;
	} header = {0};

	fragment_id++;
	for (size_t offset = 0; sizeof(header.ip) + offset < length; offset += step) {
		size_t left = length - sizeof(header.ip) - offset, part = left < step ? left : step;

		memcpy(&header.ip, bytes, sizeof(header.ip));
		header.fragment =
			(struct ip6_frag){.ip6f_nxt = header.ip.ip6_nxt,
					  .ip6f_offlg = htons((uint16_t)offset) | (part < left ? IP6F_MORE_FRAG : 0),
					  .ip6f_ident = htonl(fragment_id)};
		header.ip.ip6_nxt = IPPROTO_FRAGMENT;
		header.ip.ip6_plen = htons((uint16_t)(sizeof(header.fragment) + part));
		put(at, to, &header, sizeof(header), bytes + sizeof(header.ip) + offset, part);
	}
}

static bool is_tcp(const unsigned char *bytes)
{
	return bytes[0] >> 4 == 4 ? bytes[9] == IPPROTO_TCP : bytes[6] == IPPROTO_TCP;
}

static void take(double now, int from, const unsigned char *bytes, size_t length)
{
	double at = now + options.delay / 1e3;
	size_t header_length = bytes[0] >> 4 == 4 ? (size_t)(bytes[0] & 15) * 4 : sizeof(struct ip6_hdr);

	totals.packets++;
	if (drand48() * 100 < options.loss) {
		totals.lost++;
		return;
	}
	if (drand48() * 100 < options.reorder) {
		at += options.late / 1e3;
		totals.reordered++;
	} else {
		if (at < last[from])
			at = last[from];
		last[from] = at;
	}
	if (options.fragment <= 0 || !is_tcp(bytes) || (double)(length - header_length) <= options.fragment)
		put(at, !from, bytes, 0, bytes, length);
	else if (bytes[0] >> 4 == 4)
		put_fragments4(at, !from, bytes, length);
	else
		put_fragments6(at, !from, bytes, length);
}

static void receive(int from)
{
	unsigned char bytes[PACKET_MAX];
	double now = clock_now();

	for (int number = 0; number < BATCH; number++) {
		ssize_t length = read(devices[from], bytes, sizeof(bytes));

		if (length < (ssize_t)sizeof(struct iphdr))
			return;
		take(now, from, bytes, (size_t)length);
	}
}

static void send_due(void)
{
	while (count && packets[heap[0]].at <= clock_now()) {
		uint32_t index = heap_pop();
		struct packet *packet = &packets[index];

		if (write(devices[packet->to], packet->bytes, packet->length) < 0)
			totals.refused++;
		unused[unused_count++] = index;
	}
}

static struct timespec until_the_next(void)
{
	double seconds = count ? packets[heap[0]].at - clock_now() : 1;

	if (seconds < 0)
		seconds = 0;
	return (struct timespec){.tv_sec = (time_t)seconds,
				 .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
}

static int device_open(const char *name_space, const char *device)
{
	struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
	int home = open(name_space, O_RDONLY | O_CLOEXEC), fd;

	if (home < 0 || setns(home, CLONE_NEWNET))
		fail(name_space);
	close(home);
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", device);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &request))
		fail(device);
	return fd;
}

static void read_option(const char *word)
{
	const struct {
		const char *name;
		double *value;
	} known[] = {{"delay=", &options.delay},
		     {"loss=", &options.loss},
		     {"reorder=", &options.reorder},
		     {"late=", &options.late},
		     {"fragment=", &options.fragment}};

	for (size_t number = 0; number < sizeof(known) / sizeof(known[0]); number++) {
		size_t length = strlen(known[number].name);

		if (!strncmp(word, known[number].name, length)) {
			*known[number].value = strtod(word + length, NULL);
			return;
		}
	}
	fprintf(stderr, "link: unknown option %s\n", word);
	exit(2);
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_signal};

	if (argc < 5) {
		fprintf(stderr, "usage: link NAMESPACE DEVICE NAMESPACE DEVICE OPTION=NUMBER ...\n");
		return 2;
	}
	for (int at = 5; at < argc; at++)
		read_option(argv[at]);
	for (int side = 0; side < 2; side++)
		devices[side] = device_open(argv[1 + 2 * side], argv[2 + 2 * side]);
	while (unused_count < ROOM) {
		unused[unused_count] = (uint32_t)unused_count;
		unused_count++;
	}
	sigaction(SIGTERM, &action, NULL);
	printf("ready\n");
	fflush(stdout);
	while (!ended) {
		struct pollfd waiting[2] = {{.fd = devices[0], .events = POLLIN}, {.fd = devices[1], .events = POLLIN}};
		struct timespec timeout = until_the_next();

		ppoll(waiting, 2, &timeout, NULL);
		for (int side = 0; side < 2; side++)
			receive(side);
		send_due();
	}
	printf("%lu packets, %lu lost, %lu reordered, %lu refused\n", totals.packets, totals.lost, totals.reordered,
	       totals.refused);
	return 0;
}
