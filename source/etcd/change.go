package etcd

import (
	"bytes"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/portmap"
)

// Change is an object that differs between two fleets.
type Change struct {
	Object Object // without text
	// Old and New are the object's documents, nil where it is not there.
	Old, New []byte
}

// Changes compares the fleet with one that may replace it: hosts, tenants and the overlay. What the lock hands out is left
// out, its texts would say it less well than a list of blocks. changed is true if anything differs, be it the order.
func (f *Fleet) Changes(fleet *config.Fleet, lock *portmap.Lock) (changes []Change, changed bool, err error) {
	var before []Object
	if f.Revision > 0 {
		if before, err = split(f.Fleet, f.Lock); err != nil {
			return nil, false, err
		}
	}
	after, err := split(fleet, lock)
	if err != nil {
		return nil, false, err
	}
	old, next := texts(before), texts(after)
	for _, o := range before {
		if c := compare(o, old, next); c.Old != nil && c.New == nil {
			changes = append(changes, c)
		}
	}
	for _, o := range after {
		if c := compare(o, old, next); !bytes.Equal(c.Old, c.New) {
			changes = append(changes, c)
		}
	}
	l := layout{}
	return changes, !bytes.Equal(encode(l, before).root, encode(l, after).root), nil
}

func compare(o Object, old, next map[string][]byte) Change {
	return Change{Object: Object{Kind: o.Kind, Name: o.Name}, Old: old[o.String()], New: next[o.String()]}
}

// texts are the fleet document's objects by their names.
func texts(objects []Object) map[string][]byte {
	out := make(map[string][]byte, len(objects))
	for _, o := range objects {
		if o.Kind != kindNumbers && o.Kind != kindBlocks {
			out[o.String()] = o.Text
		}
	}
	return out
}
