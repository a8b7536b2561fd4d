package web

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/culvertnet/culvert/agent/daemon"
	"github.com/culvertnet/culvert/agent/measure"
	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/nft"
	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/topology"
)

// readings are given, not read.
type readings struct {
	*measure.Reading
	err error
}

func (r readings) Read(context.Context) (*measure.Reading, error) { return r.Reading, r.err }

// stand is a site with what it shows.
type stand struct {
	testing.TB
	status  daemon.Status
	host    *topology.Host
	lock    *portmap.Lock
	reading readings
}

func newStand(t testing.TB, text string) *stand {
	t.Helper()
	fleet, err := config.Parse("fleet.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	s := &stand{TB: t, reading: readings{err: errors.New("no kernel here")}}
	if s.lock, err = portmap.Allocate(nil, fleet); err != nil {
		t.Fatal(err)
	}
	host, err := topology.For(fleet, s.lock, "hv1")
	if err != nil {
		t.Fatal(err)
	}
	s.host = &host
	s.status = daemon.Status{Host: "hv1", Source: "fleet.yaml", Generation: "abc", Ready: true, Converged: &daemon.Convergence{Generation: "abc", At: time.Now()}}
	for _, one := range host.Tenants {
		s.status.Tenants = append(s.status.Tenants, daemon.Tenant{Name: one.Name, State: daemon.Converged, Generation: "abc"})
	}
	return s
}

// get asks the site and checks that what comes is whole: every element that opens closes.
func (s *stand) get(path string, want int) string {
	s.Helper()
	h := NewSite(Options{
		Status: func() daemon.Status { return s.status },
		Fleet:  func() (*topology.Host, *portmap.Lock) { return s.host, s.lock },
		Meter:  s.reading,
	})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(s.Context(), http.MethodGet, path, nil))
	text := w.Body.String()
	if w.Code != want {
		s.Fatalf("%s: %d, want %d: %s", path, w.Code, want, text)
	}
	if strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
		d := xml.NewDecoder(strings.NewReader(text))
		d.Strict, d.AutoClose, d.Entity = false, []string{"meta", "link"}, xml.HTMLEntity
		for {
			_, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				s.Fatalf("%s: %v\n%s", path, err, text)
			}
		}
	}
	return text
}

func (s *stand) has(path string, code int, want ...string) {
	s.Helper()
	text := s.get(path, code)
	for _, w := range want {
		if !strings.Contains(text, w) {
			s.Errorf("%s lacks %q:\n%s", path, w, text)
		}
	}
}

const fleetYAML = `
hosts:
  - {name: hv1, underlay: 192.0.2.1, roles: [hypervisor]}
  - {name: hv2, underlay: 192.0.2.2, roles: [hypervisor, edge, loadbalancer], uplink: eth1}
tenants:
  - name: acme
    vni: 100
    interfaces:
      - {name: vm-a, host: hv1, device: tap-a, mac: "52:54:00:00:00:0a", addresses: [10.0.0.12]}
      - {name: vm-b, host: hv2, device: tap-b, mac: "52:54:00:00:00:0b", addresses: [10.0.0.47]}
    natGateway: {addresses: [45.86.152.23, 45.86.152.24], portsPerHost: 1024}
    virtualIPs: [{addresses: [45.86.152.31], interface: vm-b}]
    loadBalancers:
      - name: web
        address: 45.86.152.30
        listeners: [{protocol: tcp, port: 443, backendPort: 8443}]
        backends: [{interface: vm-a, weight: 3}, {interface: vm-b}]
`

