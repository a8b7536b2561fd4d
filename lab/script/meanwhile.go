package script

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// pause is between two turns of what goes on meanwhile: enough for a machine with few processors to do all else.
const pause = 5 * time.Millisecond

// continual are the commands that may go on while others run.
var continual = map[string]func(*stage, call) error{
	"send": (*stage).send, "ping": (*stage).ping, "inject": (*stage).inject, "frame": (*stage).frame,
}

// once are the commands that take their time once while others run.
var once = map[string]func(*stage, call) error{"open": (*stage).openFlow, "apply": (*stage).apply}

// background is a command that goes on and on.
type background struct {
	stop chan struct{}
	// cancel ends a turn that is under way, where that is possible; it is not needed before the scenario's end.
	cancel context.CancelFunc
	done   sync.WaitGroup
	turns  atomic.Int64
	// Of the turns so far; read them when done.
	failed int
	last   error
}

// meanwhile begins to repeat a command beside all that follows.
func (s *stage) meanwhile(c call) error {
	if len(c.args) < 2 || s.lab == nil {
		return mistakef("usage, after lab up: meanwhile NAME COMMAND ...")
	}
	name, run := c.args[0], continual[c.args[1]]
	switch {
	case s.backgrounds[name] != nil:
		return mistakef("the name %s is taken", name)
	case once[c.args[1]] != nil:
		return s.onceMeanwhile(c)
	case c.args[1] == "visit":
		return s.visitMeanwhile(c)
	case c.args[1] == "shuffle":
		return s.shuffle(c)
	case run == nil:
		return mistakef("%s cannot go on meanwhile: want open, apply, visit, shuffle, send, ping, inject or frame", c.args[1])
	}
	turn := func() error {
		return run(s, call{ctx: c.ctx, args: c.args[2:], stdout: io.Discard, read: c.read})
	}
	// The first turn shows mistakes at once.
	if err := turn(); err != nil {
		return err
	}
	b := &background{stop: make(chan struct{})}
	s.backgrounds[name] = b
	b.done.Go(func() { b.repeat(s.slow(pause), turn) })
	return nil
}

// onceMeanwhile opens a flow or converges hosts, once, beside all that follows.
func (s *stage) onceMeanwhile(c call) error {
	ctx, cancel := context.WithCancel(c.ctx)
	b := &background{stop: make(chan struct{}), cancel: cancel}
	s.backgrounds[c.args[0]] = b
	b.done.Go(func() {
		defer cancel()
		b.turns.Add(1)
		if b.last = once[c.args[1]](s, call{ctx: ctx, args: c.args[2:], stdout: io.Discard, read: c.read}); b.last != nil {
			b.failed = 1
		}
	})
	return nil
}

// repeat takes turn after turn; the last one begins when the end is asked for, so a failure at the end is one. It rests for as long as
// a turn took, or a slow machine would do nothing else, and packets of others would come so late that they are sent again.
func (b *background) repeat(pause time.Duration, turn func() error) {
	next := time.NewTimer(pause)
	defer next.Stop()
	for stopped := false; !stopped; {
		select {
		case <-b.stop:
			stopped = true
		case <-next.C:
		}
		b.turns.Add(1)
		began := time.Now()
		if err := turn(); err != nil {
			b.failed++
			b.last = err
		}
		next.Reset(max(pause, time.Since(began)))
	}
}

// turnsOf compares how often what goes on meanwhile has been done so far.
func (s *stage) turnsOf(c call) error {
	if len(c.args) != 3 || s.backgrounds[c.args[0]] == nil {
		return mistakef("usage, of what goes on meanwhile: turns NAME OP N")
	}
	want, err := parseComparison(c.args[1], c.args[2])
	if err != nil {
		return err
	}
	return want.check("number of turns of "+c.args[0], int(s.backgrounds[c.args[0]].turns.Load()))
}

// finish ends what goes on meanwhile. It fails if a turn failed.
func (s *stage) finish(c call) error {
	args, opts, err := c.want("finish NAME... [any]", 1, 20, "any")
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range args {
		b := s.backgrounds[name]
		if b == nil {
			return mistakef("nothing goes on that is named %s", name)
		}
		b.end()
		delete(s.backgrounds, name)
		c.printf("%s: %d times, %d failed", name, b.turns.Load(), b.failed)
		if b.failed > 0 && !opts.has("any") {
			errs = append(errs, fmt.Errorf("%s: failed %d of %d times, at last: %w", name, b.failed, b.turns.Load(), b.last))
		}
	}
	return errors.Join(errs...)
}

// end waits for the last turn: half a send would leave the flow of no use.
func (b *background) end() {
	close(b.stop)
	b.done.Wait()
}

// abort ends it at once: nobody asks for its last turn.
func (b *background) abort() {
	if b.cancel != nil {
		b.cancel()
	}
	b.end()
}
