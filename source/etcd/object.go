package etcd

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/portmap"
)

// The kinds of objects.
const (
	kindOverlay = "overlay" // of the whole fleet
	kindHost    = "host"
	kindTenant  = "tenant"
	kindNumbers = "numbers" // the lock's host ids and counters
	kindBlocks  = "blocks"  // the lock's part for one tenant
)

// whole is the name of objects that the fleet has one of.
const whole = "fleet"

// Object is one thing that the fleet consists of.
type Object struct {
	Kind, Name string
	// Text is a fleet document with nothing but the object, or a lock file with nothing but its part.
	Text []byte
}

// String names the object.
func (o Object) String() string {
	if o.Name == whole {
		return o.Kind
	}
	return o.Kind + " " + o.Name
}

// split takes the fleet and its lock apart. The order of hosts and of tenants is the fleet's.
func split(fleet *config.Fleet, lock *portmap.Lock) ([]Object, error) {
	var s splitter
	s.fleet(kindOverlay, whole, config.Part{Overlay: &fleet.Overlay})
	s.lock(kindNumbers, whole, &portmap.Lock{Hosts: lock.Hosts, NextHost: lock.NextHost, NextBackend: lock.NextBackend})
	for i := range fleet.Hosts {
		s.fleet(kindHost, fleet.Hosts[i].Name, config.Part{Hosts: fleet.Hosts[i : i+1]})
	}
	for i := range fleet.Tenants {
		s.fleet(kindTenant, fleet.Tenants[i].Name, config.Part{Tenants: fleet.Tenants[i : i+1]})
	}
	for _, name := range slices.Sorted(maps.Keys(lock.Tenants)) {
		s.lock(kindBlocks, name, &portmap.Lock{Tenants: map[string]*portmap.Tenant{name: lock.Tenants[name]}})
	}
	return s.objects, s.err
}

type splitter struct {
	objects []Object
	err     error // the first one
}

func (s *splitter) fleet(kind, name string, part config.Part) {
	text, err := part.Encode()
	s.add(Object{kind, name, text}, err)
}

func (s *splitter) lock(kind, name string, part *portmap.Lock) {
	text, err := portmap.Encode(part)
	s.add(Object{kind, name, text}, err)
}

func (s *splitter) add(o Object, err error) {
	if err != nil {
		s.err = cmp.Or(s.err, fmt.Errorf("take %s out of the fleet: %w", o, err))
	}
	s.objects = append(s.objects, o)
}

// part is an object that was read.
type part struct {
	fleet *config.Part
	lock  *portmap.Lock
}

// parse reads an object. It must hold what its kind and name promise and nothing else.
func (o Object) parse() (p part, err error) {
	ok := false
	switch o.Kind {
	case kindOverlay, kindHost, kindTenant:
		if p.fleet, err = config.ParsePart(o.String(), o.Text); err != nil {
			return part{}, err
		}
		hosts, tenants := p.fleet.Hosts, p.fleet.Tenants
		switch o.Kind {
		case kindOverlay:
			ok = o.Name == whole && len(hosts)+len(tenants) == 0 && p.fleet.Overlay != nil
		case kindHost:
			ok = len(hosts) == 1 && len(tenants) == 0 && p.fleet.Overlay == nil && hosts[0].Name == o.Name
		case kindTenant:
			ok = len(hosts) == 0 && len(tenants) == 1 && p.fleet.Overlay == nil && tenants[0].Name == o.Name
		}
	case kindNumbers, kindBlocks:
		if p.lock, err = portmap.Decode(o.String(), o.Text); err != nil {
			return part{}, err
		}
		hosts, tenants := p.lock.Hosts, p.lock.Tenants
		if o.Kind == kindNumbers {
			ok = o.Name == whole && len(tenants) == 0
		} else {
			ok = len(hosts) == 0 && len(tenants) == 1 && tenants[o.Name] != nil
		}
	default:
		return part{}, fmt.Errorf("object %s: unknown kind; upgrade culvert on this host", o)
	}
	if !ok {
		return part{}, fmt.Errorf("object %s holds something else; put back what was there, as docs/etcd.md says", o)
	}
	return p, nil
}

// join puts parts together again.
func join(parts []part) (*config.Fleet, *portmap.Lock) {
	fleet, lock := &config.Fleet{}, portmap.NewLock()
	for _, p := range parts {
		if p.fleet != nil {
			fleet.Hosts = append(fleet.Hosts, p.fleet.Hosts...)
			fleet.Tenants = append(fleet.Tenants, p.fleet.Tenants...)
			if p.fleet.Overlay != nil {
				fleet.Overlay = *p.fleet.Overlay
			}
			continue
		}
		maps.Copy(lock.Tenants, p.lock.Tenants)
		if len(p.lock.Tenants) == 0 {
			maps.Copy(lock.Hosts, p.lock.Hosts)
			lock.NextHost, lock.NextBackend = p.lock.NextHost, p.lock.NextBackend
		}
	}
	return fleet, lock
}
