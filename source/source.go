package source

import (
	"context"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/portmap"
)

// Snapshot is a fleet with its lock, one whole and proven.
type Snapshot struct {
	Fleet *config.Fleet
	Lock  *portmap.Lock
	// Generation names the snapshot: equal generations are equal snapshots. From files it is a digest of both, from etcd the
	// revision. Verdicts about backends change within a generation.
	Generation string
	// Sick are the backends that fail their health checks, by the host that runs them and says so. What a host says of a backend
	// that it does not run counts for nothing. Nil if the source does not know, or does not carry verdicts ([Carrier]).
	Sick map[string][]Sick
	// Unkept is why a start without the source would go back behind this snapshot; nil if it would not. The snapshot is as good as others.
	Unkept error
}

// Source delivers snapshots until the context ends.
type Source interface {
	// Run delivers the first snapshot and each later one. A fleet that is refused (unreadable, invalid, unproven) is
	// reported to refuse; the last good one stays. So is [Away], that the other side is not heard. Run returns nil when the context ends, and an error if it cannot go on.
	Run(ctx context.Context, deliver func(Snapshot), refuse func(error)) error
	// String names the source in log lines and in the status.
	String() string
}

// Reloader is a source that looks again when told to, as at SIGHUP.
type Reloader interface {
	// Reload makes Run deliver what is there, also if it was delivered before, or refuse it. It does not wait for that.
	Reload()
}
