package ipvs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/netns"
)

// Count is what IPVS has counted since a service, or a destination, was added. The numbers have 64 bits. Answers are not
// counted: with direct routing they do not pass. The kernel adds them up every two seconds (ip_vs_est.c), so they are as late.
type Count struct{ Connections, Packets, Bytes uint64 }

// ServiceCount is what a service has taken.
type ServiceCount struct {
	Name Name
	Count
	Destinations []DestinationCount
}

// DestinationCount is what a destination has got.
type DestinationCount struct {
	Address netip.AddrPort
	Count
	// Weight is what the kernel has: 0 for one that drains.
	Weight uint32
	// Active and Inactive are its connections now, those that other nodes told of included. Active are established, for UDP none.
	Active, Inactive uint32
}

// More generic netlink of IPVS (linux/ip_vs.h).
const (
	cmdGetService = 4 // IPVS_CMD_GET_SERVICE
	cmdGetDest    = 8 // IPVS_CMD_GET_DEST

	attrService = 1 // IPVS_CMD_ATTR_SERVICE
	attrDest    = 2 // IPVS_CMD_ATTR_DEST

	serviceFamily   = 1  // IPVS_SVC_ATTR_AF
	serviceProtocol = 2  // IPVS_SVC_ATTR_PROTOCOL
	serviceAddress  = 3  // IPVS_SVC_ATTR_ADDR
	servicePort     = 4  // IPVS_SVC_ATTR_PORT
	serviceMark     = 5  // IPVS_SVC_ATTR_FWMARK
	serviceStats    = 12 // IPVS_SVC_ATTR_STATS64

	destAddress  = 1  // IPVS_DEST_ATTR_ADDR
	destPort     = 2  // IPVS_DEST_ATTR_PORT
	destWeight   = 4  // IPVS_DEST_ATTR_WEIGHT
	destActive   = 7  // IPVS_DEST_ATTR_ACTIVE_CONNS
	destInactive = 8  // IPVS_DEST_ATTR_INACT_CONNS
	destFamily   = 11 // IPVS_DEST_ATTR_ADDR_FAMILY
	destStats    = 12 // IPVS_DEST_ATTR_STATS64

	statConnections = 1 // IPVS_STATS_ATTR_CONNS
	statPackets     = 2 // IPVS_STATS_ATTR_INPKTS
	statBytes       = 4 // IPVS_STATS_ATTR_INBYTES
)

// Counts reads what the services of the namespace and their destinations have counted. It loads nothing: where IPVS is not
// loaded there are none.
func Counts(ns *netns.NS) (out []ServiceCount, err error) {
	loaded := false
	err = ns.Do(func() error {
		_, err := os.Stat(folder)
		loaded = err == nil
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return err
	})
	if err != nil || !loaded {
		return nil, err
	}
	g, err := dialGeneric(ns)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	if out, err = g.counts(); err != nil {
		return nil, fmt.Errorf("read the counters of IPVS in %s: %w", ns.Name(), err)
	}
	return out, nil
}

