package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/culvertnet/culvert/agent"
	"github.com/culvertnet/culvert/source"
	"github.com/culvertnet/culvert/topology"
)

// checkedYAML has a load balancer with a check in each of two tenants. hv1 runs backends of both, lb1 is a node.
var checkedYAML = strings.NewReplacer(
	"  - {name: edge1", "  - {name: lb1, underlay: 192.0.2.9, roles: [loadbalancer]}\n  - {name: edge1",
	"addresses: [10.0.0.12]}\n    natGateway: {addresses: [45.86.152.23], portsPerHost: 1024}", `addresses: [10.0.0.12]}
      - {name: vm-b, host: hv2, device: tap-b, mac: "52:54:00:00:00:0b", addresses: [10.0.0.47]}
    natGateway: {addresses: [45.86.152.23], portsPerHost: 1024}
    loadBalancers:
      - {name: web, address: 45.86.152.50, listeners: [{protocol: tcp, port: 80}], backends: [{interface: vm-a}, {interface: vm-b}], healthCheck: {protocol: tcp}}`,
	"portsPerHost: 1024}\n", `portsPerHost: 1024}
    loadBalancers:
      - {name: web, address: 45.86.152.51, listeners: [{protocol: tcp, port: 80}], backends: [{interface: vm-z}], healthCheck: {protocol: tcp}}
`).Replace(fleetYAML)

var vmA, vmB = topology.BackendID{Tenant: "acme", Balancer: "web", Interface: "vm-a"}, topology.BackendID{Tenant: "acme", Balancer: "web", Interface: "vm-b"}

// carrier is a source that remembers what is published.
type carrier struct {
	source.Source
	published []string
}

func (c *carrier) Publish(sick []source.Sick) { c.published = append(c.published, names(sick)) }

func names(sick []source.Sick) string {
	var out []string
	for _, s := range sick {
		out = append(out, s.Backend.String())
	}
	return "[" + strings.Join(out, " ") + "]"
}

// checking is a keeper whose source carries verdicts, with what an earlier one has kept in a file.
func checking(host, file string) (*keeper, *carrier) {
	k := desk(host)
	c := &carrier{Source: k.opts.Source}
	o := k.opts
	o.Source, o.Verdicts = c, file
	return newKeeper(o, agent.Open(nil, "", host), nil, newQueue(), newBoard()), c
}

// hears has other hosts say who is sick.
func (k *keeper) hears(now time.Time, sick map[string][]source.Sick) {
	k.adopt(source.Snapshot{Generation: k.generation, Sick: sick}, now)
}

// finds has the host's own check of a backend come to a verdict.
func (k *keeper) finds(id topology.BackendID, healthy bool, now time.Time) {
	v := verdict{probe: k.verdicts.checks[id], healthy: healthy}
	if !healthy {
		v.why = errors.New("connection refused")
	}
	k.judge([]verdict{v}, now)
}

// serving lists the backends of acme that get new flows.
func (k *keeper) serving() string {
	var out []string
	for _, t := range k.host.Tenants {
		for _, b := range t.Balancers {
			for _, backend := range b.Backends {
				if t.Name == "acme" && backend.Serves() {
					out = append(out, backend.Interface)
				}
			}
		}
	}
	return strings.Join(out, " ")
}

func says(host string, ids ...topology.BackendID) map[string][]source.Sick {
	out := map[string][]source.Sick{}
	for _, id := range ids {
		out[host] = append(out[host], source.Sick{Backend: id, Since: epoch, Why: "down"})
	}
	return out
}

// TestVerdictOfAnother takes weights from a backend that its host calls sick, in that tenant alone, and believes nobody else.
func TestVerdictOfAnother(t *testing.T) {
	k, c := checking("lb1", "")
	k.give(t, checkedYAML, "one", epoch)
	if got := k.serving(); got != "vm-a vm-b" {
		t.Fatalf("serving %s", got)
	}
	k.settle()
	at := epoch.Add(time.Minute)
	for _, tt := range []struct {
		sick             map[string][]source.Sick
		asked, serving   string
		listed, settling int
	}{
		{says("hv2", vmA), "", "vm-a vm-b", 0, 0}, // hv1 runs it
		{says("hv1", vmA), "[acme]", "vm-b", 1, 0},
		{says("hv1", vmA), "", "vm-b", 1, 0},
		{nil, "", "vm-b", 1, 0}, // the source does not know
		{says("hv1"), "[acme]", "vm-a vm-b", 0, 0},
	} {
		k.settle()
		k.hears(at, tt.sick)
		if got := k.asked(at); got != tt.asked {
			t.Errorf("%v: asked %s, want %s", tt.sick, got, tt.asked)
		}
		if got := k.serving(); got != tt.serving {
			t.Errorf("%v: serving %s, want %s", tt.sick, got, tt.serving)
		}
		if got := k.sickBackends(); len(got) != tt.listed {
			t.Errorf("%v: status %+v", tt.sick, got)
		}
	}
	// The backend of a host that is lost gets no new flows, whatever that host has said last.
	k.give(t, checkedYAML, "two", at)
	k.hears(at, says("hv1", vmA))
	for i := range k.host.Tenants[0].Balancers[0].Backends {
		b := &k.host.Tenants[0].Balancers[0].Backends[i]
		b.Lost = b.Peer.Host == "hv1"
	}
	k.rejudge(map[string]bool{"acme": true}, at)
	if got := k.sickBackends(); len(got) != 1 || !got[0].Counts || k.serving() != "vm-b" {
		t.Errorf("lost: status %+v, serving %s", got, k.serving())
	}
	if r := k.records["acme"]; r.cause(outcome{}, false) != causeHealth {
		t.Errorf("cause %s", r.cause(outcome{}, false))
	}
	if !slices.Equal(c.published, []string{"[]", "[]"}) {
		t.Errorf("a node without backends published %v", c.published)
	}
}

