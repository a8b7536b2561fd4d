package overlay

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/topology"
)

func TestUnderlayMTUChangesInPlace(t *testing.T) {
	r := newRig(t)
	r.device("tap-a", "out0")
	h := hostOf(both())
	r.settle(h)
	before := r.listing()
	index := r.ip("culvert-acme", "-br link show")
	r.ip("host", "link set under0 mtu 1600")
	p := r.settle(h)
	want := `~ culvert-acme: link uplink address 02:63:76:ff:ff:fd mtu 1550 type veth peer cv100 address 02:63:76:ff:ff:fc in the host's namespace up (was: link uplink address 02:63:76:ff:ff:fd mtu 1500 type veth peer cv100 address 02:63:76:ff:ff:fc in the host's namespace up)
~ culvert-acme: link vx100 address 02:63:76:00:00:01 mtu 1550 type vxlan id 100 local 192.0.2.1 dstport 4789 nolearning up (was: link vx100 address 02:63:76:00:00:01 mtu 1500 type vxlan id 100 local 192.0.2.1 dstport 4789 nolearning up)
`
	if p.String() != want {
		t.Errorf("plan:\n%s\nwant:\n%s", p, want)
	}
	if p.Renewed("culvert-acme", "vx100") || p.Renewed("culvert-acme", "uplink") {
		t.Error("a device counts as made anew")
	}
	if after := r.listing(); after != before {
		t.Errorf("routes and neighbours became:\n%s\nwere:\n%s", after, before)
	}
	if after := r.ip("culvert-acme", "-br link show"); after != index {
		t.Errorf("links became:\n%s\nwere:\n%s", after, index)
	}
}

// TestDeviceMadeAnew changes what a VXLAN device cannot change: everything on it comes back.
func TestDeviceMadeAnew(t *testing.T) {
	tests := map[string]func(*topology.Host){
		"local": func(h *topology.Host) { h.Underlay = mustAddr("192.0.2.11") },
		"port":  func(h *topology.Host) { h.Port = 8472 },
		"VNI":   func(h *topology.Host) { h.Tenants[0].VNI = 101 },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.device("tap-a", "out0")
			r.ip("host", "address add 192.0.2.11/24 dev under0")
			h := hostOf(both())
			r.settle(h)
			change(&h)
			p := r.settle(h)
			if device := h.Tenants[0].Device(); !p.Renewed("culvert-acme", device) {
				t.Errorf("%s does not count as made anew:\n%s", device, p)
			}
			if p.Renewed("culvert-acme", "uplink") != (name == "VNI") {
				t.Errorf("uplink made anew: %v", p.Renewed("culvert-acme", "uplink"))
			}
			r.clean()
		})
	}
}

// TestNewAddresses gives the host another id, and so another MAC: the kernel drops the device's neighbours at that.
func TestNewAddresses(t *testing.T) {
	r := newRig(t)
	r.device("tap-a")
	h := hostOf(hypervisor())
	r.settle(h)
	h.Tenants[0].Self = peer(9, false)
	r.settle(h)
}

// TestVNIChangesHands has tenants swap VNIs, and a tenant take over that of one that leaves: the kernel allows one device
// for a VNI, so the old one has to go first.
func TestVNIChangesHands(t *testing.T) {
	r := newRig(t)
	r.device("tap-a", "tap-z", "out0")
	acme, blue := both(), other()
	blue.Edge, blue.NAT = true, &topology.NAT{Addresses: []netip.Addr{mustAddr("45.86.152.24")}}
	r.settle(hostOf(acme, blue))
	acme.VNI, blue.VNI = 200, 100
	r.settle(hostOf(acme, blue))
	blue.Name = "green"
	r.settle(hostOf(acme, blue))
	r.clean()
}

