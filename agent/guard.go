package agent

import (
	"errors"

	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/nft"
	"github.com/culvertnet/culvert/overlay"
	"github.com/culvertnet/culvert/topology"
)

// guard plans the rules of the host's own namespace; leaves says that none remain.
func (a *Agent) guard(host topology.Host) (plan nft.Plan, leaves bool, err error) {
	desired := nft.Guard(host)
	plan, err = a.rules(overlay.HostPlace, desired, nil)
	return plan, desired == nil, err
}

// dial runs f with the netfilter sockets of a place; errors.Is(err, netns.ErrNotExist) if there is none.
func (a *Agent) dial(place overlay.Place, f func(*nft.Conn) error) (err error) {
	ns := a.host
	if place != overlay.HostPlace {
		if ns, err = a.kernel.NS(place); err != nil {
			return err
		}
		defer func(ns *netns.NS) { err = errors.Join(err, ns.Close()) }(ns)
	}
	conn, err := nft.Dial(ns)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	return f(conn)
}

// placeName is the place in a sentence.
func placeName(p overlay.Place) string {
	if p == overlay.HostPlace {
		return "the host's namespace"
	}
	return string(p)
}

// GuardCounters reads the named counters of the host's own namespace, by table family and name; none on a host without tenants.
func (a *Agent) GuardCounters() (map[string]nft.Count, error) { return CountersIn(a.host) }
