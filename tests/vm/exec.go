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

// probe is a feature and a shell script that succeeds where it is there.
type probe struct{ feature, script string }

// probes is what the NAT gateway and the load balancer need of a kernel.
var probes = []probe{
	{"veth", "ip link add veth0 type veth peer name veth1"},
	{"vxlan", "ip link add vx9 type vxlan id 9 dstport 4789 nolearning"},
	{"nft netdev fwd", onVeth + "nft 'table netdev t { chain c { " +
		"type filter hook ingress device veth0 priority 0; fwd ip to 192.0.2.1 device veth0; }; }'"},
	{"nft netdev fwd to a mapped address", onVeth + "nft 'table netdev t { " +
		"map m { type ipv4_addr : ipv4_addr; }; chain c { " +
		"type filter hook ingress device veth0 priority 0; fwd ip to ip daddr map @m device veth0; }; }'"},
	{"nft NAT to a mapped range of ports", "nft 'table ip t { " +
		"map m { type ipv4_addr . mark : interval ipv4_addr . inet_service; flags interval; }; chain c { " +
		"type nat hook postrouting priority 100; meta l4proto { tcp, udp } snat ip to ip saddr . meta mark map @m; }; }'"},
	{"nft dup", onVeth + "nft 'table ip t { chain c { " +
		"type filter hook prerouting priority -290; dup to 192.0.2.1 device veth0; }; }'"},
	{"nft hash", "nft 'table ip t { chain c { " +
		"type filter hook prerouting priority 0; meta mark set jhash ip saddr . ip daddr mod 64 seed 1; }; }'"},
	{"nft conntrack", "nft 'table ip t { chain c { type filter hook prerouting priority 0; ct state new notrack; }; }'"},
	{"IPVS with Maglev", "modprobe -q ip_vs_mh; grep -q . /proc/net/ip_vs"},
	{"multipath routes", onVeth + "ip address add 192.0.2.1/24 dev veth0 && ip link set veth0 up && " +
		"ip route add 198.51.100.0/24 nexthop via 192.0.2.2 dev veth0 nexthop via 192.0.2.3 dev veth0"},
}

const onVeth = "ip link add veth0 type veth peer name veth1 && "

// hostCan returns what the host lacks for a lab, all of it.
func hostCan(ctx context.Context) error {
	if os.Geteuid() != 0 {
		return errors.New("needs root")
	}
	return tryAll(ctx, probes)
}

// tryAll tries each probe in a network namespace that vanishes with its shell.
func tryAll(ctx context.Context, probes []probe) error {
	var lacking []error
	for _, p := range probes {
		out, err := exec.CommandContext(ctx, "unshare", "--net", "sh", "-c", p.script).CombinedOutput()
		if err != nil {
			first, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
			lacking = append(lacking, fmt.Errorf("no %s: %w: %s", p.feature, err, first))
		}
	}
	return errors.Join(lacking...)
}
