package script

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/culvertnet/culvert/lab/packet"
	"github.com/culvertnet/culvert/lab/traffic"
	"github.com/culvertnet/culvert/netns"
)

// showPackets is how many packets captured prints.
const showPackets = 10

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

// endpoints counts the different sources of captured packets.
func (s *stage) endpoints(c call) error {
	if len(c.args) < 3 {
		return mistakef("usage: endpoints CAPTURE OP N [FILTER]")
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
	sources := sourcesOf(capture, filter)
	for source, n := range sources {
		c.printf("%s %d", source, n)
	}
	return want.check("number of endpoints", len(sources))
}

// sourcesOf counts packets by what sent them: address and port, or echo id.
func sourcesOf(capture *traffic.Capture, filter packet.Filter) map[netip.AddrPort]int {
	sources := map[netip.AddrPort]int{}
	for _, p := range capture.Packets() {
		if filter.Match(p) {
			sources[netip.AddrPortFrom(p.Source, p.SourcePort+p.ID)]++ // one of the two is zero
		}
	}
	return sources
}

// apart wants every source to be in one of the captures alone, as that of a flow that never meets another backend.
func (s *stage) apart(c call) error {
	names := c.args
	for i, a := range c.args {
		if s.captures[a] == nil {
			names = c.args[:i]
			break
		}
	}
	if len(names) < 2 {
		return mistakef("usage: apart CAPTURE CAPTURE... [FILTER]")
	}
	filter, err := filterOf(c.args[len(names):])
	if err != nil {
		return err
	}
	where := map[netip.AddrPort]string{}
	for _, name := range names {
		sources := sourcesOf(s.captures[name], filter)
		c.printf("%s has %d", name, len(sources))
		for source, n := range sources {
			if other, ok := where[source]; ok {
				return fmt.Errorf("%d packets of %s are in %s, and others in %s", n, source, name, other)
			}
			where[source] = name
		}
	}
	if len(where) == 0 {
		return errors.New("there is none")
	}
	return nil
}
