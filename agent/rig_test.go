package agent

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/netns"
	"github.com/culvertnet/culvert/portmap"
)

const fleetYAML = `
hosts:
  - {name: hv1, underlay: 192.0.2.1, roles: [hypervisor]}
  - {name: hv2, underlay: 192.0.2.2, roles: [hypervisor]}
  - {name: edge1, underlay: 192.0.2.254, roles: [edge], uplink: eth1}
tenants:
  - name: acme
    vni: 100
    interfaces:
      - {name: vm-a, host: hv1, device: tap-a, mac: "52:54:00:00:00:0a", addresses: [10.0.0.12, "fd00::12"]}
      - {name: vm-b, host: hv2, device: tap-b, mac: "52:54:00:00:00:0b", addresses: [10.0.0.47]}
    natGateway: {addresses: [45.86.152.23], portsPerHost: 1024}
  - name: blue
    vni: 200
    interfaces:
      - {name: vm-z, host: hv1, device: tap-z, mac: "52:54:00:00:00:0c", addresses: [10.0.0.12]}
    natGateway: {addresses: [45.86.152.24], portsPerHost: 1024}
`

const noTenants = `
hosts:
  - {name: hv1, underlay: 192.0.2.1, roles: [hypervisor]}
`

// site is a fleet with its lock.
type site struct {
	fleet *config.Fleet
	lock  *portmap.Lock
}

func parse(t testing.TB, text string) site {
	t.Helper()
	fleet, err := config.Parse("fleet.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	lock, err := portmap.Allocate(nil, fleet)
	if err != nil {
		t.Fatal(err)
	}
	return site{fleet, lock}
}

var rigs atomic.Int32

// rig is the agent of hv1 in a namespace of its own, with an underlay whose other end is in the namespace "wire".
type rig struct {
	testing.TB
	*Agent
	prefix string
	port   int // of the encapsulation
}

func newRig(t testing.TB) *rig {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	for _, tool := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs the program %s", tool)
		}
	}
	r := &rig{TB: t, port: 4789, prefix: fmt.Sprintf("ag%d-%d-", os.Getpid(), rigs.Add(1))}
	t.Cleanup(r.close)
	for _, n := range []string{"host", "wire"} {
		ns := must(netns.Create(r.prefix + n))
		t.Cleanup(func() { _ = ns.Close() })
		if n == "host" {
			r.Agent = Open(ns, r.prefix, "hv1")
		}
	}
	r.ip("host", "link add under0 mtu 1550 type veth peer name wire0 mtu 1550 netns "+r.prefix+"wire")
	r.ip("host", "address add 192.0.2.1/24 dev under0")
	r.ip("wire", "address add 192.0.2.254/24 dev wire0")
	r.ip("wire", "address add 192.0.2.2/24 dev wire0")
	r.ip("host", "link set under0 up")
	r.ip("wire", "link set wire0 up")
	for _, d := range []string{"tap-a", "tap-z"} {
		r.ip("host", "link add "+d+" type veth peer name "+d+"-vm")
		r.ip("host", "link set "+d+"-vm up")
	}
	return r
}

func (r *rig) close() {
	var err error
	if r.Agent != nil {
		err = r.Agent.Close()
	}
	names, listErr := netns.List(r.prefix)
	err = errors.Join(err, listErr)
	for _, n := range names {
		err = errors.Join(err, netns.Remove(n))
	}
	if err != nil {
		r.Error(err)
	}
}

func (r *rig) run(words ...string) (string, error) {
	cmd := exec.Command(words[0], words[1:]...)
	var complaint strings.Builder
	cmd.Stderr = &complaint // ip(8) says there that a list changed under its hands
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", strings.Join(words, " "), err, &complaint)
	}
	return string(out), err
}

func (r *rig) ip(ns, words string) string {
	r.Helper()
	out, err := r.run(append([]string{"ip", "-n", r.prefix + ns}, strings.Fields(words)...)...)
	if err != nil {
		r.Fatal(err)
	}
	return out
}

// has reports whether a link is in a namespace; false if that does not exist.
func (r *rig) has(ns, device string) bool {
	_, err := r.run("ip", "-n", r.prefix+ns, "link", "show", device)
	return err == nil
}

// rules lists the tables of a namespace.
func (r *rig) rules(ns string) string {
	r.Helper()
	out, err := r.run("ip", "netns", "exec", r.prefix+ns, "nft", "list", "tables")
	if err != nil {
		r.Fatal(err)
	}
	return out
}

func (r *rig) plan(s site) Plan {
	r.Helper()
	p, err := r.Plan(s.fleet, s.lock)
	if err != nil {
		r.Fatal(err)
	}
	return p
}

// settle plans and applies once and checks that nothing is left to do.
func (r *rig) settle(s site) Plan {
	r.Helper()
	p := r.plan(s)
	if err := r.Apply(p); err != nil {
		r.Fatal(err)
	}
	r.settled(s)
	return p
}

func (r *rig) settled(s site) {
	r.Helper()
	if p := r.plan(s); !p.Empty() {
		r.Fatalf("a second plan is not empty:\n%s", p)
	}
}

// eventually applies until it works: a namespace that is removed by name ends a moment later, and until then its devices
// are in the way (EEXIST). Any other failure is one.
func (r *rig) eventually(s site) {
	r.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); ; <-tick.C {
		err := r.Apply(r.plan(s))
		if err == nil {
			r.settled(s)
			return
		}
		if !errors.Is(err, unix.EEXIST) || time.Now().After(deadline) {
			r.Fatal(err)
		}
	}
}

// safe checks that no VM's device is where rules are missing.
func (r *rig) safe() {
	r.Helper()
	for tenant, device := range map[string]string{"culvert-acme": "tap-a", "culvert-blue": "tap-z"} {
		if !r.has(tenant, device) {
			continue
		}
		want := []string{"table ip culvert", "table ip6 culvert", "table netdev culvert", "table arp culvert"}
		for _, table := range want {
			if got := r.rules(tenant); !strings.Contains(got, table) {
				r.Errorf("%s is attached and %s lacks %s; it has:\n%s", device, tenant, table, got)
			}
		}
	}
}

func (r *rig) clean() {
	r.Helper()
	p, err := r.Agent.Cleanup()
	if err == nil {
		err = r.Apply(p)
	}
	if err != nil {
		r.Fatal(err)
	}
	if p, err := r.Agent.Cleanup(); err != nil || !p.Empty() {
		r.Errorf("a second cleanup has to do: %v\n%s", err, p)
	}
	if names := must(netns.List(r.prefix)); !slices.Equal(names, []string{r.prefix + "host", r.prefix + "wire"}) {
		r.Errorf("namespaces left: %v", names)
	}
	if out := r.ip("host", "route show proto 146"); out != "" {
		r.Errorf("routes left:\n%s", out)
	}
	for _, d := range []string{"tap-a", "tap-z"} {
		if !r.has("host", d) {
			r.Errorf("%s did not come back", d)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