func TestVMDeviceMovesBetweenTenants(t *testing.T) {
	r := newRig(t)
	r.device("tap-a", "tap-z")
	acme, blue := hypervisor(), other()
	r.settle(hostOf(acme, blue))
	acme.Interfaces[0].Device, blue.Interfaces[0].Device = "tap-z", "tap-a"
	p := r.settle(hostOf(acme, blue))
	if len(p.Waiting) != 0 {
		t.Errorf("waiting: %v", p.Waiting)
	}
	acme.Interfaces = append(acme.Interfaces, blue.Interfaces...)
	acme.Interfaces[1].Addresses = []netip.Addr{mustAddr("10.0.0.13")}
	r.settle(hostOf(acme)) // blue leaves with its namespace
	r.clean()
}

// TestVMDeviceComesBack checks that a device that is given back carries nothing of ours.
func TestVMDeviceComesBack(t *testing.T) {
	r := newRig(t)
	r.device("tap-a")
	h := hostOf(hypervisor())
	r.settle(h)
	h.Tenants[0].Interfaces = nil
	r.settle(h)
	link := r.ip("host", "link show tap-a")
	if strings.Contains(link, topology.GatewayMAC.String()) || !strings.Contains(link, "state DOWN") || strings.Contains(link, ",UP") {
		t.Errorf("tap-a came back with our MAC or up:\n%s", link)
	}
	r.ip("host", "link set tap-a up")
	if out := r.ip("host", "address show dev tap-a"); strings.Contains(out, "fe80::1/") || strings.Contains(out, "inet ") {
		t.Errorf("tap-a came back with addresses:\n%s", out)
	}
	if out := r.ip("host", "neigh show dev tap-a nud permanent") + r.ip("host", "route show dev tap-a"); out != "" {
		t.Errorf("tap-a came back with neighbours or routes:\n%s", out)
	}
	for path, want := range map[string]string{"net/ipv4/conf/tap-a/proxy_arp": "0", "net/ipv4/neigh/tap-a/proxy_delay": "80"} {
		r.in("host", func() error {
			got, err := os.ReadFile("/proc/sys/" + path)
			if strings.TrimSpace(string(got)) != want {
				t.Errorf("%s = %s, want %s", path, got, want)
			}
			return err
		})
	}
}

func TestInterfaceLosesAddress(t *testing.T) {
	r := newRig(t)
	r.device("tap-a")
	h := hostOf(hypervisor())
	h.Tenants[0].Interfaces[0].Addresses = append(h.Tenants[0].Interfaces[0].Addresses, mustAddr("10.0.0.13"))
	r.settle(h)
	h.Tenants[0].Interfaces[0].Addresses = []netip.Addr{mustAddr("10.0.0.13")}
	r.settle(h)
}

func TestMultipath(t *testing.T) {
	r := newRig(t)
	r.device("out0")
	h := hostOf(edge())
	r.settle(h)
	for _, peers := range [][]topology.Peer{
		{peer(2, false)},
		{peer(2, false), peer(3, false), peer(6, false)},
		{peer(3, false), peer(6, false)},
		{},
		{peer(2, false), peer(3, false)},
	} {
		h.Tenants[0].Peers = peers
		r.settle(h)
	}
}

func TestWaiting(t *testing.T) {
	r := newRig(t)
	h := hostOf(both())
	want := "waiting for device out0\nculvert-acme: waiting for device tap-a\n"
	for range 2 { // waiting is no change
		p := r.plan(h)
		if got := p.String(); !strings.HasSuffix(got, want) {
			t.Errorf("plan:\n%s\nwant at its end:\n%s", got, want)
		}
		r.apply(p)
		r.settled(h)
	}
	if out := strings.TrimSpace(r.ip("culvert-acme", "route show 10.0.0.12")); out != "unreachable 10.0.0.12 proto 146 metric 1073741824" {
		t.Errorf("a VM without device has a route: %s", out)
	}
	r.device("tap-a", "out0")
	p := r.settle(h)
	if len(p.Waiting) != 0 {
		t.Errorf("still waiting: %v", p.Waiting)
	}
	r.clean()
}

