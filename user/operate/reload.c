// SPDX-License-Identifier: BSD-2-Clause
/*
 * The states of a reload: see reload.h. Owns struct reload, and starts the thread that parses. On the main thread only
 * the steps of reload_apply.c take time: system calls, and the search for the holder of a port in use. Main thread.
 */
#include "operate/reload.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/descriptor.h"
#include "base/log.h"
#include "base/timer.h"
#include "operate/program.h"
#include "operate/reload_apply.h"
#include "operate/reload_parse.h"
#include "options/changes.h"
#include "system/notify.h"

#define PARSE_MS 8000U /* to look up host names */
#define TAKE_MS  2000U /* for the first worker to take the new options */
#define ADOPT_MS 2000U /* for each worker to adopt them */

uint64_t reload_ask(struct reload *reload)
{
	if (reload->state != RELOAD_IDLE)
		log_info("a reload is in progress; reloading again after it");
	reload->asked = true;
	return reload->turn + 1;
}

int reload_fd(const struct reload *reload)
{
	return reload->parsing ? reload->parsing->over : NO_DESCRIPTOR;
}

uint64_t reload_next(const struct reload *reload)
{
	if (reload->state == RELOAD_IDLE)
		return reload->asked ? 0 : UINT64_MAX;
	return reload->until;
}

/* --- the end of a turn --- */

static bool turn_ends(struct program *program, bool failed)
{
	struct reload *reload = &program->reload;

	reload->state = RELOAD_IDLE;
	reload->failed = failed;
	if (failed) {
		reload->failed_count++;
		log_error("reload failed, keeping the running configuration: %s", reload->result.text);
	} else {
		reload->done_count++;
		log_info("reloaded: %s", reload->result.text);
	}
	if (program->phase == PROGRAM_RUNNING)
		notify_service_manager("READY=1");
	return true;
}

static bool turn_fails(struct program *program, const char *why)
{
	sentence_set(&program->reload.result, "%s", why);
	return turn_ends(program, true);
}

/* --- the states --- */

static void tell_service_manager(void)
{
	char message[64];

	snprintf(message, sizeof(message), "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)monotonic_us());
	notify_service_manager(message);
}

static bool turn_begins(struct program *program)
{
	struct reload *reload = &program->reload;

	reload->asked = false;
	reload->turn++;
	if (program->phase != PROGRAM_RUNNING)
		return turn_fails(program, "alpnbpf is shutting down");
	tell_service_manager();
	if (reload->parsing)
		return turn_fails(program,
				  "host names of an earlier reload are still being looked up; try again in a moment");
	if (!handover_is_free(&program->engine) || !handover_is_adopted(&program->engine))
		return turn_fails(program, "a worker has not adopted the last reload yet; try again in a moment");
	reload->parsing = parsing_start(program->argc, program->argv, &reload->result);
	if (!reload->parsing)
		return turn_ends(program, true);
	reload->state = RELOAD_PARSES;
	reload->until = monotonic_us() + PARSE_MS * US_PER_MS;
	return false;
}

/* The thread has parsed the options. */
static bool turn_hands_over(struct program *program)
{
	struct reload *reload = &program->reload;
	struct parsing *parsing = reload->parsing;
	struct sentence why = {0};
	char names[256];

	if (program->phase != PROGRAM_RUNNING)
		return turn_fails(program, "alpnbpf is shutting down");
	if (parsing->result != OPTIONS_OK)
		return turn_fails(program, parsing->why.text);
	if (options_list_changes(&program->options, &parsing->options, false, names, sizeof(names)))
		sentence_set(&reload->result, "changed for new sessions: %s", names);
	else
		sentence_set(&reload->result, "nothing changed");
	if (!reload_hand_over(program, &parsing->options, &why))
		return turn_fails(program, why.text);
	reload->state = RELOAD_HANDED;
	reload->until = monotonic_us() + TAKE_MS * US_PER_MS;
	return false;
}

static bool parsing_has_ended(struct program *program)
{
	struct reload *reload = &program->reload;
	bool ends = false;

	if (parsing_join(reload->parsing)) {
		/* A result that comes too late for its turn is freed, not used. */
		if (reload->state == RELOAD_PARSES)
			ends = turn_hands_over(program);
		if (reload->state == RELOAD_HANDED)
			reload->handed = reload->parsing;
		else
			parsing_free(reload->parsing);
		reload->parsing = NULL;
	} else if (reload->state == RELOAD_PARSES && program->phase != PROGRAM_RUNNING) {
		ends = turn_fails(program, "alpnbpf is shutting down");
	} else if (reload->state == RELOAD_PARSES && monotonic_us() >= reload->until) {
		sentence_set(&reload->result,
			     "looking up the names of backends took longer than %u s; use addresses, or try again",
			     PARSE_MS / 1000);
		ends = turn_ends(program, true);
	}
	return ends;
}

static void forget_handed(struct reload *reload)
{
	parsing_free(reload->handed);
	reload->handed = NULL;
}

/* The workers have answered: puts the options in force. */
static bool turn_puts_in_force(struct program *program, int answer)
{
	struct reload *reload = &program->reload;
	struct sentence why = {0};
	bool good = !answer;

	if (good)
		good = reload_put_in_force(program, &reload->handed->options, &why);
	else
		sentence_set(&why, "the workers cannot take the new options: %s", strerror(-answer));
	forget_handed(reload);
	if (!good)
		return turn_fails(program, why.text);
	reload->state = RELOAD_ADOPTED;
	reload->until = monotonic_us() + ADOPT_MS * US_PER_MS;
	return false;
}

/* The old options stay in force; what the workers answer later does not count. */
static bool handing_over_fails(struct program *program, const char *why)
{
	forget_handed(&program->reload);
	return turn_fails(program, why);
}

static bool handing_over_has_ended(struct program *program)
{
	int answer = handover_answer(&program->engine);

	if (program->phase != PROGRAM_RUNNING)
		return handing_over_fails(program, "alpnbpf is shutting down");
	if (answer != -EINPROGRESS)
		return turn_puts_in_force(program, answer);
	if (monotonic_us() < program->reload.until)
		return false;
	return handing_over_fails(program, "the workers have not taken the new options in time; try again");
}

static bool workers_have_adopted(struct program *program)
{
	bool all = handover_is_adopted(&program->engine);

	if (!all && monotonic_us() < program->reload.until)
		return false;
	if (!all)
		log_warn("reload: a worker has not adopted the new options within %u s", ADOPT_MS / 1000);
	handover_prune(&program->engine);
	return turn_ends(program, false);
}

bool reload_step(struct program *program)
{
	struct reload *reload = &program->reload;

	if (reload->parsing && parsing_has_ended(program))
		return true;
	if (reload->state == RELOAD_HANDED && handing_over_has_ended(program))
		return true;
	if (reload->state == RELOAD_ADOPTED && workers_have_adopted(program))
		return true;
	return reload->state == RELOAD_IDLE && reload->asked && turn_begins(program);
}
