// SPDX-License-Identifier: BSD-2-Clause
/*
 * `alpnbpf inspect`: reads one ClientHello, raw or as hex text, and prints its fields and its route, by the rules of a
 * configuration file or of the command line. Uses no BPF, uses the network only to resolve names of backends, and needs
 * no privileges. Owns its input; a short-lived process with one thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands/commands.h"
#include "options/command_line.h"
#include "hello/describe.h"
#include "hello/hex_text.h"
#include "base/json.h"
#include "options/options.h"

/* The longest hello in the smallest records, as hex text with separators and offsets: more input changes nothing. */
#define INPUT_MAX (8 * CLIENTHELLO_WIRE_MAX)

/* The longest condition of a rule: every name with escapes and a comma, and the two keywords. */
#define RULE_MAX (CLIENTHELLO_KINDS * (CLIENTHELLO_NAMES_MAX * (4 * ROUTE_NAME_MAX + 2) + 16))

static const char usage[] = "Usage: alpnbpf inspect [--json] [--config FILE] [--route RULE ...] [FILE|-]\n"
			    "\n"
			    "Reads a TLS ClientHello from FILE (default: standard input), and prints its fields\n"
			    "and the route it would take. The input is the bytes that a client sends, raw or as\n"
			    "hex text: plain, with blanks, colons or 0x, or as printed by xxd or hexdump -C.\n"
			    "\n"
			    "  --config FILE  use the backends and rules of this configuration file\n"
			    "  --route RULE   use this rule, written as for attach, instead of those in the file\n"
			    "  --json         print one JSON object instead of text\n"
			    "  --help         show this text\n";

struct request {
	const char *path; /* of the hello */
	bool json;
	struct options options; /* rules and backends; these may be missing */
};

/* --- output --- */

static const char *version_text(uint16_t version, char out[8])
{
	const char *name = hello_version_name(version);

	if (name)
		return name;
	snprintf(out, 8, "0x%04x", version);
	return out;
}

/* "route-1 (sni=*.example.org -> 127.0.0.1:9443)"; for acme and https the backend, if it is known. */
static void print_route(const struct request *request, enum route route)
{
	const struct endpoint *backend = &request->options.backends[route];
	static char rule[RULE_MAX];

	fputs(route_name(route), stdout);
	if (route >= ROUTE_RULE)
		printf(" (%s -> %s)", routes_format(&request->options.routes, route - ROUTE_RULE, rule, sizeof(rule)),
		       backend->text);
	else if (backend->count)
		printf(" (%s)", backend->text);
	putchar('\n');
}

static void print_text(const struct request *request, const struct hello *hello)
{
	size_t position = 0, length;
	const char *comma = "";
	const uint8_t *name;
	char text[4 * HELLO_ALPN_MAX + 1], version[8];

	fputs("route     ", stdout);
	print_route(request, hello->route);
	printf("reason    %s\n", hello_result_reason(hello->result));
	if (!hello->records)
		return;
	if (hello->size)
		printf("size      %u bytes in %u record%s%s\n", hello->size, hello->records,
		       hello->records == 1 ? "" : "s", hello->complete ? "" : " so far, incomplete");
	if (!hello->legacy_version)
		return;
	fputs("versions  ", stdout);
	for (unsigned int i = 0; i < hello->version_count; i++) {
		printf("%s%s", i ? ", " : "", version_text(hello->versions[i], version));
	}
	if (!hello->version_count) /* legacy_version is the highest one offered, RFC 8446 section 4.1.2 */
		fputs(version_text(hello->legacy_version, version), stdout);
	printf("\nsni       %s\n", hello->server_name[0] ? hello->server_name : "none");
	fputs("alpn      ", stdout);
	while (hello_alpn_next(hello, &position, &name, &length)) {
		hello_escape(text, sizeof(text), name, length);
		printf("%s%s", comma, text);
		comma = ", ";
	}
	printf("%s\n", hello->alpn_truncated ? " ..." : hello->alpn_length ? "" : "none");
	printf("grease    %s\n", hello->grease ? "yes" : "no");
}

static void add_route(struct json *json, const struct request *request, enum route route)
{
	const struct endpoint *backend = &request->options.backends[route];
	static char rule[RULE_MAX];

	json_string(json, "route", route_name(route));
	json_string(json, "backend", backend->count ? backend->text : NULL);
	json_string(json, "rule",
		    route >= ROUTE_RULE
			    ? routes_format(&request->options.routes, route - ROUTE_RULE, rule, sizeof(rule))
			    : NULL);
}

/* Adds bytes of the client's, escaped. */
static void add_bytes(struct json *json, const char *member, const uint8_t *bytes, size_t length)
{
	char text[4 * HELLO_ALPN_MAX + 1];

	hello_escape(text, sizeof(text), bytes, length);
	json_string(json, member, text);
}

static bool print_json(const struct request *request, const struct hello *hello)
{
	size_t position = 0, length;
	struct text out = {0};
	struct json json = {.out = &out};
	const uint8_t *name;
	char version[8];
	bool good;

	json_begin_object(&json, NULL);
	add_route(&json, request, hello->route);
	json_string(&json, "result", hello_result_name(hello->result));
	json_string(&json, "reason", hello_result_reason(hello->result));
	json_bool(&json, "complete", hello->complete);
	json_number(&json, "size", hello->size);
	json_number(&json, "records", hello->records);
	json_string(&json, "legacy_version",
		    hello->legacy_version ? version_text(hello->legacy_version, version) : NULL);
	json_begin_array(&json, "versions");
	for (unsigned int i = 0; i < hello->version_count; i++)
		json_string(&json, NULL, version_text(hello->versions[i], version));
	json_end_array(&json);
	if (hello->server_name[0])
		add_bytes(&json, "sni", (const uint8_t *)hello->server_name, strlen(hello->server_name));
	else
		json_null(&json, "sni");
	json_begin_array(&json, "alpn");
	while (hello_alpn_next(hello, &position, &name, &length))
		add_bytes(&json, NULL, name, length);
	json_end_array(&json);
	json_bool(&json, "alpn_truncated", hello->alpn_truncated);
	json_bool(&json, "grease", hello->grease);
	json_end_object(&json);
	good = !out.failed;
	if (good)
		puts(out.bytes);
	text_free(&out);
	return good;
}

