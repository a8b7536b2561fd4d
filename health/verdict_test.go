package health

import "testing"

func TestVerdict(t *testing.T) {
	tests := []struct {
		name       string
		sick       bool // to begin with
		rise, fall int
		// results are probes, + good and - bad; verdicts what it is after each, H healthy and U not.
		results, verdicts string
	}{
		{"begins healthy", false, 2, 3, "+++", "HHH"},
		{"falls after three", false, 2, 3, "----", "HHUU"},
		{"one good probe in between begins anew", false, 2, 3, "--+---", "HHHHHU"},
		{"rises after two", false, 2, 3, "---++", "HHUUH"},
		{"one bad probe in between begins anew", false, 2, 3, "---+-++", "HHUUUUH"},
		{"at once", false, 1, 1, "-+-", "UHU"},
		{"begins sick and stays so until it rises", true, 2, 3, "+-++", "UUUH"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := NewVerdict(!tt.sick, tt.rise, tt.fall)
			got := ""
			was := v.Healthy()
			for _, r := range tt.results {
				changed := v.Record(r == '+')
				if changed != (v.Healthy() != was) {
					t.Errorf("after %q: Record reports %v, the verdict went from %v to %v", tt.results[:len(got)+1], changed, was, v.Healthy())
				}
				was = v.Healthy()
				got += map[bool]string{true: "H", false: "U"}[was]
			}
			if got != tt.verdicts {
				t.Errorf("verdicts after %s: %s, want %s", tt.results, got, tt.verdicts)
			}
		})
	}
}
