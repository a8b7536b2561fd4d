package trigger

// Space is a namespace as the host's namespace numbers it (ip-netns(8), `ip netns list-id`), or [Host].
type Space int

// Host is the host's own namespace.
const Host Space = -1

// Kind is what may have changed.
type Kind int

// The kinds.
const (
	Link Kind = iota
	Address
	Neighbour // forwarding entries of VXLAN devices, too
	Route     // routing rules, too
	Parameter
	Rules
	Name     // a file below [netns.Dir] came or went
	Services // of IPVS; [Watch] never tells, who uses [ServiceDigests] does
	Lost     // notifications were lost: anything may have changed, anywhere
)

var kindNames = [...]string{"link", "address", "neighbour", "route", "parameter", "rules", "namespace", "services", "lost"}

// String names the kind in log lines.
func (k Kind) String() string { return kindNames[k] }

// Event says where something may have changed.
type Event struct {
	Kind  Kind
	Space Space
	// Device is the name of the device if it is in the host's namespace and known, else empty.
	Device string
	// Name is the file's of an event of kind [Name], the namespace's of kind [Services].
	Name string
}
