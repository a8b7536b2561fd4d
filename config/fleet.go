package config

import (
	"net/netip"
	"slices"
)

// Fleet is everything the operator declares: the hosts and the tenants.
type Fleet struct {
	// Overlay is where overlay addresses come from; [Parse] fills what is left out from [DefaultOverlay].
	Overlay Overlay  `yaml:"overlay,omitempty"`
	Hosts   []Host   `yaml:"hosts"`
	Tenants []Tenant `yaml:"tenants,omitempty"`
}

// Overlay holds the fleet-wide parameters of the VXLAN overlay (RFC 7348).
type Overlay struct {
	// IPv4 and IPv6 are the prefixes that overlay addresses come from: hosts take the lower half by id,
	// load-balancer backends the upper half by sequence number.
	IPv4 netip.Prefix `yaml:"ipv4,omitempty"`
	IPv6 netip.Prefix `yaml:"ipv6,omitempty"`
	// Port is the UDP destination port of the encapsulation, 1-65535; 4789 by default.
	Port uint16 `yaml:"port,omitempty" range:"1..65535"`
}

// DefaultOverlay returns the overlay of a fleet that does not say otherwise: shared address space (RFC 6598), a unique
// local prefix (RFC 4193) and the port assigned to VXLAN.
func DefaultOverlay() Overlay {
	return Overlay{
		IPv4: netip.MustParsePrefix("100.64.0.0/10"),
		IPv6: netip.MustParsePrefix("fd00:c0de::/64"),
		Port: 4789,
	}
}

// Host is a machine with an underlay address.
type Host struct {
	Name     string     `yaml:"name"`
	Underlay netip.Addr `yaml:"underlay"`
	Roles    []Role     `yaml:"roles"`
	// Uplink is the device that faces the outside world; required for an edge, refused for all others.
	Uplink string `yaml:"uplink,omitempty"`
	// State is up unless the operator marks the host as gone.
	State HostState `yaml:"state,omitempty"`
}

// Has reports whether the host has the role r.
func (h Host) Has(r Role) bool {
	return slices.Contains(h.Roles, r)
}

// Role is a job that a host does for the fleet; a host may have any mix.
type Role string

// The roles.
const (
	Hypervisor   Role = "hypervisor"
	LoadBalancer Role = "loadbalancer"
	Edge         Role = "edge"
)

// HostState says whether a host takes part.
type HostState string

// The states of a host. A host that is down keeps its id and its blocks and gets no traffic. One that is lost gets no share
// of others' traffic, and what is for itself as before: it may well be alive. No document says lost, only who keeps count
// of the hosts.
const (
	Up   HostState = "up"
	Down HostState = "down"
	Lost HostState = "lost"
)

// VNI is a VXLAN network identifier, 1-16777215 (RFC 7348 section 5).
type VNI uint32

// Tenant is a VNI with its interfaces and public addresses.
type Tenant struct {
	Name          string         `yaml:"name"`
	VNI           VNI            `yaml:"vni" range:"1..16777215"`
	Interfaces    []Interface    `yaml:"interfaces,omitempty"`
	NATGateway    *NATGateway    `yaml:"natGateway,omitempty"`
	VirtualIPs    []VirtualIP    `yaml:"virtualIPs,omitempty"`
	LoadBalancers []Balancer     `yaml:"loadBalancers,omitempty"`
	Conntrack     ConntrackLimit `yaml:"conntrack,omitempty"`
	Timeouts      Timeouts       `yaml:"timeouts,omitempty"`
}

// Interface is a VM's NIC.
type Interface struct {
	Name string `yaml:"name"`
	Host string `yaml:"host"`
	// Device is the host's end of the NIC (a tap, a veth), 1-15 bytes (IFNAMSIZ).
	Device    string       `yaml:"device"`
	MAC       MAC          `yaml:"mac"`
	Addresses []netip.Addr `yaml:"addresses"`
}

// NATGateway declares the public IPv4 addresses a tenant's interfaces share for outgoing flows.
// Exactly one of PortsPerHost and PortsPerInterface is set.
type NATGateway struct {
	Addresses []netip.Addr `yaml:"addresses"`
	// PortsPerHost is how many source ports each host with interfaces of the tenant gets, a multiple of 64.
	PortsPerHost int `yaml:"portsPerHost,omitempty" range:"64..64512" step:"64"`
	// PortsPerInterface is how many source ports each interface gets for itself, a multiple of 64.
	PortsPerInterface int `yaml:"portsPerInterface,omitempty" range:"64..64512" step:"64"`
	// Exempt lists destinations that are reached without translation.
	Exempt []netip.Prefix `yaml:"exempt,omitempty"`
}

// VirtualIP translates public addresses 1:1 to an interface's private ones, at most one per family.
type VirtualIP struct {
	Addresses []netip.Addr `yaml:"addresses"`
	Interface string       `yaml:"interface"`
}

// Balancer is a layer-4 load balancer: listeners on one public address, served by backends.
type Balancer struct {
	Name        string       `yaml:"name"`
	Address     netip.Addr   `yaml:"address"`
	Listeners   []Listener   `yaml:"listeners"`
	Backends    []Backend    `yaml:"backends,omitempty"`
	HealthCheck *HealthCheck `yaml:"healthCheck,omitempty"`
}

// Listener is one balanced port.
type Listener struct {
	Protocol Protocol `yaml:"protocol"`
	Port     uint16   `yaml:"port" range:"1..65535"`
	// BackendPort is the port the VM listens on; Port when zero.
	BackendPort uint16 `yaml:"backendPort,omitempty" range:"1..65535"`
}

// Backend is an interface that serves a load balancer. The order of backends has meaning: append.
type Backend struct {
	Interface string `yaml:"interface"`
	// Weight is the share of new flows, 1-65535; 1 when left out.
	Weight int `yaml:"weight,omitempty" range:"1..65535"`
	// Drain keeps established flows and gives the backend no new ones.
	Drain bool `yaml:"drain,omitempty"`
}

// Protocol is a transport protocol that has ports.
type Protocol string

// The protocols.
const (
	TCP  Protocol = "tcp"
	UDP  Protocol = "udp"
	SCTP Protocol = "sctp"
)
