package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/culvertnet/culvert/trigger"
)

// witness hears all that is written in a host's namespaces, its own and those of some tenants.
type witness struct {
	*daemonRig
	events chan trigger.Event
	marks  int
}

func (r *daemonRig) witness(host string, tenants ...string) *witness {
	r.Helper()
	w := &witness{daemonRig: r, events: make(chan trigger.Event, 10000)}
	ns := r.open(host)
	watch, err := trigger.Open(ns)
	if err != nil {
		r.Fatal(err)
	}
	// Other namespaces may have a number, too: those at the other ends of cables.
	ours := map[trigger.Space]bool{trigger.Host: true}
	for _, tenant := range tenants {
		space, err := watch.ID(r.open(host + "/" + tenant))
		if err != nil {
			r.Fatal(err)
		}
		ours[space] = true
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		done <- watch.Run(ctx, func(e trigger.Event) {
			if e.Kind == trigger.Neighbour && e.Space == trigger.Host {
				return // hosts learn each other's MACs by themselves
			}
			if ours[e.Space] && (e.Kind != trigger.Name || strings.HasPrefix(e.Name, r.name)) {
				w.events <- e
			}
		})
	}()
	r.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, watch.Close()); err != nil {
			r.Error(err)
		}
	})
	return w
}

// heard returns what has been written until now. A parameter that nobody needs is written last and ends it.
func (w *witness) heard(host string) (out []string) {
	w.Helper()
	w.marks++
	err := w.open(host).Do(func() error {
		return os.WriteFile("/proc/sys/net/ipv4/conf/lo/proxy_arp", []byte(fmt.Sprint(w.marks%2)), 0)
	})
	if err != nil {
		w.Fatal(err)
	}
	mark := trigger.Event{Kind: trigger.Parameter, Space: trigger.Host, Device: "lo"}
	for late := time.After(w.patience); ; {
		select {
		case e := <-w.events:
			if e == mark {
				return out
			}
			out = append(out, fmt.Sprintf("%s in namespace %d, device %q", e.Kind, e.Space, e.Device))
		case <-late:
			w.Fatal("the witness is deaf")
		}
	}
}

// deliberate reports whether only a program causes such an event. Devices and addresses also tell of themselves, and later.
func deliberate(e trigger.Event) bool {
	return e.Kind == trigger.Rules || e.Kind == trigger.Parameter || e.Kind == trigger.Name
}

// wrote reports whether a program has written something since the last call, as far as that is heard already.
func (w *witness) wrote() (yes bool) {
	for {
		select {
		case e := <-w.events:
			yes = yes || deliberate(e)
		default:
			return yes
		}
	}
}

// first waits until a daemon writes something, or has nothing to write.
func (w *witness) first(p *process) bool {
	w.Helper()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for late := time.After(w.patience); !strings.Contains(p.log.String(), "msg=converged"); {
		select {
		case e := <-w.events:
			if deliberate(e) {
				return true
			}
		case <-again.C:
		case <-late:
			w.Fatalf("%s: the daemon neither writes nor converges:\n%s", p.host, p.log)
		}
	}
	return false
}
