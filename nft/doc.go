// Package nft keeps the nftables tables of tenant namespaces: what is forwarded, translated, redirected and dropped.
//
//	conn, err := nft.Dial(ns)
//	observed, err := conn.Observe()
//	plan := nft.Diff(observed, nft.Desired(tenant))
//	fmt.Print(plan)
//	err = conn.Apply(plan) // one transaction
//
// A rule is written from statements; each knows its nft text and its kernel expressions, so the text that people read and
// the bytecode that packets meet have one source. docs/ruleset.md is the kernel's own listing of the result.
//
// Be aware: rules are compared by the digest in their comment, map elements by reading them. Some rules cannot be typed into
// nft(8), whose grammar is narrower than the kernel: the text of [Table] is for reading. Sets have a fixed size; one that is
// full is made anew, twice as large, in the same transaction. Datagrams that came in fragments reach their owner by an
// ordinary route to the owner's overlay address, which the room overlay makes.
package nft
