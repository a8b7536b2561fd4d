package nft

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/culvertnet/culvert/topology"
)

// chapters are the parts that docs/ruleset.md shows.
var chapters = []struct {
	title, about string
	tenant       func() topology.Tenant
}{
	{"Hypervisor", "A host that runs VMs of the tenant: hv1 owns ports 1024-2047 of 45.86.152.23, hv2 owns 2048-3071, edge2, which runs VMs too, " +
		"owns 3072-3135. edge1 is an edge alone. With `portsPerInterface`, the chain srcnat has two rules instead of its first: `ip saddr map @blocks` " +
		"for sources with one block, and `ip saddr . jhash ... map @source_slots` for those with several.", hypervisor},
	{"Hypervisor with virtual IPs", "The same host, of a tenant that has virtual IPs of both families: 10.0.0.12, fd00::12 and VMs of hv2 have one each, 10.0.0.13 and " +
		"fd00::13 have two. The tenant may have 100000 conntrack entries, and three destinations are exempt from translation. What stands here for virtual IPs is there if the tenant has one of the family, on any host; what stands here for `shared` is there if " +
		"some private address has several.", withVIPs},
	{"Host of backends", "The first hypervisor again, of a tenant with load balancers: one on 45.86.152.23, port 443, which the NAT gateway has too, one on 45.86.152.50, whose only backend drains, " +
		"one on 2001:db8::50. Nodes are lb5 and lb6; this host hands what lands here to lb6.", backendHost},
	{"Node", "lb5, which balances and does nothing else for the tenant. On a node that runs VMs too, these chains stand beside those of a hypervisor, `balance` spares what is for a " +
		"backend, and a netdev chain `delivery` marks what the node sends to backends of its own host.", node},
	{"Edge", "A host that lets the tenant's public traffic in and out and runs none of its VMs.", edge},
	{"Edge and hypervisor in one", "Here, what comes from outside arrives by the uplink, and other hosts' translated flows pass on their way out.", both},
}

