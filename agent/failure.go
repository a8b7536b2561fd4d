package agent

import (
	"strings"

	"github.com/culvertnet/culvert/overlay"
)

// Failure is what went wrong at one place, a tenant namespace or the host's own.
type Failure struct {
	Place overlay.Place
	Err   error
}

// Error returns the reason, which names the place.
func (f Failure) Error() string { return f.Err.Error() }

// Unwrap returns the reason.
func (f Failure) Unwrap() error { return f.Err }

// Failures are all that went wrong in one [Agent.Apply].
type Failures []Failure

// Error returns a line for each failure.
func (f Failures) Error() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = f[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the failures.
func (f Failures) Unwrap() []error {
	errs := make([]error, len(f))
	for i := range f {
		errs[i] = f[i]
	}
	return errs
}
