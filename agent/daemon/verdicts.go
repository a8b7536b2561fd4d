package daemon

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"slices"
	"time"

	"github.com/culvertnet/culvert/health"
	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/source"
	"github.com/culvertnet/culvert/topology"
)

// bench is who is sick, as the hosts say.
type bench map[string]map[topology.BackendID]source.Sick

// verdicts are what the keeper knows of the health of backends: its own host's by its own checks, others' by the source.
type verdicts struct {
	self string
	// carried is true if the source brings verdicts to all hosts.
	carried bool
	// path is where verdicts are kept for the next daemon; empty for nowhere.
	path string
	// checks are those that this host makes; numbers counts them.
	checks  map[topology.BackendID]probe
	numbers int
	bench   bench
	// known is true once it is known what this host has said before, be it nothing: until then it says nothing.
	known bool
	kept  []byte
}

// newVerdicts begins with what an earlier daemon has kept: nobody is well or sick because a daemon starts anew.
func newVerdicts(self, path string, carried bool) (*verdicts, error) {
	v := &verdicts{self: self, carried: carried, path: path, bench: bench{}, known: !carried}
	if path == "" {
		return v, nil
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return v, nil
	}
	var lists map[string][]source.Sick
	if err == nil {
		err = json.Unmarshal(text, &lists)
	}
	if err != nil {
		return v, fmt.Errorf("read the verdicts about backends that were kept: %w", err)
	}
	for host, list := range lists {
		if carried || host == self { // nobody would ever take back what others said when a source still brought it
			v.bench.put(host, list)
		}
	}
	v.known, v.kept = true, text
	return v, nil
}

// put replaces what a host says, be it heard, kept or found out.
func (b bench) put(host string, list []source.Sick) {
	delete(b, host)
	for _, s := range list {
		if b[host] == nil {
			b[host] = make(map[topology.BackendID]source.Sick)
		}
		b[host][s.Backend] = s.Tame()
	}
}

// list is what a host says, by the backends' names.
func (b bench) list(host string) []source.Sick {
	out := slices.Collect(maps.Values(b[host]))
	slices.SortFunc(out, func(a, b source.Sick) int { return cmp.Compare(a.Backend.String(), b.Backend.String()) })
	return out
}

// sick says who counts as sick for a tenant. If hosts cannot tell each other, a node acts on its own host's checks, and only if
// it is the tenant's one node: others would choose otherwise.
func (v *verdicts) sick(t topology.Tenant) func(host string, id topology.BackendID) bool {
	if nodes := t.Nodes(); !v.carried && (len(nodes) != 1 || nodes[0].Host != v.self) {
		return func(string, topology.BackendID) bool { return false }
	}
	return func(host string, id topology.BackendID) bool {
		_, sick := v.bench[host][id]
		return sick && (v.carried || host == v.self)
	}
}

// hear takes in what the source says, and returns the tenants that it concerns.
func (v *verdicts) hear(said map[string][]source.Sick) map[string]bool {
	changed := make(map[string]bool)
	if said == nil {
		return changed // it does not know; what is known stays
	}
	before := maps.Clone(v.bench)
	clear(v.bench)
	for host, list := range said {
		v.bench.put(host, list)
	}
	if v.known {
		// Nobody knows better than this host what it has found out itself.
		delete(v.bench, v.self)
		if own, ok := before[v.self]; ok {
			v.bench[v.self] = own
		}
	} else {
		// What this host has said in an earlier life stands until its checks, which begin anew with it, speak against it.
		for id := range v.bench[v.self] {
			if c, ok := v.checks[id]; ok {
				v.check(c.Check)
			}
		}
		own := v.bench.list(v.self)
		v.bench.put(v.self, append(own, before.list(v.self)...))
	}
	v.known = true
	for _, b := range []struct{ one, other bench }{{before, v.bench}, {v.bench, before}} {
		for host, list := range b.one {
			for id := range list {
				if _, same := b.other[host][id]; !same {
					changed[id.Tenant] = true
				}
			}
		}
	}
	return changed
}

// adopt takes over which checks are to be made here. Those that are made already go on. What was found out about others is forgotten.
func (v *verdicts) adopt(host topology.Host) {
	before := v.checks
	v.checks = make(map[topology.BackendID]probe)
	for _, t := range host.Tenants {
		for _, c := range health.Checks(t) {
			if old, ok := before[c.Backend]; ok && reflect.DeepEqual(old.Check, c) {
				v.checks[c.Backend] = old
			} else {
				v.check(c)
			}
		}
	}
	v.prune()
}

// check has a check made anew.
func (v *verdicts) check(c health.Check) {
	v.numbers++
	v.checks[c.Backend] = probe{Check: c, number: v.numbers}
}

func (v *verdicts) prune() {
	own := slices.DeleteFunc(v.bench.list(v.self), func(s source.Sick) bool {
		_, checked := v.checks[s.Backend]
		return !checked
	})
	v.bench.put(v.self, own)
}

// judge takes over what a check has come to. It is false if that is no news, or of a check that is not made any more.
func (v *verdicts) judge(n verdict, now time.Time) bool {
	id := n.probe.Backend
	if c, ok := v.checks[id]; !ok || c.number != n.probe.number {
		return false
	}
	if _, sick := v.bench[v.self][id]; sick != n.healthy {
		return false
	}
	own := slices.DeleteFunc(v.bench.list(v.self), func(s source.Sick) bool { return s.Backend == id })
	if !n.healthy {
		own = append(own, source.Sick{Backend: id, Since: now.UTC(), Why: n.why.Error()})
	}
	v.bench.put(v.self, own)
	return true
}

// probes are the checks to be made, with the verdicts as they are.
func (v *verdicts) probes() map[topology.BackendID]probe {
	out := make(map[topology.BackendID]probe, len(v.checks))
	for id, c := range v.checks {
		_, c.sick = v.bench[v.self][id]
		out[id] = c
	}
	return out
}

// probed is what the checks of this host have come to, by the backends' names.
func (v *verdicts) probed() []ProbedBackend {
	out := make([]ProbedBackend, 0, len(v.checks))
	for id := range v.checks {
		_, sick := v.bench[v.self][id]
		out = append(out, ProbedBackend{id, !sick})
	}
	slices.SortFunc(out, func(a, b ProbedBackend) int { return cmp.Compare(a.Backend.String(), b.Backend.String()) })
	return out
}

// keep writes the verdicts down for the next daemon, if they have changed.
func (v *verdicts) keep() error {
	if v.path == "" || !v.known {
		return nil
	}
	lists := make(map[string][]source.Sick, len(v.bench))
	for host := range v.bench {
		lists[host] = v.bench.list(host)
	}
	text, err := json.Marshal(lists)
	if err == nil && string(text) != string(v.kept) {
		err = portmap.ReplaceFile(v.path, text, 0o600)
	}
	if err != nil {
		return fmt.Errorf("keep the verdicts about backends for the next daemon: %w", err)
	}
	v.kept = text
	return nil
}
