package agent

import (
	"errors"
	"strings"

	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/nft"
	"github.com/culvertnet/culvert/topology"
)

// Counters reads the named counters of all tenants on the host: by tenant, then by table family and name, as in
// "netdev/redirected". Packets and bytes count from when the counter was made.
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
		if err := errors.Join(err, ns.Close()); err != nil {
			return nil, err
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
