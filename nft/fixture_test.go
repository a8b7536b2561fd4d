package nft

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/vishvananda/netlink"
	vnetns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/topology"
)

var update = flag.Bool("update", false, "rewrite golden files")

// peer is a host of the example fleet.
func peer(id byte, name string, hypervisor, edge bool) topology.Peer {
	return topology.Peer{
		Host: name, ID: portmap.HostID(id), Underlay: netip.AddrFrom4([4]byte{192, 0, 2, id}), MAC: topology.RouterMAC(portmap.HostID(id)),
		IPv4: netip.AddrFrom4([4]byte{100, 64, 0, id}), IPv6: netip.AddrFrom16([16]byte{0xfd, 0, 0xc0, 0xde, 15: id}),
		Hypervisor: hypervisor, Edge: edge,
	}
}

var (
	public = netip.MustParseAddr("45.86.152.23")
	vmA    = netip.MustParseAddr("10.0.0.12") // on hv1
	vmC    = netip.MustParseAddr("10.0.0.13") // on hv1
	vmB    = netip.MustParseAddr("10.0.0.47") // on hv2
	vmE    = netip.MustParseAddr("10.0.0.99") // on edge2, which is a hypervisor too
)

func block(first, last uint16) portmap.Block {
	return portmap.Block{Address: public, First: first, Last: last}
}

// hypervisor is hv1 of a tenant with hypervisors hv1 and hv2, the edge edge1, and edge2 that is both.
func hypervisor() topology.Tenant {
	hv2, edge1, edge2 := peer(2, "hv2", true, false), peer(3, "edge1", false, true), peer(4, "edge2", true, true)
	return topology.Tenant{
		Name: "acme", VNI: 100, Hypervisor: true, Nowhere: topology.Nowhere(config.DefaultOverlay()), Overlay: config.DefaultOverlay(), Self: peer(1, "hv1", true, false), Peers: []topology.Peer{hv2, edge1, edge2},
		Interfaces: []config.Interface{
			{Name: "vm-a", Host: "hv1", Device: "tap-a", MAC: vmMAC, Addresses: []netip.Addr{vmA, vmA6}},
			{Name: "vm-c", Host: "hv1", Device: "tap-c", MAC: config.MAC{0x52, 0x54, 0, 0, 0, 0x0c}, Addresses: []netip.Addr{vmC}},
		},
		Remote: []topology.Remote{{Address: vmB, Peer: hv2}, {Address: vmE, Peer: edge2}, {Address: netip.MustParseAddr("fd00::99"), Peer: edge2}},
		NAT: &topology.NAT{
			Addresses: []netip.Addr{public},
			Sources:   []topology.Source{{Address: vmA, Blocks: []portmap.Block{block(1024, 2047)}}},
			Owners:    []topology.Owner{{Block: block(2048, 3071), Peer: hv2}, {Block: block(3072, 3135), Peer: edge2}},
		},
	}
}

// perInterface is hv1 if every interface has its own ports: one source has one block, another has grown.
func perInterface() topology.Tenant {
	t := hypervisor()
	t.NAT.PerInterface = true
	t.NAT.Sources = append(t.NAT.Sources, topology.Source{Address: vmC, Blocks: []portmap.Block{block(4096, 4159), block(5120, 5247)}})
	return t
}

// both is a host that is a hypervisor and an edge.
func both() topology.Tenant {
	t := hypervisor()
	t.Edge = true
	return t
}

// edge is a host that is an edge alone.
func edge() topology.Tenant {
	t := hypervisor()
	t.Hypervisor, t.Edge, t.Interfaces, t.Remote = false, true, nil, nil
	t.NAT = &topology.NAT{Addresses: []netip.Addr{public}}
	return t
}

var (
	vipA  = netip.MustParseAddr("45.86.152.30") // of vmA
	vipB  = netip.MustParseAddr("45.86.152.31") // of vmB
	vipC1 = netip.MustParseAddr("45.86.152.32") // of vmC
	vipC2 = netip.MustParseAddr("45.86.152.33") // of vmC
	vipA6 = netip.MustParseAddr("2001:db8::30") // of vmA6
	vipB6 = netip.MustParseAddr("2001:db8::31") // of vmB6
	vipC6 = netip.MustParseAddr("2001:db8::32") // of vmC6
	vipD6 = netip.MustParseAddr("2001:db8::33") // of vmC6
	vmA6  = netip.MustParseAddr("fd00::12")     // on hv1
	vmC6  = netip.MustParseAddr("fd00::13")     // on hv1
	vmB6  = netip.MustParseAddr("fd00::47")     // on hv2
)

