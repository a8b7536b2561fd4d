package etcd

import (
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/culvertnet/culvert/agent/daemon"
	"github.com/culvertnet/culvert/lab/packet"
	"github.com/culvertnet/culvert/lab/traffic"
	"github.com/culvertnet/culvert/source"
	"github.com/culvertnet/culvert/source/etcd"
	"github.com/culvertnet/culvert/topology"
)

var vmA = topology.BackendID{Tenant: "acme", Balancer: "web", Interface: "vm-a"}

// verdictKey reads the key with a host's verdicts: its value, how often it has been written since it was made, and the revision of that.
func (c *cluster) verdictKey(host string) (value string, version, revision int64) {
	c.t.Helper()
	resp, err := c.raw().Get(c.t.Context(), prefix+"/v1/health/"+host)
	if err != nil {
		c.t.Fatal(err)
	}
	if len(resp.Kvs) == 0 {
		return "", 0, 0
	}
	kv := resp.Kvs[0]
	return string(kv.Value), kv.Version, kv.ModRevision
}

// hears waits for a snapshot with these sick backends of a host, and no others.
func (h *host) hears(of string, want ...topology.BackendID) source.Snapshot {
	h.t.Helper()
	return h.until(fmt.Sprintf("in which %v are sick on %s", want, of), func(s source.Snapshot) bool {
		var got []topology.BackendID
		for _, b := range s.Sick[of] {
			got = append(got, b.Backend)
		}
		return s.Sick != nil && slices.Equal(got, want)
	})
}

// TestVerdicts brings what a host says about its backends to another one, with one write for a change, and keeps it while the host's
// daemon is away.
func TestVerdicts(t *testing.T) {
	c := newCluster(t, 1)
	one := push(t, c.open(), parse(t))
	hv1 := follow(t, etcd.Config{Address: c.address(), Host: "hv1"})
	node := follow(t, etcd.Config{Address: c.address(), Host: "hv2"})
	hv1.revision(one)
	node.hears("hv1")

	vmB := topology.BackendID{Tenant: "acme", Balancer: "web", Interface: "vm-b"}
	say := func(ids ...topology.BackendID) (out []source.Sick) {
		for _, id := range ids {
			out = append(out, source.Sick{Backend: id, Since: time.Unix(1, 0).UTC(), Why: "refused"})
		}
		return out
	}
	hv1.source.Publish(say(vmA))
	if s := node.hears("hv1", vmA); s.Generation != fmt.Sprint(one) || s.Sick["hv1"][0] != say(vmA)[0] {
		t.Errorf("generation %s, want %d; sick %+v", s.Generation, one, s.Sick)
	}
	// What is said again is not written again; of much that is said at once, the last word is.
	for range 100 {
		hv1.source.Publish(say(vmA))
	}
	for range 100 {
		hv1.source.Publish(say(vmB))
		hv1.source.Publish(say(vmA))
	}
	hv1.source.Publish(say(vmA, vmB))
	node.hears("hv1", vmA, vmB)
	if value, version, _ := c.verdictKey("hv1"); version > 5 {
		t.Errorf("written %d times: %s", version, value)
	}

	// The daemon is away for longer than its lease, and comes back: its last word stands, and it does not write it again.
	hv1.stop()
	_, _, before := c.verdictKey("hv1")
	again := follow(t, etcd.Config{Address: c.address(), Host: "hv1"})
	again.hears("hv1", vmA, vmB)
	again.source.Publish(say(vmA, vmB))
	again.ready("hv1", one)
	eventually(t, func() error { return liveHosts(c.open(), "hv1") })
	if _, _, after := c.verdictKey("hv1"); after != before {
		t.Error("what etcd has was written again")
	}
	// All well: no key.
	again.source.Publish(nil)
	node.hears("hv1")
	if value, _, _ := c.verdictKey("hv1"); value != "" {
		t.Errorf("key: %s", value)
	}
	// What cannot be read changes nothing; a host that has left is forgotten with the next push.
	raw := c.raw()
	for _, value := range []string{`[{"backend": "acme/web/vm-b", "since": "2026-01-01T00:00:00Z", "why": "refused"}]`, "later\n"} {
		if _, err := raw.Put(t.Context(), prefix+"/v1/health/hv9", value); err != nil {
			t.Fatal(err)
		}
		node.hears("hv9", vmB)
	}
	s := c.open()
	push(t, s, parse(t, "1024", "2048"))
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	node.hears("hv9")
	if keys := c.keys(prefix + "/v1/health/"); len(keys) != 0 {
		t.Errorf("left: %v", keys)
	}
}

