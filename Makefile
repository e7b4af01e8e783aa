# dhatd: a heap profiler for running processes.   make help
MAKEFLAGS += --no-builtin-rules
.DELETE_ON_ERROR:
.SECONDARY:
.SUFFIXES:

O ?= build
PREFIX ?= /usr/local
VERSION := 0.1.0
ifeq ($(origin CC),default)
CC := gcc
endif
ifeq ($(origin CXX),default)
CXX := g++
endif
CLANG ?= clang
RUSTC ?= $(firstword $(wildcard /usr/bin/rustc) rustc)
BPFTOOL ?= $(or $(shell command -v bpftool),/usr/sbin/bpftool)
# Debian's own: it is the one that has python3-pytest
PYTHON ?= /usr/bin/python3

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-8s %s\n' '$(1)' '$(2)')
comma := ,

# ---- what has to be there -------------------------------------------------------------------

PACKAGES := libbpf libelf libdw libprotobuf-c json-c libseccomp liblzma libzstd ncursesw libmicrohttpd libcurl
# goals that install first, or need nothing
standalone := deps deps-test exports demo test bench bench-check test-kernels test-clang test-kill test-emulation test-sites test-pressure test-image soak test-holders test-healthy test-service test-prometheus test-strangers test-readers test-distros test-packages fuzz stacks clean help \
	deb format uninstall
goals := $(or $(MAKECMDGOALS),all)
builds := $(filter-out $(standalone),$(goals))
# of COMMAND:PACKAGE… the packages whose command is not there
commands_lack = $(foreach t,$(1),$(if $(shell command -v $(firstword $(subst :, ,$(t)))),,$(lastword $(subst :, ,$(t)))))
ifneq ($(builds),)
debian_of = $(patsubst libcurl,libcurl4-gnutls,$(patsubst ncursesw,libncurses,$(patsubst json-c,libjson-c,$(1))))-dev
lacking := $(foreach p,$(PACKAGES),$(shell pkg-config --exists $(p) 2>/dev/null || echo $(call debian_of,$(p)))) \
	$(if $(wildcard /usr/include/Zydis/Zydis.h),,libzydis-dev) \
	$(if $(wildcard /usr/include/libiberty/demangle.h),,libiberty-dev) \
	$(call commands_lack,pkg-config:pkg-config $(firstword $(CC)):gcc $(firstword $(CLANG)):clang \
	protoc-c:protobuf-c-compiler $(BPFTOOL):bpftool)
endif
# … and what some want beyond that
test_lacking := $(if $(filter check test-programs,$(goals)),$(shell pkg-config --exists cmocka 2>/dev/null || \
	echo libcmocka-dev)) \
	$(if $(filter targets test-programs,$(goals)),$(shell tests/deps -n targets)) \
	$(if $(filter lint lint-c,$(goals)),$(call commands_lack,clang-tidy:clang-tidy)) \
	$(if $(filter lint,$(goals)),$(call commands_lack,cppcheck:cppcheck shellcheck:shellcheck)) \
	$(if $(filter lint format,$(goals)),$(call commands_lack,clang-format:clang-format))
ifneq ($(strip $(lacking) $(test_lacking)),)
$(error missing: $(sort $(lacking) $(test_lacking)); run: sudo make $(if $(strip $(test_lacking)),deps-test,deps))
endif

# ---- flags ----------------------------------------------------------------------------------

