package daemon

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/culvertnet/culvert/agent"
	"github.com/culvertnet/culvert/overlay"
	"github.com/culvertnet/culvert/topology"
	"github.com/culvertnet/culvert/trigger"
)

// object is one of the host's.
func object(name string) agent.Object { return agent.Object{Kind: agent.OverlayChange, Name: name} }

// fails is the outcome of a look in which objects fail.
func fails(why string, objects ...string) outcome {
	o := outcome{err: errors.New(why)}
	for _, name := range objects {
		o.failures = append(o.failures, agent.Failure{Object: object(name), Err: fmt.Errorf("add %s: %w", name, errors.New(why))})
	}
	return o
}

// TestFaults follows objects over tries: how long each fails is its own matter, whatever the reason, and a success ends all.
func TestFaults(t *testing.T) {
	r := &record{Tenant: Tenant{Name: "acme"}}
	r.want(&topology.Tenant{}, epoch, causeFleet)
	r.look(fails("no", "a", "b"), epoch)
	r.look(fails("never", "b", "c"), epoch.Add(time.Second))
	second := epoch.Add(time.Second) // both are hurried, as a is well
	want := []Fault{
		{agent.OverlayChange, "b", Incident{"never", epoch}, second.Add(2 * firstRetry / 4)},
		{agent.OverlayChange, "c", Incident{"never", second}, second.Add(firstRetry / 4)},
	}
	if !slices.Equal(r.Faults, want) {
		t.Errorf("faults %+v, want %+v", r.Faults, want)
	}
	blocked := fails("no", "d")
	blocked.blocked = []agent.Object{object("c"), object("e")}
	r.look(blocked, epoch.Add(2*time.Second))
	if len(r.Faults) != 2 || r.Faults[0].Object != "c" || r.Faults[0].Error != "never" || r.Faults[1].Object != "d" {
		t.Errorf("faults %+v, want c's as it was, as it has not been tried, and d's", r.Faults)
	}
	many := make([]string, 3*maxFaults)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	r.look(fails("no", many...), epoch.Add(3*time.Second))
	if len(r.Faults) != maxFaults || len(r.failing) != len(many) {
		t.Errorf("%d faults of %d objects, want %d of %d", len(r.Faults), len(r.failing), maxFaults, len(many))
	}
	r.look(outcome{}, epoch.Add(4*time.Second))
	if len(r.Faults) != 0 || len(r.failing) != 0 {
		t.Errorf("after a success: %+v", r.failing)
	}
}

