package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/culvertnet/culvert/tests/events"
)

func main() {
	dir := flag.String("o", "build", "`folder` for the events and the closing line")
	flag.Parse()
	ok, err := report(*dir, flag.Args(), os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

// source is a command whose events are read.
type source struct {
	stream  events.Stream
	command string
}

// parseSource reads NAME=COMMAND or NAME!=COMMAND.
func parseSource(text string) (source, error) {
	name, command, ok := strings.Cut(text, "=")
	name, noSkips := strings.CutSuffix(name, "!")
	if !ok || name == "" || command == "" || strings.ContainsAny(name, "/ ") {
		return source{}, fmt.Errorf("argument %q: want NAME=COMMAND or NAME!=COMMAND", text)
	}
	return source{events.Stream{Name: name, NoSkips: noSkips}, command}, nil
}

func report(dir string, args []string, stdout, stderr io.Writer) (bool, error) {
	var sources []source
	for _, arg := range args {
		s, err := parseSource(arg)
		if err != nil {
			return false, err
		}
		sources = append(sources, s)
	}
	if len(sources) == 0 {
		return false, errors.New("no command given")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return false, fmt.Errorf("make the output folder: %w", err)
	}
	tally := events.NewTally()
	for _, s := range sources {
		fmt.Fprintf(stdout, "%s: %s\n", s.stream.Name, s.command)
		if err := s.run(dir, tally, stdout, stderr); err != nil {
			return false, err
		}
	}
	tally.Report(stdout)
	line := tally.Results().Line() + "\n"
	if err := os.WriteFile(filepath.Join(dir, "summary.txt"), []byte(line), 0o644); err != nil {
		return false, fmt.Errorf("write the closing line: %w", err)
	}
	return tally.OK(), nil
}

// run runs the command and adds its events to the tally. How the command ended
// matters too: one that was killed leaves a stream that lacks whole packages.
func (s source) run(dir string, tally *events.Tally, stdout, stderr io.Writer) error {
	file, err := os.Create(filepath.Join(dir, s.stream.Name+".json"))
	if err != nil {
		return fmt.Errorf("keep events: %w", err)
	}
	defer file.Close()
	cmd := exec.Command("sh", "-c", s.command)
	cmd.Stderr = stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("run %s: %w", s.command, err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("run %s: %w", s.command, err)
	}
	progress := func(e events.Event) {
		if e.Test == "" && e.Ended() && e.Action != events.Skip {
			fmt.Fprintf(stdout, "%-4s %-5s %s %.1fs\n", strings.ToUpper(e.Action), s.stream.Name, e.Package, e.Elapsed)
		}
	}
	readErr := tally.Read(s.stream, io.TeeReader(pipe, file), progress)
	if err := cmd.Wait(); err != nil && !tally.Failed(s.stream) {
		tally.Break(s.stream, fmt.Sprintf("no test failed, but the command did: %v", err))
	}
	return errors.Join(readErr, file.Close())
}
