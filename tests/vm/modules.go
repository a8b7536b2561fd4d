package main

// modules is what a kernel needs for Culvert and for the tests of it. Those
// that these depend on come along by themselves, and what is built in is fine.
var modules = []string{
	// The machine's way to report, so that it can report what comes after.
	"virtio_pci", "virtio_console",

	// For checksums of nf_tables' dependencies; modprobe would find it by an alias.
	"crc32c_generic",

	"nf_conntrack", "nf_conntrack_netlink", "nfnetlink_cttimeout", "nfnetlink_log", "nf_log_syslog",
	"nf_defrag_ipv4", "nf_defrag_ipv6", "nf_nat", "nf_conncount",

	"nf_tables", "nft_chain_nat", "nft_nat", "nft_masq", "nft_redir", "nft_ct", "nft_connlimit",
	"nft_hash", "nft_numgen", "nft_limit", "nft_quota", "nft_log", "nft_queue", "nft_tunnel", "nft_socket",
	"nft_reject", "nft_reject_inet", "nft_reject_ipv4", "nft_reject_ipv6",
	"nft_fib", "nft_fib_inet", "nft_fib_ipv4", "nft_fib_ipv6", "nft_fib_netdev",
	"nft_dup_netdev", "nft_fwd_netdev", "nft_dup_ipv4", "nft_dup_ipv6",
	"nft_flow_offload", "nf_flow_table", "nf_flow_table_inet",

	"ip_vs", "ip_vs_mh", "ip_vs_rr", "ip_vs_wrr", "ip_vs_sh",

	"veth", "dummy", "vxlan", "vrf", "bridge", "tun", "macvlan", "ifb", "ipip", "ip6_tunnel", "fou",

	// Loss, delay and packet filters for the lab and for benchmarks.
	"sch_ingress", "sch_netem", "sch_htb", "sch_tbf", "sch_fq", "cls_u32", "cls_bpf", "cls_matchall",
	"act_mirred", "act_gact",

	// The answers to ss.
	"inet_diag", "tcp_diag", "udp_diag",
}
