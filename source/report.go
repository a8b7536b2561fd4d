package source

import "time"

// Reporter is a source that hosts' daemons report to, so that the whole fleet can be seen in one place.
type Reporter interface {
	// Report publishes how the host is, replacing what it said before. It does not wait: what cannot be published now is
	// published later, or replaced by a newer report.
	Report(r Report)
}

// Report says how one host is.
type Report struct {
	Host    string `json:"host"`
	Version string `json:"version"`
	// Ready is true once the daemon has looked at everything and tried to change what differs.
	Ready bool `json:"ready"`
	// Generation is the fleet that is in force, empty before the first.
	Generation string `json:"generation"`
	// Converged is the generation that the host was made to be like last; equal to Generation when it is.
	Converged string `json:"converged"`
	// Problems keep the host from converging, a line each.
	Problems []string `json:"problems"`
	// Time is when all that began to be so.
	Time time.Time `json:"time,omitzero"`
}
