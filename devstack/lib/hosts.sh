# shellcheck shell=bash
# Several compute hosts on this machine: cmp1, cmp2, ... Sourced by devstack/cloud.
#
# A host is a set of namespaces (host-init) with a libvirtd, an L2 agent, an sshd and a compute agent of its own. Its
# eth0 is a port of the bridge $FABRIC, on which the control plane has $IP; its eth1 a port of the bridge $PROVIDER,
# the flat provider network. What belongs to a host is below $STATE/host/NAME and $STATE/run/NAME; its daemons are
# NAME/libvirtd and so on for status, logs, start and stop. $STATE/shared is one folder for all hosts.

FABRIC=drover-br0
PROVIDER=drover-br1
SHARED_STATFS=$STATE/bin/shared-statfs.so

host_names() {
    local number
    for number in $(seq "$(host_count)"); do
        echo "cmp$number"
    done
}

check_host() { # HOST
    [[ " $(host_names | xargs) " == *" ${1:-} "* ]] || die "no host '${1:-}': $(host_names | xargs)"
}

host_address() { echo "$FABRIC_NET.$((10 + ${1#cmp}))"; }       # HOST
host_libvirt_uri() { echo "qemu+unix:///system?socket=$RUN/$1/libvirt/libvirt-sock"; } # HOST
host_storage() { cat "$STATE/storage" 2>/dev/null || echo local; }
host_port() { echo "drover-$1"; } # HOST: the fabric's end of its cable

# Where a host's agent keeps the instances: the path in the host, and the same folder seen from outside.
instances_path() {
    case $(host_storage) in
    shared) echo /srv/shared/instances ;;
    *) echo /var/lib/nova/instances ;;
    esac
}
instances_folder() { # HOST
    case $(host_storage) in
    shared) echo "$STATE/shared/instances" ;;
    *) echo "$STATE/host/$1/nova/instances" ;;
    esac
}

choose_storage() { # local|shared
    case $1 in
    local | shared) echo "$1" > "$STATE/storage" ;;
    *) die "no storage '$1': local or shared" ;;
    esac
}

in_host() { # HOST COMMAND...
    "$LIB/host-exec" "$@"
}

# A daemon in a host: known outside by the pid that it has outside, which is that of the only child of nsenter or
# unshare. What comes before them in host-exec has children too.
child_of() { # PID
    case $(cat "/proc/$1/comm" 2>/dev/null) in
    nsenter | unshare) pgrep -P "$1" ;;
    esac
}

start_child() { # NAME COMMAND...
    local name=$1 parent pid=''
    alive "$name" && return 0
    start "$@"
    parent=$(pid_of "$name")
    for _ in $(seq 200); do
        pid=$(child_of "$parent")
        [ -z "$pid" ] && alive "$name" || break
        sleep 0.05
    done
    [ -n "$pid" ] || die "$name has died, see $LOG/$name.out"
    echo "$pid $(start_time "$pid")" > "$PIDS/$name.pid"
}

start_in() { # HOST NAME COMMAND...: setsid, so that it has a process group that can be ended
    start_child "$1/$2" "$LIB/host-exec" "$1" setsid "${@:3}"
}

# ---------------------------------------------------------------------------------------------- fabric
make_bridge() { # NAME ADDRESS
    ip link show "$1" > /dev/null 2>&1 || ip link add "$1" type bridge stp_state 0 forward_delay 0 ||
        die "cannot create $1"
    ip link set "$1" up
    ip addr replace "$2" dev "$1"
}

# QEMU 7.2 makes its userfaultfd, which post-copy needs, by the system call; user libvirt-qemu may not otherwise. That is a
# switch of the whole machine: each cloud that counts on it has a file in UFFD_USERS, and the last one puts it back.
UFFD=/proc/sys/vm/unprivileged_userfaultfd
UFFD_USERS=/run/drover-userfaultfd

allow_userfaultfd() {
    [ -e $UFFD ] || return 0
    if [ "$(< $UFFD)" = 0 ]; then
        mkdir -p $UFFD_USERS && echo 1 > $UFFD
    fi
    [ ! -d $UFFD_USERS ] || touch "$UFFD_USERS/${STATE//\//_}"
}

restore_userfaultfd() {
    rm -f "$UFFD_USERS/${STATE//\//_}"
    if rmdir $UFFD_USERS 2>/dev/null; then
        echo 0 > $UFFD
    fi
}