// purposes say why each base chain exists, by family, chain and role; the role is left out where all agree.
var purposes = map[string]string{
	"netdev ingress": "Sees every frame that comes out of the VXLAN device, before the network stack. Frames of hosts that do not hold the tenant end here. " +
		"On a hypervisor, frames of edges are looked up in `owners`: a packet for another host's port or virtual IP is sent on at once, with one hop less, without a route and " +
		"without a conntrack entry. Only what comes from an edge is redirected, and on an edge that balances an address of the NAT gateway what VMs of `insiders` send there. " +
		"`edges` has no host that redirects, and `insiders` no edge, so two hosts with maps of different ages cannot bounce a packet between them. " +
		"Whole packets with ports from edges are what comes most, so the rules about them are the first: a redirect asks two sets and the map before it is counted.",
	"netdev uplink": "The same question for what comes from outside by the host's own uplink.",
	"ip fragments": "Fragments have no ports, so `from_edge` lets them pass, with a mark. Conntrack puts them together at priority -400; here, before conntrack looks for a flow " +
		"at -200, the whole datagram has a port, and goes to its owner in fragments again.",
	"ip forward": "Decides about every packet that passes. Nearly all belong to a translated flow that has seen packets both ways, and end at the first rule. The segments " +
		"that open a TCP connection come behind it, and have their MSS made to fit the VXLAN device both ways. What is left is new, inside the tenant, or wrong: a packet that leaves for " +
		"the outside must be one that source NAT will translate, so nothing private gets out.",
	"ip forward/edge": "Lets through packets from the tenant's public addresses out and packets for them in. No conntrack: the edge keeps no state, so which edge a packet takes does not matter.",
	"ip output": "What this namespace says by itself has overlay addresses, which mean nothing outside. Errors about a translated flow may leave: conntrack gives them the public address. " +
		"So may errors about packets for virtual IPs, redirected datagrams, which are untracked, and errors about answers from exempt destinations, which get the address of the VM.",
	"ip output/edge": "What this namespace says by itself has overlay addresses, which mean nothing outside.",
	"ip srcnat": "Gives a new flow that leaves an address and a port of its source's blocks. The hash leaves the destination out, so a private address and port have one public port for all " +
		"destinations (RFC 4787 REQ-1), as long as it is free. A flow without a block is dropped: it would leave with its private address.",
	"ip vip": "Virtual IPs are translated without conntrack. A packet from the overlay or the uplink gets its private destination here, before routing; an ICMP error is about a " +
		"packet that left from the virtual IP, so the quoted source is translated too. A packet of a VM with one virtual IP is only kept out of conntrack here. VMs of the tenant that talk to a " +
		"virtual IP send to an edge, and come back by the overlay.",
	"ip from_vip": "A packet that leaves gets its virtual IP here, after everything that this host may have to say to the VM about it. An ICMP error, the host's own included, is about a " +
		"packet that came for the virtual IP: the quoted destination is translated too, and the error comes from there. What would still leave with a private address is dropped.",
	"ip marked": "What a node has sent for a backend has found it by now, or is not delivered at all. Behind this chain it has no mark and is a flow like others: conntrack keeps it with its " +
		"backend, and the answers get the listener's address and port again.",
	"ip balance": "What is balanced is not tracked: a node sees one direction of it, and another node may have the rest. The backend's host tracks it.",
	"ip ahead":   "In front of IPVS, which would answer as for UDP: with an ICMP error. A listener is closed if it has no backend that takes new flows; flows of backends that drain are not new, and go on. What begins beyond the limit is dropped, so that a flood of SYNs with forged sources does not fill the memory with entries; flows that have begun are not touched by it.",
	"ip input": "Behind IPVS. Packets that it has sent on never come here. What it left is answered if it is an echo request, and else dropped: the host's own TCP would reset flows that another node " +
		"knows. The nodes' messages about connections pass between nodes.",
	"ip answers":      "Echo replies and errors of the node come from the public address. They need no translation, and no state.",
	"ip forward/node": "A node forwards nothing: what it balances is delivered to it and sent by it.",
	"ip output/node": "Lets out what IPVS sends to backends, the node's own answers, and the nodes' messages about connections. What else this namespace says has overlay addresses, which mean " +
		"nothing outside.",
	"ip errors": "The namespace hears no ICMP errors but about its own probes of backends, and of IPVS where that runs. It would believe what any VM says about the path to any destination, and hold " +
		"it against all VMs of the host.",
	"ip6 errors":       "As for IPv4.",
	"ip6 marked":       "As for IPv4.",
	"ip6 balance":      "As for IPv4.",
	"ip6 ahead":        "As for IPv4.",
	"ip6 input":        "As for IPv4.",
	"ip6 answers":      "As for IPv4.",
	"ip6 forward/node": "As for IPv4.",
	"ip6 output/node":  "As for IPv4.",
	"ip dstnat":        "A packet that a node has sent gets its VM and port, by the backend's mark and the listener. A private address with several virtual IPs needs conntrack to remember which one a flow came for. New flows of such an address leave from the first, by the chain srcnat.",
	"ip transit":       "Other hosts' flows are translated already; this host's conntrack has nothing to add and would run full.",
	"ip6 forward":      "VMs of the tenant talk to each other. Without virtual IPs nothing goes out and nothing comes in: a NAT gateway has IPv4 addresses alone.",
	"ip6 vip":          "As for IPv4. What an ICMPv6 error quotes has no checksum of its own; that of the error is corrected.",
	"ip6 from_vip":     "As for IPv4.",
	"ip6 dstnat":       "As for IPv4.",
	"ip6 srcnat":       "New flows of a private address with several virtual IPs leave from the first. Nothing else of IPv6 is translated by conntrack.",
	"ip6 output":       "As for IPv4.",
	"inet refuse": "Here if the tenant has a maximum of conntrack entries, for both families together. A chain of the type nat sees the first packet of each flow alone. While the tenant is full, a VM's " +
		"new flows are refused here, as no answer is possible from the hooks that know of all flows; one a second passes to see whether there is room again.",
	"inet leaving": "Counts a sample of new flows, when nothing but source NAT comes behind: one of 256 here, at random, up to 390 of them. When the sample is full, the tenant is. A sample is exact to about " +
		"one in the square root of its size. The kernel leaves TCP connections out that are closed, though their entries stay for a while.",
	"inet arriving": "The same for flows that end in this namespace.",
	"ip guard": "VXLAN is for the fleet's other hosts. Whoever else sends to its port, on whatever address of the host, is dropped ahead of connection tracking. On an edge the port also passes by in the " +
		"traffic of VMs, so only what the host itself hears counts: its own addresses, broadcast, multicast and anycast. Addresses can be forged. On an edge, a host of the fleet is heard by the uplink only if the " +
		"route to it leaves by the uplink, so nobody outside can pretend to be one; inside the underlay, whoever can forge a host's address is one.",
	"ip6 guard": "As for IPv4.",
	"ip guard_forward": "An edge's own namespace forwards between the tenants and the uplink, and between tenants: a VM reaches other tenants' public addresses that way. Each tenant has its public addresses here " +
		"once more, so nothing private gets out, whatever becomes of the rules of its namespace. Everything else from or to a tenant is dropped: the edge's other networks are not for VMs, nor are other hosts of the " +
		"fleet. What a tenant sends is known by the MAC of the link from its namespace, so that it ends here also while the host gives up the role of an edge. What comes by the uplink from an address of the overlay, from a link-local one or from the tenant's own public ones is forged. What has nothing to do with tenants is left to others.",
	"ip guard_input":    "The edge itself is not for VMs to talk to, by none of its addresses. Its ICMP errors to them need no answer.",
	"ip6 guard_forward": "As for IPv4.",
	"ip6 guard_input":   "As for IPv4.",
	"ip spoofing": "Lets a VM's packets pass if device, MAC and source address belong together; ahead of conntrack and of defragmentation, so a forged packet leaves no trace and each fragment " +
		"is looked at by itself. What the fabric's own devices bring is checked elsewhere. Every other device is a VM's, so one that the fleet does not know sends nothing. A chain that knows devices by " +
		"name needs none of them: it is complete before a VM is attached. In front, where a VM can be spoken to unasked, ends what comes for a public address from an inside one: nobody outside is a VM's neighbour. ICMP errors of the tenant's hosts pass.",
	"ip6 spoofing":     "The same for IPv6. With link-local addresses VMs talk ICMPv6 with their gateway alone: neighbour discovery, two packets a second, as each address is an entry in a table that the whole machine shares. A VM advertises no routers, no redirects and no addresses but its own.",
	"arp spoofing":     "The same for ARP: the sender's MAC and address in the packet must be those of the VM that sends the frame. 0.0.0.0 is allowed, which probes ask with (RFC 5227).",
	"ip6 forward/edge": "An edge forwards no IPv6: a NAT gateway has IPv4 addresses alone.",
}

