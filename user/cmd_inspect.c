// SPDX-License-Identifier: BSD-2-Clause
/*
 * `alpnbpf inspect`: reads one ClientHello, raw or as hex text, and says what it asks for and where it would go, with
 * the rules of a configuration file or of the command line. Touches no BPF, and the network only to resolve the names
 * in them; needs no privileges.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "hello.h"
#include "hex_text.h"
#include "options.h"

/* The longest hello in the smallest records, as hex text with separators and offsets; more cannot change the answer. */
#define INPUT_MAX (8 * CLIENTHELLO_WIRE_MAX)

/* A rule's condition at its longest: each name with its escapes and a comma, and the two words. */
#define RULE_MAX (CLIENTHELLO_KINDS * (CLIENTHELLO_NAMES_MAX * (4 * ROUTE_NAME_MAX + 2) + 16))

static const char usage[] = "Usage: alpnbpf inspect [--json] [--config FILE] [--route RULE ...] [FILE|-]\n"
			    "\n"
			    "Read a TLS ClientHello from FILE (default: standard input) and print what it asks\n"
			    "for and which backend it would get. The input is the bytes a client sends, raw or\n"
			    "as hex text: plain, with blanks, colons or 0x, or as printed by xxd or hexdump -C.\n"
			    "\n"
			    "  --config FILE  the configuration file of attach: its backends and rules count\n"
			    "  --route RULE   a rule, as attach takes it; instead of those in the file\n"
			    "  --json         one JSON object instead of text\n"
			    "  --help         this text\n";

struct request {
	const char *path; /* of the hello */
	bool json;
	struct options options; /* where connections go; backends may be missing */
};

/* --- output --- */

static void print_version(uint16_t version)
{
	const char *name = hello_version_name(version);

	if (name)
		fputs(name, stdout);
	else
		printf("0x%04x", version);
}

/* "route-1 (sni=*.example.org -> 127.0.0.1:9443)"; of the other routes what is known of them. */
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
	char text[4 * HELLO_ALPN_MAX + 1];

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
		fputs(i ? ", " : "", stdout);
		print_version(hello->versions[i]);
	}
	if (!hello->version_count) /* then legacy_version is the highest one offered, RFC 8446 section 4.1.2 */
		print_version(hello->legacy_version);
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

/* Escaped bytes as a JSON string: of what hello_escape() leaves, only its own backslashes need care. */
static void print_json_bytes(const uint8_t *bytes, size_t length)
{
	char text[4 * HELLO_ALPN_MAX + 1];

	hello_escape(text, sizeof(text), bytes, length);
	putchar('"');
	for (const char *c = text; *c; c++) {
		if (*c == '\\')
			putchar('\\');
		putchar(*c);
	}
	putchar('"');
}

static void print_json_version(uint16_t version)
{
	putchar('"');
	print_version(version);
	putchar('"');
}

/* A string of ours, which may hold what a user wrote. */
static void print_json_text(const char *text)
{
	putchar('"');
	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		if (*c < ' ' || *c == 0x7f) {
			printf("\\u%04x", *c);
			continue;
		}
		if (*c == '"' || *c == '\\')
			putchar('\\');
		putchar(*c);
	}
	putchar('"');
}

static void print_json_route(const struct request *request, enum route route)
{
	const struct endpoint *backend = &request->options.backends[route];
	static char rule[RULE_MAX];

	printf("{\"route\":\"%s\",\"backend\":", route_name(route));
	if (backend->count)
		print_json_text(backend->text);
	else
		fputs("null", stdout);
	fputs(",\"rule\":", stdout);
	if (route >= ROUTE_RULE)
		print_json_text(routes_format(&request->options.routes, route - ROUTE_RULE, rule, sizeof(rule)));
	else
		fputs("null", stdout);
}

