#!/bin/bash
# The DevStack plugin: runs drover where a stock DevStack runs nova-compute.
#
#   [[local|localrc]]
#   enable_plugin drover <url of this repository> [branch]
#
# DevStack sources this file as `plugin.sh MODE [PHASE]`, in the shell of stack.sh (errexit), once for each phase, then
# again for unstack.sh and clean.sh. lib/nova goes on to do all of nova's configuration, nova-cpu.conf included, and starts
# the service n-cpu by run_process, in all branches since Zed with the same words:
#
#   run_process n-cpu "$NOVA_BIN_DIR/nova-compute --config-file $NOVA_CPU_CONF" $LIBVIRT_GROUP
#
# We put ourselves in front of run_process and exchange program and user in that one call. So devstack@n-cpu is
# still the unit to look at, wait_for_compute and discover_hosts work as ever, and nothing of lib/nova is repeated here.

# ---- what the phases do ----

function drover_check_host {
    if [[ "${VIRT_DRIVER:-libvirt}" != libvirt ]]; then
        die $LINENO "drover drives libvirt: VIRT_DRIVER=$VIRT_DRIVER needs nova-compute (disable_service drover)"
    fi
}

function drover_install_packages {
    if is_ubuntu; then # in DevStack's words: anything with .deb packages
        # shellcheck disable=SC2086  # a list of words
        install_package $DROVER_BUILD_PACKAGES
    else
        echo "drover: no package list for this distribution: its build needs what devstack/packages/build.txt names"
    fi
}

function drover_build {
    # shellcheck disable=SC2086  # a list of words
    make -C "$DROVER_DIR" -j"$(nproc)" $DROVER_MAKE_FLAGS all
    sudo install -D -m 755 "$DROVER_DIR/build/dev/drover" "$DROVER_BIN"
}

# A wrong option ends stack.sh here and says where it is, rather than NOVA_READY_TIMEOUT seconds later.
function drover_check_config { # OPTIONS, as one word
    # shellcheck disable=SC2086  # a list of words
    if ! sudo "$DROVER_BIN" $1 --check-config > /dev/null; then
        die $LINENO "drover does not accept the configuration: $DROVER_BIN $1 --check-config"
    fi
}

# From here on the n-cpu service is drover. The original stays reachable for every other service.
function drover_take_over_n_cpu {
    if declare -F drover_original_run_process > /dev/null; then
        return 0
    fi
    eval "drover_original_$(declare -f run_process)"
    function run_process {
        if [[ "$1" == n-cpu && "$2" == */nova-compute\ * ]]; then
            local options="${2#* }"
            drover_check_config "$options"
            # root: it writes the disks that QEMU's user reads, and plugs networks, without nova's rootwrap.
            drover_original_run_process n-cpu "$DROVER_BIN $options" root root "${5:-}"
        else
            drover_original_run_process "$@"
        fi
    }
}

function drover_check_running {
    local program
    program=$(sudo systemctl show -p ExecStart devstack@n-cpu.service)
    if [[ "$program" != *"$DROVER_BIN"* ]]; then
        die $LINENO "devstack@n-cpu does not run drover but: $program"
    fi
    if ! sudo systemctl is-active --quiet devstack@n-cpu.service; then
        die $LINENO "drover has ended: journalctl -u devstack@n-cpu"
    fi
}

# Tempest must not ask for what drover does not do yet. The method table of the checkout knows; options that DevStack
# or the operator has switched off stay off.
DROVER_TEMPEST_FEATURES=(
    # option                                  RPC method that it needs
    "resize                                   prep_resize"
    "cold_migration                           prep_resize"
    "live_migration                           live_migration"
    "block_migration_for_live_migration       live_migration"
    "live_migrate_back_and_forth              live_migration"
    "pause                                    pause_instance"
    "suspend                                  suspend_instance"
    "shelve                                   shelve_instance"
    "shelve_migrate                           shelve_instance"
    "snapshot                                 snapshot_instance"
    "rescue                                   rescue_instance"
    "stable_rescue                            rescue_instance"
    "change_password                          set_admin_password"
    "interface_attach                         attach_interface"
    "attach_encrypted_volume                  attach_volume"
    "volume_multiattach                       attach_volume"
    "swap_volume                              swap_volume"
    "console_output                           get_console_output"
    "vnc_console                              get_vnc_console"
    "spice_console                            get_spice_console"
    "serial_console                           get_serial_console"
)

function drover_configure_tempest {
    local row option method
    for row in "${DROVER_TEMPEST_FEATURES[@]}"; do
        read -r option method <<< "$row"
        if ! grep -q "{\"$method\"," "$DROVER_DIR/src/agent/methods.c"; then
            iniset "$TEMPEST_CONFIG" compute-feature-enabled "$option" False
        fi
    done
}

function drover_stop {
    stop_process n-cpu
    # The unit names root and drover: the next nova-compute writes its own.
    sudo rm -f "${SYSTEMD_DIR:-/etc/systemd/system}/devstack@n-cpu.service"
    sudo systemctl daemon-reload
    # What drover made belongs to root; DevStack's nova-compute runs as $STACK_USER. Disks of running guests are QEMU's.
    if [[ -d "$NOVA_STATE_PATH" ]]; then
        sudo find "$NOVA_STATE_PATH" -xdev -user root -exec chown -h "$STACK_USER" {} +
    fi
}

function drover_clean {
    sudo rm -f "$DROVER_BIN"
    rm -rf "${DROVER_DIR:?}/build"
}

# ---- DevStack's entry ----

# Two calls: is_service_enabled with two names asks whether any of them is. Where n-cpu is off, as on a controller, there
# is nothing to do.
if is_service_enabled drover && is_service_enabled n-cpu; then
    case "$1 ${2:-}" in
    "stack pre-install")
        echo_summary "drover: installing what its build needs"
        drover_check_host
        drover_install_packages
        ;;
    "stack install")
        echo_summary "drover: building"
        drover_build
        ;;
    "stack post-config")
        echo_summary "drover: taking over n-cpu"
        drover_take_over_n_cpu
        ;;
    "stack extra")
        drover_check_running
        ;;
    "stack test-config")
        if is_service_enabled tempest; then
            drover_configure_tempest
        fi
        ;;
    "unstack "*)
        drover_stop
        ;;
    "clean "*)
        drover_clean
        ;;
    esac
fi
