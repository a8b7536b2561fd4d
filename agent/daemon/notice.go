package daemon

import (
	"slices"
	"strings"
	"time"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/topology"
	"github.com/culvertnet/culvert/trigger"
)

// notice has looked at what an event may concern.
func (k *keeper) notice(e trigger.Event, now time.Time) {
	if k.host == nil {
		return // the first fleet has everything looked at
	}
	switch {
	case e.Kind == trigger.Lost:
		k.opts.Log.Warn("notifications were lost, looking at everything")
		for _, r := range k.records {
			r.ask(now)
		}
	case e.Kind == trigger.Name, e.Kind == trigger.Services:
		if name, ok := strings.CutPrefix(e.Name, k.opts.Prefix+topology.NamespacePrefix); ok {
			k.record(name).ask(now)
		}
	case e.Space != trigger.Host:
		if name, ok := k.spaces[e.Space]; ok {
			k.record(name).ask(now)
		}
	default:
		k.noticeHost(e, now)
	}
}

// noticeHost finds out whom something in the host's namespace concerns: rules are the host's own, links and addresses may be the
// underlay, a device may be one that is waited for or the host's end of a tenant's uplink.
func (k *keeper) noticeHost(e trigger.Event, now time.Time) {
	switch e.Kind {
	case trigger.Rules:
		k.record("").ask(now)
	case trigger.Link, trigger.Address:
		if k.hostError != nil && !k.full.IsZero() {
			k.full = now.Add(calm)
		}
		if e.Kind == trigger.Address || e.Device == k.underlay.device {
			k.record("").ask(now)
		}
	case trigger.Parameter:
		// What edges need in the host's namespace is a part of each of their tenants.
		if i := slices.IndexFunc(k.host.Tenants, func(t topology.Tenant) bool { return t.Edge }); i >= 0 && (e.Device == "" || e.Device == k.host.Uplink) {
			k.record(k.host.Tenants[i].Name).ask(now)
		}
	}
	if e.Device == "" {
		return
	}
	for _, r := range k.records {
		// A device that is there and cannot be attached is not waited for; another of its name may do.
		failed := r.State == Failed && r.wanted != nil && slices.ContainsFunc(r.wanted.Interfaces, func(i config.Interface) bool { return i.Device == e.Device })
		if failed || slices.Contains(r.Waiting, e.Device) || r.wanted != nil && r.wanted.Edge && r.wanted.UplinkPort() == e.Device {
			r.ask(now)
		}
	}
}
