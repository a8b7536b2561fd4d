package agent

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/culvertnet/culvert/health"
	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/overlay"
	"github.com/culvertnet/culvert/topology"
)

// Watch makes the health checks of the backends that run on the host, until the context ends, and calls changed for every
// change of a verdict, from several goroutines. All begin as healthy. A tenant whose namespace is not there yet is an error: the
// host must have been brought to hold it first.
func (a *Agent) Watch(ctx context.Context, host topology.Host, changed func(backend topology.BackendID, healthy bool, why error)) (err error) {
	spaces := make(map[string]*netns.NS)
	defer func() {
		for _, ns := range spaces {
			err = errors.Join(err, ns.Close())
		}
	}()
	var checks []health.Check
	for _, t := range host.Tenants {
		of := health.Checks(t)
		if len(of) == 0 {
			continue
		}
		ns, err := a.kernel.NS(overlay.Place(t.Namespace()))
		if err != nil {
			return fmt.Errorf("check backends of tenant %s: %w", t.Name, err)
		}
		spaces[t.Name] = ns
		checks = append(checks, of...)
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, c := range checks {
		group.Go(func() error {
			return health.Watch(ctx, spaces[c.Backend.Tenant], c.Target, func(healthy bool, why error) { changed(c.Backend, healthy, why) })
		})
	}
	return group.Wait()
}
