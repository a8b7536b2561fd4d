package portmap

import (
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
	"pgregory.net/rapid"
)

func TestParseBlock(t *testing.T) {
	for text, want := range map[string]string{
		"45.86.152.23:1024-2047":   "",
		"45.86.152.23:65472-65535": "",
		"":                         "is not of the form",
		"45.86.152.23:1024":        "is not of the form",
		"45.86.152.23":             "is not of the form",
		"45.86.152:1024-2047":      "is not an IPv4 address",
		"[2001:db8::1]:1024-2047":  "is not an IPv4 address",
		"2001-:1024-2047":          "is not an IPv4 address",
		"45.86.152.23:01024-2047":  "are not ports",
		"45.86.152.23:1024-65536":  "are not ports",
		"45.86.152.23:1024-2047-":  "are not ports",
		"45.86.152.23: 1024-2047":  "are not ports",
		"45.86.152.23:960-1023":    "ports lie in 1024-65535",
		"45.86.152.23:1025-2047":   "begin at a multiple of 64",
		"45.86.152.23:1024-2046":   "multiple of it long",
		"45.86.152.23:2048-2047":   "ports lie in",
	} {
		b, err := ParseBlock(text)
		switch {
		case want != "":
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: error %v, want %q", text, err, want)
			}
		case err != nil:
			t.Errorf("%q: %v", text, err)
		default:
			if back, _ := b.AppendText(nil); string(back) != text {
				t.Errorf("%q came back as %q", text, back)
			}
		}
	}
}

func TestBlockString(t *testing.T) {
	if got := aBlock("23:1024-2047").String(); got != "45.86.152.23 1024-2047 (1024 ports)" {
		t.Errorf("printed as %q", got)
	}
}

// drawName prefers names that YAML reads as something else.
func drawName() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.StringMatching(`[a-z][a-z0-9-]{0,8}`),
		rapid.SampledFrom([]string{"true", "No", "null", "~", "1", "0x10", "1e3", ".inf", "- a", "a: b", "a #b", `"`, "'", "*a", "&a", "", " ", "é", "2026-01-01", "<<", "a\nb", "\u0085", "\U0001f600"}),
		rapid.String(),
	)
}

// What is written as a name is that name to us and to a YAML library.
func TestNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := drawName().Draw(t, "name")
		line := string(appendName(nil, name)) + ": 1"
		got, rest, err := cutName(line)
		if err != nil || got != name || rest != " 1" {
			t.Fatalf("%s reads as %q, %q, %v", line, got, rest, err)
		}
		var doc map[string]int
		if err := yaml.Unmarshal([]byte(line), &doc); err != nil {
			t.Fatalf("yaml: %s: %v", line, err)
		}
		if _, ok := doc[name]; !ok || len(doc) != 1 {
			t.Fatalf("yaml reads %s as %v", line, doc)
		}
	})
}

func TestCutNameRefuses(t *testing.T) {
	for _, line := range []string{"", "hv1", ": 1", "1: 1", "true: 1", "hv 1: 1", `"hv1`, `"hv1"`, `"hv1" : 1`, `"\xe9": 1`, `"a\/b": 1`, "'a': 1"} {
		if name, _, err := cutName(line); err == nil {
			t.Errorf("%q reads as %q", line, name)
		}
	}
}
