package conntrack

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/netns"
)

// Addresses of the rig: what its own packets are translated to, and where the first goes.
var (
	public = netip.MustParseAddr("45.86.152.23")
	server = netip.MustParseAddr("198.51.0.1")
)

var rigs atomic.Int32

// rig is a namespace that translates what it sends to port 1024 and higher of 198.51.0.0/16.
type rig struct {
	testing.TB
	name string
	ns   *netns.NS
}

func newRig(t testing.TB) *rig {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	r := &rig{TB: t, name: fmt.Sprintf("ct%d-%d", os.Getpid(), rigs.Add(1))}
	var err error
	if r.ns, err = netns.Create(r.name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.ns.Close(); err != nil {
			t.Error(err)
		}
		if err := netns.Remove(r.name); err != nil {
			t.Error(err)
		}
	})
	for _, words := range []string{
		"ip link add out type veth peer name in", "ip link set out up", "ip link set in up",
		"ip address add 10.0.0.12/24 dev out", "ip neighbour add 10.0.0.1 lladdr 02:00:00:00:00:01 dev out",
		"ip route add default via 10.0.0.1",
		"nft add table ip t", "nft add chain ip t c { type nat hook postrouting priority srcnat ; }",
		"nft add rule ip t c udp dport >= 1024 snat to 45.86.152.23:2048-3071",
		"nft add rule ip t c icmp type echo-request snat to 45.86.152.23:2048-3071",
	} {
		r.run(words)
	}
	return r
}

// run runs a program in the namespace and returns what it prints, without what it says of itself: conntrack(8) writes a sum to its errors
// in the middle of a list.
func (r *rig) run(words string) string {
	r.Helper()
	args := append([]string{"netns", "exec", r.name}, strings.Fields(words)...)
	cmd := exec.Command("ip", args...)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		r.Fatalf("%s: %v\n%s", words, err, complaint.String())
	}
	return string(out)
}

// send sends n datagrams, each the first of a flow, from one port to successive addresses and then to the next port.
func (r *rig) send(n int, port uint16) {
	r.Helper()
	err := r.ns.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(fd) }()
		to := server
		for range n {
			if err := unix.Sendto(fd, nil, 0, &unix.SockaddrInet4{Port: int(port), Addr: to.As4()}); err != nil {
				return fmt.Errorf("%s: %w", to, err)
			}
			if to = to.Next(); to.As4()[1] != server.As4()[1] {
				to, port = server, port+1
			}
		}
		return nil
	})
	if err != nil {
		r.Fatal(err)
	}
}

// ping sends an echo request, which nobody answers.
func (r *rig) ping() {
	r.Helper()
	err := r.ns.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMP)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(fd) }()
		request := []byte{8, 0, 0xf7, 0xfd, 0, 1, 0, 1} // echo request, its checksum, identifier and sequence number 1
		return unix.Sendto(fd, request, 0, &unix.SockaddrInet4{Addr: server.As4()})
	})
	if err != nil {
		r.Fatal(err)
	}
}
