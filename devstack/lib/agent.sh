# shellcheck shell=bash
# The compute agent of the cloud's only host: drover, or Debian's nova-compute as the reference. Both read the
# same nova-compute.conf; one of them runs at a time, and $STATE/agent remembers which.

DROVER_BIN=${DROVER_BIN:-$ROOT/build/dev/drover}
COMPUTE_CONF=$ETC/nova/nova-compute.conf
AGENTS=(drover nova-compute)

check_agent_name() {
    case $1 in
    drover) [ -x "$DROVER_BIN" ] || die "no drover at $DROVER_BIN: build it first, or set DROVER_BIN" ;;
    nova-compute | none) ;;
    *) die "no agent '$1': drover, nova-compute or none" ;;
    esac
}

current_agent() { cat "$STATE/agent" 2>/dev/null || echo none; }

start_agent() { # the current one
    case $(current_agent) in
    drover) start drover "$DROVER_BIN" --config-file "$COMPUTE_CONF" ;;
    nova-compute) start nova-compute nova-compute --config-file "$COMPUTE_CONF" ;;
    esac
}

# nova's API neither shows nor schedules to a host before it is mapped to a cell, once per host name. What is mapped
# is the compute node, whose record comes a moment after the first report.
map_host() { # SINCE
    local try
    [ ! -e "$MARKS/cell-mapping-$HOST" ] || return 0
    for try in 1 2 3 4 5 6; do
        "${CLEAN_ENV[@]}" nova-manage --config-file "$NOVA_CONF" cell_v2 discover_hosts \
            >> "$LOG/setup-cell-mapping.out" 2>&1 9>&- || die "the host is not mapped, see $LOG/setup-cell-mapping.out"
        if wait_for hypervisor "$1" 5 2> /dev/null; then
            touch "$MARKS/cell-mapping-$HOST"
            return 0
        fi
        say "the compute node of $HOST is not mapped to a cell yet (try $try)"
    done
}

wait_for() { # report|hypervisor SINCE SECONDS
    "$LIB/wait-agent" "$IP" "$PASSWORD" "$HOST" "$2" "$3" "$1"
}

wait_agent() { # SINCE: epoch seconds of its start
    local name seconds=${DROVER_CLOUD_AGENT_WAIT:-600}
    name=$(current_agent)
    wait_for report "$1" "$seconds" && map_host "$1" && wait_for hypervisor "$1" "$seconds" ||
        die "$name is not up, see $LOG/$name.out and $LOG"
}

stop_agents() {
    local name
    for name in "${AGENTS[@]}"; do
        stop "$name"
    done
}

run_agent() { # NAME: make this one the agent, and wait until it is up
    local name=$1 other since
    check_agent_name "$name"
    for other in "${AGENTS[@]}"; do
        [ "$other" = "$name" ] || stop "$other"
    done
    echo "$name" > "$STATE/agent"
    [ "$name" != none ] || return 0
    since=0
    alive "$name" || since=$(date +%s)
    start_agent
    wait_agent "$since"
    say "$name is up"
}

kill_agent() { # the power-cut test: no signal handler runs
    local name
    name=$(current_agent)
    alive "$name" || die "no agent runs"
    stop "$name" KILL
}
