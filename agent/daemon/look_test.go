package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/culvertnet/culvert/agent"
	"github.com/culvertnet/culvert/ipvs"
	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/nft"
	"github.com/culvertnet/culvert/overlay"
	"github.com/culvertnet/culvert/topology"
)

// stub is an agent of a host without a kernel, where each tenant has a load balancer to change, and those of some have to be announced.
type stub struct {
	announces []string
	// fails are tenants that cannot be planned.
	fails []string
	// changing is how often more everything together cannot be read; wholes is how often it could.
	changing, wholes int

	announced map[overlay.Place]time.Time
	applied   []string
}

func (s *stub) PlanHost(host topology.Host) (agent.Plan, error) {
	if s.changing > 0 {
		s.changing--
		return agent.Plan{}, nft.ErrChanging
	}
	var names []string
	for _, t := range host.Tenants {
		names = append(names, t.Name)
	}
	p, err := s.PlanOnly(host, names)
	if err == nil {
		s.wholes++
	}
	return p, err
}

func (s *stub) PlanOnly(_ topology.Host, names []string) (agent.Plan, error) {
	var p agent.Plan
	for _, name := range names {
		if slices.Contains(s.fails, name) {
			return agent.Plan{}, errors.New("no such device")
		}
		p.Balancing = append(p.Balancing, agent.Balancing{Place: overlay.Place(topology.NamespacePrefix + name)})
	}
	return p, nil
}

func (s *stub) Announce(p agent.Plan) (map[overlay.Place]time.Time, error) {
	later := make(map[overlay.Place]time.Time)
	for _, b := range p.Balancing {
		due, known := s.announced[b.Place]
		if !known && slices.Contains(s.announces, tenantAt(b.Place)) {
			due = time.Now().Add(ipvs.HeadsUp)
			s.announced[b.Place] = due
		}
		if time.Now().Before(due) {
			later[b.Place] = due
		}
	}
	return later, nil
}

func (s *stub) Try(p agent.Plan, _ map[agent.Object]error) (a agent.Attempt) {
	for _, b := range p.Balancing {
		s.applied = append(s.applied, tenantAt(b.Place))
	}
	return a
}

func (s *stub) Settling() map[overlay.Place]time.Time { return nil }
func (s *stub) Known() map[overlay.Place]nft.Known    { return nil }
func (s *stub) Doubt()                                {}

// stubbed is a keeper whose agent is a stub, and which has a new fleet with tenants acme and blue.
func stubbed(t *testing.T, s *stub) *keeper {
	t.Helper()
	s.announced = make(map[overlay.Place]time.Time)
	k := desk("hv1")
	k.opts.Prefix, k.agent = "nobody-has-this-", s
	k.give(t, fleetYAML, "one", time.Now())
	k.full = time.Time{}
	return k
}

// TestHeadsUp changes a load balancer when its other nodes have heard of it for long enough and not before, however it is come to:
// with other tenants, with everything, or beside a tenant that cannot be planned.
func TestHeadsUp(t *testing.T) {
	for name, tt := range map[string]struct {
		full  bool
		fails []string
		now   string
	}{
		"some tenants":           {false, nil, "blue"},
		"everything":             {true, nil, "blue"},
		"beside one that fails":  {false, []string{"blue"}, ""},
		"everything, one by one": {true, []string{"blue"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &stub{announces: []string{"acme"}, fails: tt.fails}
				k := stubbed(t, s)
				if tt.full {
					k.full = time.Now()
				}
				k.work(t.Context())
				if got := strings.Join(s.applied, " "); got != tt.now {
					t.Errorf("changed %q at once, want %q", got, tt.now)
				}
				due := time.Now().Add(ipvs.HeadsUp)
				if r := k.records["acme"]; !r.due.Equal(due) || !r.changed || r.State != Pending {
					t.Errorf("acme: %+v, want it put off until %v", r, due)
				}
				// A reload in between changes nothing.
				time.Sleep(ipvs.HeadsUp / 2)
				s.applied = nil
				k.full = time.Now()
				k.work(t.Context())
				if slices.Contains(s.applied, "acme") {
					t.Error("a reload changes acme at once")
				}
				time.Sleep(ipvs.HeadsUp / 2)
				k.work(t.Context())
				if !slices.Contains(s.applied, "acme") {
					t.Errorf("changed %q when the time had come, want acme among them", s.applied)
				}
			})
		})
	}
}

