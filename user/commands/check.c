/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `alpnbpf check`: prints what attach would find with the same options, one line per finding. Nothing that it opens
 * outlives it. Only the wording is here; system/ and options/needs.c examine the machine. Main thread.
 */
#include "commands/commands.h"
#include "commands/findings.h"
#include "options/command_line.h"
#include "dataplane/dataplane.h"
#include "system/bpf.h"
#include "system/capabilities.h"
#include "dataplane/kernels.h"
#include "options/config_file.h"
#include "options/needs.h"
#include "system/ports.h"
#include "system/sandbox.h"
#include "system/process.h"
#include "system/lock.h"
#include "system/listening.h"
#include "options/options.h"
#include "steering/bypass.h"
#include "steering/mode.h"
#include "steering/owners.h"
#include "steering/steer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#define FEW_SESSIONS    1000
#define LISTENERS_SHOWN 16

/* A missing part of the sockmap data plane is a failure only if attach must use that data plane. */
static enum verdict verdict_without_sockmap(const struct findings *findings)
{
	return findings->options->dataplane == DATAPLANE_SOCKMAP ? VERDICT_FAIL : VERDICT_WARN;
}

static void check_kernel(struct findings *findings)
{
	struct utsname names;
	char name[sizeof(names.release)];

	if (uname(&names))
		return;
	if (kernel_is_too_old(names.release, names.version, name, sizeof(name)))
		add_finding(findings, VERDICT_WARN, "kernel %s: " KERNEL_FAULT "%s", name,
			    findings->options->dataplane == DATAPLANE_SOCKMAP ? ""
									      : "; the user data plane would be used");
	else
		add_finding(findings, VERDICT_OK, "kernel %s", name);
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		add_finding(findings, verdict_without_sockmap(findings),
			    "kernel types (BTF): /sys/kernel/btf/vmlinux: %s; the kernel needs CONFIG_DEBUG_INFO_BTF",
			    strerror(errno));
	else
		add_finding(findings, VERDICT_OK, "kernel types (BTF) are readable");
}

static void check_sockmap(struct findings *findings)
{
	char names[CAPABILITIES_TEXT_MAX];
	const char *missing = capabilities_missing(CAPABILITIES_BPF, names, sizeof(names));
	struct sentence why;

	if (missing)
		add_finding(findings, verdict_without_sockmap(findings), "capabilities for BPF: %s", missing);
	else
		add_finding(findings, VERDICT_OK, "capabilities for BPF: present");
	if (dataplane_selftest(findings->options->routes.count > 0, &why) == 0)
		add_finding(findings, VERDICT_OK, "sockmap: the self-test moved bytes in the kernel");
	else if (findings->options->dataplane == DATAPLANE_SOCKMAP)
		add_finding(findings, VERDICT_FAIL,
			    "sockmap: %s; without --dataplane sockmap, user space would move the bytes", why.text);
	else
		add_finding(findings, VERDICT_WARN, "sockmap: %s; user space would move all bytes", why.text);
}

static void check_config(struct findings *findings)
{
	const char *path = findings->options->config;
	struct sentence who;

	if (path && config_file_writers(path, &who))
		add_finding(findings, VERDICT_WARN, "config: %s: %s; give it to root", path, who.text);
}

static void check_descriptors(struct findings *findings)
{
	const struct options *options = findings->options;
	unsigned int wanted = options->max_connections ? options->max_connections : 1, sessions;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit)) {
		add_finding(findings, VERDICT_FAIL, "descriptors: cannot read the limit: %s", strerror(errno));
		return;
	}
	sessions = needs_session_limit(options, limit.rlim_max);
	if (sessions == 0 || sessions < options->max_connections)
		add_finding(
			findings, VERDICT_FAIL,
			"descriptors: the limit of %llu allows %u sessions; --max-connections %u needs %llu; raise it (LimitNOFILE=, ulimit -Hn)",
			(unsigned long long)limit.rlim_max, sessions, wanted,
			(unsigned long long)needs_descriptors(options, wanted));
	else if (options->max_connections)
		add_finding(findings, VERDICT_OK, "descriptors: --max-connections %u needs %llu of %llu", wanted,
			    (unsigned long long)needs_descriptors(options, wanted), (unsigned long long)limit.rlim_max);
	else
		add_finding(findings, sessions < FEW_SESSIONS ? VERDICT_WARN : VERDICT_OK,
			    "descriptors: the limit of %llu allows %u sessions%s", (unsigned long long)limit.rlim_max,
			    sessions,
			    sessions < FEW_SESSIONS ? ", which is low; raise it (LimitNOFILE=, ulimit -Hn)" : "");
}

