# The tests. docs/HACKING.md says when to run which.
# SPDX-License-Identifier: BSD-2-Clause

PYTEST ?= /usr/bin/python3 -m pytest
FUZZ_SECONDS ?= 60

UNIT_TESTS := $(patsubst %.c,$(OUT)/%,$(wildcard tests/unit/test_*.c))
ENGINE_TESTS := $(patsubst %.c,$(OUT)/%,$(wildcard tests/engine/test_*.c))
ENGINE_OBJS := $(patsubst %.c,$(OUT)/%.o,$(filter-out tests/engine/test_%,$(wildcard tests/engine/*.c)))
BPF_TESTS  := $(patsubst tests/bpf/%.c,$(OUT)/bpf/%,$(wildcard tests/bpf/test_*.c))
FUZZERS    := $(patsubst %.c,$(OUT)/%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_OBJS  := $(patsubst %.c,$(OUT)/%.o,$(filter-out tests/fuzz/fuzz_%,$(wildcard tests/fuzz/*.c)))

.PHONY: check check-quick check-build e2e-build check-unit check-engine check-bpf check-fuzz check-e2e check-e2e-quick check-kernels \
	check-package fuzz fuzz-build coverage coverage-run

SUITES := unit engine bpf fuzz e2e
QUICK_SUITES := unit engine bpf e2e-quick

# The test command: `sudo make check`. On Debian it installs missing packages, and prints which. Runs one suite after
# another, because some end-to-end tests measure time. SANITIZE=1 for the sanitizer build.
check:
	$(Q)! command -v apt-get >/dev/null || tools/deps check
	$(Q)$(MAKE) --no-print-directory $(PARALLEL) check-build
	$(Q)for suite in $(SUITES); do $(MAKE) --no-print-directory check-$$suite || exit 1; done
	@echo "check: all suites passed"

# Run this before each commit: at most two minutes on two cores.
check-quick:
	$(Q)$(MAKE) --no-print-directory $(PARALLEL) check-build
	$(Q)for suite in $(QUICK_SUITES); do $(MAKE) --no-print-directory check-$$suite || exit 1; done
	@echo "check-quick: all suites passed"

# Builds what the suites run, except the fuzzers.
check-build: e2e-build $(UNIT_TESTS) $(ENGINE_TESTS) $(BPF_TESTS)

# Some end-to-end tests run `make install` and `make static`, always of the usual build.
e2e-build: $(BIN)
	$(Q)$(MAKE) --no-print-directory SANITIZE=0 all man completions
	$(Q)$(MAKE) --no-print-directory SANITIZE=0 static

# One job per CPU, unless make has a -j.
PARALLEL = $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))

$(OUT)/bpf/%.bpf.o: tests/bpf/%.bpf.c | $(OUT)
	$(call say,BPF,$<)$(CLANG) $(BPF_CFLAGS) -MMD -MP -c -o $@ $< && $(LLVM_STRIP) -g $@

$(OUT)/tests/%.o: tests/%.c | $(OUT)
	$(call say,CC,$<)mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) -Itests -MMD -MP -c -o $@ $<

# From an archive, a test links only the objects that it calls.
$(OUT)/tests/unit/test_%: $(OUT)/tests/unit/test_%.o $(LIBS_DOWN)
	$(call say,LINK,$@)$(CC) $(ALL_CFLAGS) -o $@ $^ $$(pkg-config --libs cmocka) $(LIBBPF_LIBS) $(SECCOMP_LIBS)

# The lab replaces their clock and their log.
$(OUT)/tests/engine/test_%: $(OUT)/tests/engine/test_%.o $(ENGINE_OBJS) $(BIN_OBJS) $(LIBS_DOWN)
	$(call say,LINK,$@)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -Wl,--wrap=monotonic_us,--wrap=log_write,--wrap=log_limit_pass \
		-o $@ $^ $$(pkg-config --libs cmocka) $(LIBBPF_LIBS) $(SECCOMP_LIBS)

$(OUT)/tests/fuzz/fuzz_%: $(OUT)/tests/fuzz/fuzz_%.o $(FUZZ_OBJS) $(LIBS_DOWN)
	$(call say,LINK,$@)$(CC) $(ALL_CFLAGS) -fsanitize=fuzzer -o $@ $^ $(LIBBPF_LIBS) $(SECCOMP_LIBS)

$(OUT)/bpf/test_%: tests/bpf/test_%.c $(OUT)/bpf/%.skel.h $(OUT)/hello.a $(OUT)/base.a
	$(call say,CC,$<)$(CC) $(ALL_CFLAGS) -Itests -o $@ $< $(OUT)/hello.a $(OUT)/base.a $$(pkg-config --cflags --libs cmocka) $(LIBBPF_LIBS)

# tools/suite ends a program that hangs.
check-unit: $(UNIT_TESTS)
check-engine: $(ENGINE_TESTS)
check-bpf: $(BPF_TESTS)
check-unit check-engine check-bpf:
	$(Q)tools/suite $(@:check-%=%) $^

# A fuzzer for each parser of foreign input: FUZZ_SECONDS each, one per CPU at a time.
fuzz-build: $(FUZZERS)

check-fuzz: FUZZ_SECONDS = 5
fuzz check-fuzz:
	$(Q)$(MAKE) --no-print-directory $(PARALLEL) SANITIZE=0 FUZZ=1 fuzz-build
	$(Q)tools/fuzz $(FUZZ_SECONDS) $(patsubst $(OUT)/%,build-fuzz/%,$(FUZZERS))

# tests/e2e/run decides what runs in parallel. To select tests: make check-e2e PYTEST_ARGS='-k reload'.
check-e2e check-e2e-quick: e2e-build
	$(Q)ALPNBPF=$(abspath $(BIN)) PYTEST="$(PYTEST)" E2E_ONLY="$(E2E_ONLY)" tests/e2e/run $(PYTEST_ARGS)

check-e2e-quick: E2E_ONLY = not long and not alone

# Other kernels, in an emulator. Not part of `check`, because it downloads them.
check-kernels: $(BIN)
	$(Q)tests/kernels/run

# Builds, installs, removes and purges the package, in a copy-on-write view of this machine.
check-package:
	$(Q)$(PYTEST) -q tests/package

# Line coverage of user/, one folder per line: a build of its own, the suites in C, then the end-to-end tests.
coverage: $(BIN)
	$(Q)$(MAKE) --no-print-directory $(PARALLEL) SANITIZE=0 COVERAGE=1 coverage-run

coverage-run: $(BIN) $(UNIT_TESTS) $(ENGINE_TESTS) $(BPF_TESTS)
	$(Q)tools/coverage $(OUT) $(UNIT_TESTS) $(ENGINE_TESTS) $(BPF_TESTS)
