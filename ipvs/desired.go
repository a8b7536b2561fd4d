package ipvs

import (
	"net/netip"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/ipvs/maglev"
	"github.com/culvertnet/culvert/topology"
)

// Scheduler is the kernel's name for Maglev; its module is ip_vs_mh.
const Scheduler = "mh"

// Flags are the scheduler's: clients are told apart by address and port, and nobody is sent to a backend that drains.
const Flags = maglev.Port | maglev.Fallback

// SyncID is the id of our sync daemons. Every tenant has a network of its own, so one will do.
const SyncID = 1

// Desired is what the tenant's namespace shall hold; on a host that is no load balancer of the tenant, nothing.
func Desired(t topology.Tenant) State {
	if !t.Balancer || len(t.Balancers) == 0 {
		return State{}
	}
	s := State{Settings: settings()}
	if len(t.Nodes()) > 1 {
		s.Settings = append(s.Settings, syncSettings()...)
		for _, r := range []Role{Master, Backup} {
			s.Daemons = append(s.Daemons, Daemon{Role: r, Device: t.Device(), ID: SyncID})
		}
	}
	for _, b := range t.Balancers {
		for _, l := range b.Listeners {
			service := Service{
				Name:      ListenerName(b, l),
				Scheduler: Scheduler, Flags: Flags,
			}
			for _, backend := range b.Backends {
				if !backend.Down {
					service.Destinations = append(service.Destinations, destination(backend, l.Port))
				}
			}
			s.Services = append(s.Services, service)
		}
	}
	return s.sorted()
}

// ListenerName is the name of a listener's service.
func ListenerName(b topology.Balancer, l config.Listener) Name {
	return Name{Protocol: l.Protocol, Address: netip.AddrPortFrom(b.Address, l.Port)}
}

// destination is a backend as the listener's destination. Packets go there as they are, so it has the listener's port; the
// backend's host translates it.
func destination(b topology.Backend, port uint16) Destination {
	nominal := max(b.Weight, 1) // its place in the table, equal on all nodes whatever weights they have seen
	d := Destination{Address: netip.AddrPortFrom(b.Address, port), Weight: nominal, Nominal: nominal}
	if !b.Serves() {
		d.Weight = 0
	}
	return d
}
