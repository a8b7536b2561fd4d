package source

import "time"

// Linked is a source that keeps a connection to where the fleet is.
type Linked interface {
	// Link says how the connection is.
	Link() Link
}

// Link is how a source's connection is.
type Link struct {
	// Connected is true while the other side is heard.
	Connected bool
	// Since is when that began; zero before the first try has ended.
	Since time.Time
}
