package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/agent"
	"github.com/culvertnet/culvert/agent/daemon"
	"github.com/culvertnet/culvert/netns"
)

// emptyHost makes a namespace with nothing in it, to be taken for a host's own.
func emptyHost(t *testing.T) *netns.NS {
	t.Helper()
	if unix.Geteuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	name := fmt.Sprintf("ex%dx%d", os.Getpid(), daemonRigs.Add(1))
	ns, err := netns.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ns.Close(); err != nil {
			t.Error(err)
		}
		if err := netns.Remove(name); err != nil {
			t.Error(err)
		}
	})
	return ns
}

// TestNamespacesHaveLocks changes a host in a namespace, such as a lab's, while the machine's own is being changed, and while its
// neighbour is; but not while it is being changed itself.
func TestNamespacesHaveLocks(t *testing.T) {
	host, neighbour := emptyHost(t), emptyHost(t)
	hold := func(namespace string) (release func()) {
		release, err := agent.Lock(t.Context(), agent.LockPath(namespace))
		if err != nil {
			t.Fatal(err)
		}
		return release
	}
	cleanup := func(patience time.Duration) (int, string) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		var out bytes.Buffer
		status := run(ctx, []string{"culvert", "cleanup", "--namespace", host.Name(), "--prefix", host.Name() + "-"}, &out, &out)
		return status, out.String()
	}
	machine, other := hold(""), hold(neighbour.Name())
	status, out := cleanup(lockPatience)
	machine()
	other()
	if status != 0 {
		t.Errorf("while others are changed: status %d: %s", status, out)
	}
	own := hold(host.Name())
	defer own()
	if status, out := cleanup(100 * time.Millisecond); status != statusFailure || !strings.Contains(out, agent.ErrLocked.Error()) {
		t.Errorf("while it is changed itself: status %d: %s", status, out)
	}
	if status := run(t.Context(), []string{"culvert", "cleanup", "--namespace", "ex-none"}, &bytes.Buffer{}, &bytes.Buffer{}); status != statusFailure {
		t.Errorf("a namespace that is not there: status %d", status)
	}
	if there, err := netns.Exists("ex-none"); there || err != nil {
		t.Errorf("locking has made a namespace: %v, %v", there, err)
	}
}

// TestOneDaemon starts ten daemons at the same instant, on no socket and then on one whose daemon was killed: one of them goes on, the
// others end with a word.
func TestOneDaemon(t *testing.T) {
	const daemons = 10
	host := emptyHost(t)
	r := &daemonRig{T: t, dir: t.TempDir(), patience: time.Minute}
	r.fleet, r.lock = filepath.Join(r.dir, "fleet.yaml"), filepath.Join(r.dir, "fleet.lock.yaml") // the winner waits for them
	race := func() *process {
		t.Helper()
		all := make([]*process, daemons)
		ended := make(chan *process, daemons)
		for i := range all {
			p := &process{daemonRig: r, host: "hv1", log: &record{}}
			p.cmd = r.command("hv1", "daemon", "-f", r.fleet, "--host", "hv1", "--socket", r.socket("hv1"), "--namespace", host.Name(), "--prefix", host.Name()+"-")
			p.cmd.Stderr = p.log
			p.cmd.Env = os.Environ()
			if err := p.cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = p.cmd.Process.Kill() })
			all[i] = p
		}
		for _, p := range all {
			go func() {
				_ = p.cmd.Wait()
				ended <- p
			}()
		}
		for range daemons - 1 {
			var p *process
			select {
			case p = <-ended:
			case <-time.After(r.patience):
				t.Fatal("more than one daemon goes on")
			}
			if p.done = true; p.cmd.ProcessState.ExitCode() != statusFailure || !strings.Contains(p.log.String(), "another daemon") {
				t.Errorf("a daemon that comes too late ends with %s:\n%s", p.cmd.ProcessState, p.log)
			}
		}
		for _, p := range all {
			if !p.done {
				p.eventually("answering", func(daemon.Status) bool { return true })
				if err := p.cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
				<-ended
				return p
			}
		}
		t.Fatal("no daemon goes on")
		return nil
	}
	first := race()
	if _, err := os.Stat(r.socket("hv1")); err != nil {
		t.Fatalf("a daemon that is killed leaves its socket: %v", err)
	}
	if second := race(); strings.Contains(first.log.String(), "another daemon") || strings.Contains(second.log.String(), "another daemon") {
		t.Errorf("who goes on complains:\n%s%s", first.log, second.log)
	}
}