// TestVerdictsLost has others delete what a living host says about its backends, or write something else: a push of a fleet without the
// host that is taken back, and by hand. The host says nothing new meanwhile.
func TestVerdictsLost(t *testing.T) {
	c := newCluster(t, 1)
	s := c.open()
	one := push(t, s, parse(t))
	hv1 := follow(t, etcd.Config{Address: c.address(), Host: "hv1"})
	hv1.revision(one)
	said := []source.Sick{{Backend: vmA, Since: time.Unix(1, 0).UTC(), Why: "refused"}}
	hv1.source.Publish(said)
	hv1.hears("hv1", vmA)
	want, _, last := c.verdictKey("hv1")
	raw, key := c.raw(), prefix+"/v1/health/hv1"
	back := func(after int64, lost string) {
		t.Helper()
		eventually(t, func() error {
			resp, err := raw.Get(t.Context(), key)
			if err != nil || len(resp.Kvs) == 0 {
				return fmt.Errorf("%s: no key, %v", lost, err)
			}
			if value, revision := string(resp.Kvs[0].Value), resp.Kvs[0].ModRevision; value != want || revision <= after {
				return fmt.Errorf("%s: key %q of revision %d, want %q after %d", lost, value, revision, want, after)
			}
			last = resp.Kvs[0].ModRevision
			return nil
		})
	}

	push(t, s, parse(t, "name: hv1,", "name: hv7,", "host: hv1,", "host: hv7,"))
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	push(t, s, parse(t))
	hv1.source.Publish(said) // as the daemon does when it takes a fleet
	back(last, "a push that was taken back")

	deleted, err := raw.Delete(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	back(deleted.Header.Revision, "deleted")
	written, err := raw.Put(t.Context(), key, "[]")
	if err != nil {
		t.Fatal(err)
	}
	back(written.Header.Revision, "written")
}

// TestVerdictsAfterOutage has a host find something out while etcd is away.
func TestVerdictsAfterOutage(t *testing.T) {
	c := newCluster(t, 1)
	one := push(t, c.open(), parse(t))
	hv1 := follow(t, etcd.Config{Address: c.address(), Host: "hv1"})
	node := follow(t, etcd.Config{Address: c.address(), Host: "hv2"})
	hv1.revision(one)
	node.revision(one)
	c.kill(0)
	hv1.source.Publish([]source.Sick{{Backend: vmA}})
	c.start(0)
	node.hears("hv1", vmA)
}

// balancedFleet adds a node, and a load balancer with vm-a alone that is checked often.
var balancedFleet = []string{
	"  - {name: edge1", "  - {name: lb1, underlay: 192.0.2.9, roles: [loadbalancer]}\n  - {name: edge1",
	"portsPerHost: 1024}\n", `portsPerHost: 1024}
    loadBalancers:
      - name: web
        address: 45.86.152.50
        listeners: [{protocol: tcp, port: 443, backendPort: 8443}]
        backends: [{interface: vm-a}]
        healthCheck: {protocol: tcp, interval: 200ms, timeout: 200ms, rise: 2, fall: 3}
`}

// TestSickBackend has a backend's server stop: the host's daemon finds out, the node's and the edge's hear it by etcd, and a daemon that
// starts anew meanwhile changes nothing.
func TestSickBackend(t *testing.T) {
	f := newFabric(t, balancedFleet...)
	at := netip.MustParseAddrPort("10.0.0.12:8443")
	vm := f.open("acme/vm-a")
	server, err := traffic.Serve(vm, traffic.TCP, at)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	f.ran("pushed: generation", "push", f.file(balancedFleet...))
	f.start("hv1", "hv2", "lb1", "edge1")
	f.converged()
	f.announced(true)

	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	sick := func(s daemon.Status) bool {
		return len(s.Sick) == 1 && s.Sick[0].Backend == vmA && s.Sick[0].Host == "hv1" && s.Sick[0].Counts && strings.Contains(s.Sick[0].Why, "probe tcp 10.0.0.12:8443")
	}
	f.status("lb1", sick)
	f.status("hv1", sick)
	f.announced(false)
	f.ran("backend acme/web/vm-a on hv1: sick, since ", "status", "--fleet")
	f.ran("probe tcp 10.0.0.12:8443", "status", "--socket", f.socket("hv1"))
	_, _, before := f.cluster.verdictKey("hv1")

	// Daemons that start anew go on with that. More probes than it takes to rise or fall find the same.
	f.kill("hv1")
	f.kill("lb1")
	f.start("hv1", "lb1")
	f.converged()
	filter, err := packet.ParseFilter("in tcp syn dport=8443")
	if err != nil {
		t.Fatal(err)
	}
	probes, err := traffic.StartCapture(vm, "any", filter)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if n := probes.Count(filter); n < 8 {
			return fmt.Errorf("%d probes", n)
		}
		return nil
	})
	_ = probes.Stop()
	f.status("lb1", sick)
	if _, _, after := f.cluster.verdictKey("hv1"); after != before {
		t.Error("a daemon that starts anew has changed the verdict")
	}
	f.announced(false)

	again, err := traffic.Serve(vm, traffic.TCP, at)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Close() }()
	f.status("lb1", func(s daemon.Status) bool { return len(s.Sick) == 0 })
	f.announced(true)
	if value, _, _ := f.cluster.verdictKey("hv1"); value != "" {
		t.Errorf("key: %s", value)
	}
}

// announced waits until the edge brings packets for the load balancer's address, or does not.
func (f *fabric) announced(want bool) {
	f.Helper()
	eventually(f.T, func() error {
		out, err := exec.Command("ip", "-n", f.lab.HostPrefix("edge1")+"culvert-acme", "route", "show", "45.86.152.50").Output()
		if err != nil || (len(out) > 0) != want {
			return fmt.Errorf("%v: route %q", err, out)
		}
		return nil
	})
}
