# shellcheck shell=bash
# The OpenStack services: databases, start, and what has to exist in keystone, glance, neutron and nova.
#
# Every service that brings its own server uses it; keystone and placement are WSGI applications and run in
# uwsgi. The database migrations take most of the first start, so the services' chains run side by side.

uwsgi_service() { # NAME PORT WSGI-FILE ENV=VALUE
    # uwsgi closes each connection after the answer without saying so: the header keeps clients from reusing it.
    start "$1" env "$4" uwsgi_python3 --http-socket "$IP:$2" --wsgi-file "$3" --threads 4 \
        --enable-threads --buffer-size 65535 --die-on-term --need-app --lazy-apps \
        --add-header "Connection: close" --listen 100 --disable-logging
}

# ---------------------------------------------------------------------------------------------- keystone
# The same files that `keystone-manage fernet_setup` and `credential_setup` write, without their two starts.
make_key_repository() { # FOLDER
    [ -s "$1/1" ] && return 0
    mkdir -p "$1" && chmod 700 "$1"
    local n
    for n in 0 1; do
        (umask 077 && head -c 32 /dev/urandom | base64 -w 0 | tr '+/' '-_' > "$1/$n")
    done
}

start_keystone() {
    local manage=(keystone-manage --config-file "$ETC/keystone/keystone.conf")
    make_key_repository "$ETC/keystone/fernet-keys"
    make_key_repository "$ETC/keystone/credential-keys"
    once keystone-db "${manage[@]}" db_sync
    once keystone-bootstrap "${manage[@]}" bootstrap --bootstrap-password "$PASSWORD" \
        --bootstrap-admin-url "$KEYSTONE_URL/v3/" --bootstrap-internal-url "$KEYSTONE_URL/v3/" \
        --bootstrap-public-url "$KEYSTONE_URL/v3/" --bootstrap-region-id RegionOne
    uwsgi_service keystone 5000 /usr/bin/keystone-wsgi-public "OS_KEYSTONE_CONFIG_DIR=$ETC/keystone"
    wait_http keystone "$KEYSTONE_URL/v3"
    # again for a cloud that was made before it had a key manager
    once "keystone-objects$(! has_key_manager || echo -with-keys)" "$LIB/keystone-objects" "$IP" "$PASSWORD"
}

# ---------------------------------------------------------------------------------------------- the others
start_glance() {
    once glance-db glance-manage --config-file "$ETC/glance/glance-api.conf" db_sync
    start glance glance-api --config-file "$ETC/glance/glance-api.conf"
    wait_http glance "http://$IP:9292/"
}

start_placement() {
    once placement-db placement-manage --config-file "$ETC/placement/placement.conf" db sync
    uwsgi_service placement 8778 /usr/bin/placement-api "OS_PLACEMENT_CONFIG_DIR=$ETC/placement"
    wait_http placement "http://$IP:8778/"
}

# barbican's own small server: one process, one request at a time. It reads /etc/barbican and nothing else, so that
# folder is ours in a mount namespace of its own.
AS_BARBICAN=(unshare -m --propagation private sh -c "mount --bind '$ETC/barbican' /etc/barbican && exec \"\$@\"" sh)

start_barbican() {
    once barbican-db "${AS_BARBICAN[@]}" barbican-manage db upgrade
    start barbican "${AS_BARBICAN[@]}" barbican-wsgi-api --host "$IP" --port 9311
    wait_http barbican "http://$IP:9311/"
}

NOVA_CONF=$ETC/nova/nova.conf

prepare_nova() {
    once nova-api-db nova-manage --config-file "$NOVA_CONF" api_db sync
    once nova-cell0 nova-manage --config-file "$NOVA_CONF" cell_v2 map_cell0 \
        --database_connection "$DB_URL/nova_cell0"
    once nova-db nova-manage --config-file "$NOVA_CONF" db sync
    once nova-cell1 nova-manage --config-file "$NOVA_CONF" cell_v2 create_cell --name=cell1 --verbose
}

start_conductor() {
    local conf=(--config-file "$NOVA_CONF")
    [ ! -e "$ETC/nova-conductor/extra.conf" ] || conf+=(--config-file "$ETC/nova-conductor/extra.conf")
    start nova-conductor nova-conductor "${conf[@]}"
}
start_scheduler() { start nova-scheduler nova-scheduler --config-file "$NOVA_CONF"; }
# As one process: /usr/bin/nova-api keeps a parent that looks a hundred times a second whether its worker still lives.
# nova would name the log after the program's file, which is <string> here.
start_nova_api() {
    start nova-api python3 -c 'from nova.cmd.api_os_compute import main; main()' --config-file "$NOVA_CONF" \
        --log-file nova-api.log
}
start_novncproxy() {
    start nova-novncproxy nova-novncproxy --config-file "$NOVA_CONF" --web /usr/share/novnc
}
start_metadata() {
    metadata_rule -C 2> /dev/null || metadata_rule -A || die "no way to the metadata service"
    start nova-metadata python3 -c 'from nova.cmd.api_metadata import main; main()' \
        --config-file "$NOVA_CONF" --config-file "$ETC/nova/nova-metadata.conf" --log-file nova-metadata.log
    wait_http nova-metadata "http://${EXT_GATEWAY%/*}:$METADATA_PORT/"
}

start_nova() {
    prepare_nova
    start_conductor
    start_nova_api
    start_scheduler
    start_novncproxy
    wait_http nova-api "http://$IP:8774/"
}

NEUTRON_CONF=$ETC/neutron/neutron.conf

prepare_neutron() {
    once neutron-db neutron-db-manage --config-file "$NEUTRON_CONF" --config-file "$ETC/neutron/ml2.ini" \
        upgrade heads
}

start_neutron_server() {
    start neutron-server neutron-server --config-file "$NEUTRON_CONF" --config-file "$ETC/neutron/ml2.ini"
    wait_http neutron-server "http://$IP:9696/"
}

start_linuxbridge() {
    make_network
    start neutron-linuxbridge neutron-linuxbridge-agent --config-file "$NEUTRON_CONF" \
        --config-file "$ETC/neutron/linuxbridge.ini"
}

start_openvswitch_agent() {
    make_network
    start_openvswitch
    ovs-vsctl --timeout=60 --may-exist add-br br-provider -- set Bridge br-provider datapath_type=netdev -- \
        --may-exist add-port br-provider "$EXT_NIC" || die "no br-provider, see $LOG/ovs-vswitchd.out"
    start neutron-openvswitch neutron-openvswitch-agent --config-file "$NEUTRON_CONF" \
        --config-file "$ETC/neutron/openvswitch.ini"
}

start_l2_agent() {
    case $(network_kind) in
    linuxbridge) start_linuxbridge ;;
    *) start_openvswitch_agent ;;
    esac
}

start_dhcp() {
    start neutron-dhcp neutron-dhcp-agent --config-file "$NEUTRON_CONF" --config-file "$ETC/neutron/dhcp.ini"
}

start_neutron() {
    prepare_neutron
    start_neutron_server
    start_l2_agent
    start_dhcp
    start_hosts_l2
}

# ---------------------------------------------------------------------------------------------- contents
make_guest() {
    [ -s "$STATE/guest/ticks.qcow2" ] && return 0
    "$LIB/make-guest" "$STATE/guest" > "$LOG/make-guest.out" 2>&1 || die "no guest image, see $LOG/make-guest.out"
}

make_contents() { # flavors, networks, images, security group rules
    once cloud-objects "$LIB/cloud-objects" "$IP" "$PASSWORD" "$STATE/guest"
}
