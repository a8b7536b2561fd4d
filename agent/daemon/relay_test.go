package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/culvertnet/culvert/agent"
)

func TestSummarize(t *testing.T) {
	now := time.Now()
	bad := since(nil, errors.New("no device"), now)
	s := Status{Host: "hv1", Version: "1", Ready: true, Generation: "7", Converged: &Convergence{Generation: "6"}, Refused: bad, Away: bad, Unkept: bad, Error: bad}
	s.Tenants = []Tenant{{Name: "acme"}, {Name: "blue", Error: bad}}
	r := summarize(s, now)
	want := []string{"a newer fleet is refused: no device", "the fleet's source is away: no device", "the fleet in force is not kept: no device", "no device", "tenant blue: no device"}
	if r.Host != "hv1" || r.Generation != "7" || r.Converged != "6" || !r.Ready || !slices.Equal(r.Problems, want) {
		t.Errorf("report: %+v", r)
	}
	for i := range 100 {
		s.Tenants = append(s.Tenants, Tenant{Name: fmt.Sprint(i), Error: bad})
	}
	if p := summarize(s, now).Problems; len(p) != relayProblems+1 || p[relayProblems] != "and 85 more" {
		t.Errorf("problems: %q", p)
	}
}

// TestReportFits has everything fail on a host. Its report stays far below the 1.5 MB that etcd takes, and says how much it leaves out.
func TestReportFits(t *testing.T) {
	var list []agent.Failure
	for i := range 10_000 {
		o := agent.Object{Place: "culvert-acme", Kind: agent.OverlayChange, Name: fmt.Sprintf("route 10.0.%d.%d/32 dev tap%d", i>>8, i&255, i)}
		list = append(list, agent.Failure{Object: o, Err: fmt.Errorf("add %s in culvert-acme: %w", o.Name, errors.New("read-only file system"))})
	}
	now := time.Now()
	bad := since(nil, errorOf(list), now)
	if lines := strings.Split(bad.Error, "\n"); len(lines) != maxFaults+1 || lines[maxFaults] != "and 9980 more" {
		t.Errorf("a tenant's error has %d lines:\n%s", len(lines), bad.Error)
	}
	long := strings.Repeat("x: wrong\n", 100_000)
	s := Status{Host: "hv1", Error: since(nil, errors.New(strings.Repeat("ü", 100_000)), now), Refused: since(nil, errors.New(long), now)}
	for i := range 20 {
		s.Tenants = append(s.Tenants, Tenant{Name: fmt.Sprint(i), Error: bad})
	}
	r := summarize(s, now)
	text, err := json.Marshal(r)
	if err != nil || len(text) > 64<<10 {
		t.Errorf("the report has %d bytes, error %v", len(text), err)
	}
	kept := strings.Count(r.Problems[0], "\n")
	if !strings.HasSuffix(r.Problems[0], fmt.Sprintf("x: wrong\nand %d lines more", 100_001-kept)) {
		t.Errorf("of a long error stays %q", r.Problems[0][len(r.Problems[0])-100:])
	}
	if p := r.Problems[1]; !utf8.ValidString(p) || !strings.HasSuffix(p, "ü...") || len(p) > relayBytes+3 {
		t.Errorf("of a long line stays %d bytes", len(p))
	}
}

// TestManyFailures has a look at a tenant fail for thousands of objects, and takes time in proportion to them.
func TestManyFailures(t *testing.T) {
	look := func(n int) time.Duration {
		k, s := desk("hv1"), &swamped{n: n}
		k.agent = s
		k.give(t, fleetYAML, "one", time.Now())
		began := time.Now()
		k.carryOut(agent.Plan{Rules: make([]agent.Rules, 1)}, []string{"acme"}, began)
		if r := k.records["acme"]; len(r.failing) != n || r.State != Failed {
			t.Fatalf("%d failing objects, the tenant is %s; want %d", len(r.failing), r.State, n)
		}
		return time.Since(began)
	}
	shortest := func(n int) time.Duration {
		var took []time.Duration
		for range 5 {
			took = append(took, look(n))
		}
		return slices.Min(took)
	}
	few, many := shortest(1000), shortest(16_000)
	if many > 100*max(few, time.Millisecond) {
		t.Errorf("1 000 failures take %v, 16 000 take %v", few, many)
	}
}

// swamped is an agent that fails for so many objects.
type swamped struct {
	stub
	n int
}

func (s *swamped) Try(agent.Plan, map[agent.Object]error) (a agent.Attempt) {
	for i := range s.n {
		o := agent.Object{Place: "culvert-acme", Kind: agent.OverlayChange, Name: fmt.Sprint(i)}
		a.Failures = append(a.Failures, agent.Failure{Object: o, Err: errors.New("no")})
	}
	return a
}
