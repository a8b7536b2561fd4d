package agent

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/nft"
	"github.com/culvertnet/culvert/overlay"
	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/topology"
)

// Level says how bad a finding is.
type Level string

// The levels. Only a Problem keeps the host from playing its part.
const (
	Fine    Level = "ok"
	Advice  Level = "advice"
	Problem Level = "problem"
)

// Finding is the result of one check of a host.
type Finding struct {
	Check  string `json:"check"`
	Level  Level  `json:"level"`
	Detail string `json:"detail"`
	// Remedy is empty for what is fine.
	Remedy string `json:"remedy,omitempty"`
}

// Doctor checks whether the kernel can do what a fleet needs. It tries the real thing: a tenant of an edge that is a
// hypervisor too, in scratch namespaces that it removes again. The kernel loads what modules that takes, and IPVS's. It needs root.
func Doctor() []Finding {
	if unix.Geteuid() != 0 {
		return []Finding{{"privileges", Problem, "not root", "run it with sudo"}}
	}
	out := []Finding{{Check: "privileges", Level: Fine, Detail: "root"}, release()}
	out = append(out, ipv6(), forwarding())
	out = append(out, trial()...)
	return append(out, conntrackSize(), balancer(Advice, "nothing, unless the host is to have the role loadbalancer"))
}

func release() Finding {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return Finding{"kernel", Problem, err.Error(), "run it where uname(2) is not denied, on the host rather than in a container"}
	}
	return Finding{Check: "kernel", Level: Fine, Detail: "Linux " + unix.ByteSliceToString(u.Release[:])}
}

func ipv6() Finding {
	if _, err := os.Stat("/proc/sys/net/ipv6"); err != nil {
		return Finding{"ipv6", Problem, "disabled in this kernel", "remove ipv6.disable=1 from the kernel's command line"}
	}
	return Finding{Check: "ipv6", Level: Fine, Detail: "available"}
}

// forwarding looks at what is inherited by or stricter than a device's own parameter.
func forwarding() Finding {
	value, err := os.ReadFile("/proc/sys/net/ipv4/conf/all/rp_filter")
	if err == nil && strings.TrimSpace(string(value)) == "1" {
		return Finding{
			"rp_filter", Advice, "strict on all devices of the host's namespace",
			"on an edge with routes that are not symmetric: sysctl -w net.ipv4.conf.all.rp_filter=2",
		}
	}
	return Finding{Check: "rp_filter", Level: Fine, Detail: "not strict"}
}

func conntrackSize() Finding {
	value, err := os.ReadFile("/proc/sys/net/netfilter/nf_conntrack_max")
	if err != nil {
		return Finding{"conntrack", Problem, "not in this kernel", "build or load nf_conntrack"}
	}
	return Finding{Check: "conntrack", Level: Fine, Detail: "at most " + strings.TrimSpace(string(value)) + " entries in each namespace"}
}

// trialTenant is an edge that is a hypervisor too: it uses everything that a tenant may need.
func trialTenant(underlay netip.Addr) topology.Host {
	peer := func(id portmap.HostID) topology.Peer {
		o := config.DefaultOverlay()
		return topology.Peer{
			Host: fmt.Sprint("host", id), ID: id, Underlay: underlay, MAC: topology.RouterMAC(id),
			IPv4: topology.OverlayIPv4(o, id), IPv6: topology.OverlayIPv6(o, id),
		}
	}
	self, other := peer(1), peer(2)
	other.Underlay, other.Hypervisor, other.Edge = underlay.Next(), true, true
	public := netip.MustParseAddr("192.0.2.1") // TEST-NET-1 (RFC 5737); no packet is ever sent
	block := func(first uint16) portmap.Block {
		return portmap.Block{Address: public, First: first, Last: first + portmap.Granule - 1}
	}
	return topology.Host{
		Name: "trial", Underlay: underlay, Port: 4789,
		Tenants: []topology.Tenant{{
			Name: "trial", VNI: 1, Hypervisor: true, Edge: true, Nowhere: topology.Nowhere(config.DefaultOverlay()), Overlay: config.DefaultOverlay(), Self: self, Peers: []topology.Peer{other},
			NAT: &topology.NAT{
				Addresses: []netip.Addr{public}, PerInterface: true,
				Sources: []topology.Source{{Address: netip.MustParseAddr("10.0.0.1"), Blocks: []portmap.Block{block(1024)}}},
				Owners:  []topology.Owner{{Block: block(1088), Peer: other}},
			},
			VIPs: trialVIPs(self, other), Balancer: true, Balancers: trialBalancers(self, other),
		}},
	}
}

