package main

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/culvertnet/culvert/tests/vm/wire"
)

// frames returns all that was reported.
func frames(t *testing.T, r io.Reader) []wire.Frame {
	t.Helper()
	var all []wire.Frame
	for reader := wire.NewReader(r); ; {
		frame, err := reader.Read()
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, frame)
	}
}

func TestRunPlan(t *testing.T) {
	sources := t.TempDir()
	for _, name := range []string{"same", "changed"} {
		if err := os.WriteFile(filepath.Join(sources, name), []byte("old"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	sh := func(script string) []string { return []string{"/bin/sh", "-c", script} }
	var buf bytes.Buffer
	err := runPlan(wire.Plan{
		Sources: sources,
		Env:     []string{"GREETING=hello", "PATH=" + os.Getenv("PATH")},
		Units: []wire.Unit{
			{Dir: sources, Argv: sh("echo $GREETING; echo new >changed; echo old >sub; exit 3")},
			{Dir: "/", Argv: sh("echo out; echo err >&2; pwd"), SplitStderr: true},
			{Dir: "/", Argv: sh("kill -SEGV $$")},
			{Dir: "/", Argv: []string{"/no/such/program"}},
		},
	}, wire.NewWriter(&buf))
	if err != nil {
		t.Fatal(err)
	}

	var status []int
	files := make(map[string]string)
	var out, errOut string
	all := frames(t, &buf)
	for _, f := range all {
		switch {
		case f.Kind == wire.Exit:
			status = append(status, f.Status)
		case f.Kind == wire.File:
			files[f.Path] = string(f.Data)
		case f.Kind == wire.Output && f.Stderr:
			errOut += string(f.Data)
		case f.Kind == wire.Output:
			out += string(f.Data)
		}
	}
	if want := []int{3, 0, 128 + 11, 127}; !slices.Equal(status, want) {
		t.Errorf("statuses are %v, want %v", status, want)
	}
	if want := map[string]string{"changed": "new\n", "sub": "old\n"}; !maps.Equal(files, want) {
		t.Errorf("changed files are %v, want %v", files, want)
	}
	if out != "hello\nout\n/\n" || errOut != "err\n" {
		t.Errorf("output is %q, standard error %q", out, errOut)
	}
	if all[0].Kind != wire.Hello || all[0].Text != release() || all[len(all)-1].Kind != wire.Done {
		t.Errorf("first and last frame are %+v and %+v", all[0], all[len(all)-1])
	}
}

// TestUnitLeavesProcesses has a unit end before its child, which holds the pipe.
func TestUnitLeavesProcesses(t *testing.T) {
	var buf bytes.Buffer
	defer func(old time.Duration) { lingering = old }(lingering)
	lingering = 100 * time.Millisecond
	unit := wire.Unit{Dir: "/", Argv: []string{"/bin/sh", "-c", "sleep 600 & echo $!"}}
	if err := runUnit(0, unit, os.Environ(), wire.NewWriter(&buf)); err != nil {
		t.Fatal(err)
	}
	all := frames(t, &buf)
	last := all[len(all)-1]
	if last.Kind != wire.Exit || last.Status == 0 || !strings.Contains(last.Text, "WaitDelay") {
		t.Errorf("last frame is %+v, want a failure that names the delay", last)
	}
	// The child was killed with its group, which takes effect in its own time.
	pid := strings.TrimSpace(string(all[1].Data))
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %s is still there: %s", pid, stat)
		}
	}
}
