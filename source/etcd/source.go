package etcd

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/culvertnet/culvert/source"
)

// Config says where a fleet is, and who asks for it.
type Config struct {
	Address Address
	Access  Access
	// Host is who lives and reports; a source without it only follows.
	Host string
	// Version is the program's, for those who look at the host from afar.
	Version string
	// Cache is the file that keeps the last good fleet for a start without etcd; empty for none.
	Cache string
	// Lease is how long the host counts as living after it was heard of last, whole seconds; [DefaultLease] when zero.
	Lease time.Duration
}

// Source follows a fleet in etcd. It is a [source.Source], a [source.Reloader], a [source.Reporter] and a
// [source.Carrier].
type Source struct {
	Config
	layout
	outbox *outbox
	line   line
	// bulletin has what the host says about its backends.
	bulletin *bulletin
	reload   chan struct{}
}

// NewSource returns the source. Its error is one of the configuration; etcd need not be there.
func NewSource(c Config) (*Source, error) {
	if c.Lease == 0 {
		c.Lease = DefaultLease
	}
	if err := c.Access.check(c.Address); err != nil {
		return nil, err
	}
	return &Source{Config: c, layout: layout{c.Address.Prefix}, outbox: newOutbox(), bulletin: newBulletin(), reload: make(chan struct{}, 1)}, nil
}

// String is the address.
func (s *Source) String() string { return s.Address.String() }

// Reload makes Run deliver or refuse what it has once more.
func (s *Source) Reload() {
	select {
	case s.reload <- struct{}{}:
	default: // one is asked for already
	}
}

// Waits between two tries to reach etcd.
const (
	firstWait = 100 * time.Millisecond
	lastWait  = 5 * time.Second
)

// Run follows the fleet. While etcd cannot be reached it keeps the last fleet and says so to refuse; at a start without etcd
// it delivers the fleet in the cache, whose generation says "cached".
func (s *Source) Run(ctx context.Context, deliver func(source.Snapshot), refuse func(error)) error {
	d := &desk{
		Source: s, deliver: deliver, refuse: refuse,
		loader: loader{layout: s.layout}, census: census{grace: 2 * s.Lease}, refusals: map[string]error{},
	}
	wait := firstWait
	for {
		began := time.Now()
		connected, err := d.follow(ctx)
		if ctx.Err() != nil {
			return nil
		}
		d.line.set(false, time.Now())
		// Elections, compactions and members that go are normal; only who does not get through again complains, or who does
		// and does not stay.
		switch {
		case !connected:
			clear(d.refusals)
			d.without(ctx, source.NewAway(err))
			wait = min(2*wait, lastWait)
		case time.Since(began) >= s.Lease:
			wait = firstWait
		default:
			if wait > firstWait {
				d.without(ctx, source.NewAway(fmt.Errorf("the connection to %s does not last, what is in force stays: %w", s, err)))
			}
			wait = min(2*wait, lastWait)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.reload:
			d.again()
		case <-time.After(wait/2 + rand.N(wait)): // thousands of hosts come back at once
		}
	}
}
