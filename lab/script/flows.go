package script

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/culvertnet/culvert/lab/traffic"
	"github.com/culvertnet/culvert/netns"
)

// How long commands wait by default.
const (
	openPatience = 5 * time.Second
	sendPatience = 30 * time.Second
	pingPatience = 2 * time.Second
	fillPatience = 10 * time.Second
)

func network(s string) (traffic.Network, error) {
	if n := traffic.Network(s); n == traffic.TCP || n == traffic.UDP {
		return n, nil
	}
	return "", mistakef("%q: want tcp or udp", s)
}

func (s *stage) serve(c call) error {
	args, opts, err := c.want("serve NODE tcp|udp|http|https ADDR:PORT [status=N]", 3, 3, "status")
	if err != nil {
		return err
	}
	at, err := addrPort(args[2])
	if err != nil {
		return err
	}
	if args[1] == "http" || args[1] == "https" {
		return s.serveWeb(args, at, opts)
	}
	net, err := network(args[1])
	if err != nil {
		return err
	}
	return s.in(args[0], func(ns *netns.NS) error {
		server, err := traffic.Serve(ns, net, at)
		if err == nil {
			s.servers[strings.Join(args, " ")] = server
		}
		return err
	})
}

// serveWeb begins a server that gives all requests the same answer.
func (s *stage) serveWeb(args []string, at netip.AddrPort, opts options) error {
	status, err := opts.number("status", http.StatusOK)
	if err != nil {
		return err
	}
	return s.in(args[0], func(ns *netns.NS) error {
		web, err := traffic.ServeWeb(ns, at, args[1] == "https", status)
		if err == nil {
			s.webs[strings.Join(args, " ")] = web
		}
		return err
	})
}

// unserve ends a server; who talks to it is reset, who comes later is refused.
func (s *stage) unserve(c call) error {
	name := strings.Join(c.args, " ")
	if web := s.webs[name]; web != nil {
		delete(s.webs, name)
		return web.Close()
	}
	server := s.servers[name]
	if server == nil {
		return mistakef("no server %q; serve has begun %q", name, slices.Sorted(maps.Keys(s.servers)))
	}
	delete(s.servers, name)
	return server.Close()
}

// target reads what open and fill have in common: NAME NODE tcp|udp ADDR:PORT.
func (s *stage) target(args []string) (name string, net traffic.Network, to netip.AddrPort, err error) {
	if _, err := s.named(args[0]); err == nil {
		return "", "", to, mistakef("the name %s is taken", args[0])
	}
	if net, err = network(args[2]); err == nil {
		to, err = addrPort(args[3])
	}
	return args[0], net, to, err
}

func (s *stage) openFlow(c call) error {
	args, opts, err := c.want("open NAME NODE tcp|udp ADDR:PORT [sport=N] [src=ADDR] [ttl=N] [size=BYTES] [df] [within=D]", 4, 4,
		"sport", "src", "ttl", "size", "df", "within")
	if err != nil {
		return err
	}
	name, net, to, err := s.target(args)
	if err != nil {
		return err
	}
	how, within, err := s.flowOptions(opts)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.ctx, within)
	defer cancel()
	return s.in(args[1], func(ns *netns.NS) error {
		flow, err := traffic.Open(ctx, ns, net, to, how)
		if err == nil {
			s.keep(name, &traffic.Filled{Flows: []traffic.Flow{flow}})
		}
		return err
	})
}

func (s *stage) flowOptions(opts options) (how traffic.Options, within time.Duration, err error) {
	var errs [5]error
	var sport int
	var source netip.Addr
	sport, errs[0] = opts.number("sport", 0)
	source, errs[1] = opts.addr("src")
	how.TTL, errs[2] = opts.number("ttl", 0)
	how.Datagram, errs[3] = opts.number("size", 0)
	within, errs[4] = s.patience(opts, "within", openPatience)
	if sport > 65535 {
		return how, within, mistakef("sport=%d: want a port", sport)
	}
	how.Source = netip.AddrPortFrom(source, uint16(sport))
	how.DontFragment = opts.has("df")
	return how, within, errors.Join(errs[:]...)
}

func (s *stage) fill(c call) error {
	args, opts, err := c.want("fill NAME NODE tcp|udp ADDR:PORT N [src=ADDR] [parallel=N] [within=D]", 5, 5, "src", "parallel", "within")
	if err != nil {
		return err
	}
	name, net, to, err := s.target(args)
	if err != nil {
		return err
	}
	var attempt traffic.Attempt
	var errs [4]error
	attempt.Flows, errs[0] = number(args[4])
	attempt.Source, errs[1] = opts.addr("src")
	attempt.Parallel, errs[2] = opts.number("parallel", 0)
	attempt.Patience, errs[3] = s.patience(opts, "within", fillPatience)
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	return s.in(args[1], func(ns *netns.NS) error {
		filled := traffic.Fill(c.ctx, ns, net, to, attempt)
		s.keep(name, &filled)
		c.printf("%d open, %d refused, %d reset, %d timeout", len(filled.Flows), filled.Refused, filled.Reset, filled.Timeout)
		if filled.LastRefusal != nil {
			c.printf("refused by %s", filled.LastRefusal)
		}
		return errors.Join(filled.Other...)
	})
}

