// SPDX-License-Identifier: BSD-2-Clause
/*
 * Fuzzes records of takeovers, which the BPF programs write. An invalid one is refused; any other gives a socket whose
 * receive queue has all bytes of the client, and well-formed segments. The system calls are replaced here: they record
 * their arguments, and fail where the input says.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fuzz/inputs.h"
#include "steering/takeover.h"
#include "steering/takeover_packets.h"

enum { REPAIR = 19, REPAIR_QUEUE = 20, QUEUE_SEQ = 21, REPAIR_OPTIONS = 22, REPAIR_WINDOW = 29 };

/* The arguments of the calls. */
static struct {
	unsigned int calls, failing; /* which of the calls that may fail does; 0: none */
	int error, fd;
	bool repair, repaired;
	int queue;
	uint32_t seq[3]; /* by queue */
	size_t queued, option_count;
	uint8_t queue_bytes[STEER_BYTES_MAX];
	struct {
		uint32_t code, value;
	} options[4];
	struct {
		uint32_t snd_wl1, snd_wnd, max_window, rcv_wnd, rcv_wup;
	} window;
	size_t packet_length;
	uint8_t packet[128];
} said;

static struct input *calls_input;

static bool fails(void)
{
	if (++said.calls != said.failing)
		return false;
	errno = said.error ? said.error : EIO;
	return true;
}

/* --- the system calls --- */

int socket(int domain, int type, int protocol)
{
	(void)domain;
	(void)type;
	(void)protocol;
	if (fails())
		return -1;
	said.fd = eventfd(0, EFD_CLOEXEC);
	return said.fd;
}

static void note_option(int option, const void *value, socklen_t length)
{
	int number = 0;

	if (length == sizeof(number))
		memcpy(&number, value, sizeof(number));
	switch (option) {
	case REPAIR:
		said.repaired = said.repaired || number;
		said.repair = number;
		break;
	case REPAIR_QUEUE:
		assert(said.repair && (number == 1 || number == 2));
		said.queue = number;
		break;
	case QUEUE_SEQ:
		assert(said.repair && said.queue);
		memcpy(&said.seq[said.queue], value, sizeof(uint32_t));
		break;
	case REPAIR_OPTIONS:
		assert(said.repair && length <= sizeof(said.options) && length % 8 == 0);
		said.option_count = length / 8;
		memcpy(said.options, value, length);
		break;
	case REPAIR_WINDOW:
		assert(said.repair && length == sizeof(said.window));
		memcpy(&said.window, value, length);
		break;
	default:
		break;
	}
}

int setsockopt(int fd, int level, int option, const void *value, socklen_t length)
{
	assert(fd == said.fd);
	if (fails())
		return -1;
	if (level == IPPROTO_TCP)
		note_option(option, value, length);
	return 0;
}

int getsockopt(int fd, int level, int option, void *restrict value, socklen_t *restrict length)
{
	assert(fd == said.fd && level == IPPROTO_TCP && option == TCP_TIMESTAMP && *length == sizeof(uint32_t));
	if (fails())
		return -1;
	input_bytes(calls_input, value, sizeof(uint32_t));
	return 0;
}

int bind(int fd, __CONST_SOCKADDR_ARG address, socklen_t length)
{
	(void)address;
	assert(fd == said.fd && said.repair && length);
	return fails() ? -1 : 0;
}

int connect(int fd, __CONST_SOCKADDR_ARG address, socklen_t length)
{
	(void)address;
	assert(fd == said.fd && said.repair && length);
	return fails() ? -1 : 0;
}

/* Into the queue under repair, some of it or all. */
ssize_t send(int fd, const void *bytes, size_t length, int flags)
{
	size_t count = 1 + input_number(calls_input, 2) % length;

	(void)flags;
	assert(fd == said.fd && said.repair && said.queue == 1);
	if (fails())
		return said.error ? -1 : 0;
	assert(count <= sizeof(said.queue_bytes) - said.queued);
	memcpy(said.queue_bytes + said.queued, bytes, count);
	said.queued += count;
	return (ssize_t)count;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	(void)fd;
	(void)flags;
	said.packet_length = 0;
	for (size_t i = 0; i < message->msg_iovlen; i++) {
		const struct iovec *part = &message->msg_iov[i];

		assert(part->iov_len <= sizeof(said.packet) - said.packet_length);
		memcpy(said.packet + said.packet_length, part->iov_base, part->iov_len);
		said.packet_length += part->iov_len;
	}
	for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control;
	     control = CMSG_NXTHDR((struct msghdr *)message, control))
		assert(control->cmsg_len > CMSG_LEN(0));
	return (ssize_t)said.packet_length;
}

/* --- the socket --- */

