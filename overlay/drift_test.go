package overlay

import (
	"slices"
	"strings"
	"testing"

	"github.com/culvertnet/culvert/netns"
)

// TestDrift changes what the kernel holds behind our back: the plan shows exactly that, with what went along, and repairs it.
func TestDrift(t *testing.T) {
	const in = "culvert-acme"
	vxRoutes := []string{
		"+ culvert-acme: route 10.0.0.47/32 via 100.64.0.2 dev vx100 onlink",
		"+ culvert-acme: route fd00::47/128 via fd00:c0de::2 dev vx100 onlink",
		"+ culvert-acme: route 100.64.0.2/32 dev vx100",
		"+ culvert-acme: route 100.64.0.4/32 dev vx100",
	}
	vxNeighbours := []string{
		"+ culvert-acme: neigh 100.64.0.2 lladdr 02:63:76:00:00:02 dev vx100 nud permanent",
		"+ culvert-acme: neigh 100.64.0.4 lladdr 02:63:76:00:00:04 dev vx100 nud permanent",
		"+ culvert-acme: neigh fd00:c0de::2 lladdr 02:63:76:00:00:02 dev vx100 nud permanent",
		"+ culvert-acme: neigh fd00:c0de::4 lladdr 02:63:76:00:00:04 dev vx100 nud permanent",
	}
	vxEntries := []string{
		"+ culvert-acme: fdb 02:63:76:00:00:02 dev vx100 dst 192.0.2.2",
		"+ culvert-acme: fdb 02:63:76:00:00:04 dev vx100 dst 192.0.2.4",
	}
	const vx = "culvert-acme: link vx100 address 02:63:76:00:00:01 mtu 1500 type vxlan id 100 local 192.0.2.1 dstport 4789 nolearning up"
	const was = "culvert-acme: link vx100 address 02:63:76:00:00:01 mtu 1500 type vxlan id 100 local 192.0.2.1 dstport 4789 nolearning"
	const uplink = "culvert-acme: link uplink address 02:63:76:ff:ff:fd mtu 1500 type veth peer cv100 address 02:63:76:ff:ff:fc in the host's namespace up"
	const change = " (was: "
	tap := []string{
		"+ culvert-acme: address fe80::1/64 dev tap-a",
		"+ culvert-acme: neigh 10.0.0.12 lladdr 52:54:00:00:00:0a dev tap-a nud permanent",
		"+ culvert-acme: neigh fd00::12 lladdr 52:54:00:00:00:0a dev tap-a nud permanent",
		"+ culvert-acme: route 10.0.0.12/32 dev tap-a",
		"+ culvert-acme: route fd00::12/128 dev tap-a",
	}
	uplinkRest := []string{
		"+ sysctl net/ipv4/conf/cv100/rp_filter=1",
		"+ neigh 169.254.99.2 lladdr 02:63:76:ff:ff:fd dev cv100 nud permanent",
		"+ culvert-acme: neigh 169.254.99.1 lladdr 02:63:76:ff:ff:fc dev uplink nud permanent",
		"+ culvert-acme: route 0.0.0.0/0 via 169.254.99.1 dev uplink onlink",
		"+ route 45.86.152.23/32 via 169.254.99.2 dev cv100 onlink",
		"+ sysctl net/ipv4/conf/cv100/forwarding=1",
	}
	tests := []struct {
		name  string
		drift func(*rig)
		want  []string
	}{
		{"route", func(r *rig) { r.ip(in, "route del 10.0.0.47") }, vxRoutes[:1]},
		{"on-link route", func(r *rig) { r.ip(in, "route del 10.0.0.12") }, tap[3:4]},
		{"IPv6 route", func(r *rig) { r.ip(in, "-6 route del fd00::47") }, vxRoutes[1:2]},
		{"default route", func(r *rig) { r.ip(in, "route del default") }, uplinkRest[3:4]},
		{"public route", func(r *rig) { r.ip("host", "route del 45.86.152.23") }, uplinkRest[4:5]},
		{"other next hop", func(r *rig) { r.ip(in, "route replace 10.0.0.47 via 100.64.0.4 dev vx100 onlink proto 146") },
			[]string{"~ " + vxRoutes[0][2:] + change + "route 10.0.0.47/32 via 100.64.0.4 dev vx100 onlink)"}},
		{"neighbour", func(r *rig) { r.ip(in, "neigh del 100.64.0.2 dev vx100") }, vxNeighbours[:1]},
		{"IPv6 neighbour", func(r *rig) { r.ip(in, "neigh del fd00:c0de::4 dev vx100") }, vxNeighbours[3:]},
		{"VM neighbour", func(r *rig) { r.ip(in, "neigh del 10.0.0.12 dev tap-a") }, tap[1:2]},
		{"host neighbour", func(r *rig) { r.ip("host", "neigh del 169.254.99.2 dev cv100") }, uplinkRest[1:2]},
		{"neighbour no longer permanent", func(r *rig) {
			r.ip(in, "neigh replace 100.64.0.2 lladdr 02:63:76:00:00:02 dev vx100 nud reachable")
		}, vxNeighbours[:1]},
		{"forwarding entry", func(r *rig) { r.bridge(in, "fdb del 02:63:76:00:00:02 dev vx100") }, vxEntries[:1]},
		{"forwarding entry elsewhere", func(r *rig) { r.bridge(in, "fdb replace 02:63:76:00:00:02 dev vx100 dst 192.0.2.77") },
			[]string{"~ " + vxEntries[0][2:] + change + "fdb 02:63:76:00:00:02 dev vx100 dst 192.0.2.77)"}},
		// The last IPv4 address takes the IPv4 routes and neighbours of the device along.
		{"address", func(r *rig) { r.ip(in, "address del 100.64.0.1/32 dev vx100") },
			slices.Concat([]string{"+ culvert-acme: address 100.64.0.1/32 dev vx100"}, vxNeighbours[:2], vxRoutes[:1], vxRoutes[2:])},
		{"gateway address", func(r *rig) { r.ip(in, "address del fe80::1/64 dev tap-a") }, tap[:1]},
		{"sysctl", func(r *rig) { r.sysctl(in, "net/ipv4/ip_forward", "0") }, []string{
			"~ culvert-acme: sysctl net/ipv4/conf/all/accept_redirects=0" + change + "sysctl net/ipv4/conf/all/accept_redirects=1)",
			"~ culvert-acme: sysctl net/ipv4/ip_forward=1" + change + "sysctl net/ipv4/ip_forward=0)",
		}},
		{"VM device's sysctl", func(r *rig) { r.sysctl(in, "net/ipv4/conf/tap-a/proxy_arp", "0") },
			[]string{"~ culvert-acme: sysctl net/ipv4/conf/tap-a/proxy_arp=1" + change + "sysctl net/ipv4/conf/tap-a/proxy_arp=0)"}},
		{"lo down", func(r *rig) { r.ip(in, "link set lo down") }, []string{
			"+ culvert-acme: route unreachable fd00::12/128 metric 1073741824", // in IPv6, such routes stand on lo
			"~ netns culvert-acme" + change + "netns culvert-acme (lo is down))",
		}},
		{"VXLAN device gone", func(r *rig) { r.ip(in, "link del vx100") }, slices.Concat(
			[]string{"+ " + vx, "+ culvert-acme: address 100.64.0.1/32 dev vx100", "+ culvert-acme: address fd00:c0de::1/128 dev vx100"},
			vxNeighbours, vxEntries, vxRoutes)},
		// The kernel keeps the IPv4 address and the forwarding entries of a link that goes down, and nothing else.
		{"VXLAN device down", func(r *rig) { r.ip(in, "link set vx100 down") }, slices.Concat(
			[]string{"~ " + vx + change + was[len("culvert-acme: "):] + " down)", "+ culvert-acme: address fd00:c0de::1/128 dev vx100"},
			vxNeighbours, vxRoutes)},
		{"VXLAN device with another MTU", func(r *rig) { r.ip(in, "link set vx100 mtu 1400") },
			[]string{"~ " + vx + change + strings.Replace(was[len("culvert-acme: "):], "1500", "1400", 1) + " up)"}},
		{"VXLAN device that learns", func(r *rig) {
			r.ip(in, "link del vx100")
			r.ip("host", "link add vx100 netns "+r.prefix+in+" address 02:63:76:00:00:01 mtu 1500 type vxlan id 100 local 192.0.2.1 dstport 4789 learning")
			r.ip(in, "link set vx100 up")
		}, slices.Concat(
			[]string{"~ " + vx + change + strings.Replace(was[len("culvert-acme: "):], "nolearning", "learning", 1) + " up)",
				"+ culvert-acme: address 100.64.0.1/32 dev vx100", "+ culvert-acme: address fd00:c0de::1/128 dev vx100"},
			vxNeighbours, vxEntries, vxRoutes)},
		{"uplink's host side gone", func(r *rig) { r.ip("host", "link del cv100") }, append([]string{"+ " + uplink}, uplinkRest...)},
		{"uplink's host side down", func(r *rig) { r.ip("host", "link set cv100 down") },
			[]string{"~ " + uplink + change + strings.TrimSuffix(uplink[len("culvert-acme: "):], "up") + "down)", uplinkRest[1], uplinkRest[4]}},
		{"uplink's host side with another MTU", func(r *rig) { r.ip("host", "link set cv100 mtu 1300") },
			[]string{"~ " + uplink + change + strings.Replace(uplink[len("culvert-acme: "):], ":fc in", ":fc mtu 1300 in", 1) + ")"}},
		{"VM device taken away", func(r *rig) { r.ip(in, "link set tap-a netns "+r.prefix+"host") }, slices.Concat(
			[]string{"+ culvert-acme: link tap-a address 02:63:76:ff:ff:fe up", "+ culvert-acme: sysctl net/ipv4/conf/tap-a/proxy_arp=1", "+ culvert-acme: sysctl net/ipv4/neigh/tap-a/proxy_delay=0"},
			tap)},
		{"VM device down", func(r *rig) { r.ip(in, "link set tap-a down") }, slices.Concat(
			[]string{"~ culvert-acme: link tap-a address 02:63:76:ff:ff:fe up" + change + "link tap-a address 02:63:76:ff:ff:fe down)"}, tap)},
		{"VM device with another MAC", func(r *rig) { r.ip(in, "link set tap-a address 02:00:00:00:00:01") },
			append([]string{"~ culvert-acme: link tap-a address 02:63:76:ff:ff:fe up" + change + "link tap-a address 02:00:00:00:00:01 up)"}, tap[1:3]...)},
	}
	h := hostOf(both())
	base := newRig(t)
	base.device("tap-a", "out0")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := base.with(t)
			r.settle(h)
			tt.drift(r)
			p := r.plan(h)
			got := lines(p.String())
			slices.Sort(got)
			want := slices.Sorted(slices.Values(tt.want))
			if !slices.Equal(got, want) {
				t.Errorf("plan:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			r.apply(p)
			r.settled(h)
		})
	}
}

