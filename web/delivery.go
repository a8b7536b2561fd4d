package web

import (
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	// undelivered are the answers that may wait in memory for their readers at once: metrics of a large host are tens of megabytes.
	// Those of up to small bytes, such as the health, are not counted: connections are bounded, too.
	undelivered = 8
	small       = 64 << 10
	// delivering is how long a reader may take for an answer, and a second more for each perSecond bytes.
	delivering = 10 * time.Second
	perSecond  = 1 << 20
)

// deliveries are the answers that are made and on their way.
type deliveries struct {
	patience time.Duration
	mu       sync.Mutex
	// under way are these, less the small ones, the oldest first.
	under []*http.ResponseController
}

// enter gives a reader its time. If too many answers are under way, the oldest is cut off; a small one cuts off nobody.
func (d *deliveries) enter(c *http.ResponseController, size int) {
	// Recorders of tests have no deadline to set.
	_ = c.SetWriteDeadline(time.Now().Add(d.patience + time.Duration(size)*time.Second/perSecond))
	if size <= small {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.under) >= undelivered {
		_ = d.under[0].SetWriteDeadline(time.Now())
		d.under = slices.Delete(d.under, 0, 1)
	}
	d.under = append(d.under, c)
}

func (d *deliveries) leave(c *http.ResponseController) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if i := slices.Index(d.under, c); i >= 0 {
		d.under = slices.Delete(d.under, i, i+1)
	}
}

// delivery is one of them.
type delivery struct {
	http.ResponseWriter
	all *deliveries
}

// Write sends an answer, or a part of it, within the time that its size allows.
func (d delivery) Write(b []byte) (int, error) {
	c := http.NewResponseController(d.ResponseWriter)
	d.all.enter(c, len(b))
	defer d.all.leave(c)
	return d.ResponseWriter.Write(b)
}
