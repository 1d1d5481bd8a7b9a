# The tests. Which of them when: docs/HACKING.md.
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

# The test command: `sudo make check`. On Debian it installs what is missing, and says what. One suite after another,
# since some of the end-to-end tests measure time. SANITIZE=1 for the sanitizer build.
check:
	$(Q)! command -v apt-get >/dev/null || tools/deps check
	$(Q)$(MAKE) --no-print-directory $(PARALLEL) check-build
	$(Q)for suite in $(SUITES); do $(MAKE) --no-print-directory check-$$suite || exit 1; done
	@echo "check: all suites passed"

# What to run before each commit: two minutes at most on two cores.
check-quick:
	$(Q)$(MAKE) --no-print-directory $(PARALLEL) check-build
	$(Q)for suite in $(QUICK_SUITES); do $(MAKE) --no-print-directory check-$$suite || exit 1; done
	@echo "check-quick: all suites passed"

# What the suites run; the fuzzers are built when they are run.
check-build: e2e-build $(UNIT_TESTS) $(ENGINE_TESTS) $(BPF_TESTS)

# Some of the end-to-end tests run `make install` and `make static`: of the usual build, whatever it is that they test.
e2e-build: $(BIN)
	$(Q)$(MAKE) --no-print-directory SANITIZE=0 all man completions
	$(Q)$(MAKE) --no-print-directory SANITIZE=0 static

# As many jobs as there are CPUs, unless make was told how many.
PARALLEL = $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))

$(OUT)/bpf/%.bpf.o: tests/bpf/%.bpf.c | $(OUT)
	$(call say,BPF,$<)$(CLANG) $(BPF_CFLAGS) -MMD -MP -c -o $@ $< && $(LLVM_STRIP) -g $@

$(OUT)/tests/%.o: tests/%.c | $(OUT)
	$(call say,CC,$<)mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) -Itests -MMD -MP -c -o $@ $<

# A test links what it calls, and no more: an archive gives the objects that are asked for.
$(OUT)/tests/unit/test_%: $(OUT)/tests/unit/test_%.o $(LIBS_DOWN)
	$(call say,LINK,$@)$(CC) $(ALL_CFLAGS) -o $@ $^ $$(pkg-config --libs cmocka) $(LIBBPF_LIBS) $(SECCOMP_LIBS)

# Their clock and their log are the lab's.
$(OUT)/tests/engine/test_%: $(OUT)/tests/engine/test_%.o $(ENGINE_OBJS) $(BIN_OBJS) $(LIBS_DOWN)
	$(call say,LINK,$@)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -Wl,--wrap=monotonic_us,--wrap=log_write -o $@ $^ $$(pkg-config --libs cmocka) $(LIBBPF_LIBS) \
		$(SECCOMP_LIBS)

$(OUT)/tests/fuzz/fuzz_%: $(OUT)/tests/fuzz/fuzz_%.o $(FUZZ_OBJS) $(LIBS_DOWN)
	$(call say,LINK,$@)$(CC) $(ALL_CFLAGS) -fsanitize=fuzzer -o $@ $^ $(LIBBPF_LIBS) $(SECCOMP_LIBS)

$(OUT)/bpf/test_%: tests/bpf/test_%.c $(OUT)/bpf/%.skel.h $(OUT)/hello.a $(OUT)/base.a
	$(call say,CC,$<)$(CC) $(ALL_CFLAGS) -Itests -o $@ $< $(OUT)/hello.a $(OUT)/base.a $$(pkg-config --cflags --libs cmocka) $(LIBBPF_LIBS)

# Each takes a second at most; one that hangs fails.
check-unit: $(UNIT_TESTS)
check-engine: $(ENGINE_TESTS)
check-bpf: $(BPF_TESTS)
check-unit check-engine check-bpf:
	$(Q)for t in $^; do timeout 300 $$t || { echo "$@: FAILED: $$t"; exit 1; }; done

# A fuzzer for each parser of what others write: FUZZ_SECONDS each, as many at once as there are CPUs.
fuzz-build: $(FUZZERS)

check-fuzz: FUZZ_SECONDS = 5
fuzz check-fuzz:
	$(Q)$(MAKE) --no-print-directory $(PARALLEL) SANITIZE=0 FUZZ=1 fuzz-build
	$(Q)tools/fuzz $(FUZZ_SECONDS) $(patsubst $(OUT)/%,build-fuzz/%,$(FUZZERS))

# tests/e2e/run says what runs beside what. For some of them: make check-e2e PYTEST_ARGS='-k reload'.
check-e2e check-e2e-quick: e2e-build
	$(Q)ALPNBPF=$(abspath $(BIN)) PYTEST="$(PYTEST)" E2E_ONLY="$(E2E_ONLY)" tests/e2e/run $(PYTEST_ARGS)

check-e2e-quick: E2E_ONLY = not long and not alone

# Older kernels in an emulator; apart from `check`, since it fetches them.
check-kernels: $(BIN)
	$(Q)tests/kernels/run

# Builds, installs, removes and purges it; in a copy-on-write view of this machine.
check-package:
	$(Q)$(PYTEST) -q tests/package

# How much of user/ the tests run, a folder a line: a build of its own, the suites in C, then the end-to-end tests.
coverage: $(BIN)
	$(Q)$(MAKE) --no-print-directory $(PARALLEL) SANITIZE=0 COVERAGE=1 coverage-run

coverage-run: $(BIN) $(UNIT_TESTS) $(ENGINE_TESTS) $(BPF_TESTS)
	$(Q)tools/coverage $(OUT) $(UNIT_TESTS) $(ENGINE_TESTS) $(BPF_TESTS)
