package lab

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/topology"
)

// Nodes that every lab has.
const (
	Underlay = "underlay"
	Internet = "internet"
	Server   = "server"
	Narrow   = "narrow"
	Far      = "far"
)

// ErrNoNode is returned for a node that the fleet does not have.
var ErrNoNode = errors.New("no such node")

// validName keeps the dash out, so that no lab's prefix is the beginning of another's.
var validName = regexp.MustCompile(`^[a-z0-9]{1,20}$`)

// VM names a VM by the tenant and the interface that the fleet gives it.
type VM struct {
	Tenant, Interface string
}

// String prints the VM as scripts and the CLI name it: "acme/vm-a".
func (v VM) String() string { return v.Tenant + "/" + v.Interface }

func prefixOf(name string) string { return name + "-" }

func hostNamespace(prefix, host string) string { return prefix + host }

func vmNamespace(prefix string, vm VM) string {
	return prefix + "vm-" + vm.Tenant + "-" + vm.Interface
}

// HostPrefix is what the names of the namespaces begin with that a host's agent makes in a lab, "lab-hv1-".
func (l *Lab) HostPrefix(host string) string { return l.prefix + host + "-" }

func tenantNamespace(prefix, host, tenant string) string {
	return prefix + host + "-" + topology.NamespacePrefix + tenant
}

// Namespace translates a node's name to that of its namespace:
// "hv1" a host, "hv1/acme" a tenant's namespace on it, "acme/vm-a" a VM, "server" and the other fixed nodes themselves.
// The namespace itself may not exist yet. Unknown names give [ErrNoNode].
func (l *Lab) Namespace(node string) (string, error) {
	switch node {
	case Underlay, Internet, Server, Narrow, Far:
		return l.prefix + node, nil
	}
	fleet := l.Fleet()
	first, second, pair := strings.Cut(node, "/")
	if !pair {
		if _, ok := hostByName(fleet, first); ok {
			return hostNamespace(l.prefix, first), nil
		}
		return "", fmt.Errorf("%s: %w in lab %s; write HOST, HOST/TENANT, TENANT/INTERFACE, server, far, narrow, internet or underlay",
			node, ErrNoNode, l.opts.Name)
	}
	if _, ok := hostByName(fleet, first); ok && hasTenant(fleet, second) {
		return tenantNamespace(l.prefix, first, second), nil
	}
	vm := VM{Tenant: first, Interface: second}
	if _, ok := interfaceOf(fleet, vm); ok {
		return vmNamespace(l.prefix, vm), nil
	}
	return "", fmt.Errorf("%s: %w in lab %s: neither HOST/TENANT nor TENANT/INTERFACE of the fleet", node, ErrNoNode, l.opts.Name)
}

func hostByName(fleet *config.Fleet, name string) (config.Host, bool) {
	for _, h := range fleet.Hosts {
		if h.Name == name {
			return h, true
		}
	}
	return config.Host{}, false
}

func hasTenant(fleet *config.Fleet, name string) bool {
	for _, t := range fleet.Tenants {
		if t.Name == name {
			return true
		}
	}
	return false
}

func interfaceOf(fleet *config.Fleet, vm VM) (config.Interface, bool) {
	for _, t := range fleet.Tenants {
		if t.Name != vm.Tenant {
			continue
		}
		for _, i := range t.Interfaces {
			if i.Name == vm.Interface {
				return i, true
			}
		}
	}
	return config.Interface{}, false
}

// checkNames refuses a fleet whose nodes would share a namespace's name.
func checkNames(prefix string, fleet *config.Fleet) error {
	taken := map[string]string{}
	var errs []error
	take := func(namespace, what string) {
		if other, ok := taken[namespace]; ok {
			errs = append(errs, fmt.Errorf("%s and %s would both be the namespace %s: rename one", other, what, namespace))
		}
		taken[namespace] = what
	}
	for _, n := range []string{Underlay, Internet, Server, Narrow, Far} {
		take(prefix+n, "the lab's own node "+n)
	}
	for _, h := range fleet.Hosts {
		take(hostNamespace(prefix, h.Name), "host "+h.Name)
		for _, t := range fleet.Tenants {
			take(tenantNamespace(prefix, h.Name, t.Name), "tenant "+t.Name+" on host "+h.Name)
		}
	}
	for _, t := range fleet.Tenants {
		for _, i := range t.Interfaces {
			vm := VM{t.Name, i.Name}
			take(vmNamespace(prefix, vm), "interface "+vm.String())
		}
	}
	return errors.Join(errs...)
}
