package script

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/culvertnet/culvert/lab/traffic"
	"github.com/culvertnet/culvert/netns"
)

// visits are flows that come one after the other, carry data for a while and go.
type visits struct {
	*background
	ns      *netns.NS
	network traffic.Network
	to      netip.AddrPort
	how     traffic.Options
	// every is between two flows, and between two exchanges of one; each flow lives for lives.
	every, lives   time.Duration
	bytes          int
	opens, carries time.Duration
	mu             sync.Mutex
}

// visitMeanwhile lets flows come and go beside all that follows.
func (s *stage) visitMeanwhile(c call) error {
	name := c.args[0]
	c.args = c.args[2:]
	args, opts, err := c.want("meanwhile NAME visit NODE tcp|udp ADDR:PORT [src=ADDR] [every=D] [lives=D] [size=BYTES]", 3, 3, "src", "every", "lives", "size")
	if err != nil {
		return err
	}
	v := &visits{background: &background{stop: make(chan struct{})}, opens: s.slow(openPatience), carries: s.slow(sendPatience)}
	var errs [6]error
	var source netip.Addr
	v.network, errs[0] = network(args[1])
	v.to, errs[1] = addrPort(args[2])
	source, errs[2] = opts.addr("src")
	v.every, errs[3] = opts.duration("every", time.Second)
	v.lives, errs[4] = opts.duration("lives", 10*time.Second)
	v.bytes, errs[5] = opts.number("size", 2000)
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	v.how.Source = netip.AddrPortFrom(source, 0)
	if v.ns, err = s.open(args[0]); err != nil {
		return err
	}
	s.backgrounds[name] = v.background
	v.done.Go(v.come)
	return nil
}

// come lets flows come until the end is asked for, and waits for the last.
func (v *visits) come() {
	next := time.NewTicker(v.every)
	defer next.Stop()
	var all sync.WaitGroup
	for stopped := false; !stopped; {
		select {
		case <-v.stop:
			stopped = true
		case <-next.C:
			all.Go(func() { v.note(v.visit()) })
		}
	}
	all.Wait()
	if err := v.ns.Close(); err != nil {
		v.failed++
		v.last = err
	}
}

func (v *visits) note(err error) {
	v.turns.Add(1)
	v.mu.Lock()
	defer v.mu.Unlock()
	if err != nil {
		v.failed++
		v.last = err
	}
}

// visit is the life of one flow.
func (v *visits) visit() (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), v.opens)
	defer cancel()
	flow, err := traffic.Open(ctx, v.ns, v.network, v.to, v.how)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, flow.Close()) }()
	born := time.Now()
	next := time.NewTicker(v.every)
	defer next.Stop()
	for ends := time.After(v.lives); ; {
		if err := v.exchange(flow); err != nil {
			return fmt.Errorf("%s, %s old: %w", flow.Local(), time.Since(born).Round(time.Millisecond), err)
		}
		select {
		case <-v.stop:
			return v.exchange(flow)
		case <-ends:
			return nil
		case <-next.C:
		}
	}
}

func (v *visits) exchange(flow traffic.Flow) error {
	ctx, cancel := context.WithTimeout(context.Background(), v.carries)
	defer cancel()
	return flow.Exchange(ctx, v.bytes)
}
