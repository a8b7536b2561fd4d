package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/culvertnet/culvert/tests/vm/wire"
)

// product is the program that -exec builds when it is asked for by name.
const product = "culvert"

// buildCommand splits a command and, if it is ours, builds its program.
func buildCommand(root, work, command string) (argv []string, binary string, err error) {
	argv = strings.Fields(command)
	if len(argv) == 0 {
		return nil, "", errors.New("-exec: the command is empty")
	}
	if argv[0] != product {
		return argv, "", nil
	}
	binary = filepath.Join(work, product)
	return argv, binary, buildProgram(root, binary, "./cmd/"+product)
}

// commandUnits returns the one unit that runs argv from the work tree's root.
func commandUnits(argv []string) []wire.Unit {
	if !strings.Contains(argv[0], "/") {
		argv = append([]string{guestPrograms + "/" + argv[0]}, argv[1:]...)
	}
	return []wire.Unit{{Name: argv[0], Dir: guestSources, Argv: argv, SplitStderr: true}}
}

// executeOnHost runs argv here and returns its exit status.
func executeOnHost(ctx context.Context, argv []string, binary string) (int, error) {
	name := argv[0]
	if binary != "" {
		name = binary
	}
	cmd := exec.CommandContext(ctx, name, argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 1, fmt.Errorf("run %s: %w", argv[0], err)
	}
	return 0, nil
}

// probes is what the NAT gateway needs of a kernel, tried in a network
// namespace that vanishes with the shell.
var probes = []struct{ feature, script string }{
	{"network namespaces", "true"},
	{"veth", "ip link add a type veth peer name b"},
	{"dummy", "ip link add a type dummy"},
	{"vxlan", "ip link add a type vxlan id 1 dstport 4789 nolearning"},
	{"nft netdev fwd", "ip link add a type veth peer name b && " +
		"nft 'table netdev t { chain c { type filter hook ingress device a priority 0; fwd to b; }; }'"},
	{"nft netdev fwd to an address", "ip link add a type veth peer name b && " +
		"nft 'table netdev t { chain c { type filter hook ingress device a priority 0; fwd ip to 192.0.2.1 device b; }; }'"},
	{"nft NAT to a mapped range of ports", "nft 'table ip t { " +
		"map m { type ipv4_addr : interval ipv4_addr . inet_service; flags interval; }; " +
		"chain c { type nat hook postrouting priority 100; snat to ip saddr map @m; }; }'"},
	{"nft dup", "ip link add a type dummy && nft 'table ip t { chain c { " +
		"type filter hook prerouting priority -290; dup to 192.0.2.1 device a; }; }'"},
	{"nft hash", "nft 'table ip t { chain c { type filter hook prerouting priority 0; " +
		"meta mark set jhash ip saddr . ip daddr mod 64 seed 1; }; }'"},
	{"multipath routes", "ip link add a type dummy && ip addr add 192.0.2.1/24 dev a && ip link set a up && " +
		"ip route add 198.51.100.0/24 nexthop via 192.0.2.2 dev a nexthop via 192.0.2.3 dev a"},
	{"conntrack", "nft 'table ip t { chain c { type filter hook prerouting priority 0; ct state new; }; }' && " +
		"test -e /proc/sys/net/netfilter/nf_conntrack_count"},
}

// hostCan returns what the host lacks for a lab, all of it.
func hostCan(ctx context.Context) error {
	if os.Geteuid() != 0 {
		return errors.New("needs root")
	}
	var lacking []error
	for _, probe := range probes {
		cmd := exec.CommandContext(ctx, "unshare", "--net", "--mount", "sh", "-c", "mount -t sysfs sysfs /sys && "+probe.script)
		if out, err := cmd.CombinedOutput(); err != nil {
			first, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
			lacking = append(lacking, fmt.Errorf("no %s: %w: %s", probe.feature, err, first))
		}
	}
	return errors.Join(lacking...)
}
