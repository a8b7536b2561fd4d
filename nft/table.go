package nft

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// TableName is the name of all our tables.
const TableName = "culvert"

// Family is the address family of a table.
type Family byte

// The families in use.
const (
	ARPFamily    Family = unix.NFPROTO_ARP
	NetdevFamily Family = unix.NFPROTO_NETDEV
	InetFamily   Family = unix.NFPROTO_INET // IPv4 and IPv6 together
	IPv4Family   Family = unix.NFPROTO_IPV4
	IPv6Family   Family = unix.NFPROTO_IPV6
)

// String prints the family as nft does.
func (f Family) String() string {
	switch f {
	case ARPFamily:
		return "arp"
	case NetdevFamily:
		return "netdev"
	case InetFamily:
		return "inet"
	case IPv4Family:
		return "ip"
	case IPv6Family:
		return "ip6"
	}
	return fmt.Sprintf("family %d", byte(f))
}

// address is the type of the family's addresses.
func (f Family) address() Type {
	if f == IPv6Family {
		return Type{IPv6}
	}
	return Type{IPv4}
}

// Table is one table with everything in it.
type Table struct {
	Family Family
	// Dormant says that somebody has switched the table off: all is there, and meets no packet. No table is wanted so.
	Dormant  bool
	Counters []Counter
	Sets     []Set
	Chains   []Chain
}

// Counter is a named counter: it outlives changes of the rules that count with it.
type Counter struct{ Name string }

// Set is a set, or a map if it has data.
type Set struct {
	Name string
	Key  Type
	// Data is empty for a set.
	Data Type
	// Range makes the data an interval: the lowest value, then the highest.
	Range bool
	// Timeout is how long an element stays that a packet has put in; 0 for a set whose elements are wanted here.
	Timeout time.Duration
	// Counted makes each element count the packets that it matches. It has a name instead of data, which nft shows as its comment.
	Counted bool
	// Elements maps the bytes of keys to the bytes of data, or to names.
	Elements map[string]string
	// size is how many elements the kernel made room for; 0 if it has not been asked to.
	size int
}

// room is how many elements a set is made for. Sets of a fixed size have tables of a fixed size: without it the kernel
// goes on growing the table after a transaction, and whoever reads it then misses elements (nft_set_hash.c).
func (s Set) room() int {
	const least = 16
	if s.size > 0 {
		return s.size
	}
	return max(least, 1<<bits.Len(uint(max(len(s.Elements), 1)-1)))
}

// Chain is a sequence of rules.
type Chain struct {
	Name string
	// Base is nil for a chain that is jumped to.
	Base  *Base
	Rules []Rule
}

// Base is where a chain meets packets.
type Base struct {
	// Type is filter or nat.
	Type string
	Hook Hook
	// Priority orders the chains of a hook, lowest first (linux/netfilter_ipv4.h).
	Priority int32
	// Device is the link of a netdev chain.
	Device string
	// ARP says that the hook is one of the arp family, which has other hooks: its 0 is input.
	ARP bool
	// Drop is the policy for a packet that no rule decides on.
	Drop bool
}

// Hook is a netfilter hook number of the chain's family (linux/netfilter.h).
type Hook uint32

// The hooks in use.
const (
	Ingress     Hook = unix.NF_NETDEV_INGRESS
	Prerouting  Hook = unix.NF_INET_PRE_ROUTING
	Input       Hook = unix.NF_INET_LOCAL_IN
	Forward     Hook = unix.NF_INET_FORWARD
	Output      Hook = unix.NF_INET_LOCAL_OUT
	Postrouting Hook = unix.NF_INET_POST_ROUTING
)

func (b Base) hookName() string {
	if b.Device != "" {
		return "ingress"
	}
	if b.ARP {
		return "input"
	}
	names := [...]string{"prerouting", "input", "forward", "output", "postrouting"}
	if int(b.Hook) >= len(names) {
		return fmt.Sprint(uint32(b.Hook)) // somebody else's
	}
	return names[b.Hook]
}

// priorityName is the priority in nft's words: the name of a nearby one, and what is added.
func (b Base) priorityName() string {
	switch b.Priority {
	case priorityVIP:
		return "raw - 10"
	case priorityRaw:
		return "raw"
	case priorityReassembled:
		return "raw + 10"
	case priorityFilter:
		return "filter"
	case priorityRefuse:
		return "mangle"
	case priorityCount:
		if b.Hook == Postrouting { // source NAT has no name elsewhere
			return "srcnat - 10"
		}
	case priorityDestNAT:
		return "dstnat"
	case priorityMarked:
		return "dstnat + 10"
	}
	if b.Hook == Input {
		return fmt.Sprint(b.Priority) // nft names those of NAT in their own hooks only
	}
	switch b.Priority {
	case prioritySourceNAT:
		return "srcnat"
	case priorityVIPSource:
		return "srcnat + 10"
	}
	return fmt.Sprint(b.Priority)
}

