package script

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/lab"
	"github.com/culvertnet/culvert/lab/traffic"
	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/portmap"
)

// stage is a scenario that runs: its lab, its flows, what it has captured and counted.
type stage struct {
	tools Tools
	name  string

	lab   *lab.Lab
	fleet *config.Fleet
	lock  *portmap.Lock

	servers     map[string]*traffic.Server // by the arguments of serve
	webs        map[string]*traffic.Web
	captures    map[string]*traffic.Capture
	marked      map[string]int
	pins        map[pinned][]route
	backgrounds map[string]*background

	verdicts verdicts

	pulse   pulse
	damaged moment
	// noticed is how long after each damage the look began that repaired it, by the daemons' clocks.
	noticed []time.Duration

	mu      sync.Mutex // what goes on meanwhile looks flows up
	flows   map[string]*traffic.Filled
	daemons map[string]Daemon // by host
}

// moment is when something was done, and for how long the machine had stood still before.
type moment struct {
	at    time.Time
	stood time.Duration
}

// call is one command as it is called.
type call struct {
	ctx    context.Context
	args   []string
	stdout io.Writer
	// read reads a file of the scenario.
	read func(name string) []byte
}

func (c call) printf(format string, args ...any) { _, _ = fmt.Fprintf(c.stdout, format+"\n", args...) }

// want splits options off and is a mistake unless least to most arguments remain.
func (c call) want(usage string, least, most int, keys ...string) ([]string, options, error) {
	rest, opts, err := split(c.args, keys...)
	if err == nil && (len(rest) < least || len(rest) > most) {
		err = mistakef("usage: %s", usage)
	}
	return rest, opts, err
}

var stages atomic.Int32

func newStage(tools Tools) *stage {
	return &stage{
		tools: tools, name: fmt.Sprintf("s%dx%d", os.Getpid(), stages.Add(1)),
		flows: map[string]*traffic.Filled{}, captures: map[string]*traffic.Capture{}, servers: map[string]*traffic.Server{}, pins: map[pinned][]route{},
		backgrounds: map[string]*background{}, daemons: map[string]Daemon{},
		webs: map[string]*traffic.Web{},
	}
}

// close ends everything the scenario has started.
func (s *stage) close() error {
	var errs []error
	for _, b := range s.backgrounds {
		b.abort()
	}
	s.backgrounds = map[string]*background{}
	s.pulse.end()
	errs = append(errs, s.stopDaemons())
	for _, f := range s.flows {
		for _, flow := range f.Flows {
			errs = append(errs, flow.Close())
		}
	}
	for _, server := range s.servers {
		errs = append(errs, server.Close())
	}
	for _, web := range s.webs {
		errs = append(errs, web.Close())
	}
	for _, c := range s.captures {
		_ = c.Stop() // whether it missed packets counts for `capture stop` alone
	}
	s.webs = map[string]*traffic.Web{}
	s.flows, s.servers, s.captures = map[string]*traffic.Filled{}, map[string]*traffic.Server{}, map[string]*traffic.Capture{}
	s.lab = nil
	return errors.Join(append(errs, lab.Down(s.name))...)
}

// open opens a node's namespace; the caller closes it.
func (s *stage) open(node string) (*netns.NS, error) {
	if s.lab == nil {
		return nil, mistakef("no lab: begin with lab up")
	}
	ns, err := s.lab.Open(node)
	if errors.Is(err, lab.ErrNoNode) {
		return nil, mistake{err}
	}
	return ns, err
}

// in runs f with a node's namespace.
func (s *stage) in(node string, f func(ns *netns.NS) error) error {
	ns, err := s.open(node)
	if err != nil {
		return err
	}
	return errors.Join(f(ns), ns.Close())
}

// slow stretches a time as the machine needs it.
func (s *stage) slow(d time.Duration) time.Duration {
	return d * time.Duration(max(1, s.tools.Patience))
}

// patience reads an option that says how long something may take.
func (s *stage) patience(opts options, key string, otherwise time.Duration) (time.Duration, error) {
	d, err := opts.duration(key, otherwise)
	return s.slow(d), err
}

// eventually repeats a command until it succeeds.
func (s *stage) eventually(c call) error {
	if len(c.args) < 2 {
		return mistakef("usage: eventually D [!] COMMAND ...")
	}
	limit, err := duration(c.args[0])
	if err != nil {
		return err
	}
	rest, wanted := c.args[1:], true
	if rest[0] == "!" {
		rest, wanted = rest[1:], false
	}
	if len(rest) == 0 || commands[rest[0]] == nil || rest[0] == "eventually" {
		return mistakef("eventually: no such command %q", slices.Concat(rest, []string{""})[0])
	}
	ctx, cancel := context.WithTimeout(c.ctx, s.slow(limit))
	defer cancel()
	// What is asked for has no event to wait for: counters and remote effects are looked at again and again.
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		var printed bytes.Buffer // of the last attempt alone
		err := commands[rest[0]](s, call{ctx: c.ctx, args: rest[1:], stdout: &printed, read: c.read})
		if isMistake(err) || (err == nil) == wanted {
			_, _ = printed.WriteTo(c.stdout)
			return ifMistake(err)
		}
		select {
		case <-ctx.Done():
			_, _ = printed.WriteTo(c.stdout)
			if err == nil {
				err = errors.New("still succeeds")
			}
			return fmt.Errorf("not within %s: %w", limit, err)
		case <-again.C:
		}
	}
}

func ifMistake(err error) error {
	if isMistake(err) {
		return err
	}
	return nil
}
