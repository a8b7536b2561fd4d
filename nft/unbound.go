package nft

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/portmap"
)

// Messages and attributes of conntrack (linux/netfilter/nfnetlink_conntrack.h).
const (
	conntrackGet    = unix.NFNL_SUBSYS_CTNETLINK<<8 | 1 // IPCTNL_MSG_CT_GET
	conntrackDelete = unix.NFNL_SUBSYS_CTNETLINK<<8 | 2 // IPCTNL_MSG_CT_DELETE

	attrTupleOriginal = 1  // CTA_TUPLE_ORIG
	attrTupleReply    = 2  // CTA_TUPLE_REPLY
	attrID            = 12 // CTA_ID

	attrTupleIP       = 1 // CTA_TUPLE_IP
	attrSource4       = 1 // CTA_IP_V4_SRC
	attrDestination4  = 2 // CTA_IP_V4_DST
	attrSource6       = 3 // CTA_IP_V6_SRC
	attrDestination6  = 4 // CTA_IP_V6_DST
	attrTupleProtocol = 2 // CTA_TUPLE_PROTO
	attrProtocol      = 1 // CTA_PROTO_NUM
	attrSourcePort    = 2 // CTA_PROTO_SRC_PORT
	attrDestPort      = 3 // CTA_PROTO_DST_PORT
	attrIdentifier    = 4 // CTA_PROTO_ICMP_ID
	nestedWithoutFlag = ^uint16(unix.NLA_F_NESTED)
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

// entry is what of a conntrack entry is needed to delete it, as the kernel wrote it.
type entry struct{ original, id []byte }

// endFlows deletes the conntrack entries of flows that came for one of the addresses or ports, or left from one, or are served by a
// backend that is gone.
func (c *Conn) endFlows(f Family, gone map[string]bool) error {
	replies, err := c.writer.Execute(netlink.Message{
		Header: netlink.Header{Type: conntrackGet, Flags: netlink.Request | netlink.Dump}, Data: header(f, 0),
	})
	if err != nil {
		return fmt.Errorf("list flows: %w", err)
	}
	var errs []error
	for _, m := range replies {
		e, ends, err := decodeEntry(m.Data[min(4, len(m.Data)):], gone)
		if err != nil {
			return fmt.Errorf("decode a flow: %w", err)
		}
		if ends {
			errs = append(errs, c.endFlow(f, e))
		}
	}
	return errors.Join(errs...)
}

func (c *Conn) endFlow(f Family, e entry) error {
	attrs, err := netlink.MarshalAttributes([]netlink.Attribute{
		{Type: unix.NLA_F_NESTED | attrTupleOriginal, Data: e.original}, {Type: attrID, Data: e.id},
	})
	if err != nil {
		return err
	}
	_, err = c.writer.Execute(netlink.Message{
		Header: netlink.Header{Type: conntrackDelete, Flags: netlink.Request | netlink.Acknowledge}, Data: append(header(f, 0), attrs...),
	})
	if err != nil && !errors.Is(err, unix.ENOENT) { // it has ended by itself
		return fmt.Errorf("end a flow of an address, a port, a VM or a backend that is gone: %w", err)
	}
	return nil
}

// decodeEntry reads a conntrack entry and reports whether it came for one of the addresses, or left from one: then its replies
// go there. The same for a listener and the backend that serves it, as [Table.bindings] has them.
func decodeEntry(data []byte, gone map[string]bool) (e entry, ends bool, err error) {
	attrs, err := netlink.UnmarshalAttributes(data)
	if err != nil {
		return entry{}, false, err
	}
	var original, reply tuple
	for _, a := range attrs {
		switch a.Type & nestedWithoutFlag {
		case attrTupleOriginal:
			e.original = a.Data
			original, err = decodeTuple(a.Data)
		case attrTupleReply:
			reply, err = decodeTuple(a.Data)
		case attrID:
			e.id = a.Data
		}
		if err != nil {
			return entry{}, false, err
		}
	}
	served := string(Value(original.destination).protocol(original.protocol)) + original.destPort + padding + reply.source + reply.sourcePort + padding
	ends = gone[original.destination] || gone[reply.destination] || gone[served] || gone[reply.granule()] ||
		gone[gonePrefix+original.source] || gone[gonePrefix+reply.source]
	return e, ends, nil
}

// granule is where the tuple goes to, as a key of [mapOwners].
func (t tuple) granule() string {
	port := t.destPort
	if t.identifier != "" {
		port = t.identifier
	}
	if len(port) != 2 {
		return ""
	}
	granule := binary.BigEndian.Uint16([]byte(port)) / portmap.Granule * portmap.Granule
	return t.destination + string(binary.BigEndian.AppendUint16(nil, granule)) + padding
}

// padding fills a port up to a register.
const padding = "\x00\x00"

// tuple is one direction of an entry, in network byte order.
type tuple struct {
	source, destination, sourcePort, destPort string
	// identifier is that of an echo request and its reply.
	identifier string
	protocol   byte
}

func decodeTuple(data []byte) (t tuple, err error) {
	ad, err := netlink.NewAttributeDecoder(data)
	if err != nil {
		return tuple{}, err
	}
	ad.ByteOrder = binary.BigEndian
	for ad.Next() {
		switch ad.Type() {
		case attrTupleIP:
			ad.Nested(func(ip *netlink.AttributeDecoder) error {
				for ip.Next() {
					switch ip.Type() {
					case attrSource4, attrSource6:
						t.source = string(ip.Bytes())
					case attrDestination4, attrDestination6:
						t.destination = string(ip.Bytes())
					}
				}
				return nil
			})
		case attrTupleProtocol:
			ad.Nested(func(l4 *netlink.AttributeDecoder) error {
				for l4.Next() {
					switch l4.Type() {
					case attrProtocol:
						t.protocol = l4.Uint8()
					case attrSourcePort:
						t.sourcePort = string(l4.Bytes())
					case attrDestPort:
						t.destPort = string(l4.Bytes())
					case attrIdentifier:
						t.identifier = string(l4.Bytes())
					}
				}
				return nil
			})
		}
	}
	return t, ad.Err()
}
