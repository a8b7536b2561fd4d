package lab

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/portmap"
)

// device reads a link of a node with its addresses.
func device(t *testing.T, l *Lab, nodeName, name string) (netlink.Link, []netip.Prefix) {
	t.Helper()
	ns, err := l.Namespace(nodeName)
	if err != nil {
		t.Fatal(err)
	}
	n, err := openNode(ns)
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	link, err := n.LinkByName(name)
	if err != nil {
		return nil, nil
	}
	addrs, err := n.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		t.Fatal(err)
	}
	var all []netip.Prefix
	for _, a := range addrs {
		if p, ok := prefixOfNet(a.IPNet); ok {
			all = append(all, p)
		}
	}
	return link, all
}

func TestUpGivesNodesTheirDevices(t *testing.T) {
	opts := testOptions(t)
	opts.UnderlayMTU, opts.VMMTU = 9000, 8950
	l := up(t, testFleet(), opts)
	for _, c := range []struct {
		node, device, address string
		mtu                   int
		up                    bool
	}{
		{"hv1", "underlay0", "192.0.2.1/32", 9000, true},
		{"edge1", "underlay0", "192.0.2.254/32", 9000, true},
		{"edge1", "eth1", "198.18.0.10/32", 1500, true},
		{"edge2", "eth1", "198.18.0.11/32", 1500, true},
		{"internet", "narrow", "198.18.0.1/32", 1300, true},
		{"server", "lo", "198.51.100.4/32", 65536, true},
		{"far", "lo", "2001:db8:ffff::66/128", 65536, true},
		{"acme/vm-a", "eth0", "10.0.0.12/32", 8950, true},
		{"acme/vm-a", "eth0", "fd00::12/128", 8950, true},
		{"hv1", "tap-a", "", 8950, false},
		{"hv2", "tap-b", "", 8950, false},
	} {
		link, addrs := device(t, l, c.node, c.device)
		if link == nil {
			t.Errorf("%s has no %s", c.node, c.device)
			continue
		}
		if got := link.Attrs().MTU; got != c.mtu {
			t.Errorf("%s in %s has MTU %d, want %d", c.device, c.node, got, c.mtu)
		}
		if got := link.Attrs().RawFlags&1 != 0; got != c.up {
			t.Errorf("%s in %s is up: %v, want %v", c.device, c.node, got, c.up)
		}
		if c.address != "" && !slices.Contains(addrs, netip.MustParsePrefix(c.address)) {
			t.Errorf("%s in %s has %v, want %s", c.device, c.node, addrs, c.address)
		}
	}
	link, _ := device(t, l, "acme/vm-a", "eth0")
	if got := link.Attrs().HardwareAddr.String(); got != "52:54:00:00:00:0a" {
		t.Errorf("vm-a has the MAC %s", got)
	}
}

func TestUpDownUp(t *testing.T) {
	opts := testOptions(t)
	for range 3 {
		l := up(t, testFleet(), opts)
		if _, err := Up(testFleet(), opts); err == nil {
			t.Error("Up of a lab that is up succeeded")
		}
		// What an agent would have made.
		ns, err := netns.Create(l.HostPrefix("hv1") + "culvert-acme")
		if err != nil {
			t.Fatal(err)
		}
		ns.Close()
		for range 2 {
			if err := l.Down(); err != nil {
				t.Fatal(err)
			}
		}
		if left, _ := netns.List(prefixOf(opts.Name)); len(left) > 0 {
			t.Fatalf("Down left %v", left)
		}
		if _, err := os.Stat(l.dir()); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("Down left the state folder: %v", err)
		}
	}
}

func TestDownAfterCrash(t *testing.T) {
	opts := testOptions(t)
	l := newLab(opts)
	l.opts.setDefaults()
	if err := l.buildUnderlay(); err != nil { // and no further
		t.Fatal(err)
	}
	if _, err := Open(opts); !errors.Is(err, ErrNotUp) {
		t.Errorf("Open of a half-built lab: %v, want ErrNotUp", err)
	}
	if _, err := Up(testFleet(), opts); err == nil {
		t.Error("Up over a half-built lab succeeded")
	}
	if err := Down(opts.Name); err != nil {
		t.Fatal(err)
	}
	up(t, testFleet(), opts)
}

