# shellcheck shell=bash
# The compute agent of a host: drover, or Debian's nova-compute as the reference. Both read the same nova-compute.conf;
# one of them runs at a time, and a file named `agent` remembers which.
#
# The functions take the host's name, or nothing for the only host of a cloud on loopback.

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

agent_file() { echo "$STATE/${1:+host/$1/}agent"; } # [HOST]
current_agent() { cat "$(agent_file "${1:-}")" 2>/dev/null || echo none; } # [HOST]

start_agent() { # [HOST]: the current one
    local name program conf=(--config-file "$COMPUTE_CONF")
    name=$(current_agent "${1:-}")
    case $name in
    drover) program=$DROVER_BIN ;;
    nova-compute) program=nova-compute ;;
    *) return 0 ;;
    esac
    if [ -z "${1:-}" ]; then
        start "$name" "$program" "${conf[@]}"
    else
        mapfile -t conf < <(host_config_files "$1")
        start_in "$1" "$name" "$program" "${conf[@]}"
    fi
}

# nova's API neither shows nor schedules to a host before it is mapped to a cell, once per host name. What is mapped
# is the compute node, whose record comes a moment after the first report.
map_host() { # SINCE HOST
    local try
    [ ! -e "$MARKS/cell-mapping-$2" ] || return 0
    for try in 1 2 3 4 5 6; do
        "${CLEAN_ENV[@]}" nova-manage --config-file "$NOVA_CONF" cell_v2 discover_hosts \
            >> "$LOG/setup-cell-mapping.out" 2>&1 9>&- || die "the host is not mapped, see $LOG/setup-cell-mapping.out"
        if wait_for hypervisor "$1" "$2" 5 2> /dev/null; then
            touch "$MARKS/cell-mapping-$2"
            return 0
        fi
        say "the compute node of $2 is not mapped to a cell yet (try $try)"
    done
}

wait_for() { # report|hypervisor|l2 SINCE HOST SECONDS
    "$LIB/wait-agent" "$IP" "$PASSWORD" "$3" "$2" "$4" "$1"
}

wait_agent() { # SINCE [HOST]: epoch seconds of its start
    local name seconds=${DROVER_CLOUD_AGENT_WAIT:-600} host=${2:-$HOST}
    name=$(current_agent "${2:-}")
    wait_for report "$1" "$host" "$seconds" && map_host "$1" "$host" && wait_for hypervisor "$1" "$host" "$seconds" ||
        die "$name is not up, see $LOG/${2:+$2/}$name.out and $LOG"
}

stop_agents() { # [HOST]
    local name
    for name in "${AGENTS[@]}"; do
        stop "${1:+$1/}$name"
    done
}

choose_agent() { # NAME [HOST]: start this one and no other
    local other
    check_agent_name "$1"
    for other in "${AGENTS[@]}"; do
        [ "$other" = "$1" ] || stop "${2:+$2/}$other"
    done
    echo "$1" > "$(agent_file "${2:-}")"
    start_agent "${2:-}"
}

stop_host_agents() { # of all hosts
    local host
    for host in $(host_names); do
        stop_agents "$host"
    done
}

run_agent() { # NAME [HOST]: make this one the agent, and wait until it is up
    local since=0
    alive "${2:+$2/}$1" || since=$(date +%s)
    choose_agent "$@"
    [ "$1" != none ] || return 0
    wait_agent "$since" "${2:-}"
    say "$1 is up${2:+ on $2}"
}

kill_agent() { # [HOST]: the power-cut test: no signal handler runs
    local name
    name=${1:+$1/}$(current_agent "${1:-}")
    alive "$name" || die "no agent runs"
    stop "$name" KILL
}