func (g *generic) counts() ([]ServiceCount, error) {
	var out []ServiceCount
	err := g.list(cmdGetService, attrService, netlink.NewAttributeEncoder(), func(attrs *netlink.AttributeDecoder) {
		var s ServiceCount
		if s.decode(attrs) {
			out = append(out, s)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("list services: %w", err)
	}
	for i := range out {
		s := &out[i]
		err := g.list(cmdGetDest, attrDest, s.Name.encode(), func(attrs *netlink.AttributeDecoder) {
			var d DestinationCount
			d.decode(attrs, s.Name.Address.Addr().Is4())
			s.Destinations = append(s.Destinations, d)
		})
		if err != nil && !errors.Is(err, unix.ESRCH) { // it may have gone meanwhile
			return nil, fmt.Errorf("list destinations of %s: %w", s.Name, err)
		}
	}
	return out, nil
}

// list calls decode with the attributes of each object of one kind.
func (g *generic) list(command byte, kind uint16, of *netlink.AttributeEncoder, decode func(*netlink.AttributeDecoder)) error {
	replies, err := g.request(g.family, command, netlink.Request|netlink.Dump, of)
	if err != nil {
		return err
	}
	for _, attrs := range replies {
		for attrs.Next() {
			if attrs.Type() == kind {
				attrs.Nested(func(a *netlink.AttributeDecoder) error {
					decode(a)
					return a.Err()
				})
			}
		}
		if err := attrs.Err(); err != nil {
			return err
		}
	}
	return nil
}

// encode names a service to the kernel.
func (n Name) encode() *netlink.AttributeEncoder {
	attrs := netlink.NewAttributeEncoder()
	attrs.Nested(attrService, func(a *netlink.AttributeEncoder) error {
		family := uint16(unix.AF_INET6)
		if n.Address.Addr().Is4() {
			family = unix.AF_INET
		}
		a.Uint16(serviceFamily, family)
		a.Uint16(serviceProtocol, protocols[n.Protocol])
		a.Bytes(serviceAddress, wide(n.Address.Addr()))
		a.Bytes(servicePort, binary.BigEndian.AppendUint16(nil, n.Address.Port()))
		return nil
	})
	return attrs
}

// wide is an address in the 16 bytes that the kernel has for any (union nf_inet_addr).
func wide(a netip.Addr) []byte { return append(a.AsSlice(), make([]byte, 16-a.BitLen()/8)...) }

// narrow is the address in them.
func narrow(b []byte, is4 bool) netip.Addr {
	if is4 && len(b) >= 4 {
		b = b[:4]
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// decode reads a service; false if it is found by a mark, which is none of ours.
func (s *ServiceCount) decode(attrs *netlink.AttributeDecoder) bool {
	var address []byte
	var port uint16
	is4, marked := false, false
	for attrs.Next() {
		switch attrs.Type() {
		case serviceFamily:
			is4 = attrs.Uint16() == unix.AF_INET
		case serviceProtocol:
			number := attrs.Uint16()
			for name, n := range protocols {
				if n == number {
					s.Name.Protocol = name
				}
			}
		case serviceAddress:
			address = attrs.Bytes()
		case servicePort:
			port = bigEndian(attrs.Bytes())
		case serviceMark:
			marked = true
		case serviceStats:
			attrs.Nested(s.Count.decode)
		}
	}
	s.Name.Address = netip.AddrPortFrom(narrow(address, is4), port)
	return !marked && s.Name.Address.IsValid()
}

func (d *DestinationCount) decode(attrs *netlink.AttributeDecoder, is4 bool) {
	var address []byte
	var port uint16
	for attrs.Next() {
		switch attrs.Type() {
		case destAddress:
			address = attrs.Bytes()
		case destPort:
			port = bigEndian(attrs.Bytes())
		case destFamily:
			is4 = attrs.Uint16() == unix.AF_INET
		case destWeight:
			d.Weight = attrs.Uint32()
		case destActive:
			d.Active = attrs.Uint32()
		case destInactive:
			d.Inactive = attrs.Uint32()
		case destStats:
			attrs.Nested(d.Count.decode)
		}
	}
	d.Address = netip.AddrPortFrom(narrow(address, is4), port)
}

func (c *Count) decode(attrs *netlink.AttributeDecoder) error {
	for attrs.Next() {
		switch attrs.Type() {
		case statConnections:
			c.Connections = attrs.Uint64()
		case statPackets:
			c.Packets = attrs.Uint64()
		case statBytes:
			c.Bytes = attrs.Uint64()
		}
	}
	return attrs.Err()
}

// bigEndian reads a port as packets have it.
func bigEndian(b []byte) uint16 {
	if len(b) < 2 {
		return 0
	}
	return binary.BigEndian.Uint16(b)
}
