package main

import (
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/tests/vm/wire"
)

// lingering is how long a unit's output is awaited after the unit itself has
// ended, when a process that it left behind still holds the pipe. Such a unit
// has failed, as with "go test".
var lingering = 5 * time.Second

// runPlan runs every unit and reports it.
func runPlan(plan wire.Plan, report *wire.Writer) error {
	if err := report.Write(wire.Frame{Kind: wire.Hello, Text: release()}); err != nil {
		return err
	}
	before, err := snapshot(plan.Sources)
	if err != nil {
		return err
	}
	for i, unit := range plan.Units {
		if err := runUnit(i, unit, plan.Env, report); err != nil {
			return err
		}
	}
	if err := sendChanged(plan.Sources, before, report); err != nil {
		return err
	}
	return report.Write(wire.Frame{Kind: wire.Done})
}

func runUnit(i int, unit wire.Unit, env []string, report *wire.Writer) error {
	if err := report.Write(wire.Frame{Kind: wire.Start, Unit: i}); err != nil {
		return err
	}
	cmd := exec.Command(unit.Argv[0], unit.Argv[1:]...)
	cmd.Dir = unit.Dir
	cmd.Env = env
	cmd.Stdout = &output{unit: i, report: report}
	cmd.Stderr = cmd.Stdout // one pipe, so that lines keep their order
	if unit.SplitStderr {
		cmd.Stderr = &output{unit: i, report: report, stderr: true}
	}
	cmd.WaitDelay = lingering
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err := cmd.Run()
	if cmd.Process != nil {
		_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
	}
	status, text := outcome(err)
	return report.Write(wire.Frame{Kind: wire.Exit, Unit: i, Status: status, Text: text})
}

// outcome turns what Run returned into a shell's exit status and a text.
func outcome(err error) (int, string) {
	if err == nil {
		return 0, ""
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return 127, err.Error()
	}
	if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal()), fmt.Sprintf("killed by signal %d (%s)", ws.Signal(), ws.Signal())
	}
	return exit.ExitCode(), exit.Error()
}

// output sends what a unit writes.
type output struct {
	unit   int
	report *wire.Writer
	stderr bool
}

func (o *output) Write(p []byte) (int, error) {
	err := o.report.Write(wire.Frame{Kind: wire.Output, Unit: o.unit, Data: p, Stderr: o.stderr})
	if err != nil {
		return 0, err
	}
	return len(p), nil
}
