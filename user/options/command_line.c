// SPDX-License-Identifier: BSD-2-Clause
/* The command line of attach and check: see command_line.h. Enters --netns. Owns nothing. Main thread, at start-up. */
#include "options/command_line.h"

#include <stdio.h>

#include "options/options.h"
#include "system/netns.h"

bool command_line_parse(struct options *options, int argc, char **argv, int *code)
{
	struct sentence why;

	options_parse_netns(options, argc, argv);
	if (*options->netns && netns_enter(options->netns, &why)) {
		fprintf(stderr, "alpnbpf %s: --netns %s: %s\n", argv[0], options->netns, why.text);
		*code = EXIT_FAILED;
		return false;
	}
	switch (options_parse(options, argc, argv, &why)) {
	case OPTIONS_HELP:
		fputs(options_help(), stdout);
		*code = EXIT_DONE;
		return false;
	case OPTIONS_VERSION:
		printf("alpnbpf %s\n", ALPNBPF_VERSION);
		*code = EXIT_DONE;
		return false;
	case OPTIONS_USAGE:
		fprintf(stderr, "alpnbpf %s: %s\n", argv[0], why.text);
		*code = EXIT_USAGE;
		return false;
	case OPTIONS_OK:
		break;
	}
	return true;
}
