package web

import (
	"testing"
	"time"
)

func TestWords(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for d, want := range map[time.Duration]string{
		0: "just now", 59 * time.Second: "59 s ago", time.Minute: "1 min ago", 150 * time.Minute: "2 h 30 min ago", 72 * time.Hour: "3 days ago",
	} {
		if got := ago(now, now.Add(-d)); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
	if got := ago(now, time.Time{}); got != "never" {
		t.Error(got)
	}
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1\u202f000", 1234567: "1\u202f234\u202f567"} {
		if got := count(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
	for _, tt := range []struct {
		part, whole int
		text, level string
	}{
		{0, 0, "–", "ok"}, {0, 10, "0\u202f%", "ok"}, {1, 1000, "<\u202f1\u202f%", "ok"}, {3, 4, "75\u202f%", "high"}, {9, 10, "90\u202f%", "full"}, {20, 10, "200\u202f%", "full"},
	} {
		if b := newBar(tt.part, tt.whole); b.Text != tt.text || b.Level != tt.level || b.Width > 100 {
			t.Errorf("%d of %d: %+v", tt.part, tt.whole, b)
		}
	}
}
