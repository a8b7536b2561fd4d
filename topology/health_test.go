package topology

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/culvertnet/culvert/config"
)

// TestJudge draws backends as letters: h healthy, s fails its check, d on a host that is down.
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
		{"no backends", "", &config.HealthCheck{PanicThreshold: 50}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			balancer := Balancer{Name: "web", HealthCheck: tt.check}
			for i, kind := range tt.backends {
				balancer.Backends = append(balancer.Backends, Backend{Interface: string(kind) + string(rune('0'+i)), Down: kind == 'd', Weight: 1})
			}
			host := Host{Tenants: []Tenant{{Name: "acme", Balancers: []Balancer{balancer}}}}
			host.Judge(func(id BackendID) bool {
				if id.Tenant != "acme" || id.Balancer != "web" {
					t.Errorf("asked about %s", id)
				}
				return id.Interface[0] != 'h'
			})
			got := ""
			for _, b := range balancer.Backends {
				if b.Sick {
					got += b.Interface[:1]
				}
				if b.Serves() != (!b.Sick && !b.Down) {
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
	balancer := Balancer{HealthCheck: &config.HealthCheck{}, Backends: []Backend{{Interface: "vm-a", Weight: 1}}}
	host := Host{Tenants: []Tenant{{Balancers: []Balancer{balancer}}}}
	var got []bool
	for _, sick := range []bool{true, false} {
		host.Judge(func(BackendID) bool { return sick })
		got = append(got, balancer.Open())
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
