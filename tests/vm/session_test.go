package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/culvertnet/culvert/tests/events"
	"github.com/culvertnet/culvert/tests/vm/wire"
)

// script is a guest that says what it was given and then dies.
type script struct{ frames []wire.Frame }

func (s *script) Read() (wire.Frame, error) {
	if len(s.frames) == 0 {
		return wire.Frame{}, io.ErrUnexpectedEOF
	}
	frame := s.frames[0]
	s.frames = s.frames[1:]
	return frame, nil
}

func (s *script) Console() string { return "Kernel panic - not syncing\n" }

func (s *script) Close() error { return nil }

func start(i int) wire.Frame { return wire.Frame{Kind: wire.Start, Unit: i} }

func output(i int, text string) wire.Frame {
	return wire.Frame{Kind: wire.Output, Unit: i, Data: []byte(text)}
}

func exit(i, status int, text string) wire.Frame {
	return wire.Frame{Kind: wire.Exit, Unit: i, Status: status, Text: text}
}

var done = wire.Frame{Kind: wire.Done}

// What a test binary prints with -test.v=test2json.
const (
	mark     = "\x16"
	passA    = mark + "=== RUN   TestA\n" + mark + "--- PASS: TestA (0.00s)\n" + mark + "=== NAME  \n"
	failB    = mark + "=== RUN   TestB\n    x_test.go:1: bad\n" + mark + "--- FAIL: TestB (0.00s)\n" + mark + "=== NAME  \n"
	goodEnd  = mark + "PASS\n"
	badEnd   = mark + "FAIL\n"
	crashing = mark + "=== RUN   TestC\npanic: boom\n\ngoroutine 1 [running]:\n"
)

func TestRunTests(t *testing.T) {
	converterPath, err := test2json()
	if err != nil {
		t.Skip("needs the go command:", err)
	}
	for _, tt := range []struct {
		name   string
		frames []wire.Frame
		line   string
		fails  bool   // runTests itself
		report string // a part of it
	}{
		{"all pass", []wire.Frame{
			start(0), output(0, passA+goodEnd), exit(0, 0, ""),
			start(1), output(1, passA+goodEnd), exit(1, 0, ""), done,
		}, "2 passed, 0 failed, 0 skipped", false, ""},
		{"a test fails", []wire.Frame{
			start(0), output(0, passA+failB+badEnd), exit(0, 1, "exit status 1"),
			start(1), output(1, passA+goodEnd), exit(1, 0, ""), done,
		}, "2 passed, 1 failed, 0 skipped", false, "x_test.go:1: bad"},
		{"a binary crashes", []wire.Frame{
			start(0), output(0, passA+crashing), exit(0, 2, "exit status 2"),
			start(1), output(1, passA+goodEnd), exit(1, 0, ""), done,
		}, "2 passed, 1 failed, 0 skipped", false, "panic: boom"},
		{"a binary fails after PASS", []wire.Frame{
			start(0), output(0, passA+goodEnd), exit(0, 137, "killed by signal 9"),
			start(1), output(1, passA+goodEnd), exit(1, 0, ""), done,
		}, "2 passed, 1 failed, 0 skipped", false, "killed by signal 9"},
		{"a binary succeeds without PASS", []wire.Frame{
			start(0), output(0, passA), exit(0, 0, ""),
			start(1), output(1, passA+goodEnd), exit(1, 0, ""), done,
		}, "2 passed, 1 failed, 0 skipped", false, "without PASS or FAIL"},
		{"the guest dies in a test", []wire.Frame{
			start(0), output(0, passA+mark+"=== RUN   TestB\n"),
		}, "1 passed, 2 failed, 0 skipped", true, "(did not end)"},
		{"the guest dies between packages", []wire.Frame{
			start(0), output(0, passA+goodEnd), exit(0, 0, ""),
		}, "1 passed, 1 failed, 0 skipped", true, "not run"},
		{"the guest dies at the very end", []wire.Frame{
			start(0), output(0, passA+goodEnd), exit(0, 0, ""),
			start(1), output(1, passA+goodEnd), exit(1, 0, ""),
		}, "2 passed, 0 failed, 0 skipped", true, ""},
		{"the guest leaves a package out", []wire.Frame{
			start(0), output(0, passA+goodEnd), exit(0, 0, ""), done,
		}, "1 passed, 0 failed, 0 skipped", true, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tally := events.NewTally()
			stream := events.Stream{Name: "full", NoSkips: true}
			emit := func(e events.Event) { tally.Add(stream, e) }
			packages := []testPackage{{importPath: "p"}, {importPath: "q"}}
			err := runTests(t.Context(), &script{tt.frames}, converterPath, packages, emit, writeBack(t.TempDir()))
			if (err != nil) != tt.fails {
				t.Errorf("runTests returned %v", err)
			}
			var buf strings.Builder
			tally.Report(&buf)
			if !strings.HasSuffix(buf.String(), "\n"+tt.line+"\n") || !strings.Contains(buf.String(), tt.report) {
				t.Errorf("report lacks %q or %q:\n%s", tt.line, tt.report, buf.String())
			}
		})
	}
}

func TestRunCommand(t *testing.T) {
	errFrame := wire.Frame{Kind: wire.Output, Data: []byte("oops\n"), Stderr: true}
	for _, tt := range []struct {
		name           string
		frames         []wire.Frame
		status         int
		fails          bool
		stdout, stderr string
	}{
		{"success", []wire.Frame{start(0), output(0, "hi\n"), exit(0, 0, ""), done}, 0, false, "hi\n", ""},
		{"failure", []wire.Frame{start(0), errFrame, exit(0, 3, "exit status 3"), done}, 3, false, "", "oops\n"},
		{"killed", []wire.Frame{start(0), exit(0, 139, "killed by signal 11"), done}, 139, false, "", "killed by signal 11\n"},
		{"no end", []wire.Frame{start(0), exit(0, 0, "")}, 1, true, "", ""},
		{"no command", []wire.Frame{done}, 1, true, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr strings.Builder
			status, err := runCommand(t.Context(), &script{tt.frames}, &stdout, &stderr)
			if status != tt.status || (err != nil) != tt.fails {
				t.Errorf("got %d, %v, want %d", status, err, tt.status)
			}
			if stdout.String() != tt.stdout || stderr.String() != tt.stderr {
				t.Errorf("got output %q and %q", stdout.String(), stderr.String())
			}
		})
	}
}

func TestDiedNamesTheLimit(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	<-ctx.Done()
	err := died(ctx, &script{}, io.ErrUnexpectedEOF)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "-timeout") {
		t.Errorf("got %v", err)
	}
}

func TestWriteBack(t *testing.T) {
	root := t.TempDir()
	write := writeBack(root)
	if err := write(wire.Frame{Path: "nft/testdata/x.golden", Data: []byte("new")}); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(root, "nft/testdata/x.golden")); err != nil || string(text) != "new" {
		t.Errorf("got %q, %v", text, err)
	}
	for _, path := range []string{"../x", "/etc/x", "a/../../x"} {
		if err := write(wire.Frame{Path: path}); err == nil {
			t.Errorf("%s was written", path)
		}
	}
}
