package overlay

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/topology"
)

var (
	devices  = []string{"tap-0", "tap-1", "tap-2", "tap-3", "tap-absent"}
	privates = []string{"10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::1", "fd00::2", "10.0.0.4"}
	publics  = []string{"45.86.152.1", "45.86.152.2", "45.86.152.3"}
)

// anyHost draws a valid host: tenants have VNIs and devices of their own.
func anyHost(t *rapid.T, label string) topology.Host {
	free := rapid.Permutation(devices).Draw(t, label+" devices")
	vnis := rapid.Permutation([]config.VNI{100, 200, 300}).Draw(t, label+" VNIs")
	h := hostOf()
	h.Underlay = mustAddr(rapid.SampledFrom([]string{"192.0.2.1", "192.0.2.1", "2001:db8::1"}).Draw(t, label+" underlay"))
	h.Port = rapid.SampledFrom([]uint16{4789, 4789, 8472}).Draw(t, label+" port")
	for n, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"acme", "blue", "green"}), 0, 3, rapid.ID).Draw(t, label+" tenants") {
		role := rapid.IntRange(1, 3).Draw(t, label+" role of "+name)
		tenant := topology.Tenant{Name: name, VNI: vnis[n], Hypervisor: role&1 != 0, Edge: role&2 != 0, Nowhere: topology.Nowhere(config.DefaultOverlay()), Overlay: config.DefaultOverlay(), Self: peer(1, false), NAT: &topology.NAT{}}
		for id := byte(2); id < 6; id++ {
			if rapid.Bool().Draw(t, fmt.Sprint(label, " peer ", id)) {
				p := peer(id, id > 3)
				if h.Underlay.Is6() {
					p.Underlay = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: id})
				}
				tenant.Peers = append(tenant.Peers, p)
			}
		}
		used := rapid.Permutation(privates).Draw(t, label+" addresses")
		for i := range rapid.IntRange(0, 2).Draw(t, label+" interfaces") {
			if !tenant.Hypervisor || len(free) == 0 {
				break
			}
			tenant.Interfaces = append(tenant.Interfaces, nic("vm", free[0], used[2*i]))
			free = free[1:]
		}
		for _, p := range tenant.Peers {
			if p.Hypervisor && tenant.Hypervisor {
				tenant.Remote = append(tenant.Remote, topology.Remote{Address: mustAddr(used[p.ID+2]), Peer: p})
			}
		}
		tenant.NAT.Addresses = []netip.Addr{mustAddr(publics[n])}
		h.Tenants = append(h.Tenants, tenant)
	}
	return h
}

// TestAnyToAny goes from any state to any other with one plan.
func TestAnyToAny(t *testing.T) {
	// Each check waits for the kernel to end namespaces; -rapid.checks says otherwise.
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		_ = f.Value.Set("30")
		t.Cleanup(func() { _ = f.Value.Set(f.DefValue) })
	}
	r := newRig(t)
	r.device(devices[:4]...)
	r.device("out0")
	rapid.Check(t, func(t *rapid.T) {
		in := r.with(t)
		in.settle(anyHost(t, "A"))
		in.settle(anyHost(t, "B"))
		if rapid.IntRange(0, 9).Draw(t, "cleanup") == 0 {
			in.apply(in.cleanup())
		}
	})
	r.clean()
}

// TestNothingLeaks plans and applies many times: descriptors and threads stay as many, and no thread stays elsewhere.
func TestNothingLeaks(t *testing.T) {
	r := newRig(t)
	r.device("tap-a", "out0")
	full, empty := hostOf(both()), hostOf()
	count := func(dir string) int { return len(must(os.ReadDir(dir))) }
	home := must(os.Readlink("/proc/thread-self/ns/net"))
	rounds := func(n int) {
		for i := range n {
			// Most rounds find nothing to do, every tenth takes all down.
			if i%10 == 9 {
				r.apply(r.plan(empty))
			}
			r.apply(r.plan(full))
		}
	}
	rounds(10)
	fds := count("/proc/self/fd")
	rounds(200)
	runtime.GC()
	if got := count("/proc/self/fd"); got > fds {
		t.Errorf("%d descriptors after 200 rounds, %d before", got, fds)
	}
	for _, task := range must(os.ReadDir("/proc/self/task")) {
		ns, err := os.Readlink("/proc/self/task/" + task.Name() + "/ns/net")
		if err == nil && ns != home {
			t.Errorf("thread %s is in %s, want %s", task.Name(), ns, home)
		}
	}
}

