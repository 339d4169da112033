# shellcheck shell=bash
# The daemons below OpenStack: RabbitMQ, MariaDB, memcached, libvirtd with virtlogd, and the "physical" network.

EXT_NIC=drover-ext0        # what neutron calls its physical NIC: one end of a veth pair
EXT_PEER=drover-ext1       # the other end, where the gateway of the provider network lives
EXT_GATEWAY=10.77.0.1/24
METADATA_PORT=8775         # on the gateway, where what guests ask of 169.254.169.254 arrives
EPMD_PORT=14369            # an epmd of our own: other RabbitMQ nodes of the machine keep theirs

# ---------------------------------------------------------------------------------------------- RabbitMQ
# The prefix of a command that runs as user rabbitmq with the node's environment. +sbwt none: no busy waiting in
# the Erlang schedulers. setpriv executes in place, so that the pid we record is the server's.
AS_RABBIT=(setpriv --reuid rabbitmq --regid rabbitmq --init-groups env
    HOME=/var/lib/rabbitmq LC_ALL=C.UTF-8
    RABBITMQ_NODENAME=drover@localhost "RABBITMQ_MNESIA_BASE=$STATE/rabbitmq" "RABBITMQ_LOG_BASE=$LOG"
    "RABBITMQ_CONFIG_FILE=$ETC/rabbitmq" "RABBITMQ_PID_FILE=$STATE/rabbitmq/pid"
    "RABBITMQ_ENABLED_PLUGINS_FILE=$ETC/rabbit_plugins"
    RABBITMQ_DIST_PORT=25682 ERL_EPMD_ADDRESS=127.0.0.1 "ERL_EPMD_PORT=$EPMD_PORT"
    "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none")

rabbitmqctl() { "${AS_RABBIT[@]}" /usr/lib/rabbitmq/bin/rabbitmqctl "$@"; }

start_rabbitmq() {
    mkdir -p "$STATE/rabbitmq"
    chown rabbitmq: "$STATE/rabbitmq"
    start epmd "${AS_RABBIT[@]}" epmd
    wait_port epmd $EPMD_PORT 127.0.0.1
    start rabbitmq "${AS_RABBIT[@]}" /usr/lib/rabbitmq/bin/rabbitmq-server
    wait_port rabbitmq 5672
}

# ---------------------------------------------------------------------------------------------- MariaDB
mysql_root() { mysql --no-defaults -S "$RUN/mysql.sock" "$@"; }

create_databases() {
    local name
    {
        for name in keystone glance placement nova_api nova nova_cell0 neutron barbican; do
            echo "CREATE DATABASE IF NOT EXISTS $name CHARACTER SET utf8mb3;"
        done
        echo "GRANT ALL PRIVILEGES ON *.* TO drover@'$IP' IDENTIFIED BY '$PASSWORD';"
    } | mysql_root
}

start_mariadb() {
    mkdir -p "$STATE/mysql"
    chown mysql: "$STATE/mysql"
    once mariadb-install mariadb-install-db --defaults-file="$ETC/my.cnf" --user=mysql --skip-test-db \
        --auth-root-authentication-method=socket
    start mariadb mariadbd --defaults-file="$ETC/my.cnf"
    wait_port mariadb 3306
    create_databases || die "cannot create the databases"
}

start_memcached() {
    # Without the threads that wake up all the time to keep a full cache in order: this one never fills.
    start memcached memcached -u memcache -l $IP -p 11211 -m 64 -t 1 -o no_lru_maintainer,no_lru_crawler
}

# ---------------------------------------------------------------------------------------------- libvirt
# libvirtd and virtlogd run in a private mount namespace in which libvirt's folders are ours: other libvirtds of
# the machine cannot take away our sockets, and our guests never show up in theirs. Clients use $LIBVIRT_URI.
LIBVIRT_FOLDERS=(/etc/libvirt /var/lib/libvirt /var/log/libvirt /var/cache/libvirt)

make_libvirt_folders() { # TARGET
    local dir
    for dir in "${LIBVIRT_FOLDERS[@]}"; do
        [ -d "$1$dir" ] && continue
        mkdir -p "$dir" "$1${dir%/*}"
        cp -a "$dir" "$1$dir"
    done
    # A new libvirt brings a NATed default network, which would want virbr0 and dnsmasq.
    rm -rf "$1/etc/libvirt/qemu/autostart" "$1/etc/libvirt/qemu/networks"
}

# devpts mounted with ptmxmode=000 and /dev/ptmx a link into it: QEMU (user libvirt-qemu) fails with "Failed to create
# PTY". A devpts of libvirtd's own is no cure: the agent must see the guest's /dev/pts/N to read its console.
allow_ptmx() {
    grep -q '^devpts /dev/pts .*ptmxmode=000' /proc/mounts || return 0
    mount -o remount,gid=5,mode=620,ptmxmode=666 /dev/pts
}

in_libvirt_namespace() { # prints the script that sh -c runs before it becomes "$@"
    local dir
    for dir in "${LIBVIRT_FOLDERS[@]}"; do
        echo "mount --bind '$STATE/libvirt$dir' $dir &&"
    done
    echo "mkdir -p /run/libvirt && mount --bind '$RUN/libvirt' /run/libvirt && exec \"\$@\""
}

libvirt_answers() { virsh -c "$LIBVIRT_URI" version; }

