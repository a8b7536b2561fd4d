package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	passing = `printf '{"Action":"run","Package":"p","Test":"A"}\n{"Action":"pass","Package":"p","Test":"A"}\n{"Action":"pass","Package":"p"}\n'`
	skips   = `printf '{"Action":"run","Package":"p","Test":"B"}\n{"Action":"skip","Package":"p","Test":"B"}\n{"Action":"pass","Package":"p"}\n'`
	cutOff  = `printf '{"Action":"run","Package":"p","Test":"A"}\n'`
)

func TestReport(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		line string
		ok   bool
	}{
		{"one command", []string{"host=" + passing}, "1 passed, 0 failed, 0 skipped", true},
		{"two commands", []string{"host=" + passing, "full!=" + passing}, "2 passed, 0 failed, 0 skipped", true},
		{"a skip", []string{"host=" + passing + ";" + skips}, "1 passed, 0 failed, 1 skipped", true},
		{"a skip where none may be", []string{"full!=" + passing + ";" + skips}, "1 passed, 1 failed, 0 skipped", false},
		{"only skips", []string{"host=" + skips}, "0 passed, 0 failed, 1 skipped", false},
		{"a command that fails after its tests", []string{"host=" + passing + "; exit 3"}, "1 passed, 1 failed, 0 skipped", false},
		{"a command that is cut off", []string{"host=" + cutOff + "; exit 1"}, "0 passed, 1 failed, 0 skipped", false},
		{"a command that prints nothing", []string{"host=" + passing, "full!=true"}, "1 passed, 1 failed, 0 skipped", false},
		{"a command that is not there", []string{"host=/no/such/command"}, "0 passed, 1 failed, 0 skipped", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "new")
			var out, errOut strings.Builder
			ok, err := report(dir, tt.args, &out, &errOut)
			if err != nil || ok != tt.ok {
				t.Errorf("got %v, %v, want %v", ok, err, tt.ok)
			}
			if !strings.HasSuffix(out.String(), "\n"+tt.line+"\n") {
				t.Errorf("output does not end with %q:\n%s", tt.line, out.String())
			}
			text, err := os.ReadFile(filepath.Join(dir, "summary.txt"))
			if err != nil || string(text) != tt.line+"\n" {
				t.Errorf("summary.txt has %q, %v", text, err)
			}
		})
	}
}

func TestReportRefusesArguments(t *testing.T) {
	for _, args := range [][]string{nil, {"go test"}, {"=x"}, {"!=x"}, {"a="}, {"a/b=x"}} {
		var out strings.Builder
		if ok, err := report(t.TempDir(), args, &out, &out); err == nil || ok {
			t.Errorf("%q: got %v, %v, want an error", args, ok, err)
		}
	}
}
