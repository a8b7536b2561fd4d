package script

import (
	"net/netip"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/lab/packet"
	"github.com/culvertnet/culvert/lab/traffic"
	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/topology"
)

// vmDevice is a VM's NIC as the VM sees it.
const vmDevice = "eth0"

// packetOptions are those of crafted packets.
var packetOptions = []string{"ttl", "count", "flags", "type", "code", "id", "size"}

func macOf(s string) (config.MAC, error) {
	m, err := config.ParseMAC(s)
	if err != nil {
		return m, mistakef("%q: want a MAC address", s)
	}
	return m, nil
}

// crafted reads protocol, source, destination and options of a packet; the first word of args is not looked at.
func crafted(args []string, opts options) (raw []byte, count int, err error) {
	spec, count, err := injected(args, opts)
	if err != nil {
		return nil, 0, err
	}
	raw, err = packet.Build(spec)
	return raw, count, err
}

// frame sends crafted packets out of a VM's NIC with any MAC.
func (s *stage) frame(c call) error {
	args, opts, err := c.want("frame VM MAC udp|tcp|icmp SRC[:PORT] DST[:PORT] [options of inject]", 5, 5, packetOptions...)
	if err != nil {
		return err
	}
	from, err := macOf(args[1])
	if err != nil {
		return err
	}
	raw, count, err := crafted(args[1:], opts)
	if err != nil {
		return err
	}
	return s.repeat(args[0], count, packet.Frame(topology.GatewayMAC, from, raw))
}

// repeat sends a frame out of a VM's NIC.
func (s *stage) repeat(vm string, count int, frame []byte) error {
	return s.in(vm, func(ns *netns.NS) error {
		for range count {
			if err := traffic.InjectFrame(ns, vmDevice, frame); err != nil {
				return err
			}
		}
		return nil
	})
}

// arp sends an ARP packet out of a VM's NIC.
func (s *stage) arp(c call) error {
	args, opts, err := c.want("arp VM MAC ADDR TARGET [says=MAC] [reply] [count=N]", 4, 4, "says", "reply", "count")
	if err != nil {
		return err
	}
	spec := packet.ARPSpec{To: topology.GatewayMAC, Reply: opts.has("reply")}
	if spec.From, err = macOf(args[1]); err != nil {
		return err
	}
	spec.Says = spec.From
	if opts.has("says") {
		if spec.Says, err = macOf(opts["says"]); err != nil {
			return err
		}
	}
	for i, to := range []*netip.Addr{&spec.Source, &spec.Target} {
		if *to, err = addr(args[2+i]); err != nil {
			return err
		}
		if !to.Is4() {
			return mistakef("%s: want an IPv4 address", to)
		}
	}
	count, err := opts.number("count", 1)
	if err != nil {
		return err
	}
	return s.repeat(args[0], count, packet.ARP(spec))
}

// vxlanCommand sends a crafted packet in VXLAN from any address to a host.
func (s *stage) vxlanCommand(c call) error {
	args, opts, err := c.want("vxlan NODE FROM HOST VNI MAC udp|tcp|icmp SRC[:PORT] DST[:PORT] [options of inject]", 8, 8, packetOptions...)
	if err != nil {
		return err
	}
	from, err := addr(args[1])
	if err != nil {
		return err
	}
	if err := s.wantHost(args[2]); err != nil {
		return err
	}
	vni, err := number(args[3])
	if err != nil {
		return err
	}
	mac, err := macOf(args[4])
	if err != nil {
		return err
	}
	raw, count, err := crafted(args[4:], opts)
	if err != nil {
		return err
	}
	var to netip.Addr
	for _, h := range s.fleet.Hosts {
		if h.Name == args[2] {
			to = h.Underlay
		}
	}
	frame := packet.Frame(topology.RouterMAC(s.lock.Hosts[args[2]]), mac, raw)
	const sourcePort = 50000
	spec := packet.Spec{
		Protocol: packet.UDP, Source: netip.AddrPortFrom(from, sourcePort), Destination: netip.AddrPortFrom(to, s.fleet.Overlay.Port),
		Payload: packet.VXLAN(config.VNI(vni), frame),
	}
	return s.in(args[0], func(ns *netns.NS) error {
		for range count {
			if err := traffic.Inject(ns, spec); err != nil {
				return err
			}
		}
		return nil
	})
}
