package etcd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/source"
	"github.com/culvertnet/culvert/source/etcd"
)

// lease is the hosts' lease in tests: more than the least that the tests' etcd grants.
const lease = 2 * time.Second

// host is a source that runs, as a daemon would run it.
type host struct {
	t         testing.TB
	source    *etcd.Source
	delivered chan source.Snapshot
	refused   chan error
	stop      func()
}

// follow runs a source until the test ends or stop is called.
func follow(t testing.TB, c etcd.Config) *host {
	t.Helper()
	c.Lease = lease
	s, err := etcd.NewSource(c)
	if err != nil {
		t.Fatal(err)
	}
	h := &host{t: t, source: s, delivered: make(chan source.Snapshot, 1000), refused: make(chan error, 1000)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- s.Run(ctx, func(s source.Snapshot) { h.delivered <- s }, func(err error) { h.refused <- err })
	}()
	h.stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the source ended with %v", err)
		}
		done <- nil
	}
	t.Cleanup(h.stop)
	return h
}

// until waits for a snapshot that is as wanted and returns it.
func (h *host) until(want string, ok func(source.Snapshot) bool) source.Snapshot {
	h.t.Helper()
	deadline := time.After(time.Minute)
	for {
		select {
		case s := <-h.delivered:
			if ok(s) {
				return s
			}
		case <-deadline:
			h.t.Fatalf("no snapshot %s", want)
		}
	}
}

// generation waits for a generation and returns the snapshot.
func (h *host) generation(want string) source.Snapshot {
	h.t.Helper()
	return h.until("of generation "+want, func(s source.Snapshot) bool { return s.Generation == want })
}

func (h *host) revision(want int64) source.Snapshot {
	h.t.Helper()
	return h.generation(strconv.FormatInt(want, 10))
}

// refusal waits for a refusal with the words.
func (h *host) refusal(words string) error {
	h.t.Helper()
	deadline := time.After(time.Minute)
	for {
		select {
		case err := <-h.refused:
			if strings.Contains(err.Error(), words) {
				return err
			}
			h.t.Logf("refused: %v", err)
		case <-deadline:
			h.t.Fatalf("no refusal that says %q", words)
		}
	}
}

// ready has the host report that it holds a generation.
func (h *host) ready(name string, revision int64) {
	g := strconv.FormatInt(revision, 10)
	h.source.Report(source.Report{Host: name, Ready: true, Generation: g, Converged: g, Time: time.Now()})
}

