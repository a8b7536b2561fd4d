package trigger

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/netns"
)

// rig is a host's namespace and a tenant's, with a watch that runs.
type rig struct {
	*testing.T
	prefix       string
	host, tenant *netns.NS
	watch        *Watch
	space        Space
	events       chan Event
	marks        int
}

func newRig(t *testing.T) *rig {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	for _, tool := range []string{"ip", "nft", "bridge"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs the program %s", tool)
		}
	}
	r := &rig{T: t, prefix: fmt.Sprintf("trig%d-", os.Getpid()), events: make(chan Event, 10000)}
	r.host, r.tenant = r.create("host"), r.create("tenant")
	var err error
	if r.watch, err = Open(r.host); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.watch.Close() })
	r.ip("host", "link add up0 type veth peer name tap0 netns "+r.prefix+"tenant")
	if r.space, err = r.watch.ID(r.tenant); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		done <- r.watch.Run(ctx, func(e Event) {
			if e.Kind != Name || strings.HasPrefix(e.Name, r.prefix) { // the machine may have others
				r.events <- e
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run ended with %v", err)
		}
	})
	return r
}

func (r *rig) create(name string) *netns.NS {
	r.Helper()
	ns, err := netns.Create(r.prefix + name)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() {
		if err := errors.Join(ns.Close(), netns.Remove(r.prefix+name)); err != nil {
			r.Error(err)
		}
	})
	return ns
}

func (r *rig) run(words ...string) {
	r.Helper()
	if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
		r.Fatalf("%s: %v: %s", strings.Join(words, " "), err, out)
	}
}

func (r *rig) ip(ns, words string) {
	r.Helper()
	r.run(append([]string{"ip", "-n", r.prefix + ns}, strings.Fields(words)...)...)
}

func (r *rig) inside(ns string, words ...string) {
	r.Helper()
	r.run(append([]string{"ip", "netns", "exec", r.prefix + ns}, words...)...)
}

// wait waits for an event that fits.
func (r *rig) wait(what string, fits func(Event) bool) {
	r.Helper()
	var seen []Event
	late := time.After(10 * time.Second)
	for {
		select {
		case e := <-r.events:
			if fits(e) {
				return
			}
			seen = append(seen, e)
		case <-late:
			r.Fatalf("%s: not told, but %v", what, seen[max(0, len(seen)-20):])
		}
	}
}

func (r *rig) told(what string, want Event) {
	r.Helper()
	r.wait(what, func(e Event) bool { return e == want })
}

// mark makes an event that ends those of what has been done.
func (r *rig) mark() {
	r.Helper()
	r.marks++
	r.ip("host", fmt.Sprintf("address add 127.1.1.%d/32 dev lo", r.marks))
}

// drain forgets all events until now.
func (r *rig) drain() {
	r.Helper()
	r.mark()
	r.wait("mark", func(e Event) bool { return e.Device == "lo" })
}

// rest returns the events of a kind until now.
func (r *rig) rest(kind Kind) (out []Event) {
	r.Helper()
	r.mark()
	r.wait("mark", func(e Event) bool {
		if e.Kind == kind {
			out = append(out, e)
		}
		return e.Device == "lo"
	})
	return out
}

