package events

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Tally collects what the tests of all streams came to.
type Tally struct {
	order   []key
	results map[key]*Result
	builds  map[string]*strings.Builder // output of builds by import path
	broken  []broken
}

// broken is a failure that no package stands for.
type broken struct{ stream, text string }

// key names a test, or a package where Test is empty.
type key struct{ stream, pkg, test string }

// Result is the outcome of one test or, where Test is empty, of one package.
type Result struct {
	Stream  Stream
	Package string
	Test    string
	Action  string // Pass, Fail or Skip; empty while it runs
	Elapsed float64
	Output  string

	text  strings.Builder
	build string
}

// NewTally returns an empty Tally.
func NewTally() *Tally {
	return &Tally{results: make(map[key]*Result), builds: make(map[string]*strings.Builder)}
}

// Read adds the events of a whole stream and calls watch, if there is one, with
// each. A line that is no event, and a stream that has no tests, count as
// failures.
func (t *Tally) Read(stream Stream, r io.Reader, watch func(Event)) error {
	lines := bufio.NewReader(r)
	tests := 0
	for {
		line, err := lines.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			var e Event
			if err := json.Unmarshal(line, &e); err != nil {
				t.Break(stream, fmt.Sprintf("a line of its output is no event: %.200q", line))
				continue
			}
			if e.Test != "" {
				tests++
			}
			t.Add(stream, e)
			if watch != nil {
				watch(e)
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Break(stream, "its output cannot be read: "+err.Error())
			return fmt.Errorf("read events of %s: %w", stream.Name, err)
		}
	}
	if tests == 0 {
		t.Break(stream, "no test ran")
	}
	return nil
}

// Break records a failure of a stream that is not one of its packages'.
func (t *Tally) Break(stream Stream, text string) {
	t.broken = append(t.broken, broken{stream.Name, text})
}

// Add adds one event.
func (t *Tally) Add(stream Stream, e Event) {
	if e.Action == BuildOutput {
		text := t.builds[e.ImportPath]
		if text == nil {
			text = &strings.Builder{}
			t.builds[e.ImportPath] = text
		}
		text.WriteString(e.Output)
		return
	}
	if e.Package == "" {
		return
	}
	t.result(stream, e.Package, "") // a package with tests has to end too
	r := t.result(stream, e.Package, e.Test)
	switch {
	case e.Action == Output:
		r.text.WriteString(e.Output)
	case e.Ended():
		// A later word of success does not undo a failure.
		if r.Action != Fail {
			r.Action = e.Action
		}
		r.Elapsed = e.Elapsed
		if e.FailedBuild != "" {
			r.build = e.FailedBuild
		}
	}
}

func (t *Tally) result(stream Stream, pkg, test string) *Result {
	k := key{stream.Name, pkg, test}
	r := t.results[k]
	if r == nil {
		r = &Result{Stream: stream, Package: pkg, Test: test}
		t.results[k] = r
		t.order = append(t.order, k)
	}
	return r
}

// Results are the outcomes that count, in the order in which they began.
type Results struct {
	Passed, Failed, Skipped []Result
	Broken                  []string // failures of whole streams
}

// Results sorts the outcomes.
func (t *Tally) Results() Results {
	var out Results
	for _, b := range t.broken {
		out.Broken = append(out.Broken, b.stream+": "+b.text)
	}
	parents, failedBelow := t.parents()
	for _, k := range t.order {
		r := *t.results[k]
		r.Output = t.output(k)
		r.text = strings.Builder{}
		ended := r.Action != ""
		failed := r.Action == Fail || !ended || r.Action == Skip && r.Test != "" && r.Stream.NoSkips
		switch {
		case failed && failedBelow[k]:
		case failed:
			if !ended {
				r.Output += "(did not end)\n"
			}
			out.Failed = append(out.Failed, r)
		case r.Test == "" || parents[k]:
		case r.Action == Pass:
			out.Passed = append(out.Passed, r)
		case r.Action == Skip:
			out.Skipped = append(out.Skipped, r)
		}
	}
	return out
}

// parents finds the tests with subtests, and the tests and packages with a
// failure somewhere below them.
func (t *Tally) parents() (parents, failedBelow map[key]bool) {
	parents, failedBelow = make(map[key]bool), make(map[key]bool)
	for k, r := range t.results {
		failed := r.Action == Fail || r.Action == "" || r.Action == Skip && r.Stream.NoSkips
		for up := k; up.test != ""; {
			i := strings.LastIndexByte(up.test, '/')
			up.test = up.test[:max(i, 0)]
			parents[up] = true
			failedBelow[up] = failedBelow[up] || failed
		}
	}
	return parents, failedBelow
}

func (t *Tally) output(k key) string {
	r := t.results[k]
	text := r.text.String()
	if build := t.builds[r.build]; build != nil {
		text += build.String()
	}
	return text
}

// Counts returns the numbers of the closing line.
func (r Results) Counts() (passed, failed, skipped int) {
	return len(r.Passed), len(r.Failed) + len(r.Broken), len(r.Skipped)
}

// Failed reports whether anything of a stream failed so far.
func (t *Tally) Failed(stream Stream) bool {
	return slices.ContainsFunc(t.broken, func(b broken) bool { return b.stream == stream.Name }) ||
		slices.ContainsFunc(t.Results().Failed, func(r Result) bool { return r.Stream.Name == stream.Name })
}

// OK reports whether something passed and nothing failed.
func (t *Tally) OK() bool {
	passed, failed, _ := t.Results().Counts()
	return passed > 0 && failed == 0
}
