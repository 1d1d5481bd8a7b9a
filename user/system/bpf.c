// SPDX-License-Identifier: BSD-2-Clause
/* libbpf's log lines and BPF errors: see bpf.h. Owns nothing. Main thread, at start-up. */
#include "system/bpf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "base/log.h"
#include "system/capabilities.h"

static int print_libbpf(enum libbpf_print_level level, const char *format, va_list arguments)
{
	char line[1024];
	size_t length;

	if (level == LIBBPF_DEBUG || !log_enabled(LOG_LEVEL_DEBUG))
		return 0;
	vsnprintf(line, sizeof(line), format, arguments);
	length = strlen(line);
	while (length && line[length - 1] == '\n')
		line[--length] = '\0';
	log_debug("libbpf: %s", line);
	return 0;
}

void bpf_log_to_ours(void)
{
	libbpf_set_print(print_libbpf);
}

int bpf_explain(int error, const char *step, struct sentence *why)
{
	char text[CAPABILITIES_TEXT_MAX];
	bool untyped = access("/sys/kernel/btf/vmlinux", R_OK) != 0;

	return sentence_error(why, error, "%s: %s%s", step,
			      capabilities_strerror(error, CAPABILITIES_BPF, text, sizeof(text)),
			      untyped ? "; the kernel has no BTF types (CONFIG_DEBUG_INFO_BTF)" : "");
}
