// SPDX-License-Identifier: BSD-2-Clause
/*
 * Writes the records that workers send (engine/trace.h) to the clients of the control socket that follow. Owns nothing.
 * Main thread.
 */
#include "operate/trace_output.h"

#include "base/json.h"
#include "options/options.h"

#define AT_ONCE 256 /* records, before the main thread does other work */

static const char *outcome_of(const struct trace_record *record)
{
	if (!record->connected)
		return session_cause_name(record->cause);
	return record->asked == record->route ? "connected" : "fallback";
}

static const char *backend_of(const struct trace_record *record, char *name, size_t size)
{
	return record->backend.len ? address_format(&record->backend, name, size) : NULL;
}

static void trace_write_json(struct text *out, const struct trace_record *record)
{
	char client[ADDRESS_TEXT_MAX], backend[ADDRESS_TEXT_MAX], escaped[4 * HELLO_ALPN_MAX + 1];
	struct json json = {.out = out};
	char when[TEXT_TIME_MAX];
	const uint8_t *name;
	size_t position = 0, length;

	json_begin_object(&json, NULL);
	json_string(&json, "time", text_time(&record->time, when));
	json_string(&json, "client", address_format(&record->client, client, sizeof(client)));
	json_string(&json, "hello", record->has_hello ? hello_result_name(record->hello.result) : NULL);
	json_string(&json, "sni", *record->hello.server_name ? record->hello.server_name : NULL);
	json_begin_array(&json, "alpn");
	while (hello_alpn_next(&record->hello, &position, &name, &length)) {
		hello_escape(escaped, sizeof(escaped), name, length);
		json_string(&json, NULL, escaped);
	}
	json_end_array(&json);
	json_string(&json, "route", route_name(record->route));
	json_string(&json, "backend", backend_of(record, backend, sizeof(backend)));
	json_string(&json, "outcome", outcome_of(record));
	json_real(&json, "seconds", (double)record->took / 1e6);
	json_end_object(&json);
	text_add(out, "\n");
}

static void trace_write_text(struct text *out, const struct trace_record *record)
{
	char client[ADDRESS_TEXT_MAX], backend[ADDRESS_TEXT_MAX], escaped[4 * HELLO_ALPN_MAX + 1];
	const char *to = backend_of(record, backend, sizeof(backend)), *comma = "";
	char when[TEXT_TIME_MAX];
	const uint8_t *name;
	size_t position = 0, length;

	text_add(out, "%s %s sni=%s alpn=", text_time(&record->time, when),
		 address_format(&record->client, client, sizeof(client)),
		 *record->hello.server_name ? record->hello.server_name : "-");
	while (hello_alpn_next(&record->hello, &position, &name, &length)) {
		hello_escape(escaped, sizeof(escaped), name, length);
		text_add(out, "%s%s", comma, escaped);
		comma = ",";
	}
	text_add(out, "%s hello=%s route=%s backend=%s %s after %.6f s\n", *comma ? "" : "-",
		 record->has_hello ? hello_result_name(record->hello.result) : "none", route_name(record->route),
		 to ? to : "-", outcome_of(record), (double)record->took / 1e6);
}

static bool is_followed_by(const struct server_client *client, const struct trace_record *record)
{
	enum route route = (enum route)(client->subject & TRACE_ROUTE_MASK);

	/* The route that the hello asked for counts too: it shows validations that fell back. */
	return client->subject & TRACE_FOLLOWS && (!route || route == record->asked || route == record->route);
}

static void tell_followers(struct servers *servers, const struct trace_record *record)
{
	struct text lines[2] = {0};

	for (int i = 0; i < SERVER_CLIENTS; i++) {
		struct server_client *client = &servers->clients[i];
		struct text *line = &lines[client->subject & TRACE_JSON ? 1 : 0];

		if (client->state != CLIENT_FOLLOWS || !is_followed_by(client, record))
			continue;
		if (!line->length)
			(client->subject & TRACE_JSON ? trace_write_json : trace_write_text)(line, record);
		if (line->length && !line->failed)
			server_send_line(client, line->bytes, line->length);
	}
	text_free(&lines[0]);
	text_free(&lines[1]);
}

static bool has_followers(const struct servers *servers)
{
	for (int i = 0; i < SERVER_CLIENTS; i++) {
		const struct server_client *client = &servers->clients[i];

		if (client->state == CLIENT_FOLLOWS && client->subject & TRACE_FOLLOWS)
			return true;
	}
	return false;
}

bool trace_output_run(struct trace *trace, struct servers *servers)
{
	unsigned long dropped = trace_dropped(trace);
	struct trace_record record;
	bool told = false;

	trace_want(trace, has_followers(servers));
	for (int i = 0; i < AT_ONCE && trace_receive(trace, &record); i++) {
		tell_followers(servers, &record);
		told = true;
	}
	for (int i = 0; dropped && i < SERVER_CLIENTS; i++)
		if (servers->clients[i].state == CLIENT_FOLLOWS && servers->clients[i].subject & TRACE_FOLLOWS)
			servers->clients[i].dropped += dropped;
	return told;
}
