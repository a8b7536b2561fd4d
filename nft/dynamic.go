package nft

import (
	"fmt"
	"time"

	"github.com/google/nftables/binaryutil"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// dynamic reports whether packets put the elements in: they are neither wanted nor observed.
func (s Set) dynamic() bool { return s.Timeout > 0 }

// flavour are the lines in nft's words that a dynamic set has, or one that counts.
func (s Set) flavour() string {
	switch {
	case s.Counted:
		return "\t\tcounter\n"
	case !s.dynamic():
		return ""
	}
	return fmt.Sprintf("\t\tflags dynamic,timeout\n\t\ttimeout %s\n", s.Timeout)
}

// sameDynamics reports whether the sets are filled alike.
func (s Set) sameDynamics(o Set) bool {
	return s.Timeout == o.Timeout && (!s.dynamic() || s.room() >= o.room())
}

// dynamicAttributes are the attributes of a dynamic set; its flags are added to the others.
func (s Set) dynamicAttributes(flags *uint32) []netlink.Attribute {
	if !s.dynamic() {
		return nil
	}
	*flags |= unix.NFT_SET_EVAL | unix.NFT_SET_TIMEOUT
	return []netlink.Attribute{attribute(unix.NFTA_SET_TIMEOUT, binaryutil.BigEndian.PutUint64(uint64(s.Timeout/time.Millisecond)))}
}
