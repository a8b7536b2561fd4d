package daemon

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/culvertnet/culvert/agent"
	"github.com/culvertnet/culvert/portmap"
	"github.com/culvertnet/culvert/source"
	"github.com/culvertnet/culvert/topology"
	"github.com/culvertnet/culvert/trigger"
)

// Daemon keeps one host.
type Daemon struct {
	opts  Options
	queue *queue
	board *board
}

// New returns a daemon that does nothing until Run.
func New(o Options) *Daemon {
	o.setDefaults()
	d := &Daemon{opts: o, queue: newQueue(), board: newBoard()}
	d.board.set(func(s *Status) { s.Host, s.Source, s.Version = o.Name, o.Source.String(), o.Version })
	return d
}

// task is a part of the daemon that runs as long as it does.
type task interface {
	// Run returns nil when the context ends, and an error if the daemon cannot go on.
	Run(ctx context.Context) error
	// String names the task.
	String() string
}

// Run keeps the host until the context ends; then it returns nil. The kernel is left as it is.
func (d *Daemon) Run(ctx context.Context) error {
	// The socket comes first: who cannot have it, as another daemon has, must not change anything.
	var api *apiTask
	if d.opts.Socket != "" {
		var err error
		if api, err = newAPITask(d.opts.Socket, d); err != nil {
			return err
		}
		defer api.close()
	}
	// Listening begins before the first look: what happens in between is not lost.
	watch, err := trigger.Open(d.opts.Host)
	if err != nil {
		return err
	}
	a := agent.Open(d.opts.Host, d.opts.Prefix, d.opts.Name)
	k := newKeeper(d.opts, a, watch, d.queue, d.board)
	tasks := []task{
		fleetTask{d.opts.Source, d.queue}, kernelTask{watch, d.queue},
		servicesTask{d.opts.Prefix, d.queue, d.opts.Log, &k.balanced}, k.probes, k,
	}
	if d.opts.Service != nil {
		tasks = append(tasks, watchdogTask{d.opts.Service, &k.busy})
	}
	if api != nil {
		tasks = append(tasks, api)
	}
	d.opts.Log.Info("started", "host", d.opts.Name, "fleet", d.opts.Source.String(), "version", d.opts.Version)
	group, ctx := errgroup.WithContext(ctx)
	for _, t := range tasks {
		group.Go(func() error {
			if err := t.Run(ctx); err != nil {
				return fmt.Errorf("%s: %w", t, err)
			}
			return nil
		})
	}
	err = group.Wait()
	d.opts.Service.stopping()
	d.opts.Log.Info("stopped; the kernel goes on forwarding", "host", d.opts.Name)
	return errors.Join(err, a.Close(), watch.Close())
}

// Reload has the source look again, if it can be told to, and everything looked at, also what only the slow check finds.
func (d *Daemon) Reload() {
	d.opts.Service.reloading()
	if r, ok := d.opts.Source.(source.Reloader); ok {
		r.Reload()
	}
	d.queue.everything()
}

// Status says how the host is. The value is the caller's.
func (d *Daemon) Status() Status { return d.board.read() }

// Fleet returns what the host must hold, and the lock behind it; nil before the first fleet. Both must not be changed.
func (d *Daemon) Fleet() (*topology.Host, *portmap.Lock) { return d.board.fleet() }

// fleetTask queues what the source delivers.
type fleetTask struct {
	source source.Source
	queue  *queue
}

func (t fleetTask) String() string { return "fleet " + t.source.String() }

func (t fleetTask) Run(ctx context.Context) error {
	return t.source.Run(ctx, t.queue.deliver, t.queue.refuse)
}

// kernelTask queues what the kernel tells.
type kernelTask struct {
	watch *trigger.Watch
	queue *queue
}

func (t kernelTask) String() string { return "kernel" }

func (t kernelTask) Run(ctx context.Context) error { return t.watch.Run(ctx, t.queue.tell) }
