# alpnbpf: build, test, install. Quiet unless V=1. SANITIZE=1 builds the user half with ASan, UBSan and assertions,
# FUZZ=1 the fuzzers, COVERAGE=1 for `make coverage`, STATIC=1 (`make static`) a stripped binary without shared libraries.
# SPDX-License-Identifier: BSD-2-Clause

VERSION := 0.1.0
CC      ?= cc
CLANG   ?= clang
LLVM_STRIP ?= llvm-strip
LLVM_OBJCOPY ?= llvm-objcopy
BPFTOOL ?= $(firstword $(shell command -v bpftool 2>/dev/null) /usr/sbin/bpftool)
V       ?= 0

ifeq ($(SANITIZE),1)
OUT    := build-san
CFLAGS ?= -O1 -g -fno-omit-frame-pointer
SANFLAGS := -fsanitize=address,undefined -fno-sanitize-recover=undefined
BIN    := alpnbpf-san
else ifeq ($(FUZZ),1)
OUT    := build-fuzz
override CC := $(CLANG)
CFLAGS ?= -O1 -g
SANFLAGS := -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=undefined -w
BIN    := build-fuzz/alpnbpf
else ifeq ($(COVERAGE),1)
OUT    := build-coverage
CFLAGS ?= -O0 -g -DNDEBUG -DALPNBPF_COVERAGE --coverage -fprofile-abs-path -fprofile-update=atomic
BIN    := build-coverage/alpnbpf
BIN_OBJS = $(OUT)/tests/coverage/without_sandbox.o
LDFLAGS += -Wl,--wrap=sandbox_files,--wrap=sandbox_calls,--wrap=user_become
else ifeq ($(STATIC),1)
# Position independent, so that addresses stay random in a program that faces the internet.
OUT    := build-static
CFLAGS ?= -O2 -DNDEBUG
override CFLAGS += -fPIE -ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables -DALPNBPF_STATIC
override LDFLAGS += -static-pie -s -Wl,--gc-sections -Wl,-z,pack-relative-relocs
BIN    := build-static/alpnbpf
# Drop source lines, which only the verifier's log uses, and which are a third of an object: struct btf_ext_header,
# line_info_len = 0.
NO_LINE_INFO = $(LLVM_OBJCOPY) --dump-section .BTF.ext=$@.ext $@.tmp && \
	printf '\0\0\0\0' | dd of=$@.ext bs=1 seek=20 conv=notrunc status=none && \
	$(LLVM_OBJCOPY) --update-section .BTF.ext=$@.ext $@.tmp && rm $@.ext &&
# The linker warns that every static program with getaddrinfo() or the like needs glibc's shared modules.
# user/base/address.c, user/operate/control.c, user/options/values.c and user/system/user.c make sure that this one does not.
LINK_SAYS = Using 'get\(addrinfo\|grnam\|grgid\|grouplist\|pwnam\|pwnam_r\|pwuid\)' in statically linked
LINK_SAID = 2>$(OUT)/link.log; code=$$?; \
            sed "/: in function /{N;/$(LINK_SAYS)/d};/$(LINK_SAYS)/d" $(OUT)/link.log >&2; \
            exit $$code
else
OUT    := build
CFLAGS ?= -O2 -g -DNDEBUG
BIN    := alpnbpf
endif

Q := $(if $(filter 1,$(V)),,@)
say = $(if $(filter 1,$(V)),,@printf '  %-7s %s\n' '$(1)' '$(2)';)

WARNINGS := -Wall -Wextra -Werror -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes
LIBBPF_CFLAGS = $(shell pkg-config --cflags libbpf)
LIBBPF_LIBS   = $(shell pkg-config $(if $(filter 1,$(STATIC)),--static) --libs libbpf libelf zlib)
SECCOMP_CFLAGS = $(shell pkg-config --cflags libseccomp)
SECCOMP_LIBS   = $(shell pkg-config $(if $(filter 1,$(STATIC)),--static) --libs libseccomp)
ALL_CFLAGS = -std=gnu17 $(WARNINGS) $(CFLAGS) $(SANFLAGS) -pthread -D_GNU_SOURCE -DALPNBPF_VERSION='"$(VERSION)"' \
             $(CPPFLAGS) -ffile-prefix-map=$(CURDIR)=. \
             -Iinclude -Iuser -I$(OUT) $(LIBBPF_CFLAGS) $(SECCOMP_CFLAGS)
