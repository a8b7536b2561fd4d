package agent

import (
	"testing"

	"github.com/culvertnet/culvert/topology"
)

// TestProgress counts what a service manager's watchdog hears of: every step of a stage, and every namespace that is read. However many
// there are, it does not hear of nothing.
func TestProgress(t *testing.T) {
	r := newRig(t)
	s := parse(t, fleetYAML)
	came := 0
	r.OnProgress(func() { came++ })
	p := r.plan(s)
	came = 0
	if err := r.Apply(p); err != nil {
		t.Fatal(err)
	}
	if steps := len(p.Overlay.Steps); came < steps {
		t.Errorf("an application of %d steps came further %d times", steps, came)
	}
	host, err := topology.For(s.fleet, s.lock, "hv1")
	if err != nil {
		t.Fatal(err)
	}
	came = 0
	if _, _, err := r.kernel.Compare(host); err != nil {
		t.Fatal(err)
	}
	if places := len(host.Tenants); came < places {
		t.Errorf("a comparison of %d tenants came further %d times", places, came)
	}
}
