package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/source"
)

// unasked is a source that must not be asked.
type unasked struct{ t *testing.T }

func (u unasked) String() string { return "unasked" }

func (u unasked) Run(context.Context, func(source.Snapshot), func(error)) error {
	u.t.Error("the source is asked")
	return nil
}

func TestStatusOverTheSocket(t *testing.T) {
	d := New(Options{Name: "hv1", Source: source.NewFile("fleet.yaml", "fleet.lock.yaml"), Version: "v1"})
	want := d.Status()
	want.Generation, want.Ready, want.Drift = "abc", true, 3
	want.Refused = &Incident{"bad", epoch}
	want.Converged = &Convergence{"abc", epoch, time.Second}
	want.Notes = []string{"a note"}
	want.Tenants = []Tenant{{Name: "acme", State: Failed, Waiting: []string{"tap-a"}, Error: &Incident{"no", epoch}, Took: time.Second, Repaired: &Repair{epoch, []string{"+ x"}}}}
	d.board.set(func(s *Status) { *s = want })
	path := filepath.Join(t.TempDir(), "sub", "socket")
	run := func() (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		api, err := newAPITask(path, d)
		if err != nil {
			t.Fatal(err)
		}
		go func() { done <- api.Run(ctx) }()
		for {
			if _, err := Ask(ctx, path); err == nil {
				break
			}
		}
		return func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			api.close()
		}
	}
	stop := run()
	got, err := Ask(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("socket: %v, %v", info.Mode(), err)
	}
	// A second daemon ends before it does anything: it has no namespace to look at, and its source is not asked.
	second := New(Options{Name: "hv1", Source: unasked{t}, Socket: path})
	if err := second.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "another daemon has it") {
		t.Errorf("a second daemon: %v", err)
	}
	stop()
	if _, err := Ask(t.Context(), path); err == nil || !strings.Contains(err.Error(), "is it running?") {
		t.Errorf("error: %v", err)
	}
	// A daemon that was killed leaves its socket. Another file there is somebody's.
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	if err := left.Close(); err != nil {
		t.Fatal(err)
	}
	run()()
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := newAPITask(path, d); err == nil || !strings.Contains(err.Error(), "is no socket") {
		t.Errorf("a file in the socket's place: %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "mine" {
		t.Errorf("the file is %q, %v", text, err)
	}
}

// slowToEnd is a source that takes its time to end, as a keeper does that is in the middle of a change.
type slowToEnd struct{ running, told, end chan struct{} }

func (s slowToEnd) String() string { return "slow" }

func (s slowToEnd) Run(ctx context.Context, _ func(source.Snapshot), _ func(error)) error {
	close(s.running)
	<-ctx.Done()
	close(s.told)
	<-s.end
	return nil
}

// TestOneDaemonUntilTheEnd has a daemon told to end while a part of it is still at work: its socket goes, but no other daemon begins before
// it has ended.
func TestOneDaemonUntilTheEnd(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: notifications of all namespaces")
	}
	host, err := netns.Current()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = host.Close() }()
	path := filepath.Join(t.TempDir(), "socket")
	s := slowToEnd{make(chan struct{}), make(chan struct{}), make(chan struct{})}
	first := New(Options{Name: "hv1", Host: host, Source: s, Socket: path, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- first.Run(ctx) }()
	select {
	case <-s.running:
	case err := <-done:
		t.Fatal(err)
	}
	cancel()
	<-s.told
	for deadline := time.Now().Add(time.Minute); ; {
		_, err := os.Lstat(path)
		if errors.Is(err, os.ErrNotExist) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a daemon that ends keeps its socket")
		}
	}
	if l, err := ListenUnix(path); err == nil || !strings.Contains(err.Error(), "another daemon has it") {
		t.Errorf("a second daemon beside one that ends: %v, %v", l, err)
	}
	close(s.end)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if l, err := ListenUnix(path); err != nil {
		t.Errorf("when it has ended: %v", err)
	} else if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestHealthy(t *testing.T) {
	fine := Status{Ready: true, Tenants: []Tenant{{State: Converged}, {State: Waiting}}}
	if !fine.Healthy() {
		t.Error("a host that waits for a device is not healthy")
	}
	incident := since(nil, errors.New("x"), epoch)
	for name, change := range map[string]func(*Status){
		"not ready": func(s *Status) { s.Ready = false },
		"refused":   func(s *Status) { s.Refused = incident },
		"away":      func(s *Status) { s.Away = incident },
		"unkept":    func(s *Status) { s.Unkept = incident },
		"error":     func(s *Status) { s.Error = incident },
		"failed":    func(s *Status) { s.Tenants = []Tenant{{State: Failed}} },
		"pending":   func(s *Status) { s.Tenants = []Tenant{{State: Pending}} },
	} {
		s := fine
		change(&s)
		if s.Healthy() {
			t.Errorf("%s, and healthy", name)
		}
	}
	if again := since(incident, errors.New("x"), epoch.Add(time.Hour)); again.Since != epoch {
		t.Errorf("the same error is new: %+v", again)
	}
}
