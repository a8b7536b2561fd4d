package rfc

import (
	"bytes"
	_ "embed"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/culvertnet/culvert/lab/live"
	"github.com/culvertnet/culvert/lab/script"
)

var update = flag.Bool("update", false, "rewrite docs/rfc.md")

// fleet is that of every scenario without one of its own.
//
//go:embed testdata/fleet.yaml
var fleet []byte

func requirements(t *testing.T) []requirement {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v, %v", files, err)
	}
	var out []requirement
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		r, err := parse(file, text)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	slices.SortFunc(out, compare)
	return out
}

// TestRFC plays every requirement's scenario and prints the table of results.
func TestRFC(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	all := requirements(t)
	var mu sync.Mutex
	observed := map[string]string{}
	t.Cleanup(func() { // runs behind the parallel subtests
		rows := [][]string{{"requirement", "RFC", "result"}}
		for _, r := range all {
			if result, ran := observed[r.name()]; ran {
				rows = append(rows, []string{r.Number + ": " + r.Text, strconv.Itoa(r.RFC), result})
			}
		}
		fmt.Print("\n", table(rows))
	})
	for _, r := range all {
		t.Run(r.name(), func(t *testing.T) {
			t.Parallel()
			result := r.Result
			if story, ok := play(t, r); !ok {
				result = "NOT AS STATED (" + r.Result + ")"
				t.Errorf("the result is not %q:\n%s", r.Result, story)
			}
			mu.Lock()
			defer mu.Unlock()
			observed[r.name()] = result
		})
	}
}

// play plays a scenario; its story is worth reading if it is not ok.
func play(t *testing.T, r requirement) (story string, ok bool) {
	t.Helper()
	text := bytes.Clone(r.script)
	if !bytes.Contains(text, []byte("\n-- fleet.yaml --\n")) {
		text = slices.Concat(text, []byte("\n-- fleet.yaml --\n"), fleet)
	}
	file := filepath.Join(t.TempDir(), r.name()+".txtar")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	failed, err := script.Play(&out, live.Tools(), file)
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), len(failed) == 0
}

// TestDocument holds docs/rfc.md against the scenarios.
func TestDocument(t *testing.T) {
	const path = "../../docs/rfc.md"
	want := document(requirements(t))
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("docs/rfc.md is stale (%v): run go test ./tests/rfc -run Document -update", err)
	}
}

//go:embed testdata/intro.md
var intro string

//go:embed testdata/untested.md
var untested string

// document is the text of docs/rfc.md.
func document(all []requirement) string {
	var b strings.Builder
	b.WriteString(intro)
	title := ""
	for _, r := range all {
		if t := titles[r.RFC]; t != title {
			title = t
			fmt.Fprintf(&b, "\n## RFC %d: %s\n\n| requirement | result |\n|---|---|\n", r.RFC, t)
		}
		fmt.Fprintf(&b, "| %s: %s | %s |\n", r.Number, r.Text, r.Result)
	}
	b.WriteString("\n" + untested)
	return b.String()
}

var titles = map[int]string{4787: "UDP", 5382: "TCP", 5508: "ICMP", 6888: "carrier-grade NAT"}

// TestParse has what is no requirement.
func TestParse(t *testing.T) {
	const good = "# RFC 4787 REQ-3a: text\n# holds in part: why\nlab up\n"
	if r, err := parse("4787-REQ-3a.txtar", []byte(good)); err != nil || r.RFC != 4787 || r.Number != "REQ-3a" || r.Text != "text" || r.Result != "holds in part: why" {
		t.Errorf("%+v, %v", r, err)
	}
	for name, text := range map[string]string{
		"another name":      good,
		"no result":         "# RFC 4787 REQ-3a: text\nlab up\n\n",
		"an unknown result": "# RFC 4787 REQ-3a: text\n# more or less\nlab up\n",
		"a part of what":    "# RFC 4787 REQ-3a: text\n# holds in part\nlab up\n",
		"no requirement":    "# a story\n# holds\nlab up\n",
		"too short":         "# RFC 4787 REQ-3a: text",
	} {
		file := "4787-REQ-3a.txtar"
		if name == "another name" {
			file = "4787-REQ-3.txtar"
		}
		if r, err := parse(file, []byte(text)); err == nil {
			t.Errorf("%s: read as %+v", name, r)
		}
	}
}

// TestFails has two scenarios whose results are not what they state: one holds, one does not.
func TestFails(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	for _, command := range []string{"ping acme/vm-b 198.51.100.30 within=50ms", "! ping acme/vm-b 198.51.100.1"} {
		r := requirement{RFC: 1, Number: "REQ-1", script: []byte("lab up\n" + command + "\n")}
		if story, ok := play(t, r); ok {
			t.Errorf("%s is fine:\n%s", command, story)
		}
	}
}
