package measure

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/topology"
)

const (
	// Every is how old a reading may be.
	Every = 10 * time.Second
	// Share is how many times as long as a reading took it is kept at least.
	Share = 20
)

// ErrNoFleet says that the host does not know yet what it must hold.
var ErrNoFleet = errors.New("there is no fleet yet; see `culvert status`")

// Options say what a meter reads.
type Options struct {
	// Host is the host's own namespace; it must stay open as long as the meter is read.
	Host *netns.NS
	// Prefix goes before the names of tenant namespaces; it is empty on a real host.
	Prefix string
	// Fleet returns what the host must hold and the lock behind it; nil before the first fleet.
	Fleet func() (*topology.Host, *portmap.Lock)
	// Every is how old a reading may be; 0 means [Every].
	Every time.Duration
}

// Reader has readings.
type Reader interface {
	Read(ctx context.Context) (*Reading, error)
}

// Meter reads a host, for any number of readers at once.
type Meter struct {
	opts Options
	// measure makes a reading.
	measure func(*topology.Host, *portmap.Lock) *Reading

	mu   sync.Mutex
	last *Reading
	// next is when another reading may begin.
	next time.Time
	// running is closed when the reading under way is done; nil if there is none.
	running chan struct{}
}

// New returns a meter that has read nothing yet.
func New(o Options) *Meter {
	if o.Every == 0 {
		o.Every = Every
	}
	m := &Meter{opts: o}
	m.measure = m.read
	return m
}

// Read returns a reading that is new enough. It waits for one that is under way, or makes one, which goes on if the context ends first.
func (m *Meter) Read(ctx context.Context) (*Reading, error) {
	host, lock := m.opts.Fleet()
	if host == nil {
		return nil, ErrNoFleet
	}
	m.mu.Lock()
	if m.running == nil {
		if m.last != nil && time.Now().Before(m.next) {
			defer m.mu.Unlock()
			return m.last, nil
		}
		m.running = make(chan struct{})
		go m.run(host, lock, m.running)
	}
	done := m.running
	m.mu.Unlock()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-done:
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last, nil
}

func (m *Meter) run(host *topology.Host, lock *portmap.Lock, done chan struct{}) {
	started := time.Now()
	r := m.measure(host, lock)
	r.At = time.Now()
	r.Took = r.At.Sub(started)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last, m.running, m.next = r, nil, r.At.Add(max(m.opts.Every, Share*r.Took))
	close(done)
}
