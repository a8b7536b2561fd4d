package health

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
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
	// Source is the prober's address; the kernel's choice if it is not valid.
	Source netip.Addr
}

// String is the target as a line of a log says it: "http 10.0.0.12:8080".
func (t Target) String() string {
	if t.Check.Protocol == config.CheckICMP {
		return fmt.Sprintf("%s %s", t.Check.Protocol, t.Address)
	}
	return fmt.Sprintf("%s %s", t.Check.Protocol, t.endpoint())
}

func (t Target) endpoint() netip.AddrPort { return netip.AddrPortFrom(t.Address, t.Port) }

// together is how many probes are under way at once in this process. Each takes up to two descriptors, and the daemon must not
// come to a thousand; where more are due, as when a thousand backends are gone, they come later.
const together = 200

var slots = make(chan struct{}, together)

// Watch probes the target once every interval until the context ends, the first time within the first interval, at a time of its
// own: checks of a thousand backends do not come all at once. healthy is the verdict that it begins with, and that stays until
// as many probes have spoken against it as the check wants. It calls changed for every change, with the error of the probe that
// decided it, nil when that was good. A probe that could not be made, because there is no namespace yet, says nothing.
func Watch(ctx context.Context, open func() (*netns.NS, error), target Target, healthy bool, changed func(healthy bool, why error)) {
	verdict := NewVerdict(healthy, target.Check.Rise, target.Check.Fall)
	first := time.NewTimer(rand.N(target.Check.Interval))
	defer first.Stop()
	select {
	case <-ctx.Done():
		return
	case <-first.C:
	}
	tick := time.NewTicker(target.Check.Interval)
	defer tick.Stop()
	for {
		err := probeFrom(ctx, open, target)
		if ctx.Err() != nil {
			return // the probe's failure is ours, not the backend's
		}
		if !errors.Is(err, ErrUnable) && verdict.Record(err == nil) {
			changed(verdict.Healthy(), err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// probeFrom probes from the namespace that open gives, when there is a slot.
func probeFrom(ctx context.Context, open func() (*netns.NS, error), target Target) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case slots <- struct{}{}:
	}
	defer func() { <-slots }()
	ns, err := open()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnable, err)
	}
	defer func() { _ = ns.Close() }() // nothing is lost with it
	return Probe(ctx, ns, target)
}
