package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/agent/daemon"
	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/lab/live"
	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/portmap"
)

// size is how large a host is: tenants, and VMs of each on it. One more VM of each is on another host. The first VM's device has to be
// moved into the tenant's namespace; the others' are there already, made in place: moving a hundred thousand takes half an hour.
type size struct{ tenants, vms int }

// cost is what a daemon took.
type cost struct {
	// Cold and Restart are from the start of the program until it has converged, from nothing and with nothing to do. Change is from
	// the fleet's arrival until one VM more has been taken in.
	Cold, Restart, Change time.Duration
	// The same on the processor.
	ColdCPU, RestartCPU, ChangeCPU time.Duration
	// Memory is what it takes after the restart, Peak the most it took, from nothing and for the restart, in KiB; Descriptors are what it
	// has open.
	Memory, Peak, RestartPeak, Descriptors int
	Changes                                int
}

// scaled is a host of a size, in namespaces of its own.
type scaled struct {
	*daemonRig
	size
}

func newScaled(t *testing.T, s size) *scaled {
	t.Helper()
	if unix.Geteuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	r := &daemonRig{T: t, name: fmt.Sprintf("sc%dx%d", os.Getpid(), daemonRigs.Add(1)), dir: t.TempDir(), locked: portmap.NewLock(), patience: 15 * time.Minute}
	r.fleet, r.lock = filepath.Join(r.dir, "fleet.yaml"), filepath.Join(r.dir, "fleet.lock.yaml")
	for _, n := range []string{"-hv1", "-wire"} {
		ns, err := netns.Create(r.name + n)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = ns.Close() })
	}
	t.Cleanup(func() {
		names, err := netns.List(r.name + "-")
		if err != nil {
			t.Error(err)
		}
		for _, n := range names {
			if err := netns.Remove(n); err != nil {
				t.Error(err)
			}
		}
	})
	lines := []string{
		"link add under0 mtu 1550 type veth peer name wire0 mtu 1550 netns " + r.name + "-wire", "address add 192.0.2.1/24 dev under0", "link set under0 up",
	}
	for i := range s.tenants {
		lines = append(lines, fmt.Sprintf("link add t%dv0 type veth peer name far%d netns %s-wire", i, i, r.name))
	}
	ip := exec.Command("ip", "-n", r.name+"-hv1", "-batch", "-")
	ip.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	if out, err := ip.CombinedOutput(); err != nil {
		t.Fatalf("ip: %v: %s", err, out)
	}
	out := &scaled{r, s}
	// One VM more has its device from the beginning.
	out.taps(r.name+"-hv1", []string{fmt.Sprintf("t0v%d", s.vms)})
	for i := range s.tenants {
		var devices []string
		for v := 1; v < s.vms; v++ {
			devices = append(devices, fmt.Sprintf("t%dv%d", i, v))
		}
		name := fmt.Sprintf("%s-culvert-t%d", r.name, i)
		ns, err := netns.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := ns.Close(); err != nil {
			t.Fatal(err)
		}
		out.taps(name, devices)
	}
	return out
}

// taps makes devices of VMs in a namespace.
func (s *scaled) taps(namespace string, devices []string) {
	s.Helper()
	var lines strings.Builder
	for _, d := range devices {
		fmt.Fprintf(&lines, "tuntap add mode tap name %s\n", d)
	}
	ip := exec.Command("ip", "-n", namespace, "-batch", "-")
	ip.Stdin = strings.NewReader(lines.String())
	if out, err := ip.CombinedOutput(); err != nil {
		s.Fatalf("ip: %v: %s", err, out)
	}
}

