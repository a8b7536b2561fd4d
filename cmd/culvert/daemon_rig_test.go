package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/agent/daemon"
	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/lab"
	"github.com/culvertnet/culvert/lab/live"
	"github.com/culvertnet/culvert/lab/traffic"
	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/source"
)

const daemonFleet = `
hosts:
  - {name: hv1, underlay: 192.0.2.1, roles: [hypervisor]}
  - {name: hv2, underlay: 192.0.2.2, roles: [hypervisor]}
  - {name: edge1, underlay: 192.0.2.254, roles: [edge], uplink: eth1}
tenants:
  - name: acme
    vni: 100
    interfaces:
      - {name: vm-a, host: hv1, device: tap-a, mac: "52:54:00:00:00:0a", addresses: [10.0.0.12]}
      - {name: vm-b, host: hv2, device: tap-b, mac: "52:54:00:00:00:0b", addresses: [10.0.0.47]}
    natGateway: {addresses: [45.86.152.23], portsPerHost: 1024}
  - name: blue
    vni: 200
    interfaces:
      - {name: vm-z, host: hv2, device: tap-z, mac: "52:54:00:00:00:0c", addresses: [10.0.0.12]}
    natGateway: {addresses: [45.86.152.24], portsPerHost: 1024}
`

var daemonRigs atomic.Int32

// daemonRig is a lab whose hosts get their daemons as processes of their own: this binary, run again as culvert.
type daemonRig struct {
	*testing.T
	lab         *lab.Lab
	name, dir   string
	fleet, lock string // paths
	locked      *portmap.Lock
	patience    time.Duration
	// program is what runs; empty for this binary.
	program string
}

func newDaemonRig(t *testing.T) *daemonRig {
	t.Helper()
	if unix.Geteuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	r := &daemonRig{T: t, name: fmt.Sprintf("dp%dx%d", os.Getpid(), daemonRigs.Add(1)), dir: t.TempDir(), patience: 20 * time.Second * time.Duration(live.Patience()), locked: portmap.NewLock()}
	r.fleet, r.lock = filepath.Join(r.dir, "fleet.yaml"), filepath.Join(r.dir, "fleet.lock.yaml")
	fleet := r.push(daemonFleet)
	var err error
	if r.lab, err = lab.Up(fleet, lab.Options{Name: r.name, Converge: live.Converge}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.lab.Down(); err != nil {
			t.Error(err)
		}
	})
	if err := r.lab.Apply(t.Context(), fleet, r.locked); err != nil {
		t.Fatal(err)
	}
	return r
}

// push writes a fleet and its lock, each at once.
func (r *daemonRig) push(text string) *config.Fleet {
	r.Helper()
	fleet, err := config.Parse("fleet.yaml", []byte(text))
	if err != nil {
		r.Fatal(err)
	}
	if r.locked, err = portmap.Allocate(portmap.Settle(r.locked, nil), fleet); err != nil {
		r.Fatal(err)
	}
	r.replace(r.fleet, text)
	if err := portmap.WriteFile(r.lock, r.locked); err != nil {
		r.Fatal(err)
	}
	return fleet
}

func (r *daemonRig) replace(path, text string) {
	r.Helper()
	if err := errors.Join(os.WriteFile(path+".new", []byte(text), 0o600), os.Rename(path+".new", path)); err != nil {
		r.Fatal(err)
	}
}

// process is a daemon that runs.
type process struct {
	*daemonRig
	host string
	cmd  *exec.Cmd
	log  *record
	done bool
}

// record is what a process says. It can be read while the process goes on.
type record struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *record) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(b)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

func (r *daemonRig) socket(host string) string { return filepath.Join(r.dir, host+".sock") }

// command is culvert with arguments for a host of the lab.
func (r *daemonRig) command(host string, words ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		r.Fatal(err)
	}
	cmd := exec.Command(cmp.Or(r.program, self), words...)
	cmd.Args[0] = "culvert"
	return cmd
}

// start runs a host's daemon, with more in its environment.
func (r *daemonRig) start(host string, environment ...string) *process {
	r.Helper()
	p := &process{daemonRig: r, host: host, log: &record{}}
	p.cmd = r.command(host, "daemon", "-f", r.fleet, "--host", host, "--socket", r.socket(host), "--namespace", r.name+"-"+host, "--prefix", r.lab.HostPrefix(host))
	p.cmd.Stderr = p.log
	p.cmd.Env = append(os.Environ(), environment...)
	if err := p.cmd.Start(); err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = p.end(unix.SIGKILL) })
	return p
}

// end ends the process with a signal and returns how it ended.
func (p *process) end(signal syscall.Signal) error {
	if p.done {
		return nil
	}
	p.done = true
	return errors.Join(p.cmd.Process.Signal(signal), p.cmd.Wait())
}