// withVIPs is a hypervisor of a tenant with VIPs of both families and a NAT gateway.
func withVIPs() topology.Tenant {
	t := hypervisor()
	hv2 := t.Peers[0]
	t.NAT.Sources = nil
	t.MaxEntries, t.NAT.Exempt = 100_000, exempt
	t.Interfaces = []config.Interface{
		{Name: "vm-a", Device: "tap-a", MAC: vmMAC, Addresses: []netip.Addr{vmA, vmA6}},
		{Name: "vm-c", Device: "tap-c", MAC: config.MAC{0x52, 0x54, 0, 0, 0, 0x0c}, Addresses: []netip.Addr{vmC, vmC6}},
	}
	t.Remote = append(t.Remote, topology.Remote{Address: vmB6, Peer: hv2})
	vip := func(public, private netip.Addr, shared bool) topology.VIP {
		local := private != vmB && private != vmB6
		p := hv2
		if local {
			p = t.Self
		}
		return topology.VIP{Public: public, Private: private, Peer: p, Local: local, Shared: shared}
	}
	t.VIPs = []topology.VIP{
		vip(vipA, vmA, false), vip(vipB, vmB, false), vip(vipC1, vmC, true), vip(vipC2, vmC, true),
		vip(vipA6, vmA6, false), vip(vipB6, vmB6, false), vip(vipC6, vmC6, true), vip(vipD6, vmC6, true),
	}
	return t
}

// exempt are destinations that are reached without translation: of whole bytes, of other lengths, and alone.
var exempt = []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.1.7/32")}

// exempted are the private IPv4 addresses on other hosts.
func exempted(t topology.Tenant) []topology.Remote {
	return slices.DeleteFunc(slices.Clone(t.Remote), func(r topology.Remote) bool { return !r.Address.Is4() })
}

// withVIPsBoth is a host of that tenant that is an edge too.
func withVIPsBoth() topology.Tenant {
	t := withVIPs()
	t.Edge, t.NAT.Exempted = true, exempted(t)
	return t
}

// vipEdge is an edge of a tenant with VIPs.
func vipEdge() topology.Tenant {
	t := edge()
	t.VIPs = withVIPs().VIPs
	t.NAT.Exempt, t.NAT.Exempted = exempt, exempted(hypervisor())
	for i := range t.VIPs {
		t.VIPs[i].Local = false
	}
	return t
}

// inside is a hypervisor of a tenant without a NAT gateway.
func inside() topology.Tenant {
	t := hypervisor()
	t.Peers, t.NAT = t.Peers[:1], nil
	return t
}

// role is a part that a host can play for a tenant.
type role struct {
	name   string
	tenant topology.Tenant
}

func roles() []role {
	return []role{
		{"hypervisor", hypervisor()}, {"per-interface", perInterface()}, {"edge", edge()}, {"both", both()}, {"inside", inside()},
		{"vips", withVIPs()}, {"vips-both", withVIPsBoth()}, {"vips-edge", vipEdge()},
		{"backends", backendHost()}, {"node", node()}, {"node-edge", nodeEdge()}, {"node-hypervisor", nodeHypervisor()},
		{"closed-edge", closedEdge()},
	}
}

// stage is a namespace of its own with the devices that rules name.
type stage struct {
	testing.TB
	ns   *netns.NS
	link *netlink.Handle
	conn *Conn
}

var namespaces atomic.Int32

// newNamespace makes a namespace for the time of the test.
func newNamespace(t testing.TB) (*netns.NS, *netlink.Handle) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes network namespaces")
	}
	name := fmt.Sprintf("nft-test-%d-%d", os.Getpid(), namespaces.Add(1))
	ns, err := netns.Create(name)
	must(t, err)
	t.Cleanup(func() {
		if err := netns.Remove(name); err != nil {
			t.Error(err)
		}
		_ = ns.Close()
	})
	link, err := netlink.NewHandleAt(vnetns.NsHandle(ns.Fd()), unix.NETLINK_ROUTE)
	must(t, err)
	t.Cleanup(func() { _ = link.Close() })
	return ns, link
}