// TestNamespaceIsNotKeptAlive removes a namespace by name: nothing of ours holds it, neither after a plan was carried out
// nor after one was made, so the kernel ends it.
func TestNamespaceIsNotKeptAlive(t *testing.T) {
	h := hostOf(edge())
	for name, last := range map[string]func(*rig){
		"apply":   func(r *rig) { r.apply(r.plan(h)) },
		"observe": func(r *rig) { r.settle(h) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.device("out0")
			last(r)
			if err := netns.Remove(r.prefix + "culvert-acme"); err != nil {
				t.Fatal(err)
			}
			r.wait("the uplink's end to go with the namespace", func() bool {
				_, err := r.run("ip", "host", "link show cv100")
				return err != nil
			})
		})
	}
}

// large is a host with the given number of tenants, each with VMs here and elsewhere: about 7 objects a VM here.
func large(tenants, vms int) topology.Host {
	h := hostOf()
	for n := range tenants {
		t := hypervisor()
		t.Name, t.VNI = fmt.Sprintf("t%d", n), config.VNI(n+1)
		t.Interfaces, t.Remote = nil, nil
		for v := range vms {
			a := netip.AddrFrom4([4]byte{10, 0, byte(v >> 8), byte(v)})
			t.Interfaces = append(t.Interfaces, nic(fmt.Sprintf("vm%d", v), fmt.Sprintf("tap%d-%d", n, v), a.String()))
		}
		h.Tenants = append(h.Tenants, t)
	}
	return h
}

// largeState is the state of a large host, as observed and as desired.
func largeState(tenants, vms int) (Observed, State, int) {
	facts := Facts{Underlay: "eth0", UnderlayMTU: 1550}
	observed := Observed{State: must(Desired(large(tenants, vms), facts)), Facts: facts}
	desired := must(Desired(large(tenants, vms), facts))
	objects := 0
	for _, o := range desired {
		objects += len(o)
	}
	return observed, desired, objects
}

func TestDiffIsLinear(t *testing.T) {
	took := func(tenants, vms int) time.Duration {
		observed, desired, _ := largeState(tenants, vms)
		start := time.Now()
		if p := Diff(observed, desired); !p.Empty() {
			t.Fatalf("%d steps without a change", len(p.Steps))
		}
		return time.Since(start)
	}
	small, big := took(50, 20), took(500, 20)
	for tries := 0; big > 40*small && tries < 20; tries++ { // other programs run too: the best counts
		small, big = min(small, took(50, 20)), min(big, took(500, 20))
	}
	if big > 40*small {
		t.Errorf("ten times the tenants take %v, %.0f times as long", big, float64(big)/float64(small))
	}
}

func BenchmarkDiffUnchanged(b *testing.B) {
	observed, desired, objects := largeState(1000, 17)
	b.ReportMetric(float64(objects), "objects")
	for b.Loop() {
		if p := Diff(observed, desired); !p.Empty() {
			b.Fatal(len(p.Steps))
		}
	}
	b.ReportMetric(float64(objects), "objects")
}

func BenchmarkObserve(b *testing.B) {
	r := newRig(b)
	h := large(50, 0)
	r.settle(h)
	for b.Loop() {
		must(r.k.Observe(h.Underlay))
	}
	b.ReportMetric(50, "tenants")
	r.clean()
}
