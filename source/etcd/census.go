package etcd

import (
	"maps"
	"time"
)

// census tells which hosts are lost: their daemons have been heard of, and let their leases end. While etcd cannot be
// reached nothing changes, and for a while after it is reachable again nobody gets lost: hosts may have found back later
// than we did.
type census struct {
	// grace is how long hosts have to renew their leases after [census.connect].
	grace time.Duration
	// live have a lease, seen have ever had one.
	live, seen map[string]bool
	// lost is what callers are told.
	lost map[string]bool
	// until is when the grace ends; zero when it has. parted is when etcd was heard last, before now.
	until, parted time.Time
}

// connect begins anew with what etcd says about hosts. A grace that runs is not made longer by a short interruption: with
// connections that do not last nobody would ever be lost.
func (c *census) connect(live, seen []string, now time.Time) {
	c.live, c.seen = set(live), set(seen)
	if c.until.IsZero() || now.Sub(c.parted) >= c.grace/2 {
		c.until = now.Add(c.grace)
	}
}

// part notes that a connection has ended.
func (c *census) part(now time.Time) { c.parted = now }

func set(names []string) map[string]bool {
	out := make(map[string]bool, len(names))
	for _, n := range names {
		out[n] = true
	}
	return out
}

// appear notes that a host has a lease.
func (c *census) appear(host string) { c.live[host], c.seen[host] = true, true }

// vanish notes that a host's lease has ended.
func (c *census) vanish(host string) { delete(c.live, host) }

// count brings the lost hosts up to date and reports whether they changed.
func (c *census) count(now time.Time) bool {
	if !c.until.IsZero() && !now.Before(c.until) {
		c.until = time.Time{}
	}
	lost := make(map[string]bool)
	for host := range c.seen {
		if !c.live[host] && (c.until.IsZero() || c.lost[host]) {
			lost[host] = true
		}
	}
	changed := !maps.Equal(lost, c.lost)
	c.lost = lost
	return changed
}
