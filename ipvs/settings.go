package ipvs

import "time"

// SettleTime is how long after a change of destinations unknown packets in the middle of a TCP connection are not scheduled
// ([Settle]). In it, a node that knows a flow tells of it: at the latest refreshPeriod after the time before, in a message that
// waits for up to 2 s (ip_vs_sync.c).
const SettleTime = 6 * time.Second

// HeadsUp is how much later than another a node may change its destinations without harm, if all of them announce it
// ([Announce]): by the new table of one, a flow is at a backend that the old table of another does not have for it.
const HeadsUp = 2 * time.Second

// refreshPeriod is how often nodes tell each other about a flow that goes on, in seconds.
const refreshPeriod = "3"

// cautious is sloppy for as long as nodes may not know each other's flows: a packet that is scheduled wrongly then binds
// its flow for good. Such a packet is handed to the other nodes instead (package nft, chain "input"), of which one may know the flow.
var (
	sloppy   = Setting{"sloppy_tcp", "1"}
	cautious = Setting{"sloppy_tcp", "0"}
)

// cutting ends the flows of a destination that was removed: with the next packet another one gets them and answers with a
// reset, where they would hang otherwise.
var cutting = Setting{"expire_nodest_conn", "1"}

// waiting lets such flows wait, for a destination that is removed only to come again.
var waiting = Setting{"expire_nodest_conn", "0"}

// settings are the parameters of every node (Documentation/networking/ipvs-sysctl.rst).
func settings() []Setting {
	return []Setting{
		// Below so many free pages of memory (64 MiB of 4 KiB pages) drop_entry begins. The kernel's 1024 are less than
		// what a large machine keeps for itself (vm.min_free_kbytes).
		{"amemthresh", "16384"},
		// Flows are not in conntrack here: their packets come in alone, answers go from the backend's host to the edge.
		{"conntrack", "0"},
		// When memory runs out, and only then, a part of the table is looked through every second: connections that are half
		// open go, and flows of few packets that are idle for a minute. All nodes choose alike, so one that goes on is
		// scheduled like before.
		{"drop_entry", "1"},
		cutting,
		// An ICMP error about a flow that this node does not know goes where the flow goes.
		{"schedule_icmp", "1"},
		// A packet in the middle of a flow that this node does not know is the normal case: an edge spread its packets
		// anew. All nodes choose alike, so it is scheduled like a first one.
		{"sloppy_sctp", "1"},
		sloppy,
	}
}

// syncSettings are the parameters of nodes that sync.
func syncSettings() []Setting {
	return []Setting{
		// A flow is told with its first packet in the state established, and again when its timer has run for this long
		// (seconds). The threshold 0 of period 0 alone would tell of flows that end, and of no others.
		{"sync_refresh_period", refreshPeriod},
		{"sync_threshold", "0 0"},
	}
}
