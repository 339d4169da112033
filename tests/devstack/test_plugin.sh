#!/usr/bin/env bash
# Runs the phases of devstack/plugin.sh as stack.sh, unstack.sh and clean.sh do, against DevStack functions that record
# how they were called; prints `N passed, N failed`.
#
#   tests/devstack/test_plugin.sh [PLUGIN_FOLDER]      (default: devstack/ of this checkout)
#
# The stubs keep to what DevStack promises (doc/source/plugins.rst, functions-common and lib/nova of Zed to 2026.1):
# is_service_enabled with several names means any of them, run_process writes a unit file and starts it, die ends the
# shell, everything runs under errexit. The "machine" is a folder; sudo acts on that folder alone.
set -u
here=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
plugin=$(readlink -f "${1:-$here/devstack}")
box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
passed=0 failed=0
calls=$box/calls out=$box/out

check() { # WHAT COMMAND...
    local what=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $what"
        sed 's/^/  | /' "$calls" "$out" 2> /dev/null | tail -n 30
    fi
}

# In a condition bash switches errexit off for all that is called: scripts run before their check.
ends_well() { # WHAT COMMAND...
    "${@:2}"
    check "$1" [ $? -eq 0 ]
}
ends_badly() { # WHAT COMMAND...
    "${@:2}"
    check "$1" [ $? -ne 0 ]
}

called() { grep -qxF -- "$1" "$calls"; }
not_called() { ! grep -qE -- "$1" "$calls"; }
count_is() { [ "$(grep -cE -- "$2" "$calls")" -eq "$1" ]; }
same() { [ "$1" = "$2" ] || { echo "  want: $1"; echo "  have: $2"; false; }; }
said() { grep -qF -- "$1" "$out"; }
lacks() { [ ! -e "$1" ]; }
in_order() { # PATTERN...: each first occurs after the one before it
    local pattern last=0 at
    for pattern in "$@"; do
        at=$(grep -nE -- "$pattern" "$calls" | head -n 1 | cut -d: -f1)
        [ -n "$at" ] && [ "$at" -gt "$last" ] || { echo "  out of order: $pattern"; return 1; }
        last=$at
    done
}

# ---- a machine with a checkout of drover, whose build takes no time ----

