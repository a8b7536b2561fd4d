package etcd

import (
	"testing"
	"time"

	"github.com/culvertnet/culvert/source"
)

// TestLink keeps the time at which it began to be so.
func TestLink(t *testing.T) {
	s := &Source{}
	if got := s.Link(); got != (source.Link{}) {
		t.Errorf("before the first try: %v", got)
	}
	first, second := time.Unix(1, 0), time.Unix(2, 0)
	for _, step := range []struct {
		connected bool
		now       time.Time
		want      source.Link
	}{
		{false, first, source.Link{Since: first}},
		{false, second, source.Link{Since: first}},
		{true, second, source.Link{Connected: true, Since: second}},
	} {
		s.line.set(step.connected, step.now)
		if got := s.Link(); got != step.want {
			t.Errorf("%v, want %v", got, step.want)
		}
	}
}
