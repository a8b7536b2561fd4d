package nft

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// counted is a table with one map of n granules.
func counted(n int, value byte) []Table {
	s := Set{Name: "many", Key: Type{IPv4, Port}, Data: Type{IPv4}, Elements: make(map[string]string, n)}
	for i := range n {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], uint32(i/1000))
		s.Elements[string(Value{}.addr(netip.AddrFrom4(a)).port(uint16(i%1000*64)))] = string([]byte{100, 64, 0, value})
	}
	return []Table{{Family: IPv4Family, Sets: []Set{s}}}
}

// TestAllOrNothing puts a message that the kernel refuses among good ones.
func TestAllOrNothing(t *testing.T) {
	for _, tt := range []struct {
		name string
		bad  func(*transaction)
		want string
		why  error
	}{
		{"an element that is there", func(t *transaction) {
			t.addElements(IPv4Family, counted(1, 0)[0].Sets[0], []element{{string(Value{}.addr(netip.IPv4Unspecified()).port(0)), string([]byte{1, 2, 3, 4})}})
		}, "add to many the elements 0.0.0.0 . 0 ...: file exists", unix.EEXIST},
		{"a set that is not there", func(t *transaction) { t.deleteSet(IPv4Family, "nobody") }, "delete set nobody: no such file or directory", unix.ENOENT},
		{"a jump to nowhere", func(t *transaction) {
			t.addChain(IPv4Family, Chain{Name: "c"})
			t.addRule(IPv4Family, "c", rule(IPv4Family, jump("nowhere")))
		}, `add rule "jump nowhere" to chain c: no such file or directory`, unix.ENOENT},
		{"forwarding where there is no device", func(t *transaction) {
			t.addChain(IPv4Family, Chain{Name: "c"})
			t.addRule(IPv4Family, "c", rule(IPv4Family, (&builder{vx: "vx100"}).fwd(IPv4Family, "meta mark", loadMark(reg2))))
		}, "to chain c: ", unix.ENOENT},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStage(t)
			before := counted(2000, 2)
			s.become(before)
			plan := Diff(before, counted(3000, 3))
			plan.do(tt.bad)
			plan.do(func(t *transaction) { t.addCounter(IPv4Family, Counter{"late"}) })
			err := s.conn.Apply(plan)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !errors.Is(err, tt.why) {
				t.Errorf("error is %v, want %q", err, tt.want)
			}
			s.is(before)
			// The connection is fit for the next transaction.
			s.become(counted(10, 4))
		})
	}
}

// TestEveryRefusalIsNamed shows that one transaction with two mistakes names both.
func TestEveryRefusalIsNamed(t *testing.T) {
	s := newStage(t)
	var plan Plan
	plan.do(func(t *transaction) {
		t.addTable(IPv4Family)
		t.deleteSet(IPv4Family, "first")
		t.deleteChain(IPv4Family, "second")
	})
	err := s.conn.Apply(plan)
	if err == nil || !strings.Contains(err.Error(), "delete set first: ") || !strings.Contains(err.Error(), "delete chain second: ") {
		t.Errorf("error is %v, want both names", err)
	}
	s.is(nil)
}

// TestManyElements changes a map of 100 000 elements: all in one transaction each.
func TestManyElements(t *testing.T) {
	const many = 100_000
	s := newStage(t)
	var was []Table
	for _, step := range []struct {
		name string
		want []Table
	}{
		{"add", counted(many, 2)}, {"change all", counted(many, 3)}, {"delete half", counted(many/2, 3)}, {"delete all", counted(0, 0)},
	} {
		start := time.Now()
		plan := Diff(was, step.want)
		planned := time.Since(start)
		must(t, s.conn.Apply(plan))
		t.Logf("%s: plan %v, apply %v", step.name, planned.Round(time.Millisecond), (time.Since(start) - planned).Round(time.Millisecond))
		s.is(step.want)
		was = step.want
	}
}

