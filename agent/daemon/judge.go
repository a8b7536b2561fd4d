package daemon

import (
	"reflect"
	"slices"
	"time"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/source"
	"github.com/culvertnet/culvert/topology"
)

// judge takes in what this host's health checks have come to.
func (k *keeper) judge(list []verdict, now time.Time) {
	changed := make(map[string]bool)
	for _, n := range list {
		if !k.verdicts.judge(n, now) {
			continue
		}
		changed[n.probe.Backend.Tenant] = true
		k.tellVerdict(n)
	}
	if len(changed) == 0 {
		return
	}
	k.rejudge(changed, now)
	k.publishVerdicts()
}

// tellVerdict logs a change of a verdict.
func (k *keeper) tellVerdict(n verdict) {
	if n.healthy {
		k.opts.Log.Info("backend", "backend", n.probe.Backend.String(), "was", "sick", "is", "healthy", "probe", n.probe.Target.String())
	} else {
		k.opts.Log.Warn("backend", "backend", n.probe.Backend.String(), "was", "healthy", "is", "sick", "why", source.Sick{Why: n.why.Error()}.Tame().Why)
	}
}

// hearVerdicts takes in what other hosts say.
func (k *keeper) hearVerdicts(said map[string][]source.Sick, now time.Time) {
	knew := k.verdicts.known
	changed := k.verdicts.hear(said)
	if k.host == nil {
		return // the first fleet is judged as a whole
	}
	k.verdicts.prune()
	if !knew && k.verdicts.known {
		k.probes.want(k.verdicts.probes())
		k.publishVerdicts()
	}
	k.rejudge(changed, now)
	k.keepVerdicts()
}

// judgeAll applies the verdicts to a fleet that is to come into force, and has its checks made.
func (k *keeper) judgeAll(host *topology.Host) {
	k.verdicts.adopt(*host)
	for i, t := range host.Tenants {
		host.Tenants[i] = t.Judge(k.verdicts.sick(t))
	}
	k.probes.want(k.verdicts.probes())
	k.publishVerdicts()
}

// rejudge applies the verdicts to some tenants, and asks for a look at those for which they change something.
func (k *keeper) rejudge(names map[string]bool, now time.Time) {
	changed := false
	for i := range k.host.Tenants {
		t := &k.host.Tenants[i]
		if !names[t.Name] {
			continue
		}
		judged := t.Judge(k.verdicts.sick(*t))
		if reflect.DeepEqual(judged.Balancers, t.Balancers) {
			continue
		}
		*t, changed = judged, true
		k.record(t.Name).want(t, now, causeHealth)
	}
	if changed {
		k.board.post(*k.host, k.lock)
	}
}

// publishVerdicts says what this host has found out, and keeps it.
func (k *keeper) publishVerdicts() {
	probed := k.verdicts.probed()
	k.board.set(func(s *Status) { s.Probed = probed })
	if c, ok := k.opts.Source.(source.Carrier); ok && k.verdicts.known {
		c.Publish(k.verdicts.bench.list(k.opts.Name))
	}
	k.keepVerdicts()
}

func (k *keeper) keepVerdicts() {
	if err := k.verdicts.keep(); err != nil {
		k.opts.Log.Warn("a restart will take sick backends for healthy ones until it has probed them", "err", err)
	}
}

// sickBackends lists those that concern this host: the tenants are its own.
func (k *keeper) sickBackends() []SickBackend {
	out := []SickBackend{}
	if k.host == nil || len(k.verdicts.bench) == 0 {
		return out
	}
	for _, t := range k.host.Tenants {
		for _, b := range t.Balancers {
			for _, backend := range b.Backends {
				id := topology.BackendID{Tenant: t.Name, Balancer: b.Name, Interface: backend.Interface}
				if s, ok := k.verdicts.bench[backend.Peer.Host][id]; ok && b.HealthCheck != nil {
					out = append(out, SickBackend{Sick: s, Host: backend.Peer.Host, Counts: backend.Sick || backend.Lost || backend.Down})
				}
			}
		}
	}
	return out
}

// untold is a note about health checks that do not act as the fleet's author may expect: hosts with files do not tell each other.
func (k *keeper) untold(fleet *config.Fleet) []string {
	if k.verdicts.carried {
		return nil
	}
	var out []string
	for _, t := range fleet.Tenants {
		if slices.ContainsFunc(t.LoadBalancers, func(b config.Balancer) bool { return b.HealthCheck != nil }) {
			out = append(out, "loadBalancers.healthCheck of tenant "+t.Name+": hosts with the fleet in files do not tell each other which backends are sick; "+
				"a verdict acts only where the backend's host is the fleet's one node; for all others take the fleet from etcd")
		}
	}
	return out
}