// TestBackOffOfEach has one object fail again and again, then another beside it, which gets times of its own. What is repaired meanwhile
// is drift, and does not wait for either.
func TestBackOffOfEach(t *testing.T) {
	r, now := &record{Tenant: Tenant{Name: "acme"}}, epoch
	r.want(&topology.Tenant{}, epoch, causeFleet)
	// try looks when it is due, and has the objects fail. It returns those that were tried.
	try := func(objects ...string) (tried []string, why cause) {
		held := make(map[agent.Object]error)
		r.failing.hold(held, now)
		o := fails("no", objects...)
		o.held = held
		for _, f := range o.failures {
			if _, ok := held[f.Object]; !ok {
				tried = append(tried, f.Name)
			}
		}
		return tried, r.look(o, now)
	}
	var waits []time.Duration
	for range 12 {
		if tried, _ := try("a"); !slices.Equal(tried, []string{"a"}) {
			t.Fatalf("after %v: tried %q", waits, tried)
		}
		waits = append(waits, r.due.Sub(now))
		now = r.due
	}
	if last := len(waits) - 1; waits[0] != firstRetry || waits[1] != 2*firstRetry || waits[last] != lastRetry {
		t.Errorf("waits %v", waits)
	}
	try("a")
	asked := now
	now = now.Add(time.Second) // somebody changes something
	r.ask(now)
	if r.due != now {
		t.Fatalf("a change is looked at after %v", r.due.Sub(now))
	}
	o := fails("no", "a")
	o.held, o.changes = map[agent.Object]error{object("a"): errors.New("no")}, writes.changes
	if why := r.look(o, now); why != causeDrift || r.Drift != 1 || r.Repaired == nil {
		t.Errorf("a repair beside what fails: cause %s, drift %d", why, r.Drift)
	}
	if now = r.due; now.Sub(asked) > time.Second+longest {
		t.Errorf("the repair is looked at after %v", now.Sub(asked))
	}
	tried, _ := try("a", "b")
	if !slices.Equal(tried, []string{"b"}) || r.due.Sub(now) != firstRetry {
		t.Errorf("another object's failure: tried %q, again after %v", tried, r.due.Sub(now))
	}
	now = r.due
	if tried, _ = try("a", "b"); !slices.Equal(tried, []string{"b"}) || r.due.Sub(now) != 2*firstRetry {
		t.Errorf("when that is due: tried %q, again after %v", tried, r.due.Sub(now))
	}
	now = asked.Add(lastRetry / 4)
	if tried, _ = try("a", "b"); !slices.Equal(tried, []string{"a", "b"}) {
		t.Errorf("a quarter of a minute after something happened, tried %q", tried)
	}
	last := now
	now = r.due
	if _, why := try("a"); why != causeDrift || r.due.Sub(last) != lastRetry/4 {
		t.Errorf("b is well: cause %s, a is tried after %v", why, r.due.Sub(last))
	}
	now = r.due
	if tried, _ = try("a"); !slices.Equal(tried, []string{"a"}) || r.due.Sub(now) != lastRetry {
		t.Errorf("after b's success: tried %q, again after %v", tried, r.due.Sub(now))
	}
	r.want(&topology.Tenant{}, now, causeFleet)
	r.ask(now)
	now = r.due
	if tried, why := try("a"); !slices.Equal(tried, []string{"a"}) || r.due.Sub(now) != firstRetry || why != causeFleet {
		t.Errorf("another fleet: tried %q for the cause %s, again after %v", tried, why, r.due.Sub(now))
	}
}

// stuck is an agent of a host where a parameter of each tenant cannot be written. What else fails is told by before: a plan of
// tenants, or the host's own part, before which nothing is tried.
type stuck struct {
	*stub
	before *string
}

var forwarding = overlay.Sysctl{Path: "net/ipv4/ip_forward", Value: "1"}

func (f stuck) PlanOnly(_ topology.Host, names []string) (p agent.Plan, err error) {
	if *f.before == "plan" && len(names) > 0 {
		return p, errors.New("no such device")
	}
	for _, name := range names {
		place := overlay.Place(topology.NamespacePrefix + name)
		p.Overlay.Steps = append(p.Overlay.Steps, overlay.Step{Place: place, Verb: overlay.Change, Object: forwarding, Old: forwarding})
	}
	return p, nil
}

func (f stuck) Try(p agent.Plan, _ map[agent.Object]error) (a agent.Attempt) {
	if *f.before == "host" {
		a.Failures = agent.Failures{{Object: agent.Object{Kind: agent.RulesChange, Name: "rules"}, Err: errors.New("no guard")}}
		return a
	}
	for _, s := range p.Overlay.Steps {
		a.Failures = append(a.Failures, agent.Failure{
			Object: agent.Object{Place: s.Place, Kind: agent.OverlayChange, Name: s.Object.String()},
			Err:    overlay.Failure{Step: s, Err: errors.New("read-only file system")},
		})
	}
	return a
}

// TestFaultsNotTried has errors between two tries, before any object is tried: none has succeeded, so each goes on failing.
func TestFaultsNotTried(t *testing.T) {
	for before, complaint := range map[string]string{"plan": "no such device", "host": "no guard"} {
		t.Run(before, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, now := &stub{}, ""
				k := stubbed(t, s)
				k.agent = stuck{s, &now}
				began := time.Now()
				for i, want := range []string{"read-only file system", complaint, "read-only file system"} {
					now = ""
					if i == 1 {
						now = before
					}
					k.work(t.Context())
					r := k.records["acme"]
					if r.Error == nil || !strings.Contains(r.Error.Error, want) {
						t.Fatalf("try %d: error %+v, want %q", i, r.Error, want)
					}
					if len(r.Faults) != 1 || !r.Faults[0].Since.Equal(began) {
						t.Errorf("try %d: faults %+v, want the parameter's since %v", i, r.Faults, began)
					}
					time.Sleep(time.Until(r.due))
				}
				k.agent = s
				k.work(t.Context())
				if r := k.records["acme"]; len(r.Faults) != 0 || r.Error != nil {
					t.Errorf("when it works: %+v, %+v", r.Error, r.Faults)
				}
			})
		})
	}
}

