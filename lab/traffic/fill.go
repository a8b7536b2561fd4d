package traffic

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/culvertnet/culvert/netns"
)

// Filled is what came of [Fill].
type Filled struct {
	// Flows are open and have carried data.
	Flows []Flow
	// Refused counts attempts that were answered with an ICMP error, Reset those reset, Timeout those without an answer.
	Refused, Reset, Timeout int
	// Other are failures of another kind.
	Other []error
	// LastRefusal is one of the ICMP errors.
	LastRefusal *ICMPError
}

// Attempt is how hard [Fill] tries.
type Attempt struct {
	// Flows is how many to open.
	Flows int
	// Patience is how long each may take, two seconds if zero. TCP repeats its SYN after one second (RFC 6298 section 2).
	Patience time.Duration
	// Parallel is how many open at once, 64 if zero.
	Parallel int
	// Source fixes the address; the port is the kernel's choice.
	Source netip.Addr
}

// probe is how many bytes a flow must carry each way to count.
const probe = 64

// Fill opens many flows to one server and keeps those open that carry data. Attempts that fail are counted by what came back.
func Fill(ctx context.Context, ns *netns.NS, network Network, to netip.AddrPort, a Attempt) Filled {
	if a.Patience == 0 {
		a.Patience = 2 * time.Second
	}
	if a.Parallel == 0 {
		a.Parallel = 64
	}
	var group errgroup.Group
	group.SetLimit(a.Parallel)
	var mu sync.Mutex
	var result Filled
	for range a.Flows {
		group.Go(func() error {
			flow, err := tryFlow(ctx, ns, network, to, a)
			mu.Lock()
			defer mu.Unlock()
			result.add(flow, err)
			return nil
		})
	}
	_ = group.Wait() // the goroutines return nil
	return result
}

func tryFlow(ctx context.Context, ns *netns.NS, network Network, to netip.AddrPort, a Attempt) (Flow, error) {
	ctx, cancel := context.WithTimeout(ctx, a.Patience)
	defer cancel()
	opts := Options{Datagram: probe}
	if a.Source.IsValid() {
		opts.Source = netip.AddrPortFrom(a.Source, 0)
	}
	flow, err := Open(ctx, ns, network, to, opts)
	if err != nil {
		return nil, err
	}
	if err := flow.Exchange(ctx, probe); err != nil {
		return nil, errors.Join(err, flow.Close())
	}
	return flow, nil
}

func (f *Filled) add(flow Flow, err error) {
	var icmp *ICMPError
	switch {
	case err == nil:
		f.Flows = append(f.Flows, flow)
	case errors.As(err, &icmp):
		f.Refused++
		f.LastRefusal = icmp
	case errors.Is(err, ErrReset):
		f.Reset++
	case errors.Is(err, ErrTimeout):
		f.Timeout++
	default:
		f.Other = append(f.Other, err)
	}
}
