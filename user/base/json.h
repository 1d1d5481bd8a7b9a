/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A streaming writer of JSON: members in the order of the calls, with commas and escapes. `name` is the member's name
 * in an object, NULL in an array and at the top. Writes into a text that its caller owns, on the caller's thread.
 */
#ifndef ALPNBPF_BASE_JSON_H
#define ALPNBPF_BASE_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

struct json {
	struct text *out;
	bool comma; /* due before the next value */
};

void json_begin_object(struct json *json, const char *name);
void json_end_object(struct json *json);
void json_begin_array(struct json *json, const char *name);
void json_end_array(struct json *json);
/* NULL becomes null. Bytes that are not UTF-8 become U+FFFD. */
void json_string(struct json *json, const char *name, const char *value);
void json_number(struct json *json, const char *name, uint64_t value);
/* Six decimals: seconds to the microsecond. */
void json_real(struct json *json, const char *name, double value);
void json_bool(struct json *json, const char *name, bool value);
void json_null(struct json *json, const char *name);

#endif
