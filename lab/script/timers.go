package script

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/culvertnet/culvert/netns"
)

// expires looks at how long a conntrack entry lives on.
func (s *stage) expires(c call) error {
	if len(c.args) < 4 {
		return mistakef("usage: expires NODE OP SECONDS WORD...")
	}
	want, err := parseComparison(c.args[1], c.args[2])
	if err != nil {
		return err
	}
	words := c.args[3:]
	return s.in(c.args[0], func(ns *netns.NS) error {
		text, err := readIn(ns, "/proc/thread-self/net/nf_conntrack")
		if err != nil {
			return fmt.Errorf("read the conntrack entries of %s: %w", c.args[0], err)
		}
		var found []string
		for line := range strings.Lines(string(text)) {
			if fields := strings.Fields(line); !slices.ContainsFunc(words, func(w string) bool { return !slices.Contains(fields, w) }) {
				found = append(found, strings.TrimSpace(line))
				c.printf("%s", strings.TrimSpace(line))
			}
		}
		if len(found) != 1 {
			return fmt.Errorf("%d entries of %s have %s, want one", len(found), c.args[0], strings.Join(words, " "))
		}
		// Family and protocol, each by name and number, then the seconds.
		seconds, err := number(strings.Fields(found[0])[4])
		if err != nil {
			return err
		}
		return want.check("seconds left", seconds)
	})
}

// sysctl sets, compares or prints a kernel parameter of a namespace.
func (s *stage) sysctl(c call) error {
	if len(c.args) != 2 && (len(c.args) != 4 || c.args[2] != "=" && c.args[2] != "==") {
		return mistakef("usage: sysctl NODE NAME [= VALUE|== VALUE]")
	}
	path := filepath.Join("/proc/sys", filepath.Clean("/"+c.args[1]))
	return s.in(c.args[0], func(ns *netns.NS) error {
		if len(c.args) == 4 && c.args[2] == "=" {
			return ns.Do(func() error { return os.WriteFile(path, []byte(c.args[3]), 0) })
		}
		text, err := readIn(ns, path)
		if err != nil {
			return err
		}
		got := strings.TrimSpace(string(text))
		c.printf("%s", got)
		if len(c.args) == 4 && got != c.args[3] {
			return fmt.Errorf("%s of %s is %s, want %s", c.args[1], c.args[0], got, c.args[3])
		}
		return nil
	})
}
