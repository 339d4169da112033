# drover: one Makefile for everything. `make help` lists the targets.
#
# Every folder of src/ is one archive, so a folder builds and tests without those above it. MODE
# picks the build: dev (gcc), clang, asan (ASan+UBSan), tsan, fuzz (clang, libFuzzer).

MODE    ?= dev
B       := build/$(MODE)
VERSION := 0.1.0

FOLDERS := util rpc priv objects services virt scheduler_hints agent

# What is done is one short line each; V=1 shows the commands.
ifeq ($(V),)
Q    = @
say  = @echo "  $(1)" $(patsubst $(B)/%,%,$@)
else
Q    =
say  =
endif

# Who may link whom: the include graph of docs/architecture.md, most dependent first.
DEPS_util            :=
DEPS_rpc             := util
DEPS_priv            := util
DEPS_objects         := util
DEPS_services        := rpc objects util
DEPS_virt            := priv util
DEPS_scheduler_hints := services virt priv rpc objects util
DEPS_agent           := scheduler_hints services virt priv rpc objects util

PKGS      := glib-2.0 jansson librabbitmq libcurl libvirt libvirt-qemu libxml-2.0 libmicrohttpd uuid \
              libcrypto
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null | sed 's/-I/-isystem /g')
PKG_LIBS   := $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lpthread -lm

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wwrite-strings -Wvla \
        -Wformat=2 -Wundef -Werror
HARDEN := -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIE
SAN_FLAGS := -O1 -fno-omit-frame-pointer

CC_dev   := gcc
CC_clang := clang
CC_asan  := gcc
CC_tsan  := clang
CC_fuzz  := clang
OPT_dev   := -O2 $(HARDEN)
OPT_clang := -O2 $(HARDEN) -Wthread-safety
OPT_asan  := $(SAN_FLAGS) -fsanitize=address,undefined -fno-sanitize-recover=undefined
OPT_tsan  := $(SAN_FLAGS) -fsanitize=thread
OPT_fuzz  := $(SAN_FLAGS) -fsanitize=fuzzer-no-link,address,undefined

CC      := $(CC_$(MODE))
CFLAGS  += -std=gnu17 -g $(OPT_$(MODE)) $(WARN)
CPPFLAGS += -D_GNU_SOURCE -DDROVER_VERSION='"$(VERSION)"' -Isrc -include src/util/banned.h $(PKG_CFLAGS)
LDFLAGS += $(filter -fsanitize=%,$(OPT_$(MODE))) -Wl,--as-needed -Wl,-z,relro,-z,now
ifeq ($(MODE),dev)
LDFLAGS += -pie
endif

MAIN_SRC := src/agent/main.c
lib_src = $(filter-out $(MAIN_SRC),$(shell find src/$(1) -name '*.c' 2>/dev/null | sort))
obj     = $(patsubst %.c,$(B)/%.o,$(1))
libs    = $(patsubst %,$(B)/lib%.a,$(1) $(DEPS_$(1)))

UNIT_SRC   := $(shell find tests/unit -name 'test_*.c' 2>/dev/null | sort)
FLOW_SRC   := $(shell find tests/flow -name 'test_*.c' 2>/dev/null | sort)
VIRT_SRC   := $(shell find tests/virt -name 'test_*.c' 2>/dev/null | sort)
WIRE_SRC   := $(shell find tests/wire -name 'test_*.c' 2>/dev/null | sort)
FUZZ_SRC   := $(shell find tests/fuzz -name 'fuzz_*.c' 2>/dev/null | sort)
FAKES_SRC  := $(shell find tests/fakes -name '*.c' 2>/dev/null | sort)
INTEROP_SRC := $(shell find tests/interop -name '*.c' 2>/dev/null | sort)
test_bins   = $(patsubst tests/%.c,$(B)/tests/%,$(1))

# Fakes that the unit tests of a folder link (the others serve flow and wire tests).
UNIT_FAKES_services := tests/fakes/http_server.c tests/fakes/keystone.c

