package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/tests/vm/wire"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "init: only for the first process of a test machine")
		os.Exit(2)
	}
	if err := boot(); err != nil {
		fmt.Fprintln(os.Stderr, "init:", err)
	}
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

// boot makes the machine usable, runs the plan and waits until the host has
// all of the report.
func boot() error {
	if err := mountAll(); err != nil {
		return err
	}
	// A kernel starts its first process with 4096; tests of thousands of flows want what a system gives to services.
	const files = 1 << 20
	if err := syscall.Setrlimit(unix.RLIMIT_NOFILE, &syscall.Rlimit{Cur: files, Max: files}); err != nil {
		return fmt.Errorf("raise the limit of open files: %w", err)
	}
	// The port may itself need modules, which come first in the plan.
	plan, err := prepare()
	port, portErr := openPort(wire.Port)
	if portErr != nil {
		return errors.Join(err, portErr)
	}
	report := wire.NewWriter(port)
	if err != nil {
		_ = report.Write(wire.Frame{Kind: wire.Fatal, Text: err.Error()})
	} else {
		err = runPlan(plan, report)
	}
	// The port's device forgets what is under way when the machine goes down.
	if _, ackErr := port.Read(make([]byte, 1)); ackErr != nil {
		return fmt.Errorf("wait for the host to have read all: %w", ackErr)
	}
	return err
}

// prepare reads the plan, loads its modules and sets up what programs expect.
func prepare() (wire.Plan, error) {
	var plan wire.Plan
	text, err := os.ReadFile(wire.PlanPath)
	if err != nil {
		return plan, fmt.Errorf("read plan: %w", err)
	}
	if err := json.Unmarshal(text, &plan); err != nil {
		return plan, fmt.Errorf("decode plan: %w", err)
	}
	if err := loadModules(plan.Modules); err != nil {
		return plan, err
	}
	// Loopback comes first: without it IPVS refuses destinations.
	if err := linkUp("lo"); err != nil {
		return plan, err
	}
	if err := holdHooks("/usr/bin/nft"); err != nil {
		return plan, err
	}
	if err := unix.Sethostname([]byte("culvert-vm")); err != nil {
		return plan, fmt.Errorf("set host name: %w", err)
	}
	return plan, nil
}

// release returns the running kernel's release.
func release() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}
