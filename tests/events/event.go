package events

import "time"

// Event is one line of "go test -json" (go doc test2json).
type Event struct {
	Time        time.Time `json:",omitzero"`
	Action      string
	Package     string  `json:",omitempty"`
	ImportPath  string  `json:",omitempty"` // of build-output and build-fail, instead of Package
	Test        string  `json:",omitempty"`
	Elapsed     float64 `json:",omitempty"` // seconds, of pass, fail and skip
	Output      string  `json:",omitempty"`
	FailedBuild string  `json:",omitempty"` // of a package's fail: the ImportPath that did not build
}

// The actions that matter here.
const (
	Start       = "start"
	Pass        = "pass"
	Fail        = "fail"
	Skip        = "skip"
	Output      = "output"
	BuildOutput = "build-output"
)

// Ended reports whether e is the end of a test or of a package.
func (e Event) Ended() bool {
	return e.Action == Pass || e.Action == Fail || e.Action == Skip
}

// Stream is where events come from.
type Stream struct {
	Name    string
	NoSkips bool // a skipped test counts as failed
}
