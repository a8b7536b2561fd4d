package daemon

import (
	"slices"
	"sync"
	"time"

	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/source"
	"github.com/culvertnet/culvert/topology"
)

// State is how a tenant is.
type State string

// The states.
const (
	// Pending tenants have not been looked at since the fleet changed.
	Pending State = "pending"
	// Converged tenants are as the fleet says.
	Converged State = "converged"
	// Waiting tenants are, but for devices that are not there.
	Waiting State = "waiting"
	// Failed tenants could not be changed; the daemon tries again.
	Failed State = "failed"
)

// Status says how a host is, for people and programs. It is what the API returns.
type Status struct {
	Host    string `json:"host"`
	Version string `json:"version"`
	// Source is where the fleet comes from, Generation the fleet that is in force, empty before the first.
	Source     string `json:"source"`
	Generation string `json:"generation"`
	// Refused is the newer fleet that is not in force; nil if there is none.
	Refused *Incident `json:"refused"`
	// Away is why the place where the fleet is cannot be reached, so that nobody knows whether there is a newer one; nil if it can.
	Away *Incident `json:"away"`
	// Unkept is why a start without the fleet's source would go back behind the fleet that is in force; nil if it would not.
	Unkept *Incident `json:"unkept"`
	// Ready is true once every tenant has been looked at and tried.
	Ready bool `json:"ready"`
	// Converged is when the host was as the fleet says last, and how long that took from the fleet's arrival.
	Converged *Convergence `json:"converged"`
	// Error is what concerns the whole host.
	Error *Incident `json:"error"`
	// Next is when something is looked at next if nothing happens until then.
	Next time.Time `json:"next,omitzero"`
	// Changes and Drift count since the start: what was written, and how much of it was to undo what others had done.
	Changes int `json:"changes"`
	Drift   int `json:"drift"`
	// Notes are parts of the fleet that this version or this host does not carry out, and what it cannot hear.
	Notes []string `json:"notes"`
	// Lacking is how many of the notes are about what this host cannot do, such as load balancing without IPVS.
	Lacking int `json:"lacking"`
	// Sick are the backends of the host's tenants that fail their health checks, wherever they run. Never nil.
	Sick []SickBackend `json:"sick"`
	// Probed are the backends whose health checks this host makes, as they run here, by name, and what they have come to, wherever
	// the fleet comes from. Never nil.
	Probed  []ProbedBackend `json:"probed"`
	Tenants []Tenant        `json:"tenants"`
	// HostDrift are repairs in the host's own namespace.
	HostDrift *Repair `json:"hostDrift"`
	// HostFaults are the objects of the host's own namespace that could not be made when they were tried last, up to 20.
	HostFaults []Fault `json:"hostFaults,omitempty"`
}

// Tenant is one tenant on the host.
type Tenant struct {
	Name  string `json:"name"`
	State State  `json:"state"`
	// Generation is the fleet that the tenant was made to be like last.
	Generation string `json:"generation"`
	// Looked is when the kernel was compared with the fleet last.
	Looked time.Time `json:"looked,omitzero"`
	// Changed is when something was written last, Took how long that look with its writes took; both zero if nothing has been.
	Changed time.Time     `json:"changed,omitzero"`
	Took    time.Duration `json:"tookNanoseconds,omitzero"`
	// Waiting are devices that are not there.
	Waiting []string `json:"waiting,omitempty"`
	// Error is why the last try failed; nil if it did not. Retry is when the next one is due.
	Error *Incident `json:"error"`
	Retry time.Time `json:"retry,omitzero"`
	// Faults are the objects that could not be made when they were tried last, up to 20; none if the last try did not fail.
	Faults []Fault `json:"faults,omitempty"`
	// Drift counts changes that undid what others had done.
	Drift int `json:"drift"`
	// Repaired is what was repaired last.
	Repaired *Repair `json:"repaired"`
}

// SickBackend is a backend that fails its health check.
type SickBackend struct {
	source.Sick
	// Host runs the backend, and says so.
	Host string `json:"host"`
	// Counts is false if the backend gets new flows all the same: too few are healthy (the panic threshold), or the source of the
	// fleet does not carry verdicts from host to host.
	Counts bool `json:"counts"`
}

// ProbedBackend is a backend that this host probes.
type ProbedBackend struct {
	Backend topology.BackendID `json:"backend"`
	// Healthy is true until probes have spoken against it, as they may have to an earlier daemon.
	Healthy bool `json:"healthy"`
}

// Incident is an error and when it was met first.
type Incident struct {
	Error string    `json:"error"`
	Since time.Time `json:"since"`
}

// Convergence is the host's way to a fleet.
type Convergence struct {
	Generation string        `json:"generation"`
	At         time.Time     `json:"at"`
	Took       time.Duration `json:"tookNanoseconds,omitzero"`
}

// Repair is drift that was undone.
type Repair struct {
	At time.Time `json:"at"`
	// Changes are lines as of `culvert plan`, up to [repairLines]; one more says how many are left out.
	Changes []string `json:"changes"`
}

// repairLines is how many lines of a repair are kept.
const repairLines = 20

// Healthy reports whether there is nothing to worry about: everything is as the newest fleet says, or waits for devices.
func (s Status) Healthy() bool {
	return s.Ready && s.Refused == nil && s.Away == nil && s.Unkept == nil && s.Error == nil && !slices.ContainsFunc(s.Tenants, func(t Tenant) bool {
		return t.State == Failed || t.State == Pending
	})
}

// board is the status that the keeper writes and others read.
type board struct {
	mu     sync.Mutex
	status Status
	host   *topology.Host
	lock   *portmap.Lock
}

func newBoard() *board {
	return &board{status: Status{Notes: []string{}, Tenants: []Tenant{}, Sick: []SickBackend{}, Probed: []ProbedBackend{}}}
}

func (b *board) set(change func(*Status)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(&b.status)
}

// post shows the fleet that is in force. The keeper goes on changing tenants of its own list (verdicts), so readers get another.
func (b *board) post(host topology.Host, lock *portmap.Lock) {
	host.Tenants = slices.Clone(host.Tenants)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.host, b.lock = &host, lock
}

// fleet is what was posted last.
func (b *board) fleet() (*topology.Host, *portmap.Lock) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.host, b.lock
}

// read copies the status. What it points to is never changed, only replaced.
func (b *board) read() Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.status
	s.Notes, s.Tenants = append([]string{}, s.Notes...), append([]Tenant{}, s.Tenants...)
	s.Sick = append([]SickBackend{}, s.Sick...)
	return s
}

// since returns an incident with the error, which keeps its time if it is the same as before.
func since(old *Incident, err error, now time.Time) *Incident {
	if old != nil && old.Error == err.Error() {
		return old
	}
	return &Incident{err.Error(), now}
}