// TestEvents does in both namespaces what an event is for.
func TestEvents(t *testing.T) {
	r := newRig(t)
	for _, tt := range []struct {
		ns, words string
		kind      Kind
	}{
		{"tenant", "link set tap0 up", Link},
		{"tenant", "link add vx7 type vxlan id 7 dstport 4789 local 192.0.2.1", Link},
		{"tenant", "link set vx7 up", Link},
		{"tenant", "address add 10.0.0.1/24 dev tap0", Address},
		{"tenant", "address add fd00::1/64 dev tap0", Address},
		{"tenant", "route add 10.9.0.0/24 dev tap0", Route},
		{"tenant", "route add fd09::/64 dev tap0", Route},
		{"tenant", "route del 10.9.0.0/24 dev tap0", Route},
		{"tenant", "route add unreachable 10.8.0.0/24 metric 1073741824", Route},
		{"tenant", "rule add priority 77 iif tap0 lookup local", Route},
		{"tenant", "-6 rule add priority 77 iif tap0 lookup local", Route},
		{"tenant", "-6 rule del priority 77", Route},
		{"tenant", "rule del priority 0", Route},
		{"tenant", "neigh add 10.0.0.7 lladdr 02:00:00:00:00:07 dev tap0 nud permanent", Neighbour},
		{"tenant", "neigh del 10.0.0.7 dev tap0", Neighbour},
		{"tenant", "link del vx7", Link},
		{"host", "link set up0 mtu 1400", Link},
		{"host", "link set up0 up", Link},
		{"host", "address add 192.0.2.1/24 dev up0", Address},
		{"host", "route add 198.51.100.0/24 dev up0", Route},
		{"host", "neigh add 192.0.2.7 lladdr 02:00:00:00:00:07 dev up0 nud permanent", Neighbour},
		{"host", "link del up0", Link},
	} {
		want := Event{Kind: tt.kind, Space: r.space}
		if tt.ns == "host" {
			want.Space, want.Device = Host, "up0"
		}
		r.ip(tt.ns, tt.words)
		r.told(tt.ns+": "+tt.words, want)
	}
}

func TestForwardingEntries(t *testing.T) {
	r := newRig(t)
	r.ip("tenant", "link add vx7 type vxlan id 7 dstport 4789 local 192.0.2.1")
	r.drain()
	for _, verb := range []string{"append", "del"} {
		r.run("bridge", "-n", r.prefix+"tenant", "fdb", verb, "02:00:00:00:00:07", "dev", "vx7", "dst", "192.0.2.7")
		r.told(verb, Event{Kind: Neighbour, Space: r.space})
	}
}

// TestRules wants one event for a transaction of many elements, as told by the kernel for each namespace.
func TestRules(t *testing.T) {
	r := newRig(t)
	for ns, space := range map[string]Space{"tenant": r.space, "host": Host} {
		r.inside(ns, "nft", "add table ip t; add set ip t s { type inet_service; }; add element ip t s { "+numbers(1, 5000)+" }")
		r.told("nft in "+ns, Event{Kind: Rules, Space: space})
	}
	r.drain()
	r.inside("tenant", "nft", "flush ruleset")
	r.told("flush", Event{Kind: Rules, Space: r.space})
	if more := r.rest(Rules); len(more) > 0 {
		t.Errorf("told again of one transaction: %v", more)
	}
}

func numbers(from, to int) string {
	var words []string
	for i := from; i <= to; i++ {
		words = append(words, fmt.Sprint(i))
	}
	return strings.Join(words, ", ")
}

// TestParameters writes kernel parameters: those that netlink tells of, and those that only their files do.
func TestParameters(t *testing.T) {
	r := newRig(t)
	r.inside("tenant", "nft", "add table ip t; add chain ip t c { type filter hook input priority 0; }; add rule ip t c ct state new counter")
	if _, err := r.watch.ID(r.tenant); err != nil { // connection tracking has its parameters now
		t.Fatal(err)
	}
	for _, tt := range []struct{ path, value string }{
		{"net/ipv4/ip_forward", "1"},
		{"net/ipv4/conf/tap0/proxy_arp", "1"},
		{"net/ipv4/conf/tap0/rp_filter", "2"},
		{"net/ipv4/conf/all/rp_filter", "2"},
		{"net/ipv6/conf/all/forwarding", "1"},
		{"net/ipv4/conf/all/send_redirects", "0"},
		{"net/ipv4/conf/default/accept_redirects", "0"},
		{"net/ipv6/conf/default/accept_ra", "0"},
		{"net/ipv4/fib_multipath_hash_policy", "1"},
		{"net/netfilter/nf_conntrack_udp_timeout", "77"},
	} {
		r.drain()
		r.inside("tenant", "sh", "-c", "echo "+tt.value+" >/proc/sys/"+tt.path)
		r.told(tt.path, Event{Kind: Parameter, Space: r.space})
	}
}

