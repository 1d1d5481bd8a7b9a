// SPDX-License-Identifier: BSD-2-Clause
/* The JSON writer (RFC 8259): see json.h. Owns nothing. On the caller's thread. */
#include "base/json.h"

static void add_escaped(struct text *out, const char *value)
{
	char escaped[TEXT_ESCAPED_MAX];

	while (*value) {
		size_t length = text_escape(&value, TEXT_ESCAPE_JSON, escaped);

		text_add_bytes(out, escaped, length);
	}
}

static void begin_value(struct json *json, const char *name)
{
	if (json->comma)
		text_add_bytes(json->out, ",", 1);
	json->comma = true;
	if (name)
		text_add(json->out, "\"%s\":", name);
}

static void begin_nested(struct json *json, const char *name, const char *bracket)
{
	begin_value(json, name);
	text_add_bytes(json->out, bracket, 1);
	json->comma = false;
}

static void end_nested(struct json *json, const char *bracket)
{
	text_add_bytes(json->out, bracket, 1);
	json->comma = true;
}

void json_begin_object(struct json *json, const char *name)
{
	begin_nested(json, name, "{");
}

void json_end_object(struct json *json)
{
	end_nested(json, "}");
}

void json_begin_array(struct json *json, const char *name)
{
	begin_nested(json, name, "[");
}

void json_end_array(struct json *json)
{
	end_nested(json, "]");
}

void json_string(struct json *json, const char *name, const char *value)
{
	if (!value) {
		json_null(json, name);
		return;
	}
	begin_value(json, name);
	text_add_bytes(json->out, "\"", 1);
	add_escaped(json->out, value);
	text_add_bytes(json->out, "\"", 1);
}

void json_number(struct json *json, const char *name, uint64_t value)
{
	begin_value(json, name);
	text_add(json->out, "%llu", (unsigned long long)value);
}

void json_real(struct json *json, const char *name, double value)
{
	begin_value(json, name);
	text_add(json->out, "%.6f", value);
}

void json_bool(struct json *json, const char *name, bool value)
{
	begin_value(json, name);
	text_add(json->out, "%s", value ? "true" : "false");
}

void json_null(struct json *json, const char *name)
{
	begin_value(json, name);
	text_add_bytes(json->out, "null", 4);
}
