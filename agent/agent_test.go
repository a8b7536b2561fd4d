package agent

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/overlay"
)

func TestApplyTwice(t *testing.T) {
	r := newRig(t)
	s := parse(t, fleetYAML)
	if p := r.settle(s); p.Empty() || p.Host != "hv1" {
		t.Errorf("the first plan of %q is empty: %v", p.Host, p.Empty())
	}
	r.safe()
	// A second agent, as after a restart, takes over what it finds.
	first := r.Agent
	r.Agent = Open(must(netns.Open(r.prefix+"host")), r.prefix, "hv1")
	r.settled(s)
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	r.clean()
}

// TestOrder wants each tenant's rules complete before its VM's device moves in and before anything is forwarded.
func TestOrder(t *testing.T) {
	r := newRig(t)
	changes := r.plan(parse(t, fleetYAML)).Changes()
	for tenant, device := range map[string]string{"culvert-acme": "tap-a", "culvert-blue": "tap-z"} {
		last, attached, forwarding := -1, -1, -1
		for i, c := range changes {
			switch {
			case c.Namespace != tenant:
			case c.Kind == RulesChange:
				last = i
			case strings.HasPrefix(c.Text, "link "+device+" "):
				attached = i
			case c.Text == "sysctl net/ipv4/ip_forward=1":
				forwarding = i
			}
		}
		if last < 0 || attached < last || forwarding < attached {
			t.Errorf("%s: last rule at %d, %s attached at %d, forwarding at %d", tenant, last, device, attached, forwarding)
		}
	}
}

// TestFailureOfOneTenant takes a tenant's VNI away from it.
func TestFailureOfOneTenant(t *testing.T) {
	r := newRig(t)
	s := parse(t, fleetYAML)
	r.ip("host", "link add foreign type vxlan id 100 dstport 4789 local 192.0.2.1")
	err := r.Apply(r.plan(s))
	if !errors.Is(err, unix.EEXIST) || !strings.Contains(err.Error(), "VNI 100 on port 4789 is taken") {
		t.Errorf("error: %v", err)
	}
	if r.has("culvert-acme", "tap-a") || !r.has("host", "tap-a") {
		t.Error("the VM of the tenant that failed is attached")
	}
	if out, err := r.run("ip", "netns", "exec", r.prefix+"culvert-acme", "cat", "/proc/sys/net/ipv4/ip_forward"); err != nil || out != "0\n" {
		t.Errorf("the tenant that failed forwards: %s %v", out, err)
	}
	if !r.has("culvert-blue", "tap-z") {
		t.Error("the VM of the other tenant is not attached")
	}
	r.safe()
	r.ip("host", "link del foreign")
	r.settle(s)
	r.safe()
}

// TestRulesFailure has a chain of somebody else's in the way of one tenant's transaction: no VM is attached there, and
// nothing is forwarded.
func TestRulesFailure(t *testing.T) {
	r := newRig(t)
	s := parse(t, fleetYAML)
	p := r.plan(s)
	if err := r.Apply(cut(p, len(p.Overlay.Prepare())-1)); err != nil {
		t.Fatal(err)
	}
	inside := []string{"ip", "netns", "exec", r.prefix + "culvert-acme"}
	if out, err := r.run(append(inside, "nft", "add table ip culvert; add chain ip culvert forward { type filter hook input priority 7; }")...); err != nil {
		t.Fatal(err, out)
	}
	err := r.Apply(p)
	if err == nil || !strings.Contains(err.Error(), "change the rules of culvert-acme: ") {
		t.Errorf("error: %v", err)
	}
	if r.has("culvert-acme", "tap-a") {
		t.Error("the VM of the tenant without rules is attached")
	}
	if out, err := r.run(append(inside, "cat", "/proc/sys/net/ipv4/ip_forward")...); err != nil || out != "0\n" {
		t.Errorf("the tenant without rules forwards: %s %v", out, err)
	}
	if !r.has("culvert-blue", "tap-z") {
		t.Error("the VM of the other tenant is not attached")
	}
	r.settle(s)
	r.safe()
}

// cut is the plan as far as its first k overlay steps, with the rules that come before them.
func cut(p Plan, k int) Plan {
	out := Plan{Host: p.Host, Overlay: overlay.Plan{Steps: p.Overlay.Steps[:k]}}
	if !p.unguarded {
		out.Guard = p.Guard
	}
	if k >= len(p.Overlay.Detach())+len(p.Overlay.Prepare()) {
		out.Rules = p.Rules
	}
	return out
}

// TestCrash stops a plan after each of its steps, on the way up and on the way down: VMs are never without rules, and the
// next plan does the rest.
func TestCrash(t *testing.T) {
	one, _, _ := strings.Cut(fleetYAML, "  - name: blue")
	full, none := parse(t, one), parse(t, noTenants)
	r := newRig(t)
	up := r.plan(full)
	r.settle(full)
	down := r.plan(none)
	r.settle(none)
	for k := range up.Overlay.Steps {
		if err := r.Apply(cut(up, k)); err != nil {
			t.Fatal(err)
		}
		r.safe()
		r.settle(full)
		r.safe()
		r.settle(none)
	}
	for k := range down.Overlay.Steps {
		r.settle(full)
		if err := r.Apply(cut(r.plan(none), k)); err != nil {
			t.Fatal(err)
		}
		r.safe()
		r.settle(none)
	}
	r.clean()
}