static void print_json(const struct request *request, const struct hello *hello)
{
	size_t position = 0, length;
	const char *comma = "";
	const uint8_t *name;

	print_json_route(request, hello->route);
	printf(",\"result\":\"%s\",\"reason\":\"%s\",\"complete\":%s,\"size\":%u,\"records\":%u",
	       hello_result_name(hello->result), hello_result_reason(hello->result), hello->complete ? "true" : "false",
	       hello->size, hello->records);
	fputs(",\"legacy_version\":", stdout);
	if (hello->legacy_version)
		print_json_version(hello->legacy_version);
	else
		fputs("null", stdout);
	fputs(",\"versions\":[", stdout);
	for (unsigned int i = 0; i < hello->version_count; i++) {
		fputs(i ? "," : "", stdout);
		print_json_version(hello->versions[i]);
	}
	fputs("],\"sni\":", stdout);
	if (hello->server_name[0])
		print_json_bytes((const uint8_t *)hello->server_name, strlen(hello->server_name));
	else
		fputs("null", stdout);
	fputs(",\"alpn\":[", stdout);
	while (hello_alpn_next(hello, &position, &name, &length)) {
		fputs(comma, stdout);
		print_json_bytes(name, length);
		comma = ",";
	}
	printf("],\"alpn_truncated\":%s,\"grease\":%s}\n", hello->alpn_truncated ? "true" : "false",
	       hello->grease ? "true" : "false");
}

/* --- input --- */

/* Read up to `size` bytes; -errno on failure. */
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

/* Does an option with a value stand here, as --name VALUE or --name=VALUE? */
static bool is_option(const char *word, const char *name)
{
	size_t length = strlen(name);

	return strncmp(word, name, length) == 0 && (!word[length] || word[length] == '=');
}

/* False, with the exit code, when there is nothing left to do. */
static bool parse_words(struct request *request, int argc, char **argv, char **for_options, int *code)
{
	int count = 1;
	bool options = true;
	char error[1024];

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
			fprintf(stderr, "alpnbpf inspect: there is no option %s; see \"alpnbpf inspect --help\"\n",
				argv[i]);
			return false;
		} else if (request->path) {
			fprintf(stderr, "alpnbpf inspect: takes one FILE, but got %s and %s\n", request->path, argv[i]);
			return false;
		} else {
			request->path = argv[i];
		}
	}
	if (!request->path)
		request->path = "-";
	if (options_parse_routes(&request->options, count, for_options, error, sizeof(error)) == OPTIONS_OK)
		return true;
	fprintf(stderr, "alpnbpf inspect: %s\n", error);
	return false;
}

static bool parse(struct request *request, int argc, char **argv, int *code)
{
	char **for_options = calloc((size_t)argc + 1, sizeof(char *));
	bool good = false;

	*code = EXIT_FAILED;
	if (for_options)
		good = parse_words(request, argc, argv, for_options, code);
	free(for_options);
	return good;
}

/* The table of the rules there are; NULL: none, or no memory. */
static struct clienthello_rules *compile(const struct routes *routes)
{
	struct clienthello_rules *rules = routes->count ? calloc(1, sizeof(*rules)) : NULL;

	if (rules)
		routes_compile(routes, rules);
	return rules;
}

int cmd_inspect(int argc, char **argv)
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

	if (!parse(&request, argc, argv, &code))
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
			"alpnbpf inspect: the dump has lines left out (\"*\"): make it with hexdump -v or od -v\n");
		return EXIT_FAILED;
	}
	rules = compile(&request.options.routes);
	if (!rules && request.options.routes.count) {
		fprintf(stderr, "alpnbpf inspect: %s\n", strerror(ENOMEM));
		return EXIT_FAILED;
	}
	hello_describe(&hello, bytes, length, rules);
	free(rules);
	if (request.json)
		print_json(&request, &hello);
	else
		print_text(&request, &hello);
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "alpnbpf inspect: cannot write the answer: %s\n", strerror(errno));
		return EXIT_FAILED;
	}
	return EXIT_DONE;
}