make_fabric() {
    make_bridge "$FABRIC" "$IP/24"
    make_bridge "$PROVIDER" "$EXT_GATEWAY"
    allow_userfaultfd
    [ "$SHARED_STATFS" -nt "$LIB/shared-statfs.c" ] ||
        gcc -shared -fPIC -O2 -o "$SHARED_STATFS" "$LIB/shared-statfs.c" -ldl || die "cannot build $SHARED_STATFS"
}

remove_fabric() {
    local host
    for host in $(host_names); do
        drop_frames "$host" off
    done
    ip link del "$FABRIC" 2>/dev/null
    ip link del "$PROVIDER" 2>/dev/null
    restore_userfaultfd
}

plug() { # HOST NIC PORT BRIDGE
    if ! ip link show "$3" > /dev/null 2>&1; then
        ip link add "$3" type veth peer name "$2" netns "$(pid_of "$1/init")" || die "cannot create $3"
    fi
    ip link set "$3" master "$4" up
    in_host "$1" ip link set "$2" up
}

set_link() { # HOST up|down: the cable of its eth0
    ip link set "$(host_port "$1")" "$2"
}

set_rate() { # HOST KBIT: of what the host receives on eth0; 0 takes the limit away
    if [ "$2" = 0 ]; then
        tc qdisc del dev "$(host_port "$1")" root 2>/dev/null || true
    else
        tc qdisc replace dev "$(host_port "$1")" root tbf rate "$2kbit" burst 64kb latency 200ms
    fi
}

# Frames of the host that get lost without a word: all of them, or those to and from one TCP port.
drop_frames() { # HOST on|off [PORT]
    local port chain=drover-drop-$1 hook
    port=$(host_port "$1")
    for hook in FORWARD INPUT OUTPUT; do
        ebtables -D $hook -j "$chain" 2>/dev/null
    done
    ebtables -X "$chain" 2>/dev/null
    [ "$2" = on ] || return 0
    ebtables -N "$chain" -P RETURN || die "ebtables refuses"
    if [ -n "${3:-}" ]; then
        ebtables -A "$chain" -o "$port" -p IPv4 --ip-proto tcp --ip-dport "$3" -j DROP
        ebtables -A "$chain" -i "$port" -p IPv4 --ip-proto tcp --ip-sport "$3" -j DROP
        ebtables -A "$chain" -i "$port" -p IPv4 --ip-proto tcp --ip-dport "$3" -j DROP
        ebtables -A "$chain" -o "$port" -p IPv4 --ip-proto tcp --ip-sport "$3" -j DROP
    else
        ebtables -A "$chain" -o "$port" -j DROP
        ebtables -A "$chain" -i "$port" -j DROP
    fi
    for hook in FORWARD INPUT OUTPUT; do
        ebtables -I $hook -j "$chain"
    done
}

# ---------------------------------------------------------------------------------------------- power
boot_host() { # HOST: its namespaces, its cables and its addresses
    local host=$1
    mkdir -p "$PIDS/$host" "$LOG/$host" "$STATE/host/$host" "$STATE/shared/instances"
    if ! alive "$host/init"; then
        rm -rf "${RUN:?}/$host" # nothing of before the power failure
        mkdir -p "$RUN/$host/libvirt"
        make_host_folders "$host"
        start_child "$host/init" "$LIB/host-exec" --boot "$host"
        wait_until 60 "$host/init" "word of its readiness" test -e "$RUN/$host/ready"
    fi
    plug "$host" eth0 "$(host_port "$host")" "$FABRIC"
    plug "$host" eth1 "$(host_port "$host")-p" "$PROVIDER"
    in_host "$host" ip addr replace "$(host_address "$host")/24" dev eth0
    in_host "$host" ip route replace default via "$IP"
}

