package source

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestTame(t *testing.T) {
	for why, want := range map[string]string{
		"":                                  "",
		"connect: connection refused":       "connect: connection refused",
		"status \x1b[2J\x9b, über\n\x00 ok": "status \ufffd[2J\ufffd, über\ufffd\ufffd ok",
		strings.Repeat("x", 65_000):         strings.Repeat("x", maxWhy),
		strings.Repeat("ü", 65_000):         strings.Repeat("ü", maxWhy/2),
	} {
		if got := (Sick{Why: why}).Tame().Why; got != want {
			t.Errorf("%.40q became %q, want %q", why, got, want)
		}
	}
}

// TestTameProperty has anything as a reason. Once tame it stays as it is.
func TestTameProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		got := Sick{Why: string(rapid.SliceOf(rapid.Byte()).Draw(t, "why"))}.Tame()
		if len(got.Why) > maxWhy || !utf8.ValidString(got.Why) || got.Tame() != got {
			t.Fatalf("%q", got.Why)
		}
		for _, r := range got.Why {
			if !unicode.IsPrint(r) && r != unicode.ReplacementChar {
				t.Fatalf("%q has %U", got.Why, r)
			}
		}
	})
}
