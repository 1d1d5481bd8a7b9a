/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command line of attach and check as struct options. Every error names its option and the remedy. A struct options
 * has one owner, and is constant once it is parsed.
 */
#ifndef ALPNBPF_OPTIONS_OPTIONS_H
#define ALPNBPF_OPTIONS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "alpnbpf.h"
#include "base/log.h"
#include "hello/rules.h"
#include "base/address.h"

#define LISTENERS_MAX 64

/* The values of a choice have the order in which the table of options names them. */
enum dataplane_choice { DATAPLANE_AUTO, DATAPLANE_SOCKMAP, DATAPLANE_USER };
enum proxy_version { PROXY_NONE = 0, PROXY_V1 = 1, PROXY_V2 = 2 };
enum arm_choice { ARM_AUTO, ARM_ALWAYS };
/* How hellos are inspected while armed. AUTO: watch if possible, else steer. */
enum inspect_choice { INSPECT_AUTO, INSPECT_WATCH, INSPECT_STEER };
/* AUTO: peername if connections are steered and the cgroup allows it, else none. */
enum client_address { CLIENT_ADDRESS_AUTO, CLIENT_ADDRESS_NONE, CLIENT_ADDRESS_PEERNAME, CLIENT_ADDRESS_TRANSPARENT };
enum acme_fallback { ACME_FALLBACK_HTTPS, ACME_FALLBACK_CLOSE };

/* Whose listeners count. A user is resolved when the option is parsed. */
enum owner_kind { OWNER_DEFAULT, OWNER_USER, OWNER_ANY };
struct owner {
	enum owner_kind kind;
	unsigned int uid; /* of OWNER_USER */
};

struct activation;

struct options {
	struct endpoint backends[ROUTES];         /* by enum route; without an address: unused */
	enum proxy_version proxy[ROUTES];         /* version of the PROXY header for each route */
	unsigned int proxy_lines[ROUTES];         /* the line that asked for it, as in struct routes */
	struct routes routes;                     /* --route; backends[ROUTE_RULE] belongs to the first */
	struct owner acme_user, https_user;       /* who may listen at --acme, at --https */
	const char *config;                       /* the configuration file; not owned */
	bool proxy_tlv_alpn, proxy_tlv_authority; /* v2 TLVs PP2_TYPE_ALPN, PP2_TYPE_AUTHORITY */
	struct address listeners[LISTENERS_MAX];
	unsigned int listener_count;
	const struct activation *activated; /* the service manager's sockets, which `listeners` describes; NULL: none */
	bool listener_implied[LISTENERS_MAX]; /* from a port without an address: one family may be missing */
	bool in_place[LISTENERS_MAX];         /* by listener: --https is this port, and its server keeps it */
	unsigned int in_place_count;
	enum arm_choice arm;
	enum inspect_choice inspect;
	bool bypass; /* --no-bypass clears it */
	enum client_address client_address;
	enum proxy_version client_address_proxy; /* --client-address proxy-vN; is in proxy[ROUTE_HTTPS] as well */
	unsigned int hello_timeout_ms, connect_timeout_ms, idle_timeout_ms, acme_timeout_ms, drain_timeout_ms;
	enum acme_fallback acme_fallback;
	unsigned int max_connections; /* limit of sessions; 0: from RLIMIT_NOFILE */
	unsigned int max_per_source;  /* 0: no limit */
	unsigned int workers;         /* 0: one per CPU that this process may run on */
	unsigned int buffer_bytes;    /* --buffer: what one flow may buffer for a slow peer */
	bool defer_accept;            /* --no-defer-accept clears it */
	enum dataplane_choice dataplane;
	enum log_level log_level;
	enum log_format log_format;
	char name[48];          /* --name of the control socket; empty: the port */
	char control_group[64]; /* its members may use it, like root and our own user; empty: no group */
	char netns[256];        /* --netns: a process id, a path or a name; empty: this one */
	char user[64];          /* to run as once set up, if started by root; empty: USER_BY_DEFAULT */
	bool metrics;           /* serve them at metrics_address */
	struct address metrics_address;
	char **command; /* the words after --, in argv, NULL-terminated; NULL: none */
};

enum options_result { OPTIONS_OK, OPTIONS_HELP, OPTIONS_VERSION, OPTIONS_USAGE };

/*
 * Parses argv[1..] of a subcommand (argv[0] is its name) and resolves the names of backends. Does not print, does not
 * exit. After OPTIONS_USAGE why says what is wrong; otherwise it is empty.
 */
enum options_result options_parse(struct options *options, int argc, char **argv, struct sentence *why);

/*
 * Finds options.netns alone, and looks up nothing: names and addresses are those of the namespace that it names. What
 * is wrong with it or other options is left for options_parse() to say. Empty with --help and --version.
 */
void options_parse_netns(struct options *options, int argc, char **argv);

/*
 * The same for `inspect`, which needs only the rules: --acme and --https may be missing, and checks that need them are
 * skipped.
 */
enum options_result options_parse_routes(struct options *options, int argc, char **argv, struct sentence *why);

/* Is every address of the backend a TCP address of this machine? */
bool options_is_local_tcp(const struct endpoint *endpoint);

/* Do both have the same text and the same addresses, in the same order? */
bool options_same_endpoint(const struct endpoint *a, const struct endpoint *b);

/* Do both have the same rules with the same backends? */
bool options_same_routes(const struct options *a, const struct options *b);

/* Is it one of the addresses to listen on? */
bool options_has_listener(const struct options *options, const struct address *address);

/* ", route-1 -> 127.0.0.1:9443" and so on, ending with how many did not fit; "" without rules. Returns out. */
const char *options_list_rules(const struct options *options, char *out, size_t size);

/* The text of --help for attach and check. */
const char *options_help(void);

#endif
