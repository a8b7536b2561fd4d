package script

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/culvertnet/culvert/netns"
)

// balanced counts the connections that a node's IPVS knows: those it has scheduled, and those that other nodes told it of.
func (s *stage) balanced(c call) error {
	if len(c.args) != 3 {
		return mistakef("usage: balanced NODE OP N")
	}
	want, err := parseComparison(c.args[1], c.args[2])
	if err != nil {
		return err
	}
	return s.in(c.args[0], func(ns *netns.NS) error {
		text, err := readIn(ns, "/proc/thread-self/net/ip_vs_conn")
		if errors.Is(err, fs.ErrNotExist) {
			return mistakef("%s has no IPVS: load the modules ip_vs and ip_vs_mh", c.args[0])
		}
		if err != nil {
			return fmt.Errorf("read the connections of %s: %w", c.args[0], err)
		}
		count := 0
		for line := range strings.Lines(string(text)) {
			// Protocol, client, listener, backend with a port each, state, seconds left.
			if words := strings.Fields(line); len(words) > 8 && words[7] == "ESTABLISHED" {
				count++
			}
		}
		c.printf("%s knows %d connections", c.args[0], count)
		return want.check("number of connections", count)
	})
}
