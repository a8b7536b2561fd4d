package etcd

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/culvertnet/culvert/source"
)

// outbox holds the host's last report until it is written.
type outbox struct {
	mu     sync.Mutex
	report *source.Report
	// full has an element while there is something that was not written.
	full chan struct{}
	// ready is closed by the first report of a host that is.
	ready chan struct{}
	once  sync.Once
}

func newOutbox() *outbox { return &outbox{full: make(chan struct{}, 1), ready: make(chan struct{})} }

// put replaces the report. What says the same as the last one is left out.
func (o *outbox) put(r source.Report) {
	if r.Ready {
		o.once.Do(func() { close(o.ready) })
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.report != nil && sameReport(*o.report, r) {
		return
	}
	o.report = &r
	o.again()
}

// sameReport compares all but the times.
func sameReport(a, b source.Report) bool {
	return a.Host == b.Host && a.Version == b.Version && a.Ready == b.Ready && a.Generation == b.Generation &&
		a.Converged == b.Converged && slices.Equal(a.Problems, b.Problems)
}

func (o *outbox) again() {
	select {
	case o.full <- struct{}{}:
	default:
	}
}

// anew has the last report, if there is one, written once more.
func (o *outbox) anew() {
	if o.last() != nil {
		o.again()
	}
}

func (o *outbox) last() *source.Report {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.report
}

// Report implements [source.Reporter].
func (s *Source) Report(r source.Report) { s.outbox.put(r) }

// report writes what is in the outbox, and first what was there before: who knows what etcd has kept. Reports are some time
// apart, because thousands of hosts report each change of the fleet.
func (f *follower) report(ctx context.Context) error {
	f.outbox.anew()
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-pause.C:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-f.outbox.full:
		}
		f.insist(ctx, "status", func() error { return f.write(ctx, *f.outbox.last()) })
		pause.Reset(f.Lease / 2)
	}
}

// write writes a report, without what the host must not say that it has converged to.
func (f *follower) write(ctx context.Context, r source.Report) error {
	if !f.ledger.vouches(r.Converged) {
		r.Converged = ""
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := f.put(ctx, f.layout.status()+f.Host, string(text)); err != nil {
		return fmt.Errorf("report the host's status: %w; a host must be allowed to write under %s", err, f.layout.status())
	}
	return nil
}

// HostStatus is what is known of a host.
type HostStatus struct {
	source.Report
	// Live is true while the host's lease lasts.
	Live bool `json:"live"`
	// Reported is false for a host that has never reported.
	Reported bool `json:"reported"`
	// Sick are the host's backends that fail their health checks, as it said last.
	Sick []source.Sick `json:"sick"`
}

// Hosts returns what is known of every host of the fleet, in the fleet's order, and then of others that report.
func (s *Store) Hosts(ctx context.Context, fleet *Fleet) ([]HostStatus, error) {
	resp, err := s.transact(ctx, bulkTimeout, nil, []clientv3.Op{
		clientv3.OpGet(s.status(), clientv3.WithPrefix()),
		clientv3.OpGet(s.live(), clientv3.WithPrefix(), clientv3.WithKeysOnly()),
		clientv3.OpGet(s.health(), clientv3.WithPrefix()),
	})
	if err != nil {
		return nil, fmt.Errorf("read the hosts' status in %s: %w", s.where, err)
	}
	known := make(map[string]*HostStatus)
	var order []string
	host := func(name string) *HostStatus {
		if known[name] == nil {
			known[name] = &HostStatus{Report: source.Report{Host: name, Problems: []string{}}, Sick: []source.Sick{}}
			order = append(order, name)
		}
		return known[name]
	}
	for _, h := range fleet.Fleet.Hosts {
		host(h.Name)
	}
	for _, kv := range resp.Responses[0].GetResponseRange().Kvs {
		h := host(strings.TrimPrefix(string(kv.Key), s.status()))
		h.Reported = true
		name := h.Host
		if err := json.Unmarshal(kv.Value, &h.Report); err != nil {
			h.Problems = append(h.Problems, fmt.Sprintf("its report cannot be read: %v", err))
		}
		h.Host = name
	}
	for _, kv := range resp.Responses[1].GetResponseRange().Kvs {
		host(strings.TrimPrefix(string(kv.Key), s.live())).Live = true
	}
	for _, kv := range resp.Responses[2].GetResponseRange().Kvs {
		h := host(strings.TrimPrefix(string(kv.Key), s.health()))
		list, ok := readVerdicts(kv.Value)
		if !ok {
			h.Problems = append(h.Problems, "what it says about its backends cannot be read; is it of a later version?")
		}
		h.Sick = append(h.Sick, list...)
	}
	out := make([]HostStatus, 0, len(order))
	for _, name := range order {
		out = append(out, *known[name])
	}
	return out, nil
}
