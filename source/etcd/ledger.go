package etcd

import (
	"strings"
	"sync"
)

// ledger tells which generations the host may say to etcd that it has converged to. Pushes build on that: ports change hands when
// those have spoken that must.
type ledger struct {
	mu sync.Mutex
	// newest is the revision of the fleet that this etcd has delivered last. What is newer than that is of a time before etcd was
	// restored from a backup, and would be taken for what the host says of a fleet that is yet to be pushed.
	newest int64
	// twin is the last revision that two fleets had, for the same reason, and mark what the generation of the second one says.
	twin int64
	mark string
	// unkept is the first revision in force since a start without etcd would go back behind it, 0 if it would not.
	unkept int64
}

// meet notes the revision of etcd's fleet, and its mark if there has been another one of that revision.
func (l *ledger) meet(revision int64, mark string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.newest = revision
	if mark != "" {
		l.twin, l.mark = revision, mark
	}
}

// keep notes the revision that is in force and not kept; 0 if all is kept.
func (l *ledger) keep(unkept int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if unkept != 0 && l.unkept != 0 {
		unkept = min(unkept, l.unkept) // neither is kept
	}
	l.unkept = unkept
}

// vouches reports whether a generation that the host has converged to may be said.
func (l *ledger) vouches(converged string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch revision := Revision(converged); {
	case revision > l.newest, l.unkept != 0 && revision >= l.unkept:
		return false
	default:
		return revision != l.twin || strings.Contains(converged, l.mark)
	}
}

// twinMark is what sets a fleet apart from another one with the same revision.
func twinMark(root []byte) string { return "(fleet " + digest(root)[:8] + ")" }
