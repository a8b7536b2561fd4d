package agent

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/culvertnet/culvert/ipvs"
)

// balancedYAML makes hv1 a node that runs one of two backends.
var balancedYAML = strings.NewReplacer(
	"{name: hv1, underlay: 192.0.2.1, roles: [hypervisor]}", "{name: hv1, underlay: 192.0.2.1, roles: [hypervisor, loadbalancer]}",
	"{name: hv2, underlay: 192.0.2.2, roles: [hypervisor]}", "{name: hv2, underlay: 192.0.2.2, roles: [hypervisor, loadbalancer]}",
	"portsPerHost: 1024}\n  - name: blue", `portsPerHost: 1024}
    loadBalancers:
      - {name: web, address: 45.86.152.50, listeners: [{protocol: tcp, port: 443, backendPort: 8443}], backends: [{interface: vm-a}, {interface: vm-b}]}
  - name: blue`).Replace(fleetYAML)

// TestBalancer carries a node out. Where the kernel has no IPVS, a note says so and everything else is done.
func TestBalancer(t *testing.T) {
	r := newRig(t)
	s := parse(t, balancedYAML)
	p := r.plan(s)
	missing := ipvs.Load()
	if missing != nil && !errors.Is(missing, ipvs.ErrNoIPVS) {
		t.Fatal(missing)
	}
	var want []string
	if missing != nil {
		want = []string{"loadBalancers of tenant acme: " + ipvs.ErrNoIPVS.Error()}
	}
	if !slices.Equal(p.Notes, want) {
		t.Errorf("notes: %q, want %q", p.Notes, want)
	}
	if missing == nil {
		order(t, p.Lines(),
			"culvert-acme: nft ip counter closed", "culvert-acme: ipvs tcp 45.86.152.50:443 mh mh-fallback mh-port",
			"culvert-acme: address 45.86.152.50/32 dev lo", "culvert-acme: ipvs net.ipv4.vs.sloppy_tcp=1 (after "+ipvs.SettleTime.String()+")")
	}
	if err := r.Apply(p); err != nil {
		t.Fatal(err)
	}
	// An agent that goes on knows when the end is due. Here that is later, for machines that are slow.
	for place := range r.settling {
		r.settling[place] = time.Now().Add(time.Hour)
	}
	if again := r.plan(s); !again.Empty() || len(r.Settling()) != len(p.Balancing) {
		t.Errorf("while it settles, %v:\n%s", r.Settling(), again)
	}
	// Killed before that: the next one has the rest.
	killed, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.Settle(killed, p); missing == nil && !errors.Is(err, context.Canceled) {
		t.Errorf("settle: %v, want that the context ended", err)
	}
	clear(r.settling)
	p = r.plan(s)
	if missing == nil && len(p.Lines()) != 1 || missing != nil && !p.Empty() {
		t.Errorf("after a killed apply:\n%s", p)
	}
	begun := time.Now()
	if err := errors.Join(r.Apply(p), r.Settle(context.Background(), p)); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); missing == nil && took < ipvs.SettleTime {
		t.Errorf("settled after %s", took)
	}
	if again := r.plan(s); !again.Empty() || len(r.Settling()) != 0 {
		t.Errorf("a second plan is not empty:\n%s", again)
	}

	// Whoever keeps the agent announces and comes again. What is announced once is not put off again.
	heavier := parse(t, strings.Replace(balancedYAML, "{interface: vm-a},", "{interface: vm-a, weight: 3},", 1))
	later := must(r.Announce(r.plan(heavier)))
	if missing == nil && (len(later) != 1 || time.Until(later["culvert-acme"]) > ipvs.HeadsUp) || missing != nil && len(later) != 0 {
		t.Errorf("announced %v", later)
	}
	for place := range later {
		r.announced[place] = time.Now().Add(time.Hour)
		if again := must(r.Announce(r.plan(heavier))); again[place] != r.announced[place] {
			t.Errorf("announced again, for %s, not for %s", again[place], r.announced[place])
		}
		r.announced[place] = time.Now()
	}
	if again := must(r.Announce(r.plan(heavier))); len(again) != 0 || len(r.announced) != 0 {
		t.Errorf("when it is due, it is put off until %v", again)
	}
	if p := r.settle(s); missing == nil && p.Empty() {
		t.Error("nobody takes an announcement back")
	}

	// A daemon does not wait for the end either: it comes again.
	p = r.plan(parse(t, strings.Replace(balancedYAML, "{interface: vm-a},", "{interface: vm-a, weight: 2},", 1)))
	if err := r.Apply(p); err != nil {
		t.Fatal(err)
	}
	for place := range r.settling {
		r.settling[place] = time.Now()
	}
	s = parse(t, strings.Replace(balancedYAML, "{interface: vm-a},", "{interface: vm-a, weight: 2},", 1))
	p = r.plan(s)
	if missing == nil && len(p.Lines()) != 1 {
		t.Errorf("when it is due:\n%s", p)
	}
	for _, b := range p.Balancing {
		end := balanceObject(b.Place, b.Plan.Later[0])
		if a := r.Try(p, map[Object]error{end: errors.New("not yet")}); len(a.Failures) != 1 || len(a.Done) != 0 {
			t.Errorf("an end that fails: failures %v, done %v", a.Failures, a.Done)
		}
		if due, ok := r.settling[b.Place]; !ok || due.After(time.Now()) {
			t.Errorf("an end that failed is due at %v", due)
		}
	}
	if err := r.Apply(p); err != nil {
		t.Fatal(err)
	}
	if again := r.plan(s); !again.Empty() {
		t.Errorf("a plan after that:\n%s", again)
	}

	// No load balancers any more: nothing is left.
	p = r.settle(parse(t, fleetYAML))
	if missing == nil && !slices.ContainsFunc(p.Lines(), func(l string) bool { return strings.Contains(l, "- culvert-acme: ipvs tcp 45.86.152.50:443") }) {
		t.Errorf("the service is not removed:\n%s", p)
	}
	if out := r.ip("culvert-acme", "address show dev lo"); strings.Contains(out, "45.86.152.50") {
		t.Errorf("the address is still there:\n%s", out)
	}
}

// order wants lines that contain the texts in that order.
func order(t *testing.T, lines []string, texts ...string) {
	t.Helper()
	at := 0
	for _, text := range texts {
		i := slices.IndexFunc(lines[at:], func(l string) bool { return strings.Contains(l, text) })
		if i < 0 {
			t.Fatalf("no %q behind line %d of\n%s", text, at, strings.Join(lines, "\n"))
		}
		at += i + 1
	}
}
