package source

import "time"

// Linked is a source that keeps a connection to where the fleet is.
type Linked interface {
	// Link says how the connection is.
	Link() Link
}

// Away is why the place where the fleet is cannot be reached, and there may be a newer fleet, or none; or why it does not take what the
// host has to say.
type Away struct{ error }

// NewAway says that the place cannot be reached because of err.
func NewAway(err error) Away { return Away{err} }

// Unwrap returns the reason.
func (a Away) Unwrap() error { return a.error }

// Link is how a source's connection is.
type Link struct {
	// Connected is true while the other side is heard.
	Connected bool
	// Since is when that began; zero before the first try has ended.
	Since time.Time
}
