package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/culvertnet/culvert/agent/daemon"
	"github.com/culvertnet/culvert/lab/live"
)

// TestDaemonFailureOfOne has one VM of a tenant fail for long: its device is a bridge, which cannot leave the host's namespace. What somebody
// changes about the tenant's other VM is repaired within a second all the same, and told as drift; the bridge is tried less and less often.
func TestDaemonFailureOfOne(t *testing.T) {
	r := newDaemonRig(t)
	p := r.start("hv2")
	p.converged()
	r.ip(r.name+"-hv2", "link", "add", "br-x", "type", "bridge")
	r.push(strings.Replace(daemonFleet, "    natGateway: {addresses: [45.86.152.23]",
		"      - {name: vm-x, host: hv2, device: br-x, mac: \"52:54:00:00:00:0d\", addresses: [10.0.0.99]}\n    natGateway: {addresses: [45.86.152.23]", 1))
	var failing daemon.Fault
	tried := p.eventually("failing for long", func(s daemon.Status) bool {
		faults := tenantOf(s, "acme").Faults
		i := slices.IndexFunc(faults, func(f daemon.Fault) bool { return strings.HasPrefix(f.Object, "link br-x ") })
		if i < 0 {
			return false
		}
		failing = faults[i]
		return time.Until(failing.Retry) > 6*time.Second // it has just been tried
	})
	began := time.Now()
	r.ip(r.name+"-hv2-culvert-acme", "route", "del", "10.0.0.47")
	repaired := p.eventually("repaired", func(s daemon.Status) bool { return tenantOf(s, "acme").Drift > 0 })
	tenant := tenantOf(repaired, "acme")
	if took := tenant.Repaired.At.Sub(began); took > time.Second*time.Duration(live.Patience()) {
		t.Errorf("repaired after %v", took)
	}
	if !slices.ContainsFunc(tenant.Repaired.Changes, func(c string) bool { return strings.Contains(c, "route 10.0.0.47/32") }) {
		t.Errorf("repaired %q", tenant.Repaired.Changes)
	}
	if out := r.ip(r.name+"-hv2-culvert-acme", "route", "show", "10.0.0.47"); !strings.Contains(out, "dev tap-b") {
		t.Errorf("the route is %q", out)
	}
	if tenant.State != daemon.Failed || !tenant.Error.Since.Equal(tenantOf(tried, "acme").Error.Since) {
		t.Errorf("the tenant is %s, for %+v; it failed for %+v", tenant.State, tenant.Error, tenantOf(tried, "acme").Error)
	}
	r.ip(r.name+"-hv2", "link", "del", "br-x")
	r.ip(r.name+"-hv2", "link", "add", "br-x", "type", "veth", "peer", "name", "far-x")
	p.eventually("attached", func(s daemon.Status) bool { return tenantOf(s, "acme").State == daemon.Converged })
	if log := p.log.String(); strings.Count(log, "msg=failed tenant=acme") != 1 || !strings.Contains(log, "msg=recovered tenant=acme") {
		t.Errorf("the log says a failure once, and its end:\n%s", log)
	}
	r.settled("hv2")
}
