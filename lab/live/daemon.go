package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/culvertnet/culvert/agent/daemon"
	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/lab"
	"github.com/culvertnet/culvert/lab/script"
	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/source"
)

// Daemon is a lab host's daemon, in this process.
type Daemon struct {
	*daemon.Daemon
	feed   *feed
	host   *netns.NS
	cancel context.CancelFunc
	done   chan error
	pushed int
}

// Start runs a host's daemon. It waits for its first fleet, which Push gives it, and publishes what its health checks find out.
func Start(site lab.Site, publish func([]source.Sick)) (*Daemon, error) {
	host, err := netns.Open(site.NS.Name())
	if err != nil {
		return nil, err
	}
	d := &Daemon{feed: newFeed(publish), host: host, done: make(chan error, 1)}
	d.Daemon = daemon.New(daemon.Options{Host: host, Prefix: site.Prefix, Name: site.Host, Source: d.feed, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(context.Background())
	d.cancel = cancel
	go func() { d.done <- d.Run(ctx) }()
	return d, nil
}

// startDaemon is [Start] for scenarios.
func startDaemon(site lab.Site, publish func([]source.Sick)) (script.Daemon, error) {
	return Start(site, publish)
}

// Push gives the daemon another fleet and waits until the host has converged to it.
func (d *Daemon) Push(ctx context.Context, fleet *config.Fleet, lock *portmap.Lock) error {
	d.pushed++
	generation := fmt.Sprint(d.pushed)
	d.feed.change(func(s *source.Snapshot) { s.Fleet, s.Lock, s.Generation = fleet, lock, generation })
	return d.until(ctx, func(s daemon.Status) bool {
		return s.Generation == generation && s.Converged != nil && s.Converged.Generation == generation && s.Healthy()
	})
}

// Hear tells the daemon which backends are sick, by the hosts that say so.
func (d *Daemon) Hear(sick map[string][]source.Sick) {
	d.feed.change(func(s *source.Snapshot) { s.Sick = sick })
}

// Idle waits until the daemon has nothing to look at for the next second.
func (d *Daemon) Idle(ctx context.Context) error {
	return d.until(ctx, func(s daemon.Status) bool { return time.Until(s.Next) > time.Second })
}

// until waits for a status.
func (d *Daemon) until(ctx context.Context, fits func(daemon.Status) bool) error {
	const patience = time.Minute
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for !fits(d.Daemon.Status()) {
		select {
		case err := <-d.done:
			d.done <- err
			return fmt.Errorf("the daemon has ended: %w", err)
		case <-ctx.Done():
			return fmt.Errorf("not so within %s: %s", patience, d.Status())
		case <-again.C:
		}
	}
	return nil
}

// Drift is how many changes undid what others had done.
func (d *Daemon) Drift() int { return d.Daemon.Status().Drift }

// Repaired lists what was repaired last for each tenant and for the host itself.
func (d *Daemon) Repaired() (out []script.Repair) {
	s := d.Daemon.Status()
	list := func(r *daemon.Repair, took time.Duration) {
		if r != nil {
			for _, change := range r.Changes {
				out = append(out, script.Repair{Began: r.At.Add(-took), At: r.At, Change: change})
			}
		}
	}
	list(s.HostDrift, 0)
	for _, t := range s.Tenants {
		took := t.Took
		if t.Repaired != nil && !t.Changed.Equal(t.Repaired.At) {
			took = 0 // of a later change
		}
		list(t.Repaired, took)
	}
	return out
}

// Status is the daemon's status in JSON.
func (d *Daemon) Status() string {
	text, err := json.MarshalIndent(d.Daemon.Status(), "", "  ")
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Stop ends the daemon. The host stays as it is.
func (d *Daemon) Stop() error {
	d.cancel()
	return errors.Join(<-d.done, d.host.Close())
}

// feed is a source of what it is changed to.
type feed struct {
	publish func([]source.Sick)
	news    chan struct{} // has a value if the snapshot is news

	mu       sync.Mutex
	snapshot source.Snapshot
}

func newFeed(publish func([]source.Sick)) *feed {
	return &feed{publish: publish, news: make(chan struct{}, 1)}
}

func (f *feed) String() string { return "the lab" }

func (f *feed) change(change func(*source.Snapshot)) {
	f.mu.Lock()
	change(&f.snapshot)
	f.mu.Unlock()
	select {
	case f.news <- struct{}{}:
	default: // there is news already
	}
}

// Publish implements [source.Carrier].
func (f *feed) Publish(sick []source.Sick) { f.publish(sick) }

// Run delivers until the context ends.
func (f *feed) Run(ctx context.Context, deliver func(source.Snapshot), _ func(error)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-f.news:
		}
		f.mu.Lock()
		s := f.snapshot
		f.mu.Unlock()
		if s.Fleet != nil {
			deliver(s)
		}
	}
}
