package agent

import (
	"strings"
	"testing"
)

// TestGuardOfTheHost has foreign rules in the host's namespace, which stay.
func TestGuardOfTheHost(t *testing.T) {
	r := newRig(t)
	s := parse(t, fleetYAML)
	nft := func(words ...string) string {
		t.Helper()
		return must(r.run(append([]string{"ip", "netns", "exec", r.prefix + "host", "nft"}, words...)...))
	}
	nft("add table inet filter; add chain inet filter input { type filter hook input priority 0; }; add rule inet filter input udp dport 53 counter")
	foreign := nft("list", "ruleset")
	p := r.settle(s)
	if !strings.Contains(p.String(), "+ nft table ip culvert") {
		t.Errorf("the plan does not show the host's rules:\n%s", p)
	}
	if got := nft("list", "table", "ip", "culvert"); !strings.Contains(got, "192.0.2.2, 192.0.2.254") && !strings.Contains(got, "192.0.2.254, 192.0.2.2") {
		t.Errorf("the guard does not name the fleet's hosts:\n%s", got)
	}
	if counters := must(r.GuardCounters()); len(counters) != 7 {
		t.Errorf("counters: %v", counters)
	}
	// Somebody takes the guard away.
	nft("delete table ip culvert")
	r.settle(s)
	r.settle(parse(t, noTenants))
	if got := nft("list", "ruleset"); got != foreign {
		t.Errorf("a host without tenants has more than foreign rules:\n%s", got)
	}
	r.settle(s)
	r.clean()
	if got := nft("list", "ruleset"); got != foreign {
		t.Errorf("cleanup left more than foreign rules:\n%s", got)
	}
}

// TestGuardBeforeAndAfter wants the guard there before anything that it guards, and gone after it.
func TestGuardBeforeAndAfter(t *testing.T) {
	guard := func(c Change) bool { return c.Kind == RulesChange && c.Namespace == "" }
	r := newRig(t)
	changes := r.plan(parse(t, fleetYAML)).Changes()
	if !guard(changes[0]) {
		t.Errorf("the first change is %s", changes[0])
	}
	r.settle(parse(t, fleetYAML))
	changes = must(r.Agent.Cleanup()).Changes()
	if last := changes[len(changes)-1]; !guard(last) || guard(changes[0]) {
		t.Errorf("from %s to %s", changes[0], last)
	}
}

// TestGuardFailure has a chain of somebody else's in the way of the guard: nothing else changes.
func TestGuardFailure(t *testing.T) {
	r := newRig(t)
	s := parse(t, fleetYAML)
	p := r.plan(s)
	must(r.run("ip", "netns", "exec", r.prefix+"host", "nft", "add table ip culvert; add chain ip culvert guard { type filter hook input priority 7; }"))
	if err := r.Apply(p); err == nil || !strings.Contains(err.Error(), "change the rules of the host's namespace: ") {
		t.Errorf("error: %v", err)
	}
	if got := r.plan(s); len(got.Overlay.Steps) != len(p.Overlay.Steps) {
		t.Errorf("without the guard something changed:\n%s", got)
	}
	r.settle(s)
	r.safe()
}
