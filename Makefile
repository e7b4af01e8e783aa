# dhatd: heap profiler for running processes.   make help
MAKEFLAGS += --no-builtin-rules
O ?= build
CC ?= gcc
ifeq ($(origin CC),default)
CC := gcc
endif
CLANG ?= clang
BPFTOOL ?= $(shell command -v bpftool || echo /usr/sbin/bpftool)
VERSION := 0.1.0

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-8s %s\n' '$(1)' '$(2)')

PACKAGES := libbpf libelf libdw libprotobuf-c json-c
CFLAGS += -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -Wno-unused-parameter -g -MMD -MP -I$(O) \
	-DDHAT_VERSION='"$(VERSION)"' $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
CFLAGS += $(if $(DEBUG),-O0,-O2)
LDFLAGS += $(if $(SAN),-fsanitize=address$(comma)undefined)
comma := ,
CFLAGS += $(if $(SAN),-fsanitize=address$(comma)undefined -fno-omit-frame-pointer)
CFLAGS += $(if $(COVERAGE),--coverage)
LDFLAGS += $(if $(COVERAGE),--coverage)
LIBS := $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) -lZydis -liberty -lz -lpthread

proto_src := $(wildcard proto/*.c)
daemon_src := $(wildcard daemon/*.c)
cli_src := $(wildcard cli/*.c)
unit_src := $(wildcard tests/unit/test_*.c)

generated := $(O)/proto/dhat.pb-c.h
proto_obj := $(proto_src:%.c=$(O)/%.o) $(O)/proto/dhat.pb-c.o
daemon_obj := $(daemon_src:%.c=$(O)/%.o)
daemon_lib_obj := $(filter-out $(O)/daemon/main.o,$(daemon_obj))
cli_obj := $(cli_src:%.c=$(O)/%.o)
cli_lib_obj := $(filter-out $(O)/cli/main.o,$(cli_obj))
unit_bin := $(unit_src:tests/unit/%.c=$(O)/tests/unit/%)

all: $(if $(wildcard daemon/main.c),$(O)/dhatd) $(if $(wildcard cli/main.c),$(O)/dhatctl)

$(O)/dhatd: $(daemon_obj) $(proto_obj)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

$(O)/dhatctl: $(cli_obj) $(proto_obj)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

$(O)/proto/dhat.pb-c.c $(O)/proto/dhat.pb-c.h &: proto/dhat.proto
	$(call say,PROTOC,$<)
	$(Q)mkdir -p $(O)/proto
	$(Q)protoc-c --c_out=$(O) $<

$(O)/proto/dhat.pb-c.o: $(O)/proto/dhat.pb-c.c
	$(call say,CC,$<)
	$(Q)$(CC) $(CFLAGS) -c -o $@ $<

$(O)/%.o: %.c $(generated)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -c -o $@ $<

# BPF side: compiled for the kernel, embedded as a skeleton
$(O)/bpf/%.bpf.o: bpf/%.bpf.c
	$(call say,BPF,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) -g -O2 -target bpf -mcpu=v3 -D__bpf__ -D__TARGET_ARCH_x86 -Wall -Wextra -Werror -Wno-unused-parameter -MMD -MP -MT $@ -c -o $@ $<

$(O)/bpf/%.skel.h: $(O)/bpf/%.bpf.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name $(subst .,_,$*)_bpf > $@.tmp && mv $@.tmp $@

bpf_skel := $(patsubst bpf/%.bpf.c,$(O)/bpf/%.skel.h,$(wildcard bpf/*.bpf.c))
$(daemon_obj): | $(bpf_skel)

# unit tests: every tests/unit/test_X.c is one program, linked with all but the mains
$(O)/tests/unit/%: $(O)/tests/unit/%.o $(daemon_lib_obj) $(cli_lib_obj) $(proto_obj)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS) -lcmocka

check: $(unit_bin)
	$(Q)for t in $(unit_bin); do $$t || exit 1; done

clean:
	$(Q)rm -rf $(O)

.PHONY: all check clean
.SECONDARY:
-include $(shell find $(O) -name '*.d' 2>/dev/null)
