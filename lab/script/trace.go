package script

import (
	"net/netip"

	"github.com/culvertnet/culvert/lab/traffic"
	"github.com/culvertnet/culvert/netns"
)

// trace finds the routers of a path.
func (s *stage) trace(c call) error {
	args, opts, err := c.want("trace NODE udp|icmp ADDR[:PORT] [size=N] [sport=N] [hops=N] [within=D]", 3, 3, "size", "sport", "hops", "within")
	if err != nil {
		return err
	}
	var t traffic.Trace
	switch args[1] {
	case "udp":
		t.To, err = addrPort(args[2])
	case "icmp":
		var a netip.Addr
		a, err = addr(args[2])
		t.To = netip.AddrPortFrom(a, 0)
	default:
		err = mistakef("%q: want udp or icmp", args[1])
	}
	if err != nil {
		return err
	}
	var sport int
	if t.Size, err = opts.number("size", 0); err != nil {
		return err
	}
	if sport, err = opts.number("sport", 0); err != nil {
		return err
	}
	if t.Hops, err = opts.number("hops", 0); err != nil {
		return err
	}
	if t.Patience, err = s.patience(opts, "within", pingPatience); err != nil {
		return err
	}
	t.Source = uint16(sport)
	return s.in(args[0], func(ns *netns.NS) error {
		path, err := t.Run(c.ctx, ns)
		for _, hop := range path {
			c.printf("%s", hop)
		}
		return err
	})
}