// TestGenerationOfTheFailed has fleets come that do not change a tenant: one that is as it should be is as each of them says, one that
// fails is not.
func TestGenerationOfTheFailed(t *testing.T) {
	now, k := time.Now(), desk("hv1")
	k.give(t, fleetYAML, "one", now)
	k.settle()
	k.records["acme"].look(fails("no", "a"), now)
	k.give(t, fleetYAML+"    timeouts: {udp: 200s}\n", "two", now) // of blue
	k.records["blue"].take(fails("no", "b"), causeFleet, "two", now, now)
	k.give(t, fleetYAML, "three", now)
	for _, name := range []string{"acme", "blue"} {
		if r := k.records[name]; r.Generation != "one" {
			t.Errorf("%s failed, and is as generation %q says, want one", name, r.Generation)
		}
	}
}

// TestBackOffOfTheBlocked has an object fail, and then another that comes before it. The one that is not tried any more asks for no looks.
func TestBackOffOfTheBlocked(t *testing.T) {
	r, now := &record{Tenant: Tenant{Name: "acme"}}, epoch
	r.want(&topology.Tenant{}, epoch, causeFleet)
	r.look(fails("no", "b"), now)
	blocked := fails("no", "a")
	blocked.blocked = []agent.Object{object("b")}
	looks := 0
	for now = r.due; now.Before(epoch.Add(10 * time.Minute)); now = r.due {
		r.look(blocked, now)
		looks++
	}
	if looks > 25 {
		t.Errorf("%d looks in ten minutes", looks)
	}
	if since := r.failing[object("b")].since; !since.Equal(epoch) {
		t.Errorf("what is blocked fails since %v", since)
	}
}

// TestBackOffByTurns has an object fail and succeed by turns, beside one that always fails: that one is tried no more often for it than
// when something happens all the time.
func TestBackOffByTurns(t *testing.T) {
	r, now := &record{Tenant: Tenant{Name: "acme"}}, epoch
	r.want(&topology.Tenant{}, epoch, causeFleet)
	tries := 0
	for turn := 0; now.Before(epoch.Add(time.Minute)); turn++ {
		held := make(map[agent.Object]error)
		r.failing.hold(held, now)
		o := fails("no", []string{"b", "a"}[:1+turn%2]...)
		if o.held = held; held[object("b")] == nil {
			tries++
		}
		r.look(o, now)
		now = r.due
	}
	if tries > 20 {
		t.Errorf("tried %d times in a minute", tries)
	}
}

// TestBackOffOfTheHost has objects of many tenants fail in the host's own namespace, where a plan has only those of its tenants: they have
// one back-off, whatever the plans have.
func TestBackOffOfTheHost(t *testing.T) {
	r, now := &record{}, epoch
	var waits []time.Duration
	for i := range 12 {
		r.look(fails("no", fmt.Sprint(i%3)), now)
		if len(r.Faults) != 1 || !r.Faults[0].Retry.Equal(r.Retry) {
			t.Errorf("faults %+v, tried again at %v", r.Faults, r.Retry)
		}
		waits = append(waits, r.due.Sub(now))
		now = r.due
	}
	if last := waits[len(waits)-1]; waits[0] != firstRetry || last != lastRetry || !slices.IsSorted(waits) {
		t.Errorf("waits %v", waits)
	}
}

// hostStuck is an agent of a host where something in its own namespace cannot be made for acme.
type hostStuck struct{ *stub }

func (f hostStuck) PlanHost(topology.Host) (agent.Plan, error) {
	return f.PlanOnly(topology.Host{}, []string{"acme", "blue"})
}