// String prints the base as nft does.
func (b Base) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "type %s hook %s", b.Type, b.hookName())
	if b.Device != "" {
		fmt.Fprintf(&s, " device %q", b.Device)
	}
	policy := "accept"
	if b.Drop {
		policy = "drop"
	}
	fmt.Fprintf(&s, " priority %s; policy %s;", b.priorityName(), policy)
	return s.String()
}

// Rule is a rule: its text, and what the text compiles to.
type Rule struct {
	// Text is the rule in nft's words.
	Text string
	// Digest identifies the rule in the kernel, as its comment.
	Digest string
	// device is the link that the rule forwards to.
	device      string
	expressions []expression
}

// rule puts statements together.
func rule(family Family, statements ...statement) Rule {
	var r Rule
	texts := make([]string, 0, len(statements))
	for _, s := range statements {
		if s.text != "" {
			texts = append(texts, s.text)
		}
		r.expressions = append(r.expressions, s.expressions...)
	}
	for _, e := range r.expressions {
		if l, ok := e.(loadIndex); ok {
			r.device = l.device
		}
	}
	r.Text = strings.Join(texts, " ")
	// The bytecode counts too: a release that compiles the same text differently must replace the rule. A device is in the
	// text; its index is left out here and kept in a note of its own.
	h := sha256.New()
	fmt.Fprintln(h, r.Text)
	for _, e := range r.expressions {
		code, err := e.encode(encoding{family: family})
		if err != nil {
			panic(fmt.Sprintf("rule %q: %v", r.Text, err)) // a mistake in this package, met by every test
		}
		h.Write(code)
	}
	r.Digest = hex.EncodeToString(h.Sum(nil)[:8])
	return r
}

// String is the rule's text, with a word about what is wrong with an observed rule.
func (r Rule) String() string {
	switch {
	case strings.HasSuffix(r.Digest, staleSuffix):
		return r.Text + staleSuffix
	case r.Text == "":
		return "a rule without notes of ours"
	}
	return r.Text
}

// String prints the table as nft lists it; elements are sorted.
func (t Table) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "table %s %s {\n", t.Family, TableName)
	if t.Dormant {
		b.WriteString("\tflags dormant\n\n")
	}
	for _, c := range t.Counters {
		fmt.Fprintf(&b, "\tcounter %s {\n\t\tpackets 0 bytes 0\n\t}\n\n", c.Name)
	}
	for _, s := range t.Sets {
		fmt.Fprintf(&b, "%s\n", s)
	}
	for i, c := range t.Chains {
		if i > 0 {
			b.WriteString("\n")
		}
		b.WriteString(c.String())
	}
	b.WriteString("}\n")
	return b.String()
}

// String prints the set as nft lists it.
func (s Set) String() string {
	var b strings.Builder
	kind, typ := "set", s.Key.String()
	if len(s.Data) > 0 {
		kind = "map"
		interval := ""
		if s.Range {
			interval = "interval "
		}
		typ += " : " + interval + s.Data.String()
	}
	fmt.Fprintf(&b, "\t%s %s {\n\t\ttype %s\n\t\tsize %d\n%s", kind, s.Name, typ, s.room(), s.flavour())
	for i, e := range s.sorted() {
		lead, tail := "\t\t\t     ", ","
		if i == 0 {
			lead = "\t\telements = { "
		}
		if i == len(s.Elements)-1 {
			tail = " }"
		}
		fmt.Fprintf(&b, "%s%s%s\n", lead, s.element(e, s.Elements[e]), tail)
	}
	b.WriteString("\t}\n")
	return b.String()
}

// sorted returns the keys in order.
func (s Set) sorted() []string {
	keys := make([]string, 0, len(s.Elements))
	for k := range s.Elements {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, cmp.Compare[string])
	return keys
}

// element prints an element.
func (s Set) element(key, value string) string {
	text := s.Key.format(key)
	if s.Counted {
		return fmt.Sprintf("%s counter packets 0 bytes 0 comment %q", text, value)
	}
	if len(s.Data) == 0 {
		return text
	}
	if !s.Range {
		return text + " : " + s.Data.format(value)
	}
	return text + " : " + s.Data.formatRange(value[:len(value)/2], value[len(value)/2:])
}

// formatRange prints an interval, field by field.
func (t Type) formatRange(low, high string) string {
	parts := make([]string, len(t))
	for i, f := range t {
		parts[i] = f.format([]byte(low))
		if to := f.format([]byte(high)); to != parts[i] {
			parts[i] += "-" + to
		}
		low, high = low[padded(f):], high[padded(f):]
	}
	return strings.Join(parts, " . ")
}

// String prints the chain as nft lists it, without the digests.
func (c Chain) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\tchain %s {\n", c.Name)
	if c.Base != nil {
		fmt.Fprintf(&b, "\t\t%s\n", c.Base)
	}
	for _, r := range c.Rules {
		fmt.Fprintf(&b, "\t\t%s\n", r.Text)
	}
	b.WriteString("\t}\n")
	return b.String()
}