// text is the fleet's document, with some more VMs in the first tenant.
func (s *scaled) text(more int) string {
	var b strings.Builder
	b.WriteString("hosts:\n  - {name: hv1, underlay: 192.0.2.1, roles: [hypervisor]}\n  - {name: hv2, underlay: 192.0.2.2, roles: [hypervisor]}\n" +
		"  - {name: edge1, underlay: 192.0.2.254, roles: [edge], uplink: eth1}\ntenants:\n")
	for i := range s.tenants {
		fmt.Fprintf(&b, "  - name: t%d\n    vni: %d\n    natGateway: {addresses: [45.%d.%d.%d], portsPerHost: 1024}\n    interfaces:\n", i, i+1, i>>16, i>>8&255, i&255)
		vms := s.vms
		if i == 0 {
			vms += more
		}
		for v := range vms + 1 {
			host := "hv1"
			if v == vms {
				host = "hv2"
			}
			fmt.Fprintf(&b, "      - {name: v%d, host: %s, device: t%dv%d, mac: \"52:54:%02x:%02x:%02x:%02x\", addresses: [10.0.%d.%d]}\n",
				v, host, i, v, i>>8&255, i&255, v>>8, v&255, v>>8, v&255)
		}
	}
	return b.String()
}

// write writes the fleet and its lock.
func (s *scaled) write(more int) {
	s.Helper()
	text := s.text(more)
	fleet, err := config.Parse("fleet.yaml", []byte(text))
	if err != nil {
		s.Fatal(err)
	}
	if s.locked, err = portmap.Allocate(s.locked, fleet); err != nil {
		s.Fatal(err)
	}
	if err := portmap.WriteFile(s.lock, s.locked); err != nil {
		s.Fatal(err)
	}
	s.replace(s.fleet, text)
}

// daemonRun is a daemon whose log is read: asking for the status of a large host costs it more than what is measured.
type daemonRun struct {
	*process
	path    string
	started time.Time
}

// run starts the host's daemon.
func (s *scaled) run() *daemonRun {
	s.Helper()
	d := &daemonRun{process: &process{daemonRig: s.daemonRig, host: "hv1", log: &record{}}, path: filepath.Join(s.dir, "log")}
	file, err := os.Create(d.path)
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	d.cmd = s.command("hv1", "daemon", "-f", s.fleet, "--host", "hv1", "--socket", s.socket("hv1"), "--namespace", s.name+"-hv1", "--prefix", s.name+"-")
	d.cmd.Stderr, d.started = file, time.Now()
	if err := d.cmd.Start(); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = d.end(unix.SIGKILL) })
	return d
}

// converges waits until the daemon says so for a number of times, and returns how long that took since.
func (d *daemonRun) converges(times int, since time.Time) time.Duration {
	d.Helper()
	deadline := time.Now().Add(d.patience)
	for time.Now().Before(deadline) {
		log, err := os.ReadFile(d.path)
		if err != nil {
			d.Fatal(err)
		}
		if strings.Contains(string(log), "level=ERROR") {
			d.Fatalf("%s", log)
		}
		if strings.Count(string(log), "msg=converged") >= times {
			return time.Since(since)
		}
		time.Sleep(5 * time.Millisecond) // a file has no event that would not cost more
	}
	d.Fatal("not converged")
	return 0
}

// resident is a line of the process's status in KiB.
func (d *daemonRun) resident(name string) int {
	d.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	if err != nil {
		d.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), name+":")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		d.Fatal(err)
	}
	return kib
}

