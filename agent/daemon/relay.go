package daemon

import (
	"fmt"
	"strings"
	"time"

	"github.com/culvertnet/culvert/source"
)

// A report has so many problems of so many bytes each; the rest is counted. A host on which everything fails stays far below what etcd
// takes as one value, 1.5 MB.
const relayProblems, relayBytes = 20, 2048

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
			r.Problems = append(r.Problems, cut(what+i.Error))
		}
	}
	say("a newer fleet is refused: ", s.Refused)
	say("the fleet's source is away: ", s.Away)
	say("the fleet in force is not kept: ", s.Unkept)
	say("", s.Error)
	for _, t := range s.Tenants {
		say("tenant "+t.Name+": ", t.Error)
	}
	if more := len(r.Problems) - relayProblems; more > 0 {
		r.Problems = append(r.Problems[:relayProblems], fmt.Sprintf("and %d more", more))
	}
	return r
}

// cut leaves of a text as many whole lines as there is room for, of one long line its beginning.
func cut(text string) string {
	if len(text) <= relayBytes {
		return text
	}
	kept := text[:relayBytes]
	if end := strings.LastIndexByte(kept, '\n'); end > 0 {
		return kept[:end] + fmt.Sprintf("\nand %d lines more", strings.Count(text[end+1:], "\n")+1)
	}
	return strings.ToValidUTF8(kept, "") + "..."
}
