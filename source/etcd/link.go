package etcd

import (
	"sync"
	"time"

	"github.com/culvertnet/culvert/source"
)

// line remembers whether etcd is heard.
type line struct {
	mu   sync.Mutex
	link source.Link
}

func (l *line) set(connected bool, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.link.Since.IsZero() || l.link.Connected != connected {
		l.link = source.Link{Connected: connected, Since: now}
	}
}

// Link says whether etcd is heard. A connection that breaks is told by the next probe, after half a [Config.Lease] at most and the time for one request.
func (s *Source) Link() source.Link {
	s.line.mu.Lock()
	defer s.line.mu.Unlock()
	return s.line.link
}
