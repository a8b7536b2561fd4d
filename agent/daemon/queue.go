package daemon

import (
	"sync"

	"github.com/culvertnet/culvert/source"
	"github.com/culvertnet/culvert/trigger"
)

// queue is what other tasks have for the keeper. Of snapshots only the newest counts, and equal events count once.
type queue struct {
	ready chan struct{} // has a value if there is news

	mu   sync.Mutex
	news news
}

// news is what has come since the keeper looked last.
type news struct {
	snapshot *source.Snapshot
	refused  error
	events   map[trigger.Event]bool
	verdicts []verdict
	all      bool // look at everything
}

func newQueue() *queue { return &queue{ready: make(chan struct{}, 1)} }

func (q *queue) put(change func(*news)) {
	q.mu.Lock()
	change(&q.news)
	q.mu.Unlock()
	select {
	case q.ready <- struct{}{}:
	default: // there is news already
	}
}

func (q *queue) deliver(s source.Snapshot) {
	q.put(func(n *news) { n.snapshot, n.refused = &s, nil })
}

func (q *queue) refuse(err error) { q.put(func(n *news) { n.refused = err }) }

func (q *queue) judge(v verdict) { q.put(func(n *news) { n.verdicts = append(n.verdicts, v) }) }

func (q *queue) everything() { q.put(func(n *news) { n.all = true }) }

func (q *queue) tell(e trigger.Event) {
	q.put(func(n *news) {
		if n.events == nil {
			n.events = make(map[trigger.Event]bool)
		}
		n.events[e] = true
	})
}

// take returns the news and forgets it.
func (q *queue) take() news {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := q.news
	q.news = news{}
	return n
}