func TestDesiredRefuses(t *testing.T) {
	facts := Facts{Underlay: "eth0", UnderlayMTU: 1550}
	device := func(name string) topology.Host {
		h := hostOf(hypervisor())
		h.Tenants[0].Interfaces = []config.Interface{nic("vm-a", name, "10.0.0.12")}
		return h
	}
	tests := []struct {
		name  string
		host  topology.Host
		facts Facts
		want  string
	}{
		{"no underlay", hostOf(), Facts{}, "no device of this host has the underlay address 192.0.2.1; assign it, or correct the host's underlay in the fleet"},
		{"small MTU", hostOf(), Facts{Underlay: "eth0", UnderlayMTU: 1300}, "underlay device eth0 has MTU 1300: too small for IPv6 inside VXLAN; raise it to 1330 at least"},
		{"underlay", device("eth0"), facts, "interface vm-a of tenant acme: device eth0 is the host's underlay; name the VM's device in the fleet"},
		{"uplink", device("out0"), facts, "interface vm-a of tenant acme: device out0 is the host's uplink; name the VM's device in the fleet"},
		{"addressed", device("mgmt0"), Facts{Underlay: "eth0", UnderlayMTU: 1550, Addressed: map[string]bool{"mgmt0": true}}, "interface vm-a of tenant acme: device mgmt0 is in use by the host itself, it has addresses; remove them if it is the VM's; name the VM's device in the fleet"},
		{"ours", device("vx100"), facts, "interface vm-a of tenant acme: device vx100 is a device that every namespace of the tenant has; name the VM's device in the fleet"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Desired(tt.host, tt.facts); err == nil || err.Error() != tt.want {
				t.Errorf("error: %v\nwant:  %s", err, tt.want)
			}
		})
	}
	if _, err := Desired(hostOf(), Facts{Underlay: "eth0", UnderlayMTU: 1330}); err != nil {
		t.Error(err)
	}
}

// TestAddressedDevice shows that a device with an address stays where it is, whatever the fleet says of it.
func TestAddressedDevice(t *testing.T) {
	r := newRig(t)
	r.device("tap-a")
	r.ip("host", "address add 10.99.0.5/24 dev tap-a")
	observed := must(r.k.Observe(netip.MustParseAddr("192.0.2.1")))
	if !observed.Facts.Addressed["tap-a"] || observed.Facts.Addressed["lo"] {
		t.Errorf("addressed: %v, want tap-a without lo", observed.Facts.Addressed)
	}
}

// TestFailures checks what a failure says, and that the next plan goes on from there.
func TestFailures(t *testing.T) {
	tests := []struct {
		name       string
		harm, mend func(*rig)
		want       string
		is         error
	}{
		{"VNI taken", func(r *rig) { r.ip("host", "link add foreign type vxlan id 100 dstport 4789 local 192.0.2.1") },
			func(r *rig) { r.ip("host", "link del foreign") },
			"add link vx100 address 02:63:76:00:00:01 mtu 1500 type vxlan id 100 local 192.0.2.1 dstport 4789 nolearning up in culvert-acme: VNI 100 on port 4789 is taken", unix.EEXIST},
		{"leftover file", func(r *rig) { r.leftover("culvert-acme") }, func(*rig) {}, "", nil},
		{"leftover veth", func(r *rig) { r.ip("host", "link add cv100 type veth peer name left0") }, func(*rig) {}, "", nil},
		{"leftover uplink", func(r *rig) {
			must(netns.Create(r.prefix + "culvert-acme")).Close()
			r.ip("host", "link add cv9 type veth peer name uplink netns "+r.prefix+"culvert-acme")
		}, func(*rig) {}, "", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.device("tap-a", "out0")
			tt.harm(r)
			h := hostOf(both())
			err := r.try(r.plan(h))
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || !errors.Is(err, tt.is)) {
				t.Errorf("error: %v\nwant:  %s", err, tt.want)
			}
			tt.mend(r)
			r.eventually(h)
			r.clean()
		})
	}
}

