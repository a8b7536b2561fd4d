package agent

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/ipvs"
	"github.com/culvertnet/culvert/overlay"
)

// TestTry has an object fail, holds it when it would not fail any more, and lets it go. All that is not done is told, and all that is done.
func TestTry(t *testing.T) {
	r := newRig(t)
	s := parse(t, fleetYAML)
	r.ip("host", "link add foreign type vxlan id 100 dstport 4789 local 192.0.2.1")
	first := r.Try(r.plan(s), nil)
	i := slices.IndexFunc(first.Failures, func(f Failure) bool { return errors.Is(f, unix.EEXIST) })
	if i < 0 {
		t.Fatalf("failures: %v", first.Failures)
	}
	link := first.Failures[i].Object
	if link.Place != "culvert-acme" || link.Kind != OverlayChange || !strings.HasPrefix(link.Name, "link vx100 ") {
		t.Errorf("the link's object is %+v", link)
	}
	if reason := first.Failures[i].Reason(); strings.Contains(reason.Error(), "culvert-acme") || !strings.HasSuffix(first.Failures[i].Error(), ": "+reason.Error()) {
		t.Errorf("the reason for %q is %q", first.Failures[i], reason)
	}
	if !slices.Contains(first.Blocked, rulesObject("culvert-acme")) || slices.ContainsFunc(first.Blocked, func(o Object) bool { return o.Place != "culvert-acme" }) {
		t.Errorf("blocked: %+v", first.Blocked)
	}
	if !slices.Equal(first.Attached, []overlay.Place{"culvert-blue"}) {
		t.Errorf("attached: %q", first.Attached)
	}

	r.ip("host", "link del foreign")
	no := errors.New("not yet")
	second := r.Try(r.plan(s), map[Object]error{link: no})
	if len(second.Failures) == 0 || second.Failures[0].Object != link || !errors.Is(second.Failures[0], no) || r.has("culvert-acme", "vx100") {
		t.Errorf("held: failures %v, the link is there: %v", second.Failures, r.has("culvert-acme", "vx100"))
	}
	if !slices.Contains(second.Blocked, rulesObject("culvert-acme")) {
		t.Errorf("blocked by what is held: %+v", second.Blocked)
	}

	held := r.Try(r.plan(s), map[Object]error{rulesObject("culvert-acme"): no})
	if len(held.Failures) != 1 || !errors.Is(held.Failures[0], no) || !r.has("culvert-acme", "vx100") || r.has("culvert-acme", "tap-a") {
		t.Errorf("rules that are held: failures %v", held.Failures)
	}
	plan := r.plan(s)
	third := r.Try(plan, nil)
	if len(third.Failures) != 0 || len(third.Blocked) != 0 || !slices.Equal(third.Done, plan.Changes()) || len(third.Done) == 0 {
		t.Errorf("failures %v, blocked %+v; done:\n%v\nplanned:\n%v", third.Failures, third.Blocked, third.Done, plan.Changes())
	}
	r.settled(s)

	// Another MAC makes the kernel forget a device's neighbours. While the device is not right they are not made, again and again.
	r.ip("culvert-acme", "link set tap-a address 02:00:00:00:00:99")
	plan = r.plan(s)
	i = slices.IndexFunc(plan.Overlay.Steps, func(s overlay.Step) bool { return len(s.Makes()) > 0 })
	if i < 0 || len(plan.Overlay.Steps) < 3 {
		t.Fatalf("plan for another MAC:\n%s", plan)
	}
	last := r.Try(plan, map[Object]error{overlayObject(plan.Overlay.Steps[i]): no})
	if len(last.Done) != 0 || len(last.Failures) != 1 || len(last.Blocked) != len(plan.Overlay.Steps)-1 {
		t.Errorf("done %v, failures %v, blocked %+v", last.Done, last.Failures, last.Blocked)
	}
	r.settle(s)
	r.safe()
}

// TestBalanceFailures finds the objects in errors as the room ipvs makes them; what is no object's is the place's.
func TestBalanceFailures(t *testing.T) {
	no := errors.New("no")
	setting := func(name string) ipvs.Failure {
		return ipvs.Failure{Step: ipvs.Step{Verb: ipvs.Add, Setting: &ipvs.Setting{Name: name, Value: "1"}}, Err: no}
	}
	err := errors.Join(errors.Join(setting("conntrack"), setting("sloppy_tcp")), fmt.Errorf("open a socket: %w", no))
	var got []Object
	for _, f := range balanceFailures("culvert-acme", "change", err) {
		if !errors.Is(f, no) || !strings.HasPrefix(f.Error(), "change the load balancer of culvert-acme: ") {
			t.Errorf("failure %v", f)
		}
		if reason := f.Reason(); f.Kind != "" && !errors.Is(no, reason) {
			t.Errorf("the reason for %v is %v", f, reason)
		}
		got = append(got, f.Object)
	}
	want := []Object{
		{"culvert-acme", BalanceChange, "net.ipv4.vs.conntrack"}, {"culvert-acme", BalanceChange, "net.ipv4.vs.sloppy_tcp"}, {Place: "culvert-acme"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("objects %+v, want %+v", got, want)
	}
	if got := balanceFailures("culvert-acme", "change", nil); len(got) != 0 {
		t.Errorf("of no error: %v", got)
	}
}