new_box() {
    rm -rf "${box:?}"/*
    mkdir -p "$box"/{dest/drover/src/agent,etc/nova,systemd,data/nova/instances/i1,bin}
    cp -r "$plugin" "$box/dest/drover/devstack"
    cp "$here/src/agent/methods.c" "$box/dest/drover/src/agent/"
    # The program refuses a file with the word `wrong`, as drover does with a wrong value.
    cat > "$box/dest/drover/fake-drover" << 'P'
#!/bin/sh
[ "$3" = --check-config ] && ! grep -q wrong "$2"
P
    printf 'all:\n\t@mkdir -p build/dev\n\t@install -m 755 fake-drover build/dev/drover\n\t@echo "make all WARN=$(WARN)" >> %s\n' \
        "$calls" > "$box/dest/drover/Makefile"
    echo '[DEFAULT]' > "$box/etc/nova/nova.conf"
    echo disk > "$box/data/nova/instances/i1/disk.info"
    : > "$calls"
    : > "$out"
}

# What stack.sh has in its shell when it comes to plugins.
devstack_functions() {
    DEST=$box/dest DATA_DIR=$box/data STACK_USER=nobody SYSTEMD_DIR=$box/systemd
    DROVER_BIN=$box/bin/drover LIBVIRT_GROUP=libvirt VIRT_DRIVER=${VIRT_DRIVER:-libvirt}
    NOVA_STATE_PATH=$DATA_DIR/nova NOVA_BIN_DIR=/opt/stack/data/venv/bin
    NOVA_CONF=$box/etc/nova/nova.conf NOVA_CPU_CONF=$box/etc/nova/nova-cpu.conf TEMPEST_CONFIG=$box/etc/tempest.conf
    ENABLED_SERVICES=${ENABLED_SERVICES:-n-api,n-cpu,n-cond,tempest} DISABLED_SERVICES=${DISABLED_SERVICES:-}

    record() { echo "$*" >> "$calls"; }
    define_plugin() { :; }
    echo_summary() { record "echo_summary $*"; }
    is_ubuntu() { [ "${DISTRO:-bookworm}" != rhel9 ]; }
    install_package() { record "install_package $*"; }
    iniset() { record "iniset $*"; }
    die() {
        echo "die: ${*:2}"
        exit 1
    }
    enable_service() {
        [[ ,$DISABLED_SERVICES, =~ ,$1, ]] || is_service_enabled "$1" || ENABLED_SERVICES+=,$1
    }
    is_service_enabled() {
        local service
        for service in "$@"; do
            [[ ,$ENABLED_SERVICES, =~ ,$service, ]] && return 0
        done
        return 1
    }
    run_process() { # SERVICE COMMAND GROUP USER ENV
        record "run_process $1|$2|${3:-}|${4:-}|${5:-}"
        is_service_enabled "$1" || return 0
        printf 'ExecStart=%s\nGroup=%s\nUser=%s\n' "$2" "${3:-}" "${4:-$STACK_USER}" > "$SYSTEMD_DIR/devstack@$1.service"
        : > "$SYSTEMD_DIR/running-$1"
    }
    stop_process() {
        record "stop_process $1"
        rm -f "$SYSTEMD_DIR/running-$1"
    }
    systemctl() {
        local unit=${*: -1}
        case $1 in
        show) cat "$SYSTEMD_DIR/$unit" ;;
        is-active) unit=${unit#devstack@} && [ -e "$SYSTEMD_DIR/running-${unit%.service}" ] ;;
        daemon-reload) : ;;
        *) return 1 ;;
        esac
    }
    sudo() { # a command that names no file of the box would act on the real machine
        record "sudo $*"
        case "$*" in
        *"$box"* | systemctl\ *) "$@" ;;
        *) die 0 "sudo outside of the test's folder: $*" ;;
        esac
    }
    start_nova_compute() {
        cp "$NOVA_CONF" "$NOVA_CPU_CONF"
        run_process n-cpu "$NOVA_BIN_DIR/nova-compute --config-file $NOVA_CPU_CONF" $LIBVIRT_GROUP
    }
}

plugin_phase() { # MODE [PHASE]
    # shellcheck source=devstack/plugin.sh
    source "$DEST/drover/devstack/plugin.sh" "$@"
    record "-- $*"
}

# Both run in a shell of their own, as the scripts do.
stack() ( # [UP_TO_PHASE]
    set -e
    devstack_functions
    # shellcheck source=devstack/settings
    source "$DEST/drover/devstack/settings"
    plugin_phase stack pre-install
    plugin_phase stack install
    plugin_phase stack post-config
    [ "${1:-}" != twice ] || plugin_phase stack post-config
    run_process n-sch "$NOVA_BIN_DIR/nova-scheduler --config-file $NOVA_CONF"
    start_nova_compute
    [ "${1:-}" != dies ] || rm -f "$SYSTEMD_DIR/running-n-cpu"
    plugin_phase stack extra
    plugin_phase stack test-config
) >> "$out" 2>&1

unstack() ( # [clean]
    set -e
    devstack_functions
    # shellcheck source=devstack/settings
    source "$DEST/drover/devstack/settings"
    plugin_phase unstack
    stop_process n-cpu
    [ "${1:-}" != clean ] || plugin_phase clean
) >> "$out" 2>&1

# ---- a stack ----

new_box
ends_well "a stack succeeds" stack
unit=$box/systemd/devstack@n-cpu.service
check "the phases do their work in order" in_order '^echo_summary drover: installing' '^install_package gcc ' \
    '^-- stack pre-install' '^make all' "^sudo install -D -m 755 .*/build/dev/drover $box/bin/drover" '^-- stack install' \
    '^-- stack post-config' '--check-config' '^run_process n-cpu' '^-- stack extra' '^iniset' '^-- stack test-config'
check "the build does not end on a warning" called "make all WARN=-Wall"
check "n-cpu is drover, as root, with DevStack's own file" \
    called "run_process n-cpu|$box/bin/drover --config-file $box/etc/nova/nova-cpu.conf|root|root|"
check "n-cpu is started once" count_is 1 '^run_process n-cpu\|'
check "other services are left alone" \
    called "run_process n-sch|/opt/stack/data/venv/bin/nova-scheduler --config-file $box/etc/nova/nova.conf|||"
check "the configuration is checked first" \
    called "sudo $box/bin/drover --config-file $box/etc/nova/nova-cpu.conf --check-config"
check "the binary is installed" test -x "$box/bin/drover"
check "libvirt-dev is left to DevStack" not_called '^install_package.*libvirt-dev'
check "DevStack's configuration of nova is not touched" same '[DEFAULT]' "$(cat "$box/etc/nova/nova-cpu.conf")"

# Each package is one that this project builds with itself.
for package in $(sed -n 's/^install_package //p' "$calls"); do
    check "devstack/packages/build.txt has $package" grep -qx "$package" "$here/devstack/packages/build.txt"
done
# Tempest is told what is missing, by the method table.
tempest_follows_methods() {
    local option method
    while read -r option method; do
        if grep -q "{\"$method\"," "$here/src/agent/methods.c"; then
            not_called "compute-feature-enabled $option " || return 1
        else
            called "iniset $box/etc/tempest.conf compute-feature-enabled $option False" || return 1
        fi
    done < <(sed -n '/^DROVER_TEMPEST_FEATURES=/,/^)/s/^    "\(.*\)"$/\1/p' "$plugin/plugin.sh")
}
check "tempest asks for what is there and nothing else" tempest_follows_methods
check "tempest may read consoles" not_called 'compute-feature-enabled console_output'

# ---- the same again, then away with it ----

before=$(cat "$unit")
: > "$calls"
ends_well "a second stack succeeds" stack
check "a second stack leaves the same unit" same "$before" "$(cat "$unit")"
check "a second stack starts n-cpu once" count_is 1 '^run_process n-cpu\|'

: > "$calls"
ends_well "unstack succeeds" unstack
check "unstack stops n-cpu before its files change hands" in_order '^stop_process n-cpu' "^sudo rm -f $unit" '^sudo find '
check "unstack removes the unit" lacks "$unit"
check "unstack leaves the program" test -x "$box/bin/drover"
if [ "$(id -u)" -eq 0 ]; then
    check "the stack user owns what drover made" same nobody "$(stat -c %U "$box/data/nova/instances/i1/disk.info")"
fi
ends_well "a second unstack succeeds" unstack
ends_well "clean succeeds" unstack clean
check "clean removes the program" lacks "$box/bin/drover"
check "clean removes the build" lacks "$box/dest/drover/build"
check "clean keeps the checkout" test -e "$box/dest/drover/Makefile"
ends_well "a second clean succeeds" unstack clean
ends_well "a stack after it succeeds" stack

# ---- other hosts ----

new_box
ends_well "taking over twice in one shell succeeds" stack twice
check "taking over twice starts n-cpu once, as drover" count_is 1 "^run_process n-cpu\|$box/bin/drover"

new_box
ENABLED_SERVICES=n-api,n-cond ends_well "a controller without n-cpu succeeds" stack
check "a controller builds nothing" not_called '^make|^install_package|^sudo'

new_box
DISABLED_SERVICES=drover ends_well "disable_service drover succeeds" stack
check "disable_service drover leaves nova-compute" called \
    "run_process n-cpu|/opt/stack/data/venv/bin/nova-compute --config-file $box/etc/nova/nova-cpu.conf|libvirt||"
check "disable_service drover builds nothing" not_called '^make|^install_package'

new_box
DISTRO=rhel9 ends_well "a distribution without .deb succeeds" stack
check "a distribution without .deb is told what to install" said devstack/packages/build.txt

# ---- what must end stack.sh ----

new_box
VIRT_DRIVER=fake ends_badly "another hypervisor is refused" stack
check "another hypervisor is named" said 'VIRT_DRIVER=fake needs nova-compute'
check "another hypervisor builds nothing" not_called '^make'

new_box
echo 'cpu_mode = wrong' >> "$box/etc/nova/nova.conf"
ends_badly "a wrong option ends the stack" stack
check "a wrong option is said before the start" said 'drover does not accept the configuration'
check "a wrong option starts nothing" not_called '^run_process n-cpu'

new_box
printf 'all:\n\t@false\n' > "$box/dest/drover/Makefile"
ends_badly "a failed build ends the stack" stack
check "a failed build installs nothing" lacks "$box/bin/drover"

new_box
ends_badly "an agent that ended ends the stack" stack dies
check "an agent that ended is said" said 'drover has ended: journalctl -u devstack@n-cpu'

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