# CFLAGS, CPPFLAGS and LDFLAGS are the user's, from the environment or the command line; what building needs
# stands before them in all_cflags and all_ldflags. WERROR=1, as CI has it, makes each warning an error.
CFLAGS ?= $(if $(DEBUG),-O0,-O2) -g
sanitize := $(if $(SAN),-fsanitize=address$(comma)undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
coverage := $(if $(COVERAGE),--coverage)
# dhatd is root's: what the compiler can catch of a mistake, it shall. (Without optimisation glibc only warns of it.)
is_optimised = $(filter-out -O0,$(filter -O%,$(CFLAGS)))
harden := $(if $(SAN)$(findstring -D_FORTIFY_SOURCE,$(CPPFLAGS) $(CFLAGS)),,$(if $(is_optimised),-U_FORTIFY_SOURCE \
	-D_FORTIFY_SOURCE=2)) -fstack-protector-strong
werror := $(if $(WERROR),-Werror)
warnings := -Wall -Wextra $(werror) -Wno-unused-parameter -Wcast-qual -Wmissing-prototypes -Wstrict-prototypes \
	-Wlogical-op -Wshadow -Wformat-nonliteral -Wundef -Wpointer-arith
all_cflags := -std=gnu11 -D_GNU_SOURCE $(warnings) -MD -MP -I. -isystem $(O) -DDHAT_VERSION='"$(VERSION)"' \
	$(shell pkg-config --cflags $(PACKAGES) 2>/dev/null) $(harden) $(sanitize) $(coverage) $(CPPFLAGS) $(CFLAGS)
all_ldflags := -Wl,-z,relro,-z,now,--as-needed $(sanitize) $(coverage) $(LDFLAGS)
LIBS := $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) -lZydis -liberty -lz -lm -lpthread
BPF_CFLAGS := -g -O2 -target bpf -mcpu=v3 -D__bpf__ -D__TARGET_ARCH_x86 -Wall -Wextra $(werror) \
	-Wno-unused-parameter -I/usr/include/x86_64-linux-gnu
# Targets: as Debian builds, and every malloc in the source stays a call
TARGET_FLAGS := -g -O2 -fno-builtin -fomit-frame-pointer -Wall -Wno-unused-result

# a change of flags or compilers rebuilds
ifneq ($(builds),)
$(shell mkdir -p $(O); new='$(subst ','\'',$(CC) $(all_cflags) $(all_ldflags) $(LIBS) $(CLANG) $(BPF_CFLAGS))'; \
	[ "$$(cat $(O)/.flags 2>/dev/null)" = "$$new" ] || printf '%s\n' "$$new" >$(O)/.flags)
endif

# ---- sources --------------------------------------------------------------------------------

