package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/culvertnet/culvert/config"
)

// version is set by the build.
var version = "unknown"

// Exit statuses.
const (
	statusFailure = 1
	statusInput   = 2
	statusChanges = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args, os.Stdout, os.Stderr))
}

// run carries a command line out and returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	app := newApp()
	app.Writer, app.ErrWriter = stdout, stderr
	err := app.RunContext(ctx, args)
	if err == nil {
		return 0
	}
	var status exitStatus
	if !errors.As(err, &status) {
		fmt.Fprintln(stderr, prefixed(err))
	}
	return statusOf(err)
}

// exitStatus ends the command with a status and no further words.
type exitStatus int

// Error prints the status.
func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// inputError is bad input that is not the fleet document's.
type inputError struct{ error }

func (e inputError) Unwrap() error { return e.error }

// failure is an error whose status is that of a failure, whatever it wraps.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

func statusOf(err error) int {
	var status exitStatus
	var failed failure
	var problems config.Problems
	var input inputError
	switch {
	case errors.As(err, &failed):
		return statusFailure
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, &problems), errors.As(err, &input):
		return statusInput
	default:
		return statusFailure
	}
}

// prefixed prints problems of a document as they are, so that editors find the place, and everything else with the
// program's name.
func prefixed(err error) string {
	var problems config.Problems
	if errors.As(err, &problems) {
		return problems.Error()
	}
	return "culvert: " + err.Error()
}

func newApp() *cli.App {
	app := &cli.App{
		Name:    "culvert",
		Usage:   "NAT gateway, virtual IPs and load balancing on plain Linux hosts",
		Version: version,
		Description: "A fleet is declared in one YAML document. Every host makes its kernel what the document says:\n" +
			"namespaces, VXLAN, routes and nftables rules; the kernel forwards.\n\n" +
			"First steps:\n" +
			"   culvert validate -f fleet.yaml     is the document right?\n" +
			"   culvert allocate -f fleet.yaml     hand out ids and port blocks (writes fleet.lock.yaml)\n" +
			"   culvert doctor                     can this host's kernel do it?\n" +
			"   culvert plan -f fleet.yaml         what would change on this host?\n" +
			"   culvert apply -f fleet.yaml        change it",
		HideHelpCommand: true,
		// Errors are printed by run, once.
		ExitErrHandler: func(*cli.Context, error) {},
		OnUsageError:   badUsage,
		Action:         unknownCommand,
		Commands: []*cli.Command{
			validateCommand(), schemaCommand(), allocateCommand(), planCommand(), applyCommand(), pushCommand(), pullCommand(),
			renderCommand(), daemonCommand(), statusCommand(), cleanupCommand(), countersCommand(), doctorCommand(), labCommand(),
		},
	}
	onBadUsage(app.Commands)
	return app
}

// onBadUsage makes all commands report what they do not understand alike, and without pages of help.
func onBadUsage(commands []*cli.Command) {
	for _, c := range commands {
		if c.OnUsageError == nil {
			c.OnUsageError = badUsage
		}
		onBadUsage(c.Subcommands)
	}
}

func badUsage(c *cli.Context, err error, _ bool) error {
	return inputError{fmt.Errorf("%w; see %s --help", err, c.Command.HelpName)}
}

// unknownCommand is what a command does that has only commands of its own.
func unknownCommand(c *cli.Context) error {
	if c.Args().Present() {
		return inputError{fmt.Errorf("no command %q; see %s --help", c.Args().First(), c.Command.HelpName)}
	}
	return cli.ShowSubcommandHelp(c)
}
