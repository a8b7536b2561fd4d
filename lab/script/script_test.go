package script

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/vishvananda/netlink"
	vishns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/lab"
	"github.com/culvertnet/culvert/netns"
)

func needsRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
}

// fake is an agent that makes a tenant namespace with a device called as the VXLAN device would be, and counts its runs.
type fake struct {
	mu   sync.Mutex
	runs map[string]uint64
}

func newFake() (*fake, Tools) {
	f := &fake{runs: map[string]uint64{}}
	return f, Tools{Converge: f.converge, Cleanup: f.cleanup, Changes: f.changes, Counters: f.counters}
}

func (f *fake) converge(_ context.Context, s lab.Site) error {
	name := s.Prefix + "culvert-acme"
	ns, err := netns.Create(name)
	if err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if err == nil {
		defer ns.Close()
		if err := addDevice(ns); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.runs[name]++
	return nil
}

func addDevice(ns *netns.NS) error {
	h, err := netlink.NewHandleAt(vishns.NsHandle(ns.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "vx100"
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: "peer"}
	// Without lo the namespace has no local table, and without that no gateway is valid.
	lo, err := h.LinkByName("lo")
	if err != nil {
		return err
	}
	return errors.Join(h.LinkSetUp(lo), h.LinkAdd(veth), h.LinkSetUp(veth))
}

func (f *fake) cleanup(_ context.Context, s lab.Site) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.runs, s.Prefix+"culvert-acme")
	return netns.Remove(s.Prefix + "culvert-acme")
}

func (f *fake) changes(_ context.Context, s lab.Site) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.runs[s.Prefix+"culvert-acme"] == 0 {
		return []string{s.Host + " was never converged"}, nil
	}
	return nil, nil
}

func (f *fake) counters(ns *netns.NS) (map[string]uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return map[string]uint64{"runs": f.runs[ns.Name()]}, nil
}

func TestScenarios(t *testing.T) {
	needsRoot(t)
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	_, tools := newFake()
	Run(t, tools, files...)
}

