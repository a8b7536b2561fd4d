package agent

import (
	"testing"

	"github.com/culvertnet/culvert/topology"
)

// BenchmarkLook compares one tenant with what it must hold, as the daemon does when it is told of something.
func BenchmarkLook(b *testing.B) {
	r := newRig(b)
	s := parse(b, fleetYAML)
	r.settle(s)
	host := must(topology.For(s.fleet, s.lock, "hv1"))
	for b.Loop() {
		if p := must(r.PlanOnly(host, []string{"acme"})); !p.Empty() {
			b.Fatal(p)
		}
	}
}
