package measure

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/culvertnet/culvert/agent"
	"github.com/culvertnet/culvert/ipvs"
	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/topology"
)

// read reads the host, one tenant after the other: a reading never takes more than one processor.
func (m *Meter) read(host *topology.Host, lock *portmap.Lock) *Reading {
	r := &Reading{Tenants: make([]Tenant, 0, len(host.Tenants))}
	r.Guard, r.GuardErr = agent.CountersIn(m.opts.Host)
	for i := range host.Tenants {
		t := &host.Tenants[i]
		one := Tenant{Name: t.Name}
		if err := m.readTenant(&one, t, lock.Tenants[t.Name]); err != nil {
			one.Err = fmt.Errorf("measure tenant %s: %w", t.Name, err)
		}
		r.Tenants = append(r.Tenants, one)
	}
	return r
}

// readTenant fills in what can be read.
func (m *Meter) readTenant(into *Tenant, t *topology.Tenant, locked *portmap.Tenant) error {
	ns, err := netns.Open(m.opts.Prefix + t.Namespace())
	if err != nil {
		return err
	}
	into.Counters, into.ByPeer, err = agent.TenantCounters(ns)
	into.Entries, into.Limit = -1, -1
	err = errors.Join(err, ns.Do(func() (err error) {
		into.Entries, into.Limit, err = occupancy()
		return err
	}))
	if t.MaxEntries > 0 && into.Limit >= 0 {
		into.Limit = min(into.Limit, t.MaxEntries)
	}
	if t.NAT != nil && t.Hypervisor {
		err = errors.Join(err, into.readClaims(ns, t, locked))
	}
	if t.Balancer {
		var countErr error
		into.Services, countErr = ipvs.Counts(ns)
		if errors.Is(countErr, ipvs.ErrNoIPVS) {
			countErr = nil // `culvert doctor` and the daemon's notes say so
		}
		err = errors.Join(err, countErr)
	}
	return errors.Join(err, ns.Close())
}

// occupancy reads how many conntrack entries the calling thread's namespace has, and may have; -1 for what the kernel does not tell.
func occupancy() (entries, limit int, err error) {
	number := func(name string) int {
		text, readErr := os.ReadFile("/proc/sys/net/netfilter/" + name)
		if errors.Is(readErr, fs.ErrNotExist) {
			return -1
		}
		n, parseErr := strconv.Atoi(strings.TrimSpace(string(text)))
		err = errors.Join(err, readErr, parseErr)
		return n
	}
	return number("nf_conntrack_count"), number("nf_conntrack_max"), err
}
