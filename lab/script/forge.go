package script

import (
	"net/netip"
	"slices"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/lab/packet"
	"github.com/culvertnet/culvert/lab/traffic"
	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/topology"
)

// vmDevice is a VM's NIC as the VM sees it.
const vmDevice = "eth0"

func macOf(s string) (config.MAC, error) {
	m, err := config.ParseMAC(s)
	if err != nil {
		return m, mistakef("%q: want a MAC address", s)
	}
	return m, nil
}

// frame sends crafted packets out of a VM's NIC with any MAC.
func (s *stage) frame(c call) error {
	args, opts, err := c.want("frame VM MAC udp|tcp|sctp|icmp SRC[:PORT] DST[:PORT] [options of inject]", 5, 5, packetOptions...)
	if err != nil {
		return err
	}
	from, err := macOf(args[1])
	if err != nil {
		return err
	}
	packets, err := s.crafted(args[1:], opts)
	if err != nil {
		return err
	}
	frames := make([][]byte, len(packets))
	for i, raw := range packets {
		frames[i] = packet.Frame(topology.GatewayMAC, from, raw)
	}
	return s.emit(args[0], frames...)
}

// emit sends frames out of a VM's NIC.
func (s *stage) emit(vm string, frames ...[]byte) error {
	return s.in(vm, func(ns *netns.NS) error { return traffic.InjectFrames(ns, vmDevice, frames...) })
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
	return s.emit(args[0], slices.Repeat([][]byte{packet.ARP(spec)}, count)...)
}

// vxlanCommand sends a crafted packet in VXLAN from any address to a host.
func (s *stage) vxlanCommand(c call) error {
	args, opts, err := c.want("vxlan NODE FROM HOST VNI MAC udp|tcp|sctp|icmp SRC[:PORT] DST[:PORT] [options of inject]", 8, 8, packetOptions...)
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
	packets, err := s.crafted(args[4:], opts)
	if err != nil {
		return err
	}
	var to netip.Addr
	for _, h := range s.fleet.Hosts {
		if h.Name == args[2] {
			to = h.Underlay
		}
	}
	const sourcePort = 50000
	return s.in(args[0], func(ns *netns.NS) error {
		for _, raw := range packets {
			frame := packet.Frame(topology.RouterMAC(s.lock.Hosts[args[2]]), mac, raw)
			spec := packet.Spec{
				Protocol: packet.UDP, Source: netip.AddrPortFrom(from, sourcePort), Destination: netip.AddrPortFrom(to, s.fleet.Overlay.Port),
				Payload: packet.VXLAN(config.VNI(vni), frame),
			}
			if err := traffic.Inject(ns, spec); err != nil {
				return err
			}
		}
		return nil
	})
}