// expectStates compares the states of all hosts that are not up.
func expectStates(t *testing.T, s source.Snapshot, want map[string]config.HostState) {
	t.Helper()
	got := map[string]config.HostState{}
	for _, h := range s.Fleet.Hosts {
		if h.State != config.Up {
			got[h.Name] = h.State
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
}

func TestFollow(t *testing.T) {
	c := newCluster(t, 1)
	h := follow(t, etcd.Config{Address: c.address()})
	h.refusal("push one with `culvert push`")
	s := c.open()
	first := parse(t)
	one := push(t, s, first)
	if diff := cmp.Diff(first, h.revision(one).Fleet, same); diff != "" {
		t.Errorf("fleet (-pushed +delivered):\n%s", diff)
	}
	second := parse(t, "1024", "2048")
	two := push(t, s, second)
	if got := h.revision(two); got.Fleet.Tenants[0].NATGateway.PortsPerHost != 2048 || len(got.Lock.Hosts) != 3 {
		t.Errorf("delivered %+v", got)
	}
	// What is there counts for who comes later, and a reload tells it again.
	late := follow(t, etcd.Config{Address: c.address()})
	late.revision(two)
	late.source.Reload()
	late.revision(two)
}

// TestBurst pushes faster than a host takes it in: the last one counts.
func TestBurst(t *testing.T) {
	c := newCluster(t, 1)
	s := c.open()
	push(t, s, parse(t))
	h := follow(t, etcd.Config{Address: c.address()})
	var last int64
	for i := range 50 {
		last = push(t, s, parse(t, "10.0.0.12", fmt.Sprintf("10.0.1.%d", i+1)))
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := h.revision(last).Fleet.Tenants[0].Interfaces[0].Addresses[0].String(); got != "10.0.1.50" {
		t.Errorf("address %s", got)
	}
	select {
	case err := <-h.refused:
		t.Errorf("refused: %v", err)
	default:
	}
}

// TestDamage writes values by hand. What is no fleet is refused and the last one stays.
func TestDamage(t *testing.T) {
	c := newCluster(t, 1)
	s, raw := c.open(), c.raw()
	one := push(t, s, parse(t))
	h := follow(t, etcd.Config{Address: c.address()})
	h.revision(one)
	root, err := raw.Get(t.Context(), prefix+"/v1/fleet")
	if err != nil {
		t.Fatal(err)
	}
	put := func(value string) {
		if _, err := raw.Put(t.Context(), prefix+"/v1/fleet", value); err != nil {
			t.Fatal(err)
		}
	}
	put("nonsense")
	h.refusal("it was written by another version")
	put("culvert fleet 1\npage 00000000000000000000000000000000\n")
	h.refusal("is missing; put back what was there, as docs/etcd.md says")
	if _, err := raw.Delete(t.Context(), prefix+"/v1/fleet"); err != nil {
		t.Fatal(err)
	}
	h.refusal("there is no fleet")
	put(string(root.Kvs[0].Value))
	h.until("after the damage", func(source.Snapshot) bool { return true })
}

// TestCompaction has a host that is away miss changes that etcd then forgets.
func TestCompaction(t *testing.T) {
	c := newCluster(t, 1)
	s, raw := c.open(), c.raw()
	one := push(t, s, parse(t))
	h := follow(t, etcd.Config{Address: etcd.Address{Endpoints: []string{c.members[0].front.address}, Prefix: prefix}})
	h.revision(one)
	c.members[0].front.shut("", true)
	var last int64
	for i := range 5 {
		last = push(t, s, parse(t, "10.0.0.12", fmt.Sprintf("10.0.1.%d", i+1)))
	}
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := raw.Compact(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	c.members[0].front.shut("", false)
	h.revision(last)
}

// TestCache starts a host without etcd: it goes on with what it had, says so, and catches up when etcd is back.
func TestCache(t *testing.T) {
	c := newCluster(t, 1)
	s := c.open()
	fleet := parse(t)
	one := push(t, s, fleet)
	conf := etcd.Config{Address: c.address(), Cache: filepath.Join(t.TempDir(), "new", "fleet")}
	first := follow(t, conf)
	first.revision(one)
	first.stop()
	c.kill(0)

	second := follow(t, conf)
	stale := second.generation(fmt.Sprintf("%d (cached)", one))
	if diff := cmp.Diff(fleet, stale.Fleet, same); diff != "" {
		t.Errorf("fleet (-pushed +cached):\n%s", diff)
	}
	second.refusal("cannot be reached")
	c.start(0)
	second.revision(one)
	two := push(t, c.open(), parse(t, "1024", "2048"))
	second.revision(two)
	second.stop()

	// A file that was damaged is not used.
	text, err := os.ReadFile(conf.Cache)
	if err != nil {
		t.Fatal(err)
	}
	c.kill(0)
	damaged := strings.Replace(string(text), "10.0.0.12", "10.0.0.13", 1)
	if err := os.WriteFile(conf.Cache, []byte(damaged), 0o600); err != nil {
		t.Fatal(err)
	}
	third := follow(t, conf)
	third.refusal("does not hold what was pushed")
	select {
	case s := <-third.delivered:
		t.Errorf("delivered %s", s.Generation)
	default:
	}
}

// linked compares what the source says of its connection.
func (h *host) linked(want bool) {
	h.t.Helper()
	if l := h.source.Link(); l.Connected != want || l.Since.IsZero() {
		h.t.Errorf("connected %v since %s, want %v", l.Connected, l.Since, want)
	}
}

// TestOutage takes etcd away from a host that runs. Nothing changes; then it catches up.
func TestOutage(t *testing.T) {
	c := newCluster(t, 1)
	s := c.open()
	one := push(t, s, parse(t))
	h := follow(t, etcd.Config{Address: c.address()})
	h.revision(one)
	h.linked(true)
	c.kill(0)
	h.refusal("cannot be reached")
	h.linked(false)
	c.start(0)
	h.revision(one) // nothing is wrong any more
	h.linked(true)
	h.revision(push(t, c.open(), parse(t, "1024", "2048")))
}

// TestLease lets a host's lease end: the others hear that it is lost, and that it is back.
func TestLease(t *testing.T) {
	c := newCluster(t, 1)
	s := c.open()
	one := push(t, s, parse(t))
	hv1 := follow(t, etcd.Config{Address: c.address(), Host: "hv1"})
	edge := follow(t, etcd.Config{Address: c.address(), Host: "edge1"})
	hv1.revision(one)
	expectStates(t, edge.revision(one), map[string]config.HostState{})
	hv1.ready("hv1", one)
	eventually(t, func() error { return liveHosts(s, "hv1") })

	hv1.stop()
	lost := edge.generation(fmt.Sprintf("%d without hv1", one))
	expectStates(t, lost, map[string]config.HostState{"hv1": config.Lost})

	// A host that comes back counts when it is ready, not before: its kernel may hold nothing yet.
	again := follow(t, etcd.Config{Address: c.address(), Host: "hv1"})
	again.revision(one)
	if err := liveHosts(s); err != nil {
		t.Error(err)
	}
	again.ready("hv1", one)
	expectStates(t, edge.revision(one), map[string]config.HostState{})

	// A daemon that is replaced in time is not missed.
	again.stop()
	third := follow(t, etcd.Config{Address: c.address(), Host: "hv1"})
	third.ready("hv1", one)
	two := push(t, s, parse(t, "1024", "2048"))
	edge.revision(two)
	timeout := time.After(2 * lease)
	select {
	case s := <-edge.delivered:
		t.Errorf("delivered %s", s.Generation)
	case <-timeout:
	}
}

// liveHosts returns nil if just these have a lease.
func liveHosts(s *etcd.Store, want ...string) error {
	fleet, err := s.Read(context.Background())
	if err != nil {
		return err
	}
	hosts, err := s.Hosts(context.Background(), fleet)
	if err != nil {
		return err
	}
	var live []string
	for _, h := range hosts {
		if h.Live {
			live = append(live, h.Host)
		}
	}
	if fmt.Sprint(live) != fmt.Sprint(want) {
		return fmt.Errorf("%v live, want %v", live, want)
	}
	return nil
}

// TestOutageLosesNobody stops etcd for longer than all leases last, with a reader that was away too. Hosts that come back
// are never counted as lost, one that does not is.
func TestOutageLosesNobody(t *testing.T) {
	c := newCluster(t, 1)
	s := c.open()
	one := push(t, s, parse(t))
	edge := follow(t, etcd.Config{Address: c.address(), Host: "edge1"})
	hv1 := follow(t, etcd.Config{Address: c.address(), Host: "hv1"})
	hv2 := follow(t, etcd.Config{Address: c.address(), Host: "hv2"})
	for name, h := range map[string]*host{"hv1": hv1, "hv2": hv2} {
		h.revision(one)
		h.ready(name, one)
	}
	edge.revision(one)
	eventually(t, func() error { return liveHosts(s, "hv1", "hv2") })
	c.kill(0)
	edge.refusal("cannot be reached")
	hv2.stop()
	// Longer than every lease: nothing else tells that time passes for an etcd that is not there.
	select {
	case <-time.After(2 * lease):
	case g := <-edge.delivered:
		t.Errorf("delivered %s while etcd is away", g.Generation)
	}
	c.start(0)
	for {
		got := edge.until("after the outage", func(source.Snapshot) bool { return true })
		if strings.Contains(got.Generation, "hv1") {
			t.Fatalf("generation %s", got.Generation)
		}
		if got.Generation == fmt.Sprintf("%d without hv2", one) {
			return
		}
	}
}

// TestStatus reads what hosts report.
func TestStatus(t *testing.T) {
	c := newCluster(t, 1)
	s := c.open()
	one := push(t, s, parse(t))
	h := follow(t, etcd.Config{Address: c.address(), Host: "hv1"})
	h.revision(one)
	h.ready("hv1", one)
	two := push(t, s, parse(t, "1024", "2048"))
	h.revision(two)
	h.source.Report(source.Report{Host: "hv1", Ready: true, Generation: fmt.Sprint(two), Converged: fmt.Sprint(one), Problems: []string{"no device"}})
	eventually(t, func() error {
		fleet, err := s.Read(t.Context())
		if err != nil {
			return err
		}
		hosts, err := s.Hosts(t.Context(), fleet)
		if err != nil {
			return err
		}
		if len(hosts) != 3 || hosts[0].Host != "hv1" || hosts[1].Reported || hosts[1].Live {
			t.Fatalf("hosts: %+v", hosts)
		}
		got := hosts[0]
		if !got.Live || !got.Reported || got.Generation != fmt.Sprint(two) || got.Converged != fmt.Sprint(one) || len(got.Problems) != 1 {
			return errors.New("not reported yet")
		}
		return nil
	})
}
