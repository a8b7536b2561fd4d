package etcd

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/culvertnet/culvert/source"
	"github.com/culvertnet/culvert/topology"
)

// oneKey is an etcd of one key, which tells the host of every change of it.
type oneKey struct {
	clientv3.KV
	mu     sync.Mutex // until the host has heard
	value  string
	writes int
	desk   *desk
}

func (k *oneKey) Get(context.Context, string, ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r := &clientv3.GetResponse{}
	if k.value != "" {
		r.Kvs = append(r.Kvs, &mvccpb.KeyValue{Value: []byte(k.value)})
	}
	return r, nil
}

func (k *oneKey) Put(_ context.Context, key, value string, _ ...clientv3.OpOption) (*clientv3.PutResponse, error) {
	k.writes++
	k.become(key, value)
	return &clientv3.PutResponse{}, nil
}

func (k *oneKey) Delete(_ context.Context, key string, _ ...clientv3.OpOption) (*clientv3.DeleteResponse, error) {
	k.writes++
	k.become(key, "")
	return &clientv3.DeleteResponse{}, nil
}

func (k *oneKey) become(key, value string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.value = value
	e := &clientv3.Event{Type: clientv3.EventTypePut, Kv: &mvccpb.KeyValue{Key: []byte(key), Value: []byte(value)}}
	if value == "" {
		e.Type = clientv3.EventTypeDelete
	}
	k.desk.hearSome([]*clientv3.Event{e})
}

// TestPublishAgain has somebody else delete and change what a host has said of its backends. It is written once more each time, and not
// for anything else.
func TestPublishAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Source{Config: Config{Host: "hv1"}, layout: layout{"/culvert"}, bulletin: newBulletin()}
		d := &desk{Source: s}
		d.hearAll(nil)
		k := &oneKey{desk: d}
		f := &follower{desk: d, client: &clientv3.Client{KV: k}, answers: make(chan answer)}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = f.publish(ctx, "") }()
		go func() {
			for {
				select {
				case <-ctx.Done():
					return
				case <-f.answers:
				}
			}
		}()
		settle := func() {
			time.Sleep(2 * verdictPause)
			synctest.Wait()
		}
		own, sick := s.layout.health()+"hv1", []source.Sick{{Backend: topology.BackendID{Tenant: "acme", Balancer: "web", Interface: "vm-a"}}}
		s.Publish(sick)
		settle()
		said := k.value
		for writes, change := range []func(){
			func() { s.Publish(sick) },
			func() { k.become(own, "") },
			func() { k.become(own, "[]") },
		} {
			change()
			settle()
			if k.value != said || said == "" || k.writes != writes+1 {
				t.Errorf("change %d: %q is written, with %d writes; want %q, %d", writes, k.value, k.writes, said, writes+1)
			}
		}
		s.Publish(nil)
		settle()
		k.become(own, said)
		settle()
		if k.value != "" || k.writes != 5 {
			t.Errorf("a host whose backends are well: %q is written, with %d writes", k.value, k.writes)
		}
	})
}
