package source

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/portmap"
)

const fleetYAML = `
hosts:
  - {name: hv1, underlay: 192.0.2.1, roles: [hypervisor]}
  - {name: hv2, underlay: 192.0.2.2, roles: [hypervisor]}
tenants:
  - name: acme
    vni: 100
    interfaces:
      - {name: vm-a, host: hv1, device: tap-a, mac: "52:54:00:00:00:0a", addresses: [10.0.0.12]}
      - {name: vm-b, host: hv2, device: tap-b, mac: "52:54:00:00:00:0b", addresses: [10.0.0.47]}
    natGateway: {addresses: [45.86.152.23], portsPerHost: 1024}
`

// stand is a folder with a fleet, and a source that runs on it.
type stand struct {
	*testing.T
	dir, fleet, lock string
	files            *File
	events           chan any // Snapshot or error
}

// newStand runs the source on the fleet.
func newStand(t *testing.T, prepare ...func(*stand)) *stand {
	s := &stand{T: t, dir: t.TempDir(), events: make(chan any, 100)}
	s.fleet, s.lock = filepath.Join(s.dir, "fleet.yaml"), filepath.Join(s.dir, "fleet.lock.yaml")
	s.put(s.fleet, fleetYAML)
	s.put(s.lock, lockOf(t, fleetYAML))
	s.files = NewFile(s.fleet, s.lock)
	for _, p := range prepare {
		p(s)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		done <- s.files.Run(ctx, func(v Snapshot) { s.events <- v }, func(err error) { s.events <- err })
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run ended with %v", err)
		}
	})
	return s
}

