package nft

import (
	"encoding/binary"
	"fmt"

	"github.com/culvertnet/culvert/conntrack"
	"github.com/culvertnet/culvert/portmap"
)

// unbind notes the VIPs that do not stand for the same private address any more, the listeners that a backend does not serve
// any more, and what is others' now ([Table.foreign]): translation is kept with a flow, and flows of before must not go on.
// Flows outlive a table: one that somebody has deleted counts as empty. A table that nobody wants goes with its namespace.
func (p *Plan) unbind(observed, desired []Table) {
	for _, want := range desired {
		was := find(observed, want.Family)
		if was == nil {
			was = &Table{Family: want.Family}
		}
		old, now := was.bindings(), want.bindings()
		for binding := range old {
			if !now[binding] {
				p.end(want.Family, binding.what)
			}
		}
		for what := range want.foreign(was) {
			p.end(want.Family, what)
		}
	}
}

// end notes whose flows end.
func (p *Plan) end(f Family, what string) {
	if p.unbound == nil {
		p.unbound = make(map[Family]map[string]bool)
	}
	if p.unbound[f] == nil {
		p.unbound[f] = make(map[string]bool)
	}
	p.unbound[f][what] = true
}

// foreign yields the ports, as keys of [mapOwners] and [setFreed], that belong to others, or to nobody, and did not before; the public addresses that
// are not the tenant's any more; and the private ones whose VM is gone from this host, or is another one.
//
// Packets for such ports do not get as far as conntrack when an edge sends them. Those of a host that knows less do, and what the old
// owner's VMs send would still leave by them.
func (t *Table) foreign(was *Table) map[string]bool {
	out := make(map[string]bool)
	if t.Family == IPv4Family {
		for _, set := range [...]string{mapOwners, setFreed} {
			before := was.elements(set)
			for port, to := range t.elements(set) {
				if from, known := before[port]; !known || from != to {
					out[port] = true
				}
			}
		}
	}
	for address := range was.elements(setPublics) {
		if _, stays := t.elements(setPublics)[address]; !stays {
			out[address] = true
		}
	}
	vms := make(map[string]bool)
	for sender := range t.elements(setSenders) {
		vms[sender[deviceBytes:]] = true
	}
	for sender := range was.elements(setSenders) {
		if vm := sender[deviceBytes:]; !vms[vm] {
			out[gonePrefix+vm[paddedMACBytes:]] = true
		}
	}
	return out
}

// Lengths within the keys of [setSenders], and what goes before the private address of a VM that is gone.
const (
	deviceBytes    = 16
	paddedMACBytes = 8
	gonePrefix     = "vm "
)

// elements are a set's, nil if there is none.
func (t *Table) elements(name string) map[string]string {
	if s := t.set(name); s != nil {
		return s.Elements
	}
	return nil
}

// binding is what conntrack translates: what, as an entry tells it, stands for a private address or socket.
type binding struct{ what, private string }

// bindings are those of a table.
func (t *Table) bindings() map[binding]bool {
	out := make(map[binding]bool)
	if s := t.set(mapSharedIn); s != nil {
		for public, private := range s.Elements {
			out[binding{public, private}] = true
		}
	}
	if s := t.set(mapDelivered); s != nil {
		for from, vm := range s.Elements {
			const mark = 4
			out[binding{what: from[mark:] + vm}] = true
		}
	}
	return out
}

// endFlows ends the flows that came for one of the addresses or ports, or left from one, or are served by a backend that is gone.
func (c *Conn) endFlows(f Family, gone map[string]bool) error {
	var key Value
	err := conntrack.End(c.ns, uint8(f), func(e *conntrack.Entry) bool {
		var ends bool
		key, ends = concerned(key, e, gone)
		return ends
	})
	if err != nil {
		return fmt.Errorf("of an address, a port, a VM or a backend that is gone: %w", err)
	}
	return nil
}

// concerned reports whether an entry came for one of the addresses, or left from one: then its replies go there. The same for a listener
// and the backend that serves it, as [Table.bindings] has them. There may be millions of entries: keys are written over each other
// in one place, which is returned.
func concerned(key Value, e *conntrack.Entry, gone map[string]bool) (Value, bool) {
	original, reply := &e.Original, &e.Reply
	if gone[string(original.Destination)] || gone[string(reply.Destination)] {
		return key, true
	}
	if key = vmKey(key[:0], original.Source); gone[string(key)] {
		return key, true
	}
	if key = vmKey(key[:0], reply.Source); gone[string(key)] {
		return key, true
	}
	if key = granuleKey(key[:0], reply); len(key) > 0 && gone[string(key)] {
		return key, true
	}
	key = append(key[:0], original.Destination...).protocol(original.Protocol)
	key = append(append(key, original.DestinationPort...), 0, 0)
	key = append(append(key, reply.Source...), reply.SourcePort...)
	key = append(key, 0, 0)
	return key, gone[string(key)]
}

// vmKey is a VM's private address, as [Table.foreign] has it.
func vmKey(key Value, private []byte) Value { return append(append(key, gonePrefix...), private...) }

// granuleKey is where a tuple goes to, as a key of [mapOwners]; empty without a port.
func granuleKey(key Value, t *conntrack.Tuple) Value {
	port := t.DestinationPort
	if t.Identifier != nil {
		port = t.Identifier
	}
	if port == nil {
		return key
	}
	return append(key, t.Destination...).port(binary.BigEndian.Uint16(port) / portmap.Granule * portmap.Granule)
}
