package agent

import (
	"maps"
	"strings"
	"testing"
)

func TestParseConntrack(t *testing.T) {
	const names = "entries  found insert_failed drop\n"
	for _, tt := range []struct {
		name, text string
		want       map[string]uint64
		err        string
	}{
		{"nothing", "", map[string]uint64{}, ""},
		{"no CPU", names, map[string]uint64{}, ""},
		{"one CPU", names + "00000002 0000000a 00000001 00000000\n", map[string]uint64{"entries": 2, "found": 10, "insert_failed": 1, "drop": 0}, ""},
		{
			"two CPUs", names + "00000002 0000000a 00000001 00000000\n00000002 00000001 00000010 ffffffff\n",
			map[string]uint64{"entries": 4, "found": 11, "insert_failed": 17, "drop": 1<<32 - 1}, "",
		},
		{"fewer numbers than names", names + "00000002\n", map[string]uint64{"entries": 2}, ""},
		{"more numbers than names", "entries\n00000002 00000003\n", nil, `unexpected line "00000002 00000003"`},
		{"no number", "entries\nx\n", nil, `unexpected line "x"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseConntrack(tt.text)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil || !maps.Equal(got, tt.want) {
				t.Errorf("got %v, %v, want %v", got, err, tt.want)
			}
		})
	}
}
