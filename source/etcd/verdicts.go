package etcd

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/culvertnet/culvert/source"
)

// verdictPause is the least time between two writes of a host's verdicts. The first is made at once; of several that come
// meanwhile the last one counts.
const verdictPause = time.Second

// bulletin holds what the host says about its backends until it is written.
type bulletin struct {
	mu   sync.Mutex
	sick []source.Sick
	// full has an element while there is something that may not be written.
	full chan struct{}
	// said is true once the host has said something. Until then what it said in an earlier life stands.
	said bool
	// stirred is true once somebody, be it this host, has written or deleted the host's key, until that has been read.
	stirred bool
}

func newBulletin() *bulletin { return &bulletin{full: make(chan struct{}, 1)} }

func (b *bulletin) put(sick []source.Sick) {
	b.mu.Lock()
	b.sick, b.said = slices.Clone(sick), true
	b.mu.Unlock()
	b.again()
}

func (b *bulletin) again() {
	select {
	case b.full <- struct{}{}:
	default:
	}
}

// stir has the host's key read again, and written if it does not say what the host said last.
func (b *bulletin) stir() {
	b.mu.Lock()
	b.stirred = true
	b.mu.Unlock()
	b.again()
}

// settle reports whether the key has been stirred since it was asked last.
func (b *bulletin) settle() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	stirred := b.stirred
	b.stirred = false
	return stirred
}

// last returns what was said last; false if nothing was.
func (b *bulletin) last() ([]source.Sick, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sick, b.said
}

// Publish implements [source.Carrier].
func (s *Source) Publish(sick []source.Sick) { s.bulletin.put(sick) }

// publish writes what is in the bulletin when it differs from written, which is what etcd has. A host without sick backends has
// no key. Whenever the key changes it is read again: a push of a fleet without the host deletes it, and the fleet may come back before
// anything changes that the host says.
func (f *follower) publish(ctx context.Context, written string) error {
	f.bulletin.again()
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
		case <-f.bulletin.full:
		}
		before, doubtful := written, f.bulletin.settle()
		f.insist(ctx, "health", func() (err error) {
			if doubtful {
				written, err = f.readOwn(ctx)
			}
			next := written
			if err == nil {
				next, err = f.bulletin.text(written)
			}
			if err == nil && next != written {
				err = f.writeVerdicts(ctx, next)
			}
			if err != nil {
				doubtful = true // it may have been written all the same
				return fmt.Errorf("publish which backends are sick: %w; a host must be allowed to write under %s", err, f.layout.health())
			}
			written = next
			return nil
		})
		wait := time.Duration(0)
		if written != before {
			wait = verdictPause
		}
		pause.Reset(wait)
	}
}

// text is the value of the host's key; written, if nothing was said.
func (b *bulletin) text(written string) (string, error) {
	sick, said := b.last()
	if !said {
		return written, nil
	}
	if len(sick) == 0 {
		return "", nil
	}
	text, err := json.Marshal(sick)
	return string(text), err
}

// readOwn reads what is written for this host.
func (f *follower) readOwn(ctx context.Context) (string, error) {
	resp, err := ask(ctx, requestTimeout, func(ctx context.Context) (*clientv3.GetResponse, error) {
		return f.client.Get(ctx, f.layout.health()+f.Host)
	})
	if err != nil || len(resp.Kvs) == 0 {
		return "", err
	}
	return string(resp.Kvs[0].Value), nil
}

func (f *follower) writeVerdicts(ctx context.Context, text string) error {
	key := f.layout.health() + f.Host
	if text != "" {
		return f.put(ctx, key, text)
	}
	_, err := ask(ctx, requestTimeout, func(ctx context.Context) (*clientv3.DeleteResponse, error) { return f.client.Delete(ctx, key) })
	return err
}

// hearAll takes in the verdicts of all hosts, and returns what is written for this one.
func (d *desk) hearAll(kvs []*mvccpb.KeyValue) (own string) {
	sick := make(map[string][]source.Sick, len(kvs))
	for _, kv := range kvs {
		host := strings.TrimPrefix(string(kv.Key), d.layout.health())
		if list, ok := readVerdicts(kv.Value); ok {
			sick[host] = list
		} else if before, ok := d.sick[host]; ok {
			sick[host] = before
		}
		if host == d.Host {
			own = string(kv.Value)
		}
	}
	d.judged = d.judged || d.sick == nil || !reflect.DeepEqual(sick, d.sick)
	d.sick = sick
	return own
}

// hearSome takes in the verdicts that have changed. What was delivered must not change, so this is another map.
func (d *desk) hearSome(events []*clientv3.Event) {
	d.sick = maps.Clone(d.sick)
	for _, e := range events {
		host := strings.TrimPrefix(string(e.Kv.Key), d.layout.health())
		if host == d.Host {
			d.bulletin.stir()
		}
		if e.Type == clientv3.EventTypeDelete {
			delete(d.sick, host)
		} else if list, ok := readVerdicts(e.Kv.Value); ok {
			d.sick[host] = list
		}
	}
	d.judged = true
}

// readVerdicts reads a host's verdicts. What cannot be read, as of a later version, changes nothing.
func readVerdicts(text []byte) ([]source.Sick, bool) {
	var list []source.Sick
	err := json.Unmarshal(text, &list)
	for i := range list {
		list[i] = list[i].Tame()
	}
	return list, err == nil
}
