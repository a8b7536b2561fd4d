package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/agent"
	"github.com/culvertnet/culvert/agent/daemon"
	"github.com/culvertnet/culvert/lab/live"
)

// status runs `culvert status` for a host.
func (r *daemonRig) status(host string, words ...string) (string, error) {
	out, err := r.command(host, append([]string{"status", "--socket", r.socket(host)}, words...)...).CombinedOutput()
	return string(out), err
}

// TestDaemonStory has one daemon's life: it takes over, follows the files, refuses a bad fleet and keeps the good one, reloads,
// repairs, ends, and the kernel goes on forwarding all the time.
func TestDaemonStory(t *testing.T) {
	r := newDaemonRig(t)
	u := r.traffic()
	p := r.start("hv2")
	if s := p.converged(); s.Changes != 0 {
		t.Errorf("taking over wrote %d things: %+v", s.Changes, s)
	}
	out, err := r.status("hv2")
	if err != nil || !strings.Contains(out, "acme") || !strings.Contains(out, "converged") {
		t.Errorf("status: %v\n%s", err, out)
	}

	r.push(strings.Replace(daemonFleet, "portsPerHost: 1024", "portsPerHost: 2048", 1))
	if s := p.converged(); s.Changes == 0 || s.Drift != 0 {
		t.Errorf("another fleet: %d changes, drift %d", s.Changes, s.Drift)
	}
	r.settled("hv2")
	good := r.generation()

	r.replace(r.fleet, strings.Replace(daemonFleet, "[hypervisor]", "[king]", 1))
	s := p.eventually("refusing", func(s daemon.Status) bool { return s.Refused != nil })
	if s.Generation != good || !strings.Contains(s.Refused.Error, `"king"`) {
		t.Errorf("generation %s, refused %+v; want %s to stay", s.Generation, s.Refused, good)
	}
	out, err = r.status("hv2")
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(out, "a newer fleet is refused") || !strings.Contains(out, "fleet.yaml:3:") {
		t.Errorf("status: %v\n%s", err, out)
	}
	r.push(strings.Replace(daemonFleet, "portsPerHost: 1024", "portsPerHost: 2048", 1))
	p.converged()

	before := p.converged()
	if err := p.cmd.Process.Signal(unix.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.eventually("reloaded", func(s daemon.Status) bool { return s.Tenants[0].Looked.After(before.Tenants[0].Looked) })

	if err := p.end(unix.SIGTERM); err != nil {
		t.Errorf("after SIGTERM: %v\n%s", err, p.log)
	}
	if out, err = r.status("hv2"); err == nil || !strings.Contains(out, "is it running?") {
		t.Errorf("status without a daemon: %v\n%s", err, out)
	}
	r.settled("hv2")
	u.finish()
	for _, want := range []string{"level=INFO msg=started", `level=INFO msg=changed tenant=acme cause=fleet change="+ culvert-acme: `, `level=ERROR msg="fleet refused"`, "the kernel goes on forwarding"} {
		if !strings.Contains(p.log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, p.log)
		}
	}
}

