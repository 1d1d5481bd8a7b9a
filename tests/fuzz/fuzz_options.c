// SPDX-License-Identifier: BSD-2-Clause
/*
 * Fuzzes the command line: each line of the input is a word. Options that attach accepts are within their bounds;
 * commands that need fewer accept them too; with an extra word that is not an option they are refused.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/check_options.h"
#include "fuzz/inputs.h"

#define WORDS_MAX 64

static struct options options, again;

/* fuzz_config_file fuzzes files. */
static bool names_a_file(char *const *argv, int argc)
{
	for (int i = 1; i < argc; i++)
		if (strncmp(argv[i], "--config", strlen("--config")) == 0)
			return true;
	return false;
}

static void check_words(int argc, char **argv)
{
	struct sentence why;
	int more = argc;

	if (parse_options(&options, argc, argv, true, &why) == OPTIONS_OK)
		check_options(&options, true);
	if (parse_options(&options, argc, argv, false, &why) != OPTIONS_OK)
		return;
	check_options(&options, false);
	assert(parse_options(&again, argc, argv, false, &why) == OPTIONS_OK);
	check_same_options(&options, &again);
	assert(parse_options(&again, argc, argv, true, &why) == OPTIONS_OK);
	check_same_options(&options, &again);
	if (options.command) {
		assert(options.command > argv && options.command < argv + argc && *options.command);
		return;
	}
	argv[more++] = "--gopher";
	argv[more] = NULL;
	assert(parse_options(&again, more, argv, false, &why) == OPTIONS_USAGE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	char *argv[WORDS_MAX + 3] = {"attach"};
	int argc = 1;

	while (argc < WORDS_MAX && (argv[argc] = input_line(&input)))
		argc++;
	argv[argc] = NULL;
	if (!names_a_file(argv, argc))
		check_words(argc, argv);
	for (int i = 1; i < argc; i++)
		free(argv[i]);
	return 0;
}
