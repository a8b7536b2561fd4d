package overlay

import (
	"net/netip"
	"slices"

	"github.com/culvertnet/culvert/config"
)

// Place is where an object lives: the name of a tenant namespace, or [HostPlace].
type Place string

// HostPlace is the host's own namespace.
const HostPlace Place = ""

// Protocol marks our routes among others' (rtm_protocol, linux/rtnetlink.h: values above 4 are user space's to choose).
const Protocol = 146

// name is the place in a sentence.
func (p Place) name() string {
	if p == HostPlace {
		return "the host's namespace"
	}
	return string(p)
}

// Object is one thing that the kernel holds for us. Two objects are the same thing if place and key are equal, and equal
// if their text is.
type Object interface {
	// String is the object in iproute2's words without the verb; it holds everything that matters.
	String() string
	key() key
	// device is the link that takes the object along when it goes, empty for none.
	device() string
	stage() stage
	put(h *handle) error
	drop(h *handle) error
	// commands are the shell commands that do what put does on a bare host.
	commands(at Place) []string
}

// stage orders changes. What is needed for correct forwarding exists before the rules, what brings traffic comes after.
type stage int

const (
	stageNamespace stage = iota
	stageSysctl
	stageLink
	stageLinkSysctl
	stageAddress
	stageNeighbour
	stageForwardingEntry
	stageEarlyRoute
	stageRoute
	stageRules // nothing here: the nft room's turn
	stagePort
	stagePortSysctl
	stagePortAddress
	stagePortNeighbour
	stagePortRoute
	stageForwarding
)

// key says which thing an object is; what can change about the thing is not in it.
type key struct {
	kind   kind
	name   string // of a link, a namespace or a parameter, or the text of what has no better name
	prefix netip.Prefix
	mac    config.MAC
}

type kind byte

const (
	kindNamespace kind = iota
	kindLink
	kindAddress
	kindNeighbour
	kindEntry
	kindRoute
	kindFallback
	kindStray
	kindSysctl
	kindRule
)

// linkKey is the key of a link of any type: one name, one link.
func linkKey(name string) key { return key{kind: kindLink, name: name} }

// same reports whether two objects of one key are equal. Text is slow to make: most objects are found equal without.
func same(a, b Object) bool {
	if a, ok := a.(Route); ok {
		b, ok := b.(Route)
		return ok && slices.Equal(a.Hops, b.Hops)
	}
	if _, ok := b.(Route); ok {
		return false
	}
	return a == b || a.String() == b.String()
}

func either(cond bool, a, b stage) stage {
	if cond {
		return a
	}
	return b
}