// TestDaemonKilled kills daemons while they follow changes of the fleet, a hundred times, at random moments and as soon as they write:
// flows lose nothing, and the next daemon does the rest.
func TestDaemonKilled(t *testing.T) {
	kills := 100
	switch {
	case testing.Short():
		kills = 10
	case live.Patience() > 1:
		kills = 40
	}
	r := newDaemonRig(t)
	u := r.traffic()
	fleets := []string{
		strings.ReplaceAll(daemonFleet, "portsPerHost: 1024", "portsPerHost: 4096"),
		daemonFleet[:strings.Index(daemonFleet, "  - name: blue")],
		// An address is given up before it is used otherwise.
		strings.Replace(daemonFleet, "natGateway: {addresses: [45.86.152.24], portsPerHost: 1024}", "virtualIPs: [{addresses: [45.86.152.24], interface: vm-z}]", 1),
		daemonFleet + "    timeouts: {udp: 200s}\n",
	}
	hosts := []string{"hv1", "hv2", "edge1"}
	witnesses := make(map[string]*witness)
	for _, host := range hosts {
		witnesses[host] = r.witness(host, "acme")
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	writing, turns, enough := 0, 0, kills/10
	// What is written may be done before the kill arrives; turns are added until there are enough where it was not.
	for ; turns < kills || writing < enough && turns < 3*kills; turns++ {
		r.push(fleets[turns%len(fleets)])
		host := hosts[turns%len(hosts)]
		w := witnesses[host]
		w.wrote()
		p := r.start(host)
		wrote := false
		if turns%2 == 0 {
			wrote = w.first(p)
		} else {
			<-time.After(time.Duration(random.IntN(int(r.patience / 100))))
		}
		if err := p.end(unix.SIGKILL); err == nil {
			t.Fatal("a daemon ended before it was killed", p.log)
		}
		// It says what it has changed when it has done all of it.
		if (w.wrote() || wrote) && !strings.Contains(p.log.String(), "msg=changed") {
			writing++
		}
	}
	t.Logf("%d of %d were killed while they wrote", writing, turns)
	r.push(daemonFleet)
	for _, host := range hosts {
		p := r.start(host)
		p.converged()
		if err := p.end(unix.SIGTERM); err != nil {
			t.Errorf("%s: %v", host, err)
		}
		r.settled(host)
	}
	u.finish()
	if writing < enough {
		t.Errorf("%d of %d daemons were killed while they wrote, want %d; the test shows nothing", writing, turns, enough)
	}
}

// TestDaemonRestart restarts a daemon with an unchanged fleet, cleanly and by force: nothing is written.
func TestDaemonRestart(t *testing.T) {
	r := newDaemonRig(t)
	p := r.start("hv2")
	p.converged()
	u := r.traffic()
	w := r.witness("hv2", "acme", "blue")
	for i, signal := range []unix.Signal{unix.SIGTERM, unix.SIGKILL, unix.SIGKILL, unix.SIGTERM} {
		_ = p.end(signal)
		p = r.start("hv2")
		if s := p.converged(); s.Changes != 0 {
			t.Errorf("restart %d wrote %d things", i, s.Changes)
		}
	}
	if written := w.heard("hv2"); len(written) > 0 {
		t.Errorf("written: %q", written)
	}
	u.finish()
	// The witness is no deaf one.
	if out, err := p.culvert("hv2", "cleanup"); err != nil {
		t.Fatal(err, out)
	}
	if written := w.heard("hv2"); len(written) == 0 {
		t.Error("a cleanup was not heard")
	}
}

// TestDaemonUpgrade has the daemons of a previous build set up all hosts, and those of this one take over, one after the other:
// flows lose nothing.
func TestDaemonUpgrade(t *testing.T) {
	previous := previousBuild(t)
	r := newDaemonRig(t)
	hosts := []string{"hv1", "hv2", "edge1"}
	old := make(map[string]*process)
	for _, host := range hosts {
		if out, err := r.culvert(host, "cleanup"); err != nil {
			t.Fatal(err, out)
		}
		r.program = previous
		old[host] = r.start(host)
		old[host].converged()
		r.program = ""
	}
	u := r.traffic()
	for _, host := range hosts {
		if err := old[host].end(unix.SIGTERM); err != nil {
			t.Errorf("%s: %v", host, err)
		}
		s := r.start(host).converged()
		t.Logf("%s: %d changes", host, s.Changes)
		if previous == "" && s.Changes > 0 {
			t.Errorf("%s: the same build writes %d things", host, s.Changes)
		}
		r.settled(host)
	}
	u.finish()
}

// TestDaemonIdle wants a daemon that has nothing to do to take next to no processor time and to write nothing.
func TestDaemonIdle(t *testing.T) {
	r := newDaemonRig(t)
	p := r.start("hv2")
	p.converged()
	w := r.witness("hv2", "acme", "blue")
	const watched = 3 * time.Second
	used, limit := time.Duration(0), watched/100*time.Duration(live.Patience())
	for tries := 0; tries == 0 || used > limit && tries < 5; tries++ { // a start's last work may be in the first
		before := p.processor()
		<-time.After(watched) // there is no event to wait for: nothing shall happen
		used = p.processor() - before
	}
	if used > limit {
		t.Errorf("an idle daemon used %v of processor time in %v", used, watched)
	}
	if written := w.heard("hv2"); len(written) > 0 {
		t.Errorf("written: %q", written)
	}
	if s := p.converged(); s.Changes != 0 {
		t.Errorf("an idle daemon wrote %d things", s.Changes)
	}
}

// processor is the time that the process has used (proc(5), stat, utime and stime in hundredths of a second).
func (p *process) processor() time.Duration {
	p.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		p.Fatal(err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var user, system int
	if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil {
		p.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}

// TestDaemonChurn pushes fleets at a rate of a thousand a minute: the daemon follows, and flows that they do not concern lose
// nothing.
func TestDaemonChurn(t *testing.T) {
	changes := 250
	if testing.Short() || live.Patience() > 1 {
		changes = 50
	}
	r := newDaemonRig(t)
	p := r.start("hv2")
	p.converged()
	u := r.traffic()
	const pace = time.Minute / 1000
	began := time.Now()
	for i := range changes {
		<-time.After(time.Until(began.Add(time.Duration(i) * pace))) // what is late is caught up with
		fleet := strings.ReplaceAll(daemonFleet, "portsPerHost: 1024", fmt.Sprint("portsPerHost: ", 1024+i%2*1024))
		r.push(fmt.Sprintf("%s    timeouts: {udp: %ds}\n", fleet, 200+i))
	}
	pushed := time.Now()
	s := p.converged()
	took, want := pushed.Sub(began), time.Duration(changes)*pace
	t.Logf("%d changes in %v; converged %v after the last, %d things written", changes, took, time.Since(pushed), s.Changes)
	if live.Patience() == 1 && took > want*3/2 {
		t.Errorf("%d changes took %v, which is no thousand a minute: that is %v", changes, took, want)
	}
	u.finish()
	r.settled("hv2")
	if s.Changes < changes/10 || s.Drift != 0 {
		t.Errorf("%d things written for %d changes, drift %d", s.Changes, changes, s.Drift)
	}
}

// TestDaemonFailure has one tenant fail, whose VNI somebody else's device has: the others follow the fleet meanwhile, and the tenant does
// when the device is gone.
func TestDaemonFailure(t *testing.T) {
	r := newDaemonRig(t)
	foreign := strings.Fields("link add foreign type vxlan id 200 dstport 4789 local 192.0.2.2")
	if out, err := r.culvert("hv2", "cleanup"); err != nil {
		t.Fatal(err, out)
	}
	ip := func(words ...string) {
		t.Helper()
		if out, err := exec.Command("ip", append([]string{"-n", r.name + "-hv2"}, words...)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %q: %v: %s", words, err, out)
		}
	}
	ip(foreign...)
	p := r.start("hv2")
	s := p.eventually("failing in one tenant", func(s daemon.Status) bool {
		return tenantOf(s, "blue").State == daemon.Failed && tenantOf(s, "acme").State == daemon.Converged
	})
	if e := tenantOf(s, "blue").Error; !strings.Contains(e.Error, "VNI 200") || s.Error != nil {
		t.Errorf("error of the tenant %+v, of the host %+v", e, s.Error)
	}
	failing := tenantOf(s, "blue").Faults
	if len(failing) == 0 || failing[0].Kind != agent.OverlayChange || !strings.HasPrefix(failing[0].Object, "link vx200 ") || len(tenantOf(s, "acme").Faults) != 0 {
		t.Fatalf("failing objects: %+v, of the other tenant %+v", failing, tenantOf(s, "acme").Faults)
	}
	u := r.traffic()
	r.push(strings.Replace(daemonFleet, "portsPerHost: 1024", "portsPerHost: 2048", 1))
	generation := r.generation()
	p.eventually("following in the other", func(s daemon.Status) bool {
		return tenantOf(s, "acme").Generation == generation && tenantOf(s, "blue").State == daemon.Failed
	})
	again := p.eventually("failing again", func(s daemon.Status) bool { return tenantOf(s, "blue").Looked.After(failing[0].Since) })
	if f := tenantOf(again, "blue").Faults; len(f) != len(failing) || !f[0].Since.Equal(failing[0].Since) {
		t.Errorf("the object failed since %+v, and now %+v", failing, f)
	}
	if out, _ := r.status("hv2"); !strings.Contains(out, "add link vx200 ") {
		t.Errorf("the status does not name the object:\n%s", out)
	}
	ip("link", "del", "foreign")
	if f := tenantOf(p.converged(), "blue").Faults; len(f) != 0 {
		t.Errorf("still failing: %+v", f)
	}
	r.settled("hv2")
	u.finish()
	if log := p.log.String(); !strings.Contains(log, "msg=recovered tenant=blue") || strings.Count(log, "msg=failed tenant=blue") != 1 {
		t.Errorf("the log says a failure once, and its end:\n%s", log)
	}
}

func tenantOf(s daemon.Status, name string) daemon.Tenant {
	for _, t := range s.Tenants {
		if t.Name == name {
			return t
		}
	}
	return daemon.Tenant{}
}

// TestDaemonMistake has a fleet name the host's own underlay for a VM's device, which only the host can tell to be wrong. That tenant
// fails, the others follow.
func TestDaemonMistake(t *testing.T) {
	r := newDaemonRig(t)
	p := r.start("hv2")
	p.converged()
	u := r.traffic()
	r.push(strings.NewReplacer("tap-z", "underlay0", "[45.86.152.23], portsPerHost: 1024", "[45.86.152.23], portsPerHost: 2048").Replace(daemonFleet))
	generation := r.generation()
	s := p.eventually("failing in one tenant and following in the other", func(s daemon.Status) bool {
		return tenantOf(s, "blue").State == daemon.Failed && tenantOf(s, "acme").State == daemon.Converged && tenantOf(s, "acme").Generation == generation
	})
	if e := tenantOf(s, "blue").Error; !strings.Contains(e.Error, "device underlay0 is the host's underlay") {
		t.Errorf("error %+v", e)
	}
	r.push(strings.Replace(daemonFleet, "portsPerHost: 1024", "portsPerHost: 2048", 1))
	p.converged()
	r.settled("hv2")
	u.finish()
}
