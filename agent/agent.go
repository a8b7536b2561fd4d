package agent

import (
	"fmt"
	"slices"
	"time"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/nft"
	"github.com/culvertnet/culvert/overlay"
	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/topology"
)

// Agent keeps one host. It is not for concurrent use.
type Agent struct {
	name   string
	host   *netns.NS
	kernel *overlay.Kernel
	// settling are the load balancers that an Apply has changed and not settled, and when they may be.
	settling map[overlay.Place]time.Time
	// announced are the load balancers whose change has been announced, and when it may be made.
	announced map[overlay.Place]time.Time
	// known are places whose rules have been read and were right, and need not be read again as long as nobody changes rules there.
	known map[overlay.Place]nft.Known
	// doubted are those of them that the next plan reads all the same.
	doubted  map[overlay.Place]bool
	progress func()
}

// OnProgress has f called whenever a plan or its application has come further: what takes long has not come to a halt.
func (a *Agent) OnProgress(f func()) {
	a.progress = f
	a.kernel.OnProgress(f)
}

// Open returns the agent of the named host, whose own namespace is given. prefix goes before the names of the tenant
// namespaces; it is empty on a real host and tells hosts of one machine apart in a lab. Call Close when done.
func Open(host *netns.NS, prefix, name string) *Agent {
	return &Agent{
		name: name, host: host, kernel: overlay.Open(host, prefix), progress: func() {},
		settling: make(map[overlay.Place]time.Time), announced: make(map[overlay.Place]time.Time),
		known: make(map[overlay.Place]nft.Known), doubted: make(map[overlay.Place]bool),
	}
}

// Close gives all sockets back.
func (a *Agent) Close() error { return a.kernel.Close() }

// Plan is all that would change on a host.
type Plan struct {
	Host    string
	Overlay overlay.Plan
	// Guard changes the rules of the host's own namespace. They are there before what they guard comes, and leave after it.
	Guard nft.Plan
	// Facts are what the plan took for given.
	Facts overlay.Facts
	// Rules are the changes of tenants' rules by place, in the order of the places.
	Rules []Rules
	// Balancing are the changes of IPVS, after the rules.
	Balancing []Balancing
	// Notes say which parts of the fleet this version, or this kernel, does not carry out.
	Notes []string
	// unguarded says that the guard leaves altogether.
	unguarded bool
}

// Rules is the change of one tenant's rules.
type Rules struct {
	Place overlay.Place
	Plan  nft.Plan
}

// Empty reports whether the kernel is as it should be.
func (p Plan) Empty() bool {
	return p.Overlay.Empty() && p.Guard.Empty() && len(p.Rules) == 0 && len(p.Balancing) == 0
}

// Plan compares the kernel with the fleet. It changes nothing, but for the modules of IPVS: where the host is to balance, the kernel
// loads them to be asked.
func (a *Agent) Plan(fleet *config.Fleet, lock *portmap.Lock) (Plan, error) {
	host, err := topology.For(fleet, lock, a.name)
	if err != nil {
		return Plan{}, err
	}
	plan, err := a.PlanHost(host)
	plan.Notes = slices.Concat(plan.Notes, Notes(fleet), unchecked(fleet))
	return plan, err
}

// PlanHost compares the kernel with what the host must hold. It changes no more than [Agent.Plan].
func (a *Agent) PlanHost(host topology.Host) (Plan, error) {
	links, facts, err := a.kernel.Compare(host)
	if err != nil {
		return Plan{}, fmt.Errorf("host %s: %w", a.name, err)
	}
	return a.plan(host, host.Tenants, links, facts)
}

// PlanOnly compares what is of the named tenants, and the host's own rules. A name that is no tenant's of the host is of one
// whose namespace must go.
func (a *Agent) PlanOnly(host topology.Host, names []string) (Plan, error) {
	var tenants []topology.Tenant
	for _, t := range host.Tenants {
		if slices.Contains(names, t.Name) {
			tenants = append(tenants, t)
		}
	}
	places := make([]overlay.Place, len(names))
	for i, name := range names {
		places[i] = overlay.Place(topology.NamespacePrefix + name)
	}
	part := host
	part.Tenants = tenants
	links, facts, err := a.kernel.CompareOnly(part, places)
	if err != nil {
		return Plan{}, fmt.Errorf("host %s: %w", a.name, err)
	}
	return a.plan(host, tenants, links, facts)
}

// Cleanup plans the removal of everything that is ours on the host, whatever the fleet says. VM devices go back to the
// host's namespace.
func (a *Agent) Cleanup() (Plan, error) { return a.PlanHost(topology.Host{Name: a.name}) }

// plan goes on with the rules of some tenants of the host, and of the host itself.
func (a *Agent) plan(host topology.Host, tenants []topology.Tenant, links overlay.Plan, facts overlay.Facts) (plan Plan, err error) {
	plan = Plan{Host: a.name, Overlay: links, Facts: facts}
	if plan.Guard, plan.unguarded, err = a.guard(host); err != nil {
		return plan, err
	}
	for _, t := range tenants {
		a.progress()
		place := overlay.Place(t.Namespace())
		rules, err := a.tenantRules(place, t, plan.Overlay)
		if err != nil {
			return plan, err
		}
		if !rules.Empty() {
			plan.Rules = append(plan.Rules, Rules{place, rules})
		}
		balancing, note, err := a.balancing(place, t, plan.Overlay)
		if err != nil {
			return plan, err
		}
		if !balancing.Empty() {
			plan.Balancing = append(plan.Balancing, Balancing{place, balancing})
		}
		if note != "" {
			plan.Notes = append(plan.Notes, note)
		}
	}
	return plan, nil
}

// Notes names what the fleet asks for and nobody does.
func Notes(fleet *config.Fleet) []string {
	var out []string
	nodes := slices.ContainsFunc(fleet.Hosts, func(h config.Host) bool { return slices.Contains(h.Roles, config.LoadBalancer) })
	for _, t := range fleet.Tenants {
		if len(t.LoadBalancers) > 0 && !nodes {
			out = append(out, fmt.Sprintf("loadBalancers of tenant %s: no host has the role %s, nobody serves them", t.Name, config.LoadBalancer))
		}
	}
	return out
}

// unchecked names the health checks that an agent does not make by itself.
func unchecked(fleet *config.Fleet) []string {
	var out []string
	for _, t := range fleet.Tenants {
		if slices.ContainsFunc(t.LoadBalancers, func(b config.Balancer) bool { return b.HealthCheck != nil }) {
			out = append(out, fmt.Sprintf("loadBalancers.healthCheck of tenant %s: made by `culvert daemon`; here all backends count as healthy", t.Name))
		}
	}
	return out
}
