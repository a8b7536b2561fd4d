package nft

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// chainAttributes is a chain as the kernel describes it, or nearly.
func chainAttributes(t testing.TB, c Chain) []byte {
	t.Helper()
	var b transaction
	b.addChain(NetdevFamily, c)
	must(t, b.err)
	return b.messages[0].Data[4:]
}

func TestDecodeChain(t *testing.T) {
	for _, want := range []Chain{
		{Name: "plain"},
		{Name: "ingress", Base: &Base{Type: "filter", Hook: Ingress, Device: "vx100", Priority: -10}},
		{Name: "forward", Base: &Base{Type: "filter", Hook: Forward, Drop: true}},
		{Name: "srcnat", Base: &Base{Type: "nat", Hook: Postrouting, Priority: 100}},
	} {
		got, table, err := decodeChain(chainAttributes(t, want))
		must(t, err)
		if diff := cmp.Diff(want, got); diff != "" || table != TableName {
			t.Errorf("chain of table %q (-want +got):\n%s", table, diff)
		}
	}
}

// TestDecodeDevices reads a hook with a list of devices, which some kernels give even for one.
func TestDecodeDevices(t *testing.T) {
	var b transaction
	hook := b.nested(unix.NFTA_CHAIN_HOOK, number(unix.NFTA_HOOK_HOOKNUM, 0), b.nested(attrHookDevices, text(1, "vx100")))
	got, _, err := decodeChain(b.marshal([]netlink.Attribute{text(unix.NFTA_CHAIN_NAME, "c"), hook}))
	must(t, err)
	if got.Base == nil || got.Base.Device != "vx100" {
		t.Errorf("got %+v", got.Base)
	}
}

func FuzzDecodeChain(f *testing.F) {
	f.Add(chainAttributes(f, Chain{Name: "plain"}))
	f.Add(chainAttributes(f, Chain{Name: "ingress", Base: &Base{Type: "filter", Hook: Ingress, Device: "vx100"}}))
	f.Add(chainAttributes(f, Chain{Name: "elsewhere", Base: &Base{Type: "filter", Hook: 9}}))
	for _, s := range []string{"", "00", "0400", "080001000000", "0c000480080001000000"} {
		b, err := hex.DecodeString(s)
		must(f, err)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, _, err := decodeChain(data)
		if err == nil {
			if s := c.String(); strings.Contains(s, "PANIC=") { // how fmt reports one
				t.Error(s)
			}
		}
	})
}

func FuzzDecodeNotes(f *testing.F) {
	f.Add(rule(IPv4Family, drop()).notes(0))
	f.Add(rule(NetdevFamily, (&builder{vx: "vx100"}).fwd(IPv4Family, "meta mark", loadMark(reg2))).notes(7))
	f.Fuzz(func(_ *testing.T, data []byte) { decodeNotes(data) })
}
