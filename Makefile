# alpnbpf: build, test, install. Quiet unless V=1; SANITIZE=1 builds the user half with ASan, UBSan and
# its assertions, STATIC=1 (`make static`) a stripped binary without any library.
# SPDX-License-Identifier: BSD-2-Clause

VERSION := 0.1.0
CC      ?= cc
CLANG   ?= clang
LLVM_STRIP ?= llvm-strip
LLVM_OBJCOPY ?= llvm-objcopy
BPFTOOL ?= $(firstword $(shell command -v bpftool 2>/dev/null) /usr/sbin/bpftool)
PYTEST  ?= /usr/bin/python3 -m pytest
PREFIX  ?= /usr/local
SBINDIR ?= $(PREFIX)/sbin
UNITDIR     ?= $(PREFIX)/lib/systemd/system
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
MANDIR  ?= $(PREFIX)/share/man
DOCDIR  ?= $(PREFIX)/share/doc/alpnbpf
BASHDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR  ?= $(PREFIX)/share/zsh/site-functions
FISHDIR ?= $(PREFIX)/share/fish/vendor_completions.d
V       ?= 0
FUZZ_SECONDS ?= 60

ifeq ($(SANITIZE),1)
OUT    := build-san
CFLAGS ?= -O1 -g -fno-omit-frame-pointer
SANFLAGS := -fsanitize=address,undefined -fno-sanitize-recover=undefined
BIN    := alpnbpf-san
else ifeq ($(STATIC),1)
# Still position independent: what stands in front of the internet keeps its random addresses.
OUT    := build-static
CFLAGS ?= -O2 -DNDEBUG
override CFLAGS += -fPIE -ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables -DALPNBPF_STATIC
override LDFLAGS += -static-pie -s -Wl,--gc-sections -Wl,-z,pack-relative-relocs
BIN    := build-static/alpnbpf
# Source lines are for the verifier's log, and a third of an object: struct btf_ext_header, line_info_len = 0.
NO_LINE_INFO = $(LLVM_OBJCOPY) --dump-section .BTF.ext=$@.ext $@.tmp && \
	printf '\0\0\0\0' | dd of=$@.ext bs=1 seek=20 conv=notrunc status=none && \
	$(LLVM_OBJCOPY) --update-section .BTF.ext=$@.ext $@.tmp && rm $@.ext &&
# The linker says of every static program with getaddrinfo() or getgrnam() that it needs glibc's shared modules.
# user/base/address.c and user/operate/control.c see to it that this one does not.
LINK_SAID = 2>$(OUT)/link.log; code=$$?; grep -v -e "function .resolve'" -e "Using 'getaddrinfo'" \
            -e "function .control_open'" -e "Using 'getgrnam'" $(OUT)/link.log >&2; \
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
# -g is for BTF; what else it makes is stripped again, and the folder of the build is nobody's business.
# The BPF target has no multiarch include folder of its own (asm/types.h).
MULTIARCH := $(shell $(CC) -print-multiarch 2>/dev/null)
BPF_CFLAGS = -g -O2 -target bpf -mcpu=v3 -D__TARGET_ARCH_$(ARCH) -Wall -Wextra -Werror -Wno-address-of-packed-member \
             -ffile-prefix-map=$(CURDIR)=. \
             $(if $(MULTIARCH),-idirafter /usr/include/$(MULTIARCH)) -Iinclude -Ibpf $(LIBBPF_CFLAGS)

# The rooms of the user half, from the ground up: each may use what stands before it, nothing behind it (tools/layers).
ROOMS := base system hello options dataplane steering engine operate attach commands
# What a program links: its own objects, then the rooms from the top down.
LIBS_DOWN := $(patsubst %,$(OUT)/%.a,commands attach operate engine steering dataplane options hello system base)
USER_OBJS := $(patsubst user/%.c,$(OUT)/%.o,$(wildcard user/*.c user/*/*.c))
BPF_SKELS := $(OUT)/sockmap.skel.h $(OUT)/steer.skel.h
UNIT_TESTS := $(patsubst tests/unit/%.c,$(OUT)/unit/%,$(wildcard tests/unit/test_*.c))
BPF_TESTS  := $(patsubst tests/bpf/%.c,$(OUT)/bpf/%,$(wildcard tests/bpf/test_*.c))
FUZZ_SRCS  := user/hello/describe.c user/hello/hex_text.c user/hello/rules.c user/base/sentence.c

.PHONY: all bench deps-bench check check-unit check-bpf check-fuzz check-e2e check-kernels check-package lint fuzz static \
	demo deps man completions deb install uninstall clean FORCE
.DELETE_ON_ERROR:
.SECONDARY:

all: $(BIN)

