package etcd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/portmap"
)

// Limits of one transaction, below those of an etcd that is not configured: 128 operations (--max-txn-ops) and 1.5 MB
// (--max-request-bytes).
const (
	batchOps   = 100
	batchBytes = 1 << 20
)

// ErrChanged is returned when somebody else changed the fleet since it was read.
var ErrChanged = errors.New("somebody else has pushed a fleet in the meantime")

// Store reads and replaces the fleet under a prefix.
type Store struct {
	layout
	client *clientv3.Client
	where  Address
	access Access
}

// Open returns the store at an address. Call Close when done.
func Open(where Address, access Access) (*Store, error) {
	client, err := dial(where, access)
	if err != nil {
		return nil, err
	}
	return &Store{layout{where.Prefix}, client, where, access}, nil
}

// Close ends the connections.
func (s *Store) Close() error { return s.client.Close() }

// Fleet is a fleet as it was read.
type Fleet struct {
	Fleet *config.Fleet
	Lock  *portmap.Lock
	// Revision is etcd's of when it was pushed; 0 for no fleet at all, when Fleet is empty.
	Revision int64
	image    image
}

// Read reads the fleet.
func (s *Store) Read(ctx context.Context) (*Fleet, error) {
	resp, err := ask(ctx, requestTimeout, func(ctx context.Context) (*clientv3.GetResponse, error) { return s.client.Get(ctx, s.fleet()) })
	if err != nil {
		return nil, fmt.Errorf("read the fleet in %s: %w", s.where, s.access.reason(ctx, s.where, err))
	}
	if len(resp.Kvs) == 0 {
		return &Fleet{Fleet: &config.Fleet{}, Lock: portmap.NewLock()}, nil
	}
	kv := resp.Kvs[0]
	l := loader{layout: s.layout}
	fleet, lock, err := l.load(ctx, kv.Value, s.at(resp.Header.Revision))
	if err != nil {
		return nil, fmt.Errorf("read the fleet in %s: %w", s.where, err)
	}
	return &Fleet{fleet, lock, kv.ModRevision, image{kv.Value, l.values}}, nil
}

// transact makes a transaction.
func (s *Store) transact(ctx context.Context, limit time.Duration, conditions []clientv3.Cmp, ops []clientv3.Op) (*clientv3.TxnResponse, error) {
	return ask(ctx, limit, func(ctx context.Context) (*clientv3.TxnResponse, error) {
		return s.client.Txn(ctx).If(conditions...).Then(ops...).Commit()
	})
}

// at returns a getter of values as they were at a revision.
func (s *Store) at(revision int64) getter {
	return func(ctx context.Context, keys []string) (map[string][]byte, error) {
		values := make(map[string][]byte, len(keys))
		for batch := range slices.Chunk(keys, batchOps) {
			if err := s.get(ctx, batch, revision, values); err != nil {
				return nil, err
			}
		}
		return values, nil
	}
}

func (s *Store) get(ctx context.Context, keys []string, revision int64, values map[string][]byte) error {
	var ops []clientv3.Op
	for _, key := range keys {
		ops = append(ops, clientv3.OpGet(key, clientv3.WithRev(revision)))
	}
	resp, err := s.transact(ctx, bulkTimeout, nil, ops)
	if err != nil {
		return fmt.Errorf("read objects: %w", err)
	}
	for _, r := range resp.Responses {
		for _, kv := range r.GetResponseRange().GetKvs() {
			values[string(kv.Key)] = kv.Value
		}
	}
	return nil
}

// Replace makes the fleet and its lock the next ones, if old is still what is there; otherwise it returns [ErrChanged] and
// nobody notices anything. It returns the new revision.
func (s *Store) Replace(ctx context.Context, old *Fleet, fleet *config.Fleet, lock *portmap.Lock) (int64, error) {
	objects, err := split(fleet, lock)
	if err != nil {
		return 0, err
	}
	next := encode(s.layout, objects)
	if err := s.stage(ctx, old, next); err != nil {
		return 0, fmt.Errorf("write objects; the fleet in %s is as it was: %w", s.where, err)
	}
	resp, err := s.transact(ctx, requestTimeout,
		[]clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(s.fleet()), "=", old.Revision)},
		[]clientv3.Op{clientv3.OpPut(s.fleet(), string(next.root))})
	if err != nil {
		return 0, fmt.Errorf("replace the fleet in %s (push again to see whether it was): %w", s.where, err)
	}
	if !resp.Succeeded {
		return 0, ErrChanged
	}
	return resp.Header.Revision, nil
}

// stage writes all values that the old fleet does not have, in as many transactions as it takes; nobody looks at them yet.
// It writes them even if they are there: who looks whether something nobody uses can go ([Store.Sweep]) sees by their
// revision that it cannot.
func (s *Store) stage(ctx context.Context, old *Fleet, next image) error {
	var ops []clientv3.Op
	size := 0
	flush := func() error {
		if len(ops) == 0 {
			return nil
		}
		_, err := s.transact(ctx, bulkTimeout, nil, ops)
		ops, size = ops[:0], 0
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(next.values)) {
		if _, there := old.image.values[key]; there {
			continue
		}
		value := next.values[key]
		if need := len(key) + len(value); len(ops) == batchOps || size+need > batchBytes {
			if err := flush(); err != nil {
				return err
			}
		}
		size += len(key) + len(value)
		ops = append(ops, clientv3.OpPut(key, string(value)))
	}
	return flush()
}
