package main

import (
	"slices"
	"testing"

	"github.com/culvertnet/culvert/agent"
)

// TestRefined wants one finding for what is checked twice: the host's own.
func TestRefined(t *testing.T) {
	general := []agent.Finding{{Check: "kernel", Level: agent.Fine}, {Check: "load balancer", Level: agent.Advice}}
	own := []agent.Finding{{Check: "underlay", Level: agent.Fine}, {Check: "load balancer", Level: agent.Problem}}
	want := []agent.Finding{general[0], own[0], own[1]}
	if got := refined(general, own); !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}
