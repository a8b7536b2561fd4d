package etcd

import (
	"context"
	"math/rand/v2"
	"time"
)

// answer is what etcd says to a write; err is nil if it was taken.
type answer struct {
	what string
	err  error
}

// insist tries a write until etcd takes it or the context ends, and has it told what etcd says to it. It does not end the
// connection: who may not write, or whose etcd is full, must still hear of fleets, of hosts that die and of sick backends. Whether
// etcd is there at all, [follower.probe] finds out.
func (f *follower) insist(ctx context.Context, what string, write func() error) {
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		err := write()
		// Members fail and elections happen; only a write that fails again is worth a word.
		if err == nil || wait > firstWait {
			select {
			case <-ctx.Done():
				return
			case f.answers <- answer{what, err}:
			}
		}
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait/2 + rand.N(wait)):
		}
	}
}

// take notes whether a kind of write works.
func (d *desk) take(a answer) {
	if a.err == nil {
		delete(d.refusals, a.what)
	} else {
		d.refusals[a.what] = a.err
	}
}
