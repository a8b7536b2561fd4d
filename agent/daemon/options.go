package daemon

import (
	"log/slog"
	"time"

	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/source"
)

// DefaultCheck is how often every tenant is looked at although nobody said that something changed. A look that reads rules takes some 10 ms of a
// processor: with a thousand tenants that is 3 % of one.
const DefaultCheck = 5 * time.Minute

// Options say what a daemon keeps, and how.
type Options struct {
	// Host is the host's own namespace; it must stay open until Run returns.
	Host *netns.NS
	// Prefix goes before the names of tenant namespaces; it is empty on a real host.
	Prefix string
	// Name is the host's in the fleet.
	Name   string
	Source source.Source
	// Socket is the path of the unix socket of the API; empty for none.
	Socket string
	// Verdicts is the path of the file that keeps what is known about sick backends for the next daemon; empty for none.
	Verdicts string
	// Known is the path of the file that tells the next daemon which rules are known to be right; empty for none. It must be gone after
	// a boot, or be of no consequence then: it names the boot.
	Known string
	// Lock is the path of the file that keeps two programs from changing the host at the same time; empty for none.
	Lock string
	// Check is how long one round of the slow check takes; 0 means [DefaultCheck].
	Check time.Duration
	// Version is shown in the status.
	Version string
	// Log takes a line for each change; nil means slog's default.
	Log *slog.Logger
	// Service tells the service manager how the daemon is; nil if there is none.
	Service *Service
}

func (o *Options) setDefaults() {
	if o.Check == 0 {
		o.Check = DefaultCheck
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
}