func TestFailedUpLeavesNothing(t *testing.T) {
	opts := testOptions(t)
	fleet := testFleet()
	fleet.Tenants[0].Interfaces[1].Host = "nowhere"
	if _, err := Up(fleet, opts); err == nil {
		t.Fatal("Up succeeded with a VM on no host")
	}
	if left, _ := netns.List(prefixOf(opts.Name)); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

func TestOpenFindsTheLab(t *testing.T) {
	opts := testOptions(t)
	opts.UnderlayMTU = 1600
	opts.Unplugged = []VM{{"acme", "vm-b"}}
	var mu sync.Mutex
	var seen []string
	opts.Converge = func(_ context.Context, s Site) error {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, s.Host+" "+s.Prefix+" "+s.NS.Name())
		return nil
	}
	fleet := testFleet()
	fleet.Hosts[3].State = config.Down
	l := up(t, fleet, opts)
	lock := &portmap.Lock{Hosts: map[string]portmap.HostID{"hv1": 1, "hv2": 2, "edge1": 3, "edge2": 4}}
	if err := l.Apply(t.Context(), fleet, lock); err != nil {
		t.Fatal(err)
	}
	slices.Sort(seen)
	want := []string{}
	for _, h := range []string{"edge1", "hv1", "hv2"} {
		want = append(want, h+" "+opts.Name+"-"+h+"- "+opts.Name+"-"+h)
	}
	if !slices.Equal(seen, want) {
		t.Errorf("converged %q, want %q", seen, want)
	}

	again, err := Open(Options{Name: opts.Name})
	if err != nil {
		t.Fatal(err)
	}
	if again.opts.UnderlayMTU != 1600 || !again.state.Unplugged["acme/vm-b"] {
		t.Errorf("reopened with %+v", again.state)
	}
	if again.Lock() == nil || again.Lock().Hosts["edge1"] != 3 {
		t.Errorf("reopened with lock %+v", again.Lock())
	}
	if got := again.Fleet().Tenants[0].Interfaces[0]; got.MAC != fleet.Tenants[0].Interfaces[0].MAC || got.Addresses[1] != netip.MustParseAddr("fd00::12") {
		t.Errorf("reopened with interface %+v", got)
	}
	if err := again.Plug(VM{"acme", "vm-b"}); err != nil {
		t.Fatal(err)
	}
	if link, _ := device(t, again, "hv2", "tap-b"); link == nil {
		t.Error("plugged device is missing")
	}
}

func TestUnplugAndPlug(t *testing.T) {
	l := up(t, testFleet(), testOptions(t))
	vm := VM{"acme", "vm-a"}
	for range 2 {
		if err := l.Unplug(vm); err != nil {
			t.Fatal(err)
		}
		if link, _ := device(t, l, "hv1", "tap-a"); link != nil {
			t.Error("tap-a is there after Unplug")
		}
	}
	for range 2 {
		if err := l.Plug(vm); err != nil {
			t.Fatal(err)
		}
		if link, _ := device(t, l, "hv1", "tap-a"); link == nil {
			t.Error("tap-a is missing after Plug")
		}
		if _, addrs := device(t, l, "acme/vm-a", "eth0"); len(addrs) != 2 {
			t.Errorf("eth0 has %v after Plug", addrs)
		}
	}
	if err := l.Plug(VM{"acme", "nobody"}); !errors.Is(err, ErrNoNode) {
		t.Errorf("plug of nobody: %v", err)
	}
}