// TestNamespaceDeleted removes and remakes a namespace by name: the plan begins from nothing, not from a socket that is
// still open in the old one.
func TestNamespaceDeleted(t *testing.T) {
	for _, remake := range []bool{false, true} {
		r := newRig(t)
		r.device("tap-a", "out0")
		h := hostOf(both())
		first := r.settle(h)
		name := r.prefix + "culvert-acme"
		r.ip("culvert-acme", "link set tap-a netns "+r.prefix+"host") // or the kernel would delete it
		if err := netns.Remove(name); err != nil {
			t.Fatal(err)
		}
		want := first.String()
		if remake {
			must(netns.Create(name)).Close()
			want = strings.TrimPrefix(want, "+ netns culvert-acme\n")
		}
		got := r.plan(h).String()
		for _, l := range lines(want) {
			// The new namespace's parameters have values of their own; the uplink's end in the host's may linger.
			if !strings.Contains(l, "sysctl") && !strings.Contains(got, l) {
				t.Errorf("remake %v: plan lacks %q:\n%s", remake, l, got)
			}
		}
		r.eventually(h)
		r.clean()
	}
}

// TestForeignObjects has an operator's things in the tenant's namespace removed, and in the host's left alone.
func TestForeignObjects(t *testing.T) {
	const in = "culvert-acme"
	tests := []struct {
		name string
		add  func(*rig)
		want string
	}{
		{"route", func(r *rig) { r.ip(in, "route add 203.0.113.0/24 via 100.64.0.2 dev vx100 onlink") },
			"- culvert-acme: route 203.0.113.0/24 via 100.64.0.2 dev vx100 proto 3 metric 0\n"},
		{"IPv6 route", func(r *rig) { r.ip(in, "-6 route add 2001:db8:9::/48 dev vx100 metric 7 proto static") },
			"- culvert-acme: route 2001:db8:9::/48 dev vx100 proto 4 metric 7\n"},
		{"blackhole of our protocol", func(r *rig) { r.ip(in, "route add blackhole 203.0.113.0/24 proto 146") },
			"- culvert-acme: route 203.0.113.0/24 type 6 proto 146 metric 0\n"},
		{"route of another metric", func(r *rig) { r.ip(in, "route add 10.0.0.47 via 100.64.0.4 dev vx100 onlink metric 50 proto 146") },
			"- culvert-acme: route 10.0.0.47/32 via 100.64.0.4 dev vx100 proto 146 metric 50\n"},
		{"several hops", func(r *rig) {
			r.ip(in, "route add 203.0.113.0/24 nexthop via 100.64.0.2 dev vx100 onlink nexthop via 100.64.0.4 dev vx100 onlink")
		}, "- culvert-acme: route 203.0.113.0/24 via 100.64.0.2 dev vx100 via 100.64.0.4 dev vx100 proto 3 metric 0\n"},
		{"our own route left over", func(r *rig) { r.ip(in, "route add 10.0.0.99 dev tap-a proto 146") },
			"- culvert-acme: route 10.0.0.99/32 dev tap-a\n"},
		{"our own route left over in the host", func(r *rig) { r.ip("host", "route add 203.0.113.9 dev under0 proto 146") },
			"- route 203.0.113.9/32 dev under0\n"},
		{"weighted hops", func(r *rig) {
			r.ip(in, "route add 203.0.113.0/24 proto 146 nexthop via 100.64.0.2 dev vx100 onlink weight 5")
		},
			"- culvert-acme: route 203.0.113.0/24 via 100.64.0.2 dev vx100 onlink"},
		{"address", func(r *rig) { r.ip(in, "address add 198.51.100.1/24 dev vx100") }, "- culvert-acme: address 198.51.100.1/24 dev vx100\n"},
		{"address on lo", func(r *rig) { r.ip(in, "address add 10.0.0.47/32 dev lo") }, "- culvert-acme: address 10.0.0.47/32 dev lo\n"},
		{"link-local address", func(r *rig) { r.ip(in, "address add fe80::77/64 dev vx100") }, "- culvert-acme: address fe80::77/64 dev vx100\n"},
		{"neighbour", func(r *rig) { r.ip(in, "neigh add 100.64.0.9 lladdr 02:00:00:00:00:09 dev vx100 nud permanent") },
			"- culvert-acme: neigh 100.64.0.9 lladdr 02:00:00:00:00:09 dev vx100 nud permanent\n"},
		{"flooding", func(r *rig) {
			r.bridge(in, "fdb append 00:00:00:00:00:00 dev vx100 dst 192.0.2.2")
			r.bridge(in, "fdb append 00:00:00:00:00:00 dev vx100 dst 192.0.2.3")
		}, "- culvert-acme: fdb 00:00:00:00:00:00 dev vx100 dst 192.0.2.2\n- culvert-acme: fdb 00:00:00:00:00:00 dev vx100 dst 192.0.2.3\n"},
		{"device", func(r *rig) { r.ip(in, "link add odd0 type veth peer name odd0-peer netns "+r.prefix+"host") },
			"- culvert-acme: link odd0 address "},
		{"VXLAN device", func(r *rig) { r.ip(in, "link add vx7 type vxlan id 7 dstport 4789") }, "- culvert-acme: link vx7 "},
		{"namespace", func(r *rig) { must(netns.Create(r.prefix + "culvert-old")).Close() }, "- netns culvert-old (lo is down)\n"},
		{"file that is no namespace", func(r *rig) { r.leftover("culvert-old") }, "- netns culvert-old (a file without a namespace)\n"},
		{"host's route", func(r *rig) { r.ip("host", "route add 203.0.113.0/24 dev under0") }, ""},
		{"host's neighbour", func(r *rig) { r.ip("host", "neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev under0 nud permanent") }, ""},
		{"host's veth", func(r *rig) { r.ip("host", "link add cv7 type veth peer name cv7-peer") }, ""},
		{"host's namespace", func(r *rig) { must(netns.Create(r.prefix + "kulvert")).Close() }, ""},
		// The kernel adds to these by itself.
		{"IPv6 generated", func(r *rig) {
			r.ip(in, "address add 2001:db8::5/64 dev vx100 nodad")
			r.ip(in, "address del 2001:db8::5/64 dev vx100")
		}, ""},
		{"neighbour that the kernel found", func(r *rig) {
			r.ip(in, "neigh add 10.0.0.200 lladdr 02:00:00:00:00:09 dev tap-a nud stale")
		}, ""},
	}
	h := hostOf(hypervisor())
	base := newRig(t)
	base.device("tap-a")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := base.with(t)
			r.settle(h)
			tt.add(r)
			p := r.plan(h)
			if got := p.String(); got != tt.want && (tt.want == "" || strings.HasSuffix(tt.want, "\n") || !strings.HasPrefix(got, tt.want)) {
				t.Errorf("plan:\n%s\nwant:\n%s", got, tt.want)
			}
			r.apply(p)
			r.settled(h)
		})
	}
}
