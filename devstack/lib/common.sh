# shellcheck shell=bash
# What every part of devstack/cloud shares: where things are, how a daemon is started, found again and
# stopped, and how to wait for one. Sourced, never run.
#
# A daemon is known by a pid file that holds its pid and its start time (field 22 of /proc/PID/stat), so that a
# reused pid is never mistaken for it. Each runs in a session of its own; stopping means the process group.

STATE=${DROVER_CLOUD:-/var/tmp/drover-cloud}
ETC=$STATE/etc
LOG=$STATE/log
PIDS=$STATE/pid
RUN=$STATE/run
MARKS=$STATE/done

PASSWORD=drover            # of every account in this cloud
HOST=$(hostname)
LIBVIRT_URI="qemu+unix:///system?socket=$RUN/libvirt/libvirt-sock"
FABRIC_NET=198.18.0        # of the bridge that joins several compute hosts, see hosts.sh

say() { printf '%s %s\n' "$(date +%H:%M:%S)" "$*"; }
die() { say "fatal: $*" >&2; exit 1; }

# 0: one compute host, this machine, with everything on loopback. More: so many hosts, each in namespaces of its own.
# The addresses are in the databases, so that the kind of cloud is chosen once in the life of the state folder.
host_count() { cat "$STATE/hosts" 2>/dev/null || echo 0; }

set_addresses() {
    IP=127.0.0.1
    [ "$(host_count)" = 0 ] || IP=$FABRIC_NET.10
    DB_URL=mysql+pymysql://drover:$PASSWORD@$IP
    RABBIT_URL=rabbit://drover:$PASSWORD@$IP:5672/
    KEYSTONE_URL=http://$IP:5000
}
set_addresses

choose_hosts() { # COUNT
    case $1 in
    [0-9] | [1-9][0-9]) ;;
    *) die "--hosts takes a number from 0 to 99" ;;
    esac
    if [ -e "$MARKS/neutron-db" ] && [ $(($(host_count) > 0)) != $(($1 > 0)) ]; then
        die "this cloud was made with --hosts $(host_count): purge it first, or add --anew"
    fi
    echo "$1" > "$STATE/hosts"
    set_addresses
}

# linuxbridge, ovs or ovs-hybrid. Neutron's ports are bound to one of them, so it is chosen once in the life of the
# state folder.
network_kind() { cat "$STATE/network" 2>/dev/null || echo linuxbridge; }

choose_network() { # KIND
    case $1 in
    linuxbridge | ovs | ovs-hybrid) ;;
    *) die "no network '$1': linuxbridge, ovs or ovs-hybrid" ;;
    esac
    if [ -e "$MARKS/neutron-db" ] && [ "$(network_kind)" != "$1" ]; then
        die "this cloud was made with --network $(network_kind): purge it first"
    fi
    echo "$1" > "$STATE/network"
}

# Whether barbican runs, for servers with emulated TPMs; chosen by the first `up --key-manager`.
has_key_manager() { [ -e "$STATE/key-manager" ]; }

make_folders() {
    mkdir -p "$ETC" "$LOG" "$PIDS" "$RUN" "$MARKS" "$STATE"/{bin,tmp}
    # rabbitmq, mysql, libvirt-qemu and memcache all have to get in.
    chmod 755 "$STATE" "$ETC"
    chmod 1777 "$LOG" "$RUN" "$STATE/tmp"
}

# ---------------------------------------------------------------------------------------------- processes
start_time() { # PID
    sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20
}

pid_of() { # NAME
    cut -d' ' -f1 "$PIDS/$1.pid"
}

alive() { # NAME: does the process that we started still run?
    local pid started
    [ -s "$PIDS/$1.pid" ] || return 1
    read -r pid started < "$PIDS/$1.pid"
    [ -r "/proc/$pid/stat" ] && [ "$(start_time "$pid")" = "$started" ] &&
        ! grep -qs '^State:.Z' "/proc/$pid/status"
}

# The machine's own python settings and proxies are none of the cloud's business. An array, not a function: the
# pid of a function in the background is that of a subshell around it.
CLEAN_ENV=(env -u PYTHONPATH -u PYTHONHOME -u PYTHONUNBUFFERED -u PYTHONDONTWRITEBYTECODE
    -u REQUESTS_CA_BUNDLE -u CURL_CA_BUNDLE -u http_proxy -u https_proxy -u HTTP_PROXY -u HTTPS_PROXY
    -u all_proxy -u ALL_PROXY)