func (f hostStuck) PlanOnly(_ topology.Host, names []string) (p agent.Plan, err error) {
	if slices.Contains(names, "acme") {
		p.Overlay.Steps = append(p.Overlay.Steps, overlay.Step{Place: overlay.HostPlace, Verb: overlay.Change, Object: forwarding, Old: forwarding})
	}
	return p, nil
}

func (f hostStuck) Try(p agent.Plan, _ map[agent.Object]error) (a agent.Attempt) {
	for _, s := range p.Overlay.Steps {
		o := agent.Object{Kind: agent.OverlayChange, Name: s.Object.String()}
		a.Failures = append(a.Failures, agent.Failure{Object: o, Err: errors.New("read-only file system")})
	}
	return a
}

// TestHostFailsForOne has something in the host's namespace fail for one tenant. Looks at others, and at the host alone, find nothing wrong,
// and say nothing of it.
func TestHostFailsForOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stub{}
		k := stubbed(t, s)
		k.agent, k.full = hostStuck{s}, time.Now()
		for range 4 {
			k.work(t.Context())
			time.Sleep(time.Until(k.next()))
		}
		host := k.records[""]
		failures := host.failures
		for range 10 {
			time.Sleep(30 * time.Millisecond)
			k.notice(trigger.Event{Kind: trigger.Rules, Space: trigger.Host}, time.Now())
			k.records["blue"].ask(time.Now())
			k.look(t.Context(), []string{"", "blue"})
			k.report()
			if host.State != Failed || len(host.Faults) != 1 || k.converged != nil || host.failures != failures {
				t.Fatalf("the host is %s, faults %+v, %d failures, converged %+v", host.State, host.Faults, host.failures, k.converged)
			}
		}
		k.agent = s
		for end := time.Now().Add(time.Minute); k.converged == nil && time.Now().Before(end); k.report() {
			time.Sleep(time.Until(k.next()))
			k.work(t.Context())
		}
		if host.State != Converged || k.converged == nil {
			t.Errorf("when it works, the host is %s, owing %v", host.State, host.owing)
		}
		// Nothing else asks for a look at who keeps the host from being well.
		host.take(fails("no", "a"), causeFleet, "one", time.Now(), time.Now())
		host.owing = map[string]bool{"acme": true, "blue": true}
		k.records["acme"].due, k.records["blue"].due = time.Time{}, time.Time{}
		for end := time.Now().Add(2 * lastRetry); host.Error != nil && time.Now().Before(end); {
			time.Sleep(time.Until(k.next()))
			k.work(t.Context())
		}
		if host.Error != nil {
			t.Errorf("the host fails for %v, who are well", host.owing)
		}
	})
}

// settler is an agent with a load balancer whose change is to end.
type settler struct {
	*stub
	plans int
	due   time.Time
}

func (s *settler) Settling() map[overlay.Place]time.Time {
	return map[overlay.Place]time.Time{"culvert-acme": s.due}
}

func (s *settler) PlanOnly(_ topology.Host, names []string) (p agent.Plan, err error) {
	s.plans++
	p.Overlay.Steps = []overlay.Step{{Place: "culvert-acme", Verb: overlay.Change, Object: forwarding, Old: forwarding}}
	return p, nil
}

func (s *settler) Try(p agent.Plan, held map[agent.Object]error) (a agent.Attempt) {
	o := agent.Object{Place: "culvert-acme", Kind: agent.OverlayChange, Name: forwarding.String()}
	a.Failures = agent.Failures{{Object: o, Err: errors.New("read-only file system")}}
	return a
}

// TestSettlingOfTheFailed has the end of a load balancer's change come due while something before it fails: looks are as rare as tries.
func TestSettlingOfTheFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &settler{stub: &stub{}, due: time.Now().Add(6 * time.Second)}
		k := stubbed(t, s.stub)
		k.agent = s
		for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Until(k.next())) {
			k.work(t.Context())
		}
		if s.plans > 25 {
			t.Errorf("%d plans in a minute", s.plans)
		}
	})
}
