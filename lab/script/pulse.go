package script

import (
	"sync"
	"sync/atomic"
	"time"
)

// beat is the time between two beats of a pulse. What a beat is late by more than that, the machine has stood still.
const beat = 10 * time.Millisecond

// pulse measures for how long this process did not get a processor: on a busy machine that is no fault of what is measured.
type pulse struct {
	once  sync.Once
	stop  chan struct{}
	still atomic.Int64
}

func (p *pulse) start() {
	p.once.Do(func() {
		p.stop = make(chan struct{})
		go p.run()
	})
}

func (p *pulse) run() {
	next := time.NewTicker(beat)
	defer next.Stop()
	last := time.Now()
	for {
		select {
		case <-p.stop:
			return
		case <-next.C:
		}
		now := time.Now()
		if late := now.Sub(last) - beat; late > beat {
			p.still.Add(int64(late))
		}
		last = now
	}
}

// stood is for how long the machine has stood still since the start.
func (p *pulse) stood() time.Duration { return time.Duration(p.still.Load()) }

// end ends a pulse that has started.
func (p *pulse) end() {
	if p.stop != nil {
		close(p.stop)
	}
}
