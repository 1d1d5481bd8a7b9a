// SPDX-License-Identifier: BSD-2-Clause
/* The live sessions as a list: one JSON object per line, or a table. Owns nothing. Main thread. */
#include "operate/status.h"

#include <stdio.h>

#include "base/json.h"

static const char *const state_names[] = {[SESSION_FREE] = "free",
					  [SESSION_HELLO] = "hello",
					  [SESSION_CONNECTING] = "connecting",
					  [SESSION_OPEN] = "open",
					  [SESSION_CLOSING] = "closing"};

static const char *backend_name(const struct session_snapshot *session, char *name, size_t size)
{
	return session->backend.len ? address_format(&session->backend, name, size) : NULL;
}

static void add_flow(struct json *json, const char *name, const struct session_snapshot *session, enum side side)
{
	json_begin_object(json, name);
	json_number(json, "kernel", session->redirected[side]);
	json_number(json, "user", session->forwarded[side]);
	json_number(json, "owed", session->owed[side]);
	json_end_object(json);
}

/* One object per line, so that a reader need not wait for the last. */
static void session_write_json(struct text *out, const struct session_snapshot *session)
{
	struct json json = {.out = out};
	char client[ADDRESS_TEXT_MAX], backend[ADDRESS_TEXT_MAX];

	json_begin_object(&json, NULL);
	json_number(&json, "session", session->number);
	json_string(&json, "client", address_format(&session->client, client, sizeof(client)));
	json_string(&json, "state", state_names[session->state]);
	json_string(&json, "route", route_name(session->route));
	json_string(&json, "backend", backend_name(session, backend, sizeof(backend)));
	json_string(&json, "sni", *session->server_name ? session->server_name : NULL);
	json_string(&json, "path", session->in_kernel ? "kernel" : "user");
	json_real(&json, "age_seconds", (double)session->age / 1e6);
	json_real(&json, "idle_seconds", (double)session->idle / 1e6);
	add_flow(&json, "up", session, CLIENT);
	add_flow(&json, "down", session, BACKEND);
	json_end_object(&json);
	text_add(out, "\n");
}

static unsigned long long both_flows(uint64_t a, uint64_t b)
{
	return a + b;
}

static void session_write_row(struct text *out, const struct session_snapshot *session)
{
	char client[ADDRESS_TEXT_MAX], backend[ADDRESS_TEXT_MAX];
	const char *to = backend_name(session, backend, sizeof(backend));

	text_add(out, "%-8llu %-24s %-10s %-9s %-22s %-6s %8.1f %8.1f %12llu %12llu %9llu  %s\n",
		 (unsigned long long)session->number, address_format(&session->client, client, sizeof(client)),
		 state_names[session->state], route_name(session->route), to ? to : "-",
		 session->in_kernel ? "kernel" : "user", (double)session->age / 1e6, (double)session->idle / 1e6,
		 both_flows(session->redirected[CLIENT], session->forwarded[CLIENT]),
		 both_flows(session->redirected[BACKEND], session->forwarded[BACKEND]),
		 both_flows(session->owed[CLIENT], session->owed[BACKEND]),
		 *session->server_name ? session->server_name : "-");
}

void sessions_write(struct text *out, const struct snapshot *snapshot, bool json)
{
	if (!json)
		text_add(out, "%-8s %-24s %-10s %-9s %-22s %-6s %8s %8s %12s %12s %9s  %s\n", "SESSION", "CLIENT",
			 "STATE", "ROUTE", "BACKEND", "PATH", "AGE s", "IDLE s", "UP", "DOWN", "OWED", "SNI");
	for (size_t i = 0; i < snapshot->session_count; i++) {
		if (json)
			session_write_json(out, &snapshot->sessions[i]);
		else
			session_write_row(out, &snapshot->sessions[i]);
	}
}