# Of the machine's own libvirt the host gets the settings, but no guest.
make_host_folders() { # HOST
    local own=$STATE/host/$1 host
    if [ ! -d "$own/libvirt" ]; then
        make_libvirt_folders "$own/libvirt.new"
        rm -rf "$own"/libvirt.new/etc/libvirt/qemu/* "$own"/libvirt.new/var/lib/libvirt/qemu/* \
            "$own"/libvirt.new/var/log/libvirt/* "$own"/libvirt.new/etc/libvirt/secrets
        mkdir -p "$own/libvirt.new/var/log/libvirt/qemu"
        mv "$own/libvirt.new" "$own/libvirt"
    fi
    mkdir -p "$own"/nova/{instances,locks,tmp} "$own"/neutron/locks "$own/etc/ssh/ssh_config.d"
    config_host_libvirt "$1"
    {
        echo "127.0.0.1 localhost"
        echo "$IP $HOST"
        for host in $(host_names); do
            echo "$(host_address "$host") $host"
        done
    } > "$own/etc/hosts"
    echo "$1" > "$own/etc/hostname"
    printf '%032x\n' $((0xabc000 + ${1#cmp})) > "$own/etc/machine-id"
    config_host_ssh "$1"
}

power_off() { # HOST: as by its power supply
    local folder pids=()
    stop "$1/init" KILL
    rm -f "$PIDS/$1"/*.pid
    ip link del "$(host_port "$1")" 2>/dev/null
    ip link del "$(host_port "$1")-p" 2>/dev/null
    # What is still in the cgroup is outside the namespaces: an nsenter that stopped when its daemon was stopped.
    for folder in /sys/fs/cgroup/"${STATE##*/}" /sys/fs/cgroup/*/"${STATE##*/}"; do
        [ ! -d "$folder/$1" ] || mapfile -t -O ${#pids[@]} pids < "$folder/$1/cgroup.procs"
    done
    if [ ${#pids[@]} -gt 0 ]; then
        kill -KILL "${pids[@]}" 2>/dev/null
        sleep 0.2
    fi
    for folder in /sys/fs/cgroup/"${STATE##*/}" /sys/fs/cgroup/*/"${STATE##*/}"; do
        [ ! -d "$folder/$1" ] || find "$folder/$1" -depth -type d -exec rmdir {} \; 2>/dev/null
        [ ! -d "$folder" ] || rmdir "$folder" 2>/dev/null
    done
    return 0
}

power_on() { # HOST: with all that a host starts by itself, but the compute agent
    boot_host "$1"
    start_host_libvirt "$1"
    start_host_ssh "$1"
    start_host_l2 "$1"
}

# ---------------------------------------------------------------------------------------------- daemons
# Certificates with which the hosts' QEMUs know each other (live_migration_with_native_tls).
config_host_pki() { # HOST FOLDER
    local ca=$STATE/pki key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
    mkdir -p "$ca" "$2"
    [ -s "$ca/ca-cert.pem" ] ||
        openssl req -x509 "${key[@]}" -days 365 -subj "/CN=drover cloud" -keyout "$ca/ca-key.pem" -out "$ca/ca-cert.pem" ||
        die "no certificate authority"
    [ ! -s "$2/client-cert.pem" ] || return 0
    openssl req "${key[@]}" -subj "/CN=$1" -keyout "$2/server-key.pem" -out "$2/request.pem" &&
        openssl x509 -req -days 365 -in "$2/request.pem" -CA "$ca/ca-cert.pem" -CAkey "$ca/ca-key.pem" -CAcreateserial \
            -extfile <(echo "subjectAltName = DNS:$1, IP:$(host_address "$1")") -out "$2/server-cert.pem" ||
        die "no certificate for $1"
    cp "$ca/ca-cert.pem" "$2/ca-cert.pem"
    cp "$2/server-key.pem" "$2/client-key.pem"
    chmod 644 "$2"/*.pem # QEMU runs as a user of its own
    cp "$2/server-cert.pem" "$2/client-cert.pem"
}

config_host_libvirt() { # HOST
    local conf=$STATE/host/$1/libvirt/etc/libvirt address
    address=$(host_address "$1")
    cat > "$conf/libvirtd.conf" << X
listen_tls = 0
listen_tcp = 1
auth_tcp = "none"
auth_unix_rw = "none"
auth_unix_ro = "none"
unix_sock_group = "root"
host_uuid = "5ec0de00-0000-4000-8000-$(printf %012d "${1#cmp}")"
log_outputs = "3:file:/var/log/libvirt/libvirtd.log"
keepalive_interval = 5
keepalive_count = 5
max_clients = 1000
max_queued_clients = 1000
max_client_requests = 50
X
    cat > "$conf/qemu.conf" << X
stdio_handler = "logd"
migration_host = "$address"
migration_address = "$address"
max_processes = 0
keepalive_interval = 5
keepalive_count = 5
migrate_tls_x509_cert_dir = "/etc/libvirt/pki"
X
    config_host_pki "$1" "$conf/pki" 2>> "$LOG/pki.out"
}

start_host_libvirt() { # HOST
    local socket=$RUN/$1/libvirt
    start_in "$1" virtlogd virtlogd
    wait_until 120 "$1/virtlogd" socket test -S "$socket/virtlogd-sock"
    start_in "$1" libvirtd env "LD_PRELOAD=$SHARED_STATFS" DROVER_CLOUD_SHARED=/srv/shared libvirtd --listen
    wait_until 120 "$1/libvirtd" "answer on its socket" virsh -c "$(host_libvirt_uri "$1")" version
}

# nova copies the disks of a cold migration with ssh and scp, where they are not shared. One key for all hosts.
config_host_ssh() { # HOST
    local dir=$STATE/host/$1/etc/ssh key
    mkdir -p "$STATE/ssh"
    for key in id host; do
        [ -e "$STATE/ssh/$key" ] || ssh-keygen -q -t ed25519 -N '' -C drover-cloud -f "$STATE/ssh/$key" ||
            die "no key for ssh"
    done
    install -m 600 "$STATE/ssh/id" "$dir/cloud_key"
    install -m 600 "$STATE/ssh/host" "$dir/cloud_host_key"
    install -m 600 "$STATE/ssh/id.pub" "$dir/cloud_authorized"
    cat > "$dir/ssh_config.d/cloud.conf" << X
Host *
    IdentityFile /etc/ssh/cloud_key
    StrictHostKeyChecking no
    UserKnownHostsFile /dev/null
    LogLevel ERROR
X
    cat > "$dir/sshd_cloud" << X
HostKey /etc/ssh/cloud_host_key
AuthorizedKeysFile /etc/ssh/cloud_authorized
PermitRootLogin yes
PasswordAuthentication no
UsePAM no
StrictModes no
ListenAddress $(host_address "$1")
PidFile none
Subsystem sftp internal-sftp
X
}

start_host_ssh() { # HOST
    start_in "$1" sshd /usr/sbin/sshd -D -e -f /etc/ssh/sshd_cloud
}

start_host_l2() { # HOST
    local conf=$ETC/$1
    alive "$1/neutron-linuxbridge" || date +%s > "$RUN/$1/l2-since"
    start_in "$1" neutron-linuxbridge neutron-linuxbridge-agent --config-file "$conf/neutron.conf" \
        --config-file "$conf/linuxbridge.ini"
}

wait_l2() { # HOST: before that neutron binds no port there
    wait_for l2 "$(< "$RUN/$1/l2-since")" "$1" 600 || die "no network on $1, see $LOG/$1"
}

# ---------------------------------------------------------------------------------------------- configuration
host_config_files() { # HOST: the --config-file options of its compute agent
    printf '%s\n' --config-file "$ETC/$1/nova-compute.conf"
    [ ! -e "$ETC/$1/extra.conf" ] || printf '%s\n' --config-file "$ETC/$1/extra.conf"
}

config_host() { # HOST
    local dir=$ETC/$1 address
    address=$(host_address "$1")
    mkdir -p "$dir" "$LOG/$1"
    nova_compute "$1" "$address" /var/lib/nova "$LOG/$1" "$(instances_path)" "$RUN/$1/drover-health" \
        "live_migration_inbound_addr=$address" live_migration_scheme=tcp > "$dir/nova-compute.conf"
    neutron_conf "$1" /var/lib/neutron "$LOG/$1" > "$dir/neutron.conf"
    linuxbridge_conf "$address" eth1 "$dir/neutron.conf" "$dir/linuxbridge.ini" > "$dir/linuxbridge.ini"
}

config_hosts() {
    local host
    for host in $(host_names); do
        config_host "$host"
    done
}

print_env_hosts() {
    local host
    cat << X
export DROVER_CLOUD_HOSTS='$(host_names | xargs)'
export DROVER_CLOUD_STORAGE=$(host_storage)
export DROVER_CLOUD_HOST=cmp1
export DROVER_CLOUD_CONF=$ETC/cmp1/nova-compute.conf
export DROVER_CLOUD_INSTANCES=$(instances_folder cmp1)
export DROVER_CLOUD_LIBVIRT_URI='$(host_libvirt_uri cmp1)'
X
}

# ---------------------------------------------------------------------------------------------- all of them
start_hosts() { # namespaces, libvirtd, sshd
    local host
    for host in $(host_names); do
        boot_host "$host"
        start_host_libvirt "$host"
        start_host_ssh "$host"
    done
}

start_hosts_l2() {
    local host
    for host in $(host_names); do
        start_host_l2 "$host"
    done
}

power_off_hosts() {
    local host
    for host in $(host_names); do
        power_off "$host"
    done
}