ARCH := $(shell uname -m | sed 's/x86_64/x86/;s/aarch64/arm64/;s/ppc64le/powerpc/;s/s390x/s390/;s/riscv64/riscv/')
# -g is for BTF; the rest of the debug information is stripped, and the build folder does not appear in it.
# The BPF target has no multiarch include folder of its own (asm/types.h).
MULTIARCH := $(shell $(CC) -print-multiarch 2>/dev/null)
BPF_CFLAGS = -g -O2 -target bpf -mcpu=v3 -D__TARGET_ARCH_$(ARCH) -Wall -Wextra -Werror -Wno-address-of-packed-member \
             -ffile-prefix-map=$(CURDIR)=. \
             $(if $(MULTIARCH),-idirafter /usr/include/$(MULTIARCH)) -Iinclude -Ibpf $(LIBBPF_CFLAGS)

# The rooms of the user half, from the ground up: each may use only the ones before it (tools/layers).
ROOMS := base system hello options dataplane steering engine operate attach commands
# A program links its own objects, then the rooms from the top down.
LIBS_DOWN := $(patsubst %,$(OUT)/%.a,commands attach operate engine steering dataplane options hello system base)
USER_OBJS := $(patsubst user/%.c,$(OUT)/%.o,$(wildcard user/*.c user/*/*.c))
BPF_SKELS := $(OUT)/sockmap.skel.h $(OUT)/steer.skel.h $(OUT)/listeners.skel.h $(OUT)/owner.skel.h

.PHONY: all static lint bench deps deps-bench demo clean
.DELETE_ON_ERROR:
.SECONDARY:

all: $(BIN)

$(BIN): $(OUT)/main.o $(BIN_OBJS) $(LIBS_DOWN)
	$(call say,LINK,$@)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBBPF_LIBS) $(SECCOMP_LIBS) $(LINK_SAID)

# One archive per room; created anew, so that a removed source leaves no object behind.
define archive
$(OUT)/$(1).a: $(patsubst user/%.c,$(OUT)/%.o,$(wildcard user/$(1)/*.c))
	$$(call say,AR,$$@)rm -f $$@ && $$(AR) rcs $$@ $$^
endef
$(foreach room,$(ROOMS),$(eval $(call archive,$(room))))

static:
	$(Q)$(MAKE) --no-print-directory STATIC=1 all

$(OUT)/%.o: user/%.c | $(BPF_SKELS)
	$(call say,CC,$<)mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# .bpf.c -> .bpf.o -> .skel.h. Linking drops what only a linker needs, a third of the object.
$(OUT)/%.bpf.o: bpf/%.bpf.c | $(OUT)
	$(call say,BPF,$<)$(CLANG) $(BPF_CFLAGS) -MMD -MP -MT $@ -MF $(@:.o=.d) -c -o $@.tmp $< && \
		$(LLVM_STRIP) -g $@.tmp && $(NO_LINE_INFO) $(BPFTOOL) gen object $@ $@.tmp && rm $@.tmp

# Depends on the Makefile, which has the names.
%.skel.h: %.bpf.o Makefile
	$(call say,SKEL,$@)$(BPFTOOL) gen skeleton $< name alpnbpf_$(subst .,_,$(notdir $*)) > $@

$(OUT):
	$(Q)mkdir -p $(OUT)/bpf

# check and its suites; man, completions, install, uninstall and deb.
include tools/tests.mk tools/install.mk

lint: $(BIN)
	$(Q)ROOMS="$(ROOMS)" tools/lint

# Compares with nginx, HAProxy and a direct connection; QUICK=1 takes some minutes. BENCH_ARGS go to tools/bench/run.py.
bench: $(BIN) $(OUT)/bench-load
	$(Q)tools/bench/run.py $(if $(filter 1,$(QUICK)),--quick) $(BENCH_ARGS)

$(OUT)/bench-load: tools/bench/load.c tools/bench/load.h | $(OUT)
	$(call say,CC,$<)$(CC) -std=gnu17 $(WARNINGS) -O2 -D_GNU_SOURCE -o $@ $<

deps-bench:
	$(Q)tools/deps bench

demo:
	$(Q)tools/demo

deps:
	$(Q)tools/deps

clean:
	$(Q)rm -rf build build-coverage build-fuzz build-san build-static alpnbpf alpnbpf-san

-include $(wildcard $(OUT)/*.d $(OUT)/*/*.d $(OUT)/*/*/*.d)
