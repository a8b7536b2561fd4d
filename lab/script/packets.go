package script

import (
	"net/netip"
	"strings"

	"github.com/culvertnet/culvert/lab/packet"
	"github.com/culvertnet/culvert/lab/traffic"
	"github.com/culvertnet/culvert/netns"
)

// showPackets is how many packets captured prints.
const showPackets = 10

var protocols = map[string]packet.Protocol{"udp": packet.UDP, "tcp": packet.TCP, "icmp": packet.ICMP}

var tcpFlags = map[string]uint8{"fin": packet.FIN, "syn": packet.SYN, "rst": packet.RST, "ack": packet.ACK}

func (s *stage) inject(c call) error {
	args, opts, err := c.want("inject NODE udp|tcp|icmp SRC[:PORT] DST[:PORT] [ttl=N] [count=N] [flags=syn,...] [type=N] [code=N] [id=N] [size=N]",
		4, 4, "ttl", "count", "flags", "type", "code", "id", "size")
	if err != nil {
		return err
	}
	spec, count, err := injected(args, opts)
	if err != nil {
		return err
	}
	specs := make([]packet.Spec, count)
	for i := range specs {
		specs[i] = spec
	}
	return s.in(args[0], func(ns *netns.NS) error { return traffic.Inject(ns, specs...) })
}

func injected(args []string, opts options) (spec packet.Spec, count int, err error) {
	var ok bool
	if spec.Protocol, ok = protocols[args[1]]; !ok {
		return spec, 0, mistakef("%q: want udp, tcp or icmp", args[1])
	}
	read := addrPort
	if spec.Protocol == packet.ICMP {
		read = func(s string) (netip.AddrPort, error) {
			a, err := addr(s)
			return netip.AddrPortFrom(a, 0), err
		}
	}
	if spec.Source, err = read(args[2]); err != nil {
		return spec, 0, err
	}
	if spec.Destination, err = read(args[3]); err != nil {
		return spec, 0, err
	}
	for _, name := range list(opts["flags"]) {
		flag, ok := tcpFlags[name]
		if !ok {
			return spec, 0, mistakef("%q: want fin, syn, rst or ack", name)
		}
		spec.Flags |= flag
	}
	values := map[string]int{"ttl": 64, "count": 1, "type": 0, "code": 0, "id": 0, "size": 0}
	for key := range values {
		if values[key], err = opts.number(key, values[key]); err != nil {
			return spec, 0, err
		}
	}
	spec.TTL, spec.Type, spec.Code = uint8(values["ttl"]), uint8(values["type"]), uint8(values["code"])
	spec.ID, spec.Payload = uint16(values["id"]), make([]byte, values["size"])
	return spec, values["count"], nil
}

func filterOf(words []string) (packet.Filter, error) {
	f, err := packet.ParseFilter(strings.Join(words, " "))
	if err != nil {
		return f, mistake{err}
	}
	return f, nil
}

func (s *stage) capture(c call) error {
	if len(c.args) == 2 && c.args[0] == "stop" {
		capture := s.captures[c.args[1]]
		if capture == nil {
			return mistakef("no capture is named %s", c.args[1])
		}
		return capture.Stop()
	}
	if len(c.args) < 4 || c.args[0] != "start" {
		return mistakef("usage: capture start NAME NODE DEVICE|any [FILTER], or capture stop NAME")
	}
	name, node, device := c.args[1], c.args[2], c.args[3]
	if s.captures[name] != nil {
		return mistakef("the name %s is taken", name)
	}
	filter, err := filterOf(c.args[4:])
	if err != nil {
		return err
	}
	return s.in(node, func(ns *netns.NS) error {
		capture, err := traffic.StartCapture(ns, device, filter)
		if err == nil {
			s.captures[name] = capture
		}
		return err
	})
}

func (s *stage) captured(c call) error {
	if len(c.args) < 3 {
		return mistakef("usage: captured NAME OP N [FILTER]")
	}
	capture := s.captures[c.args[0]]
	if capture == nil {
		return mistakef("no capture is named %s", c.args[0])
	}
	want, err := parseComparison(c.args[1], c.args[2])
	if err != nil {
		return err
	}
	filter, err := filterOf(c.args[3:])
	if err != nil {
		return err
	}
	count, shown := capture.Count(filter), 0
	for _, p := range capture.Packets() {
		if filter.Match(p) && shown < showPackets {
			c.printf("%s", p)
			shown++
		}
	}
	return want.check("number of packets", count)
}
