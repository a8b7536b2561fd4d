package agent

import (
	"fmt"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/ipvs"
	"github.com/culvertnet/culvert/overlay"
	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/topology"
)

// Examine checks the host against its part in the fleet: addresses, MTU, devices.
func (a *Agent) Examine(fleet *config.Fleet, lock *portmap.Lock) []Finding {
	host, err := topology.For(fleet, lock, a.name)
	if err != nil {
		return []Finding{{"fleet", Problem, err.Error(), "correct the fleet, or name this host with --host"}}
	}
	observed, err := a.kernel.Observe(host.Underlay)
	if err != nil {
		return []Finding{{"host", Problem, err.Error(), "run `culvert doctor` without a fleet: it says what this kernel lacks; if it lacks nothing, report the message"}}
	}
	return examine(host, observed)
}

// examine compares what was observed with what the host's part needs.
func examine(host topology.Host, observed overlay.Observed) []Finding {
	out := []Finding{underlay(host, observed.Facts)}
	if host.Uplink != "" && !observed.Facts.Devices[host.Uplink] {
		out = append(out, Finding{"uplink", Problem, "no device " + host.Uplink, "create it, or correct uplink of host " + host.Name})
	}
	for _, t := range host.Tenants {
		if t.Balancer {
			out = append(out, balancer(Problem, "until then the other nodes balance; what reaches this one is handed to them (TCP, `asked`) or dropped (`unbalanced`)"))
			break
		}
	}
	facts := observed.Facts
	if facts.Underlay == "" {
		facts.Underlay, facts.UnderlayMTU = "underlay", 1500 // found missing above; the devices can be looked at all the same
	}
	desired, err := overlay.Desired(host, facts)
	if err != nil {
		return append(out, Finding{"fleet", Problem, err.Error(), "until then, plan and apply refuse this host"})
	}
	waiting := overlay.Diff(observed, desired).Waiting
	for _, w := range waiting {
		out = append(out, Finding{"devices", Advice, w.String(), "it is attached by the next apply once it is there"})
	}
	if len(waiting) == 0 {
		out = append(out, Finding{Check: "devices", Level: Fine, Detail: "all that the fleet names are there"})
	}
	return out
}

// balancer checks that the host can do what the role loadbalancer asks for; level and remedy are for when it cannot.
func balancer(level Level, remedy string) Finding {
	if err := ipvs.Load(); err != nil {
		return Finding{"load balancer", level, err.Error(), remedy}
	}
	return Finding{Check: "load balancer", Level: Fine, Detail: "IPVS is there"}
}

func underlay(host topology.Host, facts overlay.Facts) Finding {
	const vmMTU = 1500
	if facts.Underlay == "" {
		return Finding{"underlay", Problem, fmt.Sprintf("no device has %s", host.Underlay), "assign the address, or correct underlay of host " + host.Name}
	}
	mtu := overlay.MTU(host.Underlay, facts.UnderlayMTU)
	detail := fmt.Sprintf("%s has %s and MTU %d: VMs can send %d bytes", facts.Underlay, host.Underlay, facts.UnderlayMTU, mtu)
	if mtu < vmMTU {
		return Finding{
			"underlay", Advice, detail,
			fmt.Sprintf("raise the MTU of the underlay to %d or more, or expect VMs with MTU 1500 to be told to send less", facts.UnderlayMTU+vmMTU-mtu),
		}
	}
	return Finding{Check: "underlay", Level: Fine, Detail: detail}
}