/* --- input --- */

/* Reads up to `size` bytes. Their number, or -errno. */
static ssize_t read_input(const char *path, char *buffer, size_t size)
{
	bool standard = !strcmp(path, "-");
	int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	ssize_t error = 0;
	size_t have = 0;

	if (fd < 0)
		return -errno;
	while (have < size) {
		ssize_t count = read(fd, buffer + have, size - have);

		if (count > 0) {
			have += (size_t)count;
		} else if (!count) {
			break;
		} else if (errno != EINTR) {
			error = -errno;
			break;
		}
	}
	if (!standard)
		close(fd);
	return error ? error : (ssize_t)have;
}

/* --- the command line --- */

/* Is the word the option `name`, as --name VALUE or --name=VALUE? */
static bool is_option(const char *word, const char *name)
{
	size_t length = strlen(name);

	return strncmp(word, name, length) == 0 && (!word[length] || word[length] == '=');
}

/* False, with the exit code, if the command must end. */
static bool parse_words(struct request *request, int argc, char **argv, char **for_options, int *code)
{
	int count = 1;
	bool options = true;
	struct sentence why;

	*code = EXIT_USAGE;
	for_options[0] = argv[0];
	for (int i = 1; i < argc; i++) {
		if (options && !strcmp(argv[i], "--")) {
			options = false;
		} else if (options && !strcmp(argv[i], "--json")) {
			request->json = true;
		} else if (options && (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))) {
			fputs(usage, stdout);
			*code = EXIT_DONE;
			return false;
		} else if (options && (is_option(argv[i], "--config") || is_option(argv[i], "--route"))) {
			for_options[count++] = argv[i];
			if (!strchr(argv[i], '=') && i + 1 < argc)
				for_options[count++] = argv[++i];
		} else if (options && argv[i][0] == '-' && argv[i][1]) {
			fprintf(stderr, "alpnbpf inspect: unknown option %s; --help lists the options\n", argv[i]);
			return false;
		} else if (request->path) {
			fprintf(stderr, "alpnbpf inspect: give one FILE, not %s and %s\n", request->path, argv[i]);
			return false;
		} else {
			request->path = argv[i];
		}
	}
	if (!request->path)
		request->path = "-";
	if (options_parse_routes(&request->options, count, for_options, &why) == OPTIONS_OK)
		return true;
	fprintf(stderr, "alpnbpf inspect: %s\n", why.text);
	return false;
}

static bool parse_command_line(struct request *request, int argc, char **argv, int *code)
{
	char **for_options = calloc((size_t)argc + 1, sizeof(char *));
	bool good;

	if (!for_options) {
		fprintf(stderr, "alpnbpf inspect: out of memory\n");
		*code = EXIT_FAILED;
		return false;
	}
	good = parse_words(request, argc, argv, for_options, code);
	free(for_options);
	return good;
}

/* Compiles the rules. NULL if there are none, or no memory. */
static struct clienthello_rules *compile_rules(const struct routes *routes)
{
	struct clienthello_rules *rules = routes->count ? calloc(1, sizeof(*rules)) : NULL;

	if (rules)
		routes_compile(routes, rules);
	return rules;
}

int inspect_main(int argc, char **argv)
{
	static char input[INPUT_MAX];
	static uint8_t decoded[CLIENTHELLO_WIRE_MAX + 16];
	static struct request request;
	const uint8_t *bytes = (const uint8_t *)input;
	struct clienthello_rules *rules;
	struct hello hello;
	ssize_t size;
	size_t length;
	int code;

	if (!parse_command_line(&request, argc, argv, &code))
		return code;
	size = read_input(request.path, input, sizeof(input));
	if (size < 0) {
		fprintf(stderr, "alpnbpf inspect: cannot read %s: %s\n",
			strcmp(request.path, "-") ? request.path : "standard input", strerror((int)-size));
		return EXIT_FAILED;
	}
	switch (hex_decode(input, (size_t)size, decoded, &length)) {
	case HEX_DECODED:
		bytes = decoded;
		break;
	case HEX_NONE:
		length = (size_t)size;
		break;
	case HEX_INCOMPLETE:
		fprintf(stderr,
			"alpnbpf inspect: the dump omits repeated lines (\"*\"); make it with hexdump -v or od -v\n");
		return EXIT_FAILED;
	}
	rules = compile_rules(&request.options.routes);
	if (!rules && request.options.routes.count) {
		fprintf(stderr, "alpnbpf inspect: %s\n", strerror(ENOMEM));
		return EXIT_FAILED;
	}
	hello_describe(&hello, bytes, length, rules);
	free(rules);
	if (!request.json) {
		print_text(&request, &hello);
	} else if (!print_json(&request, &hello)) {
		fprintf(stderr, "alpnbpf inspect: out of memory\n");
		return EXIT_FAILED;
	}
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "alpnbpf inspect: cannot write the output: %s\n", strerror(errno));
		return EXIT_FAILED;
	}
	return EXIT_DONE;
}
