package web

import (
	"fmt"
	"time"
)

// ago says how long before now a time was, in the one or two largest units.
func ago(now, t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	d := now.Sub(t)
	switch {
	case d < time.Second:
		return "just now"
	case d < time.Minute:
		return fmt.Sprintf("%d s ago", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min ago", d/time.Hour, d%time.Hour/time.Minute)
	default:
		return fmt.Sprintf("%d days ago", d/(24*time.Hour))
	}
}

// count writes a whole number with narrow spaces between its thousands.
func count(n any) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "\u202f" + text[i:]
	}
	return text
}

// percent writes a share of a whole; what is not nothing is not 0 %.
func percent(part, whole int) string {
	switch {
	case whole <= 0:
		return "–"
	case part > 0 && part*100 < whole:
		return "<\u202f1\u202f%"
	default:
		return fmt.Sprintf("%d\u202f%%", part*100/whole)
	}
}

// bar is a picture of a share.
type bar struct {
	Text string
	// Width is of 100; Level is "ok", "high" from three quarters, or "full" from nine tenths.
	Width float64
	Level string
}

func newBar(part, whole int) bar {
	b := bar{Text: percent(part, whole), Level: "ok"}
	if whole <= 0 {
		return b
	}
	share := min(float64(part)/float64(whole), 1)
	b.Width = 100 * share
	switch {
	case share >= 0.9:
		b.Level = "full"
	case share >= 0.75:
		b.Level = "high"
	}
	return b
}