start_libvirt() {
    mkdir -p "$RUN/libvirt"
    make_libvirt_folders "$STATE/libvirt"
    allow_ptmx
    start virtlogd unshare -m --propagation private sh -c "$(in_libvirt_namespace)" sh \
        virtlogd -p "$RUN/virtlogd.pid"
    wait_until 120 virtlogd socket test -S "$RUN/libvirt/virtlogd-sock"
    start libvirtd unshare -m --propagation private sh -c "$(in_libvirt_namespace)" sh \
        libvirtd -p "$RUN/libvirtd.pid"
    wait_until 120 libvirtd "answer on its socket" libvirt_answers
}

destroy_guests() {
    local name
    alive libvirtd || return 0
    for name in $(virsh -c "$LIBVIRT_URI" list --name 2>/dev/null); do
        virsh -c "$LIBVIRT_URI" destroy "$name" > /dev/null 2>&1 || true
    done
}

# ---------------------------------------------------------------------------------------------- network
make_network() {
    if ! ip link show "$EXT_NIC" > /dev/null 2>&1; then
        ip link add "$EXT_NIC" type veth peer name "$EXT_PEER" || die "cannot create $EXT_NIC"
    fi
    ip link set "$EXT_NIC" up
    ip link set "$EXT_PEER" up
    if [ "$(host_count)" = 0 ]; then
        ip addr replace "$EXT_GATEWAY" dev "$EXT_PEER"
    else
        ip link set "$EXT_PEER" master "$PROVIDER"
    fi
    sysctl -qw net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1 2>/dev/null || true
}

# Only for guests of the provider network: this machine may have a metadata service of its own.
metadata_rule() { # -A|-C|-D
    iptables -t nat "$1" PREROUTING -s "${EXT_GATEWAY%.*}.0/24" -d 169.254.169.254 -p tcp --dport 80 \
        -j DNAT --to-destination "${EXT_GATEWAY%/*}:$METADATA_PORT"
}

# Open vSwitch on its usual sockets, where libvirt, neutron and the compute agent look for it. Its database begins anew
# each time: the L2 agent fills it.
OVS_RUN=/run/openvswitch
start_openvswitch() {
    alive ovs-vswitchd && return 0
    if ! alive ovsdb-server; then
        [ ! -S "$OVS_RUN/db.sock" ] || ! ovs-vsctl --timeout=2 --no-wait show > /dev/null 2>&1 ||
            die "another Open vSwitch runs on this machine"
        mkdir -p "$OVS_RUN" "$STATE/ovs"
        rm -f "$STATE/ovs/conf.db" "$STATE/ovs/.conf.db.~lock~"
        ovsdb-tool create "$STATE/ovs/conf.db" /usr/share/openvswitch/vswitch.ovsschema || die "no OVS database"
        start ovsdb-server ovsdb-server "$STATE/ovs/conf.db" "--remote=punix:$OVS_RUN/db.sock" \
            --remote=db:Open_vSwitch,Open_vSwitch,manager_options
        wait_until 60 ovsdb-server "answer on its socket" ovs-vsctl --timeout=2 --no-wait init
        # userspace-tso: guests and this machine's own devices leave checksums to their neighbour. The datapath in user
        # space passes that on only with this option; without it TCP between them is lost.
        ovs-vsctl --no-wait set Open_vSwitch . "external_ids:system-id=$HOST" \
            other_config:userspace-tso-enable=true
    fi
    start ovs-vswitchd ovs-vswitchd "unix:$OVS_RUN/db.sock" --pidfile="$OVS_RUN/ovs-vswitchd.pid"
}

remove_chains() { # SAVE RESTORE PATTERN: take the agent's rules and chains out of a netfilter family
    "$1" 2>/dev/null | grep -q "$3" || return 0
    "$1" | grep -v "$3" | "$2" || say "some of neutron's rules stay ($2 refused)"
}

# What neutron and libvirt leave in the kernel: bridges with their ports, DHCP namespaces, filter rules.
remove_network() {
    local dir port name
    for dir in "$STATE"/neutron/dhcp/*; do # one folder for each network of ours
        ip netns del "qdhcp-${dir##*/}" 2>/dev/null || true
    done
    for dir in /sys/class/net/brq*; do
        [ -d "$dir" ] || continue
        for port in "$dir"/brif/*; do
            case ${port##*/} in
            tap* | vxlan-*) ip link del "${port##*/}" 2>/dev/null || true ;;
            esac
        done
        ip link del "${dir##*/}" 2>/dev/null || true
    done
    for dir in /sys/class/net/qbr* /sys/class/net/qvo*; do
        [ ! -d "$dir" ] || ip link del "${dir##*/}" 2>/dev/null || true
    done
    ip link del "$EXT_NIC" 2>/dev/null || true
    metadata_rule -D 2>/dev/null || true
    [ "$(host_count)" = 0 ] || remove_fabric
    remove_chains iptables-save iptables-restore neutron-
    remove_chains ip6tables-save ip6tables-restore neutron-
    remove_chains ebtables-save ebtables-restore 'neutron\(ARP\|MAC\)'
    for name in $(ipset list -n 2>/dev/null | grep '^N[IE]T*Pv[46]'); do
        ipset destroy "$name" 2>/dev/null || true
    done
}
