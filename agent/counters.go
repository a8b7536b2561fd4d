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
// "netdev/redirected". Packets and bytes count from when the counter was made. Conntrack's own statistics are among them:
// "conntrack/insert_failed" and "conntrack/drop" are where a source that has used up its ports shows.
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
		counters, err := CountersIn(ns)
		if err == nil {
			err = conntrack(ns, counters)
		}
		if err := errors.Join(err, ns.Close()); err != nil {
			return nil, fmt.Errorf("read the counters of %s: %w", name, err)
		}
		out[strings.TrimPrefix(name, prefix)] = counters
	}
	return out, nil
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

// conntrack adds what the namespace's conntrack has dropped (net/netfilter/nf_conntrack_standalone.c, ct_cpu_seq_show): a line
// of names, then a line of hexadecimal numbers for each CPU.
func conntrack(ns *netns.NS, into map[string]nft.Count) error {
	return ns.Do(func() error {
		text, err := os.ReadFile("/proc/thread-self/net/stat/nf_conntrack")
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a kernel without these statistics
		}
		if err != nil {
			return err
		}
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		names := strings.Fields(lines[0])
		for _, line := range lines[1:] {
			for i, field := range strings.Fields(line) {
				if i >= len(names) || names[i] != "insert_failed" && names[i] != "drop" {
					continue
				}
				n, err := strconv.ParseUint(field, 16, 64)
				if err != nil {
					return fmt.Errorf("read conntrack's statistics: %w", err)
				}
				name := "conntrack/" + names[i]
				into[name] = nft.Count{Packets: into[name].Packets + n}
			}
		}
		return nil
	})
}
