package conntrack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestTranslated compares what is read with what conntrack(8) lists: a flow that is not translated is left out.
func TestTranslated(t *testing.T) {
	r := newRig(t)
	const flows = 1000 // more than one read's worth
	r.send(flows, 5000)
	r.send(1, 53) // not translated
	r.ping()
	got := make(map[Flow]int)
	if err := Translated(r.ns, func(f Flow) { got[f]++ }); err != nil {
		t.Fatal(err)
	}
	want := make(map[Flow]int)
	// udp 17 29 src=10.0.0.12 dst=198.51.0.1 sport=41 dport=5000 [UNREPLIED] src=198.51.0.1 dst=45.86.152.23 sport=5000 dport=2048 ...
	lines := regexp.MustCompile(`(?m)^\w+ +(\d+) .* dst=45\.86\.152\.23 (?:sport=\d+ dport=(\d+)|type=\d+ code=\d+ id=(\d+))`)
	for _, m := range lines.FindAllStringSubmatch(r.run("conntrack -L"), -1) {
		var f Flow
		var port uint16
		if _, err := fmt.Sscan(m[1]+" "+m[2]+m[3], &f.Protocol, &port); err != nil {
			t.Fatal(err)
		}
		f.Public = netip.AddrPortFrom(public, port)
		want[f]++
	}
	if !maps.Equal(got, want) {
		t.Errorf("read %v, want %v", got, want)
	}
	all, pings := 0, 0
	for f, n := range got {
		all += n
		if f.Protocol == unix.IPPROTO_ICMP {
			pings += n
		}
	}
	if all != flows+1 || pings != 1 {
		t.Errorf("%d flows, %d of them pings; want %d and 1", all, pings, flows+1)
	}
}

// TestTranslatedNone reads a namespace that has no flows.
func TestTranslatedNone(t *testing.T) {
	r := newRig(t)
	if err := Translated(r.ns, func(f Flow) { t.Errorf("read %v", f) }); err != nil {
		t.Fatal(err)
	}
}

// FuzzRead feeds what the kernel would never say.
func FuzzRead(f *testing.F) {
	f.Add(request(unix.AF_INET, sourceNAT))
	f.Fuzz(func(_ *testing.T, b []byte) {
		var e Entry
		_, _ = read(b, &e, func(*Entry) error { return nil })
		if e.parse(b) {
			_, _ = e.flow()
		}
	})
}

// TestReadErrors takes answers apart that are none of flows.
func TestReadErrors(t *testing.T) {
	message := func(kind uint16, body ...byte) []byte {
		b := make([]byte, unix.NLMSG_HDRLEN, unix.NLMSG_HDRLEN+len(body))
		b[0], b[4], b[5] = byte(unix.NLMSG_HDRLEN+len(body)), byte(kind), byte(kind>>8)
		return append(b, body...)
	}
	for _, test := range []struct {
		name string
		b    []byte
		done bool
		err  error
	}{
		{"done", message(unix.NLMSG_DONE, 0, 0, 0, 0), true, nil},
		{"not permitted", message(unix.NLMSG_ERROR, 0xff, 0xff, 0xff, 0xff), false, unix.EPERM},
		{"cut off", message(unix.NLMSG_DONE, 0, 0, 0, 0)[:18], false, errShort},
		{"error without a number", message(unix.NLMSG_ERROR), false, errShort},
	} {
		if done, err := read(test.b, nil, nil); done != test.done || err != test.err {
			t.Errorf("%s: %v, %v; want %v, %v", test.name, done, err, test.done, test.err)
		}
	}
}

// TestEnd ends half of many flows, and reads and ends them with little memory.
func TestEnd(t *testing.T) {
	r := newRig(t)
	const flows = 20_000
	r.send(flows, 5000)
	r.ping()
	ports, seen := uint16(0), 0
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := End(r.ns, unix.AF_INET, func(e *Entry) bool {
		seen++
		if e.Original.Protocol != unix.IPPROTO_UDP {
			return false
		}
		ports |= binary.BigEndian.Uint16(e.Original.DestinationPort)
		return e.Original.Destination[3]%2 == 0
	})
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
		t.Errorf("took %d bytes for %d flows", took, flows)
	}
	if seen < flows+1 || ports != 5000 {
		t.Errorf("was asked about %d flows, to port %d", seen, ports)
	}
	left, pings := 0, 0
	err = End(r.ns, unix.AF_INET, func(e *Entry) bool {
		if e.Original.Identifier != nil {
			pings++
		} else if left++; e.Original.Destination[3]%2 == 0 {
			t.Errorf("a flow to %v goes on", e.Original.Destination)
		}
		return true
	})
	if err != nil || left != flows/2 || pings != 1 {
		t.Errorf("%d flows and %d pings are left, want %d and 1; %v", left, pings, flows/2, err)
	}
	if n := strings.TrimSpace(r.run("conntrack -C")); n != "0" {
		t.Errorf("conntrack has %s entries in the end", n)
	}
	if err := End(r.ns, unix.AF_INET6, func(*Entry) bool { return true }); err != nil {
		t.Errorf("of a family without flows: %v", err)
	}
}

// TestEndTwice ends flows that have ended by themselves.
func TestEndTwice(t *testing.T) {
	r := newRig(t)
	r.send(3*together/2, 5000)
	err := withSocket(r.ns, func(fd int) error {
		w := &writer{fd: fd, answer: make([]byte, buffer)}
		return End(r.ns, unix.AF_INET, func(e *Entry) bool {
			if err := errors.Join(w.end(e), w.flush()); err != nil {
				t.Error(err)
			}
			return true
		})
	})
	if n := strings.TrimSpace(r.run("conntrack -C")); err != nil || n != "0" {
		t.Errorf("conntrack has %s entries; %v", n, err)
	}
}

// BenchmarkEnd ends none of a quarter of a million flows, and then all.
func BenchmarkEnd(b *testing.B) {
	r := newRig(b)
	const flows = 250_000
	for b.Loop() {
		b.StopTimer()
		for sent := 0; sent < flows; sent += 50_000 {
			r.send(50_000, uint16(5000+sent/50_000))
		}
		b.StartTimer()
		for _, ends := range [...]bool{false, true} {
			name := map[bool]string{false: "reading", true: "ending"}[ends]
			began := time.Now()
			if err := End(r.ns, unix.AF_INET, func(*Entry) bool { return ends }); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(time.Since(began).Nanoseconds())/flows, name+"-ns/flow")
		}
	}
}

// BenchmarkTranslated reads a quarter of a million flows.
func BenchmarkTranslated(b *testing.B) {
	r := newRig(b)
	const flows = 250_000
	for sent := 0; sent < flows; sent += 50_000 {
		r.send(50_000, uint16(5000+sent/50_000))
	}
	for b.Loop() {
		n := 0
		if err := Translated(r.ns, func(Flow) { n++ }); err != nil {
			b.Fatal(err)
		}
		if n < flows*9/10 {
			b.Fatalf("read %d flows", n)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/flows, "ns/flow")
}

// TestCount has as many flows as were sent, in this namespace alone, whichever state they are in.
func TestCount(t *testing.T) {
	r, other := newRig(t), newRig(t)
	other.send(3, 80)
	for i, tt := range []struct{ more, want int }{{0, 0}, {5, 5}, {2, 7}} {
		r.send(tt.more, uint16(80+i))
		err := withSocket(r.ns, func(fd int) error {
			n, err := count(fd)
			if int(n) != tt.want {
				t.Errorf("%d flows, want %d", n, tt.want)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
