package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/tests/events"
)

// options are the command line.
type options struct {
	run         string
	verbose     bool
	json        bool
	update      bool
	kernel      string
	memoryMB    int
	accel       string
	timeout     time.Duration
	testTimeout time.Duration
	command     string
	preferHost  bool
	packages    []string
}

func parseFlags() options {
	var o options
	flag.StringVar(&o.run, "run", "", "run only the tests that match this `regexp`")
	flag.BoolVar(&o.verbose, "v", false, "print all output of the tests")
	flag.BoolVar(&o.json, "json", false, "print events like go test -json")
	flag.BoolVar(&o.update, "update", false, "call the tests with -update and bring back the files that they change")
	flag.StringVar(&o.kernel, "kernel", "6.12", "`series` of the kernel to boot")
	flag.IntVar(&o.memoryMB, "memory", 3072, "memory of the guest in `MB`")
	flag.StringVar(&o.accel, "accel", "auto", "tcg to emulate, kvm, or auto for kvm if a probe boot succeeds")
	flag.DurationVar(&o.timeout, "timeout", 40*time.Minute, "limit of the whole run from the first boot on")
	flag.DurationVar(&o.testTimeout, "test-timeout", 15*time.Minute, "limit of one package's tests")
	flag.StringVar(&o.command, "exec", "", "run this `command`, split at blanks, instead of tests; culvert is built for it")
	flag.BoolVar(&o.preferHost, "prefer-host", false, "with -exec: run without a machine if this host's kernel can")
	flag.Parse()
	o.packages = flag.Args()
	return o
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	status, err := run(ctx, parseFlags())
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "vm:", err)
		status = max(status, 1)
	}
	os.Exit(status)
}

func run(ctx context.Context, opts options) (int, error) {
	root, err := moduleRoot()
	if err != nil {
		return 1, err
	}
	work, err := os.MkdirTemp("", "culvert-vm-build-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(work)
	if opts.command != "" {
		return execute(ctx, root, work, opts)
	}
	return test(ctx, root, work, opts)
}

// test runs packages' tests. Its verdict is that of the events alone, and any
// error comes on top.
func test(ctx context.Context, root, work string, opts options) (int, error) {
	start := time.Now()
	packages, err := findPackages(root, opts.packages)
	if err != nil {
		return 1, err
	}
	if len(packages) == 0 {
		return 1, errors.New("no package has tests to run")
	}
	converterPath, err := test2json()
	if err != nil {
		return 1, err
	}
	buildTests(root, work, packages)

	stream := events.Stream{Name: "full", NoSkips: true}
	tally := events.NewTally()
	show := watch(os.Stdout, opts.verbose)
	if opts.json {
		enc := json.NewEncoder(os.Stdout)
		show = func(e events.Event) { _ = enc.Encode(e) }
	}
	emit := func(e events.Event) {
		tally.Add(stream, e)
		show(e)
	}
	built := packages[:0:0]
	for _, p := range packages {
		if p.buildErr == "" {
			built = append(built, p)
		} else {
			failAtOnce(p.importPath, p.buildErr, emit)
		}
	}
	fmt.Fprintf(os.Stderr, "vm: built the tests of %d packages in %s\n", len(built), since(start))

	err = bootAndTest(ctx, root, work, converterPath, built, opts, emit)
	if err != nil {
		tally.Break(stream, err.Error())
	}
	if !opts.json {
		tally.Report(os.Stdout)
	}
	if !tally.OK() {
		return 1, err
	}
	return 0, err
}

func bootAndTest(ctx context.Context, root, work, converterPath string, packages []testPackage, opts options, emit func(events.Event)) error {
	img := image{tools: tools, sources: root}
	img.plan.Units, img.files = testUnits(packages, opts)
	if slices.ContainsFunc(packages, func(p testPackage) bool { return p.module != "" }) {
		binary := filepath.Join(work, product)
		if err := buildProgram(root, binary, "./cmd/"+product); err != nil {
			return err
		}
		img.files[guestPrograms+"/"+product] = binary
	}
	if opts.update {
		img.plan.Sources = guestSources
	}
	ctx, cancel := context.WithTimeout(ctx, opts.timeout)
	defer cancel()
	g, err := boot(ctx, root, work, img, opts)
	if err != nil {
		for _, p := range packages {
			failAtOnce(p.importPath, "not run: no guest\n", emit)
		}
		return err
	}
	start := time.Now()
	err = runTests(ctx, g, converterPath, packages, emit, writeBack(root))
	if err != nil {
		cancel() // it would not power off by itself
	}
	err = errors.Join(err, g.Close())
	fmt.Fprintf(os.Stderr, "vm: tests took %s\n", since(start))
	return err
}

// execute runs one command, in the guest or on the host, and returns its status.
func execute(ctx context.Context, root, work string, opts options) (int, error) {
	argv, binary, err := buildCommand(root, work, opts.command)
	if err != nil {
		return 1, err
	}
	if opts.preferHost {
		if err := hostCan(ctx); err == nil {
			return executeOnHost(ctx, argv, binary)
		} else {
			fmt.Fprintf(os.Stderr, "vm: in a machine, as this host's kernel will not do: %v\n", err)
		}
	}
	img := image{tools: tools, sources: root, files: map[string]string{}}
	img.plan.Units = commandUnits(argv)
	if binary != "" {
		img.files[guestPrograms+"/"+filepath.Base(binary)] = binary
	}
	ctx, cancel := context.WithTimeout(ctx, opts.timeout)
	defer cancel()
	g, err := boot(ctx, root, work, img, opts)
	if err != nil {
		return 1, err
	}
	status, err := runCommand(ctx, g, os.Stdout, os.Stderr)
	if err != nil {
		cancel()
	}
	return status, errors.Join(err, g.Close())
}