func (s *stage) named(name string) (*traffic.Filled, error) {
	s.mu.Lock()
	f := s.flows[name]
	s.mu.Unlock()
	if f == nil {
		return nil, mistakef("no flow is named %s", name)
	}
	return f, nil
}

// keep gives flows their name.
func (s *stage) keep(name string, flows *traffic.Filled) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flows[name] = flows
}

// each runs f for every flow of a name, some at once.
func (s *stage) each(name string, f func(traffic.Flow) error) error {
	filled, err := s.named(name)
	if err != nil {
		return err
	}
	var group errgroup.Group
	group.SetLimit(32)
	var mu sync.Mutex
	var first error
	failed, reset := 0, 0
	for _, flow := range filled.Flows {
		group.Go(func() error {
			if err := f(flow); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed++
				if errors.Is(err, traffic.ErrReset) {
					reset++
				}
				first = cmp.Or(first, err)
			}
			return nil
		})
	}
	_ = group.Wait() // the goroutines return nil
	if failed > 0 {
		return fmt.Errorf("%d of %d flows failed, %d of them reset, one of them: %w", failed, len(filled.Flows), reset, first)
	}
	return nil
}

func (s *stage) send(c call) error {
	args, opts, err := c.want("send NAME BYTES [within=D]", 2, 2, "within")
	if err != nil {
		return err
	}
	bytes, err := number(args[1])
	if err != nil {
		return err
	}
	within, err := s.patience(opts, "within", sendPatience)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.ctx, within)
	defer cancel()
	return s.each(args[0], func(f traffic.Flow) error { return f.Exchange(ctx, bytes) })
}

func (s *stage) saw(c call) error {
	args, opts, err := c.want("saw NAME ADDR FIRST[-LAST] [within=D]", 3, 3, "within")
	if err != nil {
		return err
	}
	want, err := addr(args[1])
	if err != nil {
		return err
	}
	first, last, err := portRange(args[2])
	if err != nil {
		return err
	}
	within, err := s.patience(opts, "within", sendPatience)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.ctx, within)
	defer cancel()
	var mu sync.Mutex
	return s.each(args[0], func(f traffic.Flow) error {
		seen, err := f.Seen(ctx)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		c.printf("%s is seen as %s", f.Local(), seen)
		if seen.Addr() != want || seen.Port() < first || seen.Port() > last {
			return fmt.Errorf("%s is seen as %s, want %s %d-%d", f.Local(), seen, want, first, last)
		}
		return nil
	})
}

func (s *stage) countFlows(c call) error {
	args, _, err := c.want("flows NAME [open|refused|reset|timeout] OP N", 3, 4)
	if err != nil {
		return err
	}
	filled, err := s.named(args[0])
	if err != nil {
		return err
	}
	what := "open"
	if len(args) == 4 {
		what = args[1]
	}
	got, ok := map[string]int{
		"open": len(filled.Flows), "refused": filled.Refused, "reset": filled.Reset, "timeout": filled.Timeout,
	}[what]
	if !ok {
		return mistakef("%q: want open, refused, reset or timeout", what)
	}
	want, err := parseComparison(args[len(args)-2], args[len(args)-1])
	if err != nil {
		return err
	}
	return want.check("number of flows "+what, got)
}

func (s *stage) closeFlows(c call) error {
	var errs []error
	for _, name := range c.args {
		filled, err := s.named(name)
		if err != nil {
			return err
		}
		for _, f := range filled.Flows {
			errs = append(errs, f.Close())
		}
		s.mu.Lock()
		delete(s.flows, name)
		s.mu.Unlock()
	}
	return errors.Join(errs...)
}

func (s *stage) ping(c call) error {
	args, opts, err := c.want("ping NODE ADDR [count=N] [size=N] [id=N] [ttl=N] [src=ADDR] [within=D]", 2, 2,
		"count", "size", "id", "ttl", "src", "within")
	if err != nil {
		return err
	}
	var e traffic.Echo
	var errs [7]error
	var id int
	e.To, errs[0] = addr(args[1])
	e.Count, errs[1] = opts.number("count", 1)
	e.Size, errs[2] = opts.number("size", 56)
	id, errs[3] = opts.number("id", 0)
	e.TTL, errs[4] = opts.number("ttl", 0)
	e.Source, errs[5] = opts.addr("src")
	e.Patience, errs[6] = s.patience(opts, "within", pingPatience)
	e.ID = uint16(id)
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	return s.in(args[0], func(ns *netns.NS) error {
		r, err := traffic.Ping(c.ctx, ns, e)
		if err != nil {
			return err
		}
		c.printf("%d of %d replies, id %d", r.Received, r.Sent, r.ID)
		var icmp []error
		for _, e := range r.Errors {
			c.printf("%s", e)
			icmp = append(icmp, e)
		}
		if r.Received != r.Sent {
			return fmt.Errorf("%d of %d replies: %w", r.Received, r.Sent, errors.Join(append(icmp, traffic.ErrTimeout)...))
		}
		return nil
	})
}