func TestNames(t *testing.T) {
	r := newRig(t)
	name := r.prefix + "third"
	ns, err := netns.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	r.told("create", Event{Kind: Name, Space: Host, Name: name})
	if err := errors.Join(ns.Close(), netns.Remove(name)); err != nil {
		t.Fatal(err)
	}
	r.told("remove", Event{Kind: Name, Space: Host, Name: name})
}

// TestPassing has a neighbour of IPv6 that comes by itself: nobody is told.
func TestPassing(t *testing.T) {
	r := newRig(t)
	r.ip("tenant", "link set tap0 up")
	r.drain()
	r.ip("tenant", "neigh add fe80::7 lladdr 02:00:00:00:00:07 dev tap0 nud reachable")
	r.ip("tenant", "neigh add 10.0.0.7 lladdr 02:00:00:00:00:07 dev tap0 nud permanent")
	r.wait("the second", func(e Event) bool { return e.Kind == Neighbour })
	if more := r.rest(Neighbour); len(more) > 0 {
		t.Errorf("told of both: %v", more)
	}
}

// TestSameID wants one number for a namespace, whoever asks.
func TestSameID(t *testing.T) {
	r := newRig(t)
	again, err := r.watch.ID(r.tenant)
	if err != nil || again != r.space {
		t.Errorf("id %d, %v; want %d", again, err, r.space)
	}
	other := r.create("other")
	if id, err := r.watch.ID(other); err != nil || id == r.space {
		t.Errorf("another namespace has id %d, %v, like the first", id, err)
	}
	closed, err := netns.Open(other.Name())
	if err != nil {
		t.Fatal(err)
	}
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	if id, err := r.watch.ID(closed); err == nil || id != Host {
		t.Errorf("a closed namespace has id %d, %v; want %d and an error", id, err, Host)
	}
	if _, err := r.watch.ID(r.host); err != nil && !errors.Is(err, unix.EEXIST) {
		t.Logf("the host's own: %v", err)
	}
}

// TestForget has namespaces come and go, some with the number of one before: their watches go with them, also in the kernel.
func TestForget(t *testing.T) {
	r := newRig(t)
	watched := func() int {
		t.Helper()
		text, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", r.watch.parameters.fd))
		if err != nil {
			t.Fatal(err)
		}
		r.watch.parameters.mu.Lock()
		defer r.watch.parameters.mu.Unlock()
		n := strings.Count(string(text), "inotify wd:")
		if known := len(r.watch.parameters.spaces); known != n {
			t.Errorf("%d watches in the kernel, %d known", n, known)
		}
		return n
	}
	before := watched()
	if before == 0 {
		t.Fatal("no watches of the tenant")
	}
	visit := func(name string) (space Space) {
		t.Helper()
		ns, err := netns.Create(r.prefix + name)
		if err != nil {
			t.Fatal(err)
		}
		space, err = r.watch.ID(ns)
		if err := errors.Join(err, ns.Close()); err != nil {
			t.Fatal(err)
		}
		if watched() <= before {
			t.Error("no watches of a namespace that came")
		}
		if err := netns.Remove(r.prefix + name); err != nil {
			t.Fatal(err)
		}
		return space
	}
	for range 3 {
		if err := r.watch.Forget(visit("guest")); err != nil {
			t.Fatal(err)
		}
		if n := watched(); n != before {
			t.Fatalf("%d watches after a namespace went, want %d", n, before)
		}
	}
	// The kernel gives the number to the next one, sooner or later; the watches are those of that one alone.
	first, err := netns.Create(r.prefix + "guest")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.watch.watchParameters(first, 77), first.Close()); err != nil {
		t.Fatal(err)
	}
	one := watched()
	if err := errors.Join(netns.Remove(r.prefix+"guest"), r.watch.watchParameters(r.create("heir"), 77)); err != nil {
		t.Fatal(err)
	}
	if n := watched(); n != one {
		t.Errorf("%d watches after another namespace got the number, want %d", n, one)
	}
	// The one that stays is heard all the while.
	r.drain()
	r.inside("tenant", "sh", "-c", "echo 0 >/proc/sys/net/ipv4/conf/all/send_redirects")
	r.told("send_redirects", Event{Kind: Parameter, Space: r.space})
}
