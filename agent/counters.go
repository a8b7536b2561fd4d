package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/nft"
	"github.com/culvertnet/culvert/topology"
)

// Counters reads the named counters of all tenants on the host: by tenant, then by table family and name, as in
// "netdev/redirected"; what was sent on to the host hv2 alone is "netdev/redirected/hv2". Packets and bytes count from when the counter was made. Conntrack's own statistics are among them:
// "conntrack/insert_failed" and "conntrack/drop" are where every packet of a source that has used up its ports shows.
func Counters(prefix string) (map[string]map[string]nft.Count, error) {
	prefix += topology.NamespacePrefix
	names, err := netns.List(prefix)
	if err != nil {
		return nil, err
	}
	out := make(map[string]map[string]nft.Count, len(names))
	for _, name := range names {
		ns, err := netns.Open(name)
		if errors.Is(err, netns.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		counters, byPeer, err := TenantCounters(ns)
		for counter, peers := range byPeer {
			for peer, n := range peers {
				counters[counter+"/"+peer] = n
			}
		}
		if err := errors.Join(err, ns.Close()); err != nil {
			return nil, fmt.Errorf("read the counters of %s: %w", name, err)
		}
		out[strings.TrimPrefix(name, prefix)] = counters
	}
	return out, nil
}

// TenantCounters reads the named counters of one namespace, and conntrack's own, and by peer what was sent on ([nft.Conn.CountersByPeer]).
func TenantCounters(ns *netns.NS) (counters map[string]nft.Count, byPeer map[string]map[string]nft.Count, err error) {
	conn, err := nft.Dial(ns)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if counters, err = conn.Counters(); err != nil {
		return nil, nil, err
	}
	if byPeer, err = conn.CountersByPeer(); err != nil {
		return counters, nil, err
	}
	return counters, byPeer, conntrack(ns, counters)
}

// CountersIn reads the named counters of one namespace, by table family and name.
func CountersIn(ns *netns.NS) (counters map[string]nft.Count, err error) {
	conn, err := nft.Dial(ns)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	return conn.Counters()
}

// conntrack adds what the namespace's conntrack has dropped.
func conntrack(ns *netns.NS, into map[string]nft.Count) error {
	return ns.Do(func() error {
		text, err := os.ReadFile("/proc/thread-self/net/stat/nf_conntrack")
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a kernel without these statistics
		}
		if err != nil {
			return err
		}
		all, err := ParseConntrack(string(text))
		if err != nil {
			return err
		}
		for _, name := range []string{"insert_failed", "drop"} {
			if n, ok := all[name]; ok {
				into["conntrack/"+name] = nft.Count{Packets: n}
			}
		}
		return nil
	})
}

// ParseConntrack reads conntrack's statistics, summed over the CPUs: a line of names, then a line of hexadecimal numbers for
// each CPU (net/netfilter/nf_conntrack_standalone.c, ct_cpu_seq_show).
func ParseConntrack(text string) (map[string]uint64, error) {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	names := strings.Fields(lines[0])
	out := make(map[string]uint64, len(names))
	for _, line := range lines[1:] {
		for i, field := range strings.Fields(line) {
			n, err := strconv.ParseUint(field, 16, 64)
			if err != nil || i >= len(names) {
				return nil, fmt.Errorf("conntrack statistics: unexpected line %q", line)
			}
			out[names[i]] += n
		}
	}
	return out, nil
}