func TestNamespaceDeleted(t *testing.T) {
	r := newRig(t)
	s := parse(t, fleetYAML)
	r.settle(s)
	r.ip("culvert-acme", "link set tap-a netns "+r.prefix+"host")
	if err := netns.Remove(r.prefix + "culvert-acme"); err != nil {
		t.Fatal(err)
	}
	r.eventually(s)
	r.safe()
	r.clean()
}

func TestRulesFlushed(t *testing.T) {
	r := newRig(t)
	s := parse(t, fleetYAML)
	r.settle(s)
	if out, err := r.run("ip", "netns", "exec", r.prefix+"culvert-acme", "nft", "flush", "ruleset"); err != nil {
		t.Fatal(err, out)
	}
	p := r.settle(s)
	for _, c := range p.Changes() {
		if c.Kind != RulesChange || c.Namespace != "culvert-acme" {
			t.Errorf("change of something else: %s", c)
		}
	}
	r.safe()
}

func TestTenantLeaves(t *testing.T) {
	r := newRig(t)
	r.settle(parse(t, fleetYAML))
	r.settle(parse(t, noTenants))
	if names := must(netns.List(r.prefix + "culvert-")); len(names) != 0 {
		t.Errorf("namespaces left: %v", names)
	}
	r.clean()
}

func TestPlanErrors(t *testing.T) {
	r := newRig(t)
	s := parse(t, strings.Replace(fleetYAML, "192.0.2.1,", "192.0.2.77,", 1))
	want := "host hv1: no device of this host has the underlay address 192.0.2.77; assign it, or correct the host's underlay in the fleet"
	if _, err := r.Plan(s.fleet, s.lock); err == nil || err.Error() != want {
		t.Errorf("error: %v\nwant:  %s", err, want)
	}
	r.name = "hv9"
	if _, err := r.Plan(s.fleet, s.lock); err == nil || !strings.Contains(err.Error(), `no host "hv9"`) {
		t.Errorf("error: %v", err)
	}
}

func TestNotes(t *testing.T) {
	r := newRig(t)
	s := parse(t, strings.Replace(fleetYAML, "portsPerHost: 1024}\n  - name: blue", `portsPerHost: 1024}
    virtualIPs: [{addresses: [45.86.152.30], interface: vm-a}]
    loadBalancers: [{name: web, address: 45.86.152.31, listeners: [{protocol: tcp, port: 80}], healthCheck: {protocol: tcp}}]
  - name: blue`, 1))
	p := r.settle(s)
	want := []string{
		"loadBalancers of tenant acme: no host has the role loadbalancer, nobody serves them",
		"loadBalancers.healthCheck of tenant acme: made by `culvert daemon`; here all backends count as healthy",
	}
	if !slices.Equal(p.Notes, want) {
		t.Errorf("notes: %q\nwant:  %q", p.Notes, want)
	}
	if !strings.HasSuffix(p.String(), "note: "+want[len(want)-1]+"\n") {
		t.Errorf("text lacks the notes:\n%s", p)
	}
}

func TestReport(t *testing.T) {
	r := newRig(t)
	s := parse(t, fleetYAML)
	r.ip("host", "link del tap-a")
	p := r.plan(s)
	var got Report
	if err := json.Unmarshal(must(json.Marshal(p.Report())), &got); err != nil {
		t.Fatal(err)
	}
	lines := p.Lines()
	if len(got.Changes) != len(lines) || got.Host != "hv1" {
		t.Fatalf("%d changes for %q, want %d", len(got.Changes), got.Host, len(lines))
	}
	for i, c := range got.Changes {
		if c.String() != lines[i] {
			t.Errorf("change %d is %q, the line %q", i, c, lines[i])
		}
	}
	if want := []Wait{{"culvert-acme", "tap-a"}}; !slices.Equal(got.Waiting, want) {
		t.Errorf("waiting: %v, want %v", got.Waiting, want)
	}
	if !strings.Contains(p.String(), "culvert-acme: waiting for device tap-a\n") {
		t.Errorf("text lacks the device:\n%s", p)
	}
	if want := (Change{overlay.Add, "culvert-acme", RulesChange, "table ip culvert"}); !slices.Contains(got.Changes, want) {
		t.Errorf("changes lack %v", want)
	}
	empty := string(must(json.Marshal(Plan{Host: "hv1"}.Report())))
	if want := `{"host":"hv1","changes":[],"waiting":[],"notes":[]}`; empty != want {
		t.Errorf("empty report %s, want %s", empty, want)
	}
}

func TestChangeString(t *testing.T) {
	tests := map[string]Change{
		"+ netns culvert-acme":                     {overlay.Add, "", OverlayChange, "netns culvert-acme"},
		"- culvert-acme: route 10.0.0.1/32 dev x":  {overlay.Remove, "culvert-acme", OverlayChange, "route 10.0.0.1/32 dev x"},
		"~ culvert-acme: nft ip chain srcnat: new": signedChange("culvert-acme", RulesChange, "~ ip chain srcnat: new"),
	}
	for want, c := range tests {
		if got := c.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