func TestRewire(t *testing.T) {
	l := up(t, testFleet(), testOptions(t))
	fleet := testFleet()
	fleet.Hosts = slices.Delete(fleet.Hosts, 2, 3) // edge1 goes
	fleet.Hosts = append(fleet.Hosts, config.Host{Name: "a-host-with-a-very-long-name", Underlay: netip.MustParseAddr("192.0.2.3"), Roles: []config.Role{config.Hypervisor}})
	acme := &fleet.Tenants[0]
	acme.Interfaces[0].Host = "hv2" // vm-a moves, vm-b goes, vm-c comes
	acme.Interfaces[1] = config.Interface{Name: "vm-c", Host: "a-host-with-a-very-long-name", Device: "tap-c", MAC: config.MAC{0x52, 0x54, 0, 0, 0, 0xc}, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.48")}}
	acme.NATGateway.Addresses = []netip.Addr{netip.MustParseAddr("203.0.113.24")}
	if err := l.Rewire(fleet); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		node, device string
		want         bool
	}{
		{"hv1", "tap-a", false}, {"hv2", "tap-a", true}, {"hv2", "tap-b", false}, {"a-host-with-a-very-long-name", "tap-c", true},
		{"internet", "edge1", false}, {"internet", "edge2", true}, {"underlay", "edge1", false},
	} {
		if link, _ := device(t, l, c.node, c.device); (link != nil) != c.want {
			t.Errorf("%s in %s: %v, want %v", c.device, c.node, link != nil, c.want)
		}
	}
	names, err := netns.List(l.prefix)
	if err != nil || slices.Contains(names, l.prefix+"edge1") || slices.Contains(names, l.prefix+"vm-acme-vm-b") {
		t.Errorf("namespaces %v, %v", names, err)
	}
	if routes := execOut(t, l, "internet", "cat", "/proc/net/route"); strings.Contains(routes, "177100CB") || !strings.Contains(routes, "187100CB") {
		t.Errorf("internet routes 203.0.113.23 or misses 203.0.113.24:\n%s", routes)
	}
	if out := execOut(t, l, "edge2", "cat", "/proc/net/route"); !strings.Contains(out, "030200C0") {
		t.Errorf("edge2 has no route to the new host:\n%s", out)
	}
	l.rewireEdges(t, fleet)
	moved := testFleet()
	moved.Hosts[0].Underlay = netip.MustParseAddr("192.0.2.77")
	if err := l.Rewire(moved); err == nil {
		t.Error("a host changed its underlay address while running")
	}
}

// rewireEdges makes a hypervisor an edge and takes the role away again: the cable stays, the internet's routes do not.
func (l *Lab) rewireEdges(t *testing.T, fleet *config.Fleet) {
	t.Helper()
	roles := func(uplink string, roles ...config.Role) *config.Fleet {
		out := *fleet
		out.Hosts = slices.Clone(fleet.Hosts)
		out.Hosts[0].Roles, out.Hosts[0].Uplink = roles, uplink
		return &out
	}
	for range 2 {
		for _, c := range []struct {
			fleet *config.Fleet
			hops  int
		}{
			{roles("eth7", config.Hypervisor, config.Edge), 2},
			{roles("", config.Hypervisor), 1},
		} {
			if err := l.Rewire(c.fleet); err != nil {
				t.Fatal(err)
			}
			if link, _ := device(t, l, "hv1", "eth7"); link == nil {
				t.Error("hv1 has no uplink")
			}
			if out := execOut(t, l, "hv1", "ip", "route"); !strings.Contains(out, "default via 198.18.0.1 dev eth7") || !strings.Contains(out, "192.0.2.2 via 169.254.0.1 dev underlay0") {
				t.Errorf("routes of hv1:\n%s", out)
			}
			out := execOut(t, l, "internet", "ip", "route", "show", "203.0.113.24")
			if got := max(1, strings.Count(out, "nexthop")); got != c.hops {
				t.Errorf("the internet knows %d edges, want %d:\n%s", got, c.hops, out)
			}
		}
	}
}

func execOut(t *testing.T, l *Lab, nodeName string, argv ...string) string {
	t.Helper()
	var out bytes.Buffer
	if status, err := l.Exec(nodeName, argv, nil, &out, &out); err != nil || status != 0 {
		t.Fatalf("exec %v in %s: status %d, %v\n%s", argv, nodeName, status, err, out.String())
	}
	return out.String()
}

func TestExecStatus(t *testing.T) {
	l := up(t, testFleet(), testOptions(t))
	if status, err := l.Exec("hv1", []string{"false"}, nil, nil, nil); status != 1 || err != nil {
		t.Errorf("false: %d, %v", status, err)
	}
	if _, err := l.Exec("hv1", []string{"no-such-program"}, nil, nil, nil); err == nil {
		t.Error("a missing program ran")
	}
	if _, err := l.Exec("hv7", []string{"true"}, nil, nil, nil); !errors.Is(err, ErrNoNode) {
		t.Errorf("exec in hv7: %v", err)
	}
	if out := execOut(t, l, "hv1", "cat", "/proc/net/dev"); !strings.Contains(out, "underlay0") {
		t.Errorf("exec ran elsewhere:\n%s", out)
	}
}