// meanings explain the counters: what is counted, when it grows, what to do.
var meanings = map[Counter][3]string{
	Redirected:     {"packets for other hosts' ports or virtual IPs, sent on to their owners", "always, with more than one hypervisor: the edge does not know the owner", "nothing; its share is the part of the traffic that takes the extra hop; the set `peers` has it by owner"},
	Reassembled:    {"datagrams for other hosts' ports that came in fragments, sent on", "with large UDP answers or pings", "nothing; if it is large, look for senders that ignore the path MTU"},
	Stranger:       {"frames of senders that are no host of the tenant, dropped", "a host has left the fleet and does not know, or somebody forges VXLAN", "compare the fleets of the hosts; keep the VXLAN port closed to others"},
	Unknown:        {"packets from outside for a public address that belong to no flow, dropped", "scans, and late packets of flows that have ended: always a little", "nothing while it is small; if connections break too, look for a lost conntrack table (restart, table full)"},
	SecondHand:     {"packets that another host redirected to this one and that belong to no flow here, dropped", "the hosts' maps differ, or a late packet was redirected", "if it goes on, run `culvert plan` on all hosts: one has an old lock"},
	Bounced:        {"packets from the overlay that would go back to it, dropped", "a VM has moved and not all hosts know", "if it goes on, run `culvert plan` on all hosts"},
	Invalid:        {"packets that conntrack finds wrong, dropped: they would leave untranslated", "segments out of the window, late resets, scans by a VM: always a little", "if connections break too, look for asymmetric paths"},
	Unsolicited:    {"packets from an edge for a private address, dropped; where the tenant has no public addresses of the family, all that is not inside", "for a moment after the last public address has gone; new flows from a destination in `exempt`; otherwise never, unless an edge forwards what it should not", "nothing with `exempt`; else look at the edge's rules if it goes on"},
	Refused:        {"packets of VMs that NAT cannot translate: another source or protocol; the VM is told (ICMP 3/13)", "a VM uses GRE or ESP, has IPv6 without a virtual IP, or tries link-local and overlay addresses", "nothing, or a virtual IP for the interface"},
	Untranslated:   {"packets of flows that began inside the tenant and would now leave, dropped", "a VM's address has left the fleet and others still talk to it, or a prefix has left `exempt` and VMs still send there", "nothing; it ends when they give up, or at once by `conntrack -D` in the tenant's namespace"},
	NoBlock:        {"new flows whose source has no ports, dropped", "never, unless rules and maps differ", "run `culvert plan`; report it if the plan is empty"},
	Exhausted:      {"packets of flows that have found no free port towards their destination three times, or six if a block of the host has more than 128 ports, refused: the VM is told (ICMP 3/13)", "a VM, or the VMs of a host together, have used up the block towards one destination", "give more ports, or portsPerInterface so that one VM does not use up the others'"},
	ConntrackFull:  {"packets of new flows beyond the tenant's maximum of conntrack entries on the host (`conntrack.max`), dropped; most VMs are told (ICMP 3/13)", "a VM opens very many flows, or scans", "look at the tenant's flows with `conntrack -L`; raise the maximum if they are right"},
	OwnTraffic:     {"packets of the namespace itself for the outside, dropped", "hops that ran out, answers to forged sources, reports of multicast groups when the namespace comes up: a little", "nothing"},
	ForeignSource:  {"packets from the overlay for the outside without a public address of the tenant, dropped", "a prefix has come to `exempt` and the edge does not know yet; a hypervisor leaks private packets, or somebody forges VXLAN", "apply on the edge; look at the hypervisor's rules"},
	Outsider:       {"packets to the host's VXLAN port from addresses that are no host of the fleet, or that come in by an edge's uplink although the route to the host leaves by another device, dropped", "a scan, a host that has left the fleet or is `state: down` and does not know, or an attack", "compare the fleets of the hosts; close the port to strangers at the border of the underlay; if hosts do send by an edge's uplink, give the edge a route back that leaves by it"},
	ToHost:         {"packets of VMs for the edge itself, dropped", "a VM looks around, or answers the edge's own requests", "nothing; what the edge offers to VMs, offer elsewhere"},
	StrayOut:       {"packets of VMs for another network of the edge or for hosts of the fleet, or without a public address of their tenant, dropped", "a VM looks around; an address goes while packets are on their way; the default route does not leave by the uplink", "look at the default route of the edge if VMs do not get out; compare with `foreign_source` and `private`"},
	StrayIn:        {"packets for a tenant from another device than the uplink, or for an address that is not the tenant's, dropped", "another network of the edge sends to public addresses by way of it", "let that network send by the internet's routers"},
	Spoofed:        {"packets of VMs with a MAC or a source that is not theirs, ARP and neighbour discovery for others' addresses, dropped", "a VM forges, is configured wrongly or asks for an address by DHCP", "compare the interface in the fleet with the VM; if they agree, ask the tenant"},
	LinkLocal:      {"packets of VMs from link-local addresses that are not ICMPv6 for their gateway, dropped", "mDNS, LLMNR, DHCPv6: always a little", "nothing"},
	Unheard:        {"ICMP errors of VMs for their host's own addresses, dropped", "a VM tries to make the host believe that a path is narrow; late errors about probes of backends", "ask the tenant if it goes on"},
	Forged:         {"packets from outside for a public address with a source inside the tenant, of the overlay or of the tenant's own public addresses, dropped", "somebody forges; or a tenant's own packets have left by one edge and come back by another", "nothing while it is small; let border routers drop such sources (RFC 2827)"},
	NeighbourFlood: {"ICMPv6 packets of VMs from link-local addresses beyond 16 at once and two a second for a VM, dropped", "a VM makes up neighbours, or pings its gateway quickly", "ask the tenant if it goes on"},
	Unreachable:    {"packets for a VM of the tenant whose device or host is gone, refused", "a VM that is stopped, or a host with `state: down`, while others still talk to it; a VM that looks for the outside in a tenant without public addresses", "nothing; look at `culvert plan` for the device it waits for if the VM should be there"},
	Private:        {"packets that would have left with a private address, dropped", "when a virtual IP comes or goes while packets are on their way: a handful", "run `culvert plan` if it goes on; report it if the plan is empty"},
	Undelivered:    {"packets of nodes for backends that found none, dropped", "a backend or a listener has just changed and the hosts do not all know; late packets of flows that have ended", "if it goes on, run `culvert plan` on all hosts"},
	Flooded:        {"new connections to listeners beyond 10 000 a second for a tenant and a node, dropped", "a flood of SYNs, or more clients than the nodes take", "look at the sources; add nodes if they are clients"},
	Closed:         {"new connections to a listener without a backend that takes them, and all segments to one without any backend, reset; on an edge, all to one that it has no way to, datagrams answered with an ICMP error", "all backends drain, are gone or fail their checks", "add a backend, or look at those that are there"},
	Departed:       {"packets that IPVS would send to a backend that is none any more; TCP is answered with a reset", "after backends have gone, from flows that another node has told of", "a client that does not stop has a flow that its own end does not know to be dead"},
	Asked:          {"packets in the middle of a TCP connection that IPVS did not know, handed to the tenant's other nodes", "for some seconds after backends or nodes have changed, until the nodes have told each other; resets without a flow: always a little", "if much goes on, look at `culvert plan`: IPVS may still wait (`sloppy_tcp`), or a service be missing"},
	Unbalanced:     {"packets for a listener that neither this node's IPVS nor, if there is another, that of the node that handed them over took, dropped", "late packets of connections that were reset, for some seconds after backends or nodes have changed", "if it goes on, look at `culvert plan`: a service of IPVS may be missing"},
	NotForwardable: {"other packets on an edge or a node, dropped", "scans of addresses that are not the tenant's or have no host, a virtual IP whose host is down", "nothing while it is small"},
}

