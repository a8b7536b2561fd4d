package overlay

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/topology"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var rigs atomic.Int32

// rig is a host's namespace with an underlay device, for real kernel objects.
type rig struct {
	reporter
	k      *Kernel
	prefix string
}

// reporter is what testing.TB and *rapid.T have in common.
type reporter interface {
	Helper()
	Cleanup(func())
	Error(...any)
	Errorf(string, ...any)
	Fatal(...any)
	Fatalf(string, ...any)
}

// newRig makes the namespace. The underlay has an MTU of 1550 bytes and the address of the example host.
func newRig(t testing.TB) *rig {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	for _, tool := range []string{"ip", "bridge"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs the program %s (iproute2)", tool)
		}
	}
	r := &rig{reporter: t, prefix: fmt.Sprintf("ov%d-%d-", os.Getpid(), rigs.Add(1))}
	t.Cleanup(r.close)
	ns := must(netns.Create(r.prefix + "host"))
	t.Cleanup(func() { _ = ns.Close() })
	r.k = Open(ns, r.prefix)
	r.ip("host", "link set lo up")
	r.ip("host", "link add under0 mtu 1550 type veth peer name peer0 mtu 1550")
	r.ip("host", "address add 192.0.2.1/24 dev under0")
	r.ip("host", "address add 2001:db8::1/64 dev under0 nodad")
	r.ip("host", "link set under0 up")
	r.ip("host", "link set peer0 up")
	return r
}

// with is the same rig for a part of the test.
func (r *rig) with(t reporter) *rig { return &rig{reporter: t, k: r.k, prefix: r.prefix} }

func (r *rig) close() {
	if r.k != nil {
		_ = r.k.Close()
	}
	names, err := netns.List(r.prefix)
	for _, n := range names {
		err = errors.Join(err, netns.Remove(n))
	}
	if err != nil {
		r.Error(err)
	}
}

// run runs a tool of iproute2 in one of the rig's namespaces; words are separated by spaces.
func (r *rig) run(tool, ns, words string) (string, error) {
	cmd := exec.Command(tool, append([]string{"-n", r.prefix + ns}, strings.Fields(words)...)...)
	var complaint strings.Builder
	cmd.Stderr = &complaint // ip(8) says there that a list changed under its hands
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", cmd, err, &complaint)
	}
	return string(out), err
}

func (r *rig) ip(ns, words string) string {
	r.Helper()
	out, err := r.run("ip", ns, words)
	if err != nil {
		r.Fatal(err)
	}
	return out
}

func (r *rig) bridge(ns, words string) string {
	r.Helper()
	out, err := r.run("bridge", ns, words)
	if err != nil {
		r.Fatal(err)
	}
	return out
}

// device gives the host a VM's device: one end of a veth pair, the other is the VM's.
func (r *rig) device(names ...string) {
	r.Helper()
	for _, n := range names {
		r.ip("host", "link add "+n+" type veth peer name "+n+"-vm")
		r.ip("host", "link set "+n+"-vm up")
	}
}

func (r *rig) sysctl(ns, path, value string) {
	r.Helper()
	inside := must(netns.Open(r.prefix + ns))
	defer inside.Close()
	err := inside.Do(func() error { return os.WriteFile(filepath.Join("/proc/sys", path), []byte(value), 0) })
	if err != nil {
		r.Fatal(err)
	}
}

// plan compares the kernel with the host's desired state, as an agent does, and holds that to the comparison of all with all. What the
// kernel does meanwhile, such as taking a namespace down, may come between the two, but not each time.
func (r *rig) plan(h topology.Host) Plan {
	r.Helper()
	var p, all Plan
	for range 10 {
		var err error
		if p, _, err = r.k.Compare(h); err != nil {
			r.Fatal(err)
		}
		if all = r.whole(h); p.String() == all.String() {
			return p
		}
	}
	r.Fatalf("Compare plans:\n%s\nof everything:\n%s", p, all)
	return Plan{}
}

// whole compares all that the kernel holds with all that it should hold.
func (r *rig) whole(h topology.Host) Plan {
	r.Helper()
	observed, err := r.k.Observe(h.Underlay)
	if err != nil {
		r.Fatal(err)
	}
	desired, err := Desired(h, observed.Facts)
	if err != nil {
		r.Fatal(err)
	}
	return Diff(observed, desired)
}

// cleanup plans the removal of everything.
func (r *rig) cleanup() Plan {
	r.Helper()
	observed, err := r.k.Observe(netip.Addr{})
	if err != nil {
		r.Fatal(err)
	}
	return Diff(observed, State{})
}

// try carries a plan out, as an agent does.
func (r *rig) try(p Plan) error {
	var errs []error
	for _, steps := range [][]Step{p.Detach(), p.Prepare(), p.Attach(), p.Release()} {
		for _, f := range r.k.Apply(steps) {
			errs = append(errs, f)
		}
	}
	return errors.Join(errs...)
}

func (r *rig) apply(p Plan) {
	r.Helper()
	if err := r.try(p); err != nil {
		r.Fatalf("apply:\n%s%v", p, err)
	}
}

// settle makes the host hold its state with one plan, and checks that nothing is left to do.
func (r *rig) settle(h topology.Host) Plan {
	r.Helper()
	p := r.plan(h)
	r.apply(p)
	r.settled(h)
	return p
}

func (r *rig) settled(h topology.Host) {
	r.Helper()
	if p := r.plan(h); !p.Empty() {
		r.Fatalf("a second plan is not empty:\n%s", p)
	}
}

// eventually settles the host in as many plans as it takes: the kernel ends a namespace some time after its name, and
// until then its devices are in the way (EEXIST). Any other failure is one.
func (r *rig) eventually(h topology.Host) {
	r.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); ; <-tick.C {
		err := r.try(r.plan(h))
		if err == nil {
			r.settled(h)
			return
		}
		if !errors.Is(err, unix.EEXIST) || time.Now().After(deadline) {
			r.Fatal(err)
		}
	}
}

// clean takes everything back and checks that nothing of ours is left.
func (r *rig) clean() {
	r.Helper()
	r.apply(r.cleanup())
	if names := must(netns.List(r.prefix)); len(names) != 1 {
		r.Errorf("namespaces left: %v", names)
	}
	if out := r.ip("host", "route show proto 146"); out != "" {
		r.Errorf("routes left:\n%s", out)
	}
	if out := r.ip("host", "-o link show"); strings.Contains(out, " cv") || strings.Contains(out, " vx") {
		r.Errorf("links left:\n%s", out)
	}
}

// compare checks text against a golden file.
func compare(t testing.TB, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(path, []byte(got), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; run with -update to write it", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-golden +got):\n%s", name, diff)
	}
}

// lines splits text, without the spaces around each line.
func lines(s string) []string {
	var out []string
	for l := range bytes.Lines([]byte(s)) {
		out = append(out, strings.TrimSpace(string(l)))
	}
	return out
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// leftover puts a file where a namespace would be mounted, as an interrupted creation does.
func (r *rig) leftover(ns string) {
	r.Helper()
	if err := os.WriteFile(filepath.Join(netns.Dir, r.prefix+ns), nil, 0o444); err != nil {
		r.Fatal(err)
	}
}
