package etcd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/source"
)

// desk is where what etcd says becomes deliveries and refusals.
type desk struct {
	*Source
	deliver func(source.Snapshot)
	refuse  func(error)
	loader  loader
	census  census

	// fleet and lock are the last good ones, pushed at the revision; nil before the first.
	fleet    *config.Fleet
	lock     *portmap.Lock
	root     []byte
	revision int64
	cached   bool
	// mark is the fleet's own name if another one had the same revision before; empty otherwise.
	mark string
	// unkept is why the cache does not have the fleet, unkeptTold what was delivered of that.
	unkept, unkeptTold error
	// ledger is what the host may say to etcd that it has converged to.
	ledger ledger
	// sick are the hosts' verdicts, nil before any were heard; judged is true if they are news.
	sick   map[string][]source.Sick
	judged bool
	// wrong is what is wrong with the fleet or with the way to it, refusals the writes that etcd does not take.
	wrong    error
	refusals map[string]error
	// given is the generation that was delivered last, problem what has been told to be wrong.
	given   string
	problem error
}

// hear takes in what the fleet's key holds. Its error is one of the way to etcd; one of the fleet is refused.
func (d *desk) hear(ctx context.Context, root []byte, revision int64, get getter) error {
	same := revision == d.revision && bytes.Equal(root, d.root)
	if same && !d.cached {
		d.keep()
		d.tell(nil)
		return nil
	}
	fleet, lock, err := d.loader.load(ctx, root, get)
	if errors.Is(err, errFleet) {
		d.tell(fmt.Errorf("revision %d: %w", revision, err))
		return nil
	}
	if err != nil {
		return err
	}
	switch {
	case revision != d.revision:
		d.mark = ""
	case !same:
		d.mark = twinMark(root)
	}
	d.fleet, d.lock, d.root, d.revision, d.cached = fleet, lock, root, revision, false
	if d.Cache != "" {
		// Before anybody acts on it: a start without etcd must not go back behind what the kernel holds.
		d.store()
	}
	d.tell(nil)
	return nil
}

// store writes the fleet in force to the cache. If that fails the fleet is in force all the same, and nobody hears that the host has
// converged to it: after a start without etcd it would not have it.
func (d *desk) store() {
	d.unkept = writeCache(d.Cache, d.layout, d.revision, image{d.root, d.loader.values})
	if d.unkept == nil {
		d.ledger.keep(0)
	} else {
		d.ledger.keep(d.revision)
	}
}

// keep tries again to write to the cache what it did not take, and reports whether it takes it now.
func (d *desk) keep() bool {
	if d.unkept == nil {
		return false
	}
	if d.store(); d.unkept != nil {
		return false
	}
	d.outbox.anew() // what could not be said before
	return true
}

// meet notes what etcd has before anything is said to it.
func (d *desk) meet(root []byte, revision int64) {
	mark := ""
	if d.fleet != nil && root != nil && revision == d.revision && !bytes.Equal(root, d.root) {
		mark = twinMark(root)
	}
	d.ledger.meet(revision, mark)
}

// without goes on without a fleet from etcd: with the last one, or at a start with the one in the cache.
func (d *desk) without(ctx context.Context, problem error) {
	if d.fleet == nil && d.Cache != "" {
		problem = errors.Join(problem, d.boot(ctx))
	}
	d.keep()
	d.tell(problem)
}

// boot takes the fleet in the cache, if there is one.
func (d *desk) boot(ctx context.Context) error {
	revision, i, err := readCache(d.Cache, d.layout)
	if err != nil || revision == 0 {
		return err
	}
	fleet, lock, err := d.loader.load(ctx, i.root, i.get)
	if err != nil {
		return fmt.Errorf("use the fleet that was kept in %s: %w", d.Cache, err)
	}
	d.fleet, d.lock, d.root, d.revision, d.cached = fleet, lock, i.root, revision, true
	return nil
}

// tell delivers the fleet in force if that is news, or if nothing is wrong any more, and then says what is wrong.
func (d *desk) tell(wrong error) {
	d.wrong = wrong
	problem := wrong
	for _, what := range slices.Sorted(maps.Keys(d.refusals)) {
		problem = errors.Join(problem, d.refusals[what])
	}
	if wrong == nil && problem != nil {
		problem = source.NewAway(problem) // nothing is wrong with the fleet
	}
	news := false
	if d.fleet != nil {
		s := d.snapshot()
		news = s.Generation != d.given || d.judged || problem == nil && d.problem != nil || text(s.Unkept) != text(d.unkeptTold)
		if news {
			d.given, d.judged, d.unkeptTold = s.Generation, false, s.Unkept
			d.deliver(s)
		}
	}
	if problem != nil && (news || d.problem == nil || problem.Error() != d.problem.Error()) {
		d.refuse(problem)
	}
	d.problem = problem
}

// text is what an error says, empty for none.
func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// again tells everything once more.
func (d *desk) again() {
	d.given, d.problem = "", nil
	d.tell(d.wrong)
}

// snapshot is the last good fleet, with the hosts that are lost and the backends that are sick.
func (d *desk) snapshot() source.Snapshot {
	fleet := *d.fleet
	fleet.Hosts = slices.Clone(fleet.Hosts)
	var lost []string
	for i := range fleet.Hosts {
		h := &fleet.Hosts[i]
		// Who asks is there, whatever etcd believes.
		if d.census.lost[h.Name] && h.State == config.Up && h.Name != d.Host {
			h.State = config.Lost
			lost = append(lost, h.Name)
		}
	}
	return source.Snapshot{Fleet: &fleet, Lock: d.lock, Generation: generation(d.revision, d.mark, d.cached, lost), Sick: d.sick, Unkept: d.unkept}
}

// generation names a snapshot: the revision, and what makes it another than was pushed.
func generation(revision int64, mark string, cached bool, lost []string) string {
	g := strconv.FormatInt(revision, 10)
	if mark != "" {
		g += " " + mark
	}
	if cached {
		g += " (cached)"
	}
	slices.Sort(lost)
	switch n := len(lost); {
	case n > 3:
		g += fmt.Sprintf(" without %d hosts (%s)", n, digest([]byte(strings.Join(lost, " ")))[:8])
	case n > 0:
		g += " without " + strings.Join(lost, ", ")
	}
	return g
}

// Revision is the revision that a snapshot's generation names; 0 if it names none.
func Revision(generation string) int64 {
	number, _, _ := strings.Cut(generation, " ")
	revision, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return 0
	}
	return revision
}
