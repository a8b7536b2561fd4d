package etcd

import (
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// DefaultLease is how long a host counts as living after it was heard of last. A daemon that is restarted within it is not
// missed: the new one takes the key over.
const DefaultLease = 10 * time.Second

// live waits until the host is ready for others' traffic, and keeps the host's key with a lease until the context ends. The
// lease is left to end by itself: a daemon that stops leaves a kernel that forwards.
func (f *follower) live(ctx context.Context) error {
	select {
	case <-ctx.Done():
	case <-f.outbox.ready:
	}
	for ctx.Err() == nil {
		var lease clientv3.LeaseID
		f.insist(ctx, "live", func() (err error) {
			lease, err = f.grant(ctx)
			return err
		})
		if ctx.Err() != nil {
			return nil
		}
		renewed, err := f.client.KeepAlive(clientv3.WithRequireLeader(ctx), lease)
		if err != nil {
			return fmt.Errorf("renew the host's lease: %w", err)
		}
		for range renewed { // until the lease has ended
		}
	}
	return nil
}

// grant writes the host's key with a new lease.
func (f *follower) grant(ctx context.Context) (clientv3.LeaseID, error) {
	lease, err := ask(ctx, requestTimeout, func(ctx context.Context) (*clientv3.LeaseGrantResponse, error) {
		return f.client.Grant(ctx, int64(f.Lease/time.Second))
	})
	if err != nil {
		return 0, fmt.Errorf("get a lease for the host: %w", err)
	}
	if err := f.put(ctx, f.layout.live()+f.Host, f.Version, clientv3.WithLease(lease.ID)); err != nil {
		return 0, fmt.Errorf("say that the host lives: %w; a host must be allowed to write under %s", err, f.layout.live())
	}
	return lease.ID, nil
}

func (f *follower) put(ctx context.Context, key, value string, options ...clientv3.OpOption) error {
	_, err := ask(ctx, requestTimeout, func(ctx context.Context) (*clientv3.PutResponse, error) {
		return f.client.Put(ctx, key, value, options...)
	})
	return err
}
