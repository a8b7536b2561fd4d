package nft

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/topology"
)

// elements prints the elements of a set of one of the tables; nil if there is no such set.
func elements(tables []Table, f Family, name string) []string {
	t := find(tables, f)
	if t == nil || t.set(name) == nil {
		return nil
	}
	s := t.set(name)
	out := make([]string, 0, len(s.Elements))
	for _, k := range s.sorted() {
		out = append(out, s.element(k, s.Elements[k]))
	}
	return out
}

// TestSets holds the small sets of every role.
func TestSets(t *testing.T) {
	const hv2, edge1, edge2, uplink = "02:63:76:00:00:02", "02:63:76:00:00:03", "02:63:76:00:00:04", "02:63:76:ff:ff:fc"
	for _, tt := range []struct {
		role   topology.Tenant
		family Family
		set    string
		want   []string
	}{
		{hypervisor(), NetdevFamily, setRouters, []string{hv2, edge1, edge2}},
		{edge(), NetdevFamily, setRouters, []string{hv2, edge1, edge2}},
		{inside(), NetdevFamily, setRouters, []string{hv2}},
		{hypervisor(), NetdevFamily, setEdges, []string{edge1}},
		{hypervisor(), IPv4Family, setEdges, []string{edge1}},
		{both(), IPv4Family, setEdges, []string{edge1, uplink}},
		{both(), NetdevFamily, setEdges, []string{edge1}},
		{edge(), NetdevFamily, setEdges, nil},
		{hypervisor(), IPv4Family, setPublics, []string{"45.86.152.23"}},
		{edge(), IPv4Family, setPublics, []string{"45.86.152.23"}},
		{inside(), IPv4Family, setPublics, nil},
		{hypervisor(), IPv4Family, setInside, []string{"10.0.0.12", "10.0.0.13", "10.0.0.47", "10.0.0.99", "100.64.0.1", "100.64.0.2", "100.64.0.3", "100.64.0.4"}},
		{hypervisor(), IPv6Family, setInside, []string{"fd00::12", "fd00::99", "fd00:c0de::1", "fd00:c0de::2", "fd00:c0de::3", "fd00:c0de::4"}},
		{hypervisor(), IPv4Family, setSources, []string{"10.0.0.12"}},
		{perInterface(), IPv4Family, setSources, []string{"10.0.0.12", "10.0.0.13"}},
		{perInterface(), IPv4Family, mapBlocks, []string{"10.0.0.12 : 45.86.152.23 . 1024-2047"}},
		{hypervisor(), IPv4Family, mapBlocks, nil},
	} {
		got := elements(Desired(tt.role), tt.family, tt.set)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s %s of %s (-want +got):\n%s", tt.family, tt.set, tt.role.Self.Host, diff)
		}
	}
}

// TestOwners shows that every port of every other host's block leads to its owner, and no other port anywhere.
func TestOwners(t *testing.T) {
	tenant := hypervisor()
	for _, f := range []Family{NetdevFamily, IPv4Family} {
		owners := find(Desired(tenant), f).set(mapOwners)
		for port := range 1 << 16 {
			want := ""
			for _, o := range tenant.NAT.Owners {
				if o.Block.Contains(public, uint16(port)) {
					want = key(o.Peer.IPv4)
				}
			}
			if got := owners.Elements[string(Value{}.addr(public).port(uint16(port)&^(portmap.Granule-1)))]; got != want {
				t.Fatalf("%s: port %d leads to %v, want %v", f, port, []byte(got), []byte(want))
			}
		}
	}
}

// TestLastBlock has a block that ends with the last port there is.
func TestLastBlock(t *testing.T) {
	tenant := hypervisor()
	tenant.NAT.Owners = []topology.Owner{{Block: block(65472, 65535), Peer: tenant.Peers[0]}}
	want := []string{"45.86.152.23 . 65472 : 100.64.0.2"}
	if diff := cmp.Diff(want, elements(Desired(tenant), NetdevFamily, mapOwners)); diff != "" {
		t.Errorf("owners (-want +got):\n%s", diff)
	}
}

// TestSlots shows that slots are dealt as portmap deals them, to all sources or to the one that has grown.
func TestSlots(t *testing.T) {
	shared, own := hypervisor(), perInterface()
	shared.NAT.Sources[0].Blocks = []portmap.Block{block(1024, 2047), block(4096, 4607)}
	for i, b := range portmap.Deal(shared.NAT.Sources[0].Blocks) {
		if got := find(Desired(shared), IPv4Family).set(mapSlots).Elements[string(Value{}.slot(i))]; got != span(b) {
			t.Errorf("slot %d is %v, want %s", i, []byte(got), b)
		}
	}
	for i, b := range portmap.Deal(own.NAT.Sources[1].Blocks) {
		if got := find(Desired(own), IPv4Family).set(mapOwnSlots).Elements[string(Value{}.addr(vmC).slot(i))]; got != span(b) {
			t.Errorf("slot %d of %s is %v, want %s", i, vmC, []byte(got), b)
		}
	}
}

// TestNoSources is a host whose VMs have IPv6 addresses alone: nothing to translate, and all to redirect.
func TestNoSources(t *testing.T) {
	tenant := hypervisor()
	tenant.NAT.Sources = nil
	desired := Desired(tenant)
	if got := elements(desired, IPv4Family, mapSlots); len(got) != 0 {
		t.Errorf("slots are %v", got)
	}
	if got := elements(desired, NetdevFamily, mapOwners); len(got) != 17 {
		t.Errorf("%d granules have owners, want 17", len(got))
	}
}

