package script

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// commands are the commands of a scenario; [Help] describes them. It is filled in by init because eventually looks into it.
var commands map[string]func(*stage, call) error

func init() {
	commands = map[string]func(*stage, call) error{
		"lab": (*stage).labCommand, "fleet": (*stage).changeFleet, "release": (*stage).release, "apply": (*stage).apply,
		"cleanup": (*stage).cleanup, "changes": (*stage).changes, "blocks": (*stage).blocks,
		"daemon": (*stage).daemonCommand, "drift": (*stage).drift, "repaired": (*stage).repaired, "noticed": (*stage).medianNoticed, "damage": (*stage).damage,
		"plug": (*stage).plug, "unplug": (*stage).unplug, "pin": (*stage).pin, "unpin": (*stage).unpin,
		"sick":  (*stage).wantSick,
		"serve": (*stage).serve, "unserve": (*stage).unserve, "open": (*stage).openFlow, "fill": (*stage).fill, "send": (*stage).send, "saw": (*stage).saw,
		"flows": (*stage).countFlows, "close": (*stage).closeFlows, "ping": (*stage).ping, "trace": (*stage).trace, "inject": (*stage).inject,
		"frame": (*stage).frame, "arp": (*stage).arp, "vxlan": (*stage).vxlanCommand,
		"capture": (*stage).capture, "captured": (*stage).captured, "apart": (*stage).apart,
		"mark": (*stage).mark, "counter": (*stage).counter, "conntrack": (*stage).conntrack, "snmp": (*stage).snmp, "endpoints": (*stage).endpoints,
		"balanced": (*stage).balanced, "expires": (*stage).expires, "sysctl": (*stage).sysctl, "gained": (*stage).gained,
		"counters": (*stage).counters, "entries": (*stage).entries,
		"eventually": (*stage).eventually, "meanwhile": (*stage).meanwhile, "finish": (*stage).finish, "turns": (*stage).turnsOf, "say": (*stage).say,
	}
}

type stageKey struct{}

// params wires the commands into testscript.
func params(tools Tools, files []string) testscript.Params {
	p := testscript.Params{
		Files:              files,
		RequireUniqueNames: true,
		Cmds:               map[string]func(*testscript.TestScript, bool, []string){},
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", "") // scenarios run no programs
			s := newStage(tools)
			env.Values[stageKey{}] = s
			env.Defer(func() {
				if err := s.close(); err != nil {
					env.T().Fatal(err)
				}
			})
			return nil
		},
	}
	for name, run := range commands {
		p.Cmds[name] = func(ts *testscript.TestScript, neg bool, args []string) {
			s := ts.Value(stageKey{}).(*stage)
			err := run(s, call{
				ctx: context.Background(), args: args, stdout: ts.Stdout(),
				read: func(name string) []byte { return []byte(ts.ReadFile(name)) },
			})
			judge(ts, name, neg, err)
		}
	}
	return p
}

// judge ends the scenario unless the command did what is wanted of it.
func judge(ts *testscript.TestScript, name string, neg bool, err error) {
	switch {
	case err != nil && (!neg || isMistake(err)):
		ts.Fatalf("%s: %v", name, err)
	case err == nil && neg:
		ts.Fatalf("%s: succeeded, want a failure", name)
	case err != nil:
		_, _ = fmt.Fprintln(ts.Stderr(), err)
	}
}

// Run plays the scenarios in the files as subtests, in parallel.
func Run(t *testing.T, tools Tools, files ...string) {
	t.Helper()
	testscript.Run(t, params(tools, files))
}

// Play plays the scenarios in the files one after the other and writes their stories. It returns the names of those that failed.
// A scenario that skips itself has not failed.
func Play(out io.Writer, tools Tools, files ...string) (failed []string, err error) {
	if len(files) == 0 {
		return nil, errors.New("no scenario given")
	}
	p := &player{out: out, failed: map[string]bool{}}
	err = p.do(func() { testscript.RunT(p, params(tools, files)) })
	failed = slices.Sorted(maps.Keys(p.failed))
	return failed, err
}

// player is testscript's view of a test where there is no testing package.
type player struct {
	out    io.Writer
	failed map[string]bool
}

// errEnded unwinds a scenario that has failed or skips itself.
var errEnded = errors.New("scenario ended")

// do runs f and takes the end of a scenario for an error.
func (p *player) do(f func()) (err error) {
	defer func() {
		if r := recover(); r == error(errEnded) {
			err = errEnded
		} else if r != nil {
			panic(r)
		}
	}()
	f()
	return nil
}

// Run plays one scenario.
func (p *player) Run(name string, f func(testscript.T)) {
	one := &scene{player: p, name: name}
	p.Log("=== " + name)
	_ = p.do(func() { f(one) }) // it has noted what happened
	verdict := "ok"
	switch {
	case one.failed:
		verdict = "FAILED"
		p.failed[name] = true
	case one.skipped:
		verdict = "skipped"
	}
	p.Log("--- " + name + ": " + verdict)
}

func (p *player) Log(args ...any) {
	_, _ = fmt.Fprintln(p.out, strings.TrimRight(fmt.Sprint(args...), "\n"))
}

func (p *player) Skip(args ...any)  { p.Log(args...); panic(errEnded) }
func (p *player) Fatal(args ...any) { p.Log(args...); p.FailNow() }
func (p *player) FailNow()          { panic(errEnded) }
func (p *player) Parallel()         {}
func (p *player) Verbose() bool     { return true }

// scene is one scenario of a player.
type scene struct {
	*player
	name            string
	failed, skipped bool
}

func (s *scene) Skip(args ...any)  { s.skipped = true; s.Log(args...); panic(errEnded) }
func (s *scene) Fatal(args ...any) { s.Log(args...); s.FailNow() }
func (s *scene) FailNow()          { s.failed = true; panic(errEnded) }
