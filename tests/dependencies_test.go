package tests

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDependencies holds decision 0006 to go.mod: every direct requirement and every tool stands there with its version,
// and nothing else does.
func TestDependencies(t *testing.T) {
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join("..", filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	required, told := directDependencies(read("go.mod")), toldDependencies(read("docs/decisions/0006-dependencies.md"))
	if len(required) == 0 || len(told) == 0 {
		t.Fatalf("found %d in go.mod and %d in the decision", len(required), len(told))
	}
	for _, r := range required {
		if !slices.Contains(told, r) {
			t.Errorf("docs/decisions/0006-dependencies.md lacks %s of go.mod", r)
		}
	}
	for _, d := range told {
		if !slices.Contains(required, d) {
			t.Errorf("docs/decisions/0006-dependencies.md has %s, which go.mod does not require", d)
		}
	}
}

var (
	requireLine = regexp.MustCompile(`(?m)^(?:require)?\s+(\S+\.\S+) (v\S+)( // indirect)?$`)
	toolLine    = regexp.MustCompile(`(?m)^(?:tool)?\s+(\S+\.\S+)$`)
	tableLine   = regexp.MustCompile(`(?m)^\| (\S+\.\S+) \| (v\S+) \|`)
)

// directDependencies lists a go.mod's modules, with versions, that are required for themselves or hold a tool.
func directDependencies(text string) []string {
	var tools, out []string
	for _, m := range toolLine.FindAllStringSubmatch(text, -1) {
		tools = append(tools, m[1])
	}
	for _, m := range requireLine.FindAllStringSubmatch(text, -1) {
		holdsTool := slices.ContainsFunc(tools, func(tool string) bool { return strings.HasPrefix(tool, m[1]+"/") })
		if m[3] == "" || holdsTool {
			out = append(out, m[1]+" "+m[2])
		}
	}
	return out
}

func toldDependencies(text string) []string {
	var out []string
	for _, m := range tableLine.FindAllStringSubmatch(text, -1) {
		out = append(out, m[1]+" "+m[2])
	}
	return out
}

func TestReadDependencies(t *testing.T) {
	got := directDependencies(`module example.org/m

go 1.26.0

require example.org/one v1.0.0

require (
	example.org/two v0.0.0-20240101
	example.org/three v1.1.0 // indirect
	example.org/four v1.2.0 // indirect
)

tool example.org/four/cmd/x
`)
	if want := []string{"example.org/one v1.0.0", "example.org/two v0.0.0-20240101", "example.org/four v1.2.0"}; !slices.Equal(got, want) {
		t.Errorf("go.mod: %q, want %q", got, want)
	}
	got = toldDependencies("| module | version |\n|---|---|\n| example.org/one | v1.0.0 | MIT | x |\n")
	if want := []string{"example.org/one v1.0.0"}; !slices.Equal(got, want) {
		t.Errorf("decision: %q, want %q", got, want)
	}
}
