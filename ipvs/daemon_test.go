package ipvs

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseGroups(t *testing.T) {
	text := `Idx	Device    : Count Querier	Group    Users Timer	Reporter
1	lo        :     1      V3
				010000E0     1 0:00000000		0
7	vx100     :     2      V3
				510000E0     1 0:00000000		0
				010000E0     1 0:00000000		0
8	averyverylongnm:     1      V3
				510000E0     1 0:00000000		0

9
`
	want := map[string]bool{"vx100": true, "averyverylongnm": true}
	if diff := cmp.Diff(want, parseGroups(text)); diff != "" {
		t.Error(diff)
	}
}
