package health

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/netns"
)

// Target is what is probed: a VM's private address and, but for ICMP, a port.
type Target struct {
	Address netip.Addr
	Port    uint16
	Check   config.HealthCheck
}

// String is the target as a line of a log says it: "http 10.0.0.12:8080".
func (t Target) String() string {
	if t.Check.Protocol == config.CheckICMP {
		return fmt.Sprintf("%s %s", t.Check.Protocol, t.Address)
	}
	return fmt.Sprintf("%s %s", t.Check.Protocol, t.endpoint())
}

func (t Target) endpoint() netip.AddrPort { return netip.AddrPortFrom(t.Address, t.Port) }

// Watch probes the target once every interval, the first time at once, until the context ends. It calls changed for every
// change of the verdict, with the error of the probe that decided it, nil when that was good. Its only error is the context's.
func Watch(ctx context.Context, ns *netns.NS, target Target, changed func(healthy bool, why error)) error {
	verdict := NewVerdict(target.Check.Rise, target.Check.Fall)
	tick := time.NewTicker(target.Check.Interval)
	defer tick.Stop()
	for {
		err := Probe(ctx, ns, target)
		if ctx.Err() != nil {
			return ctx.Err() // the probe's failure is ours, not the backend's
		}
		if verdict.Record(err == nil) {
			changed(verdict.Healthy(), err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
