package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"github.com/culvertnet/culvert/tests/events"
)

// converter turns the output of one package's test binary into events.
type converter struct {
	pkg     string
	emit    func(events.Event)
	started time.Time
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	verdict string        // Pass, Fail or Skip by the output alone
	read    chan struct{} // closed when the last event was emitted
}

// test2json returns the path of Go's own converter.
func test2json() (string, error) {
	out, err := exec.Command("go", "tool", "-n", "test2json").Output()
	if err != nil {
		return "", fmt.Errorf("find test2json: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// convert starts a converter. emit is called from one goroutine at a time.
func convert(program, pkg string, emit func(events.Event)) (*converter, error) {
	c := &converter{pkg: pkg, emit: emit, started: time.Now(), read: make(chan struct{})}
	c.cmd = exec.Command(program, "-p", pkg, "-t")
	stdin, err := c.cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start test2json: %w", err)
	}
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start test2json: %w", err)
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start test2json: %w", err)
	}
	c.stdin = stdin
	go c.forward(stdout)
	return c, nil
}

// forward emits every event but the package's end, which is not decided yet.
func (c *converter) forward(r io.Reader) {
	defer close(c.read)
	for dec := json.NewDecoder(r); ; {
		var e events.Event
		if err := dec.Decode(&e); err != nil {
			return
		}
		if e.Test == "" && e.Ended() {
			c.verdict = e.Action
			continue
		}
		c.emit(e)
	}
}

// Write takes output of the test binary.
func (c *converter) Write(p []byte) (int, error) { return c.stdin.Write(p) }

// end emits the package's end. It is a success only if trouble is empty and the
// output says so too.
func (c *converter) end(trouble string) error {
	err := c.stdin.Close()
	<-c.read
	err = errors.Join(err, c.cmd.Wait())
	action := c.verdict
	if trouble == "" && action == "" {
		trouble = "the test binary ended without PASS or FAIL"
	}
	if trouble != "" {
		action = events.Fail
		c.emit(events.Event{Time: time.Now(), Action: events.Output, Package: c.pkg, Output: trouble + "\n"})
	}
	elapsed := time.Since(c.started).Round(time.Millisecond).Seconds()
	c.emit(events.Event{Time: time.Now(), Action: action, Package: c.pkg, Elapsed: elapsed})
	return err
}

// failAtOnce emits a package that failed before its tests could begin.
func failAtOnce(pkg, trouble string, emit func(events.Event)) {
	emit(events.Event{Time: time.Now(), Action: events.Start, Package: pkg})
	emit(events.Event{Time: time.Now(), Action: events.Output, Package: pkg, Output: trouble})
	emit(events.Event{Time: time.Now(), Action: events.Fail, Package: pkg})
}
