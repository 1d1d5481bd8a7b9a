// SPDX-License-Identifier: BSD-2-Clause
/*
 * `alpnbpf inspect`: reads one ClientHello, raw or as hex text, and says what it asks for and where it would go.
 * Touches no network and no BPF; needs no privileges.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "hello.h"

/* The longest hello in the smallest records, as hex text with separators and offsets; more cannot change the answer. */
#define INPUT_MAX (8 * CLIENTHELLO_WIRE_MAX)

static const char usage[] = "Usage: alpnbpf inspect [--json] [FILE|-]\n"
			    "\n"
			    "Read a TLS ClientHello from FILE (default: standard input) and print what it asks\n"
			    "for and which backend it would get. The input is the bytes a client sends, raw or\n"
			    "as hex text: plain, with blanks, colons or 0x, or as printed by xxd or hexdump -C.\n"
			    "\n"
			    "  --json    one JSON object instead of text\n"
			    "  --help    this text\n";

/* --- hex text --- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool is_separator(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == ',' || c == ':';
}

/* How many hex digits stand at the start, after 0x or \x where there is one; *at is moved to the first. */
static size_t hex_token(const char **at, const char *end)
{
	const char *digit = *at;

	if (end - digit > 2 && (digit[0] == '0' || digit[0] == '\\') && (digit[1] == 'x' || digit[1] == 'X'))
		digit += 2;
	*at = digit;
	while (digit < end && hex_digit(*digit) >= 0)
		digit++;
	return (size_t)(digit - *at);
}

/*
 * Does the text begin with an offset, as dumps do: zeros (4 digits or more) before anything else on the line? A hello
 * begins with 16, so plain hex of one cannot be mistaken for it.
 */
static bool has_offsets(const char *line, const char *end)
{
	size_t digits;

	while (line < end && is_separator(*line))
		line++;
	digits = hex_token(&line, end);
	for (size_t i = 0; i < digits; i++)
		if (line[i] != '0')
			return false;
	return digits >= 4 && line + digits < end && is_separator(line[digits]);
}

/* One line's bytes, to `out` at *length. False if it holds something else than hex. */
static bool decode_line(const char *at, const char *end, bool offsets, uint8_t *out, size_t *length)
{
	size_t limit = CLIENTHELLO_WIRE_MAX;

	if (offsets) {
		while (at < end && is_separator(*at))
			at++;
		at += hex_token(&at, end);
		limit = *length + 16; /* behind them stand the same bytes as characters */
	}
	while (at < end && *length < limit) {
		const char *blanks = at;
		size_t digits;

		while (at < end && is_separator(*at))
			at++;
		/* a dump's last line is short: a gap, or a bar, comes before its characters */
		if (at == end || (offsets && (*at == '|' || at - blanks > 3)))
			break;
		digits = hex_token(&at, end);
		if (!digits || digits % 2)
			return false;
		for (; digits && *length < limit; digits -= 2, at += 2)
			out[(*length)++] = (uint8_t)(hex_digit(at[0]) * 16 + hex_digit(at[1]));
	}
	return true;
}

enum hex_result { HEX_NONE, HEX_DECODED, HEX_INCOMPLETE };

/* Decode hex text; no more of it than can matter. HEX_NONE: the input is something else. */
static enum hex_result decode_hex(const char *text, size_t size, uint8_t *out, size_t *length)
{
	const char *line = text, *end = text + size;
	bool offsets = false;

	*length = 0;
	while (line < end && *length < CLIENTHELLO_WIRE_MAX) {
		const char *newline = memchr(line, '\n', (size_t)(end - line));
		const char *line_end = newline ? newline : end;

		if (line == text)
			offsets = has_offsets(line, line_end);
		if (offsets && line < line_end && *line == '*')
			return HEX_INCOMPLETE;
		if (!decode_line(line, line_end, offsets, out, length))
			return HEX_NONE;
		line = newline ? newline + 1 : end;
	}
	return *length ? HEX_DECODED : HEX_NONE;
}

/* --- output --- */

static void print_version(uint16_t version)
{
	const char *name = hello_version_name(version);

	if (name)
		fputs(name, stdout);
	else
		printf("0x%04x", version);
}

static void print_text(const struct hello *hello, enum route route)
{
	size_t position = 0, length;
	const char *comma = "";
	const uint8_t *name;
	char text[4 * HELLO_ALPN_MAX + 1];

	printf("route     %s\n", route == ROUTE_ACME ? "acme" : "https");
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

static void print_json(const struct hello *hello, enum route route)
{
	size_t position = 0, length;
	const char *comma = "";
	const uint8_t *name;

	printf("{\"route\":\"%s\",\"result\":\"%s\",\"reason\":\"%s\",\"complete\":%s,\"size\":%u,\"records\":%u",
	       route == ROUTE_ACME ? "acme" : "https", hello_result_name(hello->result),
	       hello_result_reason(hello->result), hello->complete ? "true" : "false", hello->size, hello->records);
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

int cmd_inspect(int argc, char **argv)
{
	static char input[INPUT_MAX];
	static uint8_t decoded[CLIENTHELLO_WIRE_MAX + 16];
	const uint8_t *bytes = (const uint8_t *)input;
	const char *path = NULL;
	struct hello hello;
	bool json = false, options = true;
	ssize_t size;
	size_t length;

	for (int i = 1; i < argc; i++) {
		if (options && !strcmp(argv[i], "--")) {
			options = false;
		} else if (options && !strcmp(argv[i], "--json")) {
			json = true;
		} else if (options && (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))) {
			fputs(usage, stdout);
			return EXIT_DONE;
		} else if (options && argv[i][0] == '-' && argv[i][1]) {
			fprintf(stderr, "alpnbpf inspect: there is no option %s; see \"alpnbpf inspect --help\"\n",
				argv[i]);
			return EXIT_USAGE;
		} else if (path) {
			fprintf(stderr, "alpnbpf inspect: takes one FILE, but got %s and %s\n", path, argv[i]);
			return EXIT_USAGE;
		} else {
			path = argv[i];
		}
	}
	if (!path)
		path = "-";

	size = read_input(path, input, sizeof(input));
	if (size < 0) {
		fprintf(stderr, "alpnbpf inspect: cannot read %s: %s\n", strcmp(path, "-") ? path : "standard input",
			strerror((int)-size));
		return EXIT_FAILED;
	}
	switch (decode_hex(input, (size_t)size, decoded, &length)) {
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
	hello_describe(&hello, bytes, length);
	if (json)
		print_json(&hello, hello_route(hello.result));
	else
		print_text(&hello, hello_route(hello.result));
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "alpnbpf inspect: cannot write the answer: %s\n", strerror(errno));
		return EXIT_FAILED;
	}
	return EXIT_DONE;
}