// TestPages shows a tenant with all that it can have.
func TestPages(t *testing.T) {
	s := newStand(t, fleetYAML)
	s.host.Tenants[0].Balancers[0].Backends[1].Sick = true
	address := netip.MustParseAddr("45.86.152.23")
	fill := &[measure.Granules]uint8{16: 64, 17: 64, 18: 1}
	s.reading = readings{Reading: &measure.Reading{At: time.Now(), Took: 5 * time.Millisecond, Tenants: []measure.Tenant{{
		Name: "acme", Entries: 200, Limit: 1000,
		Counters: map[string]nft.Count{"ip/exhausted": {Packets: 12345, Bytes: 99}, "ip/unknown": {}},
		Claims: []measure.Claim{{
			Claimant: portmap.Claimant{Host: "hv1"}, Address: address, Ports: 1024,
			Used: map[measure.Protocol]measure.Use{measure.UDP: {Ports: 129, Flows: 150}},
		}},
		Fill: map[netip.Addr]*[measure.Granules]uint8{address: fill},
	}}}}
	s.has("/", 200, `<p class="verdict good">converged</p>`, "129 of 1\u202f024 ports, host hv1", "12\u202f%", "20\u202f%", "12\u202f345", "192.0.2.2", "hypervisor, edge, load balancer")
	s.has("/tenant/acme", 200,
		"this host uses 129 of its 1\u202f024", "nobody has ports of it", // the second address
		`<rect class="own c0" x="240" y="0" width="191" height="14"><title>host hv1: ports 1024-2047 (1024 ports)</title></rect>`,
		`<rect class="other o0" x="432" y="0" width="191" height="14"><title>host hv2: ports 2048-3071 (1024 ports)</title></rect>`,
		`<rect class="own c0" x="240" y="0" width="23" height="14"/><rect class="own c0" x="264" y="12.5" width="11" height="1.5"/>`,
		`<code>tcp 45.86.152.30:443</code> to port 8443`, `<span class="state bad">sick</span>`, `<span class="state good">serving</span>`,
		"45.86.152.31", "<code>exhausted</code>", "known to its own host")
	if text := s.get("/tenant/acme", 200); strings.Contains(text, "<code>unknown</code>") || strings.Contains(text, "<script") {
		t.Errorf("a counter that is 0, or a script:\n%s", text)
	}
	s.has("/tenant/none", 404, "No such tenant", "none")
	s.has("/healthz", 200, "ok\n")
	s.has("/style.css", 200, "prefers-color-scheme")
	s.get("/etc/passwd", 404)
}

// TestRetired hatches what is given up.
func TestRetired(t *testing.T) {
	address := netip.MustParseAddr("45.86.152.23")
	m := newPortMap(address, &portmap.Tenant{Claims: []portmap.Claim{{
		Claimant: portmap.Claimant{Host: "hv1"},
		Blocks:   []portmap.Block{{Address: address, First: 4032, Last: 4223}, {Address: netip.MustParseAddr("45.86.152.24"), First: 1024, Last: 2047}},
		Retired:  []portmap.Block{{Address: address, First: 65472, Last: 65535}},
	}}}, measure.Tenant{})
	want := "[{804 0 11 14 other o0 host hv1: ports 4032-4223 (192 ports)} {48 17 23 14 other o0 host hv1: ports 4032-4223 (192 ports)} " +
		"{804 255 11 14 other o0 host hv1: ports 65472-65535 (64 ports), retired}]"
	if got := fmt.Sprint(m.Cells); got != want {
		t.Errorf("cells %s, want %s", got, want)
	}
	if fmt.Sprint(m.Hatch) != fmt.Sprint(m.Cells[2:]) || len(m.Fill) != 0 || m.Given != 256 {
		t.Errorf("hatch %v, fill %v, given %d", m.Hatch, m.Fill, m.Given)
	}
}

// TestManyAddresses draws no more than a page can bear, those with ports of this host first.
func TestManyAddresses(t *testing.T) {
	var locked portmap.Tenant
	var reading measure.Tenant
	var addresses []netip.Addr
	for i := range 100 {
		a := netip.AddrFrom4([4]byte{45, 86, 152, byte(i + 1)})
		c := portmap.Claimant{Interface: fmt.Sprintf("vm-%02d", i)}
		addresses = append(addresses, a)
		locked.Claims = append(locked.Claims, portmap.Claim{Claimant: c, Blocks: []portmap.Block{{Address: a, First: 1024, Last: 2047}}})
		if i == 99 {
			reading.Claims = []measure.Claim{{Claimant: c, Address: a, Ports: 1024}}
		}
	}
	s := newStand(t, fleetYAML)
	s.host.Tenants[0].NAT.Addresses, s.lock.Tenants["acme"] = addresses, &locked
	reading.Name = "acme"
	s.reading = readings{Reading: &measure.Reading{Tenants: []measure.Tenant{reading}}}
	text := s.get("/tenant/acme", 200)
	if n, tables := strings.Count(text, `<svg class="ports"`), strings.Count(text, "<th scope=\"col\">Claimant"); n != drawn || tables != 100 {
		t.Errorf("%d pictures, %d tables", n, tables)
	}
	if first := strings.Index(text, "Ports of 45.86.152.100<"); first < 0 || first > strings.Index(text, "Ports of 45.86.152.1<") {
		t.Error("this host's own address is not the first")
	}
}

