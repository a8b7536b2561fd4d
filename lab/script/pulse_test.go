package script

import (
	"testing"
	"time"
)

// TestRepaired tells a repair that came too late, of something else, or before the damage, from one in time.
func TestRepaired(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		name   string
		at     time.Duration // after the damage
		stood  time.Duration
		change string
		good   bool
	}{
		{"in time", 900 * time.Millisecond, 0, "+ route", true},
		{"too late", 1100 * time.Millisecond, 0, "+ route", false},
		{"too late, as the machine stood still", 1100 * time.Millisecond, 200 * time.Millisecond, "+ route", true},
		{"more than twice too late, which nothing excuses", 2100 * time.Millisecond, 2 * time.Second, "+ route", false},
		{"of something else", 10 * time.Millisecond, 0, "+ link", false},
		{"of an earlier damage", -time.Millisecond, 0, "+ route", false},
	} {
		s := newStage(Tools{})
		s.damaged.at = now
		s.pulse.still.Store(int64(tt.stood))
		s.daemons["hv1"] = repairer{did: []Repair{{now, now.Add(tt.at), tt.change}}}
		err := s.repaired(call{args: []string{"hv1", "within=1s", "+", "route"}, stdout: t.Output()})
		if (err == nil) != tt.good || isMistake(err) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// TestNoticed wants most damages to be noticed in time, and enough of them.
func TestNoticed(t *testing.T) {
	for _, tt := range []struct {
		name          string
		took          []int // ms
		good, mistake bool
	}{
		{"all in time", []int{100, 200, 300, 400, 500}, true, false},
		{"two late", []int{5000, 900, 200, 4000, 900}, true, false},
		{"three late", []int{5000, 900, 200, 4000, 1100}, false, false},
		{"too few", []int{100, 100, 100, 100}, false, true},
	} {
		s := newStage(Tools{Patience: 5})
		for _, ms := range tt.took {
			s.noticed = append(s.noticed, time.Duration(ms)*time.Millisecond)
		}
		err := s.medianNoticed(call{args: []string{"<=", "1s"}, stdout: t.Output()})
		if (err == nil) != tt.good || isMistake(err) != tt.mistake {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// repairer is a daemon that has repaired something.
type repairer struct {
	Daemon
	did []Repair
}

func (r repairer) Repaired() []Repair { return r.did }
func (r repairer) Status() string     { return "as it is" }
