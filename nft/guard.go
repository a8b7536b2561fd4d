package nft

import (
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/topology"
)

// Outsider counts VXLAN from outside the fleet.
var Outsider = Counter{"outsider"}

const (
	chainGuard   = "guard"
	setUnderlays = "underlays" // the underlay addresses of the fleet's other hosts
)

// Guard computes the table of the host's own namespace: VXLAN is for the fleet's other hosts alone. A host without tenants
// has none. The socket of VXLAN listens on every address of the host, in the underlay's family.
func Guard(h topology.Host) []Table {
	if len(h.Tenants) == 0 {
		return nil
	}
	f, address := IPv4Family, IPv4
	if h.Underlay.Is6() {
		f, address = IPv6Family, IPv6
	}
	underlays := set(setUnderlays, Type{address})
	for _, a := range h.Underlays {
		underlays.Elements[key(a)] = ""
	}
	return []Table{{
		Family: f, Counters: []Counter{Outsider}, Sets: []Set{underlays},
		Chains: []Chain{{
			Name: chainGuard, Base: &Base{Type: "filter", Hook: Prerouting, Priority: priorityRaw},
			// On an edge, the same port passes by in the traffic of VMs: what is not for this host is none of our business.
			Rules: []Rule{rule(f, all(udpTo(h.Port), sourceNot(f, setUnderlays), toThisHost(), count(Outsider), drop())...)},
		}},
	}}
}

// udp dport PORT
func udpTo(port uint16) statement {
	s := carries(unix.IPPROTO_UDP)
	s.text = "udp dport " + Type{Port}.format(string(Value{}.port(port)))
	s.expressions = append(s.expressions, says("", transport(2, 2, reg1), equal(binaryutil.BigEndian.PutUint16(port)...)).expressions...)
	return s
}

// fib daddr type local
func toThisHost() statement {
	return says("fib daddr type local",
		&expr.Fib{Register: reg1, ResultADDRTYPE: true, FlagDADDR: true},
		equal(binaryutil.NativeEndian.PutUint32(unix.RTN_LOCAL)...))
}