static void check_rights(struct findings *findings)
{
	struct user user;
	struct sandbox sandbox = {.user = &user};
	struct sandbox_report report;
	char name[USER_TEXT_MAX];
	struct sentence why;

	if (user_decide(&user, findings->options->user, &why)) {
		add_finding(findings, VERDICT_FAIL, "user: %s", why.text);
		return;
	}
	owners_run_as(user.uid);
	if (*user.warning.text)
		add_finding(findings, VERDICT_WARN, "user: %s", user.warning.text);
	else
		add_finding(findings, VERDICT_OK, "user: %s", user_text(&user, name, sizeof(name)));
	sandbox_foresee(&sandbox, &report);
	for (enum sandbox_stage stage = SANDBOX_FILES; stage < SANDBOX_STAGES; stage++)
		add_finding(findings, report.stages[stage].holds ? VERDICT_OK : VERDICT_WARN, "sandbox: %s: %s%s",
			    sandbox_stage_name(stage),
			    report.stages[stage].holds ? "" : "not limited: ", report.stages[stage].text);
}

static void check_listeners(struct findings *findings)
{
	const struct options *options = findings->options;
	char name[ADDRESS_TEXT_MAX], names[CAPABILITIES_TEXT_MAX];
	const char *missing;
	struct sentence why;
	uint64_t wanted = needs_to_listen(options);
	unsigned int usable = 0;

	missing = capabilities_missing(wanted, names, sizeof(names));
	if (missing)
		add_finding(findings, VERDICT_FAIL, "capabilities for listening: %s", missing);
	else if (wanted)
		add_finding(findings, VERDICT_OK, "capabilities for listening: present");
	for (unsigned int i = 0; i < options->listener_count; i++) {
		const struct address *address = &options->listeners[i];
		int error;

		if (options->in_place[i]) { /* check_web_server() looks at it */
			usable++;
			continue;
		}
		address_format(address, name, sizeof(name));
		if (options->activated) {
			add_finding(findings, VERDICT_OK,
				    "listen %s: a socket passed by the service manager (LISTEN_FDS)", name);
			usable++;
			continue;
		}
		error = port_try_bind(address, &why);
		usable += error == 0;
		if (error == -EAFNOSUPPORT && options->listener_implied[i])
			/* No option names this family: attach would listen on the other one alone. */
			add_finding(findings, VERDICT_WARN, "listen %s: %s; attach would continue without it", name,
				    why.text);
		else if (error)
			add_finding(findings, VERDICT_FAIL, "listen %s: %s", name, why.text);
		else
			add_finding(findings, VERDICT_OK, "listen %s: free", name);
	}
	if (!usable)
		add_finding(findings, VERDICT_FAIL, "listen: no address is left to listen on");
}

