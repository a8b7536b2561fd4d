package portmap

import (
	"errors"
	"fmt"
	"maps"
)

// Release returns a lock without the retired blocks of the named tenants, whose ports become free ([Freed]). It is for
// the operator who knows that they have drained: flows that still use them end. A name that is not in the lock is an error.
// old stays as it is.
func Release(old *Lock, tenants ...string) (*Lock, error) {
	lock := *old
	lock.Tenants = maps.Clone(old.Tenants)
	var errs []error
	for _, name := range tenants {
		t := old.Tenants[name]
		if t == nil {
			errs = append(errs, fmt.Errorf("release retired blocks: the lock has no tenant %q; name one that it has", name))
			continue
		}
		kept := &Tenant{Backends: t.Backends, LastBackend: t.LastBackend, Freed: t.Freed}
		for _, c := range t.Claims {
			if len(c.Blocks) > 0 {
				kept.Claims = append(kept.Claims, Claim{Claimant: c.Claimant, Blocks: c.Blocks})
			}
		}
		lock.put(name, kept)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	lock.free(old)
	return &lock, nil
}