// newStage makes a stage whose devices are the two ends of one cable.
func newStage(t testing.TB) *stage {
	t.Helper()
	ns, link := newNamespace(t)
	s := &stage{TB: t, ns: ns, link: link}
	s.addDevices()
	s.dial()
	return s
}

func (s *stage) addDevices() {
	s.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "vx100"
	must(s, s.link.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: topology.UplinkDevice}))
	attrs.Name = topology.HandoverDevice
	must(s, s.link.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: topology.DeliveryDevice}))
}

func (s *stage) removeDevices() {
	s.Helper()
	for _, name := range []string{"vx100", topology.HandoverDevice} {
		l, err := s.link.LinkByName(name)
		must(s, err)
		must(s, s.link.LinkDel(l))
	}
}

func (s *stage) dial() {
	s.Helper()
	var err error
	s.conn, err = Dial(s.ns)
	must(s, err)
	s.Cleanup(func() { _ = s.conn.Close() })
}

// observe reads the tables.
func (s *stage) observe() []Table {
	s.Helper()
	tables, err := s.conn.Observe()
	must(s, err)
	return tables
}

// become makes the namespace what is desired and checks that it is, by every means. It returns the plan.
func (s *stage) become(desired []Table) Plan {
	s.Helper()
	plan := Diff(s.observe(), desired)
	must(s, s.conn.Apply(plan))
	s.is(desired)
	return plan
}

// is checks that the kernel holds what is desired and nothing else.
func (s *stage) is(desired []Table) {
	s.Helper()
	got := s.observe()
	if again := Diff(got, desired); !again.Empty() {
		s.Fatalf("a second plan is not empty:\n%s", again)
	}
	for _, t := range desired {
		for _, set := range t.Sets {
			if len(set.Elements) > 10_000 {
				return // cmp would take minutes to find nothing
			}
		}
	}
	if diff := cmp.Diff(desired, got, sameTables); diff != "" {
		s.Fatalf("observed is not what is desired (-want +got):\n%s", diff)
	}
}

// sameTables compares tables by what can be observed; the order of names is the kernel's.
var sameTables = cmp.Options{
	cmpopts.IgnoreUnexported(Rule{}, Set{}), cmpopts.EquateEmpty(),
	cmpopts.SortSlices(func(a, b Table) bool { return a.Family < b.Family }),
	cmpopts.SortSlices(func(a, b Counter) bool { return a.Name < b.Name }),
	cmpopts.SortSlices(func(a, b Set) bool { return a.Name < b.Name }),
	cmpopts.SortSlices(func(a, b Chain) bool { return a.Name < b.Name }),
}

// nft runs nft(8) in the namespace.
func (s *stage) nft(args ...string) string {
	s.Helper()
	path, err := exec.LookPath("nft")
	if err != nil {
		s.Skip("needs nft(8), which tests/setup.sh installs: ", err)
	}
	cmd := exec.Command(path, args...)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	var out []byte
	err = s.ns.Do(func() (err error) {
		out, err = cmd.Output()
		return err
	})
	if err != nil {
		s.Fatalf("%s: %v: %s", cmd, err, &complaint)
	}
	return string(out)
}

// counts reads the counters that are not zero, in packets.
func (s *stage) counts() map[string]uint64 {
	s.Helper()
	all, err := s.conn.Counters()
	must(s, err)
	out := make(map[string]uint64)
	for name, n := range all {
		if n.Packets != 0 {
			out[name] = n.Packets
		}
	}
	return out
}

// golden compares with a file of testdata, or another place, and rewrites it with -update.
func golden(t testing.TB, path, got string) {
	t.Helper()
	if *update {
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(got), 0o644))
		return
	}
	want, err := os.ReadFile(path)
	must(t, err)
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is stale; read the difference, then run the test with -update (-file +got):\n%s", path, diff)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