/* The mode that attach would run in, and why it is not the one that was asked for. */
static void check_steering(struct findings *findings)
{
	const struct options *options = findings->options;
	char mode[STEER_MODE_MAX];
	struct address untracked;
	struct sentence why = {0};
	struct steer steer;
	int error = steer_open(&steer, options, needs_workers(options), FEW_SESSIONS, &why);

	steer_mode(&steer, mode, sizeof(mode));
	if (error && options->in_place_count)
		add_finding(findings, VERDICT_FAIL,
			    "in place: %s; instead, move the web server to another port (--https 8443)", why.text);
	else if (error)
		add_finding(findings, VERDICT_FAIL, "%s", why.text);
	else if (plan_wants_bypass(options) && !steer.plan.bypass)
		add_finding(findings, VERDICT_WARN,
			    "bypass: not possible: %s; all connections would go through alpnbpf", why.text);
	else if (*why.text)
		add_finding(findings, VERDICT_WARN, "mode: %s: %s", mode, why.text);
	else if (*steer.watch.cannot)
		add_finding(
			findings, VERDICT_WARN,
			"mode: %s; while armed, new connections would be proxied, because ClientHellos cannot be inspected in passing: %s",
			mode, steer.watch.cannot);
	else
		add_finding(findings, bypass_has_untracked(&steer.tracker, &untracked) ? VERDICT_WARN : VERDICT_OK,
			    "mode: %s", mode);
	if (!error && *steer.watch.removal.why_trace) {
		removal_describe_trace(&steer.watch.removal, &why);
		add_finding(findings, VERDICT_WARN, "%s", why.text);
	}
	check_owners(findings, &steer.asker);
	if (!error)
		steer_close(&steer);
}

/* In place: which process has the port, and does another alpnbpf serve it already? */
static void check_web_server(struct findings *findings)
{
	const struct options *options = findings->options;
	unsigned int port = address_port(&options->backends[ROUTE_HTTPS].addresses[0]);
	char name[ADDRESS_TEXT_MAX], holder[PROCESS_TEXT_MAX], lock[32];
	struct sentence other;
	struct listening listeners[LISTENERS_SHOWN] = {0};
	int count = listening_on(port, listeners, LISTENERS_SHOWN), held;

	snprintf(lock, sizeof(lock), LOCK_IN_PLACE, port);
	held = lock_find(lock, &other);
	if (held == -EADDRINUSE)
		add_finding(findings, VERDICT_FAIL, "in place: %s already serves port %u in this network namespace",
			    other.text, port);
	else if (held == -EPERM)
		add_finding(findings, VERDICT_WARN,
			    "in place: %s, not known to be root's or alpnbpf's, holds alpnbpf's instance lock",
			    other.text);
	if (count <= 0)
		add_finding(
			findings, VERDICT_WARN,
			"web server: nothing listens on port %u; connections are refused until the web server starts",
			port);
	for (int i = 0; i < count && i < LISTENERS_SHOWN; i++) {
		const struct address *address = &listeners[i].address;
		bool again = false;

		for (int before = 0; before < i; before++)
			again = again || address_equal(&listeners[before].address, address);
		if (again) /* SO_REUSEPORT */
			continue;
		port_find_holder(address, holder, sizeof(holder));
		if (port_is_published(holder))
			add_finding(findings, VERDICT_WARN, "web server: %s has port %u: " PORT_PUBLISHED, holder,
				    port);
		add_finding(findings, VERDICT_OK, "web server: %s listens on %s (%s)", holder,
			    address_format(address, name, sizeof(name)),
			    address->sa.sa_family == AF_INET ? "IPv4"
			    : listeners[i].dual_stack        ? "IPv6 and IPv4"
							     : "IPv6");
	}
}

static void explain_connect(int error, unsigned int timeout_ms, struct sentence *why)
{
	if (error == -ECONNREFUSED)
		sentence_set(why, "refused: nothing listens there");
	else if (error == -ETIMEDOUT)
		sentence_set(why, "no answer within %u ms", timeout_ms);
	else
		sentence_set(why, "%s", strerror(-error));
}

/*
 * attach tries the addresses of a backend in order. It needs one that accepts; each one before that costs a failed
 * attempt per connection. `dead` is the verdict if none accepts.
 */