// TestProblems shows what is wrong, as it is written, grave things first.
func TestProblems(t *testing.T) {
	s := newStand(t, fleetYAML)
	s.status.Notes = []string{"a note"}
	s.status.Tenants[0].State, s.status.Tenants[0].Waiting = daemon.Waiting, []string{"tap-a"}
	s.has("/", 200, "converged, waiting for devices", "waits for tap-a", "a note", "no numbers of the kernel: no kernel here")
	s.has("/healthz", 200, "ok")
	s.status.Tenants[0].State = daemon.Failed
	s.status.Tenants[0].Error = &daemon.Incident{Error: `add <script>alert("1")</script>: no`, Since: time.Now().Add(-3 * time.Minute)}
	s.has("/", 200, "tenants fail", "&lt;script&gt;alert", "since 3 min ago", `<a href="/tenant/acme">`)
	s.has("/tenant/acme", 200, "&lt;script&gt;alert")
	s.has("/healthz", 503, "tenant acme: add <script>")
	text := s.get("/", 200)
	if strings.Index(text, "alert(") > strings.Index(text, "waits for tap-a") {
		t.Error("what is waited for stands before what fails")
	}
	s.status.Refused = &daemon.Incident{Error: "fleet.yaml:3:1: no", Since: time.Now()}
	s.has("/", 200, "newer fleet refused", "fleet.yaml:3:1: no")
	if text := s.get("/healthz", 503); strings.Contains(text, "a note") || strings.Contains(text, "waits for") {
		t.Errorf("not what is wrong:\n%s", text)
	}
	s.status.Refused, s.status.Away = nil, &daemon.Incident{Error: "etcd1: no route", Since: time.Now()}
	s.has("/", 200, "source of the fleet away", "etcd1: no route")
	s.has("/healthz", 503, "source of the fleet: etcd1: no route")
	s.status.Away, s.status.Unkept = nil, &daemon.Incident{Error: "no space", Since: time.Now()}
	s.has("/", 200, "fleet not kept", "no space")
	s.has("/healthz", 503, "cache of the fleet: no space")
}

// TestWithoutFleet shows a host that knows nothing yet.
func TestWithoutFleet(t *testing.T) {
	s := newStand(t, fleetYAML)
	s.host, s.lock, s.status = nil, nil, daemon.Status{Host: "hv1", Source: "etcd://etcd1:2379/culvert"}
	s.has("/", 200, "waiting for the fleet", "none yet", "No fleet has come yet.")
	s.has("/healthz", 503, "host: ")
	s.get("/tenant/acme", 404)
}

// TestManyTenants shows a thousand of them on one page that is still no burden.
func TestManyTenants(t *testing.T) {
	var text strings.Builder
	text.WriteString("hosts:\n  - {name: hv1, underlay: 192.0.2.1, roles: [hypervisor]}\ntenants:\n")
	for i := range 1000 {
		fmt.Fprintf(&text, "  - name: t%d\n    vni: %d\n    interfaces: [{name: vm, host: hv1, device: tap%d, mac: \"52:54:00:00:%02x:%02x\", addresses: [10.0.0.1]}]\n"+
			"    natGateway: {addresses: [45.%d.%d.1], portsPerHost: 1024}\n", i, i+1, i, i>>8, i&255, 80+i>>8, i&255)
	}
	s := newStand(t, text.String())
	reading := &measure.Reading{At: time.Now()}
	for _, one := range s.host.Tenants {
		c := measure.Claim{Claimant: portmap.Claimant{Host: "hv1"}, Address: one.NAT.Addresses[0], Ports: 1024, Used: map[measure.Protocol]measure.Use{measure.TCP: {Ports: 500}}}
		reading.Tenants = append(reading.Tenants, measure.Tenant{Name: one.Name, Counters: map[string]nft.Count{}, Entries: 500, Limit: 262144, Claims: []measure.Claim{c}})
	}
	s.reading = readings{Reading: reading}
	page := s.get("/", 200)
	if rows := strings.Count(page, "<th scope=\"row\"><a href="); rows != 1000 || len(page) > 1<<20 {
		t.Errorf("%d rows, %d bytes", rows, len(page))
	}
	t.Logf("%d bytes", len(page))
}