$(BIN): $(OUT)/main.o $(LIBS_DOWN)
	$(call say,LINK,$@)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBBPF_LIBS) $(SECCOMP_LIBS) $(LINK_SAID)

# One a room; made anew, so that a source that is gone leaves no object behind.
define archive
$(OUT)/$(1).a: $(patsubst user/%.c,$(OUT)/%.o,$(wildcard user/$(1)/*.c))
	$$(call say,AR,$$@)rm -f $$@ && $$(AR) rcs $$@ $$^
endef
$(foreach room,$(ROOMS),$(eval $(call archive,$(room))))

static:
	$(Q)$(MAKE) --no-print-directory STATIC=1 all

$(OUT)/%.o: user/%.c | $(BPF_SKELS)
	$(call say,CC,$<)mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# .bpf.c -> .bpf.o -> .skel.h. Linking leaves out what only a linker would need, a third of the object.
$(OUT)/%.bpf.o: bpf/%.bpf.c | $(OUT)
	$(call say,BPF,$<)$(CLANG) $(BPF_CFLAGS) -MMD -MP -MT $@ -MF $(@:.o=.d) -c -o $@.tmp $< && \
		$(LLVM_STRIP) -g $@.tmp && $(NO_LINE_INFO) $(BPFTOOL) gen object $@ $@.tmp && rm $@.tmp

$(OUT)/bpf/%.bpf.o: tests/bpf/%.bpf.c | $(OUT)
	$(call say,BPF,$<)$(CLANG) $(BPF_CFLAGS) -MMD -MP -c -o $@ $< && $(LLVM_STRIP) -g $@

%.skel.h: %.bpf.o
	$(call say,SKEL,$@)$(BPFTOOL) gen skeleton $< name $(subst .,_,$(notdir $*))_bpf > $@

$(OUT):
	$(Q)mkdir -p $(OUT)/unit $(OUT)/bpf $(OUT)/fuzz

$(OUT)/unit/%.o: tests/unit/%.c | $(OUT)
	$(call say,CC,$<)$(CC) $(ALL_CFLAGS) -Itests -MMD -MP -c -o $@ $<

# A test links what it calls, and no more: an archive gives the objects that are asked for.
$(OUT)/unit/test_%: $(OUT)/unit/test_%.o $(LIBS_DOWN)
	$(call say,LINK,$@)$(CC) $(ALL_CFLAGS) -o $@ $^ $$(pkg-config --libs cmocka) $(LIBBPF_LIBS) $(SECCOMP_LIBS)

$(OUT)/bpf/test_%: tests/bpf/test_%.c $(OUT)/bpf/%.skel.h $(OUT)/hello.a $(OUT)/base.a
	$(call say,CC,$<)$(CC) $(ALL_CFLAGS) -Itests -o $@ $< $(OUT)/hello.a $(OUT)/base.a $$(pkg-config --cflags --libs cmocka) $(LIBBPF_LIBS)

$(OUT)/fuzz/%: tests/fuzz/%.c $(FUZZ_SRCS) $(wildcard include/*.h user/hello/*.h) | $(OUT)
	$(call say,CC,$<)$(CLANG) -std=gnu17 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
		-D_GNU_SOURCE -Iinclude -Iuser -o $@ $< $(FUZZ_SRCS)

# The test command: `sudo make check` (SANITIZE=1 for the sanitizer build).
check: check-unit check-bpf check-fuzz check-e2e
	@echo "check: all suites passed"

check-unit: $(UNIT_TESTS)
	$(Q)set -e; for t in $(UNIT_TESTS); do $$t; done

check-bpf: $(BPF_TESTS)
	$(Q)set -e; for t in $(BPF_TESTS); do $$t; done

check-fuzz:
	$(Q)$(MAKE) --no-print-directory fuzz FUZZ_SECONDS=20

fuzz: $(OUT)/fuzz/fuzz_clienthello
	$(Q)mkdir -p $(OUT)/fuzz/corpus
	$(Q)$< -max_total_time=$(FUZZ_SECONDS) -max_len=20000 -print_final_stats=1 -verbosity=0 \
		$(OUT)/fuzz/corpus tests/fuzz/corpus && echo "fuzz: $(FUZZ_SECONDS) s without a finding"

check-e2e: $(BIN)
	$(Q)ALPNBPF=$(abspath $(BIN)) $(PYTEST) -q -p no:cacheprovider tests/e2e $(PYTEST_ARGS)

# Older kernels in an emulator; apart from `check`, since it fetches them.
check-kernels: $(BIN)
	$(Q)tests/kernels/run

lint:
	$(Q)tools/lint

# Beside nginx, HAProxy and a direct connection; QUICK=1 for some minutes. BENCH_ARGS go to tools/bench/run.py.
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

man: $(OUT)/alpnbpf.8

$(OUT)/alpnbpf.8: tools/man/alpnbpf.8.scd | $(OUT)
	$(call say,MAN,$@)scdoc <$< >$@

# systemd looks into /usr/local/lib as well. The unit has the path of the binary in it.
$(OUT)/alpnbpf.service: tools/systemd/alpnbpf.service.in FORCE | $(OUT)
	$(call say,UNIT,$@)sed 's|@SBINDIR@|$(SBINDIR)|' $< >$@

FORCE:

completions: $(OUT)/completions/alpnbpf $(OUT)/completions/_alpnbpf $(OUT)/completions/alpnbpf.fish

$(OUT)/completions/alpnbpf: COMPLETED = bash
$(OUT)/completions/_alpnbpf: COMPLETED = zsh
$(OUT)/completions/alpnbpf.fish: COMPLETED = fish
$(OUT)/completions/%: $(BIN) $(wildcard tools/completions/*)
	$(Q)mkdir -p $(@D)
	$(call say,GEN,$@)tools/completions/generate $(COMPLETED) ./$(BIN) >$@

install: $(BIN) man completions $(OUT)/alpnbpf.service
	install -D -m 0755 $(BIN) $(DESTDIR)$(SBINDIR)/alpnbpf
	install -D -m 0644 $(OUT)/alpnbpf.8 $(DESTDIR)$(MANDIR)/man8/alpnbpf.8
	install -D -m 0644 README.md $(DESTDIR)$(DOCDIR)/README.md
	install -D -m 0644 tools/doc/moving.md $(DESTDIR)$(DOCDIR)/moving.md
	install -D -m 0644 tools/alpnbpf.conf $(DESTDIR)$(DOCDIR)/examples/alpnbpf.conf
	install -D -m 0644 $(OUT)/completions/alpnbpf $(DESTDIR)$(BASHDIR)/alpnbpf
	install -D -m 0644 $(OUT)/completions/_alpnbpf $(DESTDIR)$(ZSHDIR)/_alpnbpf
	install -D -m 0644 $(OUT)/completions/alpnbpf.fish $(DESTDIR)$(FISHDIR)/alpnbpf.fish
	install -D -m 0644 $(OUT)/alpnbpf.service $(DESTDIR)$(UNITDIR)/alpnbpf.service
	install -D -m 0644 tools/systemd/alpnbpf.socket $(DESTDIR)$(UNITDIR)/alpnbpf.socket
	install -D -m 0644 tools/systemd/alpnbpf.sysusers $(DESTDIR)$(SYSUSERSDIR)/alpnbpf.conf

# By name, and only folders of its own: whatever DOCDIR is, nothing of somebody else's goes.
uninstall:
	rm -f $(DESTDIR)$(SBINDIR)/alpnbpf $(DESTDIR)$(MANDIR)/man8/alpnbpf.8 $(DESTDIR)$(BASHDIR)/alpnbpf \
		$(DESTDIR)$(ZSHDIR)/_alpnbpf $(DESTDIR)$(FISHDIR)/alpnbpf.fish \
		$(DESTDIR)$(SYSUSERSDIR)/alpnbpf.conf \
		$(DESTDIR)$(UNITDIR)/alpnbpf.service $(DESTDIR)$(UNITDIR)/alpnbpf.socket \
		$(addprefix $(DESTDIR)$(DOCDIR)/,README.md moving.md examples/alpnbpf.conf)
	-rmdir $(DESTDIR)$(DOCDIR)/examples $(DESTDIR)$(DOCDIR)

# The Debian package, from a copy of the tree: build/alpnbpf_VERSION_ARCH.deb.
DEB_TREE := build/deb/alpnbpf-$(VERSION)
deb:
	$(Q)rm -rf build/deb && mkdir -p $(DEB_TREE)
	$(Q)cp -a bpf docs include tests tools user Makefile README.md LICENSE $(DEB_TREE)/ && cp -a tools/debian $(DEB_TREE)/
	$(Q)cd $(DEB_TREE) && env -u MAKEFLAGS -u MFLAGS dpkg-buildpackage -us -uc -b >../log 2>&1 || { cat ../log; exit 1; }
	$(Q)mv build/deb/*.deb build/ && rm -rf build/deb && ls build/*.deb

# Builds, installs, removes and purges it; in a copy-on-write view of this machine.
check-package:
	$(Q)$(PYTEST) -q -p no:cacheprovider tests/package

clean:
	$(Q)rm -rf build build-san build-static alpnbpf alpnbpf-san

-include $(wildcard $(OUT)/*.d $(OUT)/*/*.d)
