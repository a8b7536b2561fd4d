package lab

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/culvertnet/culvert/config"
)

func TestNamespaceOfNode(t *testing.T) {
	l := newLab(Options{Name: "lab"})
	l.fleet = testFleet()
	for node, want := range map[string]string{
		"hv1": "lab-hv1", "edge1": "lab-edge1", "hv1/acme": "lab-hv1-culvert-acme", "acme/vm-a": "lab-vm-acme-vm-a",
		"server": "lab-server", "far": "lab-far", "internet": "lab-internet", "narrow": "lab-narrow", "underlay": "lab-underlay",
	} {
		if got, err := l.Namespace(node); err != nil || got != want {
			t.Errorf("Namespace(%s) = %s, %v, want %s", node, got, err, want)
		}
	}
	for _, node := range []string{"", "hv9", "acme", "acme/vm-z", "hv1/beta", "hv1/acme/x"} {
		if got, err := l.Namespace(node); !errors.Is(err, ErrNoNode) {
			t.Errorf("Namespace(%q) = %s, %v, want ErrNoNode", node, got, err)
		}
	}
}

func TestClashesAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*config.Fleet)
		want   string
	}{
		"host named as the lab's own node": {func(f *config.Fleet) { f.Hosts[0].Name = "server" }, "lab's own node server"},
		"host named as a VM's namespace":   {func(f *config.Fleet) { f.Hosts[0].Name = "vm-acme-vm-b" }, "vm-acme-vm-b"},
		"host named as a tenant namespace": {func(f *config.Fleet) { f.Hosts[0].Name = "hv2-culvert-acme" }, "hv2-culvert-acme"},
		"public address of the server":     {func(f *config.Fleet) { f.Tenants[0].NATGateway.Addresses[0] = netip.MustParseAddr("198.51.100.7") }, "198.51.100.7"},
		"underlay in the transfer network": {func(f *config.Fleet) { f.Hosts[0].Underlay = netip.MustParseAddr("198.18.0.9") }, "198.18.0.9"},
	} {
		fleet := testFleet()
		c.change(fleet)
		_, err := Up(fleet, Options{Name: "never"})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error about %s", name, err, c.want)
		}
	}
	for _, name := range []string{"a-b", "A", "../x", strings.Repeat("a", 21)} {
		if _, err := Up(testFleet(), Options{Name: name}); err == nil {
			t.Errorf("lab name %q was taken", name)
		}
		if err := Down(name); err == nil {
			t.Errorf("Down of %q was taken", name)
		}
	}
}

func TestPortNames(t *testing.T) {
	for host, want := range map[string]string{"hv1": "hv1", "exactly-15-char": "exactly-15-char"} {
		if got := portName(host); got != want {
			t.Errorf("portName(%s) = %s", host, got)
		}
	}
	for _, host := range []string{"server", "narrow", "lo", "more-than-15-characters"} {
		if got := portName(host); got == host || len(got) != 15 {
			t.Errorf("portName(%s) = %s", host, got)
		}
	}
}
