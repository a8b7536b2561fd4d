package overlay

import "github.com/culvertnet/culvert/topology"

// exempted is the way of answers to packets that were not translated: in an edge's own namespace to the tenant's, and there to
// the VM's host. A hypervisor has the second part anyway.
func (b *builder) exempted() {
	t := b.tenant
	if t.NAT == nil {
		return
	}
	for _, a := range t.NAT.Untranslated() {
		b.host = append(b.host, Route{Dst: host(a), Hops: []Hop{{Via: topology.UplinkTenant, Device: t.UplinkPort()}}, late: true})
	}
	if t.Hypervisor {
		return
	}
	for _, e := range t.NAT.Exempted {
		b.add(Route{Dst: host(e.Address), Hops: []Hop{{Via: e.Peer.Overlay(e.Address), Device: t.Device()}}})
	}
}