# Modules whose tests run under TSan: those that start or serve threads.
TSAN_TESTS := $(filter tests/unit/util/% tests/unit/rpc/% tests/unit/agent/% tests/unit/services/% \
              tests/unit/scheduler_hints/%,$(UNIT_SRC))

.PHONY: all help deps check check-all unit asan tsan wire flow virt interop fuzz lint tidy format demo bench bench-moves \
        install clean docs sample $(patsubst %,unit-%,$(FOLDERS)) \
        $(patsubst %,asan-%,$(FOLDERS)) $(patsubst %,tsan-%,$(FOLDERS))

all: $(B)/drover

help:
	@sed -n 's/^#: //p' $(MAKEFILE_LIST)

#: all          build build/dev/drover
$(B)/drover: $(call obj,$(MAIN_SRC)) $(call libs,agent)
	$(call say,LD)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(PKG_LIBS)

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

define folder_rules
$(B)/lib$(1).a: $(call obj,$(call lib_src,$(1)))
	@mkdir -p $$(@D)
	@rm -f $$@
	$$(call say,AR)
	$$(Q)ar rcsD $$@ $$^
$(B)/tests/unit/$(1)/%: tests/unit/$(1)/%.c $(call obj,$(UNIT_FAKES_$(1))) $(call libs,$(1))
	@mkdir -p $$(@D)
	$$(call say,LD)
	$$(Q)$$(CC) $$(CPPFLAGS) -Itests $$(CFLAGS) -MMD -MP -o $$@ $$< $$(LDFLAGS) \
	    $(call obj,$(UNIT_FAKES_$(1))) $(call libs,$(1)) $$(PKG_LIBS) -lcmocka
unit-$(1): $(call test_bins,$(filter tests/unit/$(1)/%,$(UNIT_SRC)))
	@tests/run $$^
asan-$(1) tsan-$(1): %-$(1):
	@$$(MAKE) --no-print-directory MODE=$$* unit-$(1)
endef
$(foreach f,$(FOLDERS),$(eval $(call folder_rules,$(f))))

$(B)/tests/fakes/%.o: CPPFLAGS += -Itests
$(B)/libfakes.a: $(call obj,$(FAKES_SRC))
	@rm -f $@
	$(call say,AR)
	$(Q)ar rcsD $@ $^

$(B)/tests/flow/% $(B)/tests/wire/% $(B)/tests/virt/% $(B)/tests/interop/%: CPPFLAGS += -Itests
$(B)/tests/flow/%: tests/flow/%.c $(B)/libfakes.a $(call libs,agent)
	@mkdir -p $(@D)
	$(call say,LD)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -o $@ $< $(LDFLAGS) $(B)/libfakes.a $(call libs,agent) $(PKG_LIBS) -lcmocka
$(B)/tests/wire/%: tests/wire/%.c $(B)/libfakes.a $(call libs,agent)
	@mkdir -p $(@D)
	$(call say,LD)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -o $@ $< $(LDFLAGS) $(B)/libfakes.a $(call libs,agent) $(PKG_LIBS) -lcmocka
$(B)/tests/virt/%: tests/virt/%.c $(call libs,virt)
	@mkdir -p $(@D)
	$(call say,LD)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -o $@ $< $(LDFLAGS) $(call libs,virt) $(PKG_LIBS) -lcmocka
$(B)/tests/interop/%: tests/interop/%.c $(call libs,services)
	@mkdir -p $(@D)
	$(call say,LD)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -o $@ $< $(LDFLAGS) $(call libs,services) $(PKG_LIBS)
$(B)/tests/fuzz/%: tests/fuzz/%.c $(call libs,agent)
	@mkdir -p $(@D)
	$(call say,LD)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -fsanitize=fuzzer -MMD -MP -o $@ $< $(LDFLAGS) -fsanitize=fuzzer $(call libs,agent) $(PKG_LIBS)

#: deps         install what building and testing need (Debian, as root)
deps:
	devstack/deps build

