package ipvs

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/ipvs/maglev"
	"github.com/culvertnet/culvert/topology"
)

// TestLife makes everything, finds it in the kernel as it was meant, changes it, and takes it away.
func TestLife(t *testing.T) {
	r := newRig(t)
	if s := r.observe(); !s.Empty() {
		t.Fatalf("a new namespace has\n%s", s)
	}
	r.device("vx100")
	for _, desired := range []State{
		Desired(tenant()),
		Desired(with(func(b []topology.Backend) []topology.Backend { b[1].Draining = true; return b })),
		Desired(with(func(b []topology.Backend) []topology.Backend { return b[2:] })),
		Desired(tenant()),
		Desired(alone(with(func([]topology.Backend) []topology.Backend { return nil }))),
		Desired(tenant()),
	} {
		p := r.apply(desired)
		if diff := cmp.Diff(desired.String(), r.known(desired).String()); diff != "" {
			t.Errorf("after\n%sthe kernel holds (-desired +observed)\n%s", p, diff)
		}
	}
	r.apply(State{})
	if s := r.observe(); !s.Empty() {
		t.Errorf("left over:\n%s", s)
	}
}

// known is what the kernel holds, without parameters that the desired state says nothing of.
func (r *rig) known(desired State) State {
	r.Helper()
	s := r.observe()
	s.Settings = slices.DeleteFunc(s.Settings, func(p Setting) bool { return desired.setting(p.Name) == "" })
	return s
}

// web is a TCP service with destinations of weight 1, by their last byte in the order in which they are added.
func web(numbers ...byte) State {
	s := State{Settings: settings(), Services: []Service{{Name: name("tcp", "10.99.0.1:443"), Scheduler: Scheduler, Flags: Flags}}}
	for _, n := range numbers {
		s.Services[0].Destinations = append(s.Services[0].Destinations, Destination{Address: backend(n), Weight: 1, Nominal: 1})
	}
	return s
}

func backend(n byte) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{100, 96, 0, n}), 443)
}

// clients returns flows of as many clients to the service.
func clients(first, count int) []flow {
	var out []flow
	for i := range count {
		port := uint16(1024 + first + i)
		out = append(out, flow{config.TCP, netip.AddrPortFrom(netip.MustParseAddr("20.0.0.7"), port), netip.MustParseAddrPort("10.99.0.1:443")})
	}
	return out
}

// choices sends a packet of each flow and returns where it went.
func (r *rig) choices(flows []flow, flags byte) []netip.AddrPort {
	r.Helper()
	for _, f := range flows {
		r.send(f, flags)
	}
	bound, _ := r.connections()
	var out []netip.AddrPort
	for _, f := range flows {
		out = append(out, bound[f])
	}
	return out
}

// TestOrder gives one node its destinations in another way than the other: the plan says that some come again, and the two
// choose alike afterwards. Without that they would not.
func TestOrder(t *testing.T) {
	one, other := newRig(t), newRig(t)
	one.apply(web(1, 2, 3, 4))
	other.apply(web(1, 3, 4))
	flows := clients(0, 200)
	if slices.Equal(one.choices(flows, tcpSYN), other.choices(flows, tcpSYN)) {
		t.Fatal("three destinations are as good as four")
	}
	p := other.apply(web(1, 2, 3, 4))
	compare(t, "plan-missed-one.txt", p.String())
	flows = clients(1000, 400)
	if !slices.Equal(one.choices(flows, tcpSYN), other.choices(flows, tcpSYN)) {
		t.Error("the nodes choose differently")
	}
	// The wrong way: added at the end.
	other.apply(web(1, 3, 4, 2))
	flows = clients(2000, 400)
	if slices.Equal(one.choices(flows, tcpSYN), other.choices(flows, tcpSYN)) {
		t.Error("the order does not matter on this kernel: this test and the room's care are for nothing")
	}
}

// TestComesAgain: flows of a destination that is removed and added again go on to it.
func TestComesAgain(t *testing.T) {
	r := newRig(t)
	r.apply(web(2, 3))
	flows := clients(0, 50)
	before := r.choices(flows, tcpSYN)
	r.choices(flows, tcpACK)
	r.apply(web(1, 2, 3))
	if after := r.choices(flows, tcpACK); !slices.Equal(before, after) {
		t.Errorf("flows moved:\n%v\n%v", before, after)
	}
	// Those of one that does not come again get another, as soon as the kernel's timers have ended them.
	r.apply(web(1, 2))
	r.eventually(func() (wrong []string) {
		for i, to := range r.choices(flows, tcpACK) {
			if !to.IsValid() || to == backend(3) || before[i] != backend(3) && to != before[i] {
				wrong = append(wrong, fmt.Sprintf("flow %d went to %s, and then to %s", i, before[i], to))
			}
		}
		return wrong
	})
}

