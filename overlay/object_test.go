package overlay

import (
	"net/netip"
	"testing"

	"github.com/culvertnet/culvert/config"
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// TestObjects gives pairs of objects: whether they are the same thing, and whether they are equal.
func TestObjects(t *testing.T) {
	m, n := config.MAC{2, 0, 0, 0, 0, 1}, config.MAC{2, 0, 0, 0, 0, 2}
	a, b := mustAddr("10.0.0.1"), mustAddr("10.0.0.2")
	via := func(hops ...Hop) Route { return Route{Dst: prefix("10.0.0.9/32"), Hops: hops} }
	tests := []struct {
		name      string
		a, b      Object
		key, same bool
	}{
		{"namespaces", Namespace{Name: "x"}, Namespace{Name: "y"}, false, false},
		{"flawed namespace", Namespace{Name: "x"}, Namespace{Name: "x", flaw: flawLo}, true, false},
		{"VXLAN with another MTU", VXLAN{Name: "vx1", MTU: 1500}, VXLAN{Name: "vx1", MTU: 1400}, true, false},
		{"VXLAN that learns", VXLAN{Name: "vx1"}, VXLAN{Name: "vx1", learning: true}, true, false},
		{"VXLAN down", VXLAN{Name: "vx1"}, VXLAN{Name: "vx1", down: true}, true, false},
		{"VM device of a VXLAN's name", VXLAN{Name: "vx1"}, Port{Device: "vx1"}, true, false},
		{"VM device down", Port{Device: "tap"}, Port{Device: "tap", down: true}, true, false},
		{"uplinks", Uplink{Port: "cv1"}, Uplink{Port: "cv2"}, true, false},
		{"uplink's other end", Uplink{Port: "cv1"}, Uplink{Port: "cv1", portMTU: 9}, true, false},
		{"orphans", Orphan{"cv1"}, Orphan{"cv2"}, false, false},
		{"address on two devices", Address{Device: "x", Prefix: prefix("10.0.0.1/32")}, Address{Device: "y", Prefix: prefix("10.0.0.1/32")}, false, false},
		{"address with another mask", Address{Device: "x", Prefix: prefix("10.0.0.1/32")}, Address{Device: "x", Prefix: prefix("10.0.0.1/24")}, false, false},
		{"equal addresses, read differently", Address{Device: "x", Prefix: prefix("10.0.0.1/32")}, Address{Device: "x", Prefix: prefix("10.0.0.1/32"), late: true}, true, true},
		{"neighbour with another MAC", Neighbour{"x", a, m, false}, Neighbour{"x", a, n, false}, true, false},
		{"neighbours", Neighbour{"x", a, m, false}, Neighbour{"x", b, m, false}, false, false},
		{"entry elsewhere", FDB{"x", m, a}, FDB{"x", m, b}, true, false},
		{"entries", FDB{"x", m, a}, FDB{"x", n, a}, false, false},
		{"default entries", FDB{"x", config.MAC{}, a}, FDB{"x", config.MAC{}, b}, false, false},
		{"entries of a group", FDB{"x", config.MAC{1}, a}, FDB{"x", config.MAC{1}, b}, false, false},
		{"equal routes", via(Hop{Via: a, Device: "x"}), via(Hop{Via: a, Device: "x"}), true, true},
		{"other next hop", via(Hop{Via: a, Device: "x"}), via(Hop{Via: b, Device: "x"}), true, false},
		{"more next hops", via(Hop{Via: a, Device: "x"}), via(Hop{Via: a, Device: "x"}, Hop{Via: b, Device: "x"}), true, false},
		{"weighted next hop", via(Hop{Via: a, Device: "x"}), via(Hop{Via: a, Device: "x", weight: 2}), true, false},
		{"on-link", via(Hop{Via: a, Device: "x"}), via(Hop{Device: "x"}), true, false},
		{"families", Route{Dst: prefix("0.0.0.0/0"), Hops: []Hop{{}}}, Route{Dst: prefix("::/0"), Hops: []Hop{{}}}, false, false},
		{"route and stray", via(Hop{Device: "x"}), Stray{text: "10.0.0.9/32 dev x"}, false, false},
		{"stray and route", Stray{text: "10.0.0.9/32 dev x"}, via(Hop{Device: "x"}), false, false},
		{"parameters", Sysctl{Path: "p", Value: "0"}, Sysctl{Path: "p", Value: "1"}, true, false},
		{"equal parameters, read differently", Sysctl{Path: "p", Value: "0"}, Sysctl{Path: "p", Value: "0", at: stageForwarding}, true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.a.key() == tt.b.key(); got != tt.key {
				t.Errorf("one thing: %v, want %v", got, tt.key)
			}
			if !tt.key {
				return // never compared further
			}
			if got := same(tt.a, tt.b); got != tt.same {
				t.Errorf("%s and %s equal: %v, want %v", tt.a, tt.b, got, tt.same)
			}
			if got := tt.a.String() == tt.b.String(); got != tt.same {
				t.Errorf("%s and %s have equal text: %v, want %v", tt.a, tt.b, got, tt.same)
			}
			if !same(tt.a, tt.a) {
				t.Errorf("%s is not equal to itself", tt.a)
			}
		})
	}
}

func TestMTU(t *testing.T) {
	for underlay, want := range map[string]int{"192.0.2.1": 1450, "2001:db8::1": 1430} {
		if got := MTU(mustAddr(underlay), 1500); got != want {
			t.Errorf("MTU over %s: %d, want %d", underlay, got, want)
		}
	}
}

func TestFailureText(t *testing.T) {
	f := Failure{Step{Verb: Remove, Object: Route{Dst: prefix("10.0.0.9/32"), Hops: []Hop{{Device: "x"}}}}, errTest}
	if want := "remove route 10.0.0.9/32 dev x in the host's namespace: test"; f.Error() != want {
		t.Errorf("%q, want %q", f.Error(), want)
	}
	f.Step.Place = "culvert-acme"
	if want := "remove route 10.0.0.9/32 dev x in culvert-acme: test"; f.Error() != want {
		t.Errorf("%q, want %q", f.Error(), want)
	}
	if f.Unwrap() != errTest {
		t.Error("the reason is lost")
	}
}

const errTest = testError("test")

type testError string

func (e testError) Error() string { return string(e) }