func lockOf(t *testing.T, fleet string) string {
	t.Helper()
	f, err := config.Parse("fleet.yaml", []byte(fleet))
	if err != nil {
		t.Fatal(err)
	}
	lock, err := portmap.Allocate(portmap.NewLock(), f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := portmap.Encode(lock)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (s *stand) put(path, text string) {
	s.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.Fatal(err)
	}
}

// rename replaces a file at once.
func (s *stand) rename(path, text string) {
	s.Helper()
	s.put(path+".new", text)
	if err := os.Rename(path+".new", path); err != nil {
		s.Fatal(err)
	}
}

func (s *stand) next() any {
	s.Helper()
	select {
	case e := <-s.events:
		return e
	case <-time.After(time.Minute):
		s.Fatal("the source says nothing")
		return nil
	}
}

// delivered waits for a snapshot, which must be the next event.
func (s *stand) delivered() Snapshot {
	s.Helper()
	switch e := s.next().(type) {
	case Snapshot:
		return e
	default:
		s.Fatalf("refused: %v", e)
		return Snapshot{}
	}
}

// refused waits for a refusal with the words, which must be the next event.
func (s *stand) refused(words string) error {
	s.Helper()
	err, ok := s.next().(error)
	if !ok || !strings.Contains(err.Error(), words) {
		s.Fatalf("got %v, want a refusal with %q", err, words)
	}
	return err
}

func with(old, text string) string { return strings.Replace(fleetYAML, old, text, 1) }

func TestDeliver(t *testing.T) {
	s := newStand(t)
	first := s.delivered()
	if first.Generation == "" || len(first.Fleet.Tenants) != 1 || first.Lock.Hosts["hv1"] != 1 {
		t.Fatalf("snapshot: %+v", first)
	}
	// In place: the lock still goes with it.
	s.put(s.fleet, with("10.0.0.12", "10.0.0.13"))
	second := s.delivered()
	if got := second.Fleet.Tenants[0].Interfaces[0].Addresses[0].String(); got != "10.0.0.13" || second.Generation == first.Generation {
		t.Errorf("second snapshot %s with %s, after %s", second.Generation, got, first.Generation)
	}
	// By rename, and back to the first.
	s.rename(s.fleet, fleetYAML)
	if third := s.delivered(); third.Generation != first.Generation {
		t.Errorf("generation %s of the same files, want %s", third.Generation, first.Generation)
	}
}

// TestPair changes both files, one after the other: a fleet with an old lock is not refused when the lock follows.
func TestPair(t *testing.T) {
	s := newStand(t, func(s *stand) { s.files.settle = time.Hour })
	s.delivered()
	wider := with("1024", "2048")
	s.rename(s.fleet, wider)
	s.rename(s.lock, lockOf(t, wider))
	if got := s.delivered(); got.Fleet.Tenants[0].NATGateway.PortsPerHost != 2048 {
		t.Errorf("delivered %+v", got.Fleet.Tenants[0].NATGateway)
	}
}

// TestRefuse pushes what is bad. It is refused once; the next good one is delivered, also if it is the one before.
func TestRefuse(t *testing.T) {
	s := newStand(t, func(s *stand) { s.files.settle = time.Millisecond })
	first := s.delivered()
	s.rename(s.fleet, with("hypervisor", "king"))
	var problems config.Problems
	if err := s.refused(`"king"`); !errors.As(err, &problems) {
		t.Errorf("refused with %T, want the document's problems", err)
	}
	s.put(filepath.Join(s.dir, "other"), "a change of another file")
	s.rename(s.fleet, with("1024", "2048"))
	s.refused("run `culvert allocate`")
	s.rename(s.fleet, fleetYAML)
	if again := s.delivered(); again.Generation != first.Generation {
		t.Errorf("generation %s, want %s", again.Generation, first.Generation)
	}
	if err := os.Remove(s.lock); err != nil {
		t.Fatal(err)
	}
	s.refused("there is no " + s.lock)
	s.put(s.lock, "nonsense\n")
	s.refused(s.lock + ":1")
	s.put(s.lock, lockOf(t, fleetYAML))
	s.delivered()
}

// TestStartWithoutFleet has the source wait for files that come later.
func TestStartWithoutFleet(t *testing.T) {
	s := newStand(t, func(s *stand) {
		if err := errors.Join(os.Remove(s.fleet), os.Remove(s.lock)); err != nil {
			t.Fatal(err)
		}
		s.files.settle = time.Hour
	})
	s.refused("name the fleet's file with -f")
	s.rename(s.fleet, fleetYAML)
	s.rename(s.lock, lockOf(t, fleetYAML))
	s.delivered()
}

// TestLink has the files behind a symbolic link to a folder, which is made to point to another folder in one step.
func TestLink(t *testing.T) {
	s := newStand(t, func(s *stand) {
		for name, text := range map[string]string{"one": fleetYAML, "two": with("1024", "2048"), "three": with("1024", "4096")} {
			dir := filepath.Join(s.dir, name)
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			s.put(filepath.Join(dir, "fleet.yaml"), text)
			s.put(filepath.Join(dir, "fleet.lock.yaml"), lockOf(t, text))
		}
		for _, path := range []string{s.fleet, s.lock} {
			err := errors.Join(os.Remove(path), os.Symlink(filepath.Join("now", filepath.Base(path)), path))
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink("one", filepath.Join(s.dir, "now")); err != nil {
			t.Fatal(err)
		}
	})
	s.delivered()
	for name, ports := range map[string]int{"two": 2048, "three": 4096} {
		next := filepath.Join(s.dir, "next")
		if err := errors.Join(os.Symlink(name, next), os.Rename(next, filepath.Join(s.dir, "now"))); err != nil {
			t.Fatal(err)
		}
		if got := s.delivered().Fleet.Tenants[0].NATGateway.PortsPerHost; int(got) != ports {
			t.Errorf("%d ports, want %d", got, ports)
		}
	}
	// In the folder that it leads to now.
	text := with("10.0.0.12", "10.0.0.99")
	path, err := filepath.EvalSymlinks(s.fleet)
	if err != nil {
		t.Fatal(err)
	}
	s.put(s.lock, lockOf(t, text))
	s.rename(path, text)
	for s.delivered().Fleet.Tenants[0].Interfaces[0].Addresses[0].String() != "10.0.0.99" {
	}
}

// TestReload wants an answer to every demand, changed or not, good or bad.
func TestReload(t *testing.T) {
	s := newStand(t, func(s *stand) { s.files.settle = time.Hour })
	first := s.delivered()
	s.files.Reload()
	if again := s.delivered(); again.Generation != first.Generation {
		t.Errorf("generation %s, want %s", again.Generation, first.Generation)
	}
	s.rename(s.fleet, "hosts: 7\n")
	for range 2 {
		s.files.Reload()
		s.refused("not a list")
	}
}

// TestFolderReplaced has another folder take the name of the one that is watched: only the slow look can tell.
func TestFolderReplaced(t *testing.T) {
	root := t.TempDir()
	s := newStand(t, func(s *stand) {
		old := s.dir
		s.dir = filepath.Join(root, "etc")
		if err := os.Rename(old, s.dir); err != nil {
			t.Fatal(err)
		}
		s.fleet, s.lock = filepath.Join(s.dir, "fleet.yaml"), filepath.Join(s.dir, "fleet.lock.yaml")
		s.files = NewFile(s.fleet, s.lock)
		s.files.settle, s.files.recheck = time.Hour, time.Millisecond
	})
	s.delivered()
	if err := errors.Join(os.Rename(s.dir, s.dir+".old"), os.Mkdir(s.dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	text := with("10.0.0.12", "10.0.0.13")
	s.put(s.lock, lockOf(t, text))
	s.put(s.fleet, text)
	s.delivered()
}

func TestNoFolder(t *testing.T) {
	err := NewFile(filepath.Join(t.TempDir(), "none", "fleet.yaml"), "fleet.lock.yaml").Run(t.Context(), nil, nil)
	if err == nil || !strings.Contains(err.Error(), "it must exist before the fleet comes") {
		t.Errorf("error: %v", err)
	}
}