// TestInPieces has something keep everything from being looked at together. The namespace of a tenant that left the fleet while the
// daemon was down goes all the same, and the host has not converged until it has been looked at as a whole.
func TestInPieces(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: names of namespaces")
	}
	prefix := fmt.Sprintf("pieces%d-", os.Getpid())
	left := filepath.Join(netns.Dir, prefix+topology.NamespacePrefix+"left")
	if err := os.MkdirAll(netns.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(left, nil, 0o600); err != nil { // half-made, and nobody's
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(left) })
	for name, tt := range map[string]struct {
		stub   stub
		first  string
		wholes int
	}{
		"a tenant that fails":       {stub{fails: []string{"blue"}}, "acme left", 1},
		"a moment":                  {stub{changing: 1}, "acme blue left", 1},
		"moments":                   {stub{changing: 5}, "acme blue left", 1},
		"a tenant that is put off":  {stub{announces: []string{"acme"}}, "blue", 2},
		"tenants that are put off":  {stub{announces: []string{"acme", "blue"}}, "", 2},
		"put off, and one by one":   {stub{announces: []string{"acme"}, changing: 1}, "blue left", 1},
		"nothing, which is no case": {stub{}, "acme blue", 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &tt.stub
				k := stubbed(t, s)
				k.opts.Prefix = prefix
				k.full = time.Now()
				k.work(t.Context())
				slices.Sort(s.applied)
				if got := strings.Join(s.applied, " "); got != tt.first {
					t.Errorf("changed %q at once, want %q", got, tt.first)
				}
				k.report()
				if whole := tt.first == "acme blue"; (k.converged != nil) != whole {
					t.Errorf("after the first look: converged %+v", k.converged)
				}
				for end := time.Now().Add(time.Hour); len(s.fails) > 0 && time.Now().Before(end); {
					time.Sleep(time.Until(k.next()))
					k.work(t.Context())
				}
				s.fails = nil
				began := time.Now()
				for k.converged == nil && time.Since(began) < lastRetry+10*time.Second {
					time.Sleep(time.Until(k.next()))
					k.work(t.Context())
					if k.report(); k.converged != nil && s.wholes != tt.wholes {
						t.Errorf("converged after %d looks at everything, want %d", s.wholes, tt.wholes)
					}
				}
				if k.converged == nil || !k.whole.IsZero() {
					t.Errorf("converged %+v, and looks at everything at %v", k.converged, k.whole)
				}
			})
		})
	}
}

// TestLockHeld has another program keep the host's lock: that is told, and the host is looked at soon after it is free.
func TestLockHeld(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	for name, full := range map[string]bool{"some tenants": false, "everything": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release, err := agent.Lock(t.Context(), path)
				if err != nil {
					t.Fatal(err)
				}
				defer release()
				s := &stub{}
				k := stubbed(t, s)
				k.opts.Lock = path
				if full {
					k.full = time.Now()
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				for range 3 {
					began := time.Now()
					k.work(ctx)
					if took := time.Since(began); took > lockPatience {
						t.Fatalf("waited %v for the lock, want %v", took, lockPatience)
					}
					if k.hostError == nil || !strings.Contains(k.hostError.Error, agent.ErrLocked.Error()) || !strings.Contains(k.hostError.Error, path) {
						t.Fatalf("the host's error is %+v", k.hostError)
					}
					k.report()
					if b := k.board.read(); b.Error == nil || b.Healthy() {
						t.Errorf("status %+v", b)
					}
					time.Sleep(time.Until(k.next()))
				}
				release()
				k.work(ctx)
				if slices.Sort(s.applied); k.hostError != nil || !slices.Equal(s.applied, []string{"acme", "blue"}) {
					t.Errorf("when the lock is free: error %+v, changed %q", k.hostError, s.applied)
				}
			})
		})
	}
}
