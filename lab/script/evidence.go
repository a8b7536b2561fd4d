package script

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/culvertnet/culvert/agent"
	"github.com/culvertnet/culvert/netns"
)

// Kinds of numbers that are watched.
const (
	counterKind   = "counter"
	conntrackKind = "conntrack"
	snmpKind      = "snmp"
)

// mark remembers every counter and conntrack statistic of every namespace of the lab.
func (s *stage) mark(c call) error {
	if s.lab == nil || len(c.args) > 0 {
		return mistakef("usage, after lab up: mark")
	}
	names, err := netns.List(s.name + "-")
	if err != nil {
		return err
	}
	s.marked = map[string]int{}
	for _, name := range names {
		if err := s.remember(name); err != nil {
			return fmt.Errorf("read the counters of %s: %w", name, err)
		}
	}
	return nil
}

func (s *stage) remember(name string) (err error) {
	ns, err := netns.Open(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ns.Close()) }()
	for _, kind := range []string{counterKind, conntrackKind, snmpKind} {
		if kind == counterKind && s.tools.Counters == nil {
			continue
		}
		all, err := s.readAll(ns, kind)
		if errors.Is(err, fs.ErrNotExist) {
			continue // no connection tracking there
		}
		if err != nil {
			return err
		}
		for what, n := range all {
			s.marked[markKey(name, kind, what)] = n
		}
	}
	return nil
}

func markKey(namespace, kind, what string) string { return namespace + " " + kind + " " + what }

func (s *stage) readAll(ns *netns.NS, kind string) (map[string]int, error) {
	switch {
	case kind == conntrackKind:
		return conntrackStatistics(ns)
	case kind == snmpKind:
		return stackStatistics(ns)
	case kind != counterKind:
		return nil, mistakef("%q: want counter, conntrack or snmp", kind)
	case s.tools.Counters == nil:
		return nil, mistakef("this build of the engine reads no counters")
	}
	all, err := s.tools.Counters(ns)
	out := make(map[string]int, len(all))
	for name, n := range all {
		out[name] = int(n)
	}
	return out, err
}

// read is one number of a node. A counter that is not there is a mistake, or a typing error would prove that nothing happened.
func (s *stage) read(node, kind, what string) (n int, namespace string, err error) {
	err = s.in(node, func(ns *netns.NS) error {
		all, err := s.readAll(ns, kind)
		if err != nil {
			return err
		}
		var ok bool
		if n, ok = all[what]; !ok {
			return mistakef("%s has no %s %s; it has %s", node, kind, what, strings.Join(slices.Sorted(maps.Keys(all)), ", "))
		}
		namespace = ns.Name()
		return nil
	})
	return n, namespace, err
}

func (s *stage) counter(c call) error   { return s.compare(c, counterKind) }
func (s *stage) conntrack(c call) error { return s.compare(c, conntrackKind) }
func (s *stage) snmp(c call) error      { return s.compare(c, snmpKind) }

func (s *stage) compare(c call, kind string) error {
	if len(c.args) != 4 {
		return mistakef("usage: %s NODE NAME OP N", kind)
	}
	want, err := parseComparison(c.args[2], c.args[3])
	if err != nil {
		return err
	}
	got, _, err := s.read(c.args[0], kind, c.args[1])
	if err != nil {
		return err
	}
	c.printf("%s %s %d", c.args[0], c.args[1], got)
	return want.check(kind+" "+c.args[1]+" of "+c.args[0], got)
}

func (s *stage) gained(c call) error {
	if len(c.args) != 5 {
		return mistakef("usage: gained NODE counter|conntrack|snmp NAME OP N")
	}
	if s.marked == nil {
		return mistakef("nothing to compare with: use mark first")
	}
	node, kind, what := c.args[0], c.args[1], c.args[2]
	want, err := parseComparison(c.args[3], c.args[4])
	if err != nil {
		return err
	}
	now, namespace, err := s.read(node, kind, what)
	if err != nil {
		return err
	}
	// What was not there at the mark began at zero.
	gain := now - s.marked[markKey(namespace, kind, what)]
	c.printf("%s %s +%d", node, what, gain)
	return want.check("gain of "+kind+" "+what+" of "+node, gain)
}

func (s *stage) counters(c call) error {
	if len(c.args) != 1 {
		return mistakef("usage: counters NODE")
	}
	return s.in(c.args[0], func(ns *netns.NS) error {
		all, err := s.readAll(ns, counterKind)
		for _, name := range slices.Sorted(maps.Keys(all)) {
			c.printf("%s %d", name, all[name])
		}
		return err
	})
}

func (s *stage) entries(c call) error {
	if len(c.args) != 1 {
		return mistakef("usage: entries NODE")
	}
	return s.in(c.args[0], func(ns *netns.NS) error {
		text, err := readIn(ns, "/proc/thread-self/net/nf_conntrack")
		if errors.Is(err, fs.ErrNotExist) {
			return mistakef("%s shows no conntrack entries: no connection tracking there, or a kernel without CONFIG_NF_CONNTRACK_PROCFS", c.args[0])
		}
		_, _ = c.stdout.Write(text)
		return err
	})
}

// conntrackStatistics are the columns of the statistics, summed over the CPUs, and the number of entries under "count".
// A namespace without connection tracking gives fs.ErrNotExist.
func conntrackStatistics(ns *netns.NS) (map[string]int, error) {
	text, err := readIn(ns, "/proc/thread-self/net/stat/nf_conntrack")
	if err != nil {
		return nil, err
	}
	all, err := agent.ParseConntrack(string(text))
	if err != nil {
		return nil, err
	}
	out := make(map[string]int, len(all)+1)
	for name, n := range all {
		out[name] = int(n)
	}
	count, err := readIn(ns, "/proc/sys/net/netfilter/nf_conntrack_count")
	if err != nil {
		return nil, err
	}
	out["count"], err = strconv.Atoi(strings.TrimSpace(string(count)))
	return out, err
}

func readIn(ns *netns.NS, path string) (data []byte, err error) {
	err = ns.Do(func() error {
		data, err = os.ReadFile(path)
		return err
	})
	return data, err
}
