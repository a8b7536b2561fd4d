package topology

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"github.com/culvertnet/culvert/config"
)

// TestJudge draws backends as letters: h healthy, s fails its check, d on a host that is down, l on one that is lost.
func TestJudge(t *testing.T) {
	for _, tt := range []struct {
		name, backends string
		check          *config.HealthCheck
		// sick are the backends that count as sick afterwards.
		sick string
	}{
		{"no check", "ss", nil, ""},
		{"single ones", "hsh", &config.HealthCheck{}, "s"},
		{"all of them", "ss", &config.HealthCheck{}, "ss"},
		{"at the threshold", "hs", &config.HealthCheck{PanicThreshold: 50}, "s"},
		{"below the threshold", "hss", &config.HealthCheck{PanicThreshold: 34}, ""},
		{"none healthy, with a threshold", "ss", &config.HealthCheck{PanicThreshold: 1}, ""},
		{"those that are down do not count", "hsd", &config.HealthCheck{PanicThreshold: 50}, "s"},
		{"those that are lost do not count either", "hsl", &config.HealthCheck{PanicThreshold: 50}, "s"},
		{"no backends", "", &config.HealthCheck{PanicThreshold: 50}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			balancer := Balancer{Name: "web", HealthCheck: tt.check}
			for i, kind := range tt.backends {
				balancer.Backends = append(balancer.Backends, Backend{Interface: string(kind) + string(rune('0'+i)), Peer: Peer{Host: "hv1"}, Down: kind == 'd', Lost: kind == 'l', Weight: 1})
			}
			tenant := Tenant{Name: "acme", Balancers: []Balancer{balancer}}
			judged := tenant.Judge(func(host string, id BackendID) bool {
				if host != "hv1" || id.Tenant != "acme" || id.Balancer != "web" {
					t.Errorf("asked %s about %s", host, id)
				}
				return id.Interface[0] != 'h'
			})
			got := ""
			for _, b := range balancer.Backends {
				if b.Sick {
					t.Errorf("%s: sick in the tenant that was asked about", b.Interface)
				}
			}
			for _, b := range judged.Balancers[0].Backends {
				if b.Sick {
					got += b.Interface[:1]
				}
				if b.Serves() != (!b.Sick && !b.Down && !b.Lost) {
					t.Errorf("%s: sick %v, down %v, serves %v", b.Interface, b.Sick, b.Down, b.Serves())
				}
			}
			if got != tt.sick {
				t.Errorf("sick %q of %q, want %q", got, tt.backends, tt.sick)
			}
		})
	}
}

// TestJudgeForgets sees a backend recover.
func TestJudgeForgets(t *testing.T) {
	tenant := Tenant{Balancers: []Balancer{{HealthCheck: &config.HealthCheck{}, Backends: []Backend{{Interface: "vm-a", Weight: 1}}}}}
	var got []bool
	for _, sick := range []bool{true, false} {
		tenant = tenant.Judge(func(string, BackendID) bool { return sick })
		got = append(got, tenant.Balancers[0].Open())
	}
	if !slices.Equal(got, []bool{false, true}) {
		t.Errorf("open after sick and well: %v", got)
	}
}

// TestAnswered says for which addresses of load balancers somebody is there.
func TestAnswered(t *testing.T) {
	host := Host{Tenants: []Tenant{{Balancers: []Balancer{
		{Address: netip.MustParseAddr("192.0.2.1"), Backends: []Backend{{Sick: true}, {Down: true}}},
		{Address: netip.MustParseAddr("192.0.2.1"), Backends: []Backend{{Draining: true}}},
		{Address: netip.MustParseAddr("192.0.2.2"), Backends: []Backend{{Sick: true}}},
		{Address: netip.MustParseAddr("192.0.2.3")},
	}}}}
	for address, want := range map[string]bool{"192.0.2.1": true, "192.0.2.2": false, "192.0.2.3": false} {
		if got := host.Tenants[0].Answered(netip.MustParseAddr(address)); got != want {
			t.Errorf("Answered(%s) = %v", address, got)
		}
	}
}

// TestLostBackends says which backends get no new flows because nothing is heard of their hosts. Hosts are drawn as letters: u
// up, l lost, d down.
func TestLostBackends(t *testing.T) {
	for hosts, want := range map[string]string{"uu": "", "ul": "l", "ll": "", "lld": "", "uld": "l", "d": "", "": ""} {
		var b Balancer
		for _, kind := range hosts {
			b.Backends = append(b.Backends, Backend{Interface: string(kind), Peer: Peer{Lost: kind == 'l'}, Down: kind == 'd', Weight: 1})
		}
		b.loseBackends()
		got := ""
		for _, backend := range b.Backends {
			if backend.Lost {
				got += backend.Interface
			}
			if backend.Lost && backend.Serves() {
				t.Errorf("%q: a lost backend serves", hosts)
			}
		}
		if got != want {
			t.Errorf("lost %q of %q, want %q", got, hosts, want)
		}
	}
}

// TestBackendName reads what it writes, and nothing else.
func TestBackendName(t *testing.T) {
	id := BackendID{"acme", "web", "vm-a"}
	text, err := id.MarshalText()
	var again BackendID
	if err := errors.Join(err, again.UnmarshalText(text)); err != nil || again != id {
		t.Errorf("%s is read as %s: %v", text, again, err)
	}
	for _, bad := range []string{"", "acme/web", "acme//vm-a", "a/b/c/d"} {
		if err := again.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q is read as %s", bad, again)
		}
	}
}