// TestOwnVerdict publishes what the host's own checks find out, once for each change.
func TestOwnVerdict(t *testing.T) {
	k, c := checking("hv1", "")
	k.give(t, checkedYAML, "one", epoch)
	if len(c.published) != 0 {
		t.Fatalf("published %v without knowing what it said before", c.published)
	}
	if got := len(k.probes.take()); got != 2 {
		t.Fatalf("%d checks, want those of vm-a and vm-z", got)
	}
	k.hears(epoch, says("hv1"))
	k.settle()
	at := epoch.Add(time.Minute)
	for range 2 {
		k.finds(vmA, false, at)
		k.finds(vmB, false, at) // which runs elsewhere
	}
	if got := k.asked(at); got != "[acme]" {
		t.Errorf("asked %s", got)
	}
	if got := k.sickBackends(); len(got) != 1 || got[0].Backend != vmA || got[0].Host != "hv1" || got[0].Why != "connection refused" || !got[0].Since.Equal(at) || !got[0].Counts {
		t.Errorf("status %+v", got)
	}
	// What the source brings back of it later is older.
	k.hears(at, says("hv1"))
	k.finds(vmA, true, at)
	k.finds(vmA, false, at)
	if want := []string{"[]", "[acme/web/vm-a]", "[]", "[acme/web/vm-a]"}; !slices.Equal(c.published, want) {
		t.Errorf("published %v, want %v", c.published, want)
	}
	// A check that changes keeps its verdict; what the old one has found out meanwhile does not count.
	old := verdict{probe: k.verdicts.checks[vmA], healthy: true}
	k.give(t, strings.ReplaceAll(checkedYAML, "{protocol: tcp}}", "{protocol: tcp, port: 81}}"), "two", at)
	k.judge([]verdict{old}, at)
	if p := k.probes.take()[vmA]; !p.sick || p.Target.Port != 81 || k.serving() != "vm-b" {
		t.Errorf("probe %+v, serving %s", p, k.serving())
	}
	// Without a check nobody is sick.
	k.give(t, strings.ReplaceAll(checkedYAML, ", healthCheck: {protocol: tcp}", ""), "three", at)
	if got := c.published[len(c.published)-1]; got != "[]" || k.serving() != "vm-a vm-b" || len(k.probes.take()) != 0 {
		t.Errorf("without checks: published %s, serving %s, %d checks", got, k.serving(), len(k.probes.take()))
	}
}

// TestLongVerdict has a VM answer its probe with more than is worth telling, and another host, of an older version, tell such an answer.
func TestLongVerdict(t *testing.T) {
	k, _ := checking("hv1", "")
	k.give(t, checkedYAML, "one", epoch)
	long := "\x1b[2J" + strings.Repeat("x", 65_000)
	told := says("hv2", vmB)
	told["hv2"][0].Why = long
	k.hears(epoch, told)
	k.judge([]verdict{{probe: k.verdicts.checks[vmA], why: errors.New(long)}}, epoch)
	got := k.sickBackends()
	if len(got) != 2 {
		t.Fatalf("status %+v", got)
	}
	for _, b := range got {
		if len(b.Why) > 200 || strings.Contains(b.Why, "\x1b") || !strings.HasSuffix(b.Why, "[2Jxxx"+strings.Repeat("x", len(b.Why)-9)) {
			t.Errorf("%s: %d bytes: %.20q", b.Backend, len(b.Why), b.Why)
		}
	}
	if said, err := json.Marshal(k.verdicts.bench.list("hv1")); err != nil || len(said) > 500 {
		t.Errorf("hv1 says %d bytes, %v", len(said), err)
	}
}