// TestDrain: a drain leaves flows where they are and gives new ones to the others; a node that begins meanwhile chooses like
// one that was there before.
func TestDrain(t *testing.T) {
	old, late := newRig(t), newRig(t)
	old.apply(web(1, 2, 3))
	flows := clients(0, 60)
	before := old.choices(flows, tcpSYN)
	draining := web(1, 2, 3)
	draining.Services[0].Destinations[1].Weight = 0
	old.apply(draining)
	if !slices.Equal(before, old.choices(flows, tcpACK)) || !slices.Contains(before, backend(2)) {
		t.Error("a drain moved flows")
	}
	late.apply(draining)
	fresh := clients(1000, 300)
	was, is := old.choices(fresh, tcpSYN), late.choices(fresh, tcpSYN)
	if slices.Contains(was, backend(2)) || !slices.Equal(was, is) {
		t.Error("the nodes choose differently, or choose who drains")
	}
	table := draining.Services[0].Table()
	for i, f := range fresh {
		if n, ok := table.Pick(f.client.Addr(), f.client.Port(), Flags); !ok || backend(byte(n+1)) != was[i] {
			t.Fatalf("%s goes to %s, the state's table says %d", f.client, was[i], n)
		}
	}
}

// TestSloppy: with the parameter an unknown flow is scheduled by any packet, in the window after a change by its first alone.
func TestSloppy(t *testing.T) {
	r := newRig(t)
	r.device("lan0")
	open := synced()
	r.apply(open)
	flows := clients(0, 20)
	unbound := func(a netip.AddrPort) bool { return !a.IsValid() }
	if got := r.choices(flows, tcpACK); slices.ContainsFunc(got, unbound) {
		t.Errorf("packets are not scheduled: %v", got)
	}
	drained := synced()
	drained.Services[0].Destinations[1].Weight = 0
	p := Diff(r.observe(), drained)
	if err := Apply(r.ns, p); err != nil || !p.Settles() {
		t.Fatalf("%v, settles: %v", err, p.Settles())
	}
	flows = clients(1000, 20)
	if got := r.choices(flows, tcpACK); slices.ContainsFunc(got, netip.AddrPort.IsValid) {
		t.Errorf("in the window packets are scheduled: %v", got)
	}
	if got := r.choices(clients(2000, 20), tcpSYN); slices.ContainsFunc(got, unbound) {
		t.Errorf("in the window first packets are not scheduled: %v", got)
	}
	// A plan that was killed here is finished by the next.
	again := Diff(r.observe(), drained)
	if len(again.Steps) > 0 || !again.Settles() {
		t.Errorf("the next plan is\n%s", again)
	}
	if err := Settle(r.ns, again); err != nil {
		t.Fatal(err)
	}
	if got := r.choices(flows, tcpACK); slices.ContainsFunc(got, unbound) {
		t.Errorf("after it they are not: %v", got)
	}
}

// device makes a device for sync daemons.
func (r *rig) device(name string) {
	r.Helper()
	r.ip("link add " + name + " type dummy")
	r.ip("link set " + name + " up")
	r.ip("address add 100.64.0.2/32 dev " + name)
}

// TestDeaf: daemons whose device was made anew are found and started again.
func TestDeaf(t *testing.T) {
	r := newRig(t)
	r.device("vx100")
	desired := Desired(tenant())
	r.apply(desired)
	r.ip("link delete vx100")
	r.device("vx100")
	p := r.apply(desired)
	compare(t, "plan-device-made-anew.txt", p.String())
}

// TestAnotherHand: what others changed or added is put back.
func TestAnotherHand(t *testing.T) {
	r := newRig(t)
	r.apply(web(1, 2, 3))
	c := must(dial(r.ns))
	defer c.close()
	service := web().Services[0]
	raw := Destination{Address: backend(2), Weight: 1}.raw()
	raw.UpperThreshold, raw.ConnectionFlags = 0, 0
	other := Service{Name: name("udp", "10.99.0.9:5"), Scheduler: "rr"}
	marked := Service{Name: Name{mark: 7, family: unix.AF_INET}, Scheduler: "rr"}
	masked := service.raw()
	masked.Flags = uint32(maglev.Port)
	if err := errors.Join(c.handle.UpdateDestination(service.raw(), raw), c.service(Add, other), c.service(Add, marked), c.handle.UpdateService(masked)); err != nil {
		t.Fatal(err)
	}
	compare(t, "plan-put-back.txt", r.apply(web(1, 2, 3)).String())
}

// TestFailure: what cannot be done is named, does not stop the rest, and is planned again.
func TestFailure(t *testing.T) {
	r := newRig(t)
	desired := web(1)
	desired.Daemons = []Daemon{{Role: Backup, Device: "nowhere", ID: 1}}
	desired.Services = append(desired.Services, Service{Name: name("tcp", "10.99.0.2:1"), Scheduler: "unheard"})
	p := Diff(r.observe(), desired)
	err := Apply(r.ns, p)
	var f Failure
	if !errors.As(err, &f) || !errors.Is(err, unix.ENODEV) || !errors.Is(err, ErrNoIPVS) {
		t.Errorf("error %v", err)
	}
	if s := r.observe(); len(s.Services) != 1 || len(s.Services[0].Destinations) != 1 {
		t.Errorf("after the failure there is\n%s", s)
	}
	if p := Diff(r.observe(), desired); len(p.Steps) != 2 {
		t.Errorf("the next plan is\n%s", p)
	}
}

// TestTwice: steps that are done already are done.
func TestTwice(t *testing.T) {
	r := newRig(t)
	empty := r.observe()
	there := web(1)
	p := Diff(empty, there)
	p.Steps = slices.DeleteFunc(p.Steps, func(s Step) bool { return s.Destination != nil })
	gone := Diff(there, State{})
	for _, p := range []Plan{p, p, gone, gone} {
		if err := Apply(r.ns, p); err != nil {
			t.Errorf("%s%v", p, err)
		}
	}
}