// TestDeviceNameTaken has the host hold another device of the name of one that shall come back: the namespace stays, with
// the VM's device in it, until the way is free.
func TestDeviceNameTaken(t *testing.T) {
	r := newRig(t)
	r.device("tap-a")
	r.settle(hostOf(hypervisor()))
	r.ip("host", "link add tap-a type veth peer name tap-a-2")
	err := r.try(r.cleanup())
	for _, want := range []string{"the host's namespace has another device tap-a; rename or remove that one", "device tap-a is still in it; move it away first"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v lacks %q", err, want)
		}
	}
	r.ip("host", "link del tap-a")
	r.clean()
	r.ip("host", "link show tap-a")
}

// TestOrphan leaves the host's end of an uplink alone: its namespace has lost its name, and something keeps it alive.
func TestOrphan(t *testing.T) {
	r := newRig(t)
	r.device("out0")
	r.settle(hostOf(edge()))
	held := must(netns.Open(r.prefix + "culvert-acme"))
	defer held.Close()
	if err := netns.Remove(r.prefix + "culvert-acme"); err != nil {
		t.Fatal(err)
	}
	p := r.cleanup()
	if want := "- link cv100 type veth, whose peer's namespace has lost its name\n"; !slices.Contains(lines(p.String()), strings.TrimSpace(want)) {
		t.Errorf("plan:\n%s\nlacks:\n%s", p, want)
	}
	r.clean()
	if err := held.Do(func() error { return nil }); err != nil {
		t.Error(err)
	}
}

// TestInterrupted stops a plan in every stage of it: the next plan does the rest. (The agent's test stops after each step.)
func TestInterrupted(t *testing.T) {
	r := newRig(t)
	r.device("tap-a", "out0")
	h := hostOf(both())
	for k := 0; ; k += 5 {
		p := r.plan(h)
		if k >= len(p.Steps) {
			return
		}
		if failures := r.k.Apply(p.Steps[:k]); len(failures) != 0 {
			t.Fatal(failures)
		}
		r.settle(h)
		// The same on the way back.
		p = r.cleanup()
		if failures := r.k.Apply(p.Steps[:min(k/3, len(p.Steps))]); len(failures) != 0 {
			t.Fatal(failures)
		}
		if k%2 == 0 {
			r.settle(h)
		}
		r.clean()
	}
}

// TestRepeated carries the same plan out twice: steps are idempotent.
func TestRepeated(t *testing.T) {
	r := newRig(t)
	r.device("tap-a", "out0")
	h := hostOf(both())
	p := r.plan(h)
	r.apply(p)
	r.apply(p)
	r.settled(h)
	p = r.cleanup()
	r.apply(p)
	r.apply(p)
	r.clean()
}

// TestWhatIsAPort keeps the kernel's own devices, which cannot leave a namespace, apart from VMs'.
func TestWhatIsAPort(t *testing.T) {
	link := func(name, kind string, flags net.Flags) netlink.Link {
		return &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Name: name, Flags: flags}, LinkType: kind}
	}
	for l, want := range map[netlink.Link]bool{
		link("lo", "device", net.FlagLoopback): false,
		link("vx100", "vxlan", 0):              false,
		link("uplink", "veth", 0):              false,
		link("uplink", "tun", 0):               true,
		link("tap-a", "tun", 0):                true,
		link("tap-a", "veth", 0):               true,
		link("sit0", "sit", 0):                 false,
		link("tunl0", "ipip", 0):               false,
		link("gretap0", "gretap", 0):           false,
		link("eth3", "device", 0):              true,
	} {
		if got := isPort(l); got != want {
			t.Errorf("%s of type %s is a port: %v, want %v", l.Attrs().Name, l.Type(), got, want)
		}
	}
}
