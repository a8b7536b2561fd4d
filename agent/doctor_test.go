package agent

import (
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/culvertnet/culvert/netns"
)

// TestDoctor wants every check to say something, with a remedy for all that is not fine, and nothing to be left.
func TestDoctor(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	findings := Doctor()
	asNode := balancer(Problem, "another one")
	if i := slices.IndexFunc(findings, func(f Finding) bool { return f.Check == asNode.Check }); i < 0 ||
		findings[i].Detail != asNode.Detail || (findings[i].Level == Fine) != (asNode.Level == Fine) || findings[i].Level == Problem {
		t.Errorf("findings %+v do not go with %+v", findings, asNode)
	}
	for _, f := range findings {
		if f.Check == "" || f.Detail == "" || (f.Level == Fine) != (f.Remedy == "") {
			t.Errorf("%+v", f)
		}
	}
	if left := must(netns.List(fmt.Sprintf("doctor-%d", os.Getpid()))); len(left) != 0 {
		t.Errorf("namespaces left: %v", left)
	}
}