// measure has a daemon converge from nothing, start anew with nothing to do, and take in one VM more.
func (s *scaled) measure() cost {
	s.Helper()
	var c cost
	s.write(0)
	d := s.run()
	c.Cold = d.converges(1, d.started)
	c.ColdCPU, c.Peak = d.processor(), d.resident("VmHWM")
	c.Changes = s.verified().Changes
	if err := d.end(unix.SIGTERM); err != nil {
		s.Fatal(err)
	}
	d = s.run()
	c.Restart = d.converges(1, d.started)
	c.RestartCPU, c.RestartPeak = d.processor(), d.resident("VmHWM")
	if n := s.status("hv1").Changes; n != 0 {
		s.Errorf("a restart wrote %d things", n)
	}
	before := d.processor()
	s.write(1)
	c.Change = d.converges(2, time.Now())
	c.ChangeCPU, c.Memory = d.processor()-before, d.resident("VmRSS")
	for range 40 { // it gives memory back beside its work
		time.Sleep(50 * time.Millisecond)
		c.Memory = min(c.Memory, d.resident("VmRSS"))
	}
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", d.cmd.Process.Pid))
	if err != nil {
		s.Fatal(err)
	}
	c.Descriptors = len(open)
	if err := d.end(unix.SIGTERM); err != nil {
		s.Fatal(err)
	}
	s.Logf("%d tenants with %d VMs: from nothing %v (%v on the processor, %d changes), restart %v (%v), a VM more %v (%v); %d KiB of memory, %d at most from nothing, %d for the restart, %d descriptors",
		s.tenants, s.vms, c.Cold, c.ColdCPU, c.Changes, c.Restart, c.RestartCPU, c.Change, c.ChangeCPU, c.Memory, c.Peak, c.RestartPeak, c.Descriptors)
	return c
}

func (s *scaled) status(host string) daemon.Status {
	s.Helper()
	status, err := daemon.Ask(s.Context(), s.socket(host))
	if err != nil {
		s.Fatal(err)
	}
	return status
}

// verified waits until the daemon has looked at each tenant again after it changed it last.
func (s *scaled) verified() (status daemon.Status) {
	s.Helper()
	for deadline := time.Now().Add(s.patience); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		status = s.status("hv1")
		if status.Converged != nil && !slices.ContainsFunc(status.Tenants, func(t daemon.Tenant) bool { return !t.Looked.After(t.Changed) }) {
			return status
		}
	}
	s.Fatal("not looked at again")
	return status
}

// TestScale has a small host and one of four times the size: what is done for each tenant and VM costs no more on the larger one, and
// descriptors do not grow. CULVERT_SCALE, as in 300x100, measures a host of so many tenants with so many VMs each alone.
func TestScale(t *testing.T) {
	if whole := os.Getenv("CULVERT_SCALE"); whole != "" {
		var s size
		if _, err := fmt.Sscanf(whole, "%dx%d", &s.tenants, &s.vms); err != nil {
			t.Fatalf("CULVERT_SCALE is %q; write it as 300x100", whole)
		}
		c := newScaled(t, s).measure()
		if c.Descriptors >= 1024 {
			t.Errorf("%d descriptors", c.Descriptors)
		}
		return
	}
	sizes := [...]size{{8, 20}, {32, 20}}
	emulated := live.Patience() > 1
	if emulated { // its clock says nothing
		sizes = [...]size{{2, 2}, {8, 2}}
	}
	small, large := newScaled(t, sizes[0]).measure(), newScaled(t, sizes[1]).measure()
	for _, tt := range []struct {
		what         string
		small, large time.Duration
	}{{"from nothing", small.ColdCPU, large.ColdCPU}, {"a restart", small.RestartCPU, large.RestartCPU}} {
		// Below a fifth of a second the clock of /proc and what each process costs at its start say more than the size.
		if limit := 4*tt.small*2 + 200*time.Millisecond; tt.large > limit && !emulated {
			t.Errorf("%s takes %v of the processor, and %v for four times the tenants; want at most %v", tt.what, tt.small, tt.large, limit)
		}
	}
	if large.Changes > 4*small.Changes {
		t.Errorf("%d changes, %d for a quarter", large.Changes, small.Changes)
	}
	if grown := large.Descriptors - small.Descriptors; grown > 3 {
		t.Errorf("%d descriptors, %d for a quarter", large.Descriptors, small.Descriptors)
	}
	if limit := 2*small.Memory + 16<<10; large.Memory > limit {
		t.Errorf("%d KiB of memory, %d for a quarter", large.Memory, small.Memory)
	}
}
