package nft

import (
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/culvertnet/culvert/conntrack"
	"github.com/culvertnet/culvert/topology"
)

// sharing is a hypervisor whose VM A has the virtual IPs given.
func sharing(vips ...netip.Addr) topology.Tenant {
	t := hypervisor()
	t.NAT.Sources = nil
	for _, v := range vips {
		t.VIPs = append(t.VIPs, topology.VIP{Public: v, Private: vmA, Peer: t.Self, Local: true, Shared: len(vips) > 1})
	}
	return t
}

// TestUnboundFlowsEnd takes virtual IPs away while flows of them live, in both directions: those flows end, the others do not.
func TestUnboundFlowsEnd(t *testing.T) {
	l := newLot(t, sharing(vipA, vipC1, vipC2))
	ports := map[netip.Addr]uint16{vipC1: 2101, vipC2: 2102} // or the flows would clash behind their translation
	in := func(vip netip.Addr) frame { return reply(ports[vip]).with(func(f *frame) { f.destination = vip }) }
	const toVM = "tap-a 02:63:76:ff:ff:fe>52:54:00:00:00:0a ttl 59 udp 198.51.100.1:443>10.0.0.12:"
	l.expect(l.vx, []string{toVM + "2101"}, nil, in(vipC1))
	l.expect(l.vx, []string{toVM + "2102"}, nil, in(vipC2))
	l.expect(l.tap, []string{"vx100 02:63:76:00:00:01>02:63:76:00:00:03 ttl 63 udp 45.86.152.30:40000>198.51.100.1:443"}, nil, request(40000))
	flows := func(want int) {
		t.Helper()
		if n := l.entries(); n != want {
			t.Errorf("conntrack has %d entries, want %d", n, want)
		}
	}
	flows(3)
	l.become(Desired(sharing(vipA, vipC2)))
	flows(2)
	l.expect(l.vx, nil, counts{"ip/bounced": 1}, in(vipC1))
	l.become(Desired(sharing(vipC1, vipC2)))
	flows(1)
	// The VM goes on, as somebody else.
	l.expect(l.tap, []string{"vx100 02:63:76:00:00:01>02:63:76:00:00:03 ttl 63 udp 45.86.152.32:40000>198.51.100.1:443"}, nil, request(40000))
	l.expect(l.vx, []string{toVM + "2102"}, nil, in(vipC2))
	moved := sharing(vipC1, vipC2, vipA)
	moved.VIPs[1].Private = vmC
	l.become(Desired(moved))
	flows(1)
	l.become(Desired(hypervisor()))
	flows(0)
}

// TestBackendFlowsEnd takes a backend away while flows live: those that it serves end, so that the next backend can reset them. A
// drain ends none.
func TestBackendFlowsEnd(t *testing.T) {
	tenant := backendHost()
	l := newLot(t, tenant)
	in := reply(443).with(func(f *frame) { f.from, f.to = topology.RouterMAC(5), topology.BackendMAC(1) })
	toVM := []string{"tap-a 02:63:76:ff:ff:fe>52:54:00:00:00:0a ttl 59 udp 198.51.100.1:443>10.0.0.12:443"}
	l.expect(l.vx, toVM, nil, in)
	tenant.Balancers[0].Backends[0].Draining = true
	l.become(Desired(tenant))
	if n := l.entries(); n != 1 {
		t.Errorf("conntrack has %d entries while the backend drains, want 1", n)
	}
	tenant.Balancers[0].Backends = tenant.Balancers[0].Backends[1:]
	l.become(Desired(tenant))
	if n := l.entries(); n != 0 {
		t.Errorf("conntrack has %d entries of a backend that is gone", n)
	}
}

// TestConcerned says of entries whether they are those of something that is gone.
func TestConcerned(t *testing.T) {
	port := func(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }
	vm, server, public := vmA.AsSlice(), netip.MustParseAddr("198.51.100.1").AsSlice(), vipA.AsSlice()
	tcp := conntrack.Entry{
		Original: conntrack.Tuple{Protocol: 6, Source: vm, Destination: server, SourcePort: port(40000), DestinationPort: port(443)},
		Reply:    conntrack.Tuple{Protocol: 6, Source: server, Destination: public, SourcePort: port(443), DestinationPort: port(1100)},
	}
	ping := conntrack.Entry{
		Original: conntrack.Tuple{Protocol: 1, Source: vm, Destination: server, Identifier: port(7)},
		Reply:    conntrack.Tuple{Protocol: 1, Source: server, Destination: public, Identifier: port(1100)},
	}
	delivered := conntrack.Entry{
		Original: conntrack.Tuple{Protocol: 6, Source: server, Destination: public, SourcePort: port(40000), DestinationPort: port(443)},
		Reply:    conntrack.Tuple{Protocol: 6, Source: vm, Destination: server, SourcePort: port(8443), DestinationPort: port(40000)},
	}
	other := conntrack.Entry{Original: conntrack.Tuple{Protocol: 50, Source: server, Destination: server}, Reply: conntrack.Tuple{Protocol: 50, Source: server, Destination: server}}
	granule := string(Value{}.addr(vipA).port(1088))
	served := string(Value{}.addr(vipA).protocol(6).port(443).addr(vmA).port(8443))
	all := map[string]*conntrack.Entry{"tcp": &tcp, "ping": &ping, "delivered": &delivered, "other": &other}
	for _, test := range []struct {
		name, key string
		want      []string
	}{
		{"a public address", string(public), []string{"delivered", "ping", "tcp"}},
		{"a VM", gonePrefix + string(vm), []string{"delivered", "ping", "tcp"}},
		{"a granule", granule, []string{"ping", "tcp"}},
		{"another granule", string(Value{}.addr(vipA).port(1152)), nil},
		{"a backend", served, []string{"delivered"}},
		{"nothing", "", nil},
	} {
		var got []string
		var key Value
		for _, name := range slices.Sorted(maps.Keys(all)) {
			var ends bool
			if key, ends = concerned(key, all[name], map[string]bool{test.key: true}); ends {
				got = append(got, name)
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s is gone: %q end, want %q", test.name, got, test.want)
		}
	}
	var key Value
	if n := testing.AllocsPerRun(100, func() { key, _ = concerned(key, &delivered, map[string]bool{"x": true}) }); n > 1 {
		t.Errorf("%v allocations for each entry", n)
	}
}
