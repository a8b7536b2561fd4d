package portmap

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/culvertnet/culvert/config"
)

func TestLimit(t *testing.T) {
	for _, test := range []struct {
		v4, v6 string
		want   uint32
	}{
		{"100.64.0.0/10", "fd00:c0de::/64", 2097151},
		{"100.64.0.0/24", "fd00:c0de::/64", 127},
		{"100.64.0.0/24", "fd00:c0de::/124", 7},
		{"100.64.0.0/24", "", 127},
		{"100.64.0.0/31", "", 0},
		{"100.64.0.0/32", "", 0},
		{"0.0.0.0/0", "", 1<<31 - 1},
		{"", "fd00::/8", 1<<31 - 1},
	} {
		var o config.Overlay
		if test.v4 != "" {
			o.IPv4 = netip.MustParsePrefix(test.v4)
		}
		if test.v6 != "" {
			o.IPv6 = netip.MustParsePrefix(test.v6)
		}
		if got := Limit(o); got != test.want {
			t.Errorf("%s and %s hold %d, want %d", test.v4, test.v6, got, test.want)
		}
	}
}

func TestHostIDsAreNotReused(t *testing.T) {
	f := aFleet("hv1 hv2 hv3", "", nil)
	f.Overlay = config.Overlay{IPv4: netip.MustParsePrefix("10.0.0.0/29")} // ids 1-3
	lock := mustAllocate(t, nil, f)
	check := func(want string) {
		t.Helper()
		if got := fmt.Sprint(lock.Hosts, lock.NextHost); got != want {
			t.Errorf("hosts %s, want %s", got, want)
		}
	}
	check("map[hv1:1 hv2:2 hv3:3] 4")
	f.Overlay.IPv4 = netip.MustParsePrefix("10.0.0.0/28") // ids 1-7
	hosts := func(names string) {
		f.Hosts = aFleet(names, "", nil).Hosts
		lock = mustAllocate(t, lock, f)
	}
	hosts("hv1 hv3")
	check("map[hv1:1 hv3:3] 4")
	hosts("hv2 hv1 hv3") // hv2 is a new host now
	check("map[hv1:1 hv2:4 hv3:3] 5")
	hosts("a b hv1 hv3 c")
	check("map[a:5 b:6 c:7 hv1:1 hv3:3] 8")
	hosts("a b hv1 hv3 c d e") // only now again from the beginning
	check("map[a:5 b:6 c:7 d:2 e:4 hv1:1 hv3:3] 5")
	f.Hosts = aFleet("a b hv1 hv3 c d e f", "", nil).Hosts
	wantError(t, lock, f, "the fleet has 8 hosts but the overlay holds 7; widen overlay.ipv4, now 10.0.0.0/28")
	f.Hosts = f.Hosts[:7]
	f.Overlay.IPv6 = netip.MustParsePrefix("fd00::/126")
	wantError(t, lock, f, "the fleet has 7 hosts but the overlay holds 1; widen overlay.ipv6, now fd00::/126")
	wantError(t, lock, f, "host a has id 5 but the overlay holds 1 hosts")
}

func TestBackendNumbersAreNeverReused(t *testing.T) {
	f := aFleet("hv1", "vm-a@hv1 vm-b@hv1 vm-c@hv1", nil)
	f.Overlay = config.Overlay{IPv4: netip.MustParsePrefix("10.0.0.0/28")} // 1-7
	f.Tenants = append(f.Tenants, config.Tenant{Name: "beta", VNI: 101, Interfaces: someInterfaces("vm-a@hv1")})
	var lock *Lock
	balance := func(acme, beta, want string) {
		t.Helper()
		for i, words := range []string{acme, beta} {
			lb := config.Balancer{Name: "web", Address: addrB}
			if i == 1 {
				lb.Address = addrB.Next()
			}
			for _, w := range strings.Fields(words) {
				lb.Backends = append(lb.Backends, config.Backend{Interface: w})
			}
			f.Tenants[i].LoadBalancers = []config.Balancer{lb}
		}
		lock = mustAllocate(t, lock, f)
		got := ""
		for _, name := range []string{"acme", "beta"} {
			if lt := lock.Tenants[name]; lt != nil {
				got += fmt.Sprint(lt.Backends, lt.LastBackend, " ")
			}
		}
		if got != want {
			t.Errorf("backends %s, want %s", got, want)
		}
	}
	balance("vm-b vm-a", "vm-a", "map[web/vm-a:2 web/vm-b:1] 0 map[web/vm-a:3] 0 ")
	balance("vm-a vm-c", "", "map[web/vm-a:2 web/vm-c:4] 0 map[] 3 ")
	balance("vm-a vm-b vm-c", "vm-a", "map[web/vm-a:2 web/vm-b:5 web/vm-c:4] 0 map[web/vm-a:6] 0 ")
	balance("vm-a", "", "map[web/vm-a:2] 5 map[] 6 ")
	balance("", "", "map[] 5 map[] 6 ")
	if lock.NextBackend != 7 {
		t.Errorf("next %d", lock.NextBackend)
	}
	balance("vm-a", "", "map[web/vm-a:7] 0 map[] 6 ")
	lock.Tenants["beta"].LastBackend = 8
	if err := Prove(lock, f); err == nil || !strings.Contains(err.Error(), "number 8 of a former backend of tenant beta will be handed out again, the next is 8") {
		t.Errorf("a last backend that is none: %v", err)
	}
	lock.Tenants["beta"].LastBackend = 6
	f.Tenants[1].LoadBalancers[0].Backends = []config.Backend{{Interface: "vm-a"}}
	wantError(t, lock, f, "1 new load-balancer backends have no number left: numbers are never used again and the overlay holds 7; widen overlay.ipv4")
	f.Tenants[1].LoadBalancers = nil
	if beta := mustAllocate(t, lock, f).Tenants["beta"]; beta != nil {
		t.Errorf("without load balancers the lock has %v", beta)
	}
}

// A lock that was written by hand without a high-water mark does not make numbers collide.
func TestMissingHighWaterMarks(t *testing.T) {
	f := aFleet("hv1 hv2 hv3", "vm-a@hv1 vm-b@hv1", nil)
	f.Tenants[0].LoadBalancers = []config.Balancer{{Name: "web", Backends: []config.Backend{{Interface: "vm-b"}, {Interface: "vm-a"}}}}
	lock := mustAllocate(t, &Lock{
		Hosts:   map[string]HostID{"hv1": 1, "hv3": 2},
		Tenants: map[string]*Tenant{"acme": {Backends: map[string]uint32{"web/vm-a": 1}}},
	}, f)
	if lock.Hosts["hv2"] != 3 || lock.NextHost != 4 || lock.Tenants["acme"].Backends["web/vm-b"] != 2 || lock.NextBackend != 3 {
		t.Errorf("lock %v", lock)
	}
}

// wantError allocates and expects an error that contains the text, and no lock.
func wantError(t *testing.T, old *Lock, f *config.Fleet, want string) {
	t.Helper()
	lock, err := Allocate(old, f)
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error:\n%v\nwant\n%s", err, want)
	}
	if err != nil && lock != nil {
		t.Error("an error came with a lock")
	}
}
