package nft

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"
)

// TestDigests holds every rule's digest: it must not differ from one process, or machine of the same byte order, to the
// next, and whoever changes a rule sees here that running hosts will replace it.
func TestDigests(t *testing.T) {
	var b strings.Builder
	for _, r := range roles() {
		fmt.Fprintf(&b, "# %s\n", r.name)
		for _, table := range Desired(r.tenant) {
			for _, c := range table.Chains {
				for _, r := range c.Rules {
					fmt.Fprintf(&b, "%s %s %s %s\n", r.Digest, table.Family, c.Name, r.Text)
				}
			}
		}
	}
	b.WriteString("# guard\n")
	for _, table := range Guard(guarded()) {
		for _, c := range table.Chains {
			for _, r := range c.Rules {
				fmt.Fprintf(&b, "%s %s %s %s\n", r.Digest, table.Family, c.Name, r.Text)
			}
		}
	}
	golden(t, "testdata/digests.txt", b.String())
}

// TestDigestCoversTheBytecode changes what a rule does and what it says, one at a time.
func TestDigestCoversTheBytecode(t *testing.T) {
	const text = "meta mark 0x00000001"
	load := &expr.Meta{Key: expr.MetaKeyMARK, Register: reg1}
	digests := make(map[string]string)
	for name, r := range map[string]Rule{
		"as it is":         rule(IPv4Family, says(text, load, equal(1, 0, 0, 0))),
		"another value":    rule(IPv4Family, says(text, load, equal(2, 0, 0, 0))),
		"another text":     rule(IPv4Family, says(text+" ", load, equal(1, 0, 0, 0))),
		"an instruction":   rule(IPv4Family, says(text, load, equal(1, 0, 0, 0), load)),
		"another order":    rule(IPv4Family, says(text, equal(1, 0, 0, 0), load)),
		"another device":   rule(NetdevFamily, (&builder{vx: "vx100"}).fwd(IPv4Family, "meta mark", loadMark(reg2))),
		"and its sibling":  rule(NetdevFamily, (&builder{vx: "vx101"}).fwd(IPv4Family, "meta mark", loadMark(reg2))),
		"another register": rule(NetdevFamily, statement{text: text, expressions: []expression{forward{deviceRegister: 1, address: 2}}}),
		"another family":   rule(NetdevFamily, statement{text: text, expressions: []expression{forward{deviceRegister: 1, address: 2, ipv6: true}}}),
		"a write":          rule(IPv6Family, statement{text: text, expressions: []expression{write{sourceField(IPv6Family)}}}),
		"without checksum": rule(IPv6Family, statement{text: text, expressions: []expression{write{payload{base: expr.PayloadBaseNetworkHeader, offset: 8, length: 16}}}}),
		"the other way":    rule(NetdevFamily, statement{text: text, expressions: []expression{forward{deviceRegister: 2, address: 1}}}),
	} {
		if other, taken := digests[r.Digest]; taken {
			t.Errorf("%q and %q have the same digest", name, other)
		}
		digests[r.Digest] = name
	}
}

// TestRegisters shows that no register is overwritten while it is in use: the hash's scratch lies past the key that it is
// for, and the data that source NAT reads.
func TestRegisters(t *testing.T) {
	// In 4-byte registers from NFT_REG32_00; the 16-byte register n begins at 4*(n-1).
	bytes4 := func(r uint32) uint32 {
		if r >= unix.NFT_REG32_00 {
			return r - unix.NFT_REG32_00
		}
		return (r - unix.NFT_REG_1) * 4
	}
	for _, scratch := range []uint32{hash1, hash2, hash3} {
		if bytes4(scratch) <= bytes4(reg1Field4) || bytes4(scratch) >= 16 {
			t.Errorf("scratch register %d lies in the key, or nowhere", scratch)
		}
	}
	if bytes4(hash2) != bytes4(hash1)+1 || bytes4(hash3) != bytes4(hash2)+1 {
		t.Error("the hash reads 12 bytes in a row")
	}
	if bytes4(reg2) <= bytes4(reg1Field2) || bytes4(reg3) <= bytes4(reg2) {
		t.Error("the owner's address, its device and the key overlap")
	}
}

// TestNotes shows that what a rule is noted with comes back, also when it is too long.
func TestNotes(t *testing.T) {
	for _, r := range []Rule{
		rule(IPv4Family, drop()),
		rule(NetdevFamily, (&builder{vx: "vx16777215"}).fwd(IPv4Family, "meta mark", loadMark(reg2))),
		rule(IPv4Family, says(strings.Repeat("long ", 100)), drop()),
	} {
		data := r.notes(4711)
		if len(data) > maxNotes {
			t.Errorf("%d bytes are more than the kernel keeps", len(data))
		}
		got, index := decodeNotes(data)
		if got.Digest != r.Digest || got.device != r.device || !strings.HasPrefix(r.Text, got.Text) || len(got.Text) < min(len(r.Text), 180) {
			t.Errorf("got %+v of %+v", got, r)
		}
		if r.device != "" && index != 4711 {
			t.Errorf("index is %d", index)
		}
	}
	for _, foreign := range [][]byte{nil, {1}, {0, 9, 'x'}, userdata.AppendString(nil, userdata.TypeComment, "mine"), {byte(noteDevice), 2, 0, 0}} {
		if got, _ := decodeNotes(foreign); got.Digest != "" || got.device != "" {
			t.Errorf("%q was taken for ours: %+v", foreign, got)
		}
	}
}
