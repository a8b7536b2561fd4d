package overlay

import (
	"errors"

	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/topology"
)

// Compare plans the way from what the kernel holds to what the host should hold. Of tenants that are as they should be nothing is kept but
// that: a host of a thousand takes no more memory than one.
func (k *Kernel) Compare(host topology.Host) (Plan, Facts, error) {
	names, err := netns.List(k.prefix + topology.NamespacePrefix)
	if err != nil {
		return Plan{}, Facts{}, err
	}
	return k.compare(host, names, false)
}

// CompareOnly does so with the tenants of the host that are given, and with the namespaces of these places. Nothing is said of others; the
// facts are complete.
func (k *Kernel) CompareOnly(host topology.Host, places []Place) (Plan, Facts, error) {
	names, err := k.existing(places)
	if err != nil {
		return Plan{}, Facts{}, err
	}
	return k.compare(host, names, true)
}

func (k *Kernel) compare(host topology.Host, names []string, only bool) (Plan, Facts, error) {
	c := comparison{host: host, tenants: make(map[Place]topology.Tenant), desired: State{}}
	for _, t := range host.Tenants {
		c.tenants[Place(t.Namespace())] = t
	}
	observed, err := k.observe(host.Underlay, names, only, take{c.begin, c.place})
	if err = errors.Join(err, k.leave()); err != nil {
		return Plan{}, Facts{}, err
	}
	if err := c.end(); err != nil {
		return Plan{}, Facts{}, err
	}
	return Diff(observed, c.desired), observed.Facts, nil
}

// comparison is one compare under way.
type comparison struct {
	host topology.Host
	// tenants are those that have not been met yet.
	tenants map[Place]topology.Tenant
	// wanted is nil for a host that holds nothing.
	wanted  *wanted
	desired State
}

func (c *comparison) begin(facts Facts) (err error) {
	if c.host.Underlay.IsValid() {
		c.wanted, err = newWanted(c.host, facts)
	}
	return err
}

// place keeps what is there, and what is wanted, if they differ. A place without differences is of no consequence for others: it makes no
// device, lends none and waits for none.
func (c *comparison) place(p Place, have []Object) ([]Object, error) {
	t, ok := c.tenants[p]
	if !ok || c.wanted == nil {
		return have, nil
	}
	delete(c.tenants, p)
	want, err := c.wanted.tenant(t)
	if err != nil || equal(have, want) {
		return nil, err
	}
	c.desired[p] = want
	return have, nil
}

// end adds the tenants that have no namespace yet, and what is wanted in the host's own.
func (c *comparison) end() error {
	if c.wanted == nil {
		return nil
	}
	for p, t := range c.tenants {
		want, err := c.wanted.tenant(t)
		if err != nil {
			return err
		}
		c.desired[p] = want
	}
	c.desired[HostPlace] = c.wanted.ownPart()
	return nil
}

// equal reports whether nothing is to be done for a place: everything wanted is there, and what else is there are parameters.
func equal(have, want []Object) bool {
	there := make(map[key]Object, len(have))
	for _, o := range have {
		there[o.key()] = o
	}
	for _, o := range want {
		k := o.key()
		old := there[k]
		if old == nil || !same(old, o) {
			return false
		}
		delete(there, k)
	}
	for _, o := range there {
		if _, parameter := o.(Sysctl); !parameter {
			return false
		}
	}
	return true
}
