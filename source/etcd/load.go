package etcd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/portmap"
)

// getter returns the values of keys. One that is missing is left out.
type getter func(ctx context.Context, keys []string) (map[string][]byte, error)

// errFleet marks an error that is the fleet's own: asking again does not help.
var errFleet = errors.New("the fleet cannot be used")

// loader reads fleets one after the other, and of each only what is new.
type loader struct {
	layout
	values map[string][]byte // of the fleet that was loaded last
	parts  map[string]part   // by the line of the page
}

// load reads the fleet that the root names, and proves it.
func (l *loader) load(ctx context.Context, root []byte, get getter) (*config.Fleet, *portmap.Lock, error) {
	pages, err := pageKeys(l.layout, root)
	if err != nil {
		return nil, nil, errors.Join(errFleet, err)
	}
	values := map[string][]byte{}
	if err := l.fetch(ctx, pages, values, get); err != nil {
		return nil, nil, err
	}
	var entries []entry
	for _, key := range pages {
		more, err := parsePage(values[key])
		if err != nil {
			return nil, nil, errors.Join(errFleet, err)
		}
		entries = append(entries, more...)
	}
	var keys []string
	for _, e := range entries {
		keys = append(keys, e.keys(l.layout)...)
	}
	if err := l.fetch(ctx, keys, values, get); err != nil {
		return nil, nil, err
	}
	fleet, lock, parts, err := l.assemble(entries, values)
	if err != nil {
		return nil, nil, errors.Join(errFleet, err)
	}
	l.values, l.parts = values, parts
	return fleet, lock, nil
}

// fetch adds the values of the keys, those that the last fleet had as they were.
func (l *loader) fetch(ctx context.Context, keys []string, values map[string][]byte, get getter) error {
	var missing []string
	for _, key := range keys {
		if v, ok := l.values[key]; ok {
			values[key] = v
		} else {
			missing = append(missing, key)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	got, err := get(ctx, missing)
	if err != nil {
		return err
	}
	for _, key := range missing {
		v, ok := got[key]
		if !ok {
			return errors.Join(errFleet, fmt.Errorf("%s is missing; put back what was there, as docs/etcd.md says", key))
		}
		if err := verify(key, v); err != nil {
			return errors.Join(errFleet, err)
		}
	}
	maps.Copy(values, got)
	return nil
}

// assemble makes a fleet of the entries' objects.
func (l *loader) assemble(entries []entry, values map[string][]byte) (*config.Fleet, *portmap.Lock, map[string]part, error) {
	parts, list := make(map[string]part, len(entries)), make([]part, 0, len(entries))
	for _, e := range entries {
		line := e.line()
		if _, twice := parts[line]; twice {
			return nil, nil, nil, fmt.Errorf("%s %s is listed twice; put back what was there, as docs/etcd.md says", e.kind, e.name)
		}
		p, ok := l.parts[line]
		if !ok {
			o := Object{Kind: e.kind, Name: e.name}
			for _, key := range e.keys(l.layout) {
				o.Text = append(o.Text, values[key]...)
			}
			var err error
			if p, err = o.parse(); err != nil {
				return nil, nil, nil, err
			}
		}
		parts[line] = p
		list = append(list, p)
	}
	fleet, lock := join(list)
	if len(slices.Compact(slices.Sorted(names(fleet)))) != len(fleet.Hosts)+len(fleet.Tenants) {
		return nil, nil, nil, errors.New("a host or a tenant is there twice; put back what was there, as docs/etcd.md says")
	}
	if err := portmap.Prove(lock, fleet); err != nil {
		return nil, nil, nil, fmt.Errorf("the lock does not go with the fleet; put back what was there, as docs/etcd.md says:\n%w", err)
	}
	return fleet, lock, parts, nil
}

// names are the hosts' and the tenants' names, with their kinds.
func names(fleet *config.Fleet) func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, h := range fleet.Hosts {
			if !yield(kindHost + h.Name) {
				return
			}
		}
		for _, t := range fleet.Tenants {
			if !yield(kindTenant + t.Name) {
				return
			}
		}
	}
}
