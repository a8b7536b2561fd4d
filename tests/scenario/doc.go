// Package scenario plays the product's promises on real packets: each file in testdata is a story over a lab of its own.
//
//	go test ./tests/scenario -run TestVIP/hairpins -v
//
// Be aware: the scenarios need root. They run on the host's own kernel and, by the test machine, on a full one.
package scenario
