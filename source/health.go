package source

import (
	"time"

	"github.com/culvertnet/culvert/topology"
)

// Sick is a backend that fails its load balancer's health check, as the host says that runs it.
type Sick struct {
	Backend topology.BackendID `json:"backend"`
	// Since is when the verdict was given, by that host's clock.
	Since time.Time `json:"since"`
	// Why is what the probe met that decided it.
	Why string `json:"why"`
}

// Carrier is a source that brings what hosts find out about their backends to all others.
type Carrier interface {
	// Publish replaces what the host says about the backends that it runs: those that are not listed are well. It does not wait:
	// what cannot be published now is published later, or replaced by what comes next.
	Publish(sick []Sick)
}
