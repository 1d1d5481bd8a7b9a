/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random walks of a session: both ends send, read, close and reset in an order drawn from a seed. In any order, each
 * end gets what the other sent, without a gap; the end comes after the last byte, and a reset arrives as a reset.
 * Environment: WALK=seed repeats one walk, WALKS=n runs n of them.
 */
#include "engine/lab.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define WALKS     30
#define STEPS     60
#define PIECE_MAX 100000

/* One of the two ends, as the test plays it. */
struct player {
	int fd;
	uint64_t sent, received;   /* bytes of the pattern, for each direction */
	bool has_ended, has_reset; /* what this end did */
	bool cannot_send;          /* the kernel reports a reset once; after that recv() returns 0 */
	bool saw_end, saw_reset;   /* what came from the other end */
};

static uint64_t random_state;

/* xorshift64 */
static unsigned int pick(unsigned int below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (unsigned int)(random_state >> 11) % below;
}

static void send_some(struct player *player)
{
	static uint8_t bytes[PIECE_MAX];
	size_t length = 1 + pick(pick(2) ? 100 : PIECE_MAX);
	ssize_t sent;

	if (player->has_ended || player->has_reset || player->cannot_send || player->saw_reset)
		return;
	lab_pattern(bytes, length, player->sent);
	sent = send(player->fd, bytes, length, MSG_NOSIGNAL);
	if (sent > 0)
		player->sent += (uint64_t)sent;
	else if (errno != EAGAIN)
		player->cannot_send = true;
}

/* False: nothing to read. */
static bool read_some(struct player *player, size_t most)
{
	static uint8_t bytes[PIECE_MAX], expected[PIECE_MAX];
	ssize_t count;

	if (player->has_reset || player->saw_end || player->saw_reset)
		return false;
	count = recv(player->fd, bytes, most, 0);
	if (count < 0 && errno == EAGAIN)
		return false;
	if (count < 0) {
		assert_int_equal(errno, ECONNRESET);
		player->saw_reset = true;
	} else if (count == 0) {
		player->saw_end = !player->cannot_send;
		player->saw_reset = player->cannot_send;
	} else {
		lab_pattern(expected, (size_t)count, player->received);
		assert_memory_equal(bytes, expected, (size_t)count);
		player->received += (uint64_t)count;
	}
	return true;
}

static void step(struct lab *lab, struct player *player)
{
	switch (pick(12)) {
	case 0:
	case 1:
	case 2:
	case 3:
		send_some(player);
		break;
	case 4:
	case 5:
	case 6:
	case 7:
		read_some(player, 1 + pick(PIECE_MAX));
		break;
	case 8:
		if (pick(8) == 0 && !player->has_reset && shutdown(player->fd, SHUT_WR) == 0)
			player->has_ended = true;
		break;
	case 9:
		if (pick(40) == 0 && !player->has_reset) {
			lab_reset(lab, player->fd);
			player->has_reset = true;
		}
		break;
	default:
		lab_turn(lab);
	}
}

/* Both close their side if they have not, and read to the end. */
static void finish(struct lab *lab, struct player players[2])
{
	for (int i = 0; i < 2; i++)
		if (!players[i].has_reset && !players[i].has_ended && shutdown(players[i].fd, SHUT_WR) == 0)
			players[i].has_ended = true;
	for (int i = 0; i < 2; i++)
		if (!players[i].has_reset)
			lab_until(lab, (read_some(&players[i], PIECE_MAX),
					players[!i].has_reset || players[i].saw_end || players[i].saw_reset));
	for (int i = 0; i < 2; i++)
		if (!players[i].has_reset)
			lab_until(lab,
				  !read_some(&players[i], PIECE_MAX) && (players[i].saw_end || players[i].saw_reset));
}

static void check(const struct player *player, const struct player *other)
{
	if (player->has_reset)
		return;
	assert_true(player->received <= other->sent);
	/* nothing is missing before an end of stream */
	if (player->saw_end)
		assert_int_equal(player->received, other->sent);
	/* a reset was sent by one of the two */
	if (player->saw_reset)
		assert_true(other->has_reset || other->saw_reset);
	else
		assert_true(other->has_ended);
}

static void walk(uint64_t number)
{
	struct player players[2] = {0};
	struct lab_pair pair;
	struct lab lab;

	random_state = number * 0x9e3779b97f4a7c15 + 1;
	/* some begin in user space and are promoted */
	lab_open(&lab, LAB("--dataplane",
			   lab_used() == DATAPLANE_USER ? "user"
			   : pick(2)                    ? "auto"
							: "sockmap",
			   "--buffer", pick(2) ? "64K" : "1M", "--idle-timeout", "0"));
	pair = lab_pair(&lab, ROUTE_HTTPS);
	players[0].fd = pair.client;
	players[1].fd = pair.backend;
	for (int i = 0; i < STEPS; i++)
		step(&lab, &players[pick(2)]);
	finish(&lab, players);
	for (int i = 0; i < 2; i++)
		check(&players[i], &players[!i]);
	lab_wait_until(&lab, 100, lab_live(&lab) == 0);
	lab_close(&lab);
}

static uint64_t seed; /* of the current walk; 0: none */

static void test_walks(void **state)
{
	const char *only = getenv("WALK"), *many = getenv("WALKS");
	uint64_t last = many ? strtoull(many, NULL, 10) : WALKS;

	(void)state;
	if (only) {
		seed = strtoull(only, NULL, 10);
		walk(seed);
	} else {
		for (seed = 1; seed <= last; seed++)
			walk(seed);
	}
	seed = 0;
}

static int say_seed(void **state)
{
	(void)state;
	if (seed)
		print_message("WALK=%llu\n", (unsigned long long)seed);
	seed = 0;
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_walks, say_seed),
	};

	return lab_run_tests(tests);
}
