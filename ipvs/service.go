package ipvs

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/moby/ipvs"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/ipvs/maglev"
)

// hashed is a flag that the kernel sets for itself (IP_VS_SVC_F_HASHED).
const hashed = 0x2

// protocols are the transport protocols that IPVS balances by port.
var protocols = map[config.Protocol]uint16{config.TCP: unix.IPPROTO_TCP, config.UDP: unix.IPPROTO_UDP, config.SCTP: unix.IPPROTO_SCTP}

// services reads the services with their destinations.
func (c *conn) services() ([]Service, error) {
	list, err := c.handle.GetServices()
	if err != nil {
		return nil, fmt.Errorf("list services: %w", err)
	}
	var out []Service
	for _, raw := range list {
		s := readService(raw)
		destinations, err := c.handle.GetDestinations(raw)
		if err != nil {
			return nil, fmt.Errorf("list destinations of %s: %w", s.Name, err)
		}
		for _, d := range destinations {
			s.Destinations = append(s.Destinations, readDestination(d))
		}
		// The kernel's list begins with the newest.
		slices.Reverse(s.Destinations)
		out = append(out, s)
	}
	return out, nil
}

func readService(raw *ipvs.Service) Service {
	s := Service{Scheduler: raw.SchedName, Flags: maglev.Flags(raw.Flags &^ hashed)}
	if raw.FWMark != 0 {
		s.mark, s.family = raw.FWMark, raw.AddressFamily
		return s
	}
	for name, number := range protocols {
		if number == raw.Protocol {
			s.Protocol = name
		}
	}
	address, _ := netip.AddrFromSlice(raw.Address)
	s.Address = netip.AddrPortFrom(address, raw.Port)
	if raw.Netmask != mask(address) {
		s.flaw = fmt.Sprintf("netmask %#x", raw.Netmask)
	}
	return s
}

func readDestination(raw *ipvs.Destination) Destination {
	address, _ := netip.AddrFromSlice(raw.Address)
	d := Destination{Address: netip.AddrPortFrom(address, raw.Port), Weight: raw.Weight}
	if raw.UpperThreshold == unreached {
		d.Nominal = int(raw.LowerThreshold)
	}
	if method := raw.ConnectionFlags & ipvs.ConnectionFlagFwdMask; method != ipvs.ConnectionFlagDirectRoute {
		d.flaw = fmt.Sprintf("method %d", method)
	}
	return d
}

// mask is what the kernel wants of a service that is not persistent: a whole IPv4 address, or the length of an IPv6 one.
func mask(a netip.Addr) uint32 {
	if a.Is4() {
		return 0xffffffff
	}
	return 128
}

// raw is the service in the library's words.
func (s Service) raw() *ipvs.Service {
	raw := &ipvs.Service{SchedName: s.Scheduler, Flags: uint32(s.Flags)}
	if s.mark != 0 {
		raw.FWMark, raw.AddressFamily = s.mark, s.family
		return raw
	}
	address := s.Address.Addr()
	raw.Address, raw.Port, raw.Protocol, raw.Netmask = net.IP(address.AsSlice()), s.Address.Port(), protocols[s.Protocol], mask(address)
	raw.AddressFamily = unix.AF_INET6
	if address.Is4() {
		raw.AddressFamily = unix.AF_INET
	}
	return raw
}

// raw is the destination in the library's words.
func (d Destination) raw() *ipvs.Destination {
	return &ipvs.Destination{
		Address: net.IP(d.Address.Addr().AsSlice()), Port: d.Address.Port(), Weight: d.Weight,
		ConnectionFlags: ipvs.ConnectionFlagDirectRoute, LowerThreshold: uint32(d.Nominal), UpperThreshold: unreached,
	}
}

// service adds, changes or removes a service. What is to be removed and not there is removed, what is to be added and there
// (somebody was faster) is changed.
func (c *conn) service(v Verb, s Service) error {
	switch v {
	case Remove:
		return except(c.handle.DelService(s.raw()), unix.ESRCH)
	case Change:
		return c.handle.UpdateService(s.raw())
	}
	err := c.handle.NewService(s.raw())
	if errors.Is(err, unix.EEXIST) {
		return c.handle.UpdateService(s.raw())
	}
	return err
}

func (c *conn) destination(v Verb, s Service, d Destination) error {
	switch v {
	case Remove:
		return except(c.handle.DelDestination(s.raw(), d.raw()), unix.ENOENT)
	case Change:
		return c.handle.UpdateDestination(s.raw(), d.raw())
	}
	return c.handle.NewDestination(s.raw(), d.raw())
}

// except makes success of the error that says that the work is done already.
func except(err, done error) error {
	if errors.Is(err, done) {
		return nil
	}
	return err
}