// write makes a scenario of the commands, with a small fleet.
func write(t *testing.T, name, commands string) string {
	t.Helper()
	fleet, err := os.ReadFile("testdata/outside.txtar")
	if err != nil {
		t.Fatal(err)
	}
	_, files, _ := bytes.Cut(fleet, []byte("-- fleet.yaml --"))
	path := filepath.Join(t.TempDir(), name+".txtar")
	if err := os.WriteFile(path, fmt.Appendf(nil, "%s\n-- fleet.yaml --%s", commands, files), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPlay(t *testing.T) {
	needsRoot(t)
	var out bytes.Buffer
	failed, err := Play(&out, Tools{},
		write(t, "good", "lab up -bare\nping far 198.51.100.1"),
		write(t, "bad", "lab up -bare\nping far 198.51.100.9 within=50ms\nsay never"),
		write(t, "skipped", "skip 'not today'"),
		write(t, "last", "lab up -bare"))
	if err != nil || !slices.Equal(failed, []string{"bad"}) {
		t.Errorf("failed %v, %v", failed, err)
	}
	for _, want := range []string{"--- good: ok", "0 of 1 replies", "--- bad: FAILED", "not today", "--- skipped: skipped", "--- last: ok"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the story lacks %q:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "never") {
		t.Errorf("a scenario went on after its failure:\n%s", out.String())
	}
	left, err := netns.List(fmt.Sprintf("s%dx", os.Getpid()))
	if err != nil || len(left) > 0 {
		t.Errorf("namespaces left: %v, %v", left, err)
	}
	if _, err := Play(&out, Tools{}); err == nil {
		t.Error("played nothing")
	}
	if failed, _ := Play(&out, Tools{}, "testdata/no-such-file.txtar"); len(failed) != 1 {
		t.Errorf("a missing file failed as %v", failed)
	}
}

// A scenario that is written wrongly fails, also where it wants a failure.
func TestMistakesEndTheScenario(t *testing.T) {
	needsRoot(t)
	var out bytes.Buffer
	failed, err := Play(&out, Tools{}, write(t, "mistake", "lab up -bare\n! open x mars tcp 198.51.100.1:1"))
	if err != nil || len(failed) != 1 || !strings.Contains(out.String(), "no such node") {
		t.Errorf("failed %v, %v:\n%s", failed, err, out.String())
	}
}

func TestMistakes(t *testing.T) {
	needsRoot(t)
	s := newStage(Tools{})
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	fleet, err := os.ReadFile("testdata/outside.txtar")
	if err != nil {
		t.Fatal(err)
	}
	_, fleet, _ = bytes.Cut(fleet, []byte("-- fleet.yaml --\n"))
	do := func(line string) error {
		words := strings.Fields(line)
		return commands[words[0]](s, call{
			ctx: t.Context(), args: words[1:], stdout: io.Discard,
			read: func(string) []byte { return fleet },
		})
	}
	if err := do("blocks"); !isMistake(err) {
		t.Errorf("blocks before lab up: %v", err)
	}
	if err := do("lab up -bare"); err != nil {
		t.Fatal(err)
	}
	for command, want := range map[string]string{
		"inject far udp 1.1.1.1:1 2.2.2.2:2 cut=9":          "want multiples of 8",
		"inject far udp 1.1.1.1:1 2.2.2.2:2 cut=8 pieces=3": "the number of a piece, 1 to 1",
		"inject far icmp 1.1.1.1 2.2.2.2 about=nothing":     "no capture is named nothing",
		"inject far udp 1.1.1.1:1 @nothing":                 "no capture is named nothing",
		"inject far sctp 1.1.1.1:1 2.2.2.2:2 chunk=hello":   "want one of [abort cookie-ack",
		"inject far udp 1.1.1.1:1 2.2.2.2:2 hex=0":          "two hexadecimal digits",
		"inject far icmp 1.1.1.1 2.2.2.2 damaged=quoted":    "nothing is quoted",
		"inject far icmp 1.1.1.1 2.2.2.2 damaged=much":      "want outer or quoted",
		"endpoints nothing == 1":                            "no capture is named nothing",
		"apart nothing":                                     "usage: apart",
		"noticed <= 1s":                                     "after repaired within=D has held 5 times",
		"balanced far 1":                                    "usage: balanced",
		"balanced far ~ 1":                                  "want one of ==",
		"expires far == 1":                                  "usage: expires",
		"sysctl far net/ipv4/ip_forward > 0":                "usage: sysctl",
		"trace far tcp 1.1.1.1:1":                           "want udp or icmp",
		"trace far udp 1.1.1.1":                             "want an address with a port",
		"snmp far Ip.Nonsense == 1":                         "has no snmp Ip.Nonsense",
		"damage far rule first":                             "is no priority",
		"repaired hv1 within=soon x":                        "want a time",

		"open":                                                    "usage: open",
		"open x far tpc 198.51.100.1:1":                           "want tcp or udp",
		"open x far tcp 198.51.100.1":                             "want an address with a port",
		"open x mars tcp 198.51.100.1:1":                          "no such node",
		"open x far tcp 198.51.100.1:1 sprot=1":                   "unknown option",
		"open x far tcp 198.51.100.1:1 within=x":                  "want a time",
		"serve far tcp here":                                      "want an address with a port",
		"send nobody 10":                                          "no flow is named nobody",
		"flows nobody == 1":                                       "no flow is named nobody",
		"ping far nowhere":                                        "want an address",
		"ping far 198.51.100.1 count=x":                           "want a number",
		"inject far gre 1.1.1.1 2.2.2.2":                          "want one of [icmp sctp tcp udp]",
		"inject far tcp 1.1.1.1:1 2.2.2.2:2 flags=urg":            "want one of [ack fin rst syn]",
		"frame acme/vm-a 52 udp 1.1.1.1:1 2.2.2.2:2":              "want a MAC address",
		"arp acme/vm-a 52:54:00:00:00:0a fd00::1 fd00::2":         "want an IPv4 address",
		"arp acme/vm-a 52:54:00:00:00:0a 1.1.1.1 2.2.2.2 says=me": "want a MAC address",
		"vxlan far 192.0.2.66 hv9 100 52:54:00:00:00:0a udp 1.1.1.1:1 2.2.2.2:2": "no host",
		"vxlan far here hv1 100 52:54:00:00:00:0a udp 1.1.1.1:1 2.2.2.2:2":       "want an address",
		"capture begin":                                  "usage: capture",
		"capture start c far eth0 tpc":                   "filter term",
		"captured c == 1":                                "no capture is named c",
		"counter hv1 x == 1":                             "reads no counters",
		"conntrack server count = 1":                     "want one of ==",
		"gained server conntrack count == 1":             "use mark first",
		"apply":                                          "no agent",
		"changes hv1 == 0":                               "with an agent",
		"cleanup hv1":                                    "with an agent",
		"plug acme/nobody":                               "no such node",
		"pin edge1 acme 45.86.152.23 hv9":                "no host",
		"pin edge1 beta 45.86.152.23 hv1":                "no tenant",
		"unpin edge1 acme 45.86.152.23":                  "is not pinned",
		"lab up":                                         "the lab is up",
		"lab sideways":                                   "usage: lab",
		"meanwhile x":                                    "usage",
		"meanwhile x serve":                              "cannot go on meanwhile",
		"meanwhile x send nobody 10":                     "no flow is named nobody",
		"turns nothing == 1":                             "usage, of what goes on meanwhile: turns",
		"meanwhile a visit far tcp":                      "usage: meanwhile NAME visit",
		"meanwhile a visit far tcp 1.1.1.1:1 lives=long": "want a time such as 5s",
		"meanwhile a shuffle edge1 acme 1.1.1.1":         "usage: meanwhile NAME shuffle",
		"meanwhile a shuffle edge1 acme 1.1.1.1 hv9":     "no host",
		"finish x":                                       "nothing goes on",
		"eventually 1s nonsense":                         "no such command",
		"eventually soon say x":                          "want a time",
		"eventually 1s send nobody 10":                   "no flow is named nobody",
	} {
		if err := do(command); !isMistake(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want a mistake about %q", command, err, want)
		}
	}
}

func TestHelpNamesEveryCommand(t *testing.T) {
	for name := range commands {
		if !strings.Contains(Help, "\n  "+name+" ") && !strings.Contains(Help, ", "+name+" ") && !strings.Contains(Help, "\n  "+name+"\n") {
			t.Errorf("help does not describe %s", name)
		}
	}
}

func TestComparisons(t *testing.T) {
	for text, want := range map[string][3]bool{ // for 4, 5, 6
		"== 5": {false, true, false}, "!= 5": {true, false, true}, "< 5": {true, false, false},
		"<= 5": {true, true, false}, "> 5": {false, false, true}, ">= 5": {false, true, true},
	} {
		op, n, _ := strings.Cut(text, " ")
		c, err := parseComparison(op, n)
		if err != nil {
			t.Fatal(err)
		}
		for i, got := range []int{4, 5, 6} {
			if c.holds(got) != want[i] {
				t.Errorf("%d %s is %v", got, text, c.holds(got))
			}
		}
	}
}
