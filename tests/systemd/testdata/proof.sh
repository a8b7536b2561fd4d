#!/bin/sh
# Runs beside the daemon's unit, when that says that it is ready. Writes what it sees to the test's folder; the last line says
# that it came to the end.
set -eux
dir=$1
exec >"$dir/proof" 2>&1
culvert=$dir/culvert

# Ready means converged: the tenant is there, for everybody on the host.
"$culvert" status
ip netns list
ip -n culvert-acme link show tap-a
ip netns exec culvert-acme nft list tables | grep 'ip culvert'
systemctl show culvert --property=StatusText,NRestarts
pid=$(systemctl show culvert --property=MainPID --value)
grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' "/proc/$pid/status"

# What a program in the daemon's place could not write, and what it could.
for path in /usr/x /var/x /run/x /tmp/x "$dir/x" /proc/sys/vm/drop_caches; do
	if nsenter --target "$pid" --mount sh -c "echo 1 >$path"; then
		echo "a program in the daemon's place could write $path"
		exit 1
	fi
done
for path in /run/culvert/x /var/lib/culvert/x; do
	nsenter --target "$pid" --mount sh -c "echo 1 >$path"
done

# again repeats a command until it succeeds.
again() {
	set +x
	for _ in $(seq 400); do
		if "$@" >/dev/null 2>&1; then
			set -x
			return 0
		fi
		sleep 0.05
	done
	echo "never: $*"
	return 1
}

# The status page and the metrics, with numbers of the kernel, as far as the unit lets the daemon read them.
fetch() {
	bash -c 'exec 3<>/dev/tcp/127.0.0.1/9469 && printf "GET $0 HTTP/1.0\r\nHost: localhost\r\n\r\n" >&3 && cat <&3' "$1"
}
again fetch /healthz
fetch /metrics >"$dir/metrics"
grep 'culvert_converged 1' "$dir/metrics"
grep 'culvert_tenant_measured{tenant="acme"} 1' "$dir/metrics"
grep 'culvert_nat_ports{address="45.86.152.23",claimant="host hv1",tenant="acme"} [1-9]' "$dir/metrics"
grep '^process_open_fds ' "$dir/metrics"
fetch /tenant/acme | grep 'ports are given'
fetch /healthz | grep -x ok

# Drift of each kind that it hears of.
ip netns exec culvert-acme nft flush ruleset
again ip netns exec culvert-acme nft list table ip culvert
ip -n culvert-acme link delete vx100
again ip -n culvert-acme link show vx100
ip netns exec culvert-acme sh -c 'echo 0 >/proc/sys/net/ipv4/ip_forward'
again ip netns exec culvert-acme grep -q 1 /proc/sys/net/ipv4/ip_forward
ip netns exec culvert-acme sh -c 'echo 7 >/proc/sys/net/netfilter/nf_conntrack_udp_timeout'
again ip netns exec culvert-acme grep -q 300 /proc/sys/net/netfilter/nf_conntrack_udp_timeout
ip netns delete culvert-acme
again ip -n culvert-acme link show vx100

# Another fleet, and reload.
cp "$dir/next.lock.yaml" "$dir/new" && mv "$dir/new" "$dir/fleet.lock.yaml"
cp "$dir/next.yaml" "$dir/new" && mv "$dir/new" "$dir/fleet.yaml"
again ip -n culvert-blue link show vx200
systemctl reload culvert
again systemctl is-active culvert
"$culvert" status

# Killed: the service manager starts it again, the namespaces stay, and nothing needs to be written.
kill -9 "$pid"
again sh -c "test \$(systemctl show culvert --property=MainPID --value) -ne $pid && systemctl is-active culvert"
again "$culvert" status
"$culvert" status | grep 'changes  *0'
ip netns exec culvert-blue nft list tables | grep 'ip culvert'

# Stopped: everything stays.
systemctl stop culvert
ip netns list
ip netns exec culvert-blue nft list tables | grep 'ip culvert'
"$culvert" plan -f "$dir/fleet.yaml"

# A host that follows an etcd starts cold, and no etcd answers: it makes all anew from what it has kept, confined as it is, and goes on asking.
"$culvert" cleanup
test ! -e /run/netns/culvert-acme
ip link add tap-a type veth peer name tap-a-vm # the first one ended with its namespace, above
cp "$dir/cache" /var/lib/culvert/fleet
printf 'CULVERT_SOURCE=etcd://127.0.0.1:1/culvert\nCULVERT_ETCD_CA=%s\n' "$dir/ca.pem" >>"$dir/default"
systemctl start culvert
following() {
	{ "$culvert" status || true; } >"$dir/following" # it says that etcd is away
	grep -E '^acme +converged ' "$dir/following" && grep -E '^converged +.* ago, to generation 7 \(cached\) ' "$dir/following" && grep '127.0.0.1:1: .*connection refused' "$dir/following"
}
again following
cat "$dir/following"
ip -n culvert-acme link show tap-a
ip netns exec culvert-acme nft list tables | grep 'ip culvert'
grep -E '^Seccomp:.*2' "/proc/$(systemctl show culvert --property=MainPID --value)/status"
echo PROVEN
