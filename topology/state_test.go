package topology

import "testing"

// TestBackendState has a word for each reason to get no new flows, and only for them.
func TestBackendState(t *testing.T) {
	for _, tt := range []struct {
		backend Backend
		want    BackendState
	}{
		{Backend{Weight: 1}, Serving},
		{Backend{Weight: 1, Draining: true}, Draining},
		{Backend{Weight: 1, Draining: true, Sick: true}, Sick},
		{Backend{Weight: 1, Sick: true, Lost: true}, Silent},
		{Backend{Weight: 1, Sick: true, Lost: true, Down: true}, Down},
	} {
		if got := tt.backend.State(); got != tt.want {
			t.Errorf("%+v: %s, want %s", tt.backend, got, tt.want)
		}
		if tt.backend.Serves() != (tt.want == Serving) {
			t.Errorf("%+v: serves %v, and is %s", tt.backend, tt.backend.Serves(), tt.want)
		}
	}
}