#: unit         unit tests; unit-<folder> for one folder
unit: $(call test_bins,$(UNIT_SRC))
	@tests/run $^
#: asan         unit tests under ASan and UBSan; asan-<folder> for one folder
asan:
	@$(MAKE) --no-print-directory MODE=asan unit
#: tsan         unit tests of the threaded modules under TSan
tsan:
	@$(MAKE) --no-print-directory MODE=tsan tsan-run
tsan-run: $(call test_bins,$(TSAN_TESTS))
	@tests/run $^
#: wire         replays of captured conversations
wire: $(call test_bins,$(WIRE_SRC))
	@tests/run $^
#: flow         whole operations on the fake driver
flow: $(call test_bins,$(FLOW_SRC))
	@TEST_TIMEOUT=600 TEST_JOBS=4 tests/run $^
#: virt         the hypervisor driver on real QEMU guests and a libvirtd of its own (as root)
virt: $(call test_bins,$(VIRT_SRC))
	@tests/virt/run $^
#: interop      against oslo.messaging on a real RabbitMQ, and nova's own conductor and metadata code
interop: $(call test_bins,$(INTEROP_SRC))
	@bad=0; for part in metadata notifications objects run; do tests/interop/$$part $(B) || bad=1; done; exit $$bad
#: fuzz         each libFuzzer target for FUZZ_SECONDS (default 20)
FUZZ_SECONDS ?= 20
fuzz:
	@$(MAKE) --no-print-directory MODE=fuzz fuzz-run
fuzz-run: $(call test_bins,$(FUZZ_SRC))
	@tests/fuzz/run $(FUZZ_SECONDS) $^

#: lint         include graph, confined headers, formatting, shellcheck
lint:
	@tests/lint/run
#: tidy         clang-tidy over src with the checks of .clang-tidy (slow; TIDY=files for some)
TIDY ?= $(shell find src -name '*.c' | sort)
tidy:
	@tests/lint/tidy $(TIDY) -- $(CPPFLAGS) -std=gnu17
#: format       clang-format over src and tests
format:
	clang-format -i $(shell find src tests -name '*.[ch]')

#: check        everything that CI runs; ends with 'N passed, N failed'
check:
	@tests/check
#: check-all    check and the slow matrix
check-all:
	@tests/check --all

#: demo         boot a guest on a cloud of two hosts with drover as its only agent, and migrate it live
demo:
	devstack/deps build
	$(MAKE) all
	devstack/demo
#: bench        figures against nova-compute, into docs/benchmarks.md and build/bench.json
bench: all $(B)/bench/rpc_load
	bench/run --docs $(BENCH_ARGS)
#: bench-moves  moves between the two hosts of a cloud (devstack/cloud up --hosts 2), into build/bench-moves.json
bench-moves: all
	bench/moves --docs $(BENCH_ARGS)
$(B)/bench/%: bench/%.c $(call libs,rpc)
	@mkdir -p $(@D)
	$(call say,LD)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -o $@ $< $(LDFLAGS) $(call libs,rpc) $(PKG_LIBS)

#: sample       regenerate etc/drover.conf.sample from the option table
sample: all
	$(B)/drover --sample-config > etc/drover.conf.sample

prefix ?= /usr
#: install      install under $(DESTDIR)$(prefix)
install: all
	install -D -m 755 $(B)/drover $(DESTDIR)$(prefix)/bin/drover
	ln -sf drover $(DESTDIR)$(prefix)/bin/drover-nova-compute
	install -D -m 644 etc/drover.service $(DESTDIR)/lib/systemd/system/drover.service
	install -D -m 644 etc/drover.conf.sample $(DESTDIR)$(prefix)/share/doc/drover/drover.conf.sample
	install -D -m 644 docs/drover.8 $(DESTDIR)$(prefix)/share/man/man8/drover.8

#: clean        remove build/
clean:
	rm -rf build

.PRECIOUS: $(B)/%.o
-include $(shell find $(B) -name '*.d' 2>/dev/null)