# the .c files of a folder and of those below it
sources = $(sort $(wildcard $(foreach depth,* */* */*/* */*/*/*,$(1)/$(depth).c)))
objects = $(patsubst %.c,$(O)/%.o,$(call sources,$(1)))
# what protoc-c makes of a .proto file stands beside it, below $(O)
pb := $(patsubst %.proto,$(O)/%.pb-c,$(wildcard proto/*/*.proto))
# Lowest first: a file includes, and an archive uses, what stands before it; see tests/layers
FLOORS := bpf proto/base proto/wire proto/profile proto/import proto/export daemon/object/machine daemon/object/x86_64 \
	daemon/proc daemon/object/elf daemon/object/cfi daemon/object/dwarf daemon/object/jit daemon/object/families daemon/object/sites daemon/reach daemon/worker daemon/lookup \
	daemon/account daemon/kernel daemon/source daemon/inventory daemon/target daemon/holds daemon/push daemon/serve daemon/watch daemon/http daemon cli
# the objects of one floor; its main is no part of it
floor_obj = $(filter-out %/main.o,$(patsubst %.c,$(O)/%.o,$(sort $(filter-out %.bpf.c,$(wildcard $(1)/*.c)))) \
	$(addsuffix .o,$(filter $(O)/$(1)/%,$(pb))))
floor_lib = $(O)/$(1)/$(notdir $(1)).a
filled := $(foreach floor,$(FLOORS),$(if $(call floor_obj,$(floor)),$(floor)))
# the archives of a floor and of all below it, highest first, as the linker wants them
up_to = $(call take_up_to,$(1),$(FLOORS))
take_up_to = $(if $(2),$(if $(filter $(1),$(firstword $(2))),,$(call take_up_to,$(1),$(wordlist 2,99,$(2)))) \
	$(if $(filter $(firstword $(2)),$(filled)),$(call floor_lib,$(firstword $(2)))))
lib_obj := $(foreach floor,$(filled),$(call floor_obj,$(floor)))
# tests/unit/FLOOR/test_X.c: one program each, linked with the archives up to that floor; tests/judge/X.c,
# tests/fuzz/fuzz_X.c: with all
unit_bin := $(patsubst %.c,$(O)/%,$(call sources,tests/unit))
judge_bin := $(patsubst %.c,$(O)/%,$(wildcard tests/judge/*.c))
bpf_skel := $(patsubst %.bpf.c,$(O)/%.skel.h,$(wildcard bpf/*.bpf.c))
bench_skel := $(patsubst %.bpf.c,$(O)/%.skel.h,$(wildcard tests/bench/*.bpf.c))
bench_bin := $(patsubst %.c,$(O)/%,$(filter-out %.bpf.c,$(wildcard tests/bench/*.c)))
guest_bin := $(patsubst %.c,$(O)/%,$(filter-out %.bpf.c,$(wildcard tests/kernels/*.c)))
fuzz_bin := $(patsubst %.c,$(O)/%,$(wildcard tests/fuzz/fuzz_*.c))
# tests/targets: X.c, X.cc, X.rs are programs, X.so.c and X.so.cc libraries
targets := $(patsubst tests/%,$(O)/tests/%,$(basename $(wildcard tests/targets/*.c tests/targets/*.cc \
	tests/targets/*.rs)))
programs := $(if $(wildcard daemon/main.c),$(O)/dhatd) $(if $(wildcard cli/main.c),$(O)/dhatctl)

all: $(programs)	## build dhatd and dhatctl (into O=build)

$(O)/dhatd: $(O)/daemon/main.o $(call up_to,daemon)
$(O)/dhatctl: $(O)/cli/main.o $(filter-out $(O)/daemon/%,$(call up_to,cli))
$(O)/dhatd $(O)/dhatctl:
	$(call say,LINK,$@)
	$(Q)$(CC) $(all_ldflags) -o $@ $^ $(LIBS)

$(O)/%.pb-c.c $(O)/%.pb-c.h: %.proto
	$(call say,PROTOC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)protoc-c --c_out=$(O) $<

$(pb:=.o): %.o: %.c $(O)/.flags
	$(call say,CC,$<)
	$(Q)$(CC) $(all_cflags) -c -o $@ $<

$(O)/%.o: %.c $(O)/.flags | $(pb:=.h)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(all_cflags) -c -o $@ $<

# the pages of a report are part of it (.incbin)
$(O)/proto/export/html.o $(O)/fuzz/proto/export/html.o: $(wildcard proto/export/html/*)

define archive_of
$(call floor_lib,$(1)): $(call floor_obj,$(1))
	$(call say,AR,$$@)
	$(Q)rm -f $$@ && ar rcsD $$@ $$^
endef
$(foreach floor,$(filled),$(eval $(call archive_of,$(floor))))

# ---- the BPF side: compiled for the kernel, embedded as a skeleton --------------------------

# by the sizes of the functions in the symbol table
count_insns = readelf -sW $(1) | awk '$$4 == "FUNC" { n = $$3 / 8; all += n; functions++; \
	if (n > most) { most = n; name = $$8 } } END { printf "           %d instructions in %d functions; " \
	"most in %s: %d\n", all, functions, name, most }'

$(O)/%.bpf.o: %.bpf.c $(O)/.flags
	$(call say,BPF,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -MT $@ -MF $(@:.o=.d) -c -o $@ $<
	$(Q)$(call count_insns,$@)

$(O)/%.skel.h: $(O)/%.bpf.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name $(subst .,_,$(notdir $*))_bpf > $@

# made before the first compilation; after it the dependency files know who includes them
$(filter $(O)/daemon/%,$(lib_obj)) $(O)/daemon/main.o: | $(bpf_skel)
$(unit_bin:=.o) $(judge_bin:=.o): | $(bpf_skel)
$(bench_bin:=.o): | $(bench_skel)

# ---- tests ----------------------------------------------------------------------------------

define unit_test_of
$(1): $(1).o $(call up_to,$(patsubst $(O)/tests/unit/%/,%,$(dir $(1))))
endef
$(foreach test,$(unit_bin),$(eval $(call unit_test_of,$(test))))
$(judge_bin): $(O)/%: $(O)/%.o $(call up_to,cli)
# cmocka 2 has new names for what it had in 1.1, which is what Debian 12 and 13 have
$(unit_bin:=.o) $(judge_bin:=.o): private all_cflags += -Wno-deprecated-declarations
$(unit_bin) $(judge_bin):
	$(call say,LINK,$@)
	$(Q)$(CC) $(all_ldflags) -o $@ $^ $(LIBS) -lcmocka

$(bench_bin) $(guest_bin): $(O)/%: $(O)/%.o $(call up_to,cli)
	$(call say,LINK,$@)
	$(Q)$(CC) $(all_ldflags) -o $@ $^ $(LIBS)

# tests/sites: a dhatd with a tap, and what compares two of them
site_bin := $(O)/tests/sites/tapped_dhatd $(O)/tests/sites/compare
$(O)/tests/sites/tapped_dhatd: $(O)/daemon/main.o $(O)/tests/sites/tap.o $(call up_to,daemon)
	$(call say,LINK,$@)
	$(Q)$(CC) $(all_ldflags) -Wl,--wrap=collector_feed_all -o $@ $^ $(LIBS)
$(O)/tests/sites/compare: $(O)/tests/sites/compare.o
	$(call say,LINK,$@)
	$(Q)$(CC) $(all_ldflags) -o $@ $^

# Lines "build: FLAGS" in a target's source add flags (-static, -pthread, -O0, …)
flags_of = $(TARGET_FLAGS) $(shell sed -n 's,^.*[ */]build: *\([^*]*\).*$$,\1,p' $<)
$(O)/tests/targets/%: tests/targets/%.c
	$(call say,TARGET,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -D_GNU_SOURCE -MMD -MP -MF $@.d $(if $(filter %.so,$@),-shared -fPIC) -o $@ $< $(flags_of)
$(O)/tests/targets/%: tests/targets/%.cc
	$(call say,TARGET,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CXX) -MMD -MP -MF $@.d $(if $(filter %.so,$@),-shared -fPIC) -o $@ $< $(flags_of)
$(O)/tests/targets/%: tests/targets/%.rs
	$(call say,TARGET,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(RUSTC) --edition 2021 -O -g -o $@ $< $(shell sed -n 's,^// build: *,,p' $< | head -n 1)

# Fuzz targets: our sources again, by clang with libFuzzer's counters and the sanitizers; gcc has warned
fuzz_san := -fsanitize=fuzzer-no-link$(comma)address$(comma)undefined -fno-sanitize-recover=undefined
fuzz_lib := $(patsubst $(O)/%,$(O)/fuzz/%,$(lib_obj))
fuzz_cflags = $(filter-out -fsanitize=% --coverage -Werror,$(all_cflags)) -O1 -w $(fuzz_san)
$(pb:$(O)/%=$(O)/fuzz/%.o): $(O)/fuzz/%.o: $(O)/%.c $(O)/.flags
	$(call say,FUZZ,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(fuzz_cflags) -c -o $@ $<
$(O)/fuzz/%.o: %.c $(O)/.flags | $(pb:=.h) $(bpf_skel)
	$(call say,FUZZ,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(fuzz_cflags) -c -o $@ $<
$(fuzz_bin): $(O)/%: $(O)/fuzz/%.o $(fuzz_lib)
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) -fsanitize=fuzzer,address,undefined -o $@ $^ $(LIBS)

check: $(unit_bin)	## unit tests: no root, under a minute
	$(Q)tests/run -O $(O) unit

.PHONY: test-programs targets
test-programs: all $(unit_bin) $(judge_bin) $(fuzz_bin) $(guest_bin) targets
# folders of tests/targets are families of programs with a Makefile of their own
families := $(patsubst tests/%/Makefile,$(O)/tests/%,$(wildcard tests/targets/*/Makefile))
.PHONY: $(families)
targets: $(targets) $(families)
$(families): $(O)/tests/%:
	$(call say,TARGETS,$@)
	$(Q)$(MAKE) --no-print-directory -C tests/$* O=$(abspath $@)
$(O)/tests/targets/tokio: $(O)/tests/targets/allocators

# What follows installs first, and then starts make again, because what this one learnt of
# libraries was before the installation.
again = $(Q)$(MAKE) --no-print-directory
test:	## everything: installs what is missing, builds, runs every test; under fifteen minutes
	$(Q)tests/deps build test kernels
	$(again) $(if $(filter -j%,$(MAKEFLAGS)),,-j$$(nproc)) test-programs
	$(Q)tests/run -O $(O) $(if $(SAN),-s) all

test-kernels:	## boot Debian kernels in QEMU and run the guest test in each (KERNELS="6.1-cloud …")
	$(Q)tests/deps build kernels
	$(again) -j$$(nproc) all $(guest_bin) $(targets)
	$(Q)tests/kernels/matrix

test-clang:	## the guest test with what other clangs make of the BPF side, on Linux 6.1 (CLANGS="clang-19"); ten minutes each
	$(Q)tests/deps build kernels clang
	$(again) $(addprefix test-with-,$(or $(CLANGS),clang-16 clang-19))
test-with-%:
	$(again) -j$$(nproc) O=$(O)/$* CLANG=$* all $(patsubst $(O)/%,$(O)/$*/%,$(guest_bin) $(targets))
	$(Q)DHATD_BUILD=$(O)/$* KERNELS="$(or $(KERNELS),6.1-cloud)" tests/kernels/matrix

test-pressure:	## triggers of control groups of version 2 and of PSI, in QEMU, where memory runs out; some minutes
	$(Q)tests/deps build kernels
	$(again) -j$$(nproc) all $(O)/tests/targets/waves
	$(Q)tests/kernels/pressure $(O)

test-emulation:	## instructions as the kernel side executes them beside the processor: a million inputs for each form; a minute
	$(Q)tests/deps build test
	$(again) -j$$(nproc) $(O)/tests/unit/daemon/object/x86_64/test_emulation
	$(Q)EMULATION_INPUTS=1000000 $(O)/tests/unit/daemon/object/x86_64/test_emulation

test-sites:	## result sites beside the processor (SITES_CALLS=100000 in each setting, all allocators), and beside entry and return (SITES_EVENTS=10000000); half an hour
	$(Q)tests/deps build test
	$(again) -j$$(nproc) all targets $(O)/tests/judge/result_judge $(site_bin)
	$(Q)$(PYTHON) tests/sites/run -O $(O) --calls $(or $(SITES_CALLS),100000) --events $(or $(SITES_EVENTS),10000000)

test-image:	## the container's image, built by buildah and run with what the DaemonSet allows it; some minutes
	$(Q)tests/deps build distros image
	$(again) -j$$(nproc) $(O)/tests/targets/waves
	$(Q)tests/distros/image $(O)

test-kill:	## kill dhatd at random moments, KILLS=1000 times: what is left in the target?
	$(Q)tests/deps build test
	$(again) -j$$(nproc) all $(O)/tests/targets/pairs
	$(Q)$(PYTHON) tests/e2e/kills.py -O $(O) --kills $(or $(KILLS),1000)

test-prometheus:	## a real Prometheus scrapes a host: figures, alerts that fire and end, restarts; a minute
	$(Q)tests/deps build test
	$(again) -j$$(nproc) all $(O)/tests/targets/waves
	$(Q)cd tests/e2e && DHATD_BUILD=$(abspath $(O)) $(PYTHON) -m pytest -q -p no:cacheprovider prometheus.py

test-service:	## the units under a real systemd, in namespaces of its own: start, watchdog, reload, sockets; a minute
	$(Q)tests/deps build test
	$(again) -j$$(nproc) all completions $(O)/tests/targets/waves
	$(Q)rm -rf $(O)/installed
	$(again) install PREFIX=/usr/local DESTDIR=$(abspath $(O))/installed
	$(Q)cd tests/e2e && DHATD_BUILD=$(abspath $(O)) $(PYTHON) -m pytest -q -p no:cacheprovider booted.py

soak:	## dhatd as a service, SOAK_TARGETS=64 processes that come and go, SOAK_SECONDS=3600: flat, no loss, triggers once
	$(Q)tests/deps build test
	$(again) -j$$(nproc) all $(O)/tests/targets/waves
	$(Q)$(PYTHON) tests/soak.py -O $(O) --seconds $(or $(SOAK_SECONDS),3600) --targets $(or $(SOAK_TARGETS),64)

test-holders:	## what dhatctl holds, LeakSanitizer and memcheck say of the same blocks, in a table; two minutes
	$(Q)tests/deps build test
	$(again) -j$$(nproc) all $(targets) $(O)/tests/targets/tokio
	$(Q)$(PYTHON) tests/holders.py -O $(O)

test-healthy:	## redis, memcached, nginx, postgres and python under load, HEALTHY_SECONDS=60 each: is a block ever called lost?
	$(Q)tests/deps build test
	$(again) -j$$(nproc) all $(O)/tests/targets/interrupted
	$(Q)DHATD_BUILD=$(abspath $(O)) DHATD_SCANS=100 $(PYTHON) -m pytest -q -p no:cacheprovider tests/e2e/test_holds.py -k interrupted
	$(Q)$(PYTHON) tests/healthy.py -O $(O) --seconds $(or $(HEALTHY_SECONDS),60)

test-strangers:	## fetch production programs (npm, Debian), profile and judge them (STRANGERS="biome …")
	$(Q)tests/deps build strangers
	$(again) -j$$(nproc) all
	$(Q)$(PYTHON) tests/strangers/run -O $(O) $(STRANGERS)

test-readers:	## fetch programs that read our files (npm: speedscope), and have our sums shown by them
	$(Q)tests/deps build test readers
	$(again) -j$$(nproc) all $(O)/tests/targets/stacks_cxx
	$(Q)DHATD_BUILD=$(abspath $(O)) $(PYTHON) -m pytest -q -p no:cacheprovider tests/readers

test-distros:	## build and test in Debian 13 and sid (SUITES="trixie sid"), in systems that are kept in /var/cache
	$(Q)tests/deps distros
	$(Q)tests/distros/run $(or $(SUITES),trixie sid)

test-packages:	## build packages in Debian 12 and 13; install, upgrade, purge them in systems that have nothing else
	$(Q)tests/deps distros
	$(Q)tests/distros/packages $(or $(SUITES),bookworm trixie)

fuzz:	## each parser's fuzz target, FUZZ_SECONDS=60 each
	$(Q)tests/deps build test
	$(again) -j$$(nproc) $(fuzz_bin)
	$(Q)tests/run -O $(O) -f $(or $(FUZZ_SECONDS),60) fuzz

stacks:	## the share of complete stacks, per program
	$(Q)tests/deps build test
	$(again) -j$$(nproc) test-programs
	$(Q)$(PYTHON) tests/e2e/stacks.py -O $(O)

bench:	## what watching costs: by pattern, depth, allocator and service, beside other tools; $(O)/bench.json, bench.svg
	$(Q)tests/deps build targets bench
	$(again) -j$$(nproc) all $(bench_bin) $(targets) $(O)/tests/targets/tokio
	$(Q)$(PYTHON) tests/bench/run.py -O $(O) --json $(O)/bench.json --svg $(O)/bench.svg $(BENCH)

bench-check:	## are its ratios worse than those of a baseline? BASELINE=file; one that is not there is written
	$(Q)tests/deps build targets bench
	$(again) -j$$(nproc) all $(bench_bin) $(targets)
	$(Q)$(PYTHON) tests/bench/run.py -O $(O) --rounds 5 --ms 200 --check $(or $(BASELINE),tests/bench/baseline.json) \
		$(or $(BENCH),pairs frames kinds)

demo:	## a leaking service under load, attached to while it runs: from nothing to leak.json
	$(Q)tests/deps build
	$(again) -j$$(nproc) all $(O)/tests/targets/demo_service
	$(Q)tests/demo $(O)

exports:	## tests/exports: what the allocators of Debian 12, testing and unstable export (needs the network)
	$(Q)tests/exports/fetch
	$(again) $(O)/tests/unit/daemon/object/sites/test_allocators
	$(Q)DHAT_GOLDEN=write $(O)/tests/unit/daemon/object/sites/test_allocators

deps:	## install the Debian packages that building needs
	$(Q)tests/deps build

deps-test:	## install also what tests, benchmarks and lint need: 400, with Chromium, QEMU and servers
	$(Q)tests/deps build test kernels bench lint

# ---- looking after the source ---------------------------------------------------------------

c_files = $(shell git ls-files '*.c' '*.h' '*.cc')
tidy_files = $(filter daemon/%.c cli/%.c proto/%.c,$(c_files))
shell_files = $(shell git grep -lE '^\#!/bin/(ba)?sh' -- . ':!*.md')
.PHONY: lint-c
lint-c: $(patsubst %,$(O)/lint/%.ok,$(foreach folder,proto daemon cli,$(call sources,$(folder))))
$(O)/lint/%.c.ok: %.c $(O)/.flags .clang-tidy | $(pb:=.h) $(bpf_skel)
	$(call say,TIDY,$<)
	$(Q)mkdir -p $(@D)
	$(Q)clang-tidy --quiet $< -- $(filter-out -fsanitize=% --coverage -MD -MP,$(all_cflags)) -Wno-unknown-warning-option 2>/dev/null
	$(Q)touch $@
# cppcheck does not know the cleanup attribute (memleak), libbpf's macros (unknownMacro), and stumbles
# over nested macros (internalAstError); uninitdata and ctuuninitvar take buffers that a callee fills for
# a mistake; identicalInnerCondition compares an index with the entry behind it
cppcheck_off := missingIncludeSystem memleak memleakOnRealloc unknownMacro internalAstError uninitdata \
	ctuuninitvar identicalInnerCondition *:$(O)/proto/wire/*
lint: lint-c	## clang-tidy, cppcheck, shellcheck, python syntax, formatting, borders of folders
	$(Q)tests/layers
	$(Q)cppcheck --quiet --error-exitcode=1 --inline-suppr --std=c11 --enable=warning,performance,portability \
		$(addprefix --suppress=,$(cppcheck_off)) -j2 -I. -I$(O) -D__x86_64__ -D_GNU_SOURCE daemon cli proto
	$(Q)shellcheck -S warning $(shell_files)
	$(Q)$(PYTHON) -m compileall -q tests
	$(Q)clang-format --dry-run -Werror $(c_files)

format:	## clang-format, in place
	$(Q)clang-format -i $(c_files)

# ---- installation ---------------------------------------------------------------------------

# for bash and zsh, from what the programs say of themselves
completions := $(foreach program,dhatd dhatctl,$(O)/completions/bash/$(program) $(O)/completions/zsh/_$(program))
.PHONY: completions
completions: $(completions)
$(O)/completions/bash/%: $(O)/% $(wildcard daemon/package/completion*)
	$(call say,COMPLETE,$@)
	$(Q)mkdir -p $(@D) && daemon/package/completions bash $< >$@
$(O)/completions/zsh/_%: $(O)/% $(wildcard daemon/package/completion*)
	$(call say,COMPLETE,$@)
	$(Q)mkdir -p $(@D) && daemon/package/completions zsh $< >$@

BASH_COMPLETIONS ?= $(PREFIX)/share/bash-completion/completions
ZSH_COMPLETIONS ?= $(PREFIX)/share/zsh/site-functions
UNITS ?= $(PREFIX)/lib/systemd/system
# what is installed from where, but the programs
installed := daemon/dhatd.8:$(PREFIX)/share/man/man8/dhatd.8 cli/dhatctl.1:$(PREFIX)/share/man/man1/dhatctl.1 \
	$(foreach program,dhatd dhatctl,$(O)/completions/bash/$(program):$(BASH_COMPLETIONS)/$(program) \
	$(O)/completions/zsh/_$(program):$(ZSH_COMPLETIONS)/_$(program)) \
	$(foreach unit,dhatd.service dhatd.socket,daemon/share/systemd/$(unit):$(UNITS)/$(unit)) \
	$(foreach file,listen.conf push.conf,daemon/share/systemd/$(file):$(PREFIX)/share/dhatd/systemd/$(file)) \
	$(foreach file,$(wildcard daemon/share/prometheus/*.yml daemon/share/grafana/*.json), \
	$(file):$(PREFIX)/share/dhatd/$(file:daemon/share/%=%))
install: all completions	## into PREFIX=/usr/local below DESTDIR
	$(Q)install -D -m 755 $(O)/dhatd $(DESTDIR)$(PREFIX)/sbin/dhatd
	$(Q)install -D -m 755 $(O)/dhatctl $(DESTDIR)$(PREFIX)/bin/dhatctl
	$(Q)$(foreach pair,$(installed),install -D -m 644 $(subst :, $(DESTDIR),$(pair)) &&) true
	$(Q)sed -i 's,/usr/local/sbin/,$(PREFIX)/sbin/,' $(DESTDIR)$(UNITS)/dhatd.service $(DESTDIR)$(PREFIX)/share/dhatd/systemd/listen.conf
	$(Q)[ -e $(DESTDIR)/etc/dhatd.conf ] || install -D -m 644 daemon/share/dhatd.conf $(DESTDIR)/etc/dhatd.conf

uninstall:	## remove what install put there, and what dhatd has kept in /var/cache
	$(Q)rm -f $(DESTDIR)$(PREFIX)/sbin/dhatd $(DESTDIR)$(PREFIX)/bin/dhatctl \
		$(foreach pair,$(installed),$(DESTDIR)$(lastword $(subst :, ,$(pair))))
	$(Q)rm -rf $(DESTDIR)$(PREFIX)/share/dhatd $(DESTDIR)/var/cache/dhatd

REVISION ?= 1
deb:	## Debian packages of this source, into build/deb, judged by lintian
	$(Q)tests/deps build package
	$(Q)daemon/package/deb $(O)/deb $(VERSION) $(REVISION)
	$(Q)lintian --fail-on error,warning,info --info --color auto $(if $(filter 0,$(shell id -u)),--allow-root) $(O)/deb/*.changes

clean:	## remove what was built
	$(Q)rm -rf $(O)

help:	## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1:\2/p' Makefile | sort | awk -F: '{ n = $$1; sub(/^[^:]*:/, ""); \
		printf "  make %-14s %s\n", n, $$0 }'
	@echo '  V=1 shows the commands; O=dir builds elsewhere; DEBUG=1 SAN=1 COVERAGE=1 WERROR=1 change the flags;'
	@echo '  CC CXX CLANG CFLAGS CPPFLAGS LDFLAGS are yours, and nothing that is needed is lost by them'

.PHONY: all deb deps deps-test exports demo test test-kernels test-kill test-emulation test-sites test-pressure test-image soak test-holders test-healthy test-service test-prometheus test-strangers test-readers test-distros test-packages check bench bench-check fuzz stacks lint format install uninstall clean help

# a source that is gone, and still in a dependency file, is no reason to stop
bpf/%.c cli/%.c daemon/%.c proto/%.c tests/%.c tests/%.cc: ;
-include $(wildcard $(foreach depth,* */* */*/* */*/*/* */*/*/*/* */*/*/*/*/*,$(O)/$(depth).d $(O)/fuzz/$(depth).d))
