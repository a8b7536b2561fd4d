package daemon

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestSummarize(t *testing.T) {
	now := time.Now()
	bad := since(nil, errors.New("no device"), now)
	s := Status{Host: "hv1", Version: "1", Ready: true, Generation: "7", Converged: &Convergence{Generation: "6"}, Refused: bad, Away: bad, Error: bad}
	s.Tenants = []Tenant{{Name: "acme"}, {Name: "blue", Error: bad}}
	r := summarize(s, now)
	want := []string{"a newer fleet is refused: no device", "the fleet's source is away: no device", "no device", "tenant blue: no device"}
	if r.Host != "hv1" || r.Generation != "7" || r.Converged != "6" || !r.Ready || !slices.Equal(r.Problems, want) {
		t.Errorf("report: %+v", r)
	}
	for i := range 100 {
		s.Tenants = append(s.Tenants, Tenant{Name: fmt.Sprint(i), Error: bad})
	}
	if p := summarize(s, now).Problems; len(p) != relayLines+1 || p[relayLines] != "and 84 more" {
		t.Errorf("problems: %q", p)
	}
}
