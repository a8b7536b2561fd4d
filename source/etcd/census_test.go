package etcd

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func (c *census) said() string { return fmt.Sprint(slices.Sorted(maps.Keys(c.lost))) }

func TestCensus(t *testing.T) {
	now := time.Now()
	c := census{grace: 20 * time.Second}
	expect := func(after time.Duration, want string) {
		t.Helper()
		now = now.Add(after)
		c.count(now)
		if got := c.said(); got != want {
			t.Errorf("lost %s, want %s", got, want)
		}
	}
	c.connect([]string{"a"}, []string{"a", "b", "c"}, now)
	expect(0, "[]")
	c.appear("c") // late, and in time
	expect(19*time.Second, "[]")
	expect(time.Second, "[b]")
	c.vanish("a")
	expect(0, "[a b]")
	c.appear("b")
	expect(0, "[a]")
	// Contact is lost and found: who was lost stays so, nobody else gets lost before the grace is over.
	c.connect(nil, []string{"a", "b", "c"}, now)
	expect(0, "[a]")
	c.appear("c")
	c.appear("a")
	expect(10*time.Second, "[]")
	expect(10*time.Second, "[b]")
	// Connections that end again and again do not keep the dead alive; a long outage gives time anew.
	c.appear("b")
	c.count(now)
	c.connect([]string{"a", "c"}, []string{"a", "b", "c"}, now)
	for range 4 {
		expect(4*time.Second, "[]")
		c.part(now)
		now = now.Add(time.Second)
		c.connect([]string{"a", "c"}, []string{"a", "b", "c"}, now)
	}
	expect(0, "[b]")
	c.connect([]string{"c"}, []string{"a", "b", "c"}, now)
	expect(5*time.Second, "[b]")
	c.part(now)
	now = now.Add(10 * time.Second)
	c.connect([]string{"c"}, []string{"a", "b", "c"}, now)
	expect(19*time.Second, "[b]")
	expect(time.Second, "[a b]")
	// Who has never been seen is not missed.
	c.connect(nil, nil, now)
	expect(time.Hour, "[]")
}

// TestCensusProperty draws what can happen. A host with a lease is never lost, one that was never seen neither, and nobody gets
// lost during the grace.
func TestCensusProperty(t *testing.T) {
	hosts := []string{"a", "b", "c"}
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(0, 0)
		c := census{grace: 10 * time.Second}
		c.connect(nil, nil, now)
		connected, parted := now, time.Time{} // since when the grace runs, and when etcd was heard last
		pick := func() []string {
			return rapid.SliceOfDistinct(rapid.SampledFrom(hosts), rapid.ID[string]).Draw(t, "hosts")
		}
		t.Repeat(map[string]func(*rapid.T){
			"connect": func(t *rapid.T) {
				c.connect(pick(), append(pick(), slices.Collect(maps.Keys(c.live))...), now)
				if c.until.Equal(now.Add(c.grace)) != (now.Sub(connected) >= c.grace || now.Sub(parted) >= c.grace/2 || now.Equal(connected)) {
					t.Fatalf("connected %s ago, parted %s ago: grace until %s", now.Sub(connected), now.Sub(parted), c.until)
				}
				connected = c.until.Add(-c.grace)
			},
			"part":   func(t *rapid.T) { c.part(now); parted = now },
			"appear": func(t *rapid.T) { c.appear(rapid.SampledFrom(hosts).Draw(t, "host")) },
			"vanish": func(t *rapid.T) { c.vanish(rapid.SampledFrom(hosts).Draw(t, "host")) },
			"wait":   func(t *rapid.T) { now = now.Add(time.Duration(rapid.IntRange(0, 12).Draw(t, "s")) * time.Second) },
			"": func(t *rapid.T) {
				before := maps.Clone(c.lost)
				c.count(now)
				for host := range c.lost {
					if c.live[host] || !c.seen[host] {
						t.Fatalf("%s is lost: live %t, seen %t", host, c.live[host], c.seen[host])
					}
					if !before[host] && now.Sub(connected) < c.grace {
						t.Fatalf("%s got lost %s after the connection", host, now.Sub(connected))
					}
				}
				if now.Sub(connected) >= c.grace {
					for host := range c.seen {
						if !c.live[host] && !c.lost[host] {
							t.Fatalf("%s is missed and not lost", host)
						}
					}
				}
			},
		})
	})
}

func TestGeneration(t *testing.T) {
	for _, tt := range []struct {
		mark   string
		cached bool
		lost   []string
		want   string
	}{
		{"", false, nil, "7"},
		{"", true, nil, "7 (cached)"},
		{"", false, []string{"hv2", "hv1"}, "7 without hv1, hv2"},
		{"(fleet 1234)", true, []string{"hv1"}, "7 (fleet 1234) (cached) without hv1"},
		{"", false, []string{"d", "c", "b", "a"}, "7 without 4 hosts (" + digest([]byte("a b c d"))[:8] + ")"},
	} {
		got := generation(7, tt.mark, tt.cached, tt.lost)
		if got != tt.want || Revision(got) != 7 {
			t.Errorf("generation %q of revision %d, want %q", got, Revision(got), tt.want)
		}
	}
	if Revision("3f6c-digest of files") != 0 {
		t.Error("a digest is no revision")
	}
}
