package nft

import (
	"bytes"
	"testing"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// TestWriteIsTheLibrarys compares our encoding of a write with the library's, where that one is complete.
func TestWriteIsTheLibrarys(t *testing.T) {
	for _, p := range []payload{sourceField(IPv4Family), destinationField(IPv4Family), quoted(IPv4Family, sourceField(IPv4Family)), quoted(IPv6Family, destinationField(IPv6Family))} {
		theirs := p.load(0)
		theirs.OperationType, theirs.SourceRegister = expr.PayloadWrite, reg1
		theirs.CsumType, theirs.CsumOffset = expr.CsumTypeInet, p.checksum
		if p.pseudo {
			theirs.CsumFlags = unix.NFT_PAYLOAD_L4CSUM_PSEUDOHDR
		}
		want, err := plain{theirs}.encode(encoding{family: IPv4Family})
		must(t, err)
		got, err := write{p}.encode(encoding{family: IPv4Family})
		must(t, err)
		if !bytes.Equal(got, want) {
			t.Errorf("%s: encoded as\n%x, by the library as\n%x", p.text, got, want)
		}
	}
}

// TestWriteIPv6 shows that the transport's checksum is corrected for an IPv6 address, which has no checksum of its own.
func TestWriteIPv6(t *testing.T) {
	got, err := write{sourceField(IPv6Family)}.encode(encoding{family: IPv6Family})
	must(t, err)
	flags, err := netlink.MarshalAttributes([]netlink.Attribute{
		{Type: unix.NFTA_PAYLOAD_CSUM_FLAGS, Data: binaryutil.BigEndian.PutUint32(unix.NFT_PAYLOAD_L4CSUM_PSEUDOHDR)},
	})
	must(t, err)
	if !bytes.HasSuffix(got, flags) {
		t.Errorf("%x does not end with %x", got, flags)
	}
}

// TestQuoted holds where the quoted addresses and the checksums that they change are, from the ICMP header on (RFC 792, RFC 4443).
func TestQuoted(t *testing.T) {
	for _, tt := range []struct {
		got  payload
		want payload
	}{
		{quoted(IPv4Family, sourceField(IPv4Family)), payload{"@th,160,32", expr.PayloadBaseTransportHeader, 20, 4, 18, false}},
		{quoted(IPv4Family, destinationField(IPv4Family)), payload{"@th,192,32", expr.PayloadBaseTransportHeader, 24, 4, 18, false}},
		{quoted(IPv6Family, sourceField(IPv6Family)), payload{"@th,128,128", expr.PayloadBaseTransportHeader, 16, 16, 2, false}},
		{quoted(IPv6Family, destinationField(IPv6Family)), payload{"@th,256,128", expr.PayloadBaseTransportHeader, 32, 16, 2, false}},
	} {
		if tt.got != tt.want {
			t.Errorf("got %+v, want %+v", tt.got, tt.want)
		}
	}
}
