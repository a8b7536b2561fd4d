package overlay

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// what the kernel itself says of the tenant's namespace and of ours in the host's.
func (r *rig) listing() string {
	r.Helper()
	var b strings.Builder
	say := func(title, out string) {
		b.WriteString("# " + title + "\n")
		// The kernel hashes neighbours and entries with a random seed.
		for _, l := range slices.Sorted(slices.Values(lines(out))) {
			b.WriteString(strings.ReplaceAll(l, "link-netnsid 0 ", "") + "\n")
		}
	}
	const in = "culvert-acme"
	say("ip -n culvert-acme route", r.ip(in, "route"))
	say("ip -n culvert-acme -6 route show proto 146", r.ip(in, "-6 route show proto 146"))
	say("ip -n culvert-acme neigh show nud permanent", r.ip(in, "neigh show nud permanent"))
	if out := r.ip(in, "-br link show type vxlan"); out != "" {
		say("bridge -n culvert-acme fdb show dev vx100", r.bridge(in, "fdb show dev vx100"))
	}
	say("ip route show proto 146", r.ip("host", "route show proto 146"))
	if out := r.ip("host", "-6 route show proto 146"); out != "" {
		say("ip -6 route show proto 146", out)
	}
	say("ip neigh show nud permanent", r.ip("host", "neigh show nud permanent"))
	return b.String()
}

func TestRoles(t *testing.T) {
	for name, tenant := range examples() {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.device("tap-a", "out0")
			h := hostOf(tenant)
			compare(t, name+".plan", r.settle(h).String())
			compare(t, name+".kernel", r.listing())
			h.Tenants = nil
			compare(t, name+".removal", r.settle(h).String())
			r.clean()
		})
	}
}

func TestDeviceAndSocket(t *testing.T) {
	r := newRig(t)
	r.device("tap-a")
	r.settle(hostOf(hypervisor()))
	link := r.ip("culvert-acme", "-d link show vx100")
	for _, want := range []string{"02:63:76:00:00:01", "mtu 1500", "vxlan id 100", "local 192.0.2.1", "dstport 4789", "nolearning", " udpcsum", ",UP,"} {
		if !strings.Contains(link, want) {
			t.Errorf("vx100 lacks %q:\n%s", want, link)
		}
	}
	for ns, want := range map[string]bool{"host": true, "culvert-acme": false} {
		if got := r.udpPort(ns, 4789); got != want {
			t.Errorf("UDP port 4789 open in %s: %v, want %v", ns, got, want)
		}
	}
}

func TestUnderlayIPv6(t *testing.T) {
	r := newRig(t)
	r.device("tap-a")
	h := hostOf(hypervisor())
	h.Underlay = mustAddr("2001:db8::1")
	for i, p := range []string{"2001:db8::2", "2001:db8::4"} {
		h.Tenants[0].Peers[i].Underlay = mustAddr(p)
	}
	r.settle(h)
	link := r.ip("culvert-acme", "-d link show vx100")
	for _, want := range []string{"mtu 1480", "local 2001:db8::1", "udpcsum"} {
		if !strings.Contains(link, want) {
			t.Errorf("vx100 lacks %q:\n%s", want, link)
		}
	}
	if out := r.bridge("culvert-acme", "fdb show dev vx100"); !strings.Contains(out, "dst 2001:db8::2 ") {
		t.Errorf("forwarding entries:\n%s", out)
	}
	if !r.udp6Port("host", 4789) {
		t.Error("no UDP port 4789 for IPv6 in the host's namespace")
	}
	r.clean()
}

// TestNoFlooding sends to a neighbour whose MAC has no forwarding entry, then to a peer: only the second one arrives.
func TestNoFlooding(t *testing.T) {
	const in = "culvert-acme"
	r := newRig(t)
	r.settle(hostOf(hypervisor()))
	arrived := r.listen("192.0.2.2", 4789)
	for _, a := range []string{"100.64.0.99", "100.64.0.2"} {
		r.ip(in, "route replace "+a+" dev vx100")
	}
	r.ip(in, "neigh replace 100.64.0.99 lladdr 02:00:00:00:00:99 dev vx100 nud permanent")
	r.sendUDP(in, "100.64.0.99:9")
	r.sendUDP(in, "255.255.255.255:9")
	r.sendUDP(in, "100.64.0.2:9")
	const innerDst = 8 + 14 + 16 // behind the VXLAN and Ethernet headers, in the IPv4 header
	if got := netip.AddrFrom4([4]byte(arrived()[innerDst:])); got != mustAddr("100.64.0.2") {
		t.Errorf("the first packet that left is for %s, want the peer's alone", got)
	}
}

// TestNoLearning feeds the device a frame from an unknown sender.
func TestNoLearning(t *testing.T) {
	r := newRig(t)
	r.settle(hostOf(hypervisor()))
	before := r.bridge("culvert-acme", "fdb show dev vx100")
	received := r.counter("culvert-acme", "vx100", "rx_packets")
	r.injectVXLAN(100, []byte("\x02\x63\x76\x00\x00\x01\x02\x00\x00\x00\x00\x77\x88\xb5 a frame from nowhere, long enough to be one......"))
	r.wait("vx100 to receive a frame", func() bool { return r.counter("culvert-acme", "vx100", "rx_packets") == received+1 })
	if after := r.bridge("culvert-acme", "fdb show dev vx100"); after != before {
		t.Errorf("forwarding entries became:\n%swere:\n%s", after, before)
	}
}