static void check_socket(const struct steer_takeover *takeover)
{
	bool agreed[9] = {false};
	int fd = takeover_prepare(takeover);

	if (fd < 0) {
		assert(said.failing && said.calls >= said.failing);
		assert(said.fd < 0 || fcntl(said.fd, F_GETFD) < 0); /* closed */
		return;
	}
	if (takeover_connect(fd, takeover) || takeover_fill(fd, takeover) || takeover_finish(fd)) {
		assert(said.failing && said.calls >= said.failing);
		close(fd);
		return;
	}
	assert(fd == said.fd && said.repaired && !said.repair);
	assert(said.seq[1] == takeover->first && said.seq[2] == takeover->acknowledged);
	assert(said.queued == takeover->length);
	assert(memcmp(said.queue_bytes, takeover->bytes, takeover->length) == 0);
	for (size_t i = 0; i < said.option_count; i++) {
		assert(said.options[i].code < 9 && !agreed[said.options[i].code]);
		agreed[said.options[i].code] = true;
	}
	assert(agreed[2] && agreed[3] && agreed[4] == !!takeover->agreed.sack &&
	       agreed[8] == !!takeover->agreed.timestamps);
	assert(said.window.rcv_wup == takeover->agreed.receive_from && said.window.snd_wnd == takeover->window);
	close(fd);
}

/* --- the segments --- */

static uint32_t sum(const uint8_t *bytes, size_t length)
{
	uint32_t total = 0;

	for (size_t i = 0; i < length; i++)
		total += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
	return total;
}

/* Checks the checksum: with the pseudo header the sum is all ones (RFC 9293 section 3.1). Returns the header. */
static struct tcphdr check_packet(const struct address *from, const struct address *to, bool has_timestamps)
{
	bool v4 = from->sa.sa_family == AF_INET;
	size_t header = v4 ? sizeof(struct ip) : sizeof(struct ip6_hdr), addresses = v4 ? 12 : 8, size = v4 ? 4 : 16;
	size_t length = said.packet_length - header;
	uint32_t total;
	struct tcphdr tcp;

	assert(said.packet_length >= header + sizeof(tcp) && said.packet[0] >> 4 == (v4 ? 4 : 6));
	assert(memcmp(said.packet + addresses, v4 ? (const void *)&from->in.sin_addr : &from->in6.sin6_addr, size) ==
	       0);
	assert(memcmp(said.packet + addresses + size, v4 ? (const void *)&to->in.sin_addr : &to->in6.sin6_addr, size) ==
	       0);
	total = sum(said.packet + addresses, 2 * size) + sum(said.packet + header, length) + IPPROTO_TCP +
		(uint32_t)length;
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	assert(total == 0xffff);
	memcpy(&tcp, said.packet + header, sizeof(tcp));
	assert(ntohs(tcp.th_sport) == address_port(from) && ntohs(tcp.th_dport) == address_port(to));
	assert(tcp.th_off * 4 == length && tcp.th_off == (has_timestamps ? 8 : 5));
	return tcp;
}

static void check_segments(const struct steer_takeover *takeover)
{
	struct address client = takeover_client(takeover), server = takeover_server(takeover);
	struct tcphdr tcp;

	if (client.sa.sa_family != server.sa.sa_family)
		return; /* no connection mixes the two families */
	assert(takeover_reset_server(0, takeover, takeover->passed) == 0);
	tcp = check_packet(&client, &server, false);
	assert(tcp.th_flags == TH_RST && ntohl(tcp.th_seq) == takeover->passed);
	assert(takeover_reset_client(0, takeover) == 0);
	tcp = check_packet(&server, &client, false);
	assert(tcp.th_flags == TH_RST && ntohl(tcp.th_seq) == takeover->acknowledged);
	said.failing = 0;
	assert(takeover_acknowledge(0, takeover, said.fd) == 0);
	tcp = check_packet(&server, &client, takeover->agreed.timestamps);
	assert(tcp.th_flags == TH_ACK);
	assert(ntohl(tcp.th_ack) == takeover->first + takeover->length);
}

/* --- an input --- */

/*
 * Exactly as large as needed, so that a sanitizer finds an overrun. The client's bytes are made up: only their length
 * counts.
 */
static struct steer_takeover *read_record(struct input *input, size_t size)
{
	const size_t head = offsetof(struct steer_takeover, bytes);
	struct steer_takeover *takeover = malloc(size);
	uint8_t *bytes = (uint8_t *)takeover;

	assert(takeover);
	input_bytes(input, takeover, head);
	for (size_t i = head; i < size; i++)
		bytes[i] = (uint8_t)(i * 7);
	return takeover;
}

static void make_mapped(struct steer_endpoint *endpoint)
{
	endpoint->addr[0] = endpoint->addr[1] = 0;
	endpoint->addr[2] = htonl(0xffff);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	unsigned int failing = input_number(&input, 1), error = input_number(&input, 1);
	unsigned int kind = input_number(&input, 1);
	size_t length = offsetof(struct steer_takeover, bytes) + (kind & 1 ? kind : STEER_BYTES_MAX);
	struct steer_takeover *takeover = read_record(&input, length);

	memset(&said, 0, sizeof(said));
	said.fd = -1;
	said.failing = failing;
	said.error = (int)(error % 4 ? error : 0);
	calls_input = &input;
	if (kind & 2) {
		make_mapped(&takeover->ends.from);
		make_mapped(&takeover->ends.to);
	}
	if (takeover_is_sound(takeover, length)) {
		assert(takeover->length <= length - offsetof(struct steer_takeover, bytes));
		assert(takeover->kept_length <= takeover->length);
		check_socket(takeover);
		check_segments(takeover);
	}
	assert(!takeover_is_sound(takeover, offsetof(struct steer_takeover, bytes) - 1));
	free(takeover);
	return 0;
}
