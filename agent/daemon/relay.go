package daemon

import (
	"fmt"
	"time"

	"github.com/culvertnet/culvert/source"
)

// relayLines is how many problems a report has; the rest is counted.
const relayLines = 20

// relay reports the host to where its fleet comes from, if that wants to know.
func (k *keeper) relay() {
	if r, ok := k.opts.Source.(source.Reporter); ok {
		r.Report(summarize(k.board.read(), time.Now()))
	}
}

// summarize is the status as others of the fleet need it.
func summarize(s Status, now time.Time) source.Report {
	r := source.Report{Host: s.Host, Version: s.Version, Ready: s.Ready, Generation: s.Generation, Problems: []string{}, Time: now}
	if s.Converged != nil {
		r.Converged = s.Converged.Generation
	}
	say := func(what string, i *Incident) {
		if i != nil {
			r.Problems = append(r.Problems, what+i.Error)
		}
	}
	say("a newer fleet is refused: ", s.Refused)
	say("the fleet's source is away: ", s.Away)
	say("", s.Error)
	for _, t := range s.Tenants {
		say("tenant "+t.Name+": ", t.Error)
	}
	if more := len(r.Problems) - relayLines; more > 0 {
		r.Problems = append(r.Problems[:relayLines], fmt.Sprintf("and %d more", more))
	}
	return r
}
