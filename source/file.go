package source

import (
	"context"
	"fmt"
	"time"
)

// Settle is how long two files may contradict each other, or be half written, before they are refused.
const Settle = time.Second

// recheck is how often files are looked at that nothing is heard of: not every file system tells of changes that another
// machine made.
const recheck = 30 * time.Second

// File is a fleet in two files.
type File struct {
	fleet, lock string
	reload      chan struct{}
	// settle and recheck are the constants, shorter in tests.
	settle, recheck time.Duration
}

// NewFile is the source of a fleet's file and its lock's.
func NewFile(fleet, lock string) *File {
	return &File{fleet: fleet, lock: lock, reload: make(chan struct{}, 1), settle: Settle, recheck: recheck}
}

// String names the fleet's file.
func (f *File) String() string { return f.fleet }

// Reload makes Run read the files and deliver or refuse them, whether they changed or not.
func (f *File) Reload() {
	select {
	case f.reload <- struct{}{}:
	default: // one is asked for already
	}
}

// Run reads the files, and again whenever they change. Files that replace others by a rename are noticed like those that are
// written in place, and so is a symbolic link that is made to point elsewhere.
func (f *File) Run(ctx context.Context, deliver func(Snapshot), refuse func(error)) error {
	w, err := watch(f.fleet, f.lock)
	if err != nil {
		return err
	}
	defer func() { _ = w.Close() }()
	tick := time.NewTicker(f.recheck)
	defer tick.Stop()
	r := reader{File: f, deliver: deliver, refuse: refuse, settled: time.NewTimer(f.settle)}
	defer r.settled.Stop()
	r.read(true)
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-w.failed:
			return fmt.Errorf("watch %s: %w", f.fleet, err)
		case <-w.changed:
			r.look(w)
		case <-tick.C:
			r.look(w)
		case <-f.reload:
			r.read(true)
		case <-r.settled.C:
			r.give()
		}
	}
}

// reader turns what is in the files into deliveries and refusals, each once.
type reader struct {
	*File
	deliver func(Snapshot)
	refuse  func(error)
	// last was delivered last, seen is the generation of what was read last, empty if that failed.
	last Snapshot
	seen string
	// doubtful is the reason to refuse when the files have settled, refused what has been said since the last delivery.
	doubtful error
	refused  string
	settled  *time.Timer
}

// look reads the files because something may have changed. What is watched may have, too: a folder may have been replaced
// by another one of its name, and a link by one that leads elsewhere.
func (r *reader) look(w *watcher) {
	if err := w.add(r.fleet, r.lock); err != nil {
		r.doubt(err)
		return
	}
	r.read(false)
}

// read reads the files. With now set it ends in a delivery or a refusal, whether they changed or not.
func (r *reader) read(now bool) {
	if now {
		r.seen, r.refused = "", ""
	}
	t, err := readTexts(r.fleet, r.lock)
	if err != nil {
		r.seen = ""
		r.doubt(err)
	} else if generation := t.generation(); generation != r.seen {
		r.seen = generation
		r.parse(t, now)
	}
	if now {
		r.give()
	}
}

func (r *reader) parse(t texts, now bool) {
	if r.seen == r.last.Generation && !now {
		// Back to what is in force; whoever heard of a refusal must hear of that.
		r.doubtful = nil
		if r.refused != "" {
			r.refused = ""
			r.deliver(r.last)
		}
		return
	}
	s, err := t.parse(r.fleet, r.lock)
	if err != nil {
		r.doubt(err)
		return
	}
	r.last, r.doubtful, r.refused = s, nil, ""
	r.deliver(s)
}

// doubt puts a refusal off until the files have settled: the next change may be the missing half.
func (r *reader) doubt(err error) {
	if r.doubtful == nil {
		r.settled.Reset(r.settle)
	}
	r.doubtful = err
}

// give refuses what is still doubtful, and does not say the same twice.
func (r *reader) give() {
	err := r.doubtful
	r.doubtful = nil
	if err == nil || err.Error() == r.refused {
		return
	}
	r.refused = err.Error()
	r.refuse(err)
}