static void check_backend(struct findings *findings, enum route route, const char *name, enum verdict dead,
			  const char *remedy)
{
	const struct endpoint *backend = &findings->options->backends[route];
	unsigned int timeout_ms = findings->options->connect_timeout_ms, first = backend->count;
	char address[ADDRESS_TEXT_MAX];
	struct sentence why;
	int errors[ENDPOINT_ADDRESSES_MAX] = {0};

	for (unsigned int i = 0; i < backend->count; i++) {
		errors[i] = port_try_connect(&backend->addresses[i], timeout_ms);
		if (errors[i] == 0 && first == backend->count)
			first = i;
	}
	for (unsigned int i = 0; i < backend->count; i++) {
		address_format(&backend->addresses[i], address, sizeof(address));
		explain_connect(errors[i], timeout_ms, &why);
		if (errors[i] == 0)
			add_finding(findings, VERDICT_OK, "%s %s: %s accepts", name, backend->text, address);
		else if (first == backend->count && (errors[i] == -ECONNREFUSED || errors[i] == -ENOENT))
			add_finding(findings, dead, "%s %s: %s: %s; %s", name, backend->text, address, why.text,
				    remedy);
		else if (first == backend->count)
			add_finding(findings, dead, "%s %s: %s: %s", name, backend->text, address, why.text);
		else if (i < first)
			add_finding(findings, VERDICT_WARN,
				    "%s %s: %s: %s; every connection tries this address before one that accepts", name,
				    backend->text, address, why.text);
		else
			add_finding(findings, VERDICT_OK, "%s %s: %s: %s; not needed: an earlier address accepts", name,
				    backend->text, address, why.text);
	}
}

static void check_rules(struct findings *findings)
{
	const struct routes *routes = &findings->options->routes;
	char text[ROUTE_TEXT_MAX], name[ROUTE_TEXT_MAX + 32];

	for (unsigned int i = 0; i < routes->count; i++) {
		snprintf(name, sizeof(name), "%s (%s) ->", route_name(ROUTE_RULE + i),
			 routes_format(routes, i, text, sizeof(text)));
		check_backend(findings, ROUTE_RULE + i, name, VERDICT_FAIL, "start its server there");
	}
}

/* Searches for the command as execvp(3) would. */
static void check_command(struct findings *findings)
{
	const char *name = findings->options->command[0], *folders = getenv("PATH");
	char path[4096];

	if (strchr(name, '/')) {
		if (access(name, X_OK))
			add_finding(findings, VERDICT_FAIL, "command: %s: %s", name, strerror(errno));
		else
			add_finding(findings, VERDICT_OK, "command: %s", name);
		return;
	}
	for (const char *at = folders ? folders : "/bin:/usr/bin"; *at;) {
		int length = (int)strcspn(at, ":");

		snprintf(path, sizeof(path), "%.*s/%s", length, at, name);
		if (access(path, X_OK) == 0) {
			add_finding(findings, VERDICT_OK, "command: %s", path);
			return;
		}
		at += length + (at[length] == ':');
	}
	add_finding(findings, VERDICT_FAIL, "command: %s: not found in PATH", name);
}

int check_main(int argc, char **argv)
{
	struct options options;
	struct findings findings = {.options = &options};
	int code;

	if (!command_line_parse(&options, argc, argv, &code))
		return code;
	log_init(options.log_level, options.log_format);
	bpf_log_to_ours();

	if (options.dataplane != DATAPLANE_USER) {
		check_kernel(&findings);
		check_sockmap(&findings);
	}
	check_config(&findings);
	check_descriptors(&findings);
	check_rights(&findings);
	check_listeners(&findings);
	check_steering(&findings);
	if (options.in_place_count)
		check_web_server(&findings);
	else
		check_backend(&findings, ROUTE_HTTPS, "--https", VERDICT_FAIL, "start the web server there");
	check_backend(&findings, ROUTE_ACME, "--acme", VERDICT_WARN, "normal while no validation is running");
	check_rules(&findings);
	if (options.command)
		check_command(&findings);
	printf("check: %u failed, %u warned, %u ok\n", findings.count[VERDICT_FAIL], findings.count[VERDICT_WARN],
	       findings.count[VERDICT_OK]);
	return findings.count[VERDICT_FAIL] ? EXIT_FAILED : EXIT_DONE;
}