// eventually waits until a status is as wanted.
func (p *process) eventually(what string, fits func(daemon.Status) bool) daemon.Status {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.Context(), p.patience)
	defer cancel()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		s, err := daemon.Ask(ctx, p.socket(p.host))
		if err == nil && fits(s) {
			return s
		}
		select {
		case <-ctx.Done():
			p.Fatalf("%s: not %s: %+v, %v\n%s", p.host, what, s, err, p.log)
		case <-again.C:
		}
	}
}

// converged waits until the host is as the files say.
func (p *process) converged() daemon.Status {
	p.Helper()
	generation := p.generation()
	return p.eventually("converged to "+generation, func(s daemon.Status) bool {
		return s.Healthy() && s.Converged != nil && s.Converged.Generation == generation
	})
}

// culvert runs a command for a host.
func (r *daemonRig) culvert(host, verb string, words ...string) (string, error) {
	words = append([]string{verb, "--namespace", r.name + "-" + host, "--prefix", r.lab.HostPrefix(host)}, words...)
	out, err := r.command(host, words...).CombinedOutput()
	return string(out), err
}

// settled checks with a one-shot plan that the host is as the files say.
func (r *daemonRig) settled(host string) {
	r.Helper()
	out, err := r.culvert(host, "plan", "-f", r.fleet, "--host", host)
	if err != nil {
		r.Errorf("%s is not as the fleet says: %v\n%s", host, err, out)
	}
}

// generation is that of the files as they are.
func (r *daemonRig) generation() string {
	r.Helper()
	s, err := source.Read(r.fleet, r.lock)
	if err != nil {
		r.Fatal(err)
	}
	return s.Generation
}

// open opens a node of the lab.
func (r *daemonRig) open(node string) *netns.NS {
	r.Helper()
	ns, err := r.lab.Open(node)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = ns.Close() })
	return ns
}

// users are flows that never stop: what they lose is a failure.
type users struct {
	*daemonRig
	wires  *wires
	stop   chan struct{}
	group  sync.WaitGroup
	rounds atomic.Int64

	mu   sync.Mutex
	errs []error
}

// traffic opens a TCP and a UDP flow from vm-b to each server and pings it, until finish is called.
func (r *daemonRig) traffic() *users {
	r.Helper()
	w := r.wires()
	u := &users{daemonRig: r, wires: w, stop: make(chan struct{})}
	server, vm := r.open("server"), r.open("acme/vm-b")
	for _, address := range []netip.Addr{w.redirected, w.direct} {
		for network, port := range map[traffic.Network]uint16{traffic.TCP: 443, traffic.UDP: 53} {
			to := netip.AddrPortFrom(address, port)
			s, err := traffic.Serve(server, network, to)
			if err != nil {
				r.Fatal(err)
			}
			flow, err := traffic.Open(r.Context(), vm, network, to, traffic.Options{})
			if err != nil {
				r.Fatal(err)
			}
			r.Cleanup(func() { _, _ = flow.Close(), s.Close() })
			u.repeat(string(network), func(ctx context.Context) error { return flow.Exchange(ctx, 20000) })
		}
		// Always with the same identifier: one flow. New ones may take ports that a host with an older fleet does not know.
		u.repeat("ping", func(ctx context.Context) error {
			got, err := traffic.Ping(ctx, vm, traffic.Echo{To: address, Count: 1, ID: 4711, Patience: u.patience})
			if err == nil && got.Received != got.Sent {
				err = fmt.Errorf("%d of %d replies", got.Received, got.Sent)
			}
			return err
		})
	}
	return u
}

func (u *users) repeat(what string, turn func(context.Context) error) {
	u.group.Go(func() {
		pause := time.NewTicker(2 * time.Millisecond)
		defer pause.Stop()
		for {
			select {
			case <-u.stop:
				return
			case <-pause.C:
			}
			ctx, cancel := context.WithTimeout(context.Background(), u.patience)
			err := turn(ctx)
			cancel()
			u.rounds.Add(1)
			if err != nil {
				u.mu.Lock()
				u.errs = append(u.errs, fmt.Errorf("%s: %w", what, err))
				u.mu.Unlock()
			}
		}
	})
}

// finish ends the flows and fails the test if they lost something, or a packet was where it must not be.
func (u *users) finish() {
	u.Helper()
	close(u.stop)
	u.group.Wait()
	u.wires.finish()
	if len(u.errs) > 0 {
		u.Errorf("%d of %d turns failed, the first: %v", len(u.errs), u.rounds.Load(), u.errs[0])
	}
	u.Logf("%d turns of traffic", u.rounds.Load())
}
