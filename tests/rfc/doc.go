// Package rfc tests what the RFCs about NAT require: RFC 4787 (UDP), 5382 (TCP), 5508 (ICMP) and 6888 (carrier-grade NAT).
//
//	go test ./tests/rfc -v              # prints requirement | RFC | result at the end
//	go test ./tests/rfc -v -run 'TestRFC/4787-REQ-9$'
//
// Each requirement is a scenario in testdata. Its first lines say which requirement it is and what the result is: "holds", "holds in part" or
// "does not hold", with the reason. The scenario proves that result on real packets, so it fails when a requirement that held holds no more and also when one
// that did not hold does: then the result must be written anew. docs/rfc.md is made of these lines.
//
// Be aware: the tests need root. A requirement that the kernel's NAT cannot meet stays here with its result, it is not left out.
package rfc
