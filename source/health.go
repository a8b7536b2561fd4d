package source

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/culvertnet/culvert/topology"
)

// Sick is a backend that fails its load balancer's health check, as the host says that runs it.
type Sick struct {
	Backend topology.BackendID `json:"backend"`
	// Since is when the verdict was given, by that host's clock.
	Since time.Time `json:"since"`
	// Why is what the probe met that decided it. A VM may have chosen the words: see [Sick.Tame].
	Why string `json:"why"`
}

// maxWhy is the most bytes of a reason. A host with a thousand sick backends stays far below what etcd takes as one value, 1.5 MB.
const maxWhy = 200

// Tame returns it with a reason that is short and printable. What a VM answers to a probe is its tenant's to choose: it must neither fill
// what hosts tell each other nor reach the terminal of who reads it.
func (s Sick) Tame() Sick {
	var b strings.Builder
	for _, r := range s.Why {
		if !unicode.IsPrint(r) {
			r = unicode.ReplacementChar
		}
		if b.Len()+utf8.RuneLen(r) > maxWhy {
			break
		}
		b.WriteRune(r)
	}
	s.Why = b.String()
	return s
}

// Carrier is a source that brings what hosts find out about their backends to all others.
type Carrier interface {
	// Publish replaces what the host says about the backends that it runs: those that are not listed are well. It does not wait:
	// what cannot be published now is published later, or replaced by what comes next.
	Publish(sick []Sick)
}