start() { # NAME COMMAND...
    local name=$1 pid
    shift
    alive "$name" && return 0
    # fd 9 is the lock of devstack/cloud: a daemon must not inherit it.
    "${CLEAN_ENV[@]}" setsid nohup "$@" >> "$LOG/$name.out" 2>&1 < /dev/null 9>&- &
    pid=$!
    echo "$pid $(start_time $pid)" > "$PIDS/$name.pid"
    say "started $name (pid $pid)"
}

send() { # NAME SIGNAL: to the whole process group where it has one
    local pid
    alive "$1" || return 0
    pid=$(pid_of "$1")
    kill "-$2" -- "-$pid" 2>/dev/null || kill "-$2" "$pid" 2>/dev/null
}

stop() { # NAME [SIGNAL]
    local name=$1 signal=${2:-TERM}
    if ! alive "$name"; then
        rm -f "$PIDS/$name.pid"
        return 0
    fi
    send "$name" "$signal"
    for _ in $(seq 75); do
        alive "$name" || break
        sleep 0.2
    done
    if alive "$name"; then
        say "$name ignores SIG$signal, killing it"
        send "$name" KILL
    fi
    rm -f "$PIDS/$name.pid"
    say "stopped $name"
}

# Prints the pids of processes of this cloud that have left the session we started them in (privsep
# daemons, dnsmasq, qemu): those whose command line names a file below our state folder.
strays() {
    local dir pid line
    for dir in /proc/[0-9]*; do
        pid=${dir#/proc/}
        line=$(tr '\0' ' ' 2>/dev/null < "$dir/cmdline") || continue
        case $line in
        *"$STATE/"*) ;;
        *) continue ;;
        esac
        # In another mount namespace the same name may be the state folder of another cloud.
        [ "/proc/$pid/root$STATE" -ef "$STATE" ] || continue
        case ${line%% *} in
        *qemu-system-* | *dnsmasq | *haproxy | *epmd) echo "$pid" ;;
        *python3* | *sudo)
            case $line in
            *privsep-helper* | *rootwrap*) echo "$pid" ;;
            esac
            ;;
        esac
    done
}

# ---------------------------------------------------------------------------------------------- waiting
wait_until() { # SECONDS NAME WHAT COMMAND...: NAME is the daemon that has to stay alive meanwhile
    local seconds=$1 name=$2 what=$3 deadline
    shift 3
    deadline=$((SECONDS + seconds))
    while ! "$@" > /dev/null 2>&1; do
        alive "$name" || die "$name has died, see $LOG/$name.out"
        [ $SECONDS -lt $deadline ] || die "$name: no $what after $seconds s, see $LOG"
        sleep 0.2
    done
}

tcp_open() { # PORT [ADDRESS]
    (exec 3<> "/dev/tcp/${2:-$IP}/$1") 2>/dev/null
}

http_answers() { # URL: any status will do
    curl -s -o /dev/null --noproxy '*' --max-time 10 "$1"
}

wait_port() { wait_until 900 "$1" "listener on port $2" tcp_open "${@:2}"; } # NAME PORT [ADDRESS]
wait_http() { wait_until 900 "$1" "answer from $2" http_answers "$2"; }

# ---------------------------------------------------------------------------------------------- steps
once() { # MARK COMMAND...: run it one time in the life of this state folder
    local mark=$1
    shift
    [ -e "$MARKS/$mark" ] && return 0
    "${CLEAN_ENV[@]}" "$@" >> "$LOG/setup-$mark.out" 2>&1 9>&- || die "$mark failed, see $LOG/setup-$mark.out"
    touch "$MARKS/$mark"
}

# Steps that do not depend on each other run side by side: `task NAME COMMAND...` begins one, `need NAME...` waits
# for it. When one fails, the others may end what they do (a migration cut in half is worse than a wait).
declare -A TASKS=()
task() {
    local name=$1
    shift
    "$@" &
    TASKS[$name]=$!
}
need() {
    local name
    for name in "$@"; do
        wait "${TASKS[$name]}" && continue
        say "fatal: $name did not come up" >&2
        wait "${TASKS[@]}" # these only: the daemons are children of ours as well
        exit 1
    done
}
