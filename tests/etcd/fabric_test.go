package etcd

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/culvertnet/culvert/agent/daemon"
	"github.com/culvertnet/culvert/lab"
	"github.com/culvertnet/culvert/lab/traffic"
	"github.com/culvertnet/culvert/netns"
)

// culvert builds the product once for all tests; the test machine has it, and no compiler.
var culvert = sync.OnceValues(func() (string, error) {
	if os.Getenv("CULVERT_KERNEL") != "" {
		return exec.LookPath("culvert")
	}
	dir, err := os.MkdirTemp("", "culvert-etcd-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "culvert")
	out, err := exec.Command("go", "build", "-C", filepath.Join("..", ".."), "-o", path, "./cmd/culvert").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build culvert: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	status := m.Run()
	if path, err := culvert(); err == nil && os.Getenv("CULVERT_KERNEL") == "" {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(status)
}

// fabric is a lab whose hosts have daemons that follow an etcd: programs of their own, as on real hosts.
type fabric struct {
	*testing.T
	cluster *cluster
	binary  string
	dir     string
	lab     *lab.Lab
	name    string
	daemons map[string]*process
}

type process struct {
	cmd *exec.Cmd
	log *bytes.Buffer
}

// newFabric brings the lab up for the tests' fleet, with some edits.
func newFabric(t *testing.T, edits ...string) *fabric {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	binary, err := culvert()
	if err != nil {
		t.Fatal(err)
	}
	f := &fabric{T: t, cluster: newCluster(t, 1), binary: binary, dir: t.TempDir(), name: fmt.Sprintf("etcd%d", os.Getpid()), daemons: map[string]*process{}}
	if f.lab, err = lab.Up(parse(t, edits...), lab.Options{Name: f.name}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for host := range f.daemons {
			f.kill(host)
		}
		if err := f.lab.Down(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// run runs culvert and returns its output, and its status.
func (f *fabric) run(words ...string) (string, int) {
	f.Helper()
	cmd := exec.CommandContext(f.Context(), f.binary, words...)
	cmd.Env = append(os.Environ(), "CULVERT_SOURCE="+f.cluster.address().String())
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		f.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// ran runs culvert and wants it to succeed and to print the words.
func (f *fabric) ran(want string, words ...string) {
	f.Helper()
	if out, status := f.run(words...); status != 0 || !strings.Contains(out, want) {
		f.Fatalf("culvert %v: status %d, want %q:\n%s", words, status, want, out)
	}
}

// file writes a fleet with some edits and returns its path.
func (f *fabric) file(edits ...string) string {
	f.Helper()
	path := filepath.Join(f.dir, "fleet.yaml")
	if err := os.WriteFile(path, []byte(strings.NewReplacer(edits...).Replace(fleetYAML)), 0o600); err != nil {
		f.Fatal(err)
	}
	return path
}

func (f *fabric) socket(host string) string { return filepath.Join(f.dir, host+".sock") }

// start runs a host's daemon.
func (f *fabric) start(hosts ...string) {
	f.Helper()
	for _, host := range hosts {
		p := &process{log: &bytes.Buffer{}}
		p.cmd = exec.Command(f.binary, "daemon", "--source", f.cluster.address().String(), "--fleet-cache", filepath.Join(f.dir, host+".cache"),
			"--host", host, "--socket", f.socket(host), "--namespace", f.name+"-"+host, "--prefix", f.lab.HostPrefix(host))
		p.cmd.Stderr = p.log
		if err := p.cmd.Start(); err != nil {
			f.Fatal(err)
		}
		f.daemons[host] = p
	}
}

// kill ends a host's daemon without a chance to say anything.
func (f *fabric) kill(host string) {
	p := f.daemons[host]
	delete(f.daemons, host)
	_, _ = p.cmd.Process.Kill(), p.cmd.Wait()
}

// converged waits until all hosts report to have converged to the fleet that is in etcd.
func (f *fabric) converged() {
	f.Helper()
	eventually(f.T, func() error {
		if out, status := f.run("status", "--fleet"); status != 0 {
			return fmt.Errorf("status %d:\n%s", status, out)
		}
		return nil
	})
}

// status waits for a daemon's own status.
func (f *fabric) status(host string, fits func(daemon.Status) bool) {
	f.Helper()
	eventually(f.T, func() error {
		s, err := daemon.Ask(f.Context(), f.socket(host))
		if err == nil && !fits(s) {
			err = fmt.Errorf("%s is not as wanted: %+v", host, s)
		}
		return err
	})
}

// hops are the edge's next hops for the tenant's public address.
func (f *fabric) hops() string {
	f.Helper()
	out, err := exec.Command("ip", "-n", f.lab.HostPrefix("edge1")+"culvert-acme", "route", "show", "45.86.152.23").Output()
	if err != nil {
		f.Fatalf("%v: %s", err, out)
	}
	var hops []string
	fields := strings.Fields(string(out))
	for i, word := range fields {
		if word == "via" {
			hops = append(hops, fields[i+1])
		}
	}
	return strings.Join(hops, " ")
}

func (f *fabric) open(node string) *netns.NS {
	f.Helper()
	ns, err := f.lab.Open(node)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = ns.Close() })
	return ns
}

// flow opens a flow from vm-b to a server on the internet.
func (f *fabric) flow() traffic.Flow {
	f.Helper()
	to := netip.AddrPortFrom(lab.ServerAddresses()[0], 443)
	flow, err := traffic.Open(f.Context(), f.open("acme/vm-b"), traffic.TCP, to, traffic.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = flow.Close() })
	return flow
}

// lives exchanges bytes over the flow.
func (f *fabric) lives(flow traffic.Flow) {
	f.Helper()
	if err := flow.Exchange(f.Context(), 100_000); err != nil {
		f.Fatal(err)
	}
}

// serve has the server outside answer on port 443 of its first address until the test ends.
func (f *fabric) serve() {
	f.Helper()
	server, err := traffic.Serve(f.open("server"), traffic.TCP, netip.AddrPortFrom(lab.ServerAddresses()[0], 443))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = server.Close() })
}

// TestFabric drives a fabric by etcd alone: first rollout, a change, an etcd that is away while a daemon starts anew, and a
// host that dies and comes back. A flow lives through all of it but a cold start of its host.
func TestFabric(t *testing.T) {
	f := newFabric(t)
	f.ran("pushed: generation", "push", f.file())
	f.start("hv1", "hv2", "edge1")
	f.converged()
	f.serve()
	flow := f.flow()
	f.lives(flow)
	if got := f.hops(); got != "100.64.0.1 100.64.0.2" {
		t.Errorf("hops %s", got)
	}

	// A change: shown first, then pushed, then it is nothing new.
	more := f.file("1024", "2048")
	if out, status := f.run("push", "--check", more); status != 2 || !strings.Contains(out, "~ tenant acme\n") || !strings.Contains(out, "-    portsPerHost: 1024") || !strings.Contains(out, "+ tenant acme: host hv1: 45.86.152.23 4096-5119 (1024 ports)") {
		t.Errorf("check: status %d\n%s", status, out)
	}
	f.ran("pushed: generation", "push", more)
	f.converged()
	f.ran("nothing to push", "push", more)
	f.ran("nothing to change", "plan", "--host", "hv1", "--namespace", f.name+"-hv1", "--prefix", f.lab.HostPrefix("hv1"))
	f.pulled(more)
	f.lives(flow)

	// Without etcd: the fabric goes on, also a daemon that starts anew.
	f.cluster.kill(0)
	f.status("hv2", func(s daemon.Status) bool {
		return s.Refused == nil && s.Away != nil && strings.Contains(s.Away.Error, "cannot be reached")
	})
	f.kill("hv2")
	f.start("hv2")
	f.status("hv2", func(s daemon.Status) bool {
		return strings.HasSuffix(s.Generation, "(cached)") && s.Ready && s.Changes == 0
	})
	f.lives(flow)

	// Nor is there an etcd when a host starts cold, with nothing in its kernel: it makes all anew from its cache.
	f.kill("hv2")
	f.ran("", "cleanup", "--namespace", f.name+"-hv2", "--prefix", f.lab.HostPrefix("hv2"))
	f.start("hv2")
	f.status("hv2", func(s daemon.Status) bool {
		return strings.HasSuffix(s.Generation, "(cached)") && s.Ready && s.Changes > 0 && s.Converged != nil
	})
	flow = f.flow() // the old one's translation went with the kernel's state
	f.lives(flow)
	f.cluster.start(0)
	f.converged()
	f.lives(flow)

	// A host dies: its lease ends, and the edge leaves it out. With its underlay gone, replies that it got would be lost.
	f.kill("hv1")
	f.ip("hv1", "link", "set", "underlay0", "down")
	eventually(t, func() error {
		if got := f.hops(); got != "100.64.0.2" {
			return fmt.Errorf("hops %s", got)
		}
		return nil
	})
	if out, status := f.run("status", "--fleet"); status != 1 || !strings.Contains(out, "hv1    lost") {
		t.Errorf("status %d:\n%s", status, out)
	}
	f.plannedWithout()
	f.lives(flow)
	for range 20 {
		f.lives(f.flow())
	}

	f.ip("hv1", "link", "set", "underlay0", "up")
	f.start("hv1")
	eventually(t, func() error {
		if got := f.hops(); got != "100.64.0.1 100.64.0.2" {
			return fmt.Errorf("hops %s", got)
		}
		return nil
	})
	f.converged()
	f.lives(flow)
}

// pulled writes what is in etcd to files and wants the fleet of the file.
func (f *fabric) pulled(path string) {
	f.Helper()
	pulled := filepath.Join(f.dir, "pulled.yaml")
	f.ran("pulled.lock.yaml are generation", "pull", "-f", pulled)
	f.ran("nothing to push", "push", pulled)
	f.ran("nothing to hand out: the lock is up to date", "allocate", "-f", path, "--lock", filepath.Join(f.dir, "pulled.lock.yaml"))
	if out, status := f.run("pull", "-f", pulled); status != 2 || !strings.Contains(out, "exists") {
		f.Errorf("pull: status %d\n%s", status, out)
	}
}

// ip runs ip in a host's namespace.
func (f *fabric) ip(host string, words ...string) {
	f.Helper()
	if out, err := exec.Command("ip", append([]string{"-n", f.name + "-" + host}, words...)...).CombinedOutput(); err != nil {
		f.Fatalf("ip %v: %v: %s", words, err, out)
	}
}
