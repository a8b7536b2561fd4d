package etcd

import (
	"context"
	"fmt"
	"slices"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Sweep deletes what the fleet does not use: values of earlier fleets, values of pushes that came to nothing, and what
// hosts that left have said. A value goes if it was written before the fleet was pushed and the fleet does not have it. Whoever
// wrote it for a fleet of their own read an older fleet before, so they will get [ErrChanged]; and readers of an older fleet
// read at its revision.
func (s *Store) Sweep(ctx context.Context) error {
	now, err := s.Read(ctx)
	if err != nil || now.Revision == 0 {
		return err
	}
	var old []string
	for _, prefix := range []string{s.objects(), s.pages(), s.status(), s.health()} {
		keys, err := s.keys(ctx, prefix, now.Revision)
		if err != nil {
			return err
		}
		old = append(old, keys...)
	}
	hosts := make(map[string]bool, len(now.Fleet.Hosts))
	for _, h := range now.Fleet.Hosts {
		hosts[h.Name] = true
	}
	old = slices.DeleteFunc(old, func(key string) bool {
		_, used := now.image.values[key]
		for _, prefix := range []string{s.status(), s.health()} {
			if host, ok := strings.CutPrefix(key, prefix); ok && hosts[host] {
				return true
			}
		}
		return used
	})
	for batch := range slices.Chunk(old, batchOps) {
		if err := s.remove(ctx, batch, now.Revision); err != nil {
			return err
		}
	}
	return nil
}

// keys returns the keys under a prefix that were written before a revision.
func (s *Store) keys(ctx context.Context, prefix string, before int64) ([]string, error) {
	resp, err := ask(ctx, bulkTimeout, func(ctx context.Context) (*clientv3.GetResponse, error) {
		return s.client.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly(), clientv3.WithMaxModRev(before-1))
	})
	if err != nil {
		return nil, fmt.Errorf("look for what %s does not use: %w", s.where, err)
	}
	var keys []string
	for _, kv := range resp.Kvs {
		keys = append(keys, string(kv.Key))
	}
	return keys, nil
}

// remove deletes the keys, unless one of them has been written since: then somebody pushes, and sweeps after that.
func (s *Store) remove(ctx context.Context, keys []string, before int64) error {
	var same []clientv3.Cmp
	var ops []clientv3.Op
	for _, key := range keys {
		same = append(same, clientv3.Compare(clientv3.ModRevision(key), "<", before))
		ops = append(ops, clientv3.OpDelete(key))
	}
	if _, err := s.transact(ctx, bulkTimeout, same, ops); err != nil {
		return fmt.Errorf("delete what %s does not use: %w", s.where, err)
	}
	return nil
}