// TestChangeIsAtomic watches a map while the data of all its keys changes: whoever looks sees all of the old data or all of
// the new, and never a key without data.
func TestChangeIsAtomic(t *testing.T) {
	s := newStage(t)
	s.become(counted(400, 0))
	reader, err := Dial(s.ns)
	must(t, err)
	t.Cleanup(func() { _ = reader.Close() })
	stop, done := make(chan struct{}), make(chan error, 1)
	var looks atomic.Int64
	go func() { done <- watch(reader, stop, &looks) }()
	// A reader that meets a change reads again, so on a busy machine it may take many changes until it gets through between two.
	for i := 0; i < 60 || looks.Load() == 0 && i < 5000; i++ {
		must(t, s.conn.Apply(Diff(counted(400, byte(i)), counted(400, byte(i+1)))))
	}
	close(stop)
	must(t, <-done)
	if looks.Load() == 0 {
		t.Error("nobody looked while it changed")
	}
}

// watch reads the map until told to stop, and counts how often it saw it.
func watch(c *Conn, stop <-chan struct{}, looks *atomic.Int64) error {
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		tables, err := c.Observe()
		switch {
		case errors.Is(err, ErrChanging):
			continue
		case err != nil:
			return err
		case len(tables) != 1 || len(tables[0].Sets) != 1 || len(tables[0].Sets[0].Elements) != 400:
			return fmt.Errorf("saw a map that is not whole: %v", tables)
		}
		for _, data := range tables[0].Sets[0].Elements {
			if first := tables[0].Sets[0].Elements[string(make([]byte, 8))]; data != first {
				return fmt.Errorf("saw %v beside %v", []byte(data), []byte(first))
			}
		}
		looks.Add(1)
	}
}

// BenchmarkApply measures the changes of a big map.
func BenchmarkApply(b *testing.B) {
	for _, n := range []int{1_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := newStage(b)
			old, now := counted(n, 2), counted(n, 3)
			s.become(old)
			there, back := Diff(old, now), Diff(now, old)
			b.ResetTimer()
			for i := range b.N {
				must(b, s.conn.Apply([]Plan{there, back}[i%2]))
			}
		})
	}
}

// BenchmarkObserve measures reading it.
func BenchmarkObserve(b *testing.B) {
	s := newStage(b)
	s.become(counted(100_000, 2))
	b.ResetTimer()
	for range b.N {
		s.observe()
	}
}

// TestCounters reads what was counted, by family and name, and nothing of other tables.
func TestCounters(t *testing.T) {
	l := newLot(t, hypervisor())
	l.nft("add table ip other; add counter ip other mine { packets 7 bytes 9; }")
	l.pass(l.vx, reply(2100), reply(2100), reply(1100))
	all, err := l.conn.Counters()
	must(t, err)
	const header, payload = 20, 8
	if got, want := all["ip/unknown"], (Count{Packets: 1, Bytes: header + payload}); got != want {
		t.Errorf("unknown is %+v, want %+v", got, want)
	}
	if got := all["netdev/redirected"]; got.Packets != 2 {
		t.Errorf("redirected is %+v, want 2 packets", got)
	}
	want := 0
	for _, table := range Desired(hypervisor()) {
		want += len(table.Counters)
	}
	if len(all) != want {
		t.Errorf("there are %d counters, want our %d: %v", len(all), want, all)
	}
}

// TestDeleteElements wants the values left out of the message and in the caller's list.
func TestDeleteElements(t *testing.T) {
	s := counted(1, 2)[0].Sets[0]
	for key, value := range s.Elements {
		list := []element{{key, value}}
		var with, without transaction
		with.deleteElements(IPv4Family, s, list)
		without.deleteElements(IPv4Family, s, []element{{key: key}})
		if !bytes.Equal(with.messages[0].Data, without.messages[0].Data) {
			t.Errorf("the message with a value is %x, want %x", with.messages[0].Data, without.messages[0].Data)
		}
		if list[0] != (element{key, value}) {
			t.Errorf("the caller's element is now %q", list[0])
		}
	}
}
