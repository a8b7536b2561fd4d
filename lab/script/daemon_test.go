package script

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/lab"
	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/topology"
)

// still is a daemon that does nothing.
type still struct{}

func (still) Push(context.Context, *config.Fleet, *portmap.Lock) error { return nil }
func (still) Idle(context.Context) error                               { return nil }
func (still) Drift() int                                               { return 0 }
func (still) Repaired() string                                         { return "" }
func (still) Status() string                                           { return "" }
func (still) Stop() error                                              { return nil }

// TestChecksAndDaemons wants one or the other: a daemon would not hear of a verdict.
func TestChecksAndDaemons(t *testing.T) {
	needsRoot(t)
	tools := Tools{
		Daemon: func(lab.Site) (Daemon, error) { return still{}, nil },
		Watch: func(ctx context.Context, _ lab.Site, _ func(topology.BackendID, bool, error)) error {
			<-ctx.Done()
			return ctx.Err()
		},
	}
	for name, tt := range map[string]struct {
		story string
		fails bool
	}{
		"watch-first":   {"watch\ndaemon start hv1", true},
		"daemon-first":  {"daemon start hv1\nwatch", true},
		"daemon-before": {"daemon start hv1\ndaemon stop hv1\nwatch", false},
	} {
		var out bytes.Buffer
		failed, err := Play(&out, tools, write(t, name, "lab up -bare\n"+tt.story))
		if err != nil || (len(failed) > 0) != tt.fails || strings.Contains(out.String(), "do not go together") != tt.fails {
			t.Errorf("%s: failed %v, %v:\n%s", name, failed, err, out.String())
		}
	}
}
