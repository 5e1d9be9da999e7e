# A thin front to Meson: the commands a user types. `make help` lists them.
BUILD      ?= build
TEST_BUILD ?= build-test
PREFIX     ?= /usr/local
MESON      ?= meson

.PHONY: all deps demo test test-vm test-kasan conformance conformance-ltp bench bench-api bench-attach fuzz coverage check format install clean help programs soak

all: $(BUILD)/build.ninja ## build everything
	@ninja -C $(BUILD)

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

deps: ## install the Debian packages that building and testing need
	@tools/install-deps build

$(BUILD)/build.ninja: | deps
	@$(MESON) setup $(BUILD) --prefix=$(PREFIX) >/dev/null

# The test build carries AddressSanitizer and UndefinedBehaviorSanitizer.
$(TEST_BUILD)/build.ninja: | deps
	@$(MESON) setup $(TEST_BUILD) --prefix=$(PREFIX) -Dwerror=true \
		-Db_sanitize=address,undefined -Db_lundef=false >/dev/null

demo: all ## build, then run bash, python and gcc under a process kernel
	@tools/install-deps demo
	@tools/demo $(BUILD)/src/cli/cerebro

test: deps ## install what tests need, build, run all tests
	@tools/install-deps test
	@tools/install-deps vm || true # without them that step is skipped
	@tools/run-tests

test-vm: ## the kernel module on four real kernels, in virtual machines
	@tools/install-deps vm
	@tools/test-vm $(VM_ARGS)

test-kasan: ## the same on a kernel with KASAN, lockdep and kmemleak, built from Debian's source
	@tools/install-deps kasan
	@tools/test-vm kasan --suite abuse $(VM_ARGS)

conformance: all ## the project's own checks of system calls, natively and under cerebro run
	@ninja -C $(BUILD) guest-programs >/dev/null
	@tools/run-conformance --cerebro $(BUILD)/src/cli/cerebro --suite $(BUILD)/tests/conformance $(CONFORMANCE_ARGS)

conformance-ltp: all ## the system call tests of LTP=DIR (Linux Test Project), natively and under cerebro run
	@tools/run-ltp --ltp "$(LTP)" --cerebro $(BUILD)/src/cli/cerebro $(LTP_ARGS)

bench: all ## compare with native, bwrap, proot and runsc
	@tools/install-deps bench
	@ninja -C $(BUILD) >/dev/null
	@/usr/bin/python3 bench/run.py --cerebro $(BUILD)/src/cli/cerebro $(BENCH_ARGS)

programs: all ## what real programs cost; PROGRAMS_ARGS="--uid 65534 nginx"
	@/usr/bin/python3 bench/programs.py --cerebro $(BUILD)/src/cli/cerebro $(PROGRAMS_ARGS)

soak: all ## MINUTES (default 30) of mixed load under one kernel, which must stay as it was
	@CEREBRO=$(abspath $(BUILD))/src/cli/cerebro tools/soak --minutes $(or $(MINUTES),30) $(SOAK_ARGS)

bench-api: all ## what calls cost through the C library
	@CEREBRO=$(abspath $(BUILD))/src/cli/cerebro $(BUILD)/bench/bench_api $(BENCH_ARGS)

bench-attach: all ## what attaching to a process costs
	@CEREBRO=$(abspath $(BUILD))/src/cli/cerebro $(BUILD)/bench/bench_attach $(BENCH_ARGS)

fuzz: $(TEST_BUILD)/build.ninja ## run each fuzz target for FUZZ_SECONDS (default 20)
	@ninja -C $(TEST_BUILD) >/dev/null
	@tools/run-fuzz $(TEST_BUILD)

check: ## include rules, banned calls, format, handlers, the C library against its pages and tests
	@tools/check-deps
	@tools/check-banned
	@tools/check-format
	@tools/check-coverage --handlers
	@tools/check-api $(BUILD)

coverage: all ## which answered system calls no guest program makes; about a minute
	@ninja -C $(BUILD) guest-programs >/dev/null
	@tools/check-coverage $(BUILD)

format: ## rewrite the sources with clang-format
	@git ls-files '*.c' '*.h' | xargs clang-format -i

install: all ## install below PREFIX
	@$(MESON) install -C $(BUILD)

clean:
	@rm -rf $(BUILD) $(TEST_BUILD)
