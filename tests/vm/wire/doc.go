// Package wire is what the host and the guest of a test machine say to each other.
//
// The host puts a Plan into the initramfs, the guest answers with Frames on a
// virtio serial port that nothing else writes to:
//
//	plan := wire.Plan{Units: []wire.Unit{{Name: "nft", Dir: "/src/nft", Argv: []string{"/tests/0.test"}}}}
//	w := wire.NewWriter(port)
//	w.Write(wire.Frame{Kind: wire.Output, Unit: 0, Data: []byte("PASS\n")})
//
// Be aware: a stream without a Done frame was cut off, and nothing in it may
// count as a success of what it does not mention.
package wire