// TestDesiredIsPure shows that the same tenant gives the same tables, and that the tenant is left alone.
func TestDesiredIsPure(t *testing.T) {
	for _, r := range roles() {
		tenant := r.tenant
		first := Desired(tenant)
		if plan := Diff(first, Desired(tenant)); !plan.Empty() {
			t.Errorf("%s: a second time gives\n%s", r.name, plan)
		}
		for _, table := range first {
			everyNameIsThere(t, r.name, table)
		}
	}
}

// everyNameIsThere checks that what rules name is in their table, and that nothing is there for nobody.
func everyNameIsThere(t *testing.T, role string, table Table) {
	t.Helper()
	var rules strings.Builder
	for _, c := range table.Chains {
		for _, r := range c.Rules {
			rules.WriteString(" " + r.Text + " ")
		}
	}
	for _, s := range table.Sets {
		if s.Name == setFreed {
			continue // a note
		}
		if !strings.Contains(rules.String(), "@"+s.Name+" ") {
			t.Errorf("%s %s: nobody uses set %s", role, table.Family, s.Name)
		}
	}
	for _, c := range table.Counters {
		if !strings.Contains(rules.String(), `counter name "`+c.Name+`" `) {
			t.Errorf("%s %s: nobody counts %s", role, table.Family, c.Name)
		}
	}
	for _, c := range table.Chains {
		if c.Base == nil && !strings.Contains(rules.String(), " jump "+c.Name+" ") && !strings.Contains(rules.String(), "goto "+c.Name+" ") {
			t.Errorf("%s %s: nobody goes to chain %s", role, table.Family, c.Name)
		}
	}
}

// TestRoom shows how many elements sets are made for.
func TestRoom(t *testing.T) {
	for elements, want := range map[int]int{0: 16, 1: 16, 16: 16, 17: 32, 1008: 1024, 1024: 1024, 1025: 2048, 100_000: 131_072} {
		if got := counted(elements, 1)[0].Sets[0].room(); got != want {
			t.Errorf("%d elements get room for %d, want %d", elements, got, want)
		}
	}
	small, big := counted(16, 1)[0].Sets[0], counted(17, 1)[0].Sets[0]
	if small.becomes(big) || !big.becomes(small) {
		t.Error("a set grows past its room, or shrinks for nothing")
	}
	if small.size = 64; !small.becomes(big) {
		t.Error("a set with more room than it needs is made anew")
	}
}

// TestFormats prints one value of each type.
func TestFormats(t *testing.T) {
	for _, tt := range []struct {
		typ   Type
		value Value
		want  string
	}{
		{Type{IPv4}, Value{}.addr(public), "45.86.152.23"},
		{Type{IPv6}, Value{}.addr(netip.MustParseAddr("fd00::1")), "fd00::1"},
		{Type{MAC}, Value{}.mac(topology.RouterMAC(0x010203)), "02:63:76:01:02:03"},
		{Type{IPv4, Port}, Value{}.addr(public).port(1024), "45.86.152.23 . 1024"},
		{Type{IPv4, Mark}, Value{}.addr(public).slot(63), "45.86.152.23 . 0x0000003f"},
		{Type{Protocol}, Value{6}, "tcp"},
		{Type{Protocol}, Value{47}, "47"},
		{Type{ICMPType}, Value{11}, "time-exceeded"},
		{Type{ICMPType}, Value{99}, "99"},
	} {
		if got := tt.typ.format(string(tt.value)); got != tt.want {
			t.Errorf("%s %v is printed as %q, want %q", tt.typ, []byte(tt.value), got, tt.want)
		}
		if len(tt.value) != tt.typ.size() {
			t.Errorf("%s has %d bytes, want %d", tt.typ, len(tt.value), tt.typ.size())
		}
	}
	single := span(block(64, 64))
	if got := (Type{IPv4, Port}).formatRange(single[:8], single[8:]); got != "45.86.152.23 . 64" {
		t.Errorf("a range of one is printed as %q", got)
	}
	if got := Family(99).String(); got != "family 99" {
		t.Errorf("an unknown family is %q", got)
	}
}

// TestDiffOrder shows that what is needed comes before who needs it, and leaves after.
func TestDiffOrder(t *testing.T) {
	up, down := messages(Diff(nil, Desired(both()))), messages(Diff(Desired(both()), Desired(inside())))
	before := func(labels []string, a, b string) {
		t.Helper()
		i := slices.IndexFunc(labels, func(l string) bool { return strings.HasPrefix(l, a) })
		j := slices.IndexFunc(labels, func(l string) bool { return strings.HasPrefix(l, b) })
		if i < 0 || j < 0 || i > j {
			t.Errorf("%q is at %d, %q at %d", a, i, b, j)
		}
	}
	before(up, "add table", "add counter stranger")
	before(up, "add counter stranger", "add rule")
	before(up, "add set owners", "add to owners")
	before(up, "add to owners", "add rule")
	before(up, "add chain ingress", "add rule")
	before(down, "empty chain forward", "delete set sources")
	before(down, "delete chain outbound", "delete set sources")
	before(down, "delete set sources", "delete counter unknown")
}

// messages are the labels of a plan's messages.
func messages(p Plan) []string {
	tx := transaction{index: func(string) (int, error) { return 1, nil }}
	for _, step := range p.steps {
		step(&tx)
	}
	return tx.labels
}
