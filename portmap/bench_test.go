package portmap

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/culvertnet/culvert/config"
)

// bigFleet returns 10 000 hosts and 10 000 tenants with 100 interfaces each, every one on another host.
func bigFleet(gw config.NATGateway) *config.Fleet {
	const hosts, tenants, each = 10_000, 10_000, 100
	f := &config.Fleet{Overlay: defaultOverlay}
	for i := range hosts {
		f.Hosts = append(f.Hosts, config.Host{Name: fmt.Sprintf("hv%d", i), Roles: []config.Role{config.Hypervisor}})
	}
	names := make([]string, each)
	for i := range names {
		names[i] = fmt.Sprintf("vm-%d", i)
	}
	addr := netip.MustParseAddr("45.0.0.0")
	for i := range tenants {
		gw := gw
		gw.Addresses = []netip.Addr{addr}
		addr = addr.Next()
		t := config.Tenant{Name: fmt.Sprintf("tenant-%d", i), VNI: config.VNI(i + 1), NATGateway: &gw}
		for j, name := range names {
			t.Interfaces = append(t.Interfaces, config.Interface{Name: name, Host: f.Hosts[(i*37+j*101)%hosts].Name})
		}
		f.Tenants = append(f.Tenants, t)
	}
	return f
}

// one tenant with all 1 000 000 interfaces on 1000 addresses, which are full almost to the last port.
func deepFleet() *config.Fleet {
	f := &config.Fleet{Overlay: defaultOverlay, Hosts: []config.Host{{Name: "hv0"}}}
	gw := &config.NATGateway{PortsPerInterface: 64}
	for addr := netip.MustParseAddr("45.0.0.0"); len(gw.Addresses) < 1000; addr = addr.Next() {
		gw.Addresses = append(gw.Addresses, addr)
	}
	t := config.Tenant{Name: "acme", VNI: 1, NATGateway: gw}
	for i := range 1_000_000 {
		t.Interfaces = append(t.Interfaces, config.Interface{Name: fmt.Sprintf("vm-%d", i), Host: "hv0"})
	}
	f.Tenants = []config.Tenant{t}
	return f
}

func BenchmarkPlanFleet(b *testing.B) {
	for _, bench := range []struct {
		name   string
		fleet  *config.Fleet
		change func(*config.Tenant)
	}{
		{"portsPerInterface", bigFleet(config.NATGateway{PortsPerInterface: 64}), addInterface},
		{"portsPerHost", bigFleet(config.NATGateway{PortsPerHost: 512}), addInterface},
		{"oneTenant", deepFleet(), addInterface},
	} {
		fleet := bench.fleet
		lock := mustAllocate(b, nil, fleet)
		b.Run(bench.name+"/new", func(b *testing.B) {
			for b.Loop() {
				mustAllocate(b, nil, fleet)
			}
		})
		b.Run(bench.name+"/same", func(b *testing.B) {
			for b.Loop() {
				mustAllocate(b, lock, fleet)
			}
		})
		b.Run(bench.name+"/oneInterfaceMore", func(b *testing.B) {
			t := &fleet.Tenants[len(fleet.Tenants)/2]
			before := t.Interfaces
			bench.change(t)
			for b.Loop() {
				mustAllocate(b, lock, fleet)
			}
			t.Interfaces = before
		})
		b.Run(bench.name+"/everybodyGrows", func(b *testing.B) {
			if bench.name == "oneTenant" {
				b.Skip("its addresses are full")
			}
			for i := range fleet.Tenants {
				double(fleet.Tenants[i].NATGateway, 2)
			}
			for b.Loop() {
				mustAllocate(b, lock, fleet)
			}
			for i := range fleet.Tenants {
				double(fleet.Tenants[i].NATGateway, 1)
			}
		})
	}
}

func addInterface(t *config.Tenant) {
	t.Interfaces = append(t.Interfaces[:len(t.Interfaces):len(t.Interfaces)], config.Interface{Name: "new", Host: t.Interfaces[0].Host})
}

// double sets what is promised to n times 64 ports.
func double(gw *config.NATGateway, n int) {
	if gw.PortsPerInterface != 0 {
		gw.PortsPerInterface = 64 * n
		return
	}
	gw.PortsPerHost = 512
	if n == 2 {
		gw.PortsPerHost = 576
	}
}

func BenchmarkLockFile(b *testing.B) {
	lock := mustAllocate(b, nil, bigFleet(config.NATGateway{PortsPerInterface: 64}))
	data, err := Encode(lock)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("encode", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			if _, err := Encode(lock); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			if _, err := Decode("lock", data); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkDeal(b *testing.B) {
	blocks := someBlocks("23:1024-2047 23:4096-5119 23:8192-8255 23:9216-10239")
	for b.Loop() {
		Deal(blocks)
	}
}