// TestRestart goes on with the verdicts that an earlier daemon had, with the source away or back.
func TestRestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "verdicts")
	k, _ := checking("hv1", file)
	k.give(t, checkedYAML, "one", epoch)
	k.hears(epoch, says("hv2", vmB))
	k.finds(vmA, false, epoch)

	k, c := checking("hv1", file)
	k.give(t, checkedYAML, "one", epoch)
	if got := k.serving(); got != "" || fmt.Sprint(c.published) != "[[acme/web/vm-a]]" || !k.probes.take()[vmA].sick {
		t.Errorf("after a restart: serving %q, published %v", got, c.published)
	}
	k.hears(epoch, says("hv2"))
	if got := k.serving(); got != "vm-b" {
		t.Errorf("when vm-b is well: serving %q", got)
	}
	// A kept file that cannot be read is none.
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	k, _ = checking("hv1", file)
	k.give(t, checkedYAML, "one", epoch)
	if got := k.serving(); got != "vm-a vm-b" {
		t.Errorf("with half a file: serving %q", got)
	}
}

// TestReboot has lost the file, too: what the host said last is heard from the source, and its checks begin anew with that.
func TestReboot(t *testing.T) {
	k, c := checking("hv1", "")
	k.give(t, checkedYAML, "one", epoch)
	first := k.probes.take()[vmA]
	k.hears(epoch, says("hv1", vmA))
	second := k.probes.take()[vmA]
	if first.sick || !second.sick || first.number == second.number || k.serving() != "vm-b" || fmt.Sprint(c.published) != "[[acme/web/vm-a]]" {
		t.Errorf("first %+v, then %+v; serving %s, published %v", first, second, k.serving(), c.published)
	}
	k.judge([]verdict{{probe: first, healthy: true}}, epoch)
	if k.serving() != "vm-b" {
		t.Error("a check that has ended is heard")
	}
	k.finds(vmA, true, epoch)
	if k.serving() != "vm-a vm-b" {
		t.Error("a check that goes on is not heard")
	}
}

// TestVerdictsWithFiles act where the host is the one node, and nowhere else: nobody else would hear of them.
func TestVerdictsWithFiles(t *testing.T) {
	for roles, want := range map[string]string{"[hypervisor]": "vm-a vm-b", "[hypervisor, loadbalancer]": "vm-a vm-b"} {
		k := desk("hv1")
		k.give(t, strings.Replace(checkedYAML, "192.0.2.1, roles: [hypervisor]", "192.0.2.1, roles: "+roles, 1), "one", epoch)
		k.finds(vmA, false, epoch)
		if got := k.serving(); got != want {
			t.Errorf("%s beside lb1: serving %s, want %s", roles, got, want)
		}
		if got := k.sickBackends(); len(got) != 1 || got[0].Counts || len(k.notes) != 2 {
			t.Errorf("status %+v, notes %q", got, k.notes)
		}
		if got := fmt.Sprint(k.board.read().Probed); got != "[{acme/web/vm-a false} {blue/web/vm-z true}]" {
			t.Errorf("probed here, sick: %s", got)
		}
		k.finds(vmA, true, epoch)
		if got := fmt.Sprint(k.board.read().Probed); got != "[{acme/web/vm-a true} {blue/web/vm-z true}]" {
			t.Errorf("probed here, well again: %s", got)
		}
		k.give(t, strings.ReplaceAll(checkedYAML, ", healthCheck: {protocol: tcp}", ""), "two", epoch)
		if got := k.board.read().Probed; got == nil || len(got) != 0 {
			t.Errorf("without checks: %v", got)
		}
	}
	k := desk("hv1")
	k.give(t, strings.NewReplacer("192.0.2.1, roles: [hypervisor]", "192.0.2.1, roles: [hypervisor, loadbalancer]", "[loadbalancer]", "[hypervisor]").Replace(checkedYAML), "one", epoch)
	k.finds(vmA, false, epoch)
	if got := k.serving(); got != "vm-b" {
		t.Errorf("as the one node: serving %s", got)
	}
}

// TestFilesAfterEtcd goes on with files from what an earlier daemon kept with etcd: what others said then is forgotten, its own stays.
func TestFilesAfterEtcd(t *testing.T) {
	file := filepath.Join(t.TempDir(), "verdicts")
	k, _ := checking("hv1", file)
	k.give(t, checkedYAML, "one", epoch)
	k.hears(epoch, says("hv2", vmB))
	k.finds(vmA, false, epoch)
	if got := k.sickBackends(); len(got) != 2 {
		t.Fatalf("with etcd: status %+v, want vm-a and vm-b", got)
	}

	o := k.opts
	o.Source, o.Verdicts = desk("hv1").opts.Source, file
	k = newKeeper(o, agent.Open(nil, "", "hv1"), nil, newQueue(), newBoard())
	k.give(t, checkedYAML, "one", epoch)
	if got := k.sickBackends(); len(got) != 1 || got[0].Backend != vmA {
		t.Errorf("with files: status %+v, want vm-a alone", got)
	}
	k.hears(epoch, nil)
	if kept, err := os.ReadFile(file); err != nil || strings.Contains(string(kept), "hv2") || !strings.Contains(string(kept), "hv1") {
		t.Errorf("kept %s, %v; want what hv1 says alone", kept, err)
	}
}
