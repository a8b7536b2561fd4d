package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestProblemError(t *testing.T) {
	p := Problem{File: "f.yaml", Line: 12, Column: 9, Text: `a "b"`, Message: "is wrong", Remedy: "right it"}
	if got, want := p.Error(), `f.yaml:12:9: "a \"b\"": is wrong; right it`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestProblemsSort(t *testing.T) {
	at := func(line, column int, message string) Problem {
		return Problem{Line: line, Column: column, Message: message}
	}
	got := Problems{at(2, 1, "b"), at(10, 1, "e"), at(2, 1, "a"), at(1, 9, "z"), at(2, 1, "a"), at(2, 3, "d")}.sort()
	want := Problems{at(1, 9, "z"), at(2, 1, "b"), at(2, 1, "a"), at(2, 3, "d"), at(10, 1, "e")}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if lines := strings.Split(got.Error(), "\n"); len(lines) != len(want) {
		t.Errorf("got %d lines", len(lines))
	}
}

func TestClip(t *testing.T) {
	for _, count := range []int{0, 1, maxText - 1, maxText, maxText + 1, 3 * maxText} {
		text := strings.Repeat("ü", count)
		if got, want := clip(text), strings.Repeat("ü", min(count, maxText)); got != want {
			t.Errorf("%d characters: got %q", count, got)
		}
	}
}

func TestUnreadable(t *testing.T) {
	tests := map[string]int{
		"": -1, "a\tb\r\nc": -1, "ü \u0085 \u2028 \U0001f600": -1, "\ufeffa": -1, "\ufffd": -1,
		"a\x00": 1, "ü\x1b": 2, "\x7f": 0, "\u0080": 0, "a\xff": 1, "a\ufeff": 1, "\ufffe": 0, "\xed\xa0\x80": 0,
	}
	for text, want := range tests {
		if got := unreadable([]byte(text)); got != want {
			t.Errorf("%q: got %d, want %d", text, got, want)
		}
	}
}
