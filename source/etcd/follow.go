package etcd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"
)

// follower is one connection to etcd, as long as it lasts.
type follower struct {
	*desk
	client *clientv3.Client
	store  *Store
	// answers are what etcd says to the host's writes.
	answers chan answer
}

// follow connects, takes in what is there, and follows what happens until something fails. It reports whether it got as far
// as to hear anything.
func (d *desk) follow(ctx context.Context) (connected bool, err error) {
	client, err := dial(d.Address, d.Access)
	if err != nil {
		return false, fmt.Errorf("%s cannot be reached: %w", d, err)
	}
	defer func() { _ = client.Close() }()
	f := &follower{d, client, &Store{d.layout, client, d.Address, d.Access}, make(chan answer)}
	first, err := f.look(ctx)
	if err != nil {
		return false, fmt.Errorf("%s cannot be reached: %w", d, d.Access.reason(ctx, d.Address, err))
	}
	d.meet(first.root, first.modified)
	d.line.set(true, time.Now())
	defer func() { d.census.part(time.Now()) }()
	group, ctx := errgroup.WithContext(ctx)
	if d.Host != "" {
		group.Go(func() error { return f.live(ctx) })
		group.Go(func() error { return f.report(ctx) })
		group.Go(func() error { return f.publish(ctx, first.own) })
	}
	group.Go(func() error { return f.watch(ctx, first) })
	group.Go(func() error { return f.probe(ctx) })
	return true, group.Wait()
}

// sight is what there is at a revision.
type sight struct {
	root     []byte // nil if there is no fleet
	modified int64
	revision int64
	// own is what this host said last about its backends, as it is written.
	own string
}

// look reads the fleet's key, which hosts live, and which backends are sick, all at one revision.
func (f *follower) look(ctx context.Context) (sight, error) {
	resp, err := f.store.transact(ctx, requestTimeout, nil, []clientv3.Op{
		clientv3.OpGet(f.layout.fleet()),
		clientv3.OpGet(f.layout.live(), clientv3.WithPrefix(), clientv3.WithKeysOnly()),
		clientv3.OpGet(f.layout.status(), clientv3.WithPrefix(), clientv3.WithKeysOnly()),
		clientv3.OpGet(f.layout.health(), clientv3.WithPrefix()),
	})
	if err != nil {
		return sight{}, err
	}
	hosts := func(i int, prefix string) (names []string) {
		for _, kv := range resp.Responses[i].GetResponseRange().Kvs {
			names = append(names, strings.TrimPrefix(string(kv.Key), prefix))
		}
		return names
	}
	live := hosts(1, f.layout.live())
	f.census.connect(live, append(hosts(2, f.layout.status()), live...), time.Now())
	s := sight{revision: resp.Header.Revision, own: f.hearAll(resp.Responses[3].GetResponseRange().Kvs)}
	for _, kv := range resp.Responses[0].GetResponseRange().Kvs {
		s.root, s.modified = kv.Value, kv.ModRevision
	}
	return s, nil
}

// watch takes in the first sight and every change after it.
func (f *follower) watch(ctx context.Context, first sight) error {
	ctx = clientv3.WithRequireLeader(ctx)
	roots := f.client.Watch(ctx, f.layout.fleet(), clientv3.WithRev(first.revision+1))
	hosts := f.client.Watch(ctx, f.layout.live(), clientv3.WithPrefix(), clientv3.WithRev(first.revision+1))
	verdicts := f.client.Watch(ctx, f.layout.health(), clientv3.WithPrefix(), clientv3.WithRev(first.revision+1))
	grace := time.NewTimer(time.Until(f.census.until))
	defer grace.Stop()
	retry := time.NewTicker(f.Lease / 2)
	defer retry.Stop()
	f.census.count(time.Now())
	if err := f.enter(ctx, first); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case r, ok := <-roots:
			next, err := latest(r, ok, roots)
			if err == nil && next.revision > 0 {
				err = f.enter(ctx, next)
			}
			if err != nil {
				return err
			}
		case r, ok := <-hosts:
			if err := ended(r, ok); err != nil {
				return err
			}
			f.attend(r.Events)
		case r, ok := <-verdicts:
			if err := ended(r, ok); err != nil {
				return err
			}
			f.hearSome(r.Events)
		case a := <-f.answers:
			f.take(a)
			f.tell(f.wrong)
		case <-grace.C:
		case <-retry.C:
			if f.keep() {
				f.tell(f.wrong)
			}
		case <-f.Source.reload:
			f.again()
		}
		if f.census.count(time.Now()) || f.judged {
			f.tell(f.wrong)
		}
	}
}

// probe asks from time to time whether etcd is there: a watch does not tell, it waits.
func (f *follower) probe(ctx context.Context) error {
	tick := time.NewTicker(f.Lease / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		_, err := ask(ctx, requestTimeout, func(ctx context.Context) (*clientv3.GetResponse, error) {
			return f.client.Get(ctx, f.layout.fleet(), clientv3.WithCountOnly())
		})
		if err != nil {
			return fmt.Errorf("ask whether etcd is there: %w", err)
		}
	}
}

// enter takes in what the fleet's key holds.
func (f *follower) enter(ctx context.Context, s sight) error {
	if s.root == nil {
		f.without(ctx, fmt.Errorf("there is no fleet in %s; push one with `culvert push`", f))
		return nil
	}
	f.meet(s.root, s.modified)
	return f.hear(ctx, s.root, s.modified, f.store.at(s.revision))
}

// attend takes in which hosts come and go.
func (f *follower) attend(events []*clientv3.Event) {
	for _, e := range events {
		host := strings.TrimPrefix(string(e.Kv.Key), f.layout.live())
		if e.Type == clientv3.EventTypeDelete {
			f.census.vanish(host)
		} else {
			f.census.appear(host)
		}
	}
}

// ended says why a watch has ended, nil if it has not.
func ended(r clientv3.WatchResponse, ok bool) error {
	if !ok {
		return errors.New("the watch on etcd has ended")
	}
	return r.Err()
}

// latest returns what the last event says that has arrived; those before it are no news any more. The revision is 0 if there
// is none.
func latest(r clientv3.WatchResponse, ok bool, more clientv3.WatchChan) (s sight, err error) {
	for {
		if err := ended(r, ok); err != nil {
			return sight{}, err
		}
		for _, e := range r.Events {
			s = sight{modified: e.Kv.ModRevision, revision: e.Kv.ModRevision}
			if e.Type != clientv3.EventTypeDelete {
				s.root = e.Kv.Value
			}
		}
		select {
		case r, ok = <-more:
		default:
			return s, nil
		}
	}
}