var (
	baseChain    = regexp.MustCompile(`^\tchain (\w+) \{$`)
	tableLine    = regexp.MustCompile(`^table (\w+) \w+ \{$`)
	counterBlock = regexp.MustCompile(`\tcounter \w+ \{\n.*\n\t\}\n\n?`)
	longElement  = regexp.MustCompile(`(?s)elements = \{ (.*?) \}`)
)

// TestRulesetDocument holds docs/ruleset.md against what the kernel lists.
func TestRulesetDocument(t *testing.T) {
	var b strings.Builder
	b.WriteString("# The rules\n\n")
	b.WriteString("Generated by `go test ./nft -run Ruleset -update` from the kernel's own listing; a test fails when it is stale.\n\n")
	b.WriteString("Each tenant namespace has the tables below, all named `culvert`. Every rule's comment, left out here, is `culvert #` and a digest of the rule. ")
	b.WriteString("Counters stand in the table at the end. Long lists of elements are cut. See it live with `ip netns exec culvert-acme nft list ruleset`.\n")
	where := make(map[Counter][]string)
	for _, c := range chapters {
		desired := Desired(c.tenant())
		s := newStage(t)
		s.become(desired)
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n", c.title, c.about)
		b.WriteString(explained(t, normal(s.nft("list", "ruleset")), c.tenant()))
		collect(where, desired)
	}
	guard := Guard(guardedEdge())
	s := newStage(t)
	s.become(guard)
	b.WriteString("\n## The host's own namespace\n\nThe tables that are not in a tenant's namespace, on every host that holds tenants; here of an edge with two. With an IPv6 underlay the chain `guard` is in the table of the family ip6. Rules with `tenants` are on edges alone. Foreign tables stay as they are.\n\n")
	b.WriteString(explained(t, normal(s.nft("list", "ruleset")), topology.Tenant{Hypervisor: true}))
	collect(where, guard)
	b.WriteString("\n## Counters\n\nEach is a named counter: it outlives changes of the rules. A tenant has them in its namespace, per family.\n\n")
	b.WriteString("| counter | where | what it counts | when it grows | what to do |\n|---|---|---|---|---|\n")
	for _, c := range slices.SortedFunc(maps.Keys(where), func(a, b Counter) int { return strings.Compare(a.Name, b.Name) }) {
		m, ok := meanings[c]
		if !ok {
			t.Errorf("counter %s has no explanation", c.Name)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", c.Name, strings.Join(where[c], ", "), m[0], m[1], m[2])
	}
	for c := range meanings {
		if where[c] == nil {
			t.Errorf("counter %s is explained but in no table", c.Name)
		}
	}
	golden(t, "../docs/ruleset.md", b.String())
}

// collect notes the chains that use each counter.
func collect(where map[Counter][]string, tables []Table) {
	for _, table := range tables {
		for _, counter := range table.Counters {
			for _, c := range table.Chains {
				place := fmt.Sprintf("%s %s", table.Family, c.Name)
				uses := slices.ContainsFunc(c.Rules, func(r Rule) bool { return strings.Contains(r.Text, fmt.Sprintf("counter name %q", counter.Name)) })
				if uses && !slices.Contains(where[counter], place) {
					where[counter] = append(where[counter], place)
				}
			}
		}
	}
}

// explained cuts a listing into blocks of code, with the purpose of every base chain before it.
func explained(t *testing.T, listing string, tenant topology.Tenant) string {
	t.Helper()
	listing = longElement.ReplaceAllStringFunc(counterBlock.ReplaceAllString(listing, ""), shorten)
	var b strings.Builder
	family, open := "", false
	toggle := func(want bool) {
		if open != want {
			b.WriteString("```\n")
			open = want
		}
	}
	lines := strings.Split(strings.TrimSuffix(listing, "\n"), "\n")
	for i, line := range lines {
		if m := tableLine.FindStringSubmatch(line); m != nil {
			toggle(false)
			family = m[1]
			fmt.Fprintf(&b, "\n### table %s\n\n", family)
		}
		if m := baseChain.FindStringSubmatch(line); m != nil && strings.Contains(lines[i+1], " hook ") {
			toggle(false)
			fmt.Fprintf(&b, "\n**%s**: %s\n\n", m[1], purpose(t, family+" "+m[1], tenant))
		}
		if line == "" && !open {
			continue
		}
		toggle(true)
		b.WriteString(line + "\n")
	}
	toggle(false)
	return strings.TrimPrefix(strings.ReplaceAll(b.String(), "\n\n```\n\n", "\n```\n\n"), "\n")
}

// purpose finds why a chain exists.
func purpose(t *testing.T, chain string, tenant topology.Tenant) string {
	t.Helper()
	if text, ok := purposes[chain+"/node"]; ok && !tenant.Hypervisor && tenant.Balancer {
		return text
	}
	if text, ok := purposes[chain+"/edge"]; ok && !tenant.Hypervisor {
		return text
	}
	text, ok := purposes[chain]
	if !ok {
		t.Errorf("nobody says why chain %s exists", chain)
	}
	return text
}

// shorten leaves four of many elements.
func shorten(list string) string {
	const few = 4
	elements := strings.Split(longElement.FindStringSubmatch(list)[1], ",")
	if len(elements) <= few+1 {
		return list
	}
	return "elements = { " + strings.Join(elements[:few], ",") + fmt.Sprintf(",\n\t\t\t     ... %d more }", len(elements)-few)
}
