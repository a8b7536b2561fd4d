package measure

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/topology"
)

func fleet() (*topology.Host, *portmap.Lock) { return &topology.Host{}, portmap.NewLock() }

// TestMeter counts how often the kernel is read, by a clock that jumps.
func TestMeter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reads, takes := 0, 100*time.Millisecond
		m := New(Options{Fleet: fleet})
		m.measure = func(*topology.Host, *portmap.Lock) *Reading {
			reads++
			time.Sleep(takes)
			return &Reading{}
		}
		read := func() *Reading {
			t.Helper()
			r, err := m.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		expect := func(what string, want int) {
			t.Helper()
			if reads != want {
				t.Errorf("%s: read %d times, want %d", what, reads, want)
			}
		}
		var group sync.WaitGroup
		for range 10 {
			group.Go(func() { read() })
		}
		group.Wait()
		expect("ten at once", 1)
		first := read()
		if first.Took != takes {
			t.Errorf("took %s, want %s", first.Took, takes)
		}
		time.Sleep(Every - time.Nanosecond)
		if read() != first {
			t.Error("another reading, and it is not old enough")
		}
		time.Sleep(time.Nanosecond)
		takes = 3 * time.Second
		if read() == first {
			t.Error("the same reading, and it is too old")
		}
		expect("the first is old", 2)
		time.Sleep(Share*takes - time.Nanosecond)
		read()
		expect("one that took long is kept for longer", 2)
		time.Sleep(time.Nanosecond)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := m.Read(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("impatient: %v", err)
		}
		read()
		expect("who waits on gets what the impatient began", 3)
	})
}

// TestMeterWithoutFleet has nothing to read.
func TestMeterWithoutFleet(t *testing.T) {
	m := New(Options{Fleet: func() (*topology.Host, *portmap.Lock) { return nil, nil }})
	if _, err := m.Read(t.Context()); !errors.Is(err, ErrNoFleet) {
		t.Error(err)
	}
}