// trialVIPs are of each kind and family: here alone, two of one private address, elsewhere.
func trialVIPs(self, other topology.Peer) []topology.VIP {
	var out []topology.VIP
	for i, pair := range [][2]string{{"192.0.2.10", "10.0.0.1"}, {"192.0.2.11", "10.0.0.2"}, {"192.0.2.12", "10.0.0.2"}, {"192.0.2.13", "10.0.0.3"}} {
		for _, prefix := range []string{"", "2001:db8::"} { // RFC 3849
			v := topology.VIP{
				Public: netip.MustParseAddr(prefix + pair[0]), Private: netip.MustParseAddr(prefix + pair[1]),
				Peer: self, Local: i < 3, Shared: i == 1 || i == 2,
			}
			if !v.Local {
				v.Peer = other
			}
			out = append(out, v)
		}
	}
	return out
}

// trialBalancers are of each family, with a backend here and one elsewhere.
func trialBalancers(self, other topology.Peer) []topology.Balancer {
	var out []topology.Balancer
	for i, prefix := range []string{"", "2001:db8::"} {
		b := topology.Balancer{
			Name: fmt.Sprint("trial", i), Address: netip.MustParseAddr(prefix + "192.0.2.20"),
			Listeners: []config.Listener{{Protocol: config.TCP, Port: 443, BackendPort: 8443}},
		}
		for n, p := range []topology.Peer{self, other} {
			sequence := uint32(2*i + n + 1)
			b.Backends = append(b.Backends, topology.Backend{
				Sequence: sequence, VM: netip.MustParseAddr(fmt.Sprintf("%s10.0.0.%d", prefix, n+1)),
				Address: topology.BackendAddress(config.DefaultOverlay(), sequence, i == 0), MAC: topology.BackendMAC(sequence),
				Weight: 1, Peer: p, Local: n == 0,
			})
		}
		out = append(out, b)
	}
	return out
}

// trial builds the tenant and takes it down again.
func trial() (out []Finding) {
	const remedy = "use a kernel with VXLAN, veth, nf_tables (netdev, fwd, nat, hash, objref, reject) and conntrack, such as Debian's or Ubuntu's own; `modprobe -a vxlan veth nf_tables nft_chain_nat nft_fwd_netdev` if modules are not loaded by themselves"
	name := fmt.Sprintf("doctor-%d", os.Getpid())
	scratch, err := netns.Create(name)
	if err != nil {
		return []Finding{{"namespaces", Problem, err.Error(), "use a kernel with network namespaces, and a writable " + netns.Dir}}
	}
	defer func() { _ = errors.Join(scratch.Close(), netns.Remove(name)) }()
	kernel := overlay.Open(scratch, name+"-")
	defer func() { _ = kernel.Close() }()

	host := trialTenant(netip.MustParseAddr("192.0.2.9"))
	state, err := overlay.Desired(host, overlay.Facts{Underlay: "lo", UnderlayMTU: 1500})
	if err != nil {
		return []Finding{{"overlay", Problem, err.Error(), remedy}}
	}
	observed, err := kernel.Observe(host.Underlay)
	if err != nil {
		return []Finding{{"overlay", Problem, err.Error(), remedy}}
	}
	plan := overlay.Diff(observed, state)
	defer func() { out = append(out, removeTrial(kernel)) }()
	out = append(out, tried("overlay", "namespaces, VXLAN, veth, routes, neighbours", failures(kernel.Apply(plan.Prepare())), remedy))
	if out[0].Level == Problem {
		return out
	}
	ns, err := kernel.NS(overlay.Place(host.Tenants[0].Namespace()))
	if err != nil {
		return append(out, Finding{"rules", Problem, err.Error(), remedy})
	}
	defer func() { _ = ns.Close() }()
	conn, err := nft.Dial(ns)
	if err != nil {
		return append(out, Finding{"rules", Problem, err.Error(), remedy})
	}
	defer func() { _ = conn.Close() }()
	return append(out, tried("rules", "nftables with maps, NAT, redirect, virtual IPs, load balancers", conn.Apply(nft.Diff(nil, nft.Desired(host.Tenants[0]))), remedy))
}

func removeTrial(kernel *overlay.Kernel) Finding {
	const remedy = "remove namespaces named doctor-* with `ip netns delete`"
	observed, err := kernel.Observe(netip.Addr{})
	if err == nil {
		plan := overlay.Diff(observed, overlay.State{})
		err = failures(append(kernel.Apply(plan.Detach()), kernel.Apply(plan.Release())...))
	}
	return tried("cleanup", "the trial left nothing", err, remedy)
}

func failures(list []overlay.Failure) error {
	errs := make([]error, len(list))
	for i := range list {
		errs[i] = list[i]
	}
	return errors.Join(errs...)
}

func tried(check, fine string, err error, remedy string) Finding {
	if err != nil {
		return Finding{check, Problem, err.Error(), remedy}
	}
	return Finding{Check: check, Level: Fine, Detail: fine}
}
