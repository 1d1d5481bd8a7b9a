// SPDX-License-Identifier: BSD-2-Clause
/* Sentences of fixed size: see sentence.h. Any thread. */
#include "base/sentence.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void sentence_vset(struct sentence *sentence, const char *format, va_list arguments)
{
	static const char cut[] = "...";
	char text[SENTENCE_MAX];
	int length = vsnprintf(text, sizeof(text), format, arguments);

	if (length < 0) /* only for a wide character that cannot be encoded; none is used */
		text[0] = '\0';
	else if ((size_t)length >= sizeof(text))
		memcpy(text + sizeof(text) - sizeof(cut), cut, sizeof(cut));
	memcpy(sentence->text, text, sizeof(text));
}

void sentence_set(struct sentence *sentence, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	sentence_vset(sentence, format, arguments);
	va_end(arguments);
}

int sentence_error(struct sentence *sentence, int error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	sentence_vset(sentence, format, arguments);
	va_end(arguments);
	return error;
}

bool sentence_refuse(struct sentence *sentence, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	sentence_vset(sentence, format, arguments);
	va_end(arguments);
	return false;
}
